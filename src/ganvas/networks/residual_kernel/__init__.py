"""A fast residual pixel network: a compiled kernel, or optimised PyTorch where the kernel is not available.

With h = tanh(v + Wc·coordinates), then for each block h = h + tanh(A5·relu(... relu(A1·h + b1) ...) + b5), the logits
are w·h + b. `ganvas.networks.cppn` has the same network in plain modules.
"""

import os

import torch
from torch import Tensor

from ganvas.networks.residual_kernel import fallback, native
from ganvas.networks.residual_kernel.weights import Weights

__all__ = ["SWITCH", "Weights", "residual", "residual_forward", "status"]

SWITCH = "GANVAS_FUSED"  # the kernel is not used if this environment variable is `off`


def residual(v: Tensor, coordinates: Tensor, weights: Weights) -> Tensor:
    """v [N, W], coordinates [P, 3] -> logits [N, P, C], for training.

    `v` is the contribution of the latent and the bias to the first layer. The kernel stores no activations for the
    backward pass, and its gradients cannot be differentiated again. It is not used if the coordinates need a gradient.
    """
    v = v.to(weights.weight.dtype)  # under autocast it has a lower precision
    if not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (v, coordinates, *weights))):
        return residual_forward(v, coordinates, weights)
    fast = _kernel(v, coordinates, weights)
    if fast is None or coordinates.requires_grad:
        return fallback.differentiable(v, coordinates, weights)
    logits: Tensor = native.Residual.apply(fast, v, coordinates, *weights)  # type: ignore[no-untyped-call]
    return logits


def residual_forward(v: Tensor, coordinates: Tensor, weights: Weights) -> Tensor:
    """The same without gradients, for painting; it needs little more memory than the logits."""
    v = v.detach().to(weights.weight.dtype)
    fast = _kernel(v, coordinates, weights)
    return (fast or fallback).forward(v, coordinates, weights)


def status(width: int = 6) -> tuple[bool, str]:
    """(whether networks of this width use the kernel, why); compiles the kernel if necessary."""
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "false"):
        return False, f"{SWITCH} is off"
    fast, why = native.load(width)
    return fast is not None, why


def _kernel(v: Tensor, coordinates: Tensor, weights: Weights) -> native.Kernel | None:
    """The kernel, if it is available and supports these tensors."""
    fits = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in (v, coordinates, *weights))
    return native.load(v.shape[1])[0] if fits and status(v.shape[1])[0] else None
