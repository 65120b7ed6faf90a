import json
from pathlib import Path

import pytest

from ganvas.core.errors import UserError
from ganvas.runs.guard_journal import GuardEvent, GuardJournal

EVENT = GuardEvent(
    nimg=200,
    kind="collapse",
    said="the samples have become alike",
    back_to=120,
    factors={"lr": 0.5},
    seconds=3.5,
    records=[{"nimg": 140, "d_loss": 0.1}],
    done=True,
)


def test_events_are_read_as_they_were_written(tmp_path: Path) -> None:
    journal = GuardJournal(tmp_path / "guard.json")
    assert journal.events() == []
    events = [EVENT, EVENT.model_copy(update={"back_to": None, "done": None})]
    journal.write(events)
    assert journal.events() == events


def test_a_journal_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    old = EVENT.model_dump(exclude={"version"})
    (tmp_path / "guard.json").write_text(json.dumps([old]))
    assert GuardJournal(tmp_path / "guard.json").events() == [EVENT]


@pytest.mark.parametrize("content", ["", "{", "{}", "[{}]", '[{"nimg": "x"}]', "[1]", b"\xff\xfe"])
def test_a_damaged_journal_is_one_message(content: str | bytes, tmp_path: Path) -> None:
    file = tmp_path / "guard.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=r"guard.json' is not the journal of the guard") as refusal:
        GuardJournal(file).events()
    assert "\n" not in str(refusal.value)
