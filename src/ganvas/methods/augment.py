"""Differentiable augmentation (Zhao et al., 2020), with an adaptive probability (Karras et al., 2020).

Real and generated images are augmented alike before D sees them, so that D cannot memorise a small set; G learns
through the augmentation. With a target, the probability of a change adapts to the overfitting of D.

Images are [B, C, H, W] in [-1, 1]. Each image is changed independently.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ganvas.compute.noise import Noise
from ganvas.core.errors import UserError, nearest

SHIFT = 1 / 8  # of the side, at most
HOLE = 1 / 2  # of the side
ADAPT_IMAGES = 20_000  # images in which the probability can go from 0 to 1; few, as sets are small


def colour(images: Tensor, chosen: Tensor, noise: Noise) -> Tensor:
    """Change the brightness by up to ±0.5, then the saturation by ×0 to ×2, then the contrast by ×0.5 to ×1.5.

    A fourth channel, alpha, stays as it is.
    """
    if images.shape[1] == 4:
        return torch.cat([colour(images[:, :3], chosen, noise), images[:, 3:]], 1)
    brightness, saturation, contrast = (part[:, None, None, None] for part in noise.uniform(3, len(images)))
    images = images + chosen * (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (1 + chosen * (2 * saturation - 1))
    mean = images.mean((1, 2, 3), keepdim=True)
    changed: Tensor = mean + (images - mean) * (1 + chosen * (contrast - 0.5))
    return changed


def translation(images: Tensor, chosen: Tensor, noise: Noise) -> Tensor:
    """Shift by up to an eighth of the side in each direction; the uncovered part is mid-grey."""
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
    """Cut a mid-grey square hole with half the side of the image, centred anywhere."""
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
    """Applies the changes in `policy`, each to each image with probability `p`.

    With a `target`, p is adjusted after every batch: up if the mean sign of D's logits on real images is above the
    target, which indicates overfitting, else down.
    """

    def __init__(self, policy: Sequence[str], p: Tensor, target: float | None, noise: Noise) -> None:
        """`p` is a scalar tensor on D's device, changed in place. Raises UserError for an unknown change."""
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
        """Adjust p, given D's logits on a batch of real images."""
        if self.changes and self.target is not None:
            direction = torch.where(d_real.detach().sign().mean() > self.target, 1.0, -1.0)
            self.p.add_(direction * (len(d_real) / ADAPT_IMAGES)).clamp_(0, 1)
