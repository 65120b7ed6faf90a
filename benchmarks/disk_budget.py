"""Bytes on the disk against iterations: the same recipe within a disk budget and without one.

    python benchmarks/disk_budget.py --budget 4MB --out docs/gallery/disk-budget.png
    python benchmarks/disk_budget.py --recipe mnist-cdcgan --data-dir DATA --images 600000 --budget 60MB --out b.png \
        --set train.log_every=1000 train.sample_every=2000 train.checkpoint_every=10000

Without --recipe it is a small MLP on drawn digits that writes a record every 4 iterations, a sheet every 20 and a
checkpoint every 100. The directory is measured whenever a file is about to take the place of an old one, when both are
there, and with every record; the curve is the most that was seen since the record before.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ganvas.core import files
from ganvas.core.settings import merge, parse_assignments
from ganvas.recipes import library
from ganvas.recipes.recipe import Recipe, from_dict
from ganvas.runs.run import Run
from ganvas.training.disk_budget import sizes
from ganvas.training.train import train

TOY: dict[str, Any] = {
    "name": "toy",
    "data": {"name": "strokes"},
    "network": {"name": "mlp", "hidden": [32]},
    "method": {"name": "gan", "latent_size": 16},
    "train": {"images": 64_000, "batch_size": 16, "log_every": 64, "sample_every": 320, "checkpoint_every": 1600},
}
WITH, WITHOUT, RULE = "#1b7f5c", "#c2410c", "#6b7280"
SHOWN = ("checkpoints", "samples", "sheet.png", "log.jsonl", "tensorboard")


class Meter:
    """The most that a directory takes between two readings."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.most = folder, 0

    def look(self) -> None:
        self.most = max(self.most, sum(sizes(self.folder).values()))

    def read(self) -> int:
        self.look()
        most, self.most = self.most, 0
        return most

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look whenever a file is complete and the one that it replaces is still there."""
        plain = Path.replace

        def replace(file: Path, target: Path) -> Path:
            self.look()
            return plain(file, target)

        Path.replace = replace  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            Path.replace = plain  # type: ignore[method-assign]


def grow(recipe: Recipe, folder: Path, data_dir: Path | None, device: str) -> np.ndarray:
    """Train; [records, 2] with the images seen and the bytes taken at most since the record before."""
    meter, points = Meter(folder), []
    with meter.watching():
        for record in train(recipe, folder, data_dir=data_dir, device=device, say=print):
            points.append((record["nimg"], meter.read()))
        points.append((points[-1][0], meter.read()))
    return np.array(points)


def draw(curves: dict[str, np.ndarray], limit: int, batch: int, name: str) -> Figure:
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes: Axes = figure.subplots()
    for (label, points), colour in zip(curves.items(), (WITH, WITHOUT), strict=True):
        axes.plot(points[:, 0] / batch, points[:, 1] / 1e6, color=colour, linewidth=1.6, label=label)
    axes.axhline(limit / 1e6, color=RULE, linestyle="--", linewidth=1)
    axes.annotate(
        "budget", (0.995, limit / 1e6), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=RULE
    )
    axes.set_xlabel("iterations")
    axes.set_ylabel("MB on the disk, while writing too")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_title(f"What a run directory takes ({name})")
    axes.legend(frameon=False, loc="upper left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", help="a named one, or a .toml file; a toy when left out")
    parser.add_argument("--budget", default="4MB")
    parser.add_argument("--images", type=int)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes")
    args = parser.parse_args()
    changes = merge(parse_assignments(args.changes), {"train": {"images": args.images}} if args.images else {})

    def recipe(budget: str) -> Recipe:
        asked = merge(changes, {"train": {"disk_budget": budget}})
        return library.load(args.recipe, asked) if args.recipe else from_dict(merge(TOY, asked))

    limit, curves = files.read_size(args.budget), {}
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for label, budget in ((f"budget {files.say_size(limit)}", str(limit)), ("without a budget", "none")):
            run = Run(Path(folder) / label.replace(" ", "-"))
            curves[label] = points = grow(recipe(budget), run.path, args.data_dir, args.device)
            found = sizes(run.path)
            peak = files.say_size(points[:, 1].max())
            cells = [
                label,
                peak,
                len(run.records()),
                len(run.sheets()),
                len(run.checkpoints.available()),
            ]
            rows.append([*cells, *(files.say_size(found.get(name, 0)) for name in SHOWN)])
    used = recipe("none")
    draw(curves, limit, used.train.batch_size, used.name).savefig(args.out, dpi=110)
    heads: list[object] = ["", "most", "records", "sheets", "checkpoints", *(f"{name}, end" for name in SHOWN)]
    widths = [max(len(str(row[i])) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, *rows]:
        print("  ".join(str(cell).rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(args.out)


if __name__ == "__main__":
    main()
