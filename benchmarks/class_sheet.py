"""Samples of runs sorted by the class that an evaluator sees in them: the first ones of each class, and its share.

    python benchmarks/class_sheet.py "GAN=runs/cifar10-gan-dcgan" "CFG-GAN=runs/cifar10-cfg-dcgan" \
        --out docs/gallery/classes.png

Nothing is chosen by eye: samples come in the order of their seeds. The first panel has real pictures (`--real`).
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ganvas.core import images
from ganvas.core.seeds import EVALUATION
from ganvas.evaluation import evaluators
from ganvas.runs.model import load


def panel(axes: Axes, title: str, pictures: np.ndarray, evaluator: evaluators.Evaluator, columns: int) -> None:
    """Draw the first `columns` of the pictures, uint8 [N, H, W, C], of each class."""
    seen = evaluator.measure(np.moveaxis(pictures, -1, 1)).probabilities.argmax(1).numpy()
    shares, rows = [], []
    for index in range(len(evaluator.classes)):
        chosen = pictures[seen == index][:columns]
        shares.append((seen == index).mean())
        rows.append(np.concatenate([chosen, np.full((columns - len(chosen), *pictures.shape[1:]), 255, np.uint8)]))
    sheet = images.grid(np.concatenate(rows), columns)
    axes.imshow(sheet if sheet.shape[-1] == 3 else np.repeat(sheet, 3, axis=-1))
    axes.set_title(title)
    axes.set_xticks([])
    height = pictures.shape[1] + images.GAP
    names = [f"{name} {share:.0%}" for name, share in zip(evaluator.classes, shares, strict=True)]
    axes.set_yticks([images.GAP + height * (row + 0.5) for row in range(len(names))], names)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="TITLE=RUN")
    parser.add_argument("--checkpoint", default="last")
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--real", action="store_true", help="real pictures in front")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    panels: dict[str, np.ndarray] = {}
    for word in args.runs:
        title, _, path = word.rpartition("=")
        model = load(path, args.checkpoint)
        info = model.run.info().data
        evaluator = evaluators.choose_for(model.method.spec, model.classes, info.sha256)
        if not evaluator.knows(model.classes):
            parser.error(f"no evaluator knows the classes of '{path}'")
        if args.real and not panels:
            real = model.data(args.data_dir).images[: args.n]
            panels["real pictures"] = np.moveaxis(real, 1, -1)
        panels[title] = model.sample(args.n, seed=EVALUATION.start).images
    figure = Figure(figsize=(4.4 * len(panels), 4.6), layout="constrained")
    for axes, (title, pictures) in zip(
        figure.subplots(1, len(panels), squeeze=False).flat, panels.items(), strict=True
    ):
        panel(axes, title, pictures, evaluator, args.columns)
    figure.savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
