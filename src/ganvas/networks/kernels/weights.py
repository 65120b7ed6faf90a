"""The weights of a pixel network."""

from typing import NamedTuple

from torch import Tensor


class Weights(NamedTuple):
    """The weights of W units, B blocks of D layers and C channels, all of one dtype and on one device.

    The layers of a layered network are blocks of one layer.
    """

    input: Tensor
    """[W, 3], for the coordinates x, y, r"""
    weight: Tensor
    """[B, D, W, W]"""
    bias: Tensor
    """[B, D, W]"""
    out_weight: Tensor
    """[C, W]"""
    out_bias: Tensor
    """[C]"""
