"""Compositional pattern-producing networks (Stanley, 2007): a picture of any size, painted pixel by pixel.

The network maps the place of a pixel and a latent to a value, so a larger picture is the same picture with finer steps.
The first layer of all kinds is U = Wz·(s·z) + b + Wx·x + Wy·y + Wr·r: x and y run from -s to s over the shorter side of
the picture, r = √(x² + y²), and the scale s multiplies the latent z as well. Then

- `residual`: h = tanh(U); in each block k = h, four times k = relu(A·k + b), h = h + tanh(A·k + b). That last layer
  starts so small that at first a block changes next to nothing.
- `softplus`: h = softplus(U), then layers h = tanh(W·h + b).
- `tanh`: h = tanh(U), then layers h = tanh(W·h + b). With large weights it is art without training.

All end in a sigmoid. Plain modules; the residual one computes through `ganvas.fused`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from ganvas.config import Settings
from ganvas.fused import Weights, residual

TILE = 2**20  # numbers in a layer of the pixels that are painted at a time


class CPPN(Settings):
    """A network from places and latents to pixels. What is left out has the value published for its kind."""

    name: Literal["cppn"] = "cppn"
    kind: Literal["residual", "softplus", "tanh"] = "residual"
    """the layers behind the first one"""
    width: PositiveInt | None = None
    """units of every layer: residual 6, softplus 128, tanh 64"""
    blocks: NonNegativeInt = 24
    """residual blocks; the other kinds have none"""
    layers: PositiveInt | None = None
    """residual: layers of a block, 5; else hidden layers, the first included: softplus 4, tanh 8"""
    scale: PositiveFloat = Field(default=8.0)
    """where the coordinates end, on the shorter side of the picture; a larger one shows more of the plane"""
    std: NonNegativeFloat | None = None
    """initial standard deviation of weights and biases: 0.05, tanh 0.45 (0.30 is calmer, 0.60 wilder)"""
    block_std: NonNegativeFloat = 1.0
    """the same in the layers of the residual blocks, but for their last ones"""
    residual_std: NonNegativeFloat = 0.001
    """the same in the last layer of each residual block"""

    def network(self, channels: int, latent_size: int) -> "PixelNetwork":
        """The network for pictures of 1 or 3 channels, or any other number."""
        kind = ResidualNetwork if self.kind == "residual" else LayeredNetwork
        return kind(channels, latent_size, self)

    def sizes(self) -> tuple[int, int, float]:
        """Width, layers and std of this kind."""
        width, layers, std = {"residual": (6, 5, 0.05), "softplus": (128, 4, 0.05), "tanh": (64, 8, 0.45)}[self.kind]
        return self.width or width, self.layers or layers, std if self.std is None else self.std


class PixelNetwork(nn.Module, ABC):
    """z [B, latent], coordinates [P, 3] -> pixels [B, P, C] in (0, 1)."""

    def __init__(self, channels: int, latent_size: int, config: CPPN) -> None:
        super().__init__()
        width, _, std = config.sizes()
        self.scale = config.scale
        self.latent = nn.Linear(latent_size, width)
        self.place = nn.Linear(3, width, bias=False)
        self.output = nn.Linear(width, channels)
        normal(self, std)

    def forward(self, z: Tensor, coordinates: Tensor) -> Tensor:
        return self.logits(z, coordinates).sigmoid()

    def logits(self, z: Tensor, coordinates: Tensor) -> Tensor:
        """What the sigmoid is taken of: [B, P, C]."""
        logits: Tensor = self.output(self.hidden(z, coordinates))
        return logits

    @abstractmethod
    def hidden(self, z: Tensor, coordinates: Tensor) -> Tensor:
        """The last hidden layer: [B, P, width]."""

    def first(self, z: Tensor, coordinates: Tensor) -> Tensor:
        """U: [B, P, width]."""
        u: Tensor = self.latent(self.scale * z)[:, None] + self.place(coordinates)
        return u


class ResidualNetwork(PixelNetwork):
    """A few units wide, many layers deep. `hidden` is the plain computation; `logits` does without it, and is fast."""

    def __init__(self, channels: int, latent_size: int, config: CPPN) -> None:
        super().__init__(channels, latent_size, config)
        width, layers, _ = config.sizes()
        self.weight = nn.Parameter(torch.empty(config.blocks, layers, width, width))
        self.bias = nn.Parameter(torch.empty(config.blocks, layers, width))
        for parameter in (self.weight, self.bias):
            nn.init.normal_(parameter[:, :-1], 0.0, config.block_std)
            nn.init.normal_(parameter[:, -1], 0.0, config.residual_std)

    def logits(self, z: Tensor, coordinates: Tensor) -> Tensor:
        weights = Weights(self.place.weight, self.weight, self.bias, self.output.weight, self.output.bias)
        return residual(self.latent(self.scale * z), coordinates, weights)

    def hidden(self, z: Tensor, coordinates: Tensor) -> Tensor:
        h = self.first(z, coordinates).tanh()
        for weights, biases in zip(self.weight, self.bias, strict=True):
            *layers, last = zip(weights, biases, strict=True)
            k = h
            for layer in layers:
                k = F.linear(k, *layer).relu()
            h = h + F.linear(k, *last).tanh()
        return h

    def plain(self, z: Tensor, coordinates: Tensor) -> Tensor:
        """What `forward` computes, in plain modules."""
        pixels: Tensor = self.output(self.hidden(z, coordinates)).sigmoid()
        return pixels


class LayeredNetwork(PixelNetwork):
    """Layers of tanh behind a first one of softplus or tanh."""

    def __init__(self, channels: int, latent_size: int, config: CPPN) -> None:
        super().__init__(channels, latent_size, config)
        width, layers, std = config.sizes()
        self.activation: Callable[[Tensor], Tensor] = F.softplus if config.kind == "softplus" else torch.tanh
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 1))
        normal(self.layers, std)

    def hidden(self, z: Tensor, coordinates: Tensor) -> Tensor:
        h = self.activation(self.first(z, coordinates))
        for layer in self.layers:
            h = layer(h).tanh()
        return h


def normal(module: nn.Module, std: float) -> None:
    """All weights and biases N(0, std²)."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.0, std)


