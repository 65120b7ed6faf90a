"""Distances between the features of samples and those of real images: FID, FID∞ and KID."""

import math

import numpy as np
import torch
from torch import Tensor

from ganvas.metrics.moments import Moments, total
from ganvas.metrics.table import Score
from ganvas.metrics.uncertainty import GROUPS, jackknife

EXTRAPOLATED_GROUPS = 10  # jackknife groups of an extrapolation: fewer, because each needs many distances
FID_LEAST, FID_LEAST_PER_FEATURE = 2_000, 4


def frechet(a: Moments, b: Moments) -> float:
    """Squared Fréchet distance between two Gaussians: |m - n|² + tr(A + B - 2 (A^½ B A^½)^½)."""
    return _frechet(_root(b.covariance), b, a)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


def _frechet(root: Tensor, b: Moments, a: Moments) -> float:
    """`frechet(a, b)`, given the square root of b's covariance, so that it can be computed once for many `a`."""
    covariance = a.covariance
    mixed = torch.linalg.eigvalsh(root @ covariance @ root).clamp_min(0).sqrt().sum()
    traces = covariance.trace() + b.covariance.trace()
    distance = (a.mean - b.mean).square().sum() + traces - 2 * mixed
    return max(0.0, float(distance))


def fid_refusal(samples: int, reference: int, features: int) -> str | None:
    """Why there are too few images for FID; None if there are enough."""
    least = max(FID_LEAST, FID_LEAST_PER_FEATURE * features)
    if min(samples, reference) >= least:
        return None
    few = f"{samples:,} samples" if samples < least else f"{reference:,} real images"
    return f"FID needs {least:,} images on both sides for {features} features, not {few}; KID has no such bias"


def fid(features: Tensor, reference: Moments) -> Score:
    """Fréchet inception distance (Heusel et al., 2017) of samples to the moments of real features.

    The error is a delete-a-group jackknife over the samples; it does not include the bias, which is larger for fewer
    samples.
    """
    parts = [Moments.of(part) for part in features.tensor_split(GROUPS)]
    whole, root = total(parts), _root(reference.covariance)
    value = _frechet(root, reference, whole)
    return Score(value, jackknife([_frechet(root, reference, whole - part) for part in parts]))


def fid_infinity(features: Tensor, reference: Moments, points: int = 15, seed: int = 0) -> Score:
    """FID extrapolated to infinitely many samples (Chong & Forsyth, 2020).

    FID is computed for random subsets of `points` sizes, from a tenth of the samples to all of them. It is nearly
    linear in 1 / size, and the score is the intercept of that line. The error is a delete-a-group jackknife over the
    samples.
    """
    root, generator = _root(reference.covariance), torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(features), generator=generator) for _ in range(points)]

    def extrapolated(kept: Tensor) -> float:
        counts, values = np.linspace(int(kept.sum()) / 10, int(kept.sum()), points).astype(int), []
        for count, order in zip(counts, orders, strict=True):
            chosen = order[kept[order]][: int(count)].to(features.device)
            values.append(_frechet(root, reference, Moments.of(features[chosen])))
        return float(np.polyfit(1 / counts, values, 1)[1])

    every = torch.ones(len(features), dtype=torch.bool)
    without = [
        every.index_fill(0, part, False) for part in torch.arange(len(features)).tensor_split(EXTRAPOLATED_GROUPS)
    ]
    return Score(extrapolated(every), jackknife([extrapolated(kept) for kept in without]))


def kid(features: Tensor, reference: Tensor) -> Score:
    """Kernel inception distance (Bińkowski et al., 2018): unbiased MMD² under the kernel (x·y / F + 1)³.

    Computed over all pairs rather than over random subsets; negative values occur and are correct. The error is a
    delete-a-group jackknife over the samples and over the reference.
    """
    x, y = features.double().tensor_split(GROUPS), reference.double().tensor_split(GROUPS)
    xx, yy, xy = _kernel_sums(x), _kernel_sums(y), _kernel_sums(x, y)
    own_x, own_y = (torch.stack([_own_kernel(part).sum() for part in parts]).cpu() for parts in (x, y))
    n, m = (torch.tensor([len(part) for part in parts]) for parts in (x, y))

    def mmd(keep_x: Tensor, keep_y: Tensor) -> float:
        a, b = (n * keep_x).sum(), (m * keep_y).sum()
        within_x = keep_x @ xx @ keep_x - (own_x * keep_x).sum()
        within_y = keep_y @ yy @ keep_y - (own_y * keep_y).sum()
        return (within_x / (a * (a - 1)) + within_y / (b * (b - 1)) - 2 * (keep_x @ xy @ keep_y) / (a * b)).item()

    everything = torch.ones(GROUPS, dtype=torch.float64)
    without = 1 - torch.eye(GROUPS, dtype=torch.float64)
    over_x = jackknife([mmd(row, everything) for row in without])
    over_y = jackknife([mmd(everything, row) for row in without])
    return Score(mmd(everything, everything), math.hypot(over_x, over_y))


def _root_kernel(a: Tensor, b: Tensor) -> Tensor:
    """The cube root of the kernel of every pair, float64 [len(a), len(b)]."""
    return torch.addmm(torch.ones((), dtype=torch.float64, device=a.device), a, b.T, alpha=1 / a.shape[1])


def _own_kernel(a: Tensor) -> Tensor:
    """The kernel of every vector with itself, float64 [len(a)]."""
    return (a.square().sum(1) / a.shape[1] + 1) ** 3


def _kernel_sums(a: tuple[Tensor, ...], b: tuple[Tensor, ...] | None = None) -> Tensor:
    """The sum of the kernel over each pair of groups from `a` and `b` (default: `a`), float64 [groups, groups]."""
    sums = torch.zeros(len(a), len(b or a), dtype=torch.float64)
    for i, left in enumerate(a):
        for j, right in enumerate(b or a):
            if b is not None or j >= i:
                root = _root_kernel(left, right).flatten()
                sums[i, j] = torch.dot(root.square(), root)
    return sums if b is not None else sums.triu() + sums.triu(1).T
