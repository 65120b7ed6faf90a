"""Closed forms of the scores of classes."""

import math

import numpy as np
import pytest
import torch

from ganvas import metrics
from tests.metrics.vectors import spread_over_error


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

    assert metrics.classes_present(torch.arange(4), shares) == (3, None)
    assert present(460, 440, 100, 0) == 3
    assert present(948, 41, 11, 0) == 3  # of 40 and 10 that are asked for
    assert present(950, 40, 10, 0) == 3  # just as many
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
