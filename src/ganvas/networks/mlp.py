"""Fully connected networks, as in the first GAN (Goodfellow et al., 2014)."""

from itertools import pairwise
from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from ganvas.core.images import ImageSpec
from ganvas.networks.base import Generator, Networks
from ganvas.networks.conditioning import with_label


class MLP(Networks):
    """A generator of fully connected ReLU layers, and a discriminator that mirrors it."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[PositiveInt, ...] = Field(default=(150, 300), min_length=1)
    """units of each hidden layer of G, from the latent to the image; D has them in reverse order"""

    def generator(self, spec: ImageSpec, latent_size: int) -> Generator:
        return MLPGenerator(spec, latent_size, self.hidden)

    def discriminator(self, spec: ImageSpec, outputs: int = 1) -> nn.Module:
        return MLPDiscriminator(spec, self.hidden[::-1], outputs)


class MLPGenerator(Generator):
    """z [B, latent], labels [B] (if conditional) -> images [B, C, H, W] in [-1, 1]."""

    def __init__(self, spec: ImageSpec, latent_size: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.num_classes = spec.num_classes
        self.layers = _layers((latent_size + spec.num_classes, *hidden, spec.channels * spec.height * spec.width))
        self.shape = nn.Unflatten(1, (spec.channels, spec.height, spec.width))

    @property
    def latent_layer(self) -> nn.Linear:
        layer = self.layers[0]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = self.shape(self.layers(self.latent(z, labels)).tanh())
        return images


class MLPDiscriminator(nn.Module):
    """images [B, C, H, W], labels [B] (if conditional) -> logits [B, outputs]."""

    def __init__(self, spec: ImageSpec, hidden: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.num_classes = spec.num_classes
        self.layers = _layers((spec.channels * spec.height * spec.width + spec.num_classes, *hidden, outputs))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.layers(with_label(images.flatten(1), labels, self.num_classes))
        return logits


def _layers(sizes: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
