"""The jackknife is what it should be."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ganvas import metrics
from ganvas.metrics import Moments, Score, uncertainty
from tests.metrics.vectors import normal


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    """Exactly that over the groups' means, and over the values within the chance of 20 groups."""
    values = normal(2_000, 1).double()[:, 0]
    groups = values.view(uncertainty.GROUPS, -1)
    error = uncertainty.jackknife([((values.sum() - group.sum()) / 1_900).item() for group in groups])
    assert error == pytest.approx((groups.mean(1).std() / math.sqrt(uncertainty.GROUPS)).item(), rel=1e-9)
    assert error == pytest.approx(uncertainty.mean_with_error(values).error, rel=0.4)


def test_two_values_have_an_error_and_one_has_none() -> None:
    assert uncertainty.mean_with_error(torch.tensor([0, 1])) == pytest.approx((0.5, 0.5))
    assert uncertainty.mean_with_error(torch.tensor([3])) == (3, None)


PAIR, OTHER = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[2.0, 0.5], [0.0, 3.0]])
ALIKE = PAIR.repeat(uncertainty.GROUPS, 1)


@pytest.mark.parametrize(
    "score",
    [
        lambda x: metrics.class_kl((x[:, 1] > 1).long(), torch.tensor([0.7, 0.3])),
        lambda x: metrics.fid(x, Moments.of(2 * PAIR)),
        lambda x: metrics.kid(x, 2 * ALIKE),
        lambda x: metrics.kid(2 * ALIKE, x),
        metrics.vendi,
    ],
    ids=["class_kl", "fid", "kid of samples", "kid of a reference", "vendi"],
)
def test_errors_are_of_groups_left_out_in_turn(score: Callable[[Tensor], Score]) -> None:
    """Of 20 groups 19 are alike: without them the score is a, without the other one b, and the error 0.95 |a - b|."""
    points = torch.cat([OTHER, ALIKE[2:]])
    a, b = score(points[:-2]).value, score(points[2:]).value
    assert abs(a - b) > 1e-3
    assert score(points).error == pytest.approx(0.95 * abs(a - b), rel=1e-6)
