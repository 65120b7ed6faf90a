"""Commands of ganvas in processes of their own, and their logs."""

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PROMPT = "$ ganvas "  # precedes each command in a log


def start_ganvas(
    words: Sequence[str], log: IO[bytes], environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start `ganvas` with the arguments `words` in `folder`; the command and its output are appended to `log`.

    It has a session of its own: Ctrl-C in this terminal does not reach it, and it goes on when this process ends.
    """
    log.write(f"{PROMPT}{shlex.join(words)}\n".encode())
    log.flush()
    return subprocess.Popen(
        [sys.executable, "-m", "ganvas", *words],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )


def failure_reason(log: Path) -> str:
    """The line of a log that says why its last command failed: its last error, or else its last line."""
    text = f"\n{log.read_text(errors='replace')}" if log.is_file() else ""
    _, prompt, last = text.rpartition(f"\n{PROMPT}")
    lines = [line.strip() for line in (last if prompt else text).splitlines()[1:]]
    lines = [line for line in lines if line]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return [*(lines[-1:] or ["it printed nothing"]), *errors][-1]
