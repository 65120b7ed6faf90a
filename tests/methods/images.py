"""Batches for the tests of methods."""

import torch

from ganvas.core.images import ImageSpec
from ganvas.data import Batch


class Images:
    """A source of random batches that counts."""

    def __init__(self, spec: ImageSpec, size: int = 6, device: str = "cpu") -> None:
        self.spec, self.size, self.device, self.pulled = spec, size, device, 0
        self.random = torch.Generator().manual_seed(0)

    def next(self) -> Batch:
        self.pulled += 1
        images = torch.rand(self.size, *self.spec[:3], generator=self.random) * 2 - 1
        labels = torch.arange(self.size) % max(1, self.spec.num_classes)
        return Batch(images.to(self.device), labels.to(self.device))


LABELLED = ImageSpec(1, 8, 8, 3)
