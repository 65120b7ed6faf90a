"""Converting the output of a pixel network, numbers in (0, 1), to the pixels of an image file."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from torch import Tensor

from ganvas.core.errors import UserError, nearest

if TYPE_CHECKING:
    from matplotlib.cm import ColormapRegistry

Bits = Literal[8, 16]

OWN = ("auto", "ink", "chalk", "rgb")
STEPS = 2**16  # of a colour map: as many as 16 bits can distinguish


class Palette:
    """The colours of an image.

    `ink` is dark on light paper (values near 1 are dark), `chalk` is light on a dark board, and other names are
    matplotlib colour maps. Networks with three channels use `rgb`, their own colours. `auto` is ink or rgb.
    """

    def __init__(self, name: str, channels: int, bits: Bits = 8) -> None:
        """Raises UserError for an unknown name, or one that does not fit the number of channels of the network."""
        if name == "auto":
            name = "ink" if channels == 1 else "rgb"
        if name not in OWN and name not in _colour_maps():
            raise UserError(f"there is no palette '{name}': {nearest(name, (*OWN, *_colour_maps()))}")
        if (name == "rgb") != (channels == 3):
            fits = "rgb, its own colours" if channels == 3 else "ink, chalk or a colour map of matplotlib"
            raise UserError(f"palette '{name}' does not fit a network with {channels} channels: use {fits}")
        self.name, self.bits = name, bits
        self.dtype = np.uint8 if bits == 8 else np.uint16
        self.channels = 1 if name in ("ink", "chalk") else 3
        """channels of the image"""
        self._colours = None if name in OWN else _table(name, self.dtype)
        self.paper: np.ndarray = self(np.zeros((1, channels)))[0]
        """the background colour, [channels]"""

    def __call__(self, values: Tensor | np.ndarray) -> np.ndarray:
        """values [..., channels of the network] in [0, 1] -> uint8 or uint16 [..., channels].

        Raises UserError if they are not finite.
        """
        values = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        if not np.isfinite(values).all():
            raise UserError("the network paints numbers that are not finite: choose an earlier checkpoint")
        if self._colours is not None:
            return self._colours[(values[..., 0] * (STEPS - 1)).round().astype(np.uint16)]
        light = 1 - values if self.name == "ink" else values
        return (light * np.iinfo(self.dtype).max).round().astype(self.dtype)


def _colour_maps() -> "ColormapRegistry":
    import matplotlib  # imported here: slow, and few images need it

    return matplotlib.colormaps


def _table(name: str, dtype: type[np.uint8 | np.uint16]) -> np.ndarray:
    """A matplotlib colour map as [STEPS, 3] numbers, interpolated between its own colours (often 256)."""
    colours = _colour_maps()[name]
    own = colours(np.arange(colours.N))[:, :3]
    places = np.linspace(0, colours.N - 1, STEPS)
    fine = np.stack([np.interp(places, np.arange(colours.N), own[:, c]) for c in range(3)], axis=1)
    return (fine * np.iinfo(dtype).max).round().astype(dtype)
