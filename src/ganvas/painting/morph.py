"""Films that move through latents: a painter, a path, and a view of each frame."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.networks.view import View
from ganvas.painting import latents, video_files
from ganvas.painting.latents import Ease
from ganvas.painting.paint import Progress
from ganvas.painting.painter import Painter, find_model, find_painter
from ganvas.painting.palette import Palette
from ganvas.painting.recipes import MOST_FRAMES, MorphFields, MorphRecipe, PlaceRecipe, RandomOrigin, ViewRecipe
from ganvas.painting.sized import SizedPainter, film_painter


class Place(NamedTuple):
    """What a film shows at one of its latents."""

    center: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0


@dataclass(frozen=True)
class Morph:
    """A film of `frames` frames through the latents `anchors` [K, latent_size], with equal time between them."""

    painter: Painter | SizedPainter
    anchors: Tensor
    sources: Sequence[str]  # where the anchors come from, as text for users
    view: View
    frames: int = 120
    ease: Ease = "linear"
    spherical: bool = False
    loop: bool = False
    zoom_to: float | None = None
    """zoom of the last frame, approached at constant perceived speed; the first frame has the zoom of the view"""
    places: Sequence[Place] | None = None
    """for each anchor, the center and the zoom of the view there; None: those of `view` for all"""
    palette: str = "auto"
    fps: float = 30.0

    def __iter__(self) -> Iterator[np.ndarray]:
        """The frames, uint8 [height, width, 1 or 3]."""
        palette = self.painter.own_palette if self.palette == "auto" else self.palette
        path = latents.path(self.anchors, self.frames, self.ease, self.spherical, self.loop)
        yield from self.painter.film(path, self.views(), Palette(palette, self.painter.channels))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the frames."""
        return self.view.height, self.view.width

    def views(self) -> list[View]:
        """The view of every frame."""
        if self.places is None:
            zoom_to = self.view.zoom if self.zoom_to is None else self.zoom_to
            places = [Place(self.view.center, zoom) for zoom in latents.zooms(self.view.zoom, zoom_to, self.frames)]
        else:
            # Where a frame is between its anchors: a path through their numbers, in the time of the latents.
            numbers = torch.arange(len(self.places), dtype=torch.float64)[:, None]
            ends = [*self.places, self.places[0]]
            if self.loop and len(self.places) > 1:
                numbers = torch.cat([numbers, numbers[-1:] + 1])
                times = latents.path(numbers, self.frames + 1, self.ease)[:-1]
            else:
                times = latents.path(numbers, self.frames, self.ease)
            places = []
            for time in times.flatten().tolist():
                leg = int(time)
                places.append(between(ends[leg], ends[leg + 1], time - leg))
        return [replace(self.view, center=center, zoom=zoom) for center, zoom in places]

    def recipe(self) -> MorphRecipe:
        """The recipe from which `load_morph` makes the same film."""
        fields = MorphFields(
            origin=self.painter.origin,
            sources=list(self.sources),
            latents=self.anchors.tolist(),
            view=ViewRecipe(**asdict(self.view)),
            frames=self.frames,
            ease=self.ease,
            spherical=self.spherical,
            loop=self.loop,
            zoom_to=self.zoom_to,
            places=None if self.places is None else [PlaceRecipe(**each._asdict()) for each in self.places],
            palette=self.palette,
            fps=self.fps,
        )
        return MorphRecipe(morph=fields)

    def check(self, out: Path) -> None:
        """Raise UserError if the film cannot be written to `out`. Call this before any work is done.

        That is for an unsupported extension, a zoom that cannot be painted, `zoom_to` with `loop`, which would jump,
        fewer frames than anchors, and `places` that are not one for each anchor, or that come with `zoom_to`.
        """
        if self.loop and self.zoom_to is not None:
            raise UserError("a film that zooms does not end where it began: leave out --loop or --zoom-to")
        if len(self.anchors) == 1 and self.zoom_to is None:
            raise UserError("a film of one latent does not move: give several --seeds or --labels, or --zoom-to")
        if self.places is not None and len(self.places) != len(self.anchors):
            raise UserError(f"a film of {len(self.anchors)} latents has as many views, not {len(self.places)}")
        if self.places is not None and self.zoom_to is not None:
            raise UserError("a film whose latents have their own views has their zooms: leave out --zoom-to")
        if self.frames > MOST_FRAMES:
            raise UserError(f"a film of {self.frames:,} frames is too long: at most {MOST_FRAMES:,}")
        video_files.check(out, self.view.height, self.view.width, self.fps)
        # Errors are raised before hours of painting. Between two places, the precision is between theirs.
        zoom_to = self.view.zoom if self.zoom_to is None else self.zoom_to
        for center, zoom in self.places or [Place(self.view.center, zoom) for zoom in (self.view.zoom, zoom_to)]:
            self.painter.check(replace(self.view, center=center, zoom=zoom))
        if self.frames < len(self.anchors):
            raise UserError(f"too few frames to visit each anchor: ask for {len(self.anchors)} or more")

    def save(self, out: Path, progress: Progress = lambda done, total: None) -> None:
        """Write the film as MP4, WebM, GIF or WebP (by the file extension), frame by frame and atomically.

        `progress` is called with the number of painted frames and of all frames. Raises UserError as `check` does.
        """
        self.check(out)

        def painted() -> Iterator[np.ndarray]:
            for done, frame in enumerate(self, start=1):
                yield frame
                progress(done, self.frames)

        recipe = self.recipe().to_json()
        video_files.save(out, painted(), self.view.height, self.view.width, self.fps, self.loop, recipe)


