"""Copies are found; unseen, plain and rare images are not taken for copies."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvas import metrics
from tests.metrics.vectors import nearness, normal, spread_over_error


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
