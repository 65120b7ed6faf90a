"""The journal of the guard: its alarms and what it did, in guard.json."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from ganvas.core import files
from ganvas.core.documents import Document
from ganvas.core.errors import UserError
from ganvas.runs.writer import UNLIMITED, Writer


class GuardEvent(Document):
    """An alarm of the guard, and its response."""

    KIND: ClassVar[str] = "the journal of the guard"

    nimg: int
    """images seen at the alarm"""
    kind: str
    """kind of trouble: non-finite, domination, overshoot, collapse or stagnation"""
    said: str
    """description of the trouble"""
    back_to: int | None = None
    """images seen of the checkpoint that the run went back to; none: it was stopped"""
    factors: dict[str, float] = Field({})
    """the factor of each setting of the method that was changed"""
    seconds: float = 0.0
    """training time until the alarm"""
    records: list[dict[str, Any]] = Field([])
    """records that the rollback removed from the log, or some of them"""
    done: bool | None = None
    """false if the rollback has begun but not finished, for example because of a kill"""

    def response(self) -> str:
        """What the guard did, in words."""
        if self.back_to is None:
            return "stopped"
        changes = ", ".join(f"{field} × {factor:g}" for field, factor in self.factors.items())
        return f"back to {self.back_to:,}" + (f" with {changes}" if changes else "")


class GuardJournal:
    """The file with the events of a run, oldest first."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def events(self) -> list[GuardEvent]:
        """Raises UserError when the file is damaged."""
        if not self.file.is_file():
            return []
        try:
            found = json.loads(files.read(self.file))
        except ValueError as error:
            raise UserError(f"'{self.file}' is not {GuardEvent.KIND}: {error}") from None
        if not isinstance(found, list):
            raise UserError(f"'{self.file}' is not {GuardEvent.KIND}: it should be a list")
        return [GuardEvent.from_values(event, self.file) for event in found]

    def write(self, events: Sequence[GuardEvent], writer: Writer = UNLIMITED) -> None:
        written = [event.model_dump(mode="json") for event in events]
        writer.write(self.file, (json.dumps(written, indent=1) + "\n").encode())
