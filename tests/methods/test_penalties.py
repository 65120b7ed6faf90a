import pytest
import torch
from torch import nn

from ganvas.core.errors import UserError
from ganvas.methods.penalties import refuse_batch_norm, refuse_spectral_norm, squared_gradient
from ganvas.networks.spectral import spectral_norm


def test_the_squared_gradient() -> None:
    images = torch.randn(5, 2, 3, 3, requires_grad=True)
    weights = torch.randn(2, 3, 3)
    penalty = squared_gradient((images * weights).sum((1, 2, 3)), images)
    assert penalty.item() == pytest.approx(weights.square().sum().item(), rel=1e-5)


def test_batch_norm_is_refused() -> None:
    refuse_batch_norm(nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2)), "the penalty")
    with pytest.raises(UserError, match=r"^the penalty needs a D .* network\.d_norm=none"):
        refuse_batch_norm(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), "the penalty")


def test_spectral_norm_is_refused() -> None:
    layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 2))
    refuse_spectral_norm(layers, "the step")
    spectral_norm(layers)
    with pytest.raises(
        UserError, match=r"^the step needs a D whose weights are not normalised: use network\.d_norm=none"
    ):
        refuse_spectral_norm(layers, "the step")
