"""Variations of a pixel network: its weights plus random weights, each given by a seed and an amount.

A seed and an amount are all that is stored of a variation, so a long line of descent is a few numbers, and the same
numbers give the same weights bit for bit.

- A random network is the sum a0·W(seed0) + Σ amount·W(seed) of networks with random weights of the same kind, with
  a0 = √(1 - Σ amount²): the weights keep their standard deviation.
- A trained network is W + Σ amount·std(W)·N(seed), where N is standard normal and std(W) that of each layer.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.networks.cppn import PixelNetwork

MOST = 64  # variations of a network

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Amount = Annotated[float, Field(ge=-1, le=1)]
Variation = Annotated[tuple[Seed, Amount], Field(strict=False)]  # a list in JSON


@torch.no_grad()
def of_random(draw: Callable[[int], PixelNetwork], seed: int, variations: Sequence[Variation]) -> PixelNetwork:
    """The network `draw(seed)` with `variations`, which other networks of `draw` are added for.

    Raises UserError if the squares of the amounts have a sum above 1.
    """
    network = draw(seed)
    if variations:
        for weight in network.parameters():
            weight.mul_(share_of_first(variations))
        for other, amount in variations:
            for weight, added in zip(network.parameters(), draw(other).parameters(), strict=True):
                weight.add_(added, alpha=amount)
    return network


@torch.no_grad()
def of_trained(network: PixelNetwork, variations: Sequence[Variation]) -> PixelNetwork:
    """A trained network with `variations`; itself if there are none."""
    if not variations:
        return network
    varied = copy.deepcopy(network)
    for seed, amount in variations:
        noise = torch.Generator().manual_seed(seed)
        for weight, trained in zip(varied.parameters(), network.parameters(), strict=True):
            on_cpu = trained.detach().float().cpu()  # so that all devices get the same weights
            added = torch.randn(on_cpu.shape, generator=noise) * amount * _std(on_cpu)
            weight.add_(added.to(weight))
    return varied


def share_of_first(variations: Sequence[Variation]) -> float:
    """a0, the factor of the first of the random networks; raises UserError if the amounts leave nothing for it."""
    rest = 1 - math.fsum(amount**2 for _, amount in variations)
    if rest < -1e-4:  # amounts are rounded
        raise UserError("the squares of the amounts of all variations have a sum of at most 1")
    return math.sqrt(max(0.0, rest))


def _std(weight: Tensor) -> Tensor:
    """The standard deviation of each layer: of the last dimensions if the first two count blocks and their layers."""
    if weight.dim() <= 2:
        return weight.std(correction=0)
    return weight.flatten(2).std(2, correction=0).reshape(*weight.shape[:2], *[1] * (weight.dim() - 2))
