"""Scoring the features of 10,000 samples: ganvas against torchmetrics and scikit-learn, in one process.

    python benchmarks/scoring.py [--n 10000] [--features 128]

Both sides get the same features and class probabilities. theirs: FID, KID (its 100 subsets of 1,000) and IS of
torchmetrics, and precision, recall, density and coverage by whole distance matrices of scikit-learn, as the usual
package does. ours: the same scores, and the uncertainty of each, which theirs lack but for KID's and IS's spread.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganvas import metrics
from ganvas.compute.device import keep_freed_memory
from ganvas.metrics import Moments

ROUNDS = 3


class Identity(nn.Module):
    """torchmetrics takes a network; the features are there already."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: Tensor) -> Tensor:
        return features


def torchmetrics_fid(x: Tensor, y: Tensor) -> float:
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=Identity(x.shape[1]))
    metric.update(y, real=True)
    metric.update(x, real=False)
    return float(metric.compute())


def torchmetrics_kid(x: Tensor, y: Tensor) -> float:
    from torchmetrics.image.kid import KernelInceptionDistance

    metric = KernelInceptionDistance(feature=Identity(x.shape[1]), subset_size=min(1_000, len(x)))
    metric.update(y, real=True)
    metric.update(x, real=False)
    return float(metric.compute()[0])


def torchmetrics_is(logits: Tensor) -> float:
    from torchmetrics.image.inception import InceptionScore

    metric = InceptionScore(feature=Identity(logits.shape[1]))
    metric.update(logits)
    return float(metric.compute()[0])


def scikit_learn_manifold(x: Tensor, y: Tensor) -> dict[str, float]:
    from sklearn.metrics import pairwise_distances

    fake, real = x.numpy(), y.numpy()

    def radii(points: np.ndarray, k: int) -> np.ndarray:
        distances = pairwise_distances(points)
        found: np.ndarray = np.partition(distances, k, axis=1)[:, k]
        return found

    real3, real5, fake3 = radii(real, 3), radii(real, 5), radii(fake, 3)
    distances = pairwise_distances(real, fake)
    return {
        "precision": float((distances <= real3[:, None]).any(0).mean()),
        "recall": float((distances <= fake3).any(1).mean()),
        "density": float((distances < real5[:, None]).sum(0).mean() / 5),
        "coverage": float((distances.min(1) < real5).mean()),
    }


def best(function: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds of the fastest of a few rounds, what it returned)"""
    fastest = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = function()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=128)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    keep_freed_memory()
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(args.n, args.features, generator=random).relu() for _ in range(2))
    logits = 4 * torch.randn(args.n, 10, generator=random)

    rows: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        ("FID", lambda: torchmetrics_fid(x, y), lambda: metrics.fid(x, Moments.of(y)).value),
        ("KID", lambda: torchmetrics_kid(x, y), lambda: metrics.kid(x, y).value),
        ("IS", lambda: torchmetrics_is(logits), lambda: metrics.inception_score(logits.softmax(1)).value),
        (
            "precision, recall, density, coverage",
            lambda: scikit_learn_manifold(x, y),
            lambda: {name: score.value for name, score in metrics.manifold(x, y).items()},
        ),
    ]
    total = [0.0, 0.0]
    print(
        f"{args.n:,} samples, {args.features} features, {torch.get_num_threads()} threads; fastest of {ROUNDS} rounds"
    )
    for name, theirs, ours in rows:
        (their_seconds, their_value), (our_seconds, our_value) = best(theirs), best(ours)
        total = [total[0] + their_seconds, total[1] + our_seconds]
        print(
            f"{name}: theirs {their_seconds:.2f} s, ours {our_seconds:.2f} s, ratio {their_seconds / our_seconds:.2f}"
        )
        print(f"    {their_value} / {our_value}")
    print(f"all: theirs {total[0]:.2f} s, ours {total[1]:.2f} s, ratio {total[0] / total[1]:.2f}")


if __name__ == "__main__":
    main()
