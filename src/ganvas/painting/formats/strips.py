"""What the image formats share: the shape of an image, and strips of rows of moderate size."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ganvas.painting.formats.printing import Print
from ganvas.painting.palette import Bits

STRIP = 2**20  # bytes of a strip, which is compressed at once
LEVEL = 5  # of zlib; takes a third of the time of its default 6, for 4 % larger files


class Shape(NamedTuple):
    """The shape of an image."""

    height: int
    width: int
    channels: int  # 1 or 3
    bits: Bits  # per channel
    print: Print | None = None  # its size on paper

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(f"u{self.bits // 8}")

    @property
    def strip_rows(self) -> int:
        return max(1, STRIP // (self.width * self.channels * self.dtype.itemsize))


def strips(bands: Iterable[np.ndarray], shape: Shape) -> Iterator[np.ndarray]:
    """The rows of `bands` in strips of `shape.strip_rows` rows; the last strip may be shorter.

    Raises ValueError if the bands do not match the shape; always before the last strip.
    """
    strip = np.empty((shape.strip_rows, shape.width, shape.channels), shape.dtype)
    rows = filled = 0
    for band in bands:
        if band.dtype != shape.dtype or band.shape[1:] != strip.shape[1:]:
            raise ValueError(f"a band is {band.dtype} {list(band.shape)}, which does not fit {shape}")
        rows += len(band)
        if rows > shape.height:
            raise ValueError(f"the image has more than {shape.height} rows")
        while len(band):
            if filled == len(strip):
                yield strip
                strip, filled = np.empty_like(strip), 0
            taken = min(len(strip) - filled, len(band))
            strip[filled : filled + taken] = band[:taken]
            filled += taken
            band = band[taken:]
    if rows < shape.height:
        raise ValueError(f"the image has {rows} rows instead of {shape.height}")
    yield strip[:filled]


def steps_across(strip: np.ndarray) -> np.ndarray:
    """Every pixel minus its left neighbour, modulo 2**bits. In smooth images these are small, and compress well.

    (With 8 bits, PNG's filters with two or three neighbours are slower and gain at most 3 %.)
    """
    return np.diff(strip, axis=1, prepend=strip.dtype.type(0))


def to_pillow(pixels: np.ndarray) -> Image.Image:
    """A Pillow image of uint8 [H, W, 1 or 3]."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
