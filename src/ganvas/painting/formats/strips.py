"""What the image formats have in common: the shape of an image, and its rows in strips of moderate size."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ganvas.painting.palette import Bits

STRIP = 2**20  # bytes of the rows that are compressed in one go
LEVEL = 5  # of zlib: a third of the time of its default, 6, for files that are 4 % larger


class Shape(NamedTuple):
    """Of an image."""

    height: int
    width: int
    channels: int  # 1 or 3
    bits: Bits  # of a number

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"u{self.bits // 8}")

    @property
    def strip_rows(self) -> int:
        return max(1, STRIP // (self.width * self.channels * self.dtype.itemsize))


def strips(bands: Iterable[np.ndarray], shape: Shape) -> Iterator[np.ndarray]:
    """The rows of `bands` in strips of `shape.strip_rows`, the last one shorter.

    A strip is given when it is known whether more rows come, so whoever asks for the last one hears of any mistake.
    """
    strip = np.empty((shape.strip_rows, shape.width, shape.channels), shape.dtype)
    rows = filled = 0
    for band in bands:
        if band.dtype != shape.dtype or band.shape[1:] != strip.shape[1:]:
            raise ValueError(f"a band is {band.dtype} {list(band.shape)}, which does not fit {shape}")
        rows += len(band)
        if rows > shape.height:
            raise ValueError(f"more than the {shape.height} rows that were announced")
        while len(band):
            if filled == len(strip):
                yield strip
                strip, filled = np.empty_like(strip), 0
            taken = min(len(strip) - filled, len(band))
            strip[filled : filled + taken] = band[:taken]
            filled += taken
            band = band[taken:]
    if rows < shape.height:
        raise ValueError(f"{rows} rows of the {shape.height} that were announced")
    yield strip[:filled]


def steps_across(strip: np.ndarray) -> np.ndarray:
    """Every pixel less its left neighbour, modulo 2**bits: small numbers, that compress well where colours are smooth.

    (With 8 bits, the filters of PNG that look at two or three neighbours are slower and gain 3 % at best.)
    """
    return np.diff(strip, axis=1, prepend=strip.dtype.type(0))


def to_pillow(pixels: np.ndarray) -> Image.Image:
    """uint8 [H, W, 1 or 3]"""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
