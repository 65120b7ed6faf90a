"""Compositional pattern-producing networks (Stanley, 2007), which paint an image of any size pixel by pixel.

The network maps the coordinates of a pixel and a latent to a value, so a larger image is the same image with smaller
steps. The first layer of all kinds is U = Wz·(s·z) + b + Wx·x + Wy·y + Wr·r: x and y run from -s to s over the shorter
side of the image, r = √(x² + y²), and the scale s multiplies the latent z as well. Then

- `residual`: h = tanh(U); in each block k = h, four times k = relu(A·k + b), h = h + tanh(A·k + b). The weights of that
  last layer start so small that at first a block changes almost nothing.
- `softplus`: h = softplus(U), then layers h = tanh(W·h + b).
- `tanh`: h = tanh(U), then layers h = tanh(W·h + b). With large weights it is art without training.
- `relu`: h = relu(U), then pairs of layers h = tanh(W·h + b), h = relu(W·h + b), as published for CIFAR-10.

All end in a sigmoid. `ganvas.networks.kernels` computes them on a CPU. The discriminator (three strided convolutions)
and the encoder (two softplus layers) are those of the published models.

As published, E and D get images in [0, 1] (`inputs = "unit"`) and E starts from N(0, 0.02²) (`encoder_std`); the
defaults learn more steadily. Deviation: D's convolutions start from N(0, 0.02²), which the published code truncates at
two standard deviations.
"""

from abc import ABC, abstractmethod
from functools import partial
from itertools import cycle, islice
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.networks import init
from ganvas.networks.base import Generator, Networks
from ganvas.networks.dcgan import DCGAN, DCGANDiscriminator
from ganvas.networks.kernels import Weights, layered, residual
from ganvas.networks.view import View

TILE = 2**20  # activations of one layer that are computed at a time
KEPT = 2**24  # activations of all layers that are kept for the backward pass; if there are more, they are recomputed
MOST_LAYERS = 10_000  # of the generator; each takes a moment to build, however small it is
CONVOLUTIONS = 3  # of the discriminator


