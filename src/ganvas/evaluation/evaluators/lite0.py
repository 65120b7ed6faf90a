"""EfficientNet-Lite0, a classifier of ImageNet, for prediction only.

It is EfficientNet-B0 (Tan & Le, 2019) with ReLU6 and without squeeze-and-excitation (Liu, 2020, "Higher accuracy on
vision models with EfficientNet-Lite"). Batch norm is folded into the convolutions, which changes no result.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-3  # of its batch norm


class Stage(NamedTuple):
    """Equal blocks in a row, of which only the first has the stride."""

    blocks: int
    stride: int
    expands: bool


STAGES = (  # with 16, 24, 40, 80, 112, 192 and 320 channels
    Stage(blocks=1, stride=1, expands=False),
    Stage(blocks=2, stride=2, expands=True),
    Stage(blocks=2, stride=2, expands=True),
    Stage(blocks=3, stride=2, expands=True),
    Stage(blocks=3, stride=1, expands=True),
    Stage(blocks=4, stride=2, expands=True),
    Stage(blocks=1, stride=1, expands=True),
)


class Output(NamedTuple):
    features: Tensor  # float32 [B, 1280], from 0 to 6
    logits: Tensor  # float32 [B, 1000]


class Lite0(nn.Module):
    """Images [B, 3, H, W] in [-1, 1], of any size -> features and logits.

    `tensors` are those of the published model; the widths of all layers are theirs. Raises KeyError if one is missing.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.stem = folded(tensors, "_conv_stem", "_bn0", stride=2)
        blocks: list[nn.Module] = []
        for stage in STAGES:
            for i in range(stage.blocks):
                name = f"_blocks.{len(blocks)}."
                blocks.append(Block(tensors, name, stage.stride if i == 0 else 1, stage.expands))
        self.blocks = nn.Sequential(*blocks)
        self.head = folded(tensors, "_conv_head", "_bn1")
        self.register_buffer("weight", tensors["_fc.weight"])
        self.register_buffer("bias", tensors["_fc.bias"])

    def forward(self, images: Tensor) -> Output:
        images = images * (127.5 / 128) + 0.5 / 128  # it was trained on (pixel - 127) / 128
        maps = self.head(self.blocks(relu6(self.stem(images))))
        features = relu6(maps).mean((2, 3))
        return Output(features, F.linear(features, self.weight, self.bias))


class Block(nn.Module):
    """An inverted residual (Sandler et al., 2018): expand the channels, filter each of them, project to fewer."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str, stride: int, expands: bool) -> None:
        super().__init__()
        self.expand = folded(tensors, f"{name}_expand_conv", f"{name}_bn0") if expands else None
        self.depthwise = folded(tensors, f"{name}_depthwise_conv", f"{name}_bn1", stride)
        self.project = folded(tensors, f"{name}_project_conv", f"{name}_bn2")

    def forward(self, maps: Tensor) -> Tensor:
        hidden = maps if self.expand is None else relu6(self.expand(maps))
        projected: Tensor = self.project(relu6(self.depthwise(hidden)))
        return projected + maps if projected.shape == maps.shape else projected


class Convolution(nn.Module):
    """A convolution with the padding that TensorFlow calls "same": ceil(size / stride) outputs on each axis.

    If the padding is an odd number of pixels, the right and the bottom get the one more. A `weight` of one input
    channel is depthwise: there is one filter for each channel.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, stride: int = 1) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.stride, self.groups = stride, len(weight) if weight.shape[1] == 1 else 1

    def forward(self, maps: Tensor) -> Tensor:
        kernel = self.weight.shape[-1]
        outputs = [-(-size // self.stride) for size in maps.shape[2:]]
        totals = [
            max(0, (count - 1) * self.stride + kernel - size)
            for count, size in zip(outputs, maps.shape[2:], strict=True)
        ]
        if any(total % 2 for total in totals):
            down, across = totals
            maps = F.pad(maps, (across // 2, across - across // 2, down // 2, down - down // 2))
            totals = [0, 0]
        padding = [total // 2 for total in totals]
        return F.conv2d(maps, self.weight, self.bias, self.stride, padding, groups=self.groups)


def folded(tensors: Mapping[str, Tensor], convolution: str, norm: str, stride: int = 1) -> Convolution:
    """A convolution that is followed by batch norm, as one convolution."""
    scale = tensors[f"{norm}.weight"] / (tensors[f"{norm}.running_var"] + EPSILON).sqrt()
    weight = tensors[f"{convolution}.weight"] * scale[:, None, None, None]
    return Convolution(weight, tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale, stride)


def relu6(maps: Tensor) -> Tensor:
    """In place, as the output of a convolution is needed nowhere else."""
    return F.relu6(maps, inplace=True)
