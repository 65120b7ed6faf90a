"""Networks that compute in the number format of a run and return float32."""

import functools
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ganvas.compute.device import Compute

M = TypeVar("M", bound=nn.Module)


def in_format(network: M, compute: Compute) -> M:
    """Make `network` compute in the format of `compute` when it is called; returns the same network.

    Its weights, their names and its copies do not change. It returns float32 (float64 stays float64). A call with
    `exact=True` computes in the format of its inputs.
    """
    placed: Any = network
    if not isinstance(placed, _InFormat):
        placed.__class__ = _with_format(type(network))  # type: ignore[arg-type]
    placed.number_format = compute.dtype
    return network


class _InFormat:
    """A mixin placed before the class of a network."""

    number_format: torch.dtype

    def __call__(self, *inputs: Any, exact: bool = False, **options: Any) -> Any:
        compute = super().__call__  # type: ignore[misc]
        if exact or self.number_format == torch.float32:
            return compute(*inputs, **options)
        with torch.autocast(inputs[0].device.type, self.number_format):
            outputs = compute(*inputs, **options)
        return tuple(map(_float32, outputs)) if isinstance(outputs, tuple) else _float32(outputs)


@functools.cache
def _with_format(kind: type[nn.Module]) -> type[nn.Module]:
    return type(kind.__name__, (_InFormat, kind), {})


def _float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
