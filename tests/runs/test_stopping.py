"""Stopping the training of a run from another process."""

import os
import platform
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ganvas.core.errors import UserError
from ganvas.runs import stopping
from ganvas.runs.info import Session
from ganvas.runs.run import Run
from tests.evaluated import make_run


def in_training(path: Path, **session: Any) -> Run:
    """A made-up run whose last session is this very process, changed by `session`."""
    run = make_run(path)
    usual = {
        "at": datetime.now(UTC).isoformat(),
        "pid": os.getpid(),
        "host": platform.node(),
        "command": ("g", "train"),
    }
    run.update_info(state="running", sessions=[{"at": ""}, {**usual, **session}])
    return run


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The signals that were sent to other processes."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def test_the_process_of_the_last_session_is_asked(tmp_path: Path, signals: list[tuple[int, int]]) -> None:
    run = in_training(tmp_path / "run")
    with run.lock():
        stopping.stop(run)
    assert signals == [(os.getpid(), signal.SIGTERM)]


def test_a_run_that_nobody_trains(tmp_path: Path, signals: list[tuple[int, int]]) -> None:
    with pytest.raises(UserError, match="is not being trained"):
        stopping.stop(in_training(tmp_path / "run"))
    assert not signals


@pytest.mark.parametrize(
    ("session", "message"),
    [
        ({"pid": None}, "earlier version"),
        ({"host": "elsewhere"}, "on the machine 'elsewhere': stop it there"),
        ({"command": ("notebook.py",)}, "another program"),
        # The number of the process was given to another one, which started after the session.
        ({"at": (datetime.now(UTC) - timedelta(days=30000)).isoformat()}, "try again"),
        ({"pid": 2**22 + 1}, "try again"),
    ],
)
def test_no_other_process_is_ever_asked(
    tmp_path: Path, signals: list[tuple[int, int]], session: dict[str, Any], message: str
) -> None:
    run = in_training(tmp_path / "run", **session)
    with run.lock(), pytest.raises(UserError, match=message):
        stopping.stop(run)
    assert not signals


def test_a_run_without_sessions_has_none_to_stop(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.update_info(sessions=[])
    assert "earlier version" in str(stopping.refusal(run.info()))


def test_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: False)
    printed = ""
    monkeypatch.setattr(stopping.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=f" {printed}\n"))
    for printed, seconds in {"01:05": 65, "02:00:05": 7205, "1-00:00:10": 86410}.items():  # noqa: B007
        before = datetime.now(UTC).timestamp()
        started = stopping._start(1)
        assert started is not None
        assert before <= started + seconds <= datetime.now(UTC).timestamp()
    printed = ""
    assert stopping._start(1) is None


def test_sessions_of_earlier_versions_name_no_process() -> None:
    assert (Session().pid, Session().host) == (None, "")
