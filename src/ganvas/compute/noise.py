"""Random numbers, drawn on the CPU by one generator, so that a seed gives the same numbers on every device."""

from collections.abc import Callable

import torch
from torch import Tensor

from ganvas.compute.cuda_graphs import Replay
from ganvas.compute.device import to_device

CPU = torch.device("cpu")


class Noise:
    """The random numbers of one seed, as tensors on `device`.

    Inside a function that `replay` records, each replay draws new numbers.
    """

    def __init__(self, seed: int, device: torch.device = CPU, replay: Replay | None = None) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.device, self.replay = device, replay

    def normal(self, *shape: int) -> Tensor:
        """Numbers from N(0, 1)."""
        return self._draw(lambda: torch.randn(*shape, generator=self.generator))

    def uniform(self, *shape: int) -> Tensor:
        """Numbers from 0 to 1, uniformly distributed."""
        return self._draw(lambda: torch.rand(*shape, generator=self.generator))

    def integers(self, high: int, *shape: int) -> Tensor:
        """Integers from 0 to `high` - 1, int64."""
        return self._draw(lambda: torch.randint(high, shape, generator=self.generator))

    def permutation(self, count: int) -> Tensor:
        """The integers from 0 to `count` - 1 in random order, int64 [count]."""
        return self._draw(lambda: torch.randperm(count, generator=self.generator))

    def get_state(self) -> Tensor:
        """The state of the generator, for a checkpoint."""
        return self.generator.get_state()

    def set_state(self, state: Tensor) -> None:
        """Restore a state that `get_state` returned."""
        self.generator.set_state(state)

    def _draw(self, draw: Callable[[], Tensor]) -> Tensor:
        if self.replay is None:
            return to_device(draw(), self.device)
        return self.replay.fresh(lambda: (to_device(draw(), self.device),))[0]
