"""Writing image files of any size from top to bottom, with only a few rows at a time in memory.

(Except WebP: up to 16,383 pixels a side, all in memory.) Every file contains the recipe of its image, which can be read
without decoding the pixels.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.painting.formats import deep_zoom, pdf, png, tiff, webp
from ganvas.painting.formats.printing import Print
from ganvas.painting.formats.strips import Shape, strips
from ganvas.painting.palette import Bits

WIDEST = 10_000_000  # pixels in a row; some rows of an image have to fit into memory


class _Format(NamedTuple):
    write: Callable[[Path, Shape, Iterator[np.ndarray], str], None]
    read: Callable[[Path], str | None]
    """returns the recipe or None; raises OSError, or any other exception for a damaged file or another format"""
    side: int
    """maximum side in pixels"""
    bits: Bits = 16
    """maximum number of bits"""
    prints: bool = True
    """whether it has a physical size"""


FORMATS = {
    ".png": _Format(png.write, png.read, side=2**31 - 1),
    ".tif": _Format(tiff.write, tiff.read, side=2**31 - 1),
    ".tiff": _Format(tiff.write, tiff.read, side=2**31 - 1),
    ".pdf": _Format(pdf.write, pdf.read, side=2**31 - 1),
    ".webp": _Format(webp.write, webp.read, side=16_383, bits=8, prints=False),
    ".dzi": _Format(deep_zoom.write, deep_zoom.read, side=1_000_000, bits=8, prints=False),
}


def check(path: Path, height: int, width: int, bits: Bits, print: Print | None = None) -> None:
    """Raise UserError if such an image cannot be written to `path`. Call this before any work is done."""
    format = _format(path)
    if min(height, width) < 1:
        raise UserError(f"an image of {width}x{height} pixels is empty: ask for 1 or more a side")
    if max(height, width) > format.side or bits > format.bits:
        fit = [name for name, other in FORMATS.items() if max(height, width) <= other.side and bits <= other.bits]
        instead = f"choose a name that ends in {', '.join(fit)}" if fit else "choose a smaller size"
        most = f"a {path.suffix} image has at most {format.side} pixels a side and {format.bits} bits"
        raise UserError(f"{most}, not {width}x{height} and {bits} bits: {instead}")
    if print and not format.prints:
        names = ", ".join(name for name, other in FORMATS.items() if other.prints)
        raise UserError(f"a {path.suffix} image has no physical size: to print, choose a name that ends in {names}")
    if width > WIDEST:
        raise UserError(f"a row of {width:,} pixels does not fit into memory: choose {WIDEST:,} or fewer")
    files.check_output(path)
    tiles = deep_zoom.tiles_of(path)
    if path.suffix.lower() == ".dzi" and tiles.exists() and not path.exists() and not deep_zoom.is_ours(tiles):
        raise UserError(f"'{tiles}', the folder for the tiles of '{path.name}', already exists: choose another name")


def save(
    path: Path,
    bands: Iterable[np.ndarray],
    height: int,
    width: int,
    channels: int,
    bits: Bits,
    recipe: str,
    print: Print | None = None,
) -> None:
    """Write an image atomically, in the format given by the extension of `path`.

    `recipe` is ASCII, and `print` the size on paper.

    `bands` are uint8 or uint16 (by `bits`) [any rows, width, channels] from the top. Raises UserError as `check` does,
    and ValueError if the bands do not match the size and type.
    """
    check(path, height, width, bits, print)
    shape = Shape(height, width, channels, bits, print)
    _format(path).write(path, shape, strips(bands, shape), recipe)


def read_recipe(path: Path) -> str:
    """Read the recipe of an image written by `save`. Raises UserError if there is no such image, or no recipe in it."""
    format = _format(path)
    try:
        recipe = format.read(path)
    except FileNotFoundError:
        raise UserError(f"there is no image '{path}': give one that ganvas painted") from None
    except OSError as error:
        raise UserError(f"cannot read '{path}' ({error.strerror}): give an image that ganvas painted") from None
    except Exception:  # damaged files can make libraries raise anything
        raise UserError(f"'{path}' is damaged or no {path.suffix} file: give an image that ganvas painted") from None
    if not recipe:
        raise UserError(f"there is no recipe in '{path}': it was not painted by ganvas, or its recipe was removed")
    return recipe


def _format(path: Path) -> _Format:
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"ganvas cannot paint into '{path}': choose a name that ends in {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]
