"""Films of a training: the sample sheets of a run, one after the other."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganvas.core import images
from ganvas.core.errors import UserError
from ganvas.core.text import writable
from ganvas.painting import video_files
from ganvas.painting.paint import Progress
from ganvas.painting.recipes import TrainingFields, TrainingRecipe
from ganvas.runs.run import Run

SECONDS = 10  # that a film takes, but for films of few or many sheets:
SLOWEST, FASTEST = 2.0, 12.0  # frames per second
LAST = 1.0  # seconds for which the last sheet stays
CAPTION = 24  # height of the line below the sheet divides the height of the film by this
INK, PAPER, BAR = 60, 255, 160


@dataclass(frozen=True)
class TrainingFilm:
    """One frame for each of `sheets`, with the images seen until then below it; the last one stays for a second.

    Nothing is drawn between two sheets, as the run holds nothing between them. Small sheets are enlarged by repeating
    their pixels, as `ganvas sample` does. Images with alpha are composed on white.
    """

    run: Run
    sheets: Sequence[int]  # images seen
    fps: float
    loop: bool = False

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the frames."""
        height, width, channels = self._frame(self.sheets[-1]).shape
        return height, width, channels

    @property
    def frames(self) -> int:
        return len(self.sheets) + round(LAST * self.fps)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The frames, uint8 [height, width, 1 or 3]."""
        for nimg in self.sheets:
            frame = self._frame(nimg)
            yield frame
        for _ in range(self.frames - len(self.sheets)):
            yield frame

    def _frame(self, nimg: int) -> np.ndarray:
        """The sheet, and below it a line: the images seen, and their share of the film's."""
        sheet = images.enlarge(images.on_white(_read(self.run, nimg)))
        height, width, channels = sheet.shape
        line = max(12, height // CAPTION)
        strip = Image.new("L", (width, 2 * line), PAPER)
        draw = ImageDraw.Draw(strip)
        font = ImageFont.load_default(line)
        draw.text((line // 2, line // 3), f"{nimg:,} images seen", INK, font)
        draw.rectangle((0, 2 * line - 3, (width - 1) * nimg / max(self.sheets), 2 * line), BAR)
        return np.concatenate([sheet, np.asarray(strip)[..., None].repeat(channels, 2)])

    def recipe(self) -> TrainingRecipe:
        fields = TrainingFields(run=writable(self.run.name), sheets=list(self.sheets), fps=self.fps)
        return TrainingRecipe(training=fields)

    def check(self, out: Path) -> None:
        """Raise UserError if the film cannot be written to `out`. Call this before any work is done."""
        video_files.check(out, *self.shape[:2], self.fps)

    def save(self, out: Path, progress: Progress = lambda done, total: None) -> None:
        """Write the film as `Morph.save` does."""
        self.check(out)

        def drawn() -> Iterator[np.ndarray]:
            for done, frame in enumerate(self, start=1):
                yield frame
                progress(done, self.frames)

        height, width, _ = self.shape
        video_files.save(out, drawn(), height, width, self.fps, self.loop, self.recipe().to_json())


def training_film(run: Run, frames: int | None = None, fps: float | None = None, loop: bool = False) -> TrainingFilm:
    """The film of all sheets of a run, or of `frames` of them from the first to the last.

    Sheets that are damaged or of another size than the last one are left out. Raises UserError if fewer than two are
    left, or for fewer than two frames.
    """
    shapes = {}
    for file in run.sheets():
        with suppress(OSError, SyntaxError, ValueError):
            shapes[int(file.stem)] = images.load_png(file)[0].shape
    found = [nimg for nimg, shape in shapes.items() if shape == list(shapes.values())[-1]]
    if len(found) < 2:
        raise UserError(f"'{run.name}' has {len(found)} sample sheets: a film of its training needs two or more")
    if frames is not None:
        if frames < 2:
            raise UserError(f"a film of a training has 2 frames or more, not {frames}")
        chosen = np.linspace(0, len(found) - 1, min(frames, len(found))).round().astype(int)
        found = [found[i] for i in chosen]
    return TrainingFilm(run, found, fps or min(FASTEST, max(SLOWEST, len(found) / SECONDS)), loop)


def _read(run: Run, nimg: int) -> np.ndarray:
    sheet, _ = images.load_png(run.sheet(nimg))
    return sheet
