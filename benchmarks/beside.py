"""Sample sheets of several runs side by side, at chosen numbers of images seen.

    python benchmarks/beside.py "DCGAN, 1 epoch=runs/mnist-cdcgan:60032" "MLP, 100 epochs=runs/mnist-mlp-gan:6000000" \
        --out docs/gallery/beside.png
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from ganvas.errors import UserError
from ganvas.images import load_png
from ganvas.run import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sheets", nargs="+", metavar="TITLE=RUN:IMAGES")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    figure = Figure(figsize=(4.2 * len(args.sheets), 3.9), layout="constrained")
    for axes, word in zip(figure.subplots(1, len(args.sheets), squeeze=False)[0], args.sheets, strict=True):
        title, _, place = word.rpartition("=")
        run, _, wanted = place.rpartition(":")
        sheets = Run.existing(run).sheets()
        if not sheets:
            raise UserError(f"'{run}' has no sample sheet")
        nearest = min(sheets, key=lambda file: abs(int(file.stem) - int(wanted)))
        picture, _ = load_png(nearest)
        axes.imshow(picture[..., 0] if picture.shape[-1] == 1 else picture, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title)
        axes.axis("off")
    figure.savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
