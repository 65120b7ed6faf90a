"""The jackknife is what it should be."""

import math

import pytest

from ganvas.metrics import uncertainty
from tests.metrics.vectors import normal


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    """Exactly that over the groups' means, and over the values within the chance of 20 groups."""
    values = normal(2_000, 1).double()[:, 0]
    groups = values.view(uncertainty.GROUPS, -1)
    error = uncertainty.jackknife([((values.sum() - group.sum()) / 1_900).item() for group in groups])
    assert error == pytest.approx((groups.mean(1).std() / math.sqrt(uncertainty.GROUPS)).item(), rel=1e-9)
    assert error == pytest.approx(uncertainty.mean_with_error(values).error, rel=0.4)
