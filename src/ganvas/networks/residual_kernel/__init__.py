"""The residual pixel network at the speed of the machine: a compiled kernel, and fast PyTorch where there is none.

With h = tanh(v + Wc·coordinates), then for each block h = h + tanh(A5·relu(... relu(A1·h + b1) ...) + b5), the logits
are w·h + b. `ganvas.networks.cppn` has the same in plain modules.
"""

import os

import torch
from torch import Tensor

from ganvas.networks.residual_kernel import fallback, native
from ganvas.networks.residual_kernel.weights import Weights

__all__ = ["SWITCH", "Weights", "residual", "residual_forward", "status"]

SWITCH = "GANVAS_FUSED"  # set to off, this environment variable does without the kernel


def residual(v: Tensor, coordinates: Tensor, weights: Weights) -> Tensor:
    """v [N, W], coordinates [P, 3] -> logits [N, P, C], for training.

    `v` is what the latent and the bias add to the first layer. With the kernel nothing but the logits is kept for the
    backward pass, gradients are once differentiable, and coordinates that require one do without the kernel.
    """
    v = v.to(weights.weight.dtype)  # under autocast it comes in less
    if not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (v, coordinates, *weights))):
        return residual_forward(v, coordinates, weights)
    fast = _kernel(v, coordinates, weights)
    if fast is None or coordinates.requires_grad:
        return fallback.differentiable(v, coordinates, weights)
    logits: Tensor = native.Residual.apply(fast, v, coordinates, *weights)  # type: ignore[no-untyped-call]
    return logits


def residual_forward(v: Tensor, coordinates: Tensor, weights: Weights) -> Tensor:
    """The same without a graph, for painting; its memory is that of the logits and a little more."""
    v = v.detach().to(weights.weight.dtype)
    fast = _kernel(v, coordinates, weights)
    return (fast or fallback).forward(v, coordinates, weights)


def status(width: int = 6) -> tuple[bool, str]:
    """(whether networks of this width use the kernel, why); compiles it if that has not been done before."""
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "false"):
        return False, f"{SWITCH} is off"
    fast, why = native.load(width)
    return fast is not None, why


def _kernel(v: Tensor, coordinates: Tensor, weights: Weights) -> native.Kernel | None:
    """The kernel, if it is there and made for these tensors."""
    fits = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in (v, coordinates, *weights))
    return native.load(v.shape[1])[0] if fits and status(v.shape[1])[0] else None
