"""The base of the methods with an encoder and a pixel network."""

from typing import Annotated, ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.methods.base import Method, evaluating
from ganvas.methods.settings import BuildTime, MethodSettings
from ganvas.networks.cppn import CPPN


class EncodingSettings(MethodSettings):
    """The settings of a method with an encoder."""

    latent_size: Annotated[PositiveInt, BuildTime()] = 32
    """numbers in a latent vector; the encoder's distribution is pulled towards N(0, 1)"""


class EncodingMethod(Method):
    """A pixel network G and an encoder E: an image x is redrawn from a latent z ~ N(mean(x), variance(x))."""

    averaged: ClassVar[tuple[str, ...]] = ("G", "E")
    sampled: ClassVar[tuple[str, ...]] = ("G", "E")

    def build(self) -> None:
        if not isinstance(self.networks, CPPN):
            raise UserError(f"method '{self.settings.name}' paints pixel by pixel: set network.name=cppn")
        spec = self.spec._replace(num_classes=0)
        self.G = self.place("G", self.networks.generator(spec, self.settings.latent_size))
        self.E = self.place("E", self.networks.encoder(spec, self.settings.latent_size))
        self.D = self.place("D", self.networks.discriminator(spec, self.d_outputs()))

    def d_outputs(self) -> int:
        """Outputs of the discriminator."""
        return 1

    def infer(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """A latent for each image, and KL(N(mean, variance) || N(0, 1)) in nats: [B, latent], [B]."""
        mean, log_variance = self.E(images)
        z = mean + (log_variance / 2).exp() * self.noise.normal(*mean.shape)
        return z, 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)

    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        return self.draw(z, None, size)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        encoder = self.for_decoding("E")
        with evaluating(encoder):
            mean: Tensor = encoder(images, exact=True)[0]
        return mean
