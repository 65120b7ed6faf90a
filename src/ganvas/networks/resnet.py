"""Residual networks for GANs: the critic and generator of WGAN-GP (Gulrajani et al., 2017), those of CFG-GAN, others.

The output of a block of two 3x3 convolutions, each after a norm and a ReLU, is added to the block's input. Blocks of
the generator double the side (nearest neighbour) and those of the discriminator halve it (mean), down to the smallest
side; further blocks, the farthest from the image, keep the side. Odd sides are rounded up when halved. The shortcut is
the identity if side and filters do not change, else a 1x1 convolution, computed at the smaller side.

Deviations: CFG-GAN's blocks have one norm, after the second convolution, its shortcuts have no bias, and its 3x3
convolutions start at N(0, 0.01²). WGAN-GP draws uniform weights scaled by the mean of inputs and outputs, and
compensates for a ReLU after every 3x3 convolution of a block.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.networks.base import Generator, Networks
from ganvas.networks.conditioning import Head, LabelledConv
from ganvas.networks.init import kaiming, normal
from ganvas.networks.spectral import spectral_norm

SMALLEST_IMAGE = 8
MOST_BLOCKS = 100  # more would halve any image to nothing
G_SMALLEST = 4  # side that the generator starts from, if it has enough blocks

Norm = Callable[[int], nn.Module]
D_NORMS: dict[str, Norm] = {
    "none": nn.Identity,
    "spectral": nn.Identity,  # of the weights
    # Real and generated batches come separately, so a running mean over both would describe neither.
    "batch": partial(nn.BatchNorm2d, track_running_stats=False),
    "layer": partial(nn.GroupNorm, 1),
}


class ResNet(Networks):
    """Residual blocks. WGAN-GP's for CIFAR-10: base=128, max_filters=128, g_blocks=3, d_smallest=8 (latents of 128).

    CFG-GAN's for 64x64: the defaults with d_pool=false.
    """

    name: Literal["resnet"] = "resnet"
    base: PositiveInt = 64
    """filters of the block next to the image; they double with each further block"""
    max_filters: PositiveInt = 512
    """maximum number of filters of a block"""
    g_blocks: int = Field(4, ge=1, le=MOST_BLOCKS)
    """residual blocks of G; the first ones keep the side if there are more than doublings"""
    d_blocks: int = Field(4, ge=1, le=MOST_BLOCKS)
    """residual blocks of D; the last ones keep the side if there are more than halvings"""
    d_smallest: PositiveInt = 4
    """side in pixels at which D stops halving"""
    d_pool: bool = True
    """whether D averages its last features over the pixels, or has separate output weights for each pixel"""
    g_norm: Literal["batch", "none"] = "batch"
    """normalisation in G"""
    d_norm: Literal["none", "batch", "layer", "spectral"] = "none"
    """normalisation in D: batch or layer = of features, except in the first block (with batch, the gradient of an
    image depends on its batch); spectral = of the weights of all layers"""
    d_labels: Literal["maps", "projection"] = "maps"
    """how the label enters D: maps = one-hot maps beside the image; projection = output weights of its own for each
    class"""
    init: Literal["kaiming", "normal"] = "kaiming"
    """initial weights: kaiming = by the layer's inputs and activation; normal = standard deviation 0.02 for all"""

    def generator(self, spec: ImageSpec, latent_size: int) -> Generator:
        return ResNetGenerator(spec, latent_size, self)

    def discriminator(self, spec: ImageSpec, outputs: int = 1) -> nn.Module:
        return ResNetDiscriminator(spec, outputs, self)

    def plan(self, spec: ImageSpec, blocks: int, smallest: int) -> tuple[list[tuple[int, int]], list[int]]:
        """(height, width) of the image and after every block, and the filters of every block, starting at the image.

        Raises UserError for images with no side of 8 pixels or more.
        """
        if max(spec.height, spec.width) < SMALLEST_IMAGE:
            raise UserError(
                f"images of {spec.width}x{spec.height} are too small for 'resnet': it needs 8 pixels or more"
            )
        sides = [(spec.height, spec.width)]
        for _ in range(blocks):
            height, width = sides[-1]
            halve = max(height, width) > smallest
            sides.append((-(-height // 2), -(-width // 2)) if halve else (height, width))
        return sides, [min(self.base << level, self.max_filters) for level in range(blocks)]

    def start(self, network: nn.Module) -> None:
        """Draw the initial weights."""
        if self.init == "normal":
            normal(network)
        else:  # only the first convolutions feed just a ReLU; all others feed sums, which grow enough without a gain
            kaiming(network, linear=[module for name, module in network.named_modules() if "conv1" not in name])


class ResNetGenerator(Generator):
    """z [B, latent], labels [B] (if conditional) -> images [B, C, H, W] in [-1, 1]."""

    def __init__(self, spec: ImageSpec, latent_size: int, config: ResNet) -> None:
        super().__init__()
        self.num_classes = spec.num_classes
        sides, filters = config.plan(spec, config.g_blocks, G_SMALLEST)
        norm: Norm = nn.BatchNorm2d if config.g_norm == "batch" else nn.Identity
        shape = (filters[-1], *sides[-1])
        layers: list[nn.Module] = [
            nn.Linear(latent_size + spec.num_classes, shape[0] * shape[1] * shape[2]),
            nn.Unflatten(1, shape),
        ]
        for level in range(config.g_blocks - 1, -1, -1):
            outs = filters[max(level - 1, 0)]
            layers.append(UpBlock(filters[level], outs, sides[level + 1], sides[level], norm))
        layers += [norm(filters[0]), nn.ReLU(), nn.Conv2d(filters[0], spec.channels, 3, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        config.start(self)

    @property
    def latent_layer(self) -> nn.Linear:
        layer = self.layers[0]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = self.layers(self.latent(z, labels))
        return images


class ResNetDiscriminator(nn.Module):
    """images [B, C, H, W], labels [B] (if conditional) -> logits [B, outputs].

    With `d_labels = "maps"`, one-hot maps of the label are concatenated to the image for the first 3x3 convolution.
    """

    def __init__(self, spec: ImageSpec, outputs: int, config: ResNet) -> None:
        super().__init__()
        sides, filters = config.plan(spec, config.d_blocks, config.d_smallest)
        halve = [small != large for small, large in zip(sides[1:], sides[:-1], strict=True)]
        norm = D_NORMS[config.d_norm]
        maps, projected = (0, spec.num_classes) if config.d_labels == "projection" else (spec.num_classes, 0)
        self.first = ImageBlock(spec._replace(num_classes=maps), filters[0], halve[0])
        self.blocks = nn.Sequential()
        for level in range(1, config.d_blocks):
            self.blocks.append(DownBlock(filters[level - 1], filters[level], halve[level], norm))
        self.pool = config.d_pool
        height, width = (1, 1) if config.d_pool else sides[-1]
        self.head = Head(filters[-1] * height * width, outputs, projected)
        config.start(self)
        if config.d_norm == "spectral":
            spectral_norm(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.blocks(self.first(images, labels)).relu()
        logits: Tensor = self.head(features.mean((2, 3)) if self.pool else features.flatten(1), labels)
        return logits


class UpBlock(nn.Module):
    """[B, in, h, w] -> [B, out, H, W]; `small` is (h, w) and `large` is (H, W)."""

    def __init__(self, ins: int, outs: int, small: tuple[int, int], large: tuple[int, int], norm: Norm) -> None:
        super().__init__()
        keep = small == large
        self.norm1, self.conv1 = norm(ins), nn.Conv2d(ins, outs, 3, padding=1)
        self.norm2, self.conv2 = norm(outs), nn.Conv2d(outs, outs, 3, padding=1)
        self.shortcut = nn.Identity() if keep and ins == outs else nn.Conv2d(ins, outs, 1)
        self.enlarge = nn.Identity() if keep else nn.Upsample(large)

    def forward(self, features: Tensor) -> Tensor:
        h = self.conv1(self.enlarge(self.norm1(features).relu()))
        h = self.conv2(self.norm2(h).relu())
        out: Tensor = h + self.enlarge(self.shortcut(features))
        return out


class DownBlock(nn.Module):
    """[B, in, H, W] -> [B, out, h, w], with half the side if `halve`."""

    def __init__(self, ins: int, outs: int, halve: bool, norm: Norm) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(ins), nn.Conv2d(ins, ins, 3, padding=1)
        self.norm2, self.conv2 = norm(ins), nn.Conv2d(ins, outs, 3, padding=1)
        self.shortcut = nn.Conv2d(ins, outs, 1) if halve or ins != outs else nn.Identity()
        self.halve = _halve(halve)

    def forward(self, features: Tensor) -> Tensor:
        h = self.conv1(self.norm1(features).relu())
        h = self.conv2(self.norm2(h).relu())
        out: Tensor = self.halve(h) + self.shortcut(self.halve(features))
        return out


class ImageBlock(nn.Module):
    """The discriminator's first block: images [B, C, H, W], labels [B] -> [B, out, h, w]; no norm or ReLU before it."""

    def __init__(self, spec: ImageSpec, outs: int, halve: bool) -> None:
        super().__init__()
        conv = nn.Conv2d(spec.channels, outs, 3, padding=1)
        self.conv1 = LabelledConv(conv, (spec.height, spec.width), spec.num_classes, nn.Identity())
        self.conv2 = nn.Conv2d(outs, outs, 3, padding=1)
        self.shortcut = nn.Conv2d(spec.channels, outs, 1)
        self.halve = _halve(halve)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        h = self.conv2(self.conv1(images, labels).relu())
        out: Tensor = self.halve(h) + self.shortcut(self.halve(images))
        return out


def _halve(halve: bool) -> nn.Module:
    return nn.AvgPool2d(2, ceil_mode=True) if halve else nn.Identity()
