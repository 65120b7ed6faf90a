"""CUDA graphs behind a function call: work that stays the same is recorded once and replayed.

A GPU runs a small layer faster than Python can launch it. A recording contains what the device does, so everything that
a function decides in Python (which loss, how many updates) is fixed when it is recorded; `forget` discards the
recordings. Random numbers and images do not come from the device: a function takes them as arguments or from `fresh`.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

WARM_UP = 3  # calls before the recording, in which libraries choose algorithms and optimisers create their state

T = TypeVar("T", bound=tuple[Tensor | None, ...])
Scalars = dict[str, Tensor]


class Replay:
    """Calls functions that return named tensors; on a CUDA device, records the fourth call and then replays it.

    A function may change tensors only in place, and must never wait for the device (`item`, `if` of a tensor).
    """

    def __init__(self, device: torch.device) -> None:
        self.active = device.type == "cuda"
        # One stream for all functions, as libraries may choose other algorithms on another stream.
        self._stream = torch.cuda.Stream(device) if self.active else None
        self.forget()

    def forget(self) -> None:
        """Discard the recordings, because the functions will decide differently or change other tensors."""
        self._takes: dict[Hashable, _Take] = {}
        self._now: _Take | None = None

    def __call__(self, name: Hashable, function: Callable[..., Scalars], *tensors: Tensor) -> Scalars:
        """Return `function(*tensors)`; a recording is identified by `name` and the shapes of the tensors."""
        if not self.active or self._stream is None:
            return function(*tensors)
        key = name, *(tensor.shape for tensor in tensors)
        if key not in self._takes:
            self._takes[key] = _Take(self._stream)
        self._now = self._takes[key]
        try:
            return self._now(function, tensors)
        finally:
            self._now = None

    def fresh(self, make: Callable[[], T]) -> T:
        """Return `make()`; for every replay of the calling function, `make` is called again."""
        return make() if self._now is None else self._now.fresh(make)


class _Take:
    """The recording of one function for one set of shapes."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self.stream = stream
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.sources: list[Callable[[], tuple[Tensor | None, ...]]] = []
        self.given: Iterator[tuple[Tensor | None, ...]] | None = None

    def __call__(self, function: Callable[..., Scalars], tensors: tuple[Tensor, ...]) -> Scalars:
        if self.calls < WARM_UP:
            self.calls += 1
            return self._warm_up(function, tensors)
        if self.graph is None:
            self._record(function, tensors)
        else:
            new = [*tensors, *_flat(source() for source in self.sources)]
            with torch.no_grad():
                torch._foreach_copy_(self.inputs, new)
        assert self.graph is not None
        self.graph.replay()
        return {name: value.clone() for name, value in self.outputs.items()}

    def fresh(self, make: Callable[[], Any]) -> Any:
        if self.given is not None:
            return next(self.given)
        self.sources.append(make)
        return make()

    def _warm_up(self, function: Callable[..., Scalars], tensors: tuple[Tensor, ...]) -> Scalars:
        self.sources.clear()
        here = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(here)  # autograd must not remember another stream
        with torch.cuda.stream(self.stream):
            outputs = function(*tensors)
        here.wait_stream(self.stream)
        return outputs

    def _record(self, function: Callable[..., Scalars], tensors: tuple[Tensor, ...]) -> None:
        arguments = [tensor.detach().clone() for tensor in tensors]
        made = [source() for source in self.sources]
        self.inputs = [*arguments, *_flat(made)]
        self.given = iter(made)
        graph = torch.cuda.CUDAGraph()
        # Only the calls of this thread are recorded; other threads, such as that of a display, are not disturbed.
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            self.outputs = function(*arguments)
        self.given, self.graph = None, graph


def _flat(made: Any) -> list[Tensor]:
    return [tensor for tensors in made for tensor in tensors if tensor is not None]
