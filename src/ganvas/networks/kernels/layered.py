"""The layered pixel network: h = a0(v + Wc·coordinates), then h = a1(A1·h + b1) and so on; the logits are w·h + b.

Each layer has its activation. Where `serves` says no, the network is computed by its plain modules.
"""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.networks.kernels import native
from ganvas.networks.kernels.weights import Weights

MAX_WIDTH = 256  # units; wider layers are what PyTorch's matrix products are made for
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu, "softplus": F.softplus}


def serves(width: int, coordinates: Tensor, *tensors: Tensor) -> bool:
    """Whether the kernel computes a network of this width with these tensors."""
    wanted = torch.is_grad_enabled() and coordinates.requires_grad  # their gradient is not computed
    return native.fits(coordinates, *tensors) and not wanted and status(width)[0]


def logits(v: Tensor, coordinates: Tensor, weights: Weights, activations: tuple[str, ...]) -> Tensor:
    """v [N, W], coordinates [P, 3], an activation for each of 1 + B layers -> logits [N, P, C]; only where it `serves`.

    `v` is the contribution of the latent and the bias to the first layer. The gradients cannot be differentiated again.
    """
    v = v.to(weights.weight.dtype)  # under autocast it has a lower precision
    kernel, why = load()
    if kernel is None:
        raise RuntimeError(why)
    if not native.need_gradients(v, *weights):
        return kernel.forward(v, coordinates, weights, activations)
    found: Tensor = native.Logits.apply(kernel, activations, v, coordinates, *weights)  # type: ignore[no-untyped-call]
    return found


def status(width: int = 64) -> tuple[bool, str]:
    """(whether networks of this width use the kernel, why); compiles the kernel if necessary."""
    if off := native.switched_off():
        return False, off
    if width > MAX_WIDTH:
        return False, f"it supports up to {MAX_WIDTH} units, not {width}"
    kernel, why = load()
    return kernel is not None, why


@functools.cache
def load() -> tuple[native.Kernel | None, str]:
    """The kernel and its description; or None and the reason. The first call may take seconds."""
    activations = ("softplus", "tanh", "relu", "tanh")

    def is_right(kernel: native.Kernel) -> bool:
        reference = functools.partial(plain, activations=activations)
        widths = (5, 20, 40)  # of one, two and three vectors of units or more
        return all(native.agrees(kernel, reference, width, (3, 1), activations) for width in widths)

    return native.load("layered", is_right)


def plain(v: Tensor, coordinates: Tensor, weights: Weights, activations: tuple[str, ...]) -> Tensor:
    """The same as `logits` in PyTorch, to check the kernel."""
    first, *others = (FUNCTIONS[name] for name in activations)
    h = first(v[:, None] + F.linear(coordinates, weights.input))
    for weight, bias, activation in zip(weights.weight[:, 0], weights.bias[:, 0], others, strict=True):
        h = activation(F.linear(h, weight, bias))
    return F.linear(h, weights.out_weight, weights.out_bias)
