"""Networks in float64 and their gradients, to compare kernels with."""

from collections.abc import Callable

import torch
from torch import Tensor

from ganvas.networks.kernels import Weights

Network = Callable[[Tensor, Tensor, Weights], Tensor]


def double(v: Tensor, place: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Weights]:
    return v.double(), place.double(), Weights(*(weight.double() for weight in weights))


def gradients(function: Network, v: Tensor, place: Tensor, weights: Weights) -> list[Tensor]:
    """Of v and all weights, under fixed random gradients of the logits."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in (v, *weights)]
    logits = function(leaves[0], place, Weights(*leaves[1:]))
    outer = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    return list(torch.autograd.grad(logits, leaves, outer.to(logits.dtype), materialize_grads=True))


def error(found: Tensor, expected: Tensor) -> float:
    """Relative to the norm of what was expected."""
    return ((found.double() - expected).norm() / expected.norm().clamp_min(1e-30)).item()


def errors(found: list[Tensor], expected: list[Tensor]) -> list[float]:
    return [error(a, b) for a, b in zip(found, expected, strict=True)]


def slopes(network: Network, v: Tensor, place: Tensor, weights: Weights) -> list[Tensor]:
    """What `gradients` should find, by finite differences, which know nothing of derivatives."""
    v64, place64, weights64 = double(v, place, weights)
    shape = network(v64, place64, weights64).shape
    outer = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()
    found = []
    for i, tensor in enumerate((v64, *weights64)):
        slopes = torch.empty_like(tensor).flatten()
        for j in range(tensor.numel()):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [t.clone() for t in (v64, *weights64)]
                moved[i].view(-1)[j] += step
                sides.append((network(moved[0], place64, Weights(*moved[1:])) * outer).sum())
            slopes[j] = (sides[0] - sides[1]) / 2e-5
        found.append(slopes.view_as(tensor))
    return found
