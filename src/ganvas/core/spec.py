"""The shape of a set of images; without PyTorch, so that lists of runs can read it."""

from typing import NamedTuple


class ImageSpec(NamedTuple):
    """What a network has to know of the images it learns."""

    channels: int
    height: int
    width: int
    num_classes: int  # 0: no labels
