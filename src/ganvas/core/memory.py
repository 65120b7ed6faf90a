"""The memory of this machine. What cannot fit is refused: the system might kill the process without a word."""

import math
import os
from collections.abc import Callable, Iterable

import torch
from torch import nn

from ganvas.core.errors import UserError
from ganvas.core.files import say_size

FLOAT_BYTES = 4
COPIES = 4  # of each weight in training: itself, its gradient, and two moments of Adam


def physical_memory() -> float:
    """The memory of this machine, in bytes; infinite if the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows
        return math.inf


def refuse_more(size: float, what: str, advice: str) -> None:
    """Raise UserError if `what`, of `size` bytes, is larger than the memory."""
    memory = physical_memory()
    if size > memory:
        raise UserError(f"{what} {say_size(size)}, more than this machine has ({say_size(memory)}): {advice}")


def refuse_large_networks(build: Callable[[], Iterable[nn.Module]], advice: str) -> None:
    """Raise UserError if the networks that `build` makes, with what training adds, are larger than the memory.

    `build` is called where tensors have shapes but no numbers.
    """
    try:
        with torch.device("meta"):
            size: float = sum(weight.numel() for network in build() for weight in network.parameters())
    except (RuntimeError, TypeError) as error:  # shapes beyond 64 bits
        if "overflow" not in str(error).lower():
            raise
        size = math.inf
    refuse_more(size * FLOAT_BYTES * COPIES, "these networks, with their gradients and optimisers, take", advice)
