"""Metrics of pixels, which need no evaluator."""

import numpy as np
import torch
from torch import Tensor


def sliced_wasserstein(a: Tensor, b: Tensor, projections: int = 256, seed: int = 0) -> float:
    """Sliced Wasserstein-2 distance between two sets of vectors, both [N, F]; 0 = same distribution.

    The root mean squared difference between the sorted projections of both sets on random unit vectors (Rabin et al.,
    2011), times sqrt(F), so that moving every vector by c gives the length of c. It ranks the checkpoints of one run
    without a trained network; values of different data sets cannot be compared. Raises ValueError for sets of different
    shapes.
    """
    if a.shape != b.shape:
        raise ValueError(f"two sets of one shape are needed, not {tuple(a.shape)} and {tuple(b.shape)}")
    features = a.shape[1]
    directions = torch.randn(features, projections, generator=torch.Generator().manual_seed(seed)).to(a)
    directions /= directions.norm(dim=0)
    difference = (a @ directions).sort(dim=0).values - (b @ directions).sort(dim=0).values
    return (difference.double().square().mean() * features).sqrt().item()


def mean_distance(images: np.ndarray) -> float:
    """Mean distance between pairs of images, uint8 [N, ...]: root mean square over pixels, in grey levels."""
    flat = torch.from_numpy(images).flatten(1).float()
    return float(torch.pdist(flat).mean()) / flat.shape[1] ** 0.5 if len(flat) > 1 else 0.0
