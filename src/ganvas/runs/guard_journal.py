"""The journal of the guard: guard.json, what it saw and did."""

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
    """An alarm of the guard, and what followed."""

    KIND: ClassVar[str] = "the journal of the guard"

    nimg: int
    """images seen at the alarm"""
    kind: str
    """of trouble: non-finite, domination, overshoot, collapse or stagnation"""
    said: str
    """the same in words"""
    back_to: int | None = None
    """images seen at the checkpoint that the run went back to; none: it was stopped"""
    factors: dict[str, float] = Field({})
    """for each setting of the method that was changed, what it was multiplied by"""
    seconds: float = 0.0
    """of training until the alarm"""
    records: list[dict[str, Any]] = Field([])
    """those that going back took from the log, or some of them"""
    done: bool | None = None
    """false while the run goes back: a kill came in between"""


class GuardJournal:
    """The events of a run in a file, oldest first."""

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
