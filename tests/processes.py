"""Processes that begin at once: each is forked from a server that has imported PyTorch and has done nothing with it."""

import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

PRELOADED = ["ganvas.cli", "ganvas.training.train", "ganvas.plotting.figures", "torch.utils.tensorboard"]
PRELOADED += ["torch._dynamo"]  # optimisers import it
CHANGES = {"open": 0, "os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.truncate": 0}  # audit event: where the path is
WRITING = os.O_WRONLY | os.O_RDWR


class Moment(NamedTuple):
    """Just before a process changes a file below `folder` (writes, moves or removes it) for the `nth` time."""

    folder: Path
    nth: int = 1
    file: str = ""
    """only files whose path matches this are counted"""
    number: int = 9
    """the signal that the process then sends to itself; SIGKILL leaves it no time for anything"""
    again: bool = False
    """whether it sends the signal also before every change that follows, of whatever file"""


def ganvas(*words: object, output: Path, moment: Moment | None = None) -> BaseProcess:
    """Start `ganvas` with `words` in a process of its own; what it says goes to the file `output`."""
    return start(_ganvas, [str(word) for word in words], output=output, moment=moment)


def start(
    function: Callable[..., None], *arguments: Any, output: Path | None = None, moment: Moment | None = None
) -> BaseProcess:
    """Call a function of a module in a process of its own, which sends itself a signal at a `moment`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_call, args=(dict(os.environ), output, moment, function, arguments))
    process.start()
    return process


def ended(process: BaseProcess) -> int:
    """Wait for a process to end; its exit code, or minus the number of the signal that killed it."""
    process.join(timeout=300)
    assert process.exitcode is not None, "it does not come to an end"
    return process.exitcode


def wait_for(condition: Callable[[], bool]) -> None:
    """Look until it is so; the deadline is there for what never happens."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _ganvas(words: Sequence[str]) -> None:
    from ganvas.cli import main

    main(words)


def _call(
    environment: Mapping[str, str],
    output: Path | None,
    moment: Moment | None,
    function: Callable[..., None],
    arguments: Sequence[Any],
) -> None:
    os.environ.clear()  # that of the server is of when it was started
    os.environ.update(environment)
    if output is not None:
        with output.open("wb") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
    if moment is not None:
        _signal_at(moment)
    function(*arguments)


def _signal_at(moment: Moment) -> None:
    folder, file, counted = f"{moment.folder}{os.sep}", re.compile(moment.file), 0

    def hook(event: str, details: tuple[Any, ...]) -> None:
        nonlocal counted
        if event not in CHANGES or (event == "open" and not details[2] & WRITING):
            return
        path = details[CHANGES[event]]
        if isinstance(path, int) or not os.fsdecode(path).startswith(folder):
            return
        matches = bool(file.search(os.fsdecode(path)))
        counted += matches
        if (matches and counted == moment.nth) or (moment.again and counted >= moment.nth):
            os.kill(os.getpid(), moment.number)

    sys.addaudithook(hook)
