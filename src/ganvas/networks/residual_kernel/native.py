"""The compiled kernel, called through ctypes, and its gradients."""

import ctypes
import functools
import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ganvas.networks.residual_kernel import compile, fallback
from ganvas.networks.residual_kernel.weights import Weights

TOLERANCE = 1e-3  # for a test network that does not amplify errors: only a broken kernel exceeds it


class _Network(ctypes.Structure):
    """`struct Network` of residual.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("images", "pixels", "channels", "blocks", "depth")),
        *((name, ctypes.c_void_p) for name in ("v", "coordinates", *Weights._fields)),
        ("threads", ctypes.c_int64),
    )


class Kernel:
    """The kernel for one width, for float32 tensors on the CPU."""

    def __init__(self, library: ctypes.CDLL) -> None:
        pointer, network = ctypes.c_void_p, ctypes.POINTER(_Network)
        self._forward = _function(library.residual_forward, None, network, pointer)
        self._backward = _function(library.residual_backward, None, network, pointer, pointer, pointer)
        self._tanh = _function(library.residual_tanh, None, pointer, ctypes.c_int64)
        self.lanes: int = _function(library.residual_lanes, ctypes.c_int64)()
        self.openmp = bool(_function(library.residual_openmp, ctypes.c_int64)())

    def forward(self, v: Tensor, coordinates: Tensor, weights: Weights) -> Tensor:
        """v [N, W], coordinates [P, 3] -> logits [N, P, C]."""
        tensors = _contiguous(v, coordinates, *weights)
        logits = v.new_empty(len(v), len(coordinates), len(weights.out_bias))
        self._forward(_network(tensors), logits.data_ptr())
        return logits

    def backward(self, v: Tensor, coordinates: Tensor, weights: Weights, gradient: Tensor) -> tuple[Tensor, Weights]:
        """The gradients of v and of the weights, given the gradient of the logits [N, P, C]."""
        tensors = _contiguous(v, coordinates, *weights)
        gradient = gradient.detach().contiguous()
        flat = v.new_empty(sum(weight.numel() for weight in weights))
        of_v = v.new_empty(v.shape)
        self._backward(_network(tensors), gradient.data_ptr(), flat.data_ptr(), of_v.data_ptr())
        parts = flat.split([weight.numel() for weight in weights])
        return of_v, Weights(*(part.view_as(weight) for part, weight in zip(parts, weights, strict=True)))

    def tanh(self, values: Tensor) -> Tensor:
        """The kernel's own tanh."""
        result: Tensor = values.detach().clone(memory_format=torch.contiguous_format)
        self._tanh(result.data_ptr(), result.numel())
        return result


@functools.cache
def load(width: int) -> tuple[Kernel | None, str]:
    """The kernel for a width and its description; or None and the reason. The first call may take seconds."""
    library, why = compile.library(width)
    if library is None:
        return None, why
    kernel = Kernel(library)
    if not _is_right(kernel, width):
        return None, f"{why}, but it computes wrong numbers on this machine"
    threads = "OpenMP" if kernel.openmp else "one thread, because OpenMP is missing"
    return kernel, f"{why}, {kernel.lanes} pixels per instruction, {threads}"


def _is_right(kernel: Kernel, width: int) -> bool:
    """Whether the kernel agrees with the fallback on a small network and its gradients: compilers can be broken.

    The test has more pixels than one tile, and a last tile that is not full.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float32) / math.sqrt(shape[-1])

    weights = Weights(normal(width, 3), normal(2, 3, width, width), normal(2, 3, width), normal(3, width), normal(3))
    v, coordinates, gradient = normal(2, width), normal(301, 3), normal(2, 301, 3)
    with torch.enable_grad():
        leaves = [tensor.requires_grad_() for tensor in (v, *weights)]
        logits = fallback.differentiable(v, coordinates, weights)
        expected = [logits.detach(), *torch.autograd.grad(logits, leaves, gradient)]
    of_v, of_weights = kernel.backward(v, coordinates, weights, gradient)
    found = [kernel.forward(v, coordinates, weights), of_v, *of_weights]
    return all(bool((a - b).norm() < TOLERANCE * b.norm()) for a, b in zip(found, expected, strict=True))


class Residual(torch.autograd.Function):
    """Logits without stored activations: the backward pass recomputes them."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, v: Tensor, coordinates: Tensor, *weights: Tensor) -> Tensor:
        ctx.kernel = kernel
        ctx.save_for_backward(v, coordinates, *weights)
        return kernel.forward(v, coordinates, Weights(*weights))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        v, coordinates, *weights = ctx.saved_tensors
        of_v, of_weights = ctx.kernel.backward(v, coordinates, Weights(*weights), gradient)
        return None, of_v, None, *of_weights


def _network(tensors: list[Tensor]) -> _Network:
    v, coordinates, _, weight, _, out_weight, _ = tensors
    sizes = len(v), len(coordinates), len(out_weight), *weight.shape[:2]
    return _Network(*sizes, *(tensor.data_ptr() for tensor in tensors), torch.get_num_threads())


def _contiguous(*tensors: Tensor) -> list[Tensor]:
    return [tensor.detach().contiguous() for tensor in tensors]


def _function(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype, function.argtypes = result, arguments
    return function
