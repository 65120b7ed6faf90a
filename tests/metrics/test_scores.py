"""Closed forms and properties of every score; tests/test_peers.py holds them against independent code."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.metrics import scores as metrics
from ganvas.metrics.scores import METRICS, Moments, Score, sliced_wasserstein

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


# -- the table --------------------------------------------------------------------------------------------------------


def test_every_metric_is_described() -> None:
    for metric in METRICS.values():
        assert metric.version >= 1
        assert metric.title
        assert metric.what


# -- sliced Wasserstein -----------------------------------------------------------------------------------------------


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
    assert sliced_wasserstein(X, X + shift, projections=20_000) == pytest.approx(2.0, rel=0.03)


def test_sets_of_unlike_size_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        sliced_wasserstein(X, Y[:10])


# -- moments ----------------------------------------------------------------------------------------------------------


def test_moments_are_those_of_numpy() -> None:
    moments = Moments.of(X + 3)
    values = (X + 3).double().numpy()
    assert moments.count == 500
    assert np.allclose(moments.mean, values.mean(0), atol=1e-12)
    assert np.allclose(moments.covariance, np.cov(values.T), atol=1e-12)


@quick
@given(SEEDS, st.lists(st.integers(1, 60), min_size=2, max_size=5))
def test_moments_add_up_and_take_away(seed: int, sizes: list[int]) -> None:
    parts = normal(sum(sizes), 6, seed).split(sizes)
    whole = metrics._sum([Moments.of(part) for part in parts])
    rest, once = whole - Moments.of(parts[0]), Moments.of(torch.cat(parts[1:]))
    for a, b in ((whole, Moments.of(torch.cat(parts))), (rest, once)):
        assert a.count == b.count
        assert torch.allclose(a.total, b.total, atol=1e-9)
        assert torch.allclose(a.outer, b.outer, atol=1e-9)


# -- Fréchet distances ------------------------------------------------------------------------------------------------


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
    """Covariances without full rank, of disjoint features: no mixed term is left."""
    a, b = torch.zeros(2, 12, 40)
    a[:, :20], b[:, 20:] = normal(12, 20), normal(12, 20, seed=1)
    left, right = Moments.of(a), Moments.of(b)
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


def spread_over_error(scores: list[Score]) -> float:
    return float(np.std([score.value for score in scores]) / np.mean([score.error for score in scores]))


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
    assert metrics.fid_infinity(2 * X, reference).value < metrics.fid(2 * X, reference).value


def test_errors_of_fid_infinity_are_roughly_calibrated() -> None:
    """Each group left out means other random subsets, which adds to the error: it is rather too large."""
    reference = gaussian(torch.zeros(3), torch.eye(3))
    scores = [metrics.fid_infinity(1.3 * normal(200, 3, seed) + 0.7, reference, points=8) for seed in range(40)]
    assert 0.6 < spread_over_error(scores) < 1.6


def test_fid_is_refused_for_few_pictures() -> None:
    assert metrics.fid_refusal(2_000, 60_000, 128) is None
    assert metrics.fid_refusal(8_192, 8_192, 2_048) is None
    assert "2,000 pictures on both sides for 128 features, not 1,999 samples" in metrics.fid_refusal(1_999, 5_000, 128)
    assert "8,192 pictures on both sides for 2048 features, not 5,000 real" in metrics.fid_refusal(9_000, 5_000, 2_048)


# -- KID --------------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(metrics, "GROUPS", 8)  # the same error on average, for a sixth of the work
    scores = [metrics.kid(normal(150, 6, 2 * seed), normal(200, 6, 2 * seed + 1)) for seed in range(100)]
    values = np.array([score.value for score in scores])
    assert abs(values.mean()) < 2.5 * values.std() / math.sqrt(len(values))
    assert (values < 0).any()
    assert 0.6 < spread_over_error(scores) < 1


def test_errors_of_kid_are_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "GROUPS", 8)
    scores = [metrics.kid(1.3 * normal(150, 6, 2 * seed) + 0.5, normal(200, 6, 2 * seed + 1)) for seed in range(100)]
    assert 0.8 < spread_over_error(scores) < 1.25


# -- neighbourhoods ---------------------------------------------------------------------------------------------------


def test_distances_of_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    points, others = normal(67, 6), normal(101, 6, seed=1)
    points[5] = points[9]  # twins are each other's neighbours
    pairs = torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    own = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(math.inf).amin(1)
    for block in (1_000, 10, 3, 1):  # 67 = 8 · 8 + 3 points: whole and broken blocks of others as well
        monkeypatch.setattr(metrics, "BLOCK", block)
        assert torch.allclose(metrics.nearest_distances(points, others), pairs, atol=2e-3)
        first = metrics.nearest_distances(points[:31], points, leave_out_self=True)  # some of one set, in its order
        assert torch.allclose(first, own[:31], atol=2e-3)
        alone = metrics.nearest_distances(points, points, leave_out_self=True)
        assert torch.allclose(alone, own, atol=2e-3)
        assert metrics.nearest_distances(points, points).max() < 2e-3
        assert alone[[5, 9]].max() < 2e-3
        assert torch.equal(metrics.nearest(points, others)[1], torch.cdist(points, others).argmin(1))
        some = torch.tensor([60, 3, 9])
        assert metrics.nearest(points[some], points, own=some)[1][2] == 5
        assert torch.allclose(metrics.nearest(points[some], points, own=some)[0], own[some], atol=2e-3)
    assert (own > 0.1).sum() > 60


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
    assert set(manifold(X + 100, X).values()) == {0}


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


def modes(count: int, chosen: range, seed: int, spread: float = 0.1) -> Tensor:
    """Points around some of ten far corners, the same number around each."""
    labels = torch.arange(count) % len(chosen) + chosen.start
    return 5 * torch.eye(10)[labels] + spread * normal(count, 10, seed)


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
    beyond = metrics.manifold(torch.cat([line + 1_000, torch.tensor([[11.0]])]), line)  # as its fifth neighbour
    assert (beyond["density"].value, beyond["coverage"].value) == (0, 0)
    nearer = metrics.manifold(torch.cat([line + 1_000, torch.tensor([[10.9]])]), line)
    assert (nearer["density"].value, nearer["coverage"].value) == (1 / 8 / 5, 1 / 7)


def test_errors_of_density_are_calibrated() -> None:
    """Over samples and real pictures; they say a little too much or too little, as neighbourhoods overlap."""
    runs = [metrics.manifold(1.1 * normal(150, 4, 2 * seed), normal(200, 4, 2 * seed + 1)) for seed in range(100)]
    assert 0.6 < spread_over_error([run["density"] for run in runs]) < 1.6


def test_neighbourhoods_need_enough_pictures() -> None:
    assert set(metrics.manifold(X[:6], X[:6]))
    with pytest.raises(UserError, match="of 5 need more than 5 pictures"):
        metrics.manifold(X, X[:5])
    with pytest.raises(UserError, match="of 5 need more than 3 pictures"):
        metrics.manifold(X[:3], X)


# -- copies -----------------------------------------------------------------------------------------------------------


def nearness(points: Tensor, seen: Tensor, unseen: Tensor) -> Tensor:
    """What `copy_rate` takes: the distance to the nearest of the seen over that to the nearest of the other unseen."""
    further = metrics.nearest_distances(points, unseen, leave_out_self=points is unseen)
    return metrics.nearest_distances(points, seen) / further


def test_copies_are_found_and_unseen_pictures_are_not() -> None:
    train, test, fresh = normal(2_000, 8), normal(2_000, 8, seed=1), normal(4_000, 8, seed=2)
    real = nearness(test, train, test)
    rates = []
    for copies in (0, 1_000, 2_000, 4_000):
        samples = torch.cat([train.repeat(2, 1)[:copies], fresh[copies:]])
        rates.append(metrics.copy_rate(nearness(samples, train, test), real))
    assert rates[-1].value == 1
    for rate, share in zip(rates, (0, 0.25, 0.5, 1), strict=True):
        assert share <= rate.value < share + 0.005
    assert metrics.copy_rate(real, real).value < 0.005


def test_the_error_of_the_copy_rate_is_that_of_a_share() -> None:
    real, samples = torch.linspace(0.5, 2, 1_000), torch.tensor([0.2] * 30 + [1.5] * 70)
    assert metrics.copy_rate(samples, real) == pytest.approx((0.3, math.sqrt(0.3 * 0.7 / 99)))
    assert metrics.copy_rate(samples[:30], real) == (1, 0)
    assert metrics.copy_rate(samples[:1], real) == (1, None)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_errors_of_the_copy_rate_are_calibrated(share: float) -> None:
    """Over other samples and other unseen pictures; the training pictures stay."""
    train, scores = normal(600, 4), []
    for seed in range(1, 101):
        test, fresh = normal(500, 4, 2 * seed), normal(500, 4, 2 * seed + 1)
        copied = torch.rand(500, 1, generator=torch.Generator().manual_seed(seed)) < share
        samples = torch.where(copied, train[:500], fresh)
        scores.append(metrics.copy_rate(nearness(samples, train, test), nearness(test, train, test)))
    values = [score.value for score in scores]
    assert np.mean(values) == pytest.approx(share, abs=0.01)
    assert 0.6 < spread_over_error(scores) < 1.6


SPREADS = torch.tensor([0.1, 0.3, 1.0, 3.0])  # of four modes far apart: plain pictures are in the first


def unlike_modes(labels: Tensor, seed: int) -> Tensor:
    return 20 * torch.eye(6)[labels] + SPREADS[labels, None] * normal(len(labels), 6, seed)


def test_plain_pictures_are_no_copies() -> None:
    """They are near to everything of their kind, seen or not; a tenth of the pictures is plain, and all samples are."""
    labels = torch.tensor([0] + 3 * [1] + 3 * [2] + 3 * [3]).repeat(300)
    train, test = unlike_modes(labels, seed=0), unlike_modes(labels, seed=1)
    plain = unlike_modes(torch.zeros(1_000, dtype=torch.long), seed=2)
    distances = [metrics.nearest_distances(points, train) for points in (plain, test)]
    assert (distances[0] < distances[1].quantile(0.01)).float().mean() > 0.05  # what distances alone would say
    real = nearness(test, train, test)
    assert metrics.copy_rate(nearness(plain, train, test), real).value < 0.005


def test_copies_of_rare_pictures_are_found_though_they_are_not_near() -> None:
    """Near copies from the widest mode: most of them are further from their originals than a quarter of the unseen
    pictures are from the nearest training picture."""
    labels = torch.arange(2_000) % 4
    train, test = unlike_modes(labels, seed=0), unlike_modes(labels, seed=1)
    samples = train[labels == 3] + 0.1 * normal(500, 6, seed=2)
    distances = [metrics.nearest_distances(points, train) for points in (samples, test)]
    assert (distances[0] < distances[1].quantile(0.01)).float().mean() <= 0.01  # what distances alone would say
    assert (distances[0] > distances[1].quantile(0.25)).float().mean() > 0.7
    assert metrics.copy_rate(nearness(samples, train, test), nearness(test, train, test)).value > 0.9


def test_samples_as_near_as_the_threshold_are_no_copies() -> None:
    real = 1 / 16 + torch.arange(101.0) / 2  # its quantile of 0.01 is 9/16, and the threshold 27/64
    samples = torch.tensor([0.0, 0.4218, 27 / 64, 0.4219, 9 / 16])
    assert metrics.copy_rate(samples, real).value == pytest.approx(0.4)


def test_at_more_than_half_the_distance_nothing_is_a_copy() -> None:
    samples = torch.tensor([0.49, 0.51, 0.7])
    assert metrics.copy_rate(samples, 0.9 + torch.arange(101.0) / 100).value == pytest.approx(1 / 3)


def test_twins_among_the_real_pictures_do_not_hide_copies() -> None:
    real = torch.cat([torch.zeros(5), torch.ones(95)])
    assert metrics.copy_rate(torch.tensor([0.0, 0.24, 0.25, 0.9]), real).value == pytest.approx(0.5)


# -- variety ----------------------------------------------------------------------------------------------------------


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


# -- classes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 10])
def test_inception_score_of_extremes(classes: int) -> None:
    perfect = torch.eye(classes).repeat(100, 1)
    assert metrics.inception_score(perfect) == pytest.approx((classes, 0))
    assert metrics.inception_score(perfect[:1].repeat(500, 1)) == pytest.approx((1, 0))
    assert metrics.inception_score(torch.full((500, classes), 1 / classes)) == pytest.approx((1, 0))


def test_inception_score_is_exp_of_mutual_information() -> None:
    """H(mean) - mean H: pictures of two classes, each 90 % sure."""
    pictures = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).repeat(50, 1)
    expected = 2 * math.exp(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert metrics.inception_score(pictures, splits=5).value == pytest.approx(expected)


def test_inception_score_is_a_mean_over_splits() -> None:
    """Half of the splits with two classes, the other half with one: 1.5 ± 0.5."""
    pictures = torch.cat([torch.eye(2).repeat(50, 1), torch.eye(2)[:1].repeat(100, 1)])
    assert metrics.inception_score(pictures, splits=2) == pytest.approx((1.5, 0.5))
    assert metrics.inception_score(pictures, splits=10) == pytest.approx((1.5, 0.5))


def test_class_kl_of_extremes() -> None:
    equal = torch.full((10,), 0.1)
    assert metrics.class_kl(torch.arange(1_000) % 10, equal) == pytest.approx((0, 0), abs=1e-4)
    assert metrics.class_kl(torch.full((1_000,), 3), equal) == pytest.approx((math.log(10), 0))
    assert metrics.class_kl(torch.arange(1_000) % 5, equal).value == pytest.approx(math.log(2))
    uneven = torch.tensor([0.75, 0.25])
    assert metrics.class_kl(torch.arange(1_000) % 4 // 3, uneven).value == pytest.approx(0, abs=1e-12)
    assert metrics.class_kl(torch.arange(1_000) % 2, uneven).value == pytest.approx(-0.5 * math.log(0.75))


def test_a_class_that_the_data_do_not_have_costs_much_but_not_everything() -> None:
    assert 5 < metrics.class_kl(torch.arange(100) % 2, torch.tensor([1.0, 0.0])).value < 50


def test_errors_of_class_kl_are_calibrated() -> None:
    rng, shares = np.random.default_rng(0), torch.full((4,), 0.25)
    scores = [
        metrics.class_kl(torch.from_numpy(rng.choice(4, 600, p=[0.4, 0.3, 0.2, 0.1])), shares) for _ in range(200)
    ]
    assert 0.8 < spread_over_error(scores) < 1.25


def test_effective_classes() -> None:
    assert metrics.effective_classes(torch.arange(700) % 7) == pytest.approx(7)
    assert metrics.effective_classes(torch.full((64,), 3)) == pytest.approx(1)
    assert metrics.effective_classes(torch.tensor([0, 0, 0, 1])) == pytest.approx(4 / 3**0.75)


def test_a_class_is_present_from_a_tenth_of_its_share() -> None:
    shares = torch.tensor([0.5, 0.4, 0.1, 0.0])

    def present(*counts: int) -> float:
        return metrics.classes_present(torch.arange(4).repeat_interleave(torch.tensor(counts)), shares).value

    assert present(460, 440, 100, 0) == 3
    assert present(948, 41, 11, 0) == 3  # of 40 and 10 that are asked for
    assert present(950, 41, 9, 0) == 2
    assert present(961, 39, 0, 0) == 1
    assert present(0, 0, 0, 1_000) == 0  # the data have none of these


def test_label_accuracy() -> None:
    predicted = torch.tensor([1, 2, 3, 4])
    assert metrics.label_accuracy(predicted, predicted) == (1, 0)
    value, error = metrics.label_accuracy(predicted, torch.tensor([1, 2, 3, 0]))
    assert value == 0.75
    assert error == pytest.approx(math.sqrt(0.75 * 0.25 / 3))
    assert metrics.label_accuracy(predicted[:1], predicted[:1]) == (1, None)


# -- uncertainty ------------------------------------------------------------------------------------------------------


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    """Exactly that over the groups' means, and over the values within the chance of 20 groups."""
    values = normal(2_000, 1).double()[:, 0]
    groups = values.view(metrics.GROUPS, -1)
    error = metrics._jackknife([((values.sum() - group.sum()) / 1_900).item() for group in groups])
    assert error == pytest.approx((groups.mean(1).std() / math.sqrt(metrics.GROUPS)).item(), rel=1e-9)
    assert error == pytest.approx(metrics._mean(values).error, rel=0.4)


