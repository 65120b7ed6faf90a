"""Pictures side by side, each under its title: sample sheets of runs at chosen numbers of images seen, or any files.

    python benchmarks/beside.py "DCGAN, 1 epoch=runs/mnist-cdcgan:60032" "MLP, 100 epochs=runs/mnist-mlp-gan:6000000" \
        --out docs/gallery/beside.png
    python benchmarks/beside.py "std 0.30=art0.30.png" "std 0.60=art0.60.png" --out docs/gallery/art.png
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ganvas.core.errors import UserError
from ganvas.runs.run import Run


def picture(place: str) -> np.ndarray:
    """A picture file, or the sheet of RUN:IMAGES that is nearest to so many images."""
    if Path(place).is_file():
        file = Path(place)
    else:
        run, _, wanted = place.rpartition(":")
        sheets = Run.existing(run).sheets()
        if not sheets:
            raise UserError(f"'{run}' has no sample sheet")
        file = min(sheets, key=lambda sheet: abs(int(sheet.stem) - int(wanted)))
    with Image.open(file) as opened:
        return np.asarray(opened)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", nargs="+", metavar="TITLE=RUN:IMAGES or TITLE=FILE")
    parser.add_argument("--columns", type=int)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    columns = args.columns or len(args.pictures)
    rows = -(-len(args.pictures) // columns)
    figure = Figure(figsize=(4.2 * columns, 4.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes in panels:
        axes.axis("off")
    for axes, word in zip(figure.axes, args.pictures, strict=False):
        title, _, place = word.rpartition("=")
        axes.imshow(picture(place), cmap="gray", vmin=0, vmax=255)
        axes.set_title(title)
    figure.savefig(args.out, dpi=110, bbox_inches="tight", pad_inches=0.05)


if __name__ == "__main__":
    main()
