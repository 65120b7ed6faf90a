"""Scores: pure functions of images, features and labels."""

import torch
from torch import Tensor


def sliced_wasserstein(a: Tensor, b: Tensor, projections: int = 256, seed: int = 0) -> float:
    """Sliced Wasserstein-2 distance between two equally large sets of vectors [N, F]; 0 = same distribution.

    The root of the mean squared difference between the sorted projections of both sets on random unit vectors
    (Rabin et al., 2011), times sqrt(F): moving every vector by c gives the length of c. It needs no trained network and
    ranks the checkpoints of one run; it says little between data sets.
    """
    if a.shape != b.shape:
        raise ValueError(f"two sets of one shape are needed, not {tuple(a.shape)} and {tuple(b.shape)}")
    features = a.shape[1]
    directions = torch.randn(features, projections, generator=torch.Generator().manual_seed(seed)).to(a)
    directions /= directions.norm(dim=0)
    difference = (a @ directions).sort(dim=0).values - (b @ directions).sort(dim=0).values
    return (difference.double().square().mean() * features).sqrt().item()
