"""Picture files of any size, written from top to bottom: a few rows at a time are in memory, never the whole.

(Except WebP: up to 16,383 pixels a side, held whole.) Every file carries the recipe of its picture, to be read without
its pixels.
"""

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import tifffile
from PIL import Image

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.images import RECIPE_KEY
from ganvas.painting.palette import Bits

STRIP = 2**20  # bytes of the rows that are compressed in one go
LEVEL = 5  # of zlib: a third of the time of its default, 6, for files that are 4 % larger


class Shape(NamedTuple):
    """Of a picture."""

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


def check(path: Path, height: int, width: int, bits: Bits) -> None:
    """Raises UserError if no such picture can be written to `path`: to be asked before any work is done."""
    kind = _kind(path)
    if min(height, width) < 1:
        raise UserError(f"a picture of {width}x{height} pixels is empty: ask for 1 or more a side")
    if max(height, width) > kind.side or bits > kind.bits:
        fit = [name for name, other in KINDS.items() if max(height, width) <= other.side and bits <= other.bits]
        instead = f"choose a name that ends in {', '.join(fit)}" if fit else "ask for a smaller one"
        most = f"a {path.suffix} picture has at most {kind.side} pixels a side and {kind.bits} bits"
        raise UserError(f"{most}, not {width}x{height} and {bits} bits: {instead}")
    if path.is_dir():
        raise UserError(f"'{path}' is a folder: choose another name for the picture")
    if kind.write is _write_dzi and _tiles(path).exists() and not path.exists():
        raise UserError(f"'{_tiles(path)}' is in the way of the tiles of '{path.name}': choose another name")


def save(
    path: Path,
    bands: Iterable[np.ndarray],
    height: int,
    width: int,
    channels: int,
    bits: Bits,
    recipe: Mapping[str, Any],
) -> None:
    """Write a picture, whole or not at all, in the kind that the ending of `path` names; `recipe` is JSON values.

    `bands` are uint8 or uint16 (by `bits`) [any rows, width, channels] from the top. Raises UserError as `check` does,
    and ValueError when they are not what was announced.
    """
    check(path, height, width, bits)
    shape = Shape(height, width, channels, bits)
    _kind(path).write(path, shape, _strips(bands, shape), json.dumps(recipe))


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe inside a picture of `save`. Raises UserError when there is no such picture, or no recipe in it."""
    kind = _kind(path)
    try:
        text = kind.read(path)
    except FileNotFoundError:
        raise UserError(f"there is no picture '{path}': give one that ganvas painted") from None
    except OSError as error:
        raise UserError(f"cannot read '{path}' ({error.strerror}): give a picture that ganvas painted") from None
    except Exception:  # damage can upset a library in any way
        raise UserError(f"'{path}' is damaged or no {path.suffix} file: give a picture that ganvas painted") from None
    recipe = None
    with suppress(ValueError):
        recipe = json.loads(text or "")
    if not isinstance(recipe, dict):
        raise UserError(f"there is no recipe in '{path}': it was not painted by ganvas, or its recipe was stripped")
    return recipe


def _strips(bands: Iterable[np.ndarray], shape: Shape) -> Iterator[np.ndarray]:
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


def _steps_across(strip: np.ndarray) -> np.ndarray:
    """Every pixel less its left neighbour, modulo 2**bits: small numbers, that compress well where colours are smooth.

    (With 8 bits, the filters of PNG that look at two or three neighbours are slower and gain 3 % at best.)
    """
    return np.diff(strip, axis=1, prepend=strip.dtype.type(0))


# PNG: a signature, then chunks: length, name, data, check sum.

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _write_png(path: Path, shape: Shape, strips: Iterator[np.ndarray], recipe: str) -> None:
    colour = 0 if shape.channels == 1 else 2  # grey, or red, green and blue
    packer = zlib.compressobj(LEVEL)
    with files.atomic(path) as file:
        file.write(PNG_SIGNATURE)
        _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", shape.width, shape.height, shape.bits, colour, 0, 0, 0))
        _write_chunk(file, b"tEXt", f"{RECIPE_KEY}\0{recipe}".encode())
        for rows in _filtered(strips):
            if packed := packer.compress(rows.tobytes()):
                _write_chunk(file, b"IDAT", packed)
        _write_chunk(file, b"IDAT", packer.flush())
        _write_chunk(file, b"IEND", b"")


def _filtered(strips: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Strips as PNG wants them, uint8 [rows, 1 + bytes of a row]: the number of the filter, then the filtered row.

    Filters work on bytes. With 16 bits, where every carry into the upper byte shows, those from one row to the next
    lie in long spans, and differences downwards give files up to a quarter smaller than differences across.
    """
    above = None  # the last row of the strip before
    for strip in strips:
        if strip.dtype == np.uint8:
            number, rows = 1, _steps_across(strip)
        else:
            pixels = strip.astype(">u2").view(np.uint8)
            number, rows = 2, np.diff(pixels, axis=0, prepend=np.zeros_like(pixels[:1]) if above is None else above)
            above = pixels[-1:]
        yield np.pad(rows.reshape(len(rows), -1), ((0, 0), (1, 0)), constant_values=number)