class CPPN(Networks):
    """A network from coordinates and latents to pixels. Settings left at none have the value published for the kind."""

    name: Literal["cppn"] = "cppn"
    kind: Literal["residual", "softplus", "tanh", "relu"] = "residual"
    """the layers after the first one"""
    width: PositiveInt | None = None
    """units of every layer: residual 6, softplus 128, tanh and relu 64"""
    blocks: int = Field(24, ge=0, le=MOST_LAYERS)
    """number of residual blocks; the other kinds have none"""
    layers: int | None = Field(None, ge=1, le=MOST_LAYERS)
    """residual: layers of a block, 5; other kinds: hidden layers including the first, softplus 4, tanh 8, relu 15"""
    scale: PositiveFloat = Field(default=8.0)
    """largest coordinate on the shorter side of the image; a larger scale shows more of the plane"""
    std: float | None = Field(None, ge=0, le=100)
    """initial standard deviation of weights and biases: residual 0.05, softplus 0.1, relu 0.25, tanh 0.45 (0.30 is
    calmer, 0.60 wilder)"""
    block_std: NonNegativeFloat = 1.0
    """the same for all but the last layer of each residual block"""
    residual_std: NonNegativeFloat = 0.001
    """the same for the last layer of each residual block"""
    frozen_blocks: bool = False
    """whether only the last layer of each residual block learns; the others keep their initial weights"""
    inputs: Literal["signed", "unit"] = "signed"
    """range of the images that E and D get: signed = [-1, 1], unit = [0, 1]"""
    d_filters: PositiveInt = 32
    """filters of D's first convolution; the second has twice and the third four times as many"""
    encoder_width: PositiveInt = 512
    """units of the encoder's two hidden layers"""
    encoder_dropout: float = Field(0.0, ge=0, lt=1)
    """share of the encoder's hidden units that is dropped at random"""
    encoder_std: PositiveFloat | None = None
    """initial standard deviation of the encoder's weights, with biases of 0; none: PyTorch's defaults"""

    def generator(self, spec: ImageSpec, latent_size: int) -> "PixelGenerator":
        if spec.channels == 4:
            raise UserError("pixel networks (network.name=cppn) paint no transparency: set data.channels=3")
        return PixelGenerator(spec, latent_size, self)

    def discriminator(self, spec: ImageSpec, outputs: int = 1) -> nn.Module:
        sides = [(spec.height, spec.width)]
        for _ in range(CONVOLUTIONS):
            sides.append((-(-sides[-1][0] // 2), -(-sides[-1][1] // 2)))
        filters = [spec.channels, *(self.d_filters << level for level in range(CONVOLUTIONS))]
        networks = {"signed": DCGANDiscriminator, "unit": UnitDiscriminator}
        return networks[self.inputs](sides, filters, spec.num_classes, outputs, DCGAN())

    def encoder(self, spec: ImageSpec, latent_size: int) -> "Encoder":
        return Encoder(spec, latent_size, self)

    def network(self, channels: int, latent_size: int) -> "PixelNetwork":
        """The network for images with this number of channels."""
        kind = ResidualNetwork if self.kind == "residual" else LayeredNetwork
        return kind(channels, latent_size, self)

    def kernel(self) -> tuple[bool, str]:
        """(whether the network is computed by a compiled kernel on a CPU, why)"""
        width, _, _ = self.sizes()
        return residual.status(width) if self.kind == "residual" else layered.status(width)

    def sizes(self) -> tuple[int, int, float]:
        """Width, layers and std of this kind."""
        width, layers, std = {
            "residual": (6, 5, 0.05),
            "softplus": (128, 4, 0.1),
            "tanh": (64, 8, 0.45),
            "relu": (64, 15, 0.25),
        }[self.kind]
        return self.width or width, self.layers or layers, std if self.std is None else self.std


class PixelNetwork(nn.Module, ABC):
    """z [B, latent], coordinates [P, 3] -> pixels [B, P, C] in (0, 1)."""

    def __init__(self, channels: int, latent_size: int, config: CPPN) -> None:
        super().__init__()
        width, _, std = config.sizes()
        self.config, self.scale = config, config.scale
        self.latent = nn.Linear(latent_size, width)
        self.place = nn.Linear(3, width, bias=False)
        self.output = nn.Linear(width, channels)
        normal(self, std)

    def forward(self, z: Tensor, coordinates: Tensor) -> Tensor:
        return self.logits(z, coordinates).sigmoid()

    def logits(self, z: Tensor, coordinates: Tensor) -> Tensor:
        """The pixels before the sigmoid: [B, P, C]."""
        logits: Tensor = self.output(self.hidden(z, coordinates))
        return logits

    @abstractmethod
    def hidden(self, z: Tensor, coordinates: Tensor) -> Tensor:
        """The last hidden layer: [B, P, width]."""

    def first(self, z: Tensor, coordinates: Tensor) -> Tensor:
        """U, the first layer before its activation: [B, P, width]."""
        u: Tensor = self.latent(self.scale * z)[:, None] + self.place(coordinates)
        return u


class ResidualNetwork(PixelNetwork):
    """A network with few units and many layers. `logits` uses the fast kernel; `hidden` is the plain computation."""

    def __init__(self, channels: int, latent_size: int, config: CPPN) -> None:
        super().__init__(channels, latent_size, config)
        width, layers, _ = config.sizes()
        self.weight = nn.Parameter(torch.empty(config.blocks, layers, width, width))
        self.bias = nn.Parameter(torch.empty(config.blocks, layers, width))
        for parameter in (self.weight, self.bias):
            nn.init.normal_(parameter[:, :-1], 0.0, config.block_std)
            nn.init.normal_(parameter[:, -1], 0.0, config.residual_std)

    def logits(self, z: Tensor, coordinates: Tensor) -> Tensor:
        weights = Weights(self.place.weight, *self.blocks(), self.output.weight, self.output.bias)
        return residual.logits(self.latent(self.scale * z), coordinates, weights)

    def hidden(self, z: Tensor, coordinates: Tensor) -> Tensor:
        h = self.first(z, coordinates).tanh()
        for weights, biases in zip(*self.blocks(), strict=True):
            *layers, last = zip(weights, biases, strict=True)
            k = h
            for layer in layers:
                k = F.linear(k, *layer).relu()
            h = h + F.linear(k, *last).tanh()
        return h

    def blocks(self) -> tuple[Tensor, Tensor]:
        """Weights [blocks, layers, width, width] and biases [blocks, layers, width]; frozen ones have no gradient."""
        if not self.config.frozen_blocks:
            return self.weight, self.bias
        weight, bias = (torch.cat([p[:, :-1].detach(), p[:, -1:]], 1) for p in (self.weight, self.bias))
        return weight, bias

    def plain(self, z: Tensor, coordinates: Tensor) -> Tensor:
        """The same as `forward`, computed by plain modules."""
        pixels: Tensor = self.output(self.hidden(z, coordinates)).sigmoid()
        return pixels


class LayeredNetwork(PixelNetwork):
    """Layers of tanh, or alternating tanh and ReLU.

    `logits` uses the fast kernel. Where there is none, it computes as many images at a time as fit the caches.
    """

    def __init__(self, channels: int, latent_size: int, config: CPPN) -> None:
        super().__init__(channels, latent_size, config)
        width, layers, std = config.sizes()
        others = ("tanh", "relu") if config.kind == "relu" else ("tanh",)
        self.activations = config.kind, *islice(cycle(others), layers - 1)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 1))
        normal(self.layers, std)

    def logits(self, z: Tensor, coordinates: Tensor) -> Tensor:
        if layered.serves(self.output.in_features, coordinates, z, *self.parameters()):
            weights = Weights(self.place.weight, *self.blocks(), self.output.weight, self.output.bias)
            return layered.logits(self.latent(self.scale * z), coordinates, weights, self.activations)
        compute = super().logits
        parts = z.split(max(1, TILE // (len(coordinates) * self.output.in_features)))
        numbers = len(z) * len(coordinates) * self.output.in_features * (1 + len(self.layers))
        if torch.is_grad_enabled() and numbers > KEPT:  # keeping them all would take gigabytes
            again = partial(checkpoint, compute, use_reentrant=False, preserve_rng_state=False)
            return torch.cat([again(part, coordinates) for part in parts])
        return torch.cat([compute(part, coordinates) for part in parts])

    def hidden(self, z: Tensor, coordinates: Tensor) -> Tensor:
        first, *others = (layered.FUNCTIONS[name] for name in self.activations)
        h = first(self.first(z, coordinates))
        for layer, activation in zip(self.layers, others, strict=True):
            h = activation(layer(h))
        return h

    def blocks(self) -> tuple[Tensor, Tensor]:
        """Weights [layers - 1, 1, width, width] and biases [layers - 1, 1, width]."""
        if not self.layers:
            width, empty = self.output.in_features, self.output.weight.new_empty
            return empty(0, 1, width, width), empty(0, 1, width)
        parameters: list[Tensor] = list(self.layers.parameters())
        return torch.stack(parameters[::2])[:, None], torch.stack(parameters[1::2])[:, None]


class PixelGenerator(Generator):
    """z [B, latent], labels [B] (if conditional) -> images [B, C, H, W] in [-1, 1], from a pixel network."""

    def __init__(self, spec: ImageSpec, latent_size: int, config: CPPN) -> None:
        super().__init__()
        self.num_classes, self.size, self.scale = spec.num_classes, (spec.height, spec.width), config.scale
        self.pixels = config.network(spec.channels, latent_size + spec.num_classes)
        self.register_buffer("place", View(*self.size, config.scale).coordinates(), persistent=False)

    @property
    def latent_layer(self) -> nn.Linear:
        return self.pixels.latent

    def forward(
        self, z: Tensor, labels: Tensor | None = None, *, as_logits: bool = False, at: Tensor | None = None
    ) -> Tensor:
        """With `as_logits`: the logits [B, H * W, C], or [B, P, C] of only the pixels with the indices `at` [P]."""
        place = self.get_buffer("place")
        logits = self.pixels.logits(self.latent(z, labels), place if at is None else place[at])
        return logits if as_logits else to_images(logits.float().sigmoid(), *self.size)


class Encoder(nn.Module):
    """images [B, C, H, W] in [-1, 1] -> mean and log variance of their latents, [B, latent] each."""

    def __init__(self, spec: ImageSpec, latent_size: int, config: CPPN) -> None:
        super().__init__()
        self.unit, width = config.inputs == "unit", config.encoder_width
        self.hidden = nn.Sequential(nn.Flatten())
        inputs = spec.channels * spec.height * spec.width
        for size in (inputs, width):
            self.hidden += nn.Sequential(nn.Linear(size, width), nn.Softplus(), nn.Dropout(config.encoder_dropout))
        self.mean, self.log_variance = nn.Linear(width, latent_size), nn.Linear(width, latent_size)
        if config.encoder_std is not None:
            init.normal(self, config.encoder_std)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        h = self.hidden((images + 1) / 2 if self.unit else images)
        return self.mean(h), self.log_variance(h)


class UnitDiscriminator(DCGANDiscriminator):
    """A discriminator whose input is scaled to [0, 1], so that the zero padding of its convolutions is black."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward((images + 1) / 2, labels)


def normal(module: nn.Module, std: float) -> None:
    """Draw all weights and biases from N(0, std²)."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.0, std)


def to_images(pixels: Tensor, height: int, width: int) -> Tensor:
    """pixels [B, height * width, C] in (0, 1) -> images [B, C, height, width] in [-1, 1], channels-last."""
    return (2 * pixels - 1).view(len(pixels), height, width, -1).permute(0, 3, 1, 2)
