"""The training time of a run, and a forecast of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ganvas.compute.cuda_graphs import WARM_UP
from ganvas.compute.device import choose, deterministic
from ganvas.core.images import ImageSpec
from ganvas.data import Batches, ImageSet
from ganvas.recipes.recipe import Recipe
from ganvas.training.monitor import means

TIMED_STEPS = 2  # after one that may compile or allocate


class Clock:
    """Measures the training time of a run, over all sessions."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def set(self, seconds: float) -> None:
        """Continue from this number of seconds."""
        self.started = time.monotonic() - seconds

    def seconds(self) -> float:
        return time.monotonic() - self.started

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A context in which the clock stands still, so that evaluations do not count as training time."""
        begun = time.monotonic()
        yield
        self.started += time.monotonic() - begun


def seconds_per_image(recipe: Recipe, spec: ImageSpec) -> float:
    """Training seconds per image of `spec` on this machine: the fastest of a few real steps on dummy images."""
    compute = choose("auto", recipe.train.precision)
    shape = (recipe.train.batch_size, spec.channels, spec.height, spec.width)
    labels = np.arange(shape[0]) % spec.num_classes if spec.num_classes else None
    noise = ImageSet("noise", np.zeros(shape, np.uint8), labels, tuple(map(str, range(spec.num_classes))))
    best = float("inf")
    with deterministic():
        method = recipe.build(spec, compute)
        batches = Batches(noise, recipe.train.batch_size, 0, compute.device)
        for _ in range(1 + TIMED_STEPS + (WARM_UP if method.replay.active else 0)):
            start, before = time.perf_counter(), batches.nimg
            means([(0, method.step(batches))])  # reading the losses waits for the device
            best = min(best, (time.perf_counter() - start) / (batches.nimg - before))
    return best
