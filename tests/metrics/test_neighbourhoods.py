"""Closed forms and properties of precision, recall, density, coverage and the nearest vectors."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ganvas import metrics
from ganvas.core.errors import UserError
from ganvas.metrics import Score, neighbourhoods
from tests.metrics.vectors import SEEDS, X, Y, modes, normal, quick, rotation, spread_over_error


def test_distances_of_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    points, others = normal(67, 6), normal(101, 6, seed=1)
    points[5], points[7] = points[9], points[15]  # twins are each other's neighbours
    pairs = torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    own = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(math.inf).amin(1)
    for block in (1_000, 10, 3, 1):  # 67 = 8 · 8 + 3 points: whole and broken blocks of others as well
        monkeypatch.setattr(neighbourhoods, "BLOCK", block)
        assert torch.allclose(metrics.nearest_distances(points, others), pairs, atol=2e-3)
        first = metrics.nearest_distances(points[:31], points, leave_out_self=True)  # some of one set, in its order
        assert torch.allclose(first, own[:31], atol=2e-3)
        alone = metrics.nearest_distances(points, points, leave_out_self=True)
        assert torch.allclose(alone, own, atol=2e-3)
        assert metrics.nearest_distances(points, points).max() < 2e-3
        assert alone[[5, 7, 9, 15]].max() < 2e-3
        assert torch.equal(metrics.nearest(points, others)[1], torch.cdist(points, others).argmin(1))
        some = torch.tensor([60, 3, 9])
        assert metrics.nearest(points[some], points, own=some)[1][2] == 5
        assert torch.allclose(metrics.nearest(points[some], points, own=some)[0], own[some], atol=2e-3)
    assert (own > 0.1).sum() > 60
    assert [found.dtype for found in metrics.nearest(points, others)] == [torch.float32, torch.int64]


def test_distances_of_pixels() -> None:
    pixels = torch.randint(0, 256, (40, 784), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = metrics.nearest_distances(pixels[:10], pixels)
    assert found.max() < 5  # of some 3,000 between unlike pictures: float32 has no more digits
    expected = torch.cdist(pixels[:10].double(), pixels[10:].double()).amin(1)
    assert torch.allclose(metrics.nearest_distances(pixels[:10], pixels[10:]).double(), expected, rtol=1e-5)


def manifold(features: Tensor, reference: Tensor) -> dict[str, float]:
    return {name: score.value for name, score in metrics.manifold(features, reference).items()}


def test_a_set_against_itself() -> None:
    """Strictly within every ball lie its centre and 4 neighbours, as the fifth is on its rim: density 1."""
    scores = metrics.manifold(X, X)
    assert [scores[name] for name in ("precision", "recall", "coverage")] == [Score(1.0, 0.0)] * 3
    assert scores["density"].value == pytest.approx(1, rel=1e-12)


def test_new_samples_of_the_same_distribution() -> None:
    """An unseen point lies in 5 of the balls on average, so density is 1; coverage is 1 - 2^-5 for as many samples."""
    runs = [manifold(normal(500, 3, 2 * seed), normal(500, 3, 2 * seed + 1)) for seed in range(8)]
    assert np.mean([run["density"] for run in runs]) == pytest.approx(1, abs=0.04)
    assert np.mean([run["coverage"] for run in runs]) == pytest.approx(1 - 2**-5, abs=0.01)
    assert np.mean([run["precision"] for run in runs]) == pytest.approx(
        np.mean([run["recall"] for run in runs]), abs=0.02
    )


def test_a_set_far_away() -> None:
    assert set(metrics.manifold(X + 100, X).values()) == {(0, 0)}


def test_radii_that_are_known_are_used() -> None:
    assert metrics.manifold(X, Y, neighbourhoods.neighbour_distances(Y)) == metrics.manifold(X, Y)
    assert metrics.manifold(X, Y, torch.zeros(500, 2))["precision"].value == 0


@quick
@given(SEEDS, st.integers(8, 40), st.integers(8, 40))
def test_precision_and_recall_change_places_with_the_sets(seed: int, n: int, m: int) -> None:
    a, b = normal(n, 4, seed), normal(m, 4, seed + 1) + 0.5
    there, back = metrics.manifold(a, b), metrics.manifold(b, a)
    assert there["precision"] == back["recall"]
    assert there["recall"] == back["precision"]


@quick
@given(SEEDS)
def test_neighbourhoods_know_no_origin_axes_or_unit(seed: int) -> None:
    a, b, turn = normal(30, 4, seed).double(), normal(40, 4, seed + 1).double() + 0.5, rotation(4, seed)
    expected = manifold(a, b)
    for moved in ((a + 3, b + 3), (7 * a, 7 * b), (a @ turn, b @ turn), (a.flip(0), b.flip(0))):
        assert manifold(*moved) == pytest.approx(expected)


def test_lost_modes_cost_recall_and_coverage_but_no_precision() -> None:
    reference = modes(600, range(10), seed=0)
    scores = [manifold(modes(600, range(kept), seed=1), reference) for kept in (10, 8, 6, 4, 2)]
    for score, share in zip(scores, (1, 0.8, 0.6, 0.4, 0.2), strict=True):
        assert score["precision"] > 0.8
        assert share * 0.75 < score["recall"] <= share
        assert share * 0.9 < score["coverage"] <= share
        assert 0.7 < score["density"] < 1.3


def test_samples_that_crowd_at_the_modes_are_denser_than_real_ones() -> None:
    reference = modes(600, range(10), seed=0)
    crowded = manifold(modes(600, range(10), seed=1, spread=0.02), reference)
    assert crowded["density"] > 2
    assert crowded["precision"] == 1
    assert crowded["recall"] < 0.2


def test_outliers_cost_precision_but_no_coverage() -> None:
    reference, good = modes(600, range(10), seed=0), modes(600, range(10), seed=1)
    scores = manifold(torch.cat([good, good[:200] + 20]), reference)
    alone = manifold(good, reference)
    assert scores["precision"] == pytest.approx(alone["precision"] * 0.75)
    assert scores["density"] == pytest.approx(alone["density"] * 0.75)
    assert scores["coverage"] == alone["coverage"]


def test_errors_of_means_are_binomial() -> None:
    scores = metrics.manifold(X, Y)
    for name, count in (("precision", 500), ("recall", 500), ("coverage", 500)):
        value, error = scores[name]
        assert 0 < value < 1
        assert error == pytest.approx(math.sqrt(value * (1 - value) / (count - 1)))


def test_a_sample_on_the_rim_is_within_for_precision_but_not_for_density() -> None:
    """Seven points 1 apart on a line and a sample beyond them, just as far from the last as its third neighbour."""
    line = torch.arange(7.0)[:, None]
    scores = metrics.manifold(torch.cat([line + 1_000, torch.tensor([[9.0]])]), line)
    assert scores["precision"].value == 1 / 8
    assert metrics.manifold(line, torch.cat([line + 1_000, torch.tensor([[9.0]])]))["recall"].value == 1 / 8
    further = metrics.manifold(torch.cat([line + 1_000, torch.tensor([[9.1]])]), line)
    assert further["precision"].value == 0
    assert metrics.manifold(line, torch.cat([line + 1_000, torch.tensor([[9.1]])]))["recall"].value == 0
    beyond = metrics.manifold(torch.cat([line + 1_000, torch.tensor([[11.0]])]), line)  # as its fifth neighbour
    assert (beyond["density"].value, beyond["coverage"].value) == (0, 0)
    nearer = metrics.manifold(torch.cat([line + 1_000, torch.tensor([[10.9]])]), line)
    assert (nearer["density"].value, nearer["coverage"].value) == (1 / 8 / 5, 1 / 7)
    # One of 8 samples lies in 1 of 5 balls, and one of 7 balls holds 7/8 of a sample too many, over 5.
    assert nearer["density"].error == pytest.approx(math.hypot(1 / 8 / 5, 7 / 8 / 5 / 7))


def test_errors_of_density_are_calibrated() -> None:
    """Over samples and real pictures; they say a little too much or too little, as neighbourhoods overlap."""
    runs = [metrics.manifold(1.1 * normal(150, 4, 2 * seed), normal(200, 4, 2 * seed + 1)) for seed in range(100)]
    assert 0.6 < spread_over_error([run["density"] for run in runs]) < 1.6


def test_neighbourhoods_need_enough_pictures() -> None:
    assert set(metrics.manifold(X[:6], X[:6]))
    with pytest.raises(UserError, match="of 5 need more than 5 images"):
        metrics.manifold(X, X[:5])
    with pytest.raises(UserError, match="of 5 need more than 3 images"):
        metrics.manifold(X[:3], X)
