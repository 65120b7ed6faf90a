"""Batches for the tests of methods."""

import torch

from ganvas.data import Batch
from ganvas.images import ImageSpec


class Images:
    """A source of random batches that counts."""

    def __init__(self, spec: ImageSpec, size: int = 6) -> None:
        self.spec, self.size, self.pulled = spec, size, 0
        self.random = torch.Generator().manual_seed(0)

    def next(self) -> Batch:
        self.pulled += 1
        images = torch.rand(self.size, *self.spec[:3], generator=self.random) * 2 - 1
        return Batch(images, torch.arange(self.size) % max(1, self.spec.num_classes))


LABELLED = ImageSpec(1, 8, 8, 3)
