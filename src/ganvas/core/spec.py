"""The shape of images, and how it is written; without PyTorch, so that lists of runs can read it."""

import re
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator

Sides = tuple[int, int]  # height and width in pixels, as in tensors


class ImageSpec(NamedTuple):
    """What a network has to know of the images it learns."""

    channels: int
    height: int
    width: int
    num_classes: int  # 0: no labels


def read_sides(text: str) -> Sides:
    """Parse `1080` (a square) or `1920x1080` (width x height); raises ValueError."""
    found = re.fullmatch(r"(\d{1,10})(?:x(\d{1,10}))?", text.strip())
    if found is None:
        raise ValueError("write 1080, or 1920x1080 for width x height")
    return int(found[2] or found[1]), int(found[1])


def written(sides: Sides) -> int | str:
    """Sides as they are written in a recipe: the side of a square, or `1920x1080` for width x height."""
    height, width = sides
    return width if height == width else f"{width}x{height}"


def _usual(value: Any) -> Any:
    """A size in its usual form, so that equal sizes are equal settings; raises ValueError for what is no size."""
    try:
        sides = read_sides(str(int(value) if isinstance(value, float) and value.is_integer() else value))
    except ValueError:
        sides = 0, 0
    if min(sides) < 1:
        raise ValueError("write the side of a square in pixels, such as 64, or width x height, such as 192x128")
    return written(sides)


ImageSize = Annotated[int | str, BeforeValidator(_usual)]
"""The type of a setting: the side of a square, or `192x128` for width x height."""
