"""Deep Zoom: a file `name.dzi` and a folder `name_files` of tiles, for viewers on web pages.

There is a numbered level for every halving of the image: 0 is a single pixel, the last level is the image.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ganvas.core import files
from ganvas.painting.formats.strips import LEVEL, Shape, to_pillow

RECIPE = "recipe.json"
TILE, OVERLAP = 254, 1  # pixels; tiles overlap, so that no seams are visible between them
DZI = """<?xml version="1.0" encoding="UTF-8"?>
<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="png" Overlap="{overlap}" TileSize="{tile}">
  <Size Width="{width}" Height="{height}"/>
</Image>
"""


def tiles_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}_files")


def is_ours(tiles: Path) -> bool:
    """Whether ganvas wrote these tiles; without their .dzi file, they were left by a process that was killed."""
    return (tiles / RECIPE).is_file()


def write(path: Path, shape: Shape, strips: Iterator[np.ndarray], recipe: str) -> None:
    """The tiles are moved into place before the .dzi file is written; a failure undoes all of it."""
    tiles = tiles_of(path)
    with files.scratch(tiles) as folder, ExitStack() as undo:
        part, old = folder / "new", folder / "old"
        level = _Level(part, shape.height, shape.width, shape.channels)
        for strip in strips:
            level.add(strip.astype(np.float32))
        files.write(part / RECIPE, recipe.encode())
        if os.name == "posix":
            os.sync()  # flushes all tiles at once; one by one would take longer than painting
        if tiles.exists():
            tiles.rename(old)
            undo.callback(old.rename, tiles)
        part.rename(tiles)
        undo.callback(tiles.rename, part)
        xml = DZI.format(overlap=OVERLAP, tile=TILE, width=shape.width, height=shape.height)
        files.write(path, xml.encode())
        undo.pop_all()


class _Level:
    """A level of the image, which gets rows from the top, writes its tiles and passes halved rows to the next level."""

    def __init__(self, tiles: Path, height: int, width: int, channels: int) -> None:
        number = (max(height, width) - 1).bit_length()
        self.folder = tiles / str(number)
        self.folder.mkdir(parents=True)
        self.half = _Level(tiles, -(-height // 2), -(-width // 2), channels) if number else None
        self.missing = height
        """rows that have not been added yet"""
        self.single = np.empty((0, width, channels), np.float32)
        """a row without its pair"""
        self.rows = np.empty((TILE + 2 * OVERLAP, width, channels), np.uint8)
        """pixels of the next row of tiles; the first has nothing above it, so its upper overlap stays empty"""
        self.filled = OVERLAP
        self.tile_row = 0

    def add(self, rows: np.ndarray) -> None:
        """Add float32 [rows, width, channels] in 0..255; not rounded, so that errors do not accumulate over levels."""
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
                self.rows[: 2 * OVERLAP] = self.rows[TILE:]  # the overlap with the next row of tiles
                self.filled = 2 * OVERLAP
        if not self.missing:
            self._write_tiles()

    def _write_tiles(self) -> None:
        rows = self.rows[0 if self.tile_row else OVERLAP : self.filled]
        for column, left in enumerate(range(0, rows.shape[1], TILE)):
            tile = rows[:, max(0, left - OVERLAP) : left + TILE + OVERLAP]
            to_pillow(tile).save(self.folder / f"{column}_{self.tile_row}.png", compress_level=LEVEL)
        self.tile_row += 1


def _halved(rows: np.ndarray) -> np.ndarray:
    """[2 * H, W, C] -> [H, ceil(W / 2), C], the mean of 2 x 2 pixels."""
    sums = _even(rows[0::2] + rows[1::2], axis=1)
    means: np.ndarray = (sums[:, 0::2] + sums[:, 1::2]) / 4
    return means


def _even(rows: np.ndarray, axis: int) -> np.ndarray:
    """Repeat the last row or column if their number is odd."""
    odd = [(0, rows.shape[axis] % 2 if i == axis else 0) for i in range(rows.ndim)]
    return np.pad(rows, odd, mode="edge")


def read(path: Path) -> str | None:
    if b"deepzoom" not in files.read(path):
        raise ValueError("not a Deep Zoom file")
    recipe = tiles_of(path) / RECIPE
    return files.read(recipe).decode() if recipe.exists() else None
