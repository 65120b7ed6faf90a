"""Files that take long to paint: one at a time in a thread of its own, with progress, until finished or cancelled.

They are written to the folder `paintings` beside the runs, and only files that were written here are given to a page.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.core.errors import UserError, out_of_memory
from ganvas.explore.folder import Folder

if TYPE_CHECKING:
    from ganvas.painting.paint import Progress

MOST = 8  # that wait or run
KEPT = 30  # finished ones that are listed
PLACE = "paintings"


class Cancelled(Exception):
    """Raised in the thread of a job that a page gave up."""


@dataclass
class Job:
    """A file that is painted."""

    id: str
    file: Path
    done: int = 0
    total: int = 1
    state: str = "waiting"
    """waiting, painting, finished, failed or cancelled"""
    error: str = ""
    seconds: float = 0.0
    cancelled: threading.Event = field(default_factory=threading.Event)

    def progress(self, done: int, total: int) -> None:
        """Called by what paints; raises Cancelled to stop it."""
        if self.cancelled.is_set():
            raise Cancelled
        self.done, self.total = done, total

    @property
    def open(self) -> bool:
        return self.state in ("waiting", "painting")

    def facts(self) -> dict[str, Any]:
        """For the page."""
        names = ("id", "done", "total", "state", "error")
        shown: dict[str, Any] = {name: getattr(self, name) for name in names}
        return {**shown, "name": self.file.name, "place": self.file.parent.name, "seconds": round(self.seconds, 1)}


class Jobs:
    """The jobs of a server."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._jobs: dict[str, Job] = {}
        self._thread = ThreadPoolExecutor(1, "jobs", initializer=_step_back)
        self._lock = threading.Lock()

    def start(self, name: str, ending: str, paint: Callable[[Path, Progress], None]) -> Job:
        """`paint` is called with the file and the progress. Raises UserError if too many are waiting."""
        with self._lock:
            if sum(job.open for job in self._jobs.values()) >= MOST:
                raise UserError(f"{MOST} files are waiting or being painted: let one finish, or cancel one")
            job = Job(secrets.token_hex(8), self._file(name, ending))
            self._jobs[job.id] = job
            for old in [each for each in self._jobs.values() if not each.open][:-KEPT]:
                del self._jobs[old.id]
        self._thread.submit(self._run, job, paint)
        return job

    def place(self) -> Path:
        """The folder of the files."""
        numbered = (self.folder.outputs / (PLACE if n == 1 else f"{PLACE}-{n}") for n in range(1, 100))
        return next(place for place in numbered if not (place / "run.json").exists())

    def _file(self, name: str, ending: str) -> Path:
        """A new name for a file."""
        stem = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "painting"
        stem += time.strftime("-%Y%m%d-%H%M%S")
        place, taken = self.place(), {job.file for job in self._jobs.values()}
        named = (place / f"{stem}{'' if n == 1 else f'-{n}'}{ending}" for n in range(1, 1_000))
        return next(file for file in named if file not in taken and not file.exists())

    def _run(self, job: Job, paint: Callable[[Path, Progress], None]) -> None:
        start = time.perf_counter()
        try:
            job.progress(0, 1)
            job.state = "painting"
            paint(job.file, job.progress)
            job.state = "finished"
        except Cancelled:
            job.state = "cancelled"
        except UserError as error:
            job.state, job.error = "failed", str(error)
        except OSError as error:
            job.state, job.error = "failed", f"cannot write {job.file.name}: {error.strerror or error}"
        except Exception as error:
            full = "there is not enough memory: choose a smaller size" if out_of_memory(error) else repr(error)
            job.state, job.error = "failed", full
        job.seconds = time.perf_counter() - start

    def cancel(self, id: str) -> None:
        """Give a job up; what it has written is removed. One that is finished stays."""
        if (job := self._jobs.get(id)) is not None:
            job.cancelled.set()
            if job.state == "waiting":
                job.state = "cancelled"

    def file(self, id: str) -> Path:
        """The file of a finished job; raises UserError if there is none."""
        job = self._jobs.get(id)
        if job is None or job.state != "finished" or not job.file.is_file():
            raise UserError("there is no such file")
        return job.file

    def facts(self) -> list[dict[str, Any]]:
        """All jobs, oldest first."""
        with self._lock:
            return [job.facts() for job in self._jobs.values()]

    def close(self) -> None:
        """Give all jobs up."""
        for job in list(self._jobs.values()):
            job.cancelled.set()
        self._thread.shutdown(wait=False, cancel_futures=True)


def _step_back() -> None:
    """The thread gives way to the one that paints while somebody waits."""
    if sys.platform == "linux":  # elsewhere this would slow the whole server
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
