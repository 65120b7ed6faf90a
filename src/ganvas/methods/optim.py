"""Optimisers that a GPU can record, and operations on them."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Opt = TypeVar("Opt", bound=Optimizer)


def adam(network: nn.Module, lr: float, betas: tuple[float, float]) -> torch.optim.Adam:
    """Adam in one fused pass over the weights."""
    return _recordable(torch.optim.Adam(network.parameters(), lr, betas, fused=True, capturable=_on_cuda(network)))


def rmsprop(network: nn.Module, lr: float, alpha: float = 0.99, eps: float = 1e-18) -> torch.optim.RMSprop:
    """RMSprop with CFG-GAN's eps; `alpha` is the decay of the mean squared gradient."""
    parameters, on_cuda = network.parameters(), _on_cuda(network)
    return _recordable(torch.optim.RMSprop(parameters, lr, alpha, eps, foreach=True, capturable=on_cuda))


def sgd(network: nn.Module, lr: float, momentum: float) -> torch.optim.SGD:
    """Gradient descent. It cannot be recorded, as its learning rate is a Python number."""
    return torch.optim.SGD(network.parameters(), lr, momentum, foreach=True)


def descend(optimizer: Optimizer, loss: Tensor, clip: float = 0.0) -> None:
    """One update that decreases `loss`; gradients are clipped to a joint norm of `clip`, unless that is 0."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if clip:
        nn.utils.clip_grad_norm_((p for group in optimizer.param_groups for p in group["params"]), clip)
    optimizer.step()


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Change the learning rate; in place if it is a tensor, which a recording reads."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def restart(optimizer: Optimizer, rate: float) -> None:
    """Reset an optimiser, in place, to its state before the first update."""
    set_rate(optimizer, rate)
    for slots in optimizer.state.values():
        for value in slots.values():
            value.zero_()


def can_be_recorded(optimizer: Optimizer) -> bool:
    """Whether the optimiser's updates can be part of a recording."""
    return all("capturable" in group for group in optimizer.param_groups)


def _on_cuda(network: nn.Module) -> bool:
    return next(network.parameters()).device.type == "cuda"


def _recordable(optimizer: Opt) -> Opt:
    """Return the optimiser; on a GPU, move its learning rate into a tensor that a recording reads."""
    for group in optimizer.param_groups:
        if group["capturable"]:
            group["lr"] = torch.tensor(group["lr"], device=group["params"][0].device)
    return optimizer
