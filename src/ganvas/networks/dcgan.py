"""Deep convolutional networks for GANs (Radford, Metz & Chintala, 2016): any image size, optionally conditional."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.core.spec import written
from ganvas.networks.base import Generator, Networks
from ganvas.networks.conditioning import Head, LabelledConv
from ganvas.networks.image_convolutions import FromImage, ToImage
from ganvas.networks.init import STD, cfg_gan, kaiming, normal
from ganvas.networks.spectral import spectral_norm

SLOPE = 0.2  # of D's leaky ReLUs
SMALLEST_SIDE = 7  # halving stops at this side or below: 28 -> 14 -> 7, 32 -> 16 -> 8 -> 4, 64 -> ... -> 4


class DCGAN(Networks):
    """A generator of transposed convolutions, and a discriminator of strided convolutions that mirrors it.

    The extended DCGAN of CFG-GAN (Johnson & Zhang, 2018) is pointwise=true, g_first_norm=false, init=cfg-gan with
    images of 32x32 and base=32 (colour: 64).
    """

    name: Literal["dcgan"] = "dcgan"
    base: PositiveInt = 64
    """filters of the layer next to the image; they double each time the side is halved"""
    max_filters: PositiveInt = 512
    """maximum number of filters of a layer"""
    kernel: Literal[4, 5] = 5
    """side of the convolution kernels in pixels; 4 needs image sides that can be halved evenly"""
    g_norm: Literal["batch", "none"] = "batch"
    """normalisation in G"""
    g_first_norm: bool = True
    """whether G also normalises after its first (linear) layer"""
    d_norm: Literal["batch", "spectral", "none"] = "batch"
    """normalisation in D: batch = after every layer but the first and the last; spectral = of the weights of all"""
    d_labels: Literal["maps", "projection"] = "maps"
    """how the label enters D: maps = one-hot maps beside the input of every strided convolution; projection = output
    weights of its own for each class"""
    pointwise: bool = False
    """a 1x1 convolution, with norm and activation, after every strided one except those next to the image"""
    init: Literal["normal", "kaiming", "cfg-gan"] = "normal"
    """initial weights: normal = one standard deviation for all; kaiming = by the layer's inputs and activation;
    cfg-gan = N(0, 0.01²) for convolutions, by the inputs for linear layers, batch-norm scales uniform in [0, 1]"""
    init_std: PositiveFloat = STD
    """standard deviation of the initial weights with init=normal"""

    def generator(self, spec: ImageSpec, latent_size: int) -> Generator:
        return DCGANGenerator(spec, latent_size, self)

    def discriminator(self, spec: ImageSpec, outputs: int = 1) -> nn.Module:
        sides, filters = self.plan(spec)
        return DCGANDiscriminator(sides, filters, spec.num_classes, outputs, self)

    def start(self, slope: float = 0.0) -> Callable[[nn.Module], None]:
        """A function that draws the initial weights of a network whose leaky ReLUs have this slope."""
        if self.init == "cfg-gan":
            return cfg_gan
        return partial(kaiming, slope=slope) if self.init == "kaiming" else partial(normal, std=self.init_std)

    def plan(self, spec: ImageSpec) -> tuple[list[tuple[int, int]], list[int]]:
        """(height, width) and filters of every level, starting at the image, whose filters are its channels."""
        sides = [(spec.height, spec.width)]
        while max(sides[-1]) > SMALLEST_SIDE:
            sides.append((-(-sides[-1][0] // 2), -(-sides[-1][1] // 2)))
        if len(sides) == 1:
            raise UserError(
                f"images of {spec.width}x{spec.height} are too small for 'dcgan': it needs 8 pixels or more"
            )
        step = 2 ** (len(sides) - 1)
        if self.kernel == 4 and (spec.height % step or spec.width % step):
            near = " or ".join(_multiples(spec, step))
            raise UserError(
                f"kernel 4 cannot halve images of {spec.width}x{spec.height} evenly, {len(sides) - 1} times: "
                f"set network.kernel=5, or data.size={near}"
            )
        return sides, [spec.channels, *(min(self.base << level, self.max_filters) for level in range(len(sides) - 1))]


class DCGANGenerator(Generator):
    """z [B, latent], labels [B] (if conditional) -> images [B, C, H, W] in [-1, 1]."""

    def __init__(self, spec: ImageSpec, latent_size: int, config: DCGAN) -> None:
        super().__init__()
        self.num_classes = spec.num_classes
        sides, filters = config.plan(spec)
        batch_norm = config.g_norm == "batch"
        first_norm = batch_norm and config.g_first_norm
        height, width = sides[-1]
        layers: list[nn.Module] = [
            nn.Linear(latent_size + spec.num_classes, filters[-1] * height * width, bias=not first_norm),
            nn.Unflatten(1, (filters[-1], height, width)),
            *_norm_relu(filters[-1], first_norm),
        ]
        for level in range(len(sides) - 1, 0, -1):
            last = level == 1
            convolution = ToImage if last else nn.ConvTranspose2d
            layers.append(
                convolution(
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
            if config.pointwise and not last:
                layers.append(nn.Conv2d(filters[level - 1], filters[level - 1], 1, bias=not batch_norm))
                layers += _norm_relu(filters[level - 1], batch_norm)
        self.layers = nn.Sequential(*layers)
        config.start()(self)

    @property
    def latent_layer(self) -> nn.Linear:
        layer = self.layers[0]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = self.layers(self.latent(z, labels))
        return images


class DCGANDiscriminator(nn.Module):
    """images [B, C, H, W], labels [B] (if conditional) -> logits [B, outputs].

    `sides` and `filters` are those of every level, starting at the image. Batch norm always uses the statistics of the
    current batch: real and generated batches come separately, so a running mean over both would describe neither.
    """

    def __init__(
        self,
        sides: Sequence[tuple[int, int]],
        filters: Sequence[int],
        num_classes: int,
        outputs: int,
        config: DCGAN,
    ) -> None:
        super().__init__()
        maps, projected = (0, num_classes) if config.d_labels == "projection" else (num_classes, 0)
        self.levels = nn.ModuleList()
        for level, (side, inputs, outs) in enumerate(zip(sides, filters, filters[1:], strict=False)):
            normed = config.d_norm == "batch" and level > 0
            convolution = nn.Conv2d if level else FromImage
            conv = convolution(inputs, outs, config.kernel, 2, _padding(config.kernel), bias=not normed)
            self.levels.append(LabelledConv(conv, side, maps, _batch_norm(outs, normed)))
            if config.pointwise and level > 0:
                conv = nn.Conv2d(outs, outs, 1, bias=not normed)
                self.levels.append(LabelledConv(conv, side, 0, _batch_norm(outs, normed)))
        height, width = sides[-1]
        self.head = Head(filters[-1] * height * width, outputs, projected)
        config.start(SLOPE)(self)
        if config.d_norm == "spectral":
            spectral_norm(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        features = images
        for level in self.levels:
            features = F.leaky_relu(level(features, labels), SLOPE)
        logits: Tensor = self.head(features.flatten(1), labels)
        return logits


def _multiples(spec: ImageSpec, step: int) -> list[str]:
    """The sizes below and above that of the images whose sides are multiples of `step`, as they are written."""
    down = [side // step * step for side in (spec.height, spec.width)]
    up = [-(-side // step) * step for side in (spec.height, spec.width)]
    return [str(written((height, width))) for height, width in (down, up) if min(height, width)]


def _norm_relu(filters: int, batch_norm: bool) -> list[nn.Module]:
    return [nn.BatchNorm2d(filters), nn.ReLU()] if batch_norm else [nn.ReLU()]


def _batch_norm(filters: int, normed: bool) -> nn.Module:
    return nn.BatchNorm2d(filters, track_running_stats=False) if normed else nn.Identity()


def _padding(kernel: int) -> int:
    return (kernel - 1) // 2


def _output_padding(small: tuple[int, int], large: tuple[int, int], kernel: int) -> tuple[int, int]:
    """The output padding with which a transposed convolution of stride 2 enlarges `small` to exactly `large`."""
    least = [2 * (side - 1) - 2 * _padding(kernel) + kernel for side in small]
    return large[0] - least[0], large[1] - least[1]