def _write_chunk(file: IO[bytes], name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))


def _read_png(path: Path) -> str | None:
    with path.open("rb") as file:
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


# TIFF and WebP have a field for a description. Ours is JSON, {"ganvas": recipe}.

DESCRIPTION = 270  # the number of the field, in both
BEFORE, AFTER = f'{{"{RECIPE_KEY}": ', "}"
BIG = 2**32 - 2**28  # bytes; a TIFF file of more, or of a little less that packs badly, must be of its large variant


def _recipe_in(description: str) -> str | None:
    ours = description.startswith(BEFORE) and description.endswith(AFTER)
    return description[len(BEFORE) : -len(AFTER)] if ours else None


def _write_tiff(path: Path, shape: Shape, strips: Iterator[np.ndarray], recipe: str) -> None:
    """The strips are packed here: only so does tifffile take them one by one, it would want pixels all at once."""
    steps = (_steps_across(strip).astype(shape.dtype.newbyteorder("<")) for strip in strips)
    packed = (zlib.compress(strip.tobytes(), LEVEL) for strip in steps)
    big = shape.height * shape.width * shape.channels * shape.dtype.itemsize > BIG
    with files.atomic(path) as file, tifffile.TiffWriter(file, bigtiff=big, byteorder="<") as tiff:
        tiff.write(
            packed,
            shape=shape[:2] if shape.channels == 1 else shape[:3],
            dtype=shape.dtype,
            photometric="minisblack" if shape.channels == 1 else "rgb",
            compression="zlib",
            predictor=True,  # says that these are steps across
            rowsperstrip=shape.strip_rows,
            description=BEFORE + recipe + AFTER,
            metadata=None,
            software="ganvas",
        )


def _read_tiff(path: Path) -> str | None:
    with tifffile.TiffFile(path) as tiff:
        return _recipe_in(tiff.pages.first.description)


def _write_webp(path: Path, shape: Shape, strips: Iterator[np.ndarray], recipe: str) -> None:
    picture = Image.new("L" if shape.channels == 1 else "RGB", (shape.width, shape.height))
    top = 0
    for strip in strips:
        picture.paste(_image(strip), (0, top))
        top += len(strip)
    exif = Image.Exif()
    exif[DESCRIPTION] = BEFORE + recipe + AFTER
    with files.atomic(path) as file:
        picture.save(file, "WEBP", lossless=True, exif=exif)


def _read_webp(path: Path) -> str | None:
    """Pillow would make room for all the pixels, so this looks for EXIF among the chunks: name, length, padded data."""
    with path.open("rb") as file:
        riff, _, webp = struct.unpack("<4sI4s", file.read(12).ljust(12))
        if (riff, webp) != (b"RIFF", b"WEBP"):
            raise ValueError("not a WebP file")
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name == b"EXIF":
                exif = Image.Exif()
                exif.load(file.read(length))
                return _recipe_in(str(exif.get(DESCRIPTION)))
            file.seek(length + length % 2, os.SEEK_CUR)
    return None


def _image(pixels: np.ndarray) -> Image.Image:
    """uint8 [H, W, 1 or 3]"""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


# Deep Zoom: `name.dzi` and a folder `name_files` of tiles, for viewers on web pages. There is a level for every halving
# of the picture, named by its number: 0 is a single pixel, the last one the picture.

TILE, OVERLAP = 254, 1  # pixels; a tile also has the pixels around it, so that no seams show between two
DZI = """<?xml version="1.0" encoding="UTF-8"?>
<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="png" Overlap="{overlap}" TileSize="{tile}">
  <Size Width="{width}" Height="{height}"/>
</Image>
"""


def _tiles(path: Path) -> Path:
    return path.with_name(f"{path.stem}_files")


