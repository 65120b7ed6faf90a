"""Painting images of any size pixel by pixel. They are written while they are painted, so memory use stays constant.

A painting is one image, or several side by side, with one view and one palette. Its recipe is stored in the file, and
`load_painting` makes the same painting from it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ganvas.core import images
from ganvas.core.errors import UserError
from ganvas.networks.view import View
from ganvas.painting import image_files, video_files
from ganvas.painting.formats.printing import Print
from ganvas.painting.painter import Painter, find_painter, rows_at_once
from ganvas.painting.palette import Bits, Palette
from ganvas.painting.recipes import PaintingFields, PaintingRecipe, PrintRecipe, SubjectRecipe, ViewRecipe
from ganvas.painting.subjects import Subject

GAP = 24  # the gap between the images of a sheet is their shorter side divided by this
POSTER_SIDE, SHEET_SIDE, FILM_SIDE = 1080, 270, 512  # default sides in pixels
PREVIEW_SIDE = 512  # of a painting in a notebook

Progress = Callable[[int, int], object]  # called with the amount done and the total


@dataclass(frozen=True)
class Painting:
    """Subjects arranged row by row in `columns` columns, each painted with the same `view`."""

    subjects: Sequence[Subject]
    view: View
    palette: str = "auto"
    bits: Bits = 8
    columns: int = 1
    print: Print | None = None
    """its size on paper, for files that have one; the view has as many pixels"""

    @cached_property
    def colours(self) -> Palette:
        return Palette(self.palette, self.subjects[0].painter.channels, self.bits)

    @property
    def gap(self) -> int:
        """The gap in pixels around every image of a sheet; 0 for a single image."""
        return max(1, min(self.view.height, self.view.width) // GAP) if len(self.subjects) > 1 else 0

    @property
    def height(self) -> int:
        rows = -(-len(self.subjects) // self.columns)
        return rows * (self.view.height + self.gap) + self.gap

    @property
    def width(self) -> int:
        return self.columns * (self.view.width + self.gap) + self.gap

    def bands(self) -> Iterator[np.ndarray]:
        """The painting from top to bottom in bands, uint8 or uint16 [rows, width, 1 or 3]."""
        view, gap, colours = self.view, self.gap, self.colours
        rows = max(1, rows_at_once(view) // self.columns)
        for first in range(0, len(self.subjects), self.columns):
            if gap:
                yield self._paper(gap)
            chosen = self.subjects[first : first + self.columns]
            for parts in zip(*(each.painter.bands(each.z, view, rows) for each in chosen), strict=True):
                band = self._paper(len(parts[0]))
                for column, part in enumerate(parts):
                    left = gap + column * (view.width + gap)
                    band[:, left : left + view.width] = colours(part)
                yield band
        if gap:
            yield self._paper(gap)

    def _paper(self, rows: int) -> np.ndarray:
        paper = self.colours.paper
        return np.broadcast_to(paper, (rows, self.width, len(paper))).copy()

    def _repr_png_(self) -> bytes:
        """For notebooks: the painting, with a view of PREVIEW_SIDE pixels at most and without supersampling."""
        shrink = min(1, PREVIEW_SIDE / max(self.height, self.width))
        height, width = (max(1, round(side * shrink)) for side in (self.view.height, self.view.width))
        small = replace(self, view=replace(self.view, height=height, width=width, supersample=1), bits=8)
        return images.png(np.concatenate(list(small.bands())))

    def recipe(self) -> PaintingRecipe:
        """The recipe from which `load_painting` makes the same painting."""
        subjects = [
            SubjectRecipe(source=each.source, origin=each.painter.origin, latent=each.z.tolist())
            for each in self.subjects
        ]
        view = ViewRecipe(**asdict(self.view))
        fields = PaintingFields(
            subjects=subjects,
            view=view,
            palette=self.palette,
            bits=self.bits,
            columns=self.columns,
            print=None if self.print is None else PrintRecipe(**asdict(self.print)),
        )
        return PaintingRecipe(painting=fields)

    def save(self, out: Path, progress: Progress = lambda done, total: None) -> None:
        """Paint into a PNG, TIFF, PDF, WebP or DZI file (by the file extension), atomically.

        `progress` is called with the number of painted rows and of all rows. Raises UserError for an image that the
        format does not support.
        """
        image_files.check(out, self.height, self.width, self.bits, self.print)

        def painted() -> Iterator[np.ndarray]:
            done = 0
            for band in self.bands():
                yield band
                done += len(band)
                progress(done, self.height)

        recipe = self.recipe().to_json()
        shape = self.height, self.width, self.colours.channels, self.bits
        image_files.save(out, painted(), *shape, recipe, self.print)


def load_painting(file: Path, run: Path | None = None, device: str = "auto") -> Painting:
    """Load the painting whose recipe is in `file`; `run` is the new place of its run, if that has moved.

    Raises UserError if the file has no recipe, or if the checkpoint that painted it no longer exists.
    """
    if video_files.is_film(file):
        raise UserError(f"'{file}' is a film: use `ganvas morph --like` to make it again")
    recipe = PaintingRecipe.from_json(image_files.read_recipe(file), file).painting
    painters: dict[object, Painter] = {}  # one for all subjects of the same origin
    subjects = []
    for each in recipe.subjects:
        if each.origin not in painters:
            painters[each.origin] = find_painter(each.origin, file, run, device)
        painter = painters[each.origin]
        if len(each.latent) != painter.latent_size:
            raise UserError(
                f"'{file}' has a latent of {len(each.latent)} numbers: its network needs {painter.latent_size}"
            )
        subjects.append(Subject(painter, torch.tensor(each.latent), each.source))
    view = View(**recipe.view.model_dump())
    size = None if recipe.print is None else Print(**recipe.print.model_dump())
    return Painting(subjects, view, recipe.palette, recipe.bits, recipe.columns, size)
