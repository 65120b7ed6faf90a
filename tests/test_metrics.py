import pytest
import torch

from ganvas.metrics import sliced_wasserstein

X = torch.randn(500, 20, generator=torch.Generator().manual_seed(0))
Y = torch.randn(500, 20, generator=torch.Generator().manual_seed(1))


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