def test_the_error_of_fid_shrinks_with_the_root_of_the_samples() -> None:
    reference = gaussian(torch.zeros(6), torch.eye(6))
    few, many = (
        np.mean([metrics.fid(1.3 * normal(count, 6, seed), reference).error for seed in range(12)])
        for count in (400, 6_400)
    )
    assert few / many == pytest.approx(4, rel=0.2)


# -- all together -----------------------------------------------------------------------------------------------------

SCORES: dict[str, Callable[[], object]] = {
    "moments": lambda: Moments.of(X).covariance.flatten().tolist(),
    "fid": lambda: metrics.fid(X, Moments.of(Y)),
    "fid_infinity": lambda: metrics.fid_infinity(X, Moments.of(Y)),
    "kid": lambda: metrics.kid(X, Y),
    "manifold": lambda: [part for score in metrics.manifold(X, Y[:300]).values() for part in score],
    "vendi": lambda: metrics.vendi(X),
    "nearest": lambda: metrics.nearest_distances(X.round(), Y.round()).tolist(),  # whole numbers: float32 is exact
}


@pytest.mark.parametrize("name", SCORES)
def test_no_score_depends_on_the_size_of_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = SCORES[name]()
    for block in (7, 64):
        monkeypatch.setattr(metrics, "BLOCK", block)
        assert SCORES[name]() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def every_score(samples: Tensor, reference: Tensor) -> dict[str, float]:
    labels = samples.argmax(1)
    scores = {
        "fid": metrics.fid(samples, Moments.of(reference)),
        "kid": metrics.kid(samples, reference),
        "inception_score": metrics.inception_score(torch.softmax(2 * samples, 1)),
        **metrics.manifold(samples, reference),
        "vendi": metrics.vendi(samples),
        "class_kl": metrics.class_kl(labels, torch.full((10,), 0.1)),
        "classes_present": metrics.classes_present(labels, torch.full((10,), 0.1)),
    }
    return {name: score.value for name, score in scores.items()}


