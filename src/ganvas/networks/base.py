"""The base class of a pair of networks."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ganvas.core.images import ImageSpec
from ganvas.core.settings import Settings
from ganvas.networks.conditioning import with_label


class Generator(nn.Module, ABC):
    """z [B, latent], labels [B] (if conditional) -> images [B, C, H, W] in [-1, 1]."""

    num_classes: int  # 0: not conditional

    @property
    @abstractmethod
    def latent_layer(self) -> nn.Linear:
        """The layer that takes the latent, followed by the one-hot label if there is one."""

    def latent(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """What the network starts from: z and the one-hot label, if there is one. [B, latent + classes]"""
        return with_label(z, labels, self.num_classes)

    @abstractmethod
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor: ...


class Networks(Settings, ABC):
    """Settings that build a generator and a discriminator, both conditional if and only if `spec.num_classes > 0`."""

    name: str
    """the name of the pair in the table of networks"""

    @abstractmethod
    def generator(self, spec: ImageSpec, latent_size: int) -> Generator:
        """(z [B, latent], labels [B] or None) -> images [B, C, H, W] in [-1, 1]."""

    @abstractmethod
    def discriminator(self, spec: ImageSpec, outputs: int = 1) -> nn.Module:
        """(images [B, C, H, W], labels [B] or None) -> logits [B, outputs]."""
