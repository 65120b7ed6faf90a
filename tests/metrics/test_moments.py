"""Moments are those of numpy, and add up."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganvas.metrics import Moments, moments
from tests.metrics.vectors import SEEDS, X, normal, quick


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
    whole = moments.total([Moments.of(part) for part in parts])
    rest, once = whole - Moments.of(parts[0]), Moments.of(torch.cat(parts[1:]))
    for a, b in ((whole, Moments.of(torch.cat(parts))), (rest, once)):
        assert a.count == b.count
        assert torch.allclose(a.total, b.total, atol=1e-9)
        assert torch.allclose(a.outer, b.outer, atol=1e-9)
