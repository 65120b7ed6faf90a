"""The log of a run: one record per line of log.jsonl."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, NonNegativeInt

from ganvas.core import files
from ganvas.core.documents import Document
from ganvas.core.errors import UserError
from ganvas.runs.writer import UNLIMITED, Writer

Record = dict[str, Any]
"""A record in memory: the fields of `LogRecord` that have a value, except for the version."""


class LogRecord(Document):
    """A line of the log, covering the time since the previous record. All other keys are named numbers."""

    KIND: ClassVar[str] = "a record of the log"
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int | float | None] = Field(init=False)

    nimg: NonNegativeInt
    """images seen since the run began"""
    epoch: float | None = None
    """passes over the data"""
    seconds: float | None = None
    """training time since the run began, over all sessions"""
    images_per_second: float | None = None
    stopped: bool | None = None
    """whether the run was stopped here, between two regular records"""


class Log:
    """The file with the records of a run."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def append(self, record: Record, writer: Writer = UNLIMITED) -> None:
        writer.append(self.file, self._line(record))

    def read(self) -> list[Record]:
        """All complete records; a kill may have truncated the last line. Raises UserError for another damaged line."""
        if not self.file.is_file():
            return []
        lines = files.read(self.file).splitlines()
        records: list[Record] = []
        for number, line in enumerate(lines, 1):
            try:
                record = LogRecord.from_json(line, f"{self.file}, line {number}")
            except UserError:
                if number == len(lines):
                    break
                raise
            records.append(record.model_dump(exclude={"version"}, exclude_none=True))
        return records

    def rewind(self, nimg: int) -> None:
        """Remove the records after `nimg` images, which a resumed run writes again."""
        if self.file.is_file():
            self.replace(record for record in self.read() if record["nimg"] <= nimg)

    def replace(self, records: Iterable[Record]) -> None:
        """Rewrite the log with `records`, which are no more than before: a disk budget keeps only that much room."""
        files.write(self.file, b"".join(map(self._line, records)))

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Rename the log, so that a new one can begin and nothing is lost; returns its new name."""
        number = next(n for n in itertools.count(1) if not self.file.with_suffix(f".{n}.old").exists())
        return self.file.replace(self.file.with_suffix(f".{number}.old"))

    def _line(self, record: Record) -> bytes:
        return (LogRecord.from_values(record, self.file).to_json() + "\n").encode()
