"""The physical size of an image that is to be printed. Lengths are in millimetres."""

import math
from dataclasses import dataclass

from ganvas.core.errors import UserError

INCH = 25.4
DPI = 300.0  # of images whose resolution nobody has given
SIDES = 1.0, 5_000.0  # of a page; PDF allows 5,080


@dataclass(frozen=True)
class Print:
    """The size of a page after it is cut, its resolution, and the bleed: what is painted beyond each edge."""

    width: float
    height: float
    dpi: float = DPI
    """pixels per inch"""
    bleed: float = 0.0

    def __post_init__(self) -> None:
        for side in (self.width, self.height):
            if not SIDES[0] <= side <= SIDES[1]:
                raise UserError(f"a side of {side:g} mm cannot be printed: choose {SIDES[0]:g} to {SIDES[1]:g} mm")
        if not 1 <= self.dpi <= 10_000:
            raise UserError(f"a resolution of {self.dpi:g} dpi cannot be printed: choose 1 to 10,000")
        if not 0 <= self.bleed <= 100:
            raise UserError(f"a bleed of {self.bleed:g} mm cannot be printed: choose 0 to 100 mm")

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of the image, bleed included."""
        return self._count(self.height + 2 * self.bleed), self._count(self.width + 2 * self.bleed)

    def scaled(self, scale: float) -> float:
        """The scale of a view of the whole image, so that the page without its bleed has `scale`."""
        page = min(self._count(self.width), self._count(self.height))
        return scale * max(1, min(self.pixels) - 1) / max(1, page - 1)

    def _count(self, side: float) -> int:
        return max(1, math.floor(side / INCH * self.dpi + 0.5))
