"""Closed forms and properties of the scores of pixels."""

import math

import numpy as np
import pytest
import torch

from ganvas import metrics
from ganvas.metrics.pixels import sliced_wasserstein
from tests.metrics.vectors import X, Y


def test_identity_symmetry_and_order() -> None:
    assert sliced_wasserstein(X, X) == 0
    assert sliced_wasserstein(X, X.flip(0)) == 0
    assert sliced_wasserstein(X, Y + 1) == pytest.approx(sliced_wasserstein(Y + 1, X))
    distances = [sliced_wasserstein(X, X + shift * Y) for shift in (0.1, 0.5, 1.0, 2.0)]
    assert distances == sorted(distances)


def test_a_shift_has_a_closed_form() -> None:
    """Moving every vector by c moves its projection by <c, u>; over unit vectors u the mean square is |c|^2 / F."""
    shift = torch.zeros(20)
    shift[3] = 2.0
    assert sliced_wasserstein(X[:9], X[:9] + shift, projections=20_000) == pytest.approx(2.0, rel=0.03)


def test_on_a_line_the_sorted_values_are_compared() -> None:
    a, b = torch.tensor([[5.0], [0.0], [1.0]]), torch.tensor([[2.0], [1.0], [9.0]])
    assert sliced_wasserstein(a, b) == pytest.approx(math.sqrt((1 + 1 + 16) / 3))  # 0, 1, 5 and 1, 2, 9
    assert sliced_wasserstein(a.double(), b.double()) == pytest.approx(math.sqrt(6))


def test_the_projections_are_the_same_every_time() -> None:
    """Scores of different runs and versions are of the same 256 directions."""
    assert sliced_wasserstein(X, Y) == sliced_wasserstein(X, Y, projections=256, seed=0)
    assert sliced_wasserstein(X, Y) != sliced_wasserstein(X, Y, seed=1)


def test_sets_of_unlike_size_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        sliced_wasserstein(X, Y[:10])


def test_mean_distance() -> None:
    pictures = np.zeros((3, 2, 2, 1), np.uint8)
    pictures[2] = 6
    assert metrics.mean_distance(pictures) == pytest.approx(4)  # 0, 6, 6
    assert metrics.mean_distance(pictures[1:]) == pytest.approx(6)
    assert metrics.mean_distance(pictures[:1]) == 0
