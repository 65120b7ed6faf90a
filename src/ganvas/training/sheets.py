"""Sample sheets, drawn from the same latents throughout training."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from ganvas.core import images, seeds
from ganvas.data import ImageSet
from ganvas.methods import Method
from ganvas.runs.model import decode
from ganvas.runs.run import Run
from ganvas.runs.writer import Writer
from ganvas.training import disk_budget

SHEET_ROWS, SHEET_COLUMNS = 8, 10
SHEET_MOST_COLUMNS = 20  # maximum for conditional runs, which have a column per class
STRIP_ROWS = 128


class Sheets:
    """Writes sheets of samples from fixed latents, with a column per class, and the first row of each to `sheet.png`.

    For long runs, `sheet.png` has `STRIP_ROWS` rows, spaced geometrically.
    """

    def __init__(self, run: Run, data: ImageSet, writer: Writer) -> None:
        self.run, self.data, self.writer = run, data, writer
        self.rows: dict[int, np.ndarray] = {}  # by images seen, so that no sheet is read twice

    def write(self, method: Method, nimg: int) -> None:
        columns = _columns(method, self.data)
        shown = list(seeds.USER[: SHEET_ROWS * columns])
        labels = np.arange(len(shown)) % columns if method.conditional else None
        sheet = images.grid(decode(method, shown, labels), columns)
        recipe = {"nimg": nimg, "seeds": shown, "labels": None if labels is None else labels.tolist()}
        self.writer.write(self.run.sheet(nimg), images.png(sheet, recipe))
        self.rows[nimg] = self._first_row(sheet)
        self.write_strip(nimg, recipe)

    def write_strip(self, nimg: int, recipe: Mapping[str, Any] | None = None) -> None:
        """Write `sheet.png` from the sheets up to `nimg` images."""
        seen = [int(file.stem) for file in self.run.sheets() if int(file.stem) <= nimg]
        chosen = disk_budget.fewer_sheets(seen, STRIP_ROWS)
        for at in chosen:
            if at not in self.rows:
                with suppress(OSError, SyntaxError, ValueError):  # a damaged sheet has no row
                    self.rows[at] = self._first_row(images.load_png(self.run.sheet(at))[0])
        self.rows = {at: self.rows[at] for at in chosen if at in self.rows}
        if self.rows:
            rows = list(self.rows.values())
            image = np.concatenate([row for row in rows if row.shape == rows[-1].shape])
            self.writer.write(self.run.sheet_file, images.png(image, recipe))

    def _first_row(self, sheet: np.ndarray) -> np.ndarray:
        return sheet[: self.data.spec.height + images.GAP].copy()


def _columns(method: Method, data: ImageSet) -> int:
    return min(len(data.classes), SHEET_MOST_COLUMNS) if method.conditional else SHEET_COLUMNS


def sheet_of_real(method: Method, data: ImageSet) -> np.ndarray:
    """A sheet of real images, uint8 [H, W, C], to estimate the size of a sample sheet."""
    columns = _columns(method, data)
    chosen = np.arange(SHEET_ROWS * columns) % len(data)
    return images.grid(np.moveaxis(data.images[chosen], 1, -1), columns)
