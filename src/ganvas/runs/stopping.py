"""Stopping the training of a run from another process."""

import os
import platform
import re
import signal
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from ganvas.core.errors import UserError
from ganvas.runs.info import RunInfo, Session
from ganvas.runs.run import Run

TOLERANCE = 5.0  # seconds by which a process may seem to have started after its session, as clocks are adjusted


def stop(run: Run) -> None:
    """Ask the process that trains `run` on this machine to write a checkpoint and end; returns at once.

    Raises UserError if there is no such process, or if it cannot be asked.
    """
    if not run.in_use():
        raise UserError(f"'{run.path}' is not being trained")
    info = run.info()
    if why_not := refusal(info):
        raise UserError(f"'{run.path}' {why_not}")
    session = info.sessions[-1]
    if session.pid is None or not _is_alive(session):
        raise UserError(f"'{run.path}' has only begun to load its data: try again in a moment")
    try:
        # Not SIGINT, as `ganvas train` takes a second one for an order to end without a checkpoint.
        os.kill(session.pid, signal.SIGTERM)
    except ProcessLookupError:
        raise UserError(f"'{run.path}' is not being trained") from None
    except PermissionError:
        raise UserError(f"'{run.path}' is trained by another user, who can stop it") from None


def refusal(info: RunInfo) -> str | None:
    """Why the training of a run cannot be stopped from this machine, as a predicate of the run; None if it can."""
    session = info.sessions[-1] if info.sessions else None
    if session is None or session.pid is None:
        return "was started by an earlier version of ganvas: stop it where it was started, with Ctrl-C"
    if session.host != platform.node():
        return f"is trained on the machine '{session.host}': stop it there"
    if session.command[1:2] != ("train",):  # a signal would end the whole program
        return "is trained by another program than `ganvas train`: stop it there"
    if os.name != "posix":
        return "can only be stopped with Ctrl-C in its own window on this system"
    return None


def _is_alive(session: Session) -> bool:
    """Whether the process of the session is alive: one that started later has only been given its number again."""
    assert session.pid is not None
    started = _start(session.pid)
    return started is not None and started <= datetime.fromisoformat(session.at).timestamp() + TOLERANCE


def _start(pid: int) -> float | None:
    """When a process started, in seconds since 1970; None if there is none."""
    with suppress(OSError, IndexError, ValueError):
        if Path("/proc/self/stat").exists():  # Linux
            ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
            booted = re.search(r"^btime (\d+)$", Path("/proc/stat").read_text(), re.MULTILINE)
            return None if booted is None else int(booted[1]) + ticks / float(os.sysconf("SC_CLK_TCK"))
        # Elsewhere `ps` says for how long it has run: [[days-]hours:]minutes:seconds
        said = subprocess.run(["ps", "-o", "etime=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
        days, _, clock = said.rpartition("-")
        seconds = sum(int(part) * 60.0**i for i, part in enumerate(reversed(clock.split(":"))))
        return datetime.now(UTC).timestamp() - seconds - 86400 * int(days or 0)
    return None