def noisy(level: float) -> Tensor:
    return modes(600, range(10), seed=1) + level * normal(600, 10, seed=2)


def fewer_modes(level: float) -> Tensor:
    return modes(600, range(10 - int(level)), seed=1)


def repeated(level: float) -> Tensor:
    return modes(600, range(10), seed=1)[: int(600 / level)].repeat(int(level), 1)


def shuffled(points: Tensor) -> Tensor:
    return points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize(
    ("damage", "levels", "rises", "falls"),
    [
        (noisy, (0, 0.3, 1, 3), ["fid", "kid"], ["precision", "density", "coverage"]),
        (
            fewer_modes,
            (0, 3, 6, 8),
            ["fid", "kid", "class_kl"],
            ["recall", "coverage", "vendi", "inception_score", "classes_present"],
        ),
        (repeated, (1, 2, 4), [], ["recall", "coverage"]),
    ],
)
def test_scores_respond_to_damage_in_order(
    damage: Callable[[float], Tensor], levels: tuple[float, ...], rises: list[str], falls: list[str]
) -> None:
    reference = modes(600, range(10), seed=0)
    found = [every_score(shuffled(damage(level)), reference) for level in levels]
    for name in rises + falls:
        values = [scores[name] * (1 if name in rises else -1) for scores in found]
        assert values == sorted(values), name
        assert values[0] < values[1], name  # the last ones may all be 0


def test_copies_deceive_every_score_but_the_copy_rate() -> None:
    """Why it is there: the training pictures themselves score better than unseen real ones."""
    train, unseen = modes(600, range(10), seed=0), modes(600, range(10), seed=1)
    copied, honest = every_score(train, train), every_score(unseen, train)
    assert all(copied[name] >= honest[name] for name in ("precision", "recall", "density", "coverage"))
    assert max(copied["fid"], copied["kid"]) < min(honest["fid"], 1e-6)
    real = nearness(unseen, train, unseen)
    assert metrics.copy_rate(nearness(train, train, unseen), real).value == 1


def test_mean_distance() -> None:
    pictures = np.zeros((3, 2, 2, 1), np.uint8)
    pictures[2] = 6
    assert metrics.mean_distance(pictures) == pytest.approx(4)  # 0, 6, 6
    assert metrics.mean_distance(pictures[:1]) == 0
