"""Differentiable augmentation (Zhao et al., 2020): D sees real and generated images changed alike, so it cannot
memorise a small set, and G learns through the change. With a target, the probability of a change follows the
overfitting of D (Karras et al., 2020).

Images are [B, C, H, W] in [-1, 1]. Each image is changed in its own way.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ganvas.compute.noise import Noise
from ganvas.core.errors import UserError, nearest

SHIFT = 1 / 8  # of the side, at most
HOLE = 1 / 2  # of the side
ADAPT_IMAGES = 20_000  # in which the probability goes from 0 to 1, at the fastest: few, as sets are small


def colour(images: Tensor, chosen: Tensor, noise: Noise) -> Tensor:
    """Brightness +-0.5, then saturation x0 to x2, then contrast x0.5 to x1.5."""
    brightness, saturation, contrast = (part[:, None, None, None] for part in noise.uniform(3, len(images)))
    images = images + chosen * (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (1 + chosen * (2 * saturation - 1))
    mean = images.mean((1, 2, 3), keepdim=True)
    changed: Tensor = mean + (images - mean) * (1 + chosen * (contrast - 0.5))
    return changed


def translation(images: Tensor, chosen: Tensor, noise: Noise) -> Tensor:
    """Shifted by up to an eighth of the side either way; what comes in is mid-grey."""
    where = noise.uniform(2, len(images))
    for axis, at in zip((2, 3), where, strict=True):
        side = images.shape[axis]
        most = round(side * SHIFT)
        shift = (at * (2 * most + 1)).floor().clamp_max(2 * most) - most
        shift = (shift * chosen.flatten()).long()[:, None]
        there = torch.arange(side, device=images.device) - shift  # [B, side]
        shape = [-1, 1, 1, 1]
        shape[axis] = side
        inside = ((there >= 0) & (there < side)).view(shape)
        index = there.clamp(0, side - 1).view(shape).expand(images.shape)
        images = images.gather(axis, index) * inside
    return images


def cutout(images: Tensor, chosen: Tensor, noise: Noise) -> Tensor:
    """A square hole of half the side, mid-grey, its centre anywhere."""
    inside = chosen.bool()
    for axis, at in zip((2, 3), noise.uniform(2, len(images)), strict=True):
        side = images.shape[axis]
        size = max(1, round(side * HOLE))
        start = (at * (side + 1 - size % 2)).floor() - size // 2
        shape = [1, 1, 1, 1]
        shape[axis] = side
        place = torch.arange(side, device=images.device).view(shape) - start[:, None, None, None]
        inside = inside & (place >= 0) & (place < size)
    return images * ~inside


CHANGES = {"colour": colour, "translation": translation, "cutout": cutout}


class Augment:
    """Changes images as `policy` says, each image and each change with the probability `p`.

    With a `target`, p moves after every batch: up where the mean sign of D's logits on real images is above the target,
    which is a sign of overfitting, and down below it.
    """

    def __init__(self, policy: Sequence[str], p: Tensor, target: float | None, noise: Noise) -> None:
        """`p` is a scalar on the device of D, changed in place. Raises UserError for an unknown change."""
        for name in policy:
            if name not in CHANGES:
                raise UserError(f"setting 'method.augment' has no '{name}': {nearest(name, CHANGES)}")
        self.changes = [CHANGES[name] for name in policy]
        self.p, self.target, self.noise = p, target, noise

    def __call__(self, images: Tensor) -> Tensor:
        for change in self.changes:
            chosen = self.noise.uniform(len(images)) < self.p
            images = change(images, chosen.float()[:, None, None, None], self.noise)
        return images

    def adapt(self, d_real: Tensor) -> None:
        """Move p, given D's logits on a batch of real images."""
        if self.changes and self.target is not None:
            direction = torch.where(d_real.detach().sign().mean() > self.target, 1.0, -1.0)
            self.p.add_(direction * (len(d_real) / ADAPT_IMAGES)).clamp_(0, 1)