def between(a: Place, b: Place, time: float) -> Place:
    """From a (time 0) to b (time 1), at constant perceived speed.

    The zoom changes by a constant factor, and the center moves in proportion to the width of what is seen. On the
    screen, this is magnification around one point that stays where it is; or a pan, if both zooms are the same.
    """
    if time == 0 or a == b:
        return a
    zoom = a.zoom * (b.zoom / a.zoom) ** time
    growth = math.log(b.zoom / a.zoom)
    # (1/a.zoom - 1/zoom) / (1/a.zoom - 1/b.zoom), also where the two zooms are almost the same
    moved = time if abs(growth) < 1e-9 else math.expm1(-growth * time) / math.expm1(-growth)
    x, y = (start + (stop - start) * moved for start, stop in zip(a.center, b.center, strict=True))
    return Place((x, y), zoom)


def load_morph(file: Path, run: Path | None = None, device: str = "auto") -> Morph:
    """Load the film whose recipe is in `file`; `run` is the new place of its run, if that has moved.

    Raises UserError if the file has no recipe, or if the checkpoint that painted it no longer exists.
    """
    text = video_files.read_recipe(file)
    with suppress(ValueError, RecursionError):
        if "training" in json.loads(text):
            raise UserError(f"'{file}' is a film of a training: `ganvas morph RUN --training` makes it again")
    recipe = MorphRecipe.from_json(text, file).morph
    if isinstance(recipe.origin, RandomOrigin) or recipe.origin.variations:
        painter: Painter | SizedPainter = find_painter(recipe.origin, file, run, device)
    else:
        painter = film_painter(find_model(recipe.origin, file, run, device))
    for latent in recipe.latents:
        if len(latent) != painter.latent_size:
            raise UserError(f"'{file}' has a latent of {len(latent)} numbers: its network needs {painter.latent_size}")
    rest = recipe.model_dump(exclude={"origin", "sources", "latents", "view", "places"})
    view = View(**recipe.view.model_dump())
    places = None if recipe.places is None else [Place(each.center, each.zoom) for each in recipe.places]
    return Morph(painter, torch.tensor(recipe.latents), recipe.sources, view, places=places, **rest)
