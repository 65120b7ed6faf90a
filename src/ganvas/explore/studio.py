"""Loaded models, and the thread that computes with them.

All that takes time runs in one thread, one thing after the other: PyTorch uses all cores for each anyway, and the
server stays free to answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ganvas.core.errors import UserError
from ganvas.explore.folder import Folder
from ganvas.explore.messages import OfRun

if TYPE_CHECKING:
    from ganvas.data import ImageSet
    from ganvas.runs.model import Model

KEPT = 4  # models in memory
KEPT_SETS = 2  # sets of training images in memory

P = ParamSpec("P")
T = TypeVar("T")


class Studio:
    """Models of the runs of a folder, loaded when asked for; the most recently used ones are kept."""

    def __init__(self, folder: Folder, device: str = "auto") -> None:
        self.folder, self.device = folder, device
        self._models: OrderedDict[tuple[str, int, bool], Model] = OrderedDict()
        self._sets: OrderedDict[str, ImageSet] = OrderedDict()  # by fingerprint
        self._reading = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "studio")

    def warm_up(self) -> None:
        """Import what computes, which takes seconds, before it is needed."""
        for module in ("ganvas.recipes.recipe", "ganvas.painting"):  # the form of a new training, then pictures
            self._thread.submit(import_module, module)

    async def compute(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in the thread that computes."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args, **kwargs))

    def model(self, asked: OfRun) -> Model:
        """The model of a run; to be called in the thread that computes. Raises UserError as `load` does."""
        from ganvas.runs.model import load

        run = self.folder.run(asked.run)
        available = run.checkpoints.available()
        if not available:
            raise UserError(f"'{asked.run}' has no checkpoint yet: let it train a little longer")
        newest = max(available)
        which = str(newest) if asked.checkpoint == "last" else asked.checkpoint
        nimg = run.checkpoints.best() if which == "best" else int(which) if which.isdecimal() else -1
        key = asked.run, -1 if nimg is None else nimg, asked.averaged
        if key not in self._models:
            model = load(run.path, which, self.device)
            if not asked.averaged:
                model.method.averages.clear()
            self._models[key] = model
            while len(self._models) > KEPT:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return self._models[key]

    def training_images(self, model: Model) -> ImageSet:
        """The training images of a model, in any thread; raises UserError if they are missing or have changed."""
        key = model.run.info().data.sha256
        with self._reading:
            if key not in self._sets:
                self._sets[key] = model.data()
                while len(self._sets) > KEPT_SETS:
                    self._sets.popitem(last=False)
            self._sets.move_to_end(key)
            return self._sets[key]

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