def _write_dzi(path: Path, shape: Shape, strips: Iterator[np.ndarray], recipe: str) -> None:
    """The tiles are put in place first, then the file that makes them a picture; a failure undoes what was done."""
    tiles = _tiles(path)
    part, old = (tiles.with_name(f".{tiles.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    for left in (part, old):  # by a process of the same number that was killed
        shutil.rmtree(left, ignore_errors=True)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, part, ignore_errors=True)
        level = _Level(part, shape.height, shape.width, shape.channels)
        for strip in strips:
            level.add(strip.astype(np.float32))
        files.write(part / "recipe.json", recipe.encode())
        if os.name == "posix":
            os.sync()  # all tiles reach the disk at once: one by one they would take longer than the painting
        if tiles.exists():
            tiles.rename(old)
            undo.callback(old.rename, tiles)
        part.rename(tiles)
        undo.callback(tiles.rename, part)
        xml = DZI.format(overlap=OVERLAP, tile=TILE, width=shape.width, height=shape.height)
        files.write(path, xml.encode())
        undo.pop_all()
    shutil.rmtree(old, ignore_errors=True)


class _Level:
    """One level of a picture, fed from the top: writes its tiles, and feeds the level of half its size."""

    def __init__(self, tiles: Path, height: int, width: int, channels: int) -> None:
        number = (max(height, width) - 1).bit_length()
        self.folder = tiles / str(number)
        self.folder.mkdir(parents=True)
        self.half = _Level(tiles, -(-height // 2), -(-width // 2), channels) if number else None
        self.missing = height
        """rows still to come"""
        self.single = np.empty((0, width, channels), np.float32)
        """a row that waits for the next one"""
        self.rows = np.empty((TILE + 2 * OVERLAP, width, channels), np.uint8)
        """of the next row of tiles; nothing is above the first, so its overlap stays empty"""
        self.filled = OVERLAP
        self.tile_row = 0

    def add(self, rows: np.ndarray) -> None:
        """float32 [rows, width, channels] in 0..255, not rounded, so that roundings do not add up over the levels."""
        self.missing -= len(rows)
        self._cut(np.rint(rows).astype(np.uint8))
        if self.half:
            rows = np.concatenate([self.single, rows])
            if not self.missing:
                rows = _even(rows, axis=0)
            pairs = len(rows) // 2
            self.single = rows[2 * pairs :]
            if pairs:
                self.half.add(_halved(rows[: 2 * pairs]))

    def _cut(self, rows: np.ndarray) -> None:
        while len(rows):
            taken = min(len(self.rows) - self.filled, len(rows))
            self.rows[self.filled : self.filled + taken] = rows[:taken]
            self.filled += taken
            rows = rows[taken:]
            if self.filled == len(self.rows):
                self._write_tiles()
                self.rows[: 2 * OVERLAP] = self.rows[TILE:]  # the last ones are also the first of the next tiles
                self.filled = 2 * OVERLAP
        if not self.missing:
            self._write_tiles()

    def _write_tiles(self) -> None:
        rows = self.rows[0 if self.tile_row else OVERLAP : self.filled]
        for column, left in enumerate(range(0, rows.shape[1], TILE)):
            tile = rows[:, max(0, left - OVERLAP) : left + TILE + OVERLAP]
            _image(tile).save(self.folder / f"{column}_{self.tile_row}.png", compress_level=LEVEL)
        self.tile_row += 1


def _halved(rows: np.ndarray) -> np.ndarray:
    """[2 * H, W, C] -> [H, ceil(W / 2), C], the mean of 2 x 2 pixels."""
    sums = _even(rows[0::2] + rows[1::2], axis=1)
    means: np.ndarray = (sums[:, 0::2] + sums[:, 1::2]) / 4
    return means


def _even(rows: np.ndarray, axis: int) -> np.ndarray:
    """The last row or column twice if their number is odd: it is its own neighbour."""
    odd = [(0, rows.shape[axis] % 2 if i == axis else 0) for i in range(rows.ndim)]
    return np.pad(rows, odd, mode="edge")


def _read_dzi(path: Path) -> str | None:
    if b"deepzoom" not in path.read_bytes():
        raise ValueError("not a Deep Zoom file")
    recipe = _tiles(path) / "recipe.json"
    return recipe.read_text("utf-8") if recipe.exists() else None


class _Kind(NamedTuple):
    write: Callable[[Path, Shape, Iterator[np.ndarray], str], None]
    read: Callable[[Path], str | None]
    """the recipe, or None; raises OSError, and anything else for a file that is damaged or of another kind"""
    side: int
    """pixels at most"""
    bits: Bits = 16
    """at most"""


KINDS = {
    ".png": _Kind(_write_png, _read_png, side=2**31 - 1),
    ".tif": _Kind(_write_tiff, _read_tiff, side=2**31 - 1),
    ".tiff": _Kind(_write_tiff, _read_tiff, side=2**31 - 1),
    ".webp": _Kind(_write_webp, _read_webp, side=16383, bits=8),
    ".dzi": _Kind(_write_dzi, _read_dzi, side=2**31 - 1, bits=8),
}


def _kind(path: Path) -> _Kind:
    if path.suffix.lower() not in KINDS:
        raise UserError(f"'{path}' is no picture that ganvas paints: choose a name that ends in {', '.join(KINDS)}")
    return KINDS[path.suffix.lower()]
