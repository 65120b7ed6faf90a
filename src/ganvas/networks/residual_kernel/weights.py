"""The weights of a residual pixel network."""

from typing import NamedTuple

from torch import Tensor


class Weights(NamedTuple):
    """The weights of W units, B blocks of D layers and C channels, all of one dtype and on one device."""

    input: Tensor
    """[W, 3], for the coordinates x, y, r"""
    weight: Tensor
    """[B, D, W, W]; the last layer of a block is followed by tanh"""
    bias: Tensor
    """[B, D, W]"""
    out_weight: Tensor
    """[C, W]"""
    out_bias: Tensor
    """[C]"""
