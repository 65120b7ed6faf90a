"""Starting, continuing and stopping trainings, which are processes of their own and go on without the server."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ganvas.core.errors import UserError
from ganvas.core.processes import failure_reason, start_ganvas
from ganvas.core.text import printable
from ganvas.core.threads import given_environment
from ganvas.explore.folder import Folder
from ganvas.explore.forms import changed
from ganvas.runs import stopping
from ganvas.runs.run import Run

if TYPE_CHECKING:
    from ganvas.recipes.recipe import Recipe

MOST = 4  # trainings that pages have started and that have not ended
ENDING = 10.0  # seconds that a training may take to end after it has said so in run.json
STOPPED = 130  # exit code of a training that was stopped, with a checkpoint
NAME = r"\w[\w .+=-]{0,79}(?<![ .])"  # safe on every system
RESERVED = r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?"  # on Windows


@dataclass
class _Started:
    process: subprocess.Popen[bytes]
    log: Path
    at: float


class Trainings:
    """The trainings that pages have started in a folder. Methods may take seconds: call them in a thread."""

    def __init__(self, folder: Folder, device: str = "auto") -> None:
        self.folder, self.device = folder, device
        self._started: dict[str, _Started] = {}
        self._lock = threading.Lock()

    def start(self, name: str, recipe: str, words: Sequence[str]) -> None:
        """Begin the run `name`, a new folder, with a built-in recipe and the changes `words`.

        Raises UserError as `ganvas train` would, for a bad name, and while too many trainings run.
        """
        run = Run(self._new(name))
        chosen = changed(recipe, list(words))
        _find_data(chosen)
        self._launch(name, run, [recipe], ["--set", *words] if words else [])

    def resume(self, name: str, images: int | None = None) -> None:
        """Continue a run from its last checkpoint, until it has seen `images`; None: the length of its recipe.

        Raises UserError if it is being trained, is that long already, or cannot have another length.
        """
        run = self.folder.run(name)
        recipe, info = run.recipe(), run.info()
        end = time.monotonic() + ENDING
        while run.in_use():
            if info.state == "running" or time.monotonic() > end:
                raise UserError(f"'{name}' is already being trained")
            time.sleep(0.05)
        seen = max((record["nimg"] for record in run.records()), default=0)
        if seen >= (images or run.total_images()):
            raise UserError(f"'{name}' has already seen {seen:,} images: choose a larger number")
        if images is not None:
            longer = changed(str(run.recipe_file), [f"train.images={images}"])
            if longer.identity() != recipe.identity():
                raise UserError(f"'{name}' has a schedule that ends with the run, so its length is fixed")
        words = ["--images", str(images)] if images is not None else []
        words += ["--data", info.data.place] if info.data.place else []
        self._launch(name, run, [str(run.recipe_file)], words)

    def stop(self, name: str) -> None:
        """Stop a training, which then writes a checkpoint; also one that was started elsewhere on this machine.

        Raises UserError if it cannot be stopped from here.
        """
        run = self.folder.run(name)
        try:
            stopping.stop(run)
        except UserError as error:
            raise UserError(str(error).replace(str(run.path), name)) from None

    def news(self) -> list[dict[str, Any]]:
        """The trainings that have not begun yet, and the failures of others, with their reasons."""
        with self._lock:
            return [item for name, started in self._started.items() if (item := self._item(name, started))]

    def dismiss(self, name: str) -> None:
        """Forget a failure."""
        with self._lock:
            if name in self._started and self._started[name].process.poll() is not None:
                del self._started[name]

    def _item(self, name: str, started: _Started) -> dict[str, Any] | None:
        code = started.process.poll()
        facts = {"name": name, "log": started.log.name}
        if code is None:
            return {**facts, "state": "starting"} if not _has_begun(self._path(name), started.at) else None
        if code in (0, STOPPED):
            return None
        reason = printable(failure_reason(started.log))
        return {**facts, "state": "failed", "reason": reason}

    def _path(self, name: str) -> Path:
        return self.folder.root / name

    def _new(self, name: str) -> Path:
        """The folder of a new run; raises UserError unless `name` is a new, single folder name."""
        if (self.folder.root / "run.json").exists():
            raise UserError(f"'{self.folder.root.name}' is itself a run: open the folder above it to start others")
        if not re.fullmatch(NAME, name) or re.fullmatch(RESERVED, name, re.IGNORECASE):
            raise UserError("a name may have letters, digits, spaces and . _ + = - and begins with a letter or digit")
        if os.path.lexists(self._path(name)):
            raise UserError(f"there is already a '{name}' in this folder: choose another name")
        return self._path(name)

    def _launch(self, name: str, run: Run, recipe: Sequence[str], words: Sequence[str]) -> None:
        """Run `ganvas train`, which survives the server. Its output goes into a log."""
        command = ["train", *recipe, "--out", str(run.path), "--device", self.device, *words]
        log = self.folder.root / ("output.log" if name == "." else f"{name}.log")
        with self._lock:
            running = {other: started for other, started in self._started.items() if started.process.poll() is None}
            if name in running and not _has_begun(self._path(name), running[name].at):
                raise UserError(f"'{name}' is already being trained")
            if len(running) >= MOST:
                raise UserError(f"{MOST} trainings were started here and have not ended: stop one, or wait")
            with _opened(log) as output:
                process = start_ganvas(command, output, given_environment())
            self._started[name] = _Started(process, log, time.time())


def _opened(log: Path) -> IO[bytes]:
    """A log to append to; never a link, which may lead anywhere."""
    if log.is_symlink() or (log.exists() and not log.is_file()):
        raise UserError(f"the output would go into '{log.name}', which is something else: choose another name")
    try:
        return log.open("ab")
    except OSError as error:
        raise UserError(f"cannot write '{log.name}': {error.strerror}") from None


def _has_begun(folder: Path, at: float) -> bool:
    """Whether the training that was started `at` this time has a session in run.json."""
    try:
        return (folder / "run.json").stat().st_mtime >= at and (folder / "recipe.toml").exists()
    except OSError:
        return False


def _find_data(recipe: Recipe) -> None:
    """Raise UserError at once if there are no such images; those of the hub are only looked for in training."""
    from ganvas.data import NAMED, find, is_hub_id, place_of

    name = recipe.data.name
    if name not in NAMED and (place_of(name) or not is_hub_id(name)):
        find(recipe.data)
