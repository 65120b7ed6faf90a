"""The memory of this machine. What cannot fit is refused: the system might kill the process without a word."""

import math
import os

from ganvas.core.errors import UserError
from ganvas.core.files import say_size


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
