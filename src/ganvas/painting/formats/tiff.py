"""TIFF, in strips that are compressed separately."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ganvas.core import files
from ganvas.painting.formats.description import describe, recipe_in
from ganvas.painting.formats.strips import LEVEL, Shape, steps_across

BIG = 2**32 - 2**28  # bytes of pixels above which the BigTIFF variant is used, with a margin for bad compression


def write(path: Path, shape: Shape, strips: Iterator[np.ndarray], recipe: str) -> None:
    """The strips are compressed here, as tifffile accepts compressed strips one by one, but pixels only all at once."""
    from tifffile import TiffWriter  # imported here: slow

    steps = (steps_across(strip).astype(shape.dtype.newbyteorder("<")) for strip in strips)
    packed = (zlib.compress(strip.tobytes(), LEVEL) for strip in steps)
    big = shape.height * shape.width * shape.channels * shape.dtype.itemsize > BIG
    with files.atomic(path) as file, TiffWriter(file, bigtiff=big, byteorder="<") as tiff:
        tiff.write(
            packed,
            shape=shape[:2] if shape.channels == 1 else shape[:3],
            dtype=shape.dtype,
            photometric="minisblack" if shape.channels == 1 else "rgb",
            compression="zlib",
            predictor=True,  # marks the data as differences from the left neighbour
            rowsperstrip=shape.strip_rows,
            description=describe(recipe),
            metadata=None,
            software="ganvas",
            resolution=None if shape.print is None else (shape.print.dpi, shape.print.dpi),
            resolutionunit=None if shape.print is None else "INCH",
        )


def read(path: Path) -> str | None:
    from tifffile import TiffFile

    files.refuse_pipes(path)
    with TiffFile(path) as tiff:
        return recipe_in(tiff.pages.first.description)
