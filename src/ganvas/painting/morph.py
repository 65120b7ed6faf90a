"""Films from one latent to the next: a painter, a path, and a view of each frame."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.core.version import VERSION
from ganvas.networks.view import View
from ganvas.painting import latents, video_files
from ganvas.painting.latents import Ease
from ganvas.painting.paint import Painter, Tick, of_origin, rows_at_once
from ganvas.painting.palette import Palette


@dataclass(frozen=True)
class Morph:
    """A film of `frames` frames through the latents `anchors` [K, latent_size], with equal time between them."""

    painter: Painter
    anchors: Tensor
    sources: Sequence[str]  # where the anchors come from, for people
    view: View
    frames: int = 120
    ease: Ease = "linear"
    spherical: bool = False
    loop: bool = False
    zoom_to: float | None = None
    """the zoom of the last frame, reached at a speed that is even for the eye; the first has that of the view"""
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

    def recipe(self) -> dict[str, Any]:
        """JSON values that say how the film was made."""
        plain = ("frames", "ease", "spherical", "loop", "zoom_to", "palette", "fps")
        return {
            "version": VERSION,
            "morph": {
                "origin": self.painter.origin,
                "from": list(self.sources),
                "latents": self.anchors.tolist(),
                "view": asdict(self.view),
                **{name: getattr(self, name) for name in plain},
            },
        }

    def save(self, out: Path, tick: Tick = lambda done, total: None) -> None:
        """Write the film: MP4, WebM, GIF or WebP by its ending, frame by frame, whole or not at all.

        `tick` is called with the frames that are painted and all frames. Raises UserError for an ending that cannot be
        written, for a zoom that cannot be painted, and where `zoom_to` meets `loop`, which would jump.
        """
        if self.loop and self.zoom_to is not None:
            raise UserError("a film that zooms does not end where it began: leave out --loop or --zoom-to")
        if len(self.anchors) == 1 and self.zoom_to is None:
            raise UserError("a film from one latent stands still: give several --seeds or --labels, or --zoom-to")
        video_files.check(out, self.view.height, self.view.width, self.fps)
        for zoom in (self.view.zoom, self.view.zoom if self.zoom_to is None else self.zoom_to):
            self.painter.precise(replace(self.view, zoom=zoom))  # before hours of painting

        def told() -> Iterator[np.ndarray]:
            for done, frame in enumerate(self, start=1):
                yield frame
                tick(done, self.frames)

        video_files.save(out, told(), self.view.height, self.view.width, self.fps, self.loop, self.recipe())


def again(file: Path, run: Path | None = None, device: str = "auto") -> Morph:
    """The film that a file holds the recipe of; `run` is where its run lies now, if that has moved.

    Raises UserError when the file has no recipe, or the checkpoint that painted it is gone.
    """
    recipe = video_files.read_recipe(file)
    try:
        morph = dict(recipe["morph"])
        painter = of_origin(morph.pop("origin"), file, run, device)
        anchors, sources = torch.tensor(morph.pop("latents")), morph.pop("from")
        view = morph.pop("view")
        return Morph(painter, anchors, sources, View(**{**view, "center": tuple(view["center"])}), **morph)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"'{file}' holds no recipe of a film: it was made by something else") from None
