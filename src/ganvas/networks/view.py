"""The part of the plane that an image of a pixel network shows, and the coordinates of its pixels."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.core.errors import UserError

MOST_SAMPLES = 32  # per side of a pixel
RING = 2  # the radius of a torus, in radii of its tube; with 1 its hole would be a point


@dataclass(frozen=True)
class View:
    """The part of the plane that an image shows, and its size in pixels. Pixels are square."""

    height: int
    width: int
    scale: float = 8.0
    """distance from the center to the first and last pixel of the shorter side, at zoom 1"""
    center: tuple[float, float] = (0.0, 0.0)
    """x (to the right), y (downwards)"""
    zoom: float = 1.0
    supersample: int = 1
    """N: each pixel is the mean of a grid of N×N samples"""
    tile: bool = False
    """bend the plane into a torus, so that opposite edges of the image meet"""

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise UserError(f"an image of {self.width}x{self.height} pixels cannot be painted: sides are 1 or more")
        if not 1 <= self.supersample <= MOST_SAMPLES:
            raise UserError(f"a supersample of {self.supersample} cannot be painted: it is from 1 to {MOST_SAMPLES}")
        for name, value in (("scale", self.scale), ("zoom", self.zoom)):
            if not 0 < value < math.inf:
                raise UserError(f"a {name} of {value:g} cannot be painted: it is a number above 0")
        if not all(map(math.isfinite, self.center)):
            raise UserError(f"an image around {self.center[0]:g},{self.center[1]:g} cannot be painted")

    @property
    def step(self) -> float:
        """The distance between adjacent pixels."""
        return 2 * self.scale / self.zoom / max(1, min(self.height, self.width) - 1)

    def coordinates(self, start: int = 0, stop: int | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """x, y and r of the samples of every pixel from `start` to `stop`: [pixels * supersample², 3].

        Pixels are numbered row by row from the top left; the samples of a pixel are adjacent. Computed in float64 and
        rounded at the end, so that coordinates which `dtype` can distinguish stay distinct. Those of a tile are the
        three coordinates of a torus in space (`_torus`).
        """
        x = torch.arange(start, self.height * self.width if stop is None else stop, dtype=torch.float64)
        y = (x / self.width).floor_()  # rows, exact up to 2**52 pixels
        x.sub_(y, alpha=self.width)
        if (n := self.supersample) > 1:
            within = (torch.arange(n, dtype=torch.float64) + 0.5) / n - 0.5
            x, y = (x[:, None] + within.repeat(n)).flatten(), (y[:, None] + within.repeat_interleave(n)).flatten()
        if self.tile:
            return self._torus(x / self.width, y / self.height).to(dtype)
        for axis, side, middle in ((x, self.width, self.center[0]), (y, self.height, self.center[1])):
            axis.sub_((side - 1) / 2).mul_(self.step).add_(middle)
        result = torch.empty(len(x), 3, dtype=dtype)
        result[:, 0], result[:, 1] = x, y
        result[:, 2] = x.square_().addcmul_(y, y).sqrt_()  # in place: new memory would cost more than the arithmetic
        return result

    def _torus(self, x: Tensor, y: Tensor) -> Tensor:
        """x, y and r on a torus, for shares of the width and the height [N]: [N, 3] of period 1 in both, bit for bit.

        A torus in the plane would have folds, along which the image is mirrored. So it is one in space: r is a third
        coordinate here, not √(x² + y²). The longer side of the image goes around the torus, and the shorter one around
        its tube, which has the circumference that the shorter side would have in the plane.
        """
        long, short = (x, y) if self.width >= self.height else (y, x)
        around, tube = (2 * math.pi * share.remainder(1) for share in (long, short))
        radius = self.scale / self.zoom / math.pi
        ring = RING * radius * max(self.height, self.width) / min(self.height, self.width)
        distance = ring + radius * tube.cos()
        place = torch.stack([distance * around.cos(), distance * around.sin(), radius * (1 + tube.sin())], 1)
        place[:, :2] += torch.tensor(self.center, dtype=place.dtype)
        return place
