"""Detecting samples that are copies of training images, by their pixels."""

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from ganvas import metrics
from ganvas.core.cache import cache_dir, keep
from ganvas.data import ImageSet
from ganvas.evaluation.features import CHUNK, PAIRED, read_tensors

LEAST_SEEN = 4  # training images needed to detect copies without a test split
LARGEST = 32  # maximum side in pixels of the images that are compared; larger ones are scaled down


class Copies:
    """Distinguishes copies of training images from new images.

    The nearness of an image is its distance to the nearest training image divided by its distance to the nearest unseen
    real image. Without a test split, the training images are split into two halves, and the half farther from the image
    counts as unseen. Duplicates count once, and copies of training images are not unseen. With `flips` mirror images
    count as well. `real` is the nearness of unseen real images, float32 [N]; None if there are too few of them.
    """

    def __init__(
        self, train: ImageSet, test: ImageSet | None, flips: bool = False, device: torch.device | str = "cpu"
    ) -> None:
        self.key = f"2-{train.fingerprint[:16]}-{test.fingerprint[:16] if test else 'alone'}{'-flips' * flips}"
        seen = train.images[train.distinct()]
        unseen = test.images[test.distinct(but=train)] if test is not None else seen
        order = np.random.default_rng(2).permutation(len(unseen))
        self._alone = test is None
        if self._alone:
            seen, unseen = seen[order[::2]], seen[order[1::2]]
        else:
            unseen = unseen[order[:PAIRED]]
        self.real: Tensor | None = None
        if len(unseen) < 2 or (self._alone and len(order) < LEAST_SEEN):
            return
        sides = (1, -1) if flips else (1,)  # original and mirrored
        self._seen, self._unseen = (
            [pixels(np.ascontiguousarray(each[..., ::side])).to(device) for side in sides] for each in (seen, unseen)
        )
        file = cache_dir() / "evaluations" / f"nearness-{self.key}.safetensors"
        cached = read_tensors(file, "real")
        if cached is None:
            cached = {"real": self._quotient(self._unseen[0][:PAIRED], known=True)}
            keep(file, save(cached))
        self.real = cached["real"]

    def refusal(self) -> str | None:
        """The reason why copies cannot be detected; None if they can."""
        if self.real is not None:
            return None
        return (
            f"copies cannot be detected with fewer than {LEAST_SEEN} different training images, "
            "or if every test image is also a training image"
        )

    def nearness(self, pixels: Tensor) -> Tensor | None:
        """The nearness float32 [N] of images, uint8 [N, F] from `pixels`; 0 for an exact copy.

        None if there are too few real images.
        """
        return None if self.real is None else self._quotient(pixels[:PAIRED], known=False)

    def _quotient(self, pixels: Tensor, known: bool) -> Tensor:
        """The nearness of images. `known`: they are the first of the unseen images, and not their own neighbours."""
        pixels = pixels.to(self._seen[0].device)
        seen = torch.stack([metrics.nearest_distances(pixels, each) for each in self._seen]).amin(0)
        unseen = torch.stack([metrics.nearest_distances(pixels, each, known) for each in self._unseen]).amin(0)
        if self._alone:
            seen, unseen = torch.minimum(seen, unseen), torch.maximum(seen, unseen)
        return (seen / unseen.clamp_min(1e-6)).cpu()


def pixels(images: np.ndarray) -> Tensor:
    """uint8 [N, C, H, W] -> uint8 [N, C*h*w], scaled down to at most LARGEST pixels a side."""
    height, width = images.shape[-2:]
    parts = []
    for at in range(0, len(images), CHUNK):
        part = torch.tensor(images[at : at + CHUNK])
        if max(height, width) > LARGEST:
            small = [max(1, side * LARGEST // max(height, width)) for side in (height, width)]
            part = F.interpolate(part.float(), small, mode="area").round().to(torch.uint8)
        parts.append(part.flatten(1))
    return torch.cat(parts)
