"""What the runs of a folder contain, read again while they grow.

Files are only read when their size or time has changed, and logs only from where they were read before, so that
watching costs a few `stat` calls and never slows a training. Nothing here needs PyTorch.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.text import printable
from ganvas.explore.folder import Folder
from ganvas.metrics.table import METRICS
from ganvas.runs.log import LogRecord, Record
from ganvas.runs.run import Run
from ganvas.runs.stopping import refusal

FRESH = 0.8  # seconds after which files are looked at again
TAILS = (2**16, 2**21)  # bytes at the end of a log in which the newest record and score are looked for
FORGOTTEN = 60.0  # seconds after which the records of a run that nobody watches are dropped

Stamp = tuple[int, int, int] | None
T = TypeVar("T")


def stamp(path: Path) -> Stamp:
    """Changes whenever the file or folder does; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class Fresh(Generic[T]):
    """A value that is read from files, again whenever one of them changes."""

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self.paths, self.read = paths, read
        self._stamps: list[Stamp] | None = None
        self._value: T

    def __call__(self) -> T:
        stamps = [stamp(path) for path in self.paths]
        if stamps != self._stamps:
            self._value, self._stamps = self.read(), stamps
        return self._value


class Records:
    """The records of a growing log. `generation` goes up when the log was rewritten, and all are read again."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.generation = 0
        self.records: list[Record] = []
        self.error: str | None = None
        self._seen: Stamp = None
        self._offset = 0
        self._last = b""  # the last line that was read

    def update(self) -> None:
        """Read what was added."""
        now = stamp(self.file)
        if now == self._seen:
            return
        self._seen = now
        try:
            self._read()
        except OSError as error:
            self._begin()
            self.error = None if now is None else f"cannot read '{self.file}': {error.strerror}"

    def _read(self) -> None:
        with files.open_regular(self.file) as file:
            file.seek(self._offset - len(self._last))
            if file.read(len(self._last)) != self._last or self.error:
                self._begin()
                file.seek(0)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]  # the last line may not be complete yet
        for line in whole.splitlines(keepends=True):
            try:
                self.records.append(_record(line, f"{self.file}, line {len(self.records) + 1}"))
            except UserError as error:
                self.error = str(error)
                return
            self._offset += len(line)
            self._last = line

    def _begin(self) -> None:
        self.generation += 1
        self.records, self.error, self._offset, self._last = [], None, 0, b""


def _record(line: bytes, where: str) -> Record:
    """A record without what JavaScript cannot parse: numbers that are not finite."""
    record = LogRecord.from_json(line, where).model_dump(exclude={"version", "stopped"}, exclude_none=True)
    return {key: value for key, value in record.items() if math.isfinite(value)}


def columns(records: Sequence[Record]) -> dict[str, list[float | None]]:
    """The values of each quantity, with None where a record lacks it."""
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def newest(file: Path) -> tuple[Record | None, float | None]:
    """The last complete record of a log and the last score, from the end of the file.

    Raises UserError if that end is damaged, and OSError if it cannot be read.
    """
    last: Record | None = None
    for size in TAILS:
        with files.open_regular(file) as opened:
            start = max(0, opened.seek(0, 2) - size)
            opened.seek(start)
            lines = opened.read(size).split(b"\n")[bool(start) : -1]
        records = [_record(line, str(file)) for line in lines]
        last = records[-1] if records else None
        if scores := [record["score"] for record in records if "score" in record]:
            return last, scores[-1]
        if not start:
            break
    return last, None


class Growth:
    """Everything about one run that a page shows."""

    def __init__(self, name: str, run: Run) -> None:
        self.name, self.run = name, run
        self.records = Records(run.log.file)
        self.watched = time.monotonic()
        samples, evaluations = run.samples, run.evaluations
        self._summary = Fresh([run.info_file, run.recipe_file, run.log.file, samples], self._summarise)
        self._events = Fresh([run.journal.file], self._read_events)
        self._sheets = Fresh([samples], lambda: [int(file.stem) for file in run.sheets()])
        self._evaluations = Fresh([evaluations], lambda: [*map(_evaluation, run.evaluation_files())])

    def summary(self) -> dict[str, Any]:
        """What the list of runs shows."""
        found = self._summary()
        if found["state"] == "training" and not self.run.in_use():
            return {**found, "state": "killed", "stop": None}
        return found

    def _summarise(self) -> dict[str, Any]:
        run = self.run
        empty = {"recipe": "", "data": "", "nimg": 0, "score": None, "sheet": None, "active": 0.0}
        try:
            info = run.info()
            last, score = newest(run.log.file) if run.log.file.exists() else (None, None)
            total = self._total()
            active = (run.log.file if last else run.info_file).stat().st_mtime
            sheets = run.sheets()
        except (UserError, OSError) as error:
            return {**empty, "name": self.name, "state": "damaged", "reason": self._said(error)}
        last = last or {"nimg": 0}
        return {
            "name": self.name,
            "recipe": info.recipe,
            "data": info.data.name,
            "place": info.data.place,
            "started": info.started.timestamp(),
            "active": active,
            "state": "training" if info.state == "running" else info.state,
            "reason": info.reason and printable(info.reason),
            "stop": refusal(info),
            "nimg": last["nimg"],
            "seconds": last.get("seconds"),
            "images_per_second": last.get("images_per_second"),
            "total": total,
            "score": score,
            "sheet": int(sheets[-1].stem) if sheets else None,
            "paints": self._paints(),
            "group": self._group(),
        }

    def error(self) -> str | None:
        """What is wrong with the records."""
        return self.records.error and self._said(self.records.error)

    def _said(self, error: object) -> str:
        """An error on one line, with files named from the folder of the run on."""
        return printable(str(error).replace(f"{self.run.path}{os.sep}", ""))

    def _total(self) -> int:
        """The length of the run in images; 0: unknown."""
        try:
            return self.run.total_images()
        except UserError:
            return 0

    def _paints(self) -> bool:
        try:
            return self.run.paints()
        except UserError:
            return False

    def _group(self) -> str | None:
        """The same for runs that differ only in their seed."""
        try:
            return hashlib.sha256(digest(self.run.but_for_seed()).encode()).hexdigest()[:16]
        except UserError:
            return None

    def facts(self) -> dict[str, Any]:
        """What belongs to a run besides its records: events of the guard, evaluations, sample sheets."""
        try:
            return {"events": self._events(), "sheets": self._sheets(), "evaluations": self._evaluations()}
        except (UserError, OSError) as error:
            return {"events": [], "sheets": [], "evaluations": [], "error": self._said(error)}

    def _read_events(self) -> list[dict[str, Any]]:
        events = self.run.events()
        return [
            {"nimg": e.nimg, "seconds": e.seconds, "kind": e.kind, "said": e.said, "response": e.response()}
            for e in events
        ]


class _Checkpoint(BaseModel):
    nimg: int
    seconds: float


class _Evaluation(BaseModel):
    """What is shown of an evaluation; `ganvas.evaluation.document`, which has all of it, needs PyTorch."""

    checkpoint: _Checkpoint
    scores: Mapping[str, dict[str, float | None]]


def _evaluation(file: Path) -> dict[str, Any]:
    try:
        found = _Evaluation.model_validate_json(files.read(file))
    except ValueError:
        raise UserError(f"'{file}' is not an evaluation") from None
    scores = {name: score.get("value") for name, score in found.scores.items() if name in METRICS}
    finite = {name: value for name, value in scores.items() if value is not None and math.isfinite(value)}
    return {"nimg": found.checkpoint.nimg, "seconds": found.checkpoint.seconds, "scores": finite}


class Overview:
    """All runs of a folder, for all pages. Its methods read files: call them in a thread."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._growths: dict[str, Growth] = {}
        self._summaries: dict[str, dict[str, Any]] = {}
        self._looked = -FRESH
        self._lock = threading.Lock()

    def summaries(self) -> dict[str, dict[str, Any]]:
        """The summary of each run, by name."""
        with self._lock:
            if time.monotonic() - self._looked > FRESH:
                runs = self.folder.runs()
                self._growths = {name: self._growths.get(name) or Growth(name, run) for name, run in runs.items()}
                self._summaries = {name: growth.summary() for name, growth in self._growths.items()}
                self._looked = time.monotonic()
            return self._summaries

    def growth(self, name: str) -> Growth | None:
        """The run of this name, with its newest records; None if there is none."""
        with self._lock:
            for growth in self._growths.values():
                if growth.records.records and time.monotonic() - growth.watched > FORGOTTEN:
                    growth.records = Records(growth.run.log.file)
            found = self._growths.get(name)
            if found is not None:
                found.watched = time.monotonic()
                found.records.update()
            return found


def digest(value: Any) -> str:
    """The same text for the same JSON."""
    return json.dumps(value, sort_keys=True, default=str)
