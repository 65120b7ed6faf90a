"""Films that move through latents: a painter, a path, and a view of each frame."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.networks.view import View
from ganvas.painting import latents, video_files
from ganvas.painting.latents import Ease
from ganvas.painting.paint import Progress, rows_at_once
from ganvas.painting.painter import Painter, find_painter
from ganvas.painting.palette import Palette
from ganvas.painting.recipes import MOST_FRAMES, MorphFields, MorphRecipe, ViewRecipe


@dataclass(frozen=True)
class Morph:
    """A film of `frames` frames through the latents `anchors` [K, latent_size], with equal time between them."""

    painter: Painter
    anchors: Tensor
    sources: Sequence[str]  # where the anchors come from, as text for users
    view: View
    frames: int = 120
    ease: Ease = "linear"
    spherical: bool = False
    loop: bool = False
    zoom_to: float | None = None
    """zoom of the last frame, approached at constant perceived speed; the first frame has the zoom of the view"""
    palette: str = "auto"
    fps: float = 30.0

    def __iter__(self) -> Iterator[np.ndarray]:
        """The frames, uint8 [height, width, 1 or 3]."""
        colours = Palette(self.palette, self.painter.channels)
        path = latents.path(self.anchors, self.frames, self.ease, self.spherical, self.loop)
        zoom_to = self.view.zoom if self.zoom_to is None else self.zoom_to
        zooms = latents.zooms(self.view.zoom, zoom_to, self.frames)
        for z, zoom in zip(path, zooms, strict=True):
            view = replace(self.view, zoom=zoom)
            yield np.concatenate([colours(band) for band in self.painter.bands(z, view, rows_at_once(view))])

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
            palette=self.palette,
            fps=self.fps,
        )
        return MorphRecipe(morph=fields)

    def save(self, out: Path, progress: Progress = lambda done, total: None) -> None:
        """Write the film as MP4, WebM, GIF or WebP (by the file extension), frame by frame and atomically.

        `progress` is called with the number of painted frames and of all frames. Raises UserError for an unsupported
        extension, for a zoom that cannot be painted, and for `zoom_to` with `loop`, which would jump.
        """
        if self.loop and self.zoom_to is not None:
            raise UserError("a film that zooms does not end where it began: leave out --loop or --zoom-to")
        if len(self.anchors) == 1 and self.zoom_to is None:
            raise UserError("a film of one latent does not move: give several --seeds or --labels, or --zoom-to")
        if self.frames > MOST_FRAMES:
            raise UserError(f"a film of {self.frames:,} frames is too long: at most {MOST_FRAMES:,}")
        video_files.check(out, self.view.height, self.view.width, self.fps)
        for zoom in (self.view.zoom, self.view.zoom if self.zoom_to is None else self.zoom_to):
            self.painter.precise(replace(self.view, zoom=zoom))  # raises errors before hours of painting

        def painted() -> Iterator[np.ndarray]:
            for done, frame in enumerate(self, start=1):
                yield frame
                progress(done, self.frames)

        recipe = self.recipe().to_json()
        video_files.save(out, painted(), self.view.height, self.view.width, self.fps, self.loop, recipe)


def load_morph(file: Path, run: Path | None = None, device: str = "auto") -> Morph:
    """Load the film whose recipe is in `file`; `run` is the new place of its run, if that has moved.

    Raises UserError if the file has no recipe, or if the checkpoint that painted it no longer exists.
    """
    recipe = MorphRecipe.from_json(video_files.read_recipe(file), file).morph
    painter = find_painter(recipe.origin, file, run, device)
    for latent in recipe.latents:
        if len(latent) != painter.latent_size:
            raise UserError(f"'{file}' has a latent of {len(latent)} numbers: its network needs {painter.latent_size}")
    rest = recipe.model_dump(exclude={"origin", "sources", "latents", "view"})
    return Morph(painter, torch.tensor(recipe.latents), recipe.sources, View(**recipe.view.model_dump()), **rest)
