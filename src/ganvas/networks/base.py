"""The base class of a pair of networks."""

from abc import ABC, abstractmethod

from torch import nn

from ganvas.core.images import ImageSpec
from ganvas.core.settings import Settings


class Networks(Settings, ABC):
    """Settings that build a generator and a discriminator, both conditional if and only if `spec.num_classes > 0`."""

    name: str
    """the name of the pair in the table of networks"""

    @abstractmethod
    def generator(self, spec: ImageSpec, latent_size: int) -> nn.Module:
        """(z [B, latent], labels [B] or None) -> images [B, C, H, W] in [-1, 1]."""

    @abstractmethod
    def discriminator(self, spec: ImageSpec, outputs: int = 1) -> nn.Module:
        """(images [B, C, H, W], labels [B] or None) -> logits [B, outputs]."""
