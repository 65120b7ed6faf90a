"""Classes that nobody has named: k-means clusters of the images.

A conditional GAN with clusters for classes learns more of the variety of an unlabelled set than an unconditional one
(Liu et al., 2020, who cluster the features of their discriminator; here it is the pixels).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.core.images import from_uint8

THUMB = 16  # side in pixels, at most, of what is compared
COMPONENTS = 50  # principal components of it
ROUNDS = 25
BLOCK = 4096  # images compared at once


def clusters(images: np.ndarray, count: int) -> np.ndarray:
    """The cluster of each image, numbered by size: uint8 [N, C, H, W] -> int64 [N] in 0..count-1.

    Raises UserError for fewer images than clusters.
    """
    if len(images) < count:
        raise UserError(f"{len(images):,} images cannot form {count:,} clusters: lower data.clusters")
    points = _components(_thumbs(images))
    centres = _first_centres(points, count)
    for _ in range(ROUNDS):
        nearest = _nearest(points, centres)
        sizes = torch.bincount(nearest, minlength=count)[:, None]
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        centres = torch.where(sizes > 0, sums / sizes.clamp_min(1), centres)
    nearest = _nearest(points, centres)
    order = torch.bincount(nearest, minlength=count).argsort(descending=True, stable=True)
    numbered: np.ndarray = order.argsort()[nearest].numpy()
    return numbered


def _thumbs(images: np.ndarray) -> Tensor:
    """The images in small, flattened: [N, F]."""
    height, width = (min(side, THUMB) for side in images.shape[2:])
    blocks = (torch.tensor(images[i : i + BLOCK]) for i in range(0, len(images), BLOCK))
    return torch.cat([F.adaptive_avg_pool2d(from_uint8(block), (height, width)).flatten(1) for block in blocks])


def _components(points: Tensor) -> Tensor:
    """The principal components of points [N, F]: [N, at most COMPONENTS]."""
    points = points - points.mean(0)
    directions: Tensor = torch.linalg.eigh(points.T @ points).eigenvectors
    return points @ directions[:, -COMPONENTS:]


def _first_centres(points: Tensor, count: int) -> Tensor:
    """Points that are far from each other (k-means++, Arthur & Vassilvitskii, 2007): [count, F]."""
    random = np.random.default_rng(0)
    chosen = [int(random.integers(len(points)))]
    distances = torch.full((len(points),), torch.inf)
    while len(chosen) < count:
        distances = distances.minimum((points - points[chosen[-1]]).square().sum(1))
        reach = distances.double().cumsum(0)
        chosen.append(
            int(torch.searchsorted(reach, random.random() * reach[-1], right=True).clamp_max(len(points) - 1))
        )
    return points[chosen]


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    """The index of the nearest centre of each point."""
    return torch.cat([torch.cdist(block, centres).argmin(1) for block in points.split(BLOCK)])
