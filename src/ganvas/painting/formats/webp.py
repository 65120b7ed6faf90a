"""Lossless WebP. The whole image is in memory; the format allows up to 16,383 pixels a side."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ganvas.core import files
from ganvas.painting.formats.description import DESCRIPTION, describe, recipe_in
from ganvas.painting.formats.strips import Shape, to_pillow


def write(path: Path, shape: Shape, strips: Iterator[np.ndarray], recipe: str) -> None:
    image = Image.new("L" if shape.channels == 1 else "RGB", (shape.width, shape.height))
    top = 0
    for strip in strips:
        image.paste(to_pillow(strip), (0, top))
        top += len(strip)
    exif = Image.Exif()
    exif[DESCRIPTION] = describe(recipe)
    with files.atomic(path) as file:
        image.save(file, "WEBP", lossless=True, exif=exif)


def read(path: Path) -> str | None:
    """Search the chunks (name, length, padded data) for EXIF; Pillow would allocate memory for all the pixels."""
    with files.open_regular(path) as file:
        riff, _, webp = struct.unpack("<4sI4s", file.read(12).ljust(12))
        if (riff, webp) != (b"RIFF", b"WEBP"):
            raise ValueError("not a WebP file")
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name == b"EXIF":
                exif = Image.Exif()
                exif.load(file.read(length))
                return recipe_in(str(exif.get(DESCRIPTION)))
            file.seek(length + length % 2, os.SEEK_CUR)
    return None