def coordinates(
    height: int,
    width: int,
    scale: float = 8.0,
    center: tuple[float, float] = (0.0, 0.0),
    zoom: float = 1.0,
    *,
    start: int = 0,
    stop: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """x, y and r of the pixels of a picture, row by row from the top left: [height * width, 3].

    The first and the last pixel of the shorter side lie at ±`scale` / `zoom` from `center` (x, y), and steps are the
    same in both directions. `start` and `stop` cut out pixels by their number. Computed in float64 and rounded last, so
    that steps which `dtype` can tell apart stay apart.
    """
    step = 2 * scale / zoom / max(1, min(height, width) - 1)
    x = torch.arange(start, height * width if stop is None else stop, dtype=torch.float64)
    y = (x / width).floor_()  # rows, exact up to 2**52 pixels
    x.sub_(y, alpha=width).sub_((width - 1) / 2).mul_(step).add_(center[0])
    y.sub_((height - 1) / 2).mul_(step).add_(center[1])
    result = torch.empty(len(x), 3, dtype=dtype)
    result[:, 0], result[:, 1] = x, y
    result[:, 2] = x.square_().addcmul_(y, y).sqrt_()  # in place: fresh memory would cost more than the arithmetic
    return result


def to_images(pixels: Tensor, height: int, width: int) -> Tensor:
    """pixels [B, height * width, C] in (0, 1) -> images [B, C, height, width] in [-1, 1], channels-last."""
    return (2 * pixels - 1).view(len(pixels), height, width, -1).permute(0, 3, 1, 2)


@torch.no_grad()
def pictures(
    network: PixelNetwork,
    z: Tensor,
    height: int,
    width: int,
    center: tuple[float, float] = (0.0, 0.0),
    zoom: float = 1.0,
    *,
    tile: int | None = None,
) -> Tensor:
    """One picture for each latent: z [B, latent] -> images [B, C, height, width] in [-1, 1], without a graph.

    Painted `tile` pixels at a time (left out, as many as fit a few megabytes), so that memory does not grow with the
    pictures, themselves apart.
    """
    size = height * width
    tile = tile or max(1, TILE // network.output.in_features)
    images = z.new_empty(len(z), height, width, network.output.out_features)
    pixels = images.view(len(z), size, -1)
    together = max(1, tile // size)
    for first in range(0, size, tile):
        last = min(first + tile, size)
        place = coordinates(height, width, network.scale, center, zoom, start=first, stop=last, dtype=z.dtype)
        for some in range(0, len(z), together):
            painted = network(z[some : some + together], place.to(z.device))
            torch.add(2 * painted, -1, out=pixels[some : some + together, first:last])
    return images.permute(0, 3, 1, 2)
