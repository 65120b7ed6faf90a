"""How long training takes: the clock of a run, and a forecast."""

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


class Clock:
    """Seconds of training, over all sessions of a run."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def set(self, seconds: float) -> None:
        """Go on from so many seconds."""
        self.started = time.monotonic() - seconds

    def seconds(self) -> float:
        return time.monotonic() - self.started

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, time does not count: the clock shows what training costs, not what evaluations do."""
        begun = time.monotonic()
        yield
        self.started += time.monotonic() - begun


def seconds_per_image(recipe: Recipe, spec: ImageSpec, device: str = "auto", steps: int = 2) -> float:
    """How long `recipe` takes here for an image of `spec`: the fastest of a few real steps on noise."""
    compute = choose(device, recipe.train.precision)
    shape = (recipe.train.batch_size, spec.channels, spec.height, spec.width)
    labels = np.arange(shape[0]) % spec.num_classes if spec.num_classes else None
    noise = ImageSet("noise", np.zeros(shape, np.uint8), labels, tuple(map(str, range(spec.num_classes))))
    best = float("inf")
    with deterministic():
        method = recipe.build(spec, compute)
        batches = Batches(noise, recipe.train.batch_size, 0, compute.device)
        for _ in range(WARM_UP + 1 + steps if method.replay.active else 1 + steps):
            start, before = time.perf_counter(), batches.nimg
            means([(0, method.step(batches))])  # reading the losses waits for the device
            best = min(best, (time.perf_counter() - start) / (batches.nimg - before))
    return best
