"""Painters of films from networks whose images have one size, that of the training images: DCGANs, MLPs and others."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.core.images import on_white
from ganvas.networks.cppn import PixelGenerator
from ganvas.networks.view import View
from ganvas.painting.painter import Painter, run_origin, trained_network
from ganvas.painting.palette import Palette
from ganvas.runs.model import DECODE_BATCH, Model, decode_latents


class SizedPainter:
    """A trained method, and its `origin`. Larger frames repeat its pixels a whole number of times, without blur.

    Images with alpha are composed on white, as films have none.
    """

    def __init__(self, model: Model) -> None:
        spec = model.method.spec
        self.method, self.origin = model.method, run_origin(model)
        self.channels, self.height, self.width = min(spec.channels, 3), spec.height, spec.width
        self.latent_size = model.method.latent_length
        self.own_palette = "chalk" if self.channels == 1 else "rgb"

    def native(self) -> View:
        """The view that shows an image as it is."""
        return View(self.height, self.width)

    def film(self, path: Tensor, views: Sequence[View], colours: Palette) -> Iterator[np.ndarray]:
        """The frames of latents [N, latent_size], uint8 [height, width, channels of the palette]."""
        factor = views[0].height // self.height
        for part in path.split(DECODE_BATCH):
            for image in decode_latents(self.method, part):
                yield colours(on_white(image) / 255).repeat(factor, 0).repeat(factor, 1)

    def check(self, view: View) -> None:
        """Raise UserError for a view that is not the whole image, at its own size or a whole multiple of it."""
        factor = view.height // self.height
        if factor < 1 or (view.height, view.width) != (factor * self.height, factor * self.width):
            own, twice = (f"{n * self.width}x{n * self.height}" for n in (1, 2))
            raise UserError(
                f"this network makes images of {own}, whose pixels are repeated for larger ones: choose a whole "
                f"multiple as the size, such as {twice}, not {view.width}x{view.height}"
            )
        if view != View(view.height, view.width):
            raise UserError("only a pixel network (network.name=cppn) paints parts of the plane: leave out the view")


def film_painter(model: Model) -> Painter | SizedPainter:
    """The painter of a run: of any size if it has a pixel network."""
    any_size = isinstance(model.method.for_decoding("G"), PixelGenerator)
    return trained_network(model) if any_size else SizedPainter(model)
