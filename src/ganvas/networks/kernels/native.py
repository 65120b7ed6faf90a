"""Compiled kernels, called through ctypes, and their gradients."""

import ctypes
import math
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ganvas.networks.kernels import compile
from ganvas.networks.kernels.weights import Weights

SWITCH = "GANVAS_FUSED"  # no kernel is used if this environment variable is `off`
TOLERANCE = 1e-3  # for a test network that does not amplify errors: only a broken kernel exceeds it
FUNCTIONS = ("tanh", "relu", "softplus", "softplus_slope")  # in the order of `evaluate` in common.h


class _Network(ctypes.Structure):
    """`struct Network` of common.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("images", "pixels", "channels", "blocks", "depth", "width")),
        *((name, ctypes.c_void_p) for name in ("v", "coordinates", *Weights._fields)),
        ("activations", ctypes.c_char_p),
        ("threads", ctypes.c_int64),
    )


class Kernel:
    """A kernel for float32 tensors on the CPU. `activations`: of a layered network, one for each layer."""

    def __init__(self, library: ctypes.CDLL) -> None:
        pointer, network = ctypes.c_void_p, ctypes.POINTER(_Network)
        self._forward = _function(library.network_forward, None, network, pointer)
        self._backward = _function(library.network_backward, None, network, pointer, pointer, pointer)
        self._evaluate = _function(library.evaluate, None, ctypes.c_int64, pointer, ctypes.c_int64)
        self.lanes: int = _function(library.lanes, ctypes.c_int64)()
        self.openmp = bool(_function(library.openmp, ctypes.c_int64)())

    def forward(self, v: Tensor, coordinates: Tensor, weights: Weights, activations: tuple[str, ...] = ()) -> Tensor:
        """v [N, W], coordinates [P, 3] -> logits [N, P, C]."""
        tensors = _contiguous(v, coordinates, *weights)
        logits = v.new_empty(len(v), len(coordinates), len(weights.out_bias))
        self._forward(_network(tensors, activations), logits.data_ptr())
        return logits

    def backward(
        self, v: Tensor, coordinates: Tensor, weights: Weights, gradient: Tensor, activations: tuple[str, ...] = ()
    ) -> tuple[Tensor, Weights]:
        """The gradients of v and of the weights, given the gradient of the logits [N, P, C]."""
        tensors = _contiguous(v, coordinates, *weights)
        gradient = gradient.detach().contiguous()
        flat = v.new_empty(sum(weight.numel() for weight in weights))
        of_v = v.new_empty(v.shape)
        self._backward(_network(tensors, activations), gradient.data_ptr(), flat.data_ptr(), of_v.data_ptr())
        parts = flat.split([weight.numel() for weight in weights])
        return of_v, Weights(*(part.view_as(weight) for part, weight in zip(parts, weights, strict=True)))

    def evaluate(self, function: str, values: Tensor) -> Tensor:
        """The kernel's own function of `FUNCTIONS`."""
        result: Tensor = values.detach().clone(memory_format=torch.contiguous_format)
        self._evaluate(FUNCTIONS.index(function), result.data_ptr(), result.numel())
        return result


class Logits(torch.autograd.Function):
    """Logits without stored activations: the backward pass recomputes them. Their gradients have no gradients."""

    @staticmethod
    def forward(
        ctx: Any, kernel: Kernel, activations: tuple[str, ...], v: Tensor, coordinates: Tensor, *weights: Tensor
    ) -> Tensor:
        ctx.kernel, ctx.activations = kernel, activations
        ctx.save_for_backward(v, coordinates, *weights)
        return kernel.forward(v, coordinates, Weights(*weights), activations)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        v, coordinates, *weights = ctx.saved_tensors
        of_v, of_weights = ctx.kernel.backward(v, coordinates, Weights(*weights), gradient, ctx.activations)
        return None, None, of_v, None, *of_weights


def load(name: str, is_right: Callable[[Kernel], bool], **macros: int) -> tuple[Kernel | None, str]:
    """The kernel in `name`.cpp and its description; or None and the reason. It may take seconds."""
    library, why = compile.library(name, **macros)
    if library is None:
        return None, why
    kernel = Kernel(library)
    if not is_right(kernel):
        return None, f"{why}, but it computes wrong numbers on this machine"
    threads = "OpenMP" if kernel.openmp else "one thread, because OpenMP is missing"
    return kernel, f"{why}, {kernel.lanes} pixels per instruction, {threads}"


def agrees(
    kernel: Kernel,
    reference: Callable[[Tensor, Tensor, Weights], Tensor],
    width: int,
    shape: tuple[int, int],
    activations: tuple[str, ...] = (),
) -> bool:
    """Whether a kernel agrees with `reference` on a small network of `shape` (blocks, depth) and its gradients, because
    compilers can be broken. There are more pixels than one tile, and a last tile that is not full."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float32) / math.sqrt(shape[-1])

    weights = Weights(
        normal(width, 3), normal(*shape, width, width), normal(*shape, width), normal(3, width), normal(3)
    )
    v, coordinates, gradient = normal(2, width), normal(301, 3), normal(2, 301, 3)
    with torch.enable_grad():
        leaves = [tensor.requires_grad_() for tensor in (v, *weights)]
        logits = reference(v, coordinates, weights)
        expected = [logits.detach(), *torch.autograd.grad(logits, leaves, gradient)]
    of_v, of_weights = kernel.backward(v, coordinates, weights, gradient, activations)
    found = [kernel.forward(v, coordinates, weights, activations), of_v, *of_weights]
    return all(bool((a - b).norm() < TOLERANCE * b.norm()) for a, b in zip(found, expected, strict=True))


def switched_off() -> str | None:
    """Why no kernel is to be used; None: they are."""
    return f"{SWITCH} is off" if os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "false") else None


def fits(*tensors: Tensor) -> bool:
    """Whether kernels are made for these tensors."""
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


def need_gradients(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _network(tensors: list[Tensor], activations: tuple[str, ...]) -> _Network:
    v, coordinates, _, weight, _, out_weight, _ = tensors
    sizes = len(v), len(coordinates), len(out_weight), *weight.shape[:3]
    pointers = (tensor.data_ptr() for tensor in tensors)
    functions = bytes(FUNCTIONS.index(name) for name in activations)
    return _Network(*sizes, *pointers, functions, torch.get_num_threads())


def _contiguous(*tensors: Tensor) -> list[Tensor]:
    return [tensor.detach().contiguous() for tensor in tensors]


def _function(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype, function.argtypes = result, arguments
    return function
