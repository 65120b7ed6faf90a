"""Closed forms and properties of the Vendi score."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganvas import metrics
from tests.metrics.vectors import SEEDS, normal, quick, rotation, spread_over_error


@pytest.mark.parametrize("groups", [1, 2, 7, 16])
def test_vendi_counts_orthogonal_groups(groups: int) -> None:
    axes = rotation(16)[:groups]
    lengths = normal(140 * groups, 1).abs() + 0.1  # the cosine sees none of them
    assert metrics.vendi(lengths * axes.repeat(140, 1)).value == pytest.approx(groups, rel=1e-5)


def test_vendi_of_unequal_groups_is_the_exponential_of_their_entropy() -> None:
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    features = torch.eye(8)[torch.arange(4).repeat_interleave(torch.tensor(shares * 200).int())]
    expected = math.exp(-(shares * np.log(shares)).sum())
    assert metrics.vendi(features).value == pytest.approx(expected, rel=1e-6)


@quick
@given(SEEDS, st.integers(21, 60), st.integers(2, 30))
def test_vendi_is_that_of_the_kernel_of_all_pairs(seed: int, count: int, size: int) -> None:
    features = normal(count, size, seed) + 0.3
    unit = features / features.norm(dim=1, keepdim=True)
    values = np.linalg.eigvalsh((unit @ unit.T).double().numpy() / count).clip(1e-300)
    score = metrics.vendi(features)
    assert score.value == pytest.approx(math.exp(-(values * np.log(values)).sum()), rel=1e-4)
    assert 1 <= score.value <= min(count, size)
    assert metrics.vendi(features.flip(0) @ rotation(size, seed).float()).value == pytest.approx(score.value, rel=1e-5)


def test_errors_of_vendi_are_calibrated() -> None:
    scores = [metrics.vendi(normal(300, 6, seed) * torch.linspace(0.3, 2, 6) + 0.5) for seed in range(150)]
    assert 0.8 < spread_over_error(scores) < 1.25
