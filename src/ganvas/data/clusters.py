"""Classes that nobody has named: k-means clusters of the images.

A conditional GAN with clusters for classes learns more of the variety of an unlabelled set than an unconditional one
(Liu et al., 2020, who cluster the features of their discriminator; here it is the pixels).
"""

import contextlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.core import files
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError
from ganvas.core.images import from_uint8
from ganvas.core.progress import progress

VERSION = 1  # raised when the clusters change
THUMB = 16  # side in pixels, at most, of what is compared
COMPONENTS = 50  # principal components of it
ROUNDS = 25
BLOCK = 4096  # points compared at once
BLOCK_BYTES = 2**26  # of pixels shrunk at once


def clusters(images: np.ndarray, count: int) -> np.ndarray:
    """The cluster of each image, uint8 [N, C, H, W] -> int64 [N]: at most `count`, numbered as they appear.

    There are fewer if the images differ too little. Raises UserError for fewer images than clusters.
    """
    if len(images) < count:
        raise UserError(f"{len(images):,} images cannot form {count:,} clusters: lower data.clusters")
    points = _components(_thumbs(images))
    centres = _first_centres(points, count)
    with progress("clustering", ROUNDS) as advance:
        for _ in range(ROUNDS):
            nearest = _nearest(points, centres)
            sizes = torch.bincount(nearest, minlength=count)[:, None]
            sums = torch.zeros_like(centres).index_add_(0, nearest, points)
            centres = torch.where(sizes > 0, sums / sizes.clamp_min(1), centres)
            advance(1)
    _, first, numbers = np.unique(_nearest(points, centres).numpy(), return_index=True, return_inverse=True)
    return first.argsort().argsort()[numbers].astype(np.int64)


def kept_clusters(images: np.ndarray, count: int, fingerprint: str) -> np.ndarray:
    """The same, kept in the cache under the fingerprint of the images."""
    file = cache_dir() / "clusters" / f"{VERSION}-{count}-{fingerprint[:16]}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        files.refuse_pipes(file)
        found: np.ndarray = np.load(file)
        if found.shape == (len(images),) and found.dtype == np.int64 and 0 <= found.min() <= found.max() < count:
            return found
    found = clusters(images, count)
    with contextlib.suppress(OSError), files.atomic(file) as opened:  # with a full disk they are found again next time
        np.save(opened, found)
    return found


def _thumbs(images: np.ndarray) -> Tensor:
    """Thumbnails of the images, flattened: [N, F]."""
    height, width = (min(side, THUMB) for side in images.shape[2:])
    few = max(1, BLOCK_BYTES // (4 * images[0].size))
    blocks = (torch.tensor(images[i : i + few]) for i in range(0, len(images), few))
    return torch.cat([F.adaptive_avg_pool2d(from_uint8(block), (height, width)).flatten(1) for block in blocks])


def _components(points: Tensor) -> Tensor:
    """The principal components of points [N, F], which are centred in place: [N, at most COMPONENTS]."""
    points -= points.mean(0)
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
        at = torch.searchsorted(reach, random.random() * reach[-1], right=True)
        chosen.append(int(at.clamp_max(len(points) - 1)))
    return points[chosen]


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    """The index of the nearest centre of each point."""
    return torch.cat([torch.cdist(block, centres).argmin(1) for block in points.split(BLOCK)])
