"""Closed forms and properties of FID, FID∞ and KID."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas import metrics
from ganvas.metrics import Moments, distances
from tests.metrics.vectors import SEEDS, X, Y, gaussian, normal, quick, rotation, spread_over_error


@quick
@given(SEEDS)
def test_frechet_distance_of_gaussians_with_the_same_axes(seed: int) -> None:
    """|m - n|² + sum of (√a - √b)² over the variances along the common axes."""
    axes, (means, scales) = rotation(7, seed), (normal(2, 7, seed), normal(2, 7, seed + 1).double().abs())
    a, b = (gaussian(mean, axes * scale**2 @ axes.T) for mean, scale in zip(means, scales, strict=True))
    expected = (means[0].double() - means[1].double()).square().sum() + (scales[0] - scales[1]).square().sum()
    assert metrics.frechet(a, b) == pytest.approx(expected.item(), rel=1e-9, abs=1e-6)
    assert metrics.frechet(b, a) == pytest.approx(expected.item(), rel=1e-9, abs=1e-6)


@quick
@given(SEEDS)
def test_frechet_distance_in_the_plane_with_any_axes(seed: int) -> None:
    """tr (AB)^½ of two 2x2 covariances is √(tr AB + 2 √(det AB))."""
    halves = normal(4, 2, seed).double().view(2, 2, 2)
    covariances = halves @ halves.mT + 0.01 * torch.eye(2)
    product = covariances[0] @ covariances[1]
    mixed = (product.trace() + 2 * torch.linalg.det(product).sqrt()).sqrt()
    expected = sum(covariance.trace() for covariance in covariances) - 2 * mixed
    a, b = (gaussian(torch.ones(2), covariance) for covariance in covariances)
    assert metrics.frechet(a, b) == pytest.approx(float(expected), rel=1e-6, abs=1e-7)


@quick
@given(SEEDS, st.floats(-50, 50))
def test_frechet_distance_is_symmetric_and_knows_no_origin(seed: int, shift: float) -> None:
    a, b = normal(60, 5, seed), 2 * normal(80, 5, seed + 1) + 1
    distance = metrics.frechet(Moments.of(a), Moments.of(b))
    assert metrics.frechet(Moments.of(b), Moments.of(a)) == pytest.approx(distance, rel=1e-9)
    # Shifted numbers are rounded to float32 anew.
    assert metrics.frechet(Moments.of(a + shift), Moments.of(b + shift)) == pytest.approx(distance, rel=1e-4)
    turn = rotation(5, seed)
    turned = (Moments.of(part.double() @ turn) for part in (a, b))
    assert metrics.frechet(*turned) == pytest.approx(distance, rel=1e-9)


@quick
@given(SEEDS, st.floats(0.01, 100))
def test_frechet_distance_of_a_shift_is_its_square(seed: int, length: float) -> None:
    points = normal(60, 5, seed).double()
    shift = torch.nn.functional.normalize(normal(1, 5, seed + 1).double()) * length
    a, b = Moments.of(points), Moments.of(points + shift)
    assert metrics.frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert metrics.frechet(a, b) == pytest.approx(length**2, rel=1e-6, abs=1e-6)


def test_frechet_distance_with_fewer_vectors_than_features() -> None:
    """Covariances without full rank, along different axes: no mixed term is left."""
    a, b = torch.zeros(2, 12, 40, dtype=torch.float64)
    a[:, :20], b[:, 20:] = normal(12, 20), normal(12, 20, seed=1)
    for turn in (torch.eye(40, dtype=torch.float64), rotation(40)):
        left, right = Moments.of(a @ turn), Moments.of(b @ turn)
        expected = (a.mean(0) - b.mean(0)).square().sum() + left.covariance.trace() + right.covariance.trace()
        assert metrics.frechet(left, right) == pytest.approx(expected.item(), rel=1e-5)


def test_fid_of_samples_nears_the_closed_form() -> None:
    """Means 1 apart along 2 of 8 axes, scales 1 and 1.5: 2 + 8 · 0.5² = 4."""
    shift = torch.tensor([1.0, 0, 0, 1, 0, 0, 0, 0])
    samples, reference = 1.5 * normal(40_000, 8) + shift, gaussian(torch.zeros(8), torch.eye(8))
    score = metrics.fid(samples, reference)
    assert score.value == pytest.approx(4, abs=4 * score.error)
    assert score.error < 0.03
    assert score.value == pytest.approx(metrics.frechet(Moments.of(samples), reference))


def test_errors_of_fid_are_calibrated() -> None:
    reference = gaussian(torch.zeros(6), torch.eye(6))
    scores = [metrics.fid(1.3 * normal(400, 6, seed) + 0.2, reference) for seed in range(100)]
    assert 0.8 < spread_over_error(scores) < 1.25


def test_fid_infinity_removes_most_of_the_bias() -> None:
    reference = gaussian(torch.zeros(16), torch.eye(16))
    plain, extrapolated = (
        np.mean([score(normal(1_000, 16, seed), reference).value for seed in range(12)])
        for score in (metrics.fid, metrics.fid_infinity)
    )
    assert plain > 0.05  # the true distance is 0
    assert abs(extrapolated) < 0.2 * plain


def test_fid_infinity_depends_on_its_seed_alone() -> None:
    reference = Moments.of(Y)
    scores = [metrics.fid_infinity(2 * X, reference, seed=seed) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]
    assert 0 < scores[0].error < scores[0].value / 10
    assert metrics.fid_infinity(2 * X, reference) == scores[0]
    assert scores[0].value < metrics.fid(2 * X, reference).value


def test_errors_of_fid_infinity_are_roughly_calibrated() -> None:
    """Each group left out means other random subsets, which adds to the error: it is rather too large."""
    reference = gaussian(torch.zeros(3), torch.eye(3))
    scores = [metrics.fid_infinity(1.3 * normal(200, 3, seed) + 0.7, reference, points=8) for seed in range(40)]
    assert 0.6 < spread_over_error(scores) < 1.6


def test_fid_is_refused_for_few_pictures() -> None:
    assert metrics.fid_refusal(2_000, 60_000, 128) is None
    assert metrics.fid_refusal(8_192, 8_192, 2_048) is None
    assert "2,000 images on both sides for 128 features, not 1,999 samples" in metrics.fid_refusal(1_999, 5_000, 128)
    assert "8,192 images on both sides for 2048 features, not 5,000 real" in metrics.fid_refusal(9_000, 5_000, 2_048)
    assert "not 1,000 real" in metrics.fid_refusal(2_000, 1_000, 128)


def test_the_error_of_fid_shrinks_with_the_root_of_the_samples() -> None:
    reference = gaussian(torch.zeros(6), torch.eye(6))
    few, many = (
        np.mean([metrics.fid(1.3 * normal(count, 6, seed), reference).error for seed in range(12)])
        for count in (400, 6_400)
    )
    assert few / many == pytest.approx(4, rel=0.2)


def test_kid_is_the_double_loop_over_all_pairs() -> None:
    x, y = 1.2 * normal(43, 5).numpy().astype(float), normal(37, 5, seed=1).numpy().astype(float)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 5 + 1) ** 3)

    within = [
        np.mean([kernel(points[i], points[j]) for i in range(len(points)) for j in range(len(points)) if i != j])
        for points in (x, y)
    ]
    expected = sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y])
    assert metrics.kid(torch.tensor(x), torch.tensor(y)).value == pytest.approx(expected, rel=1e-10)


@settings(quick, max_examples=5)
@given(SEEDS, st.integers(25, 60), st.integers(25, 60))
def test_kid_is_symmetric_and_knows_no_axes(seed: int, n: int, m: int) -> None:
    x, y, turn = normal(n, 4, seed).double(), 1.5 * normal(m, 4, seed + 1).double(), rotation(4, seed)
    there, back, turned = metrics.kid(x, y), metrics.kid(y, x), metrics.kid(x @ turn, y @ turn)
    for other in (back, turned):
        assert other.value == pytest.approx(there.value, rel=1e-9, abs=1e-12)
        assert other.error == pytest.approx(there.error, rel=1e-9)


def test_kid_is_unbiased_and_its_error_is_not_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between equal distributions. There all of MMD² is of second order, which a jackknife overstates by √2."""
    monkeypatch.setattr(distances, "GROUPS", 8)  # the same error on average, for a sixth of the work
    scores = [metrics.kid(normal(150, 6, 2 * seed), normal(200, 6, 2 * seed + 1)) for seed in range(100)]
    values = np.array([score.value for score in scores])
    assert abs(values.mean()) < 2.5 * values.std() / math.sqrt(len(values))
    assert (values < 0).any()
    assert 0.6 < spread_over_error(scores) < 1


def test_errors_of_kid_are_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "GROUPS", 8)
    scores = [metrics.kid(1.3 * normal(150, 6, 2 * seed) + 0.5, normal(200, 6, 2 * seed + 1)) for seed in range(100)]
    assert 0.8 < spread_over_error(scores) < 1.25
