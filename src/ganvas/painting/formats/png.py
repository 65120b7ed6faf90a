"""PNG: a signature followed by chunks of length, name, data and checksum."""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ganvas.core import files
from ganvas.core.images import RECIPE_KEY
from ganvas.painting.formats.printing import INCH
from ganvas.painting.formats.strips import LEVEL, Shape, steps_across

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def write(path: Path, shape: Shape, strips: Iterator[np.ndarray], recipe: str) -> None:
    colour = 0 if shape.channels == 1 else 2  # grey, or red, green and blue
    packer = zlib.compressobj(LEVEL)
    with files.atomic(path) as file:
        file.write(PNG_SIGNATURE)
        _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", shape.width, shape.height, shape.bits, colour, 0, 0, 0))
        if shape.print:
            metre = round(shape.print.dpi / INCH * 1000)  # pixels
            _write_chunk(file, b"pHYs", struct.pack(">IIB", metre, metre, 1))
        _write_chunk(file, b"tEXt", f"{RECIPE_KEY}\0{recipe}".encode())
        for rows in filtered(strips):
            if packed := packer.compress(rows.tobytes()):
                _write_chunk(file, b"IDAT", packed)
        _write_chunk(file, b"IDAT", packer.flush())
        _write_chunk(file, b"IEND", b"")


def filtered(strips: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Strips in PNG's format, uint8 [rows, 1 + bytes of a row]: the number of the filter, then the filtered row.

    8-bit rows are stored as differences from the left neighbour, 16-bit rows as differences from the row above: filters
    work on bytes, and as carries into the upper byte occur in long runs, this gives files up to a quarter smaller.
    """
    above = None  # the last row of the previous strip
    for strip in strips:
        if strip.dtype == np.uint8:
            number, rows = 1, steps_across(strip)
        else:
            pixels = strip.astype(">u2").view(np.uint8)
            number, rows = 2, np.diff(pixels, axis=0, prepend=np.zeros_like(pixels[:1]) if above is None else above)
            above = pixels[-1:]
        yield np.pad(rows.reshape(len(rows), -1), ((0, 0), (1, 0)), constant_values=number)


def _write_chunk(file: IO[bytes], name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))


def read(path: Path) -> str | None:
    with files.open_regular(path) as file:
        if file.read(len(PNG_SIGNATURE)) != PNG_SIGNATURE:
            raise ValueError("not a PNG file")
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name == b"tEXt":
                keyword, _, text = file.read(length).decode("latin-1").partition("\0")
                if keyword == RECIPE_KEY:
                    return text
                length = 0
            file.seek(length + 4, os.SEEK_CUR)
    return None
