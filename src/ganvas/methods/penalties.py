"""Gradient penalties of discriminators."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from ganvas.core.errors import UserError


def squared_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Mean squared gradient of D's logits [B] at images [B, C, H, W] (Mescheder et al., 2018), differentiable."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean()


def refuse_spectral_norm(discriminator: nn.Module, what: str) -> None:
    """Raise UserError if D has spectral norms, which `what` cannot be combined with."""
    if any(is_parametrized(module) for module in discriminator.modules()):
        raise UserError(f"{what} needs a D whose weights are not normalised: use network.d_norm=none")


def refuse_batch_norm(discriminator: nn.Module, what: str) -> None:
    """Raise UserError if D uses batch norm, as `what` is defined for each image separately."""
    norms = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d
    if any(isinstance(module, norms) for module in discriminator.modules()):
        raise UserError(
            f"{what} needs a D that sees each image by itself: use dcgan or resnet with network.d_norm=none"
        )
