"""Made-up feature vectors and what the tests of the metrics share."""

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from ganvas import metrics
from ganvas.metrics import Moments, Score

SEEDS = st.integers(0, 2**31 - 1)
quick = settings(max_examples=15, deadline=None)


def normal(count: int, features: int, seed: int = 0) -> Tensor:
    return torch.randn(count, features, generator=torch.Generator().manual_seed(seed))


def rotation(features: int, seed: int = 0) -> Tensor:
    return torch.linalg.qr(normal(features, features, seed).double()).Q


def gaussian(mean: Tensor, covariance: Tensor, count: int = 1000) -> Moments:
    """Moments of `count` imagined vectors that have exactly this mean and covariance."""
    mean, covariance = mean.double(), covariance.double()
    return Moments(count, count * mean, (count - 1) * covariance + count * torch.outer(mean, mean))


X, Y = normal(500, 20), normal(500, 20, seed=1)


def spread_over_error(scores: list[Score]) -> float:
    return float(np.std([score.value for score in scores]) / np.mean([score.error for score in scores]))


def modes(count: int, chosen: range, seed: int, spread: float = 0.1) -> Tensor:
    """Points around some of ten far corners, the same number around each."""
    labels = torch.arange(count) % len(chosen) + chosen.start
    return 5 * torch.eye(10)[labels] + spread * normal(count, 10, seed)


def nearness(points: Tensor, seen: Tensor, unseen: Tensor) -> Tensor:
    """What `copy_rate` takes: the distance to the nearest of the seen over that to the nearest of the other unseen."""
    further = metrics.nearest_distances(points, unseen, leave_out_self=points is unseen)
    return metrics.nearest_distances(points, seen) / further
