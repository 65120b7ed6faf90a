"""Deep convolutional networks for GANs (Radford, Metz & Chintala, 2016): any image size, optionally conditional."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from ganvas.backbones.base import Backbone
from ganvas.backbones.labels import LabelledConv, with_label
from ganvas.errors import UserError
from ganvas.images import ImageSpec

SMALLEST_SIDE = 7  # halving stops here: 28 -> 14 -> 7, 32 -> 16 -> 8 -> 4, 64 -> ... -> 4


class DCGAN(Backbone):
    """A generator of fractionally strided convolutions, and the strided discriminator that mirrors it."""

    name: Literal["dcgan"] = "dcgan"
    base: PositiveInt = 64
    """filters next to the image; they double each time the side halves"""
    max_filters: PositiveInt = 512
    """where the doubling stops"""
    kernel: Literal[4, 5] = 5
    """side of the convolution kernels in pixels; 4 needs sides that halve evenly"""
    g_norm: Literal["batch", "none"] = "batch"
    """normalisation in G"""
    d_norm: Literal["batch", "none"] = "batch"
    """normalisation in D (never after its first layer)"""

    def generator(self, spec: ImageSpec, latent_size: int) -> nn.Module:
        return DCGANGenerator(spec, latent_size, self)

    def discriminator(self, spec: ImageSpec, outputs: int = 1) -> nn.Module:
        sides, filters = self.plan(spec)
        return DCGANDiscriminator(sides, filters, spec.num_classes, outputs, self.kernel, self.d_norm == "batch")

    def plan(self, spec: ImageSpec) -> tuple[list[tuple[int, int]], list[int]]:
        """(height, width) and filters of every level, from the image (its filters are its channels) inwards."""
        sides = [(spec.height, spec.width)]
        while max(sides[-1]) > SMALLEST_SIDE:
            sides.append((-(-sides[-1][0] // 2), -(-sides[-1][1] // 2)))
        if len(sides) == 1:
            raise UserError(
                f"images of {spec.width}x{spec.height} are too small for 'dcgan': it needs 8 pixels or more"
            )
        if self.kernel == 4 and any(side % 2 for level in sides[:-1] for side in level):
            raise UserError(f"kernel 4 cannot halve images of {spec.width}x{spec.height} evenly: set network.kernel=5")
        return sides, [spec.channels, *(min(self.base << level, self.max_filters) for level in range(len(sides) - 1))]


class DCGANGenerator(nn.Module):
    """z [B, latent], labels [B] (if conditional) -> images [B, C, H, W] in [-1, 1]."""

    def __init__(self, spec: ImageSpec, latent_size: int, config: DCGAN) -> None:
        super().__init__()
        self.num_classes = spec.num_classes
        sides, filters = config.plan(spec)
        batch_norm = config.g_norm == "batch"
        height, width = sides[-1]
        layers: list[nn.Module] = [
            nn.Linear(latent_size + spec.num_classes, filters[-1] * height * width, bias=not batch_norm),
            nn.Unflatten(1, (filters[-1], height, width)),
            *_norm_relu(filters[-1], batch_norm),
        ]
        for level in range(len(sides) - 1, 0, -1):
            last = level == 1
            layers.append(
                nn.ConvTranspose2d(
                    filters[level],
                    filters[level - 1],
                    config.kernel,
                    stride=2,
                    padding=_padding(config.kernel),
                    output_padding=_output_padding(sides[level], sides[level - 1], config.kernel),
                    bias=last or not batch_norm,
                )
            )
            layers += [nn.Tanh()] if last else _norm_relu(filters[level - 1], batch_norm)
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = self.layers(with_label(z, labels, self.num_classes))
        return images


class DCGANDiscriminator(nn.Module):
    """images [B, C, H, W], labels [B] (if conditional) -> logits [B, outputs].

    `sides` and `filters` are those of every level, the image's first. The label is stacked as one-hot feature maps on
    the input of every convolution. Batch norm always uses the statistics of the batch it is given: real and generated
    batches come separately, so a running mean over both would describe neither.
    """

    def __init__(
        self,
        sides: Sequence[tuple[int, int]],
        filters: Sequence[int],
        num_classes: int,
        outputs: int,
        kernel: int = 5,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        for level, (side, inputs, outs) in enumerate(zip(sides, filters, filters[1:], strict=False)):
            normed = batch_norm and level > 0
            conv = nn.Conv2d(inputs, outs, kernel, 2, _padding(kernel), bias=not normed)
            norm = nn.BatchNorm2d(outs, track_running_stats=False) if normed else nn.Identity()
            self.levels.append(LabelledConv(conv, side, num_classes, norm))
        height, width = sides[-1]
        self.head = nn.Linear(filters[-1] * height * width, outputs)
        self.apply(initialise)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        features = images
        for level in self.levels:
            features = F.leaky_relu(level(features, labels), 0.2)
        logits: Tensor = self.head(features.flatten(1))
        return logits


def initialise(module: nn.Module) -> None:
    """The DCGAN paper's start: weights N(0, 0.02), batch-norm scales N(1, 0.02), biases 0."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def _norm_relu(filters: int, batch_norm: bool) -> list[nn.Module]:
    return [nn.BatchNorm2d(filters), nn.ReLU()] if batch_norm else [nn.ReLU()]


def _padding(kernel: int) -> int:
    return (kernel - 1) // 2


def _output_padding(small: tuple[int, int], large: tuple[int, int], kernel: int) -> tuple[int, int]:
    """What makes a transposed convolution of stride 2 end at exactly `large`."""
    least = [2 * (side - 1) - 2 * _padding(kernel) + kernel for side in small]
    return large[0] - least[0], large[1] - least[1]
