"""Campaigns: many commands under odd circumstances, each of them watched, and a count of what went wrong.

A command may succeed, or refuse with one line; it may not end with a traceback, hang, fill the memory, leave files
behind that nobody asked for, or let what a stranger wrote control the terminal.
"""

import faulthandler
import json
import os
import random
import re
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ganvas import cli
from tests.conftest import MESSAGES

SEED = int(os.environ.get("GANVAS_TEST_SEED", "0"))
SECONDS = int(os.environ.get("GANVAS_TEST_SECONDS", "600"))  # a command that takes longer hangs, on any machine
MEMORY = 8 * 2**30  # bytes of addresses that a command may add to those of this process
KINDS = ("traceback", "hang", "memory", "exit code", "message", "left over", "wrong result")


def sizes(everyday: int, campaign: int) -> pytest.MarkDecorator:
    """The argument `count` of a test: a small campaign every day, a large one marked slow ($GANVAS_TEST_COUNT)."""
    large = int(os.environ.get("GANVAS_TEST_COUNT", campaign))
    return pytest.mark.parametrize("count", [everyday, pytest.param(large, marks=pytest.mark.slow)])


class Hangs(BaseException):
    """A command that does not end. Not an Exception, which the command might catch."""


class WorksOn(Hangs):
    """A command that was asked for much and has said something lately, so that it only takes long."""


@contextmanager
def deadline(said: Callable[[], object] = lambda: None) -> Iterator[None]:
    """A command that hangs raises `Hangs`, or `WorksOn` if what it has `said` changed in the second half."""
    halfway: list[object] = []

    def ring(*_: object) -> None:
        if not halfway:
            halfway.append(said())
            signal.alarm(SECONDS - SECONDS // 2)
        elif said() != halfway[0]:
            raise WorksOn("the command takes long")
        else:
            raise Hangs("the command does not end")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(max(1, SECONDS // 2))
    faulthandler.dump_traceback_later(
        2 * SECONDS, exit=True, file=sys.__stderr__
    )  # where Python never gets to handle the signal
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


@contextmanager
def limited_memory() -> Iterator[None]:
    """A command that asks for far more memory than it needs gets a MemoryError, instead of taking the machine's."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def files_in(folder: Path) -> dict[Path, int]:
    """The files below a folder with their sizes, but for the locks of runs, which stay."""
    found = (file for file in folder.rglob("*") if not file.is_dir() or file.is_symlink())
    return {file.relative_to(folder): file.lstat().st_size for file in found if file.name != ".lock"}


def abandoned(folder: Path) -> list[str]:
    """Files and folders below a folder that only a process at work should have there."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    return [name for name in names if re.search(r"\.(parts?|old|tmp|training)$|/tmp[^/]*$", name)]


class Campaign:
    """Gives commands, and keeps what went wrong: `faults` holds (kind, what) for each."""

    def __init__(self, name: str, capsys: pytest.CaptureFixture[str] | None = None) -> None:
        self.name, self.capsys = name, capsys
        self.commands, self.codes, self.long = 0, Counter[int](), 0
        self.faults: list[tuple[str, str]] = []

    def fault(self, kind: str, what: str) -> None:
        assert kind in KINDS
        self.faults.append((kind, what[:500]))

    def give(self, words: Sequence[object], about: str, place: Path, codes: Sequence[int] = (0, 1, 2)) -> int | None:
        """Give a command that works below `place`, and look at how it ends; its exit code, or None.

        One that refuses (exit code 2) says so in one line and leaves every file as it was.
        """
        assert self.capsys is not None
        what = f"{about}: {' '.join(str(word)[:80] for word in words)!r}"
        self.commands += 1
        self.capsys.readouterr()
        before, code = files_in(place), None
        try:
            with deadline(lambda: sys.stderr.tell()), limited_memory():
                code = command(words)
        except WorksOn:
            self.long += 1
        except Hangs:
            self.fault("hang", what)
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.fault("traceback", f"{type(error).__name__} ({where.filename}:{where.lineno}): {error}: {what}")
        out, err = self.capsys.readouterr()
        MESSAGES.texts.clear()
        if code is None:
            return None
        self.codes[code] += 1
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        if code not in codes:
            self.fault("exit code", f"{what}: {code}: {err}")
        if (len(errors) != 1 if code in (1, 2) else errors) or "Traceback" in err or "\x1b[31m" in out + err:
            self.fault("message", f"{what}: {code}: {err}")
        if "out of memory" in err:
            self.fault("memory", f"{what}: {err}")
        if code == 2 and (changed := before.items() ^ files_in(place).items()):
            self.fault("left over", f"{what}: {sorted(str(file) for file, _ in changed)}")
        elif left := abandoned(place):
            self.fault("left over", f"{what}: {left}")
        return code

    def end(self) -> None:
        """Say the counts; raises AssertionError with every fault."""
        counts = Counter(kind for kind, _ in self.faults)
        said = ", ".join(f"{kind} {counts[kind]}" for kind in KINDS)
        ends = f"exit codes {dict(self.codes)}, {self.long} stopped at work"
        print(f"\n{self.name}, seed {SEED}: {self.commands} commands, {ends}: {said}")
        assert not self.faults, "\n".join([f"{self.name}: {len(self.faults)} faults", *map(": ".join, self.faults)])


def command(words: Sequence[object]) -> int:
    """Run the command line in this process; the exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in words])
    return int(ended.value.code or 0)


# -- odd content ------------------------------------------------------------------------------------------------------

ODD_JSON = (
    *("null", "-1", "0", "0.5", "7e999", "1e300", "-1e-300", "4294967296", "9223372036854775808", "9" * 5000),
    *('"text"', '""', "[]", "{}", "[1]", "[[[1]]]", "true", "NaN", "-Infinity", "[" * 3000),
    *('"\\u001b[31m[/] \\n"', '"~nobodyhasthis/x"', '"../../x"', '"\\u0000"', '"\\ud800"', f'"{"long" * 3000}"'),
)
ODD_TOML = (
    *("-1", "0", "1e999", "1e300", "9" * 5000, '"text"', '""', "[]", "nan", "-inf", "true", "{}", "[" * 3000),
    *('"../../x"', "1979-05-27", '"~nobodyhasthis/x"', '"\\u001b[31m[/] \\n"', '"\\u0000"', "[1, [2, 'x']]"),
)
_JSON_VALUE = rb': ?("[^"]*"|-?[\d.e+-]+|true|false|null|\[[^\]]*\]|\{[^}]*\})'
_TOML_VALUE = rb"= ([^\n]+)"


def damaged(content: bytes, ending: str, chance: random.Random) -> bytes:
    """The content of a file after an accident, or as a stranger might write it."""
    kind = chance.choice(["cut", "flip", "other", "odd", "odd", "odd"])
    if kind == "cut":
        return content[: chance.randrange(len(content) + 1)]
    if kind == "flip":
        changed = bytearray(content)
        for _ in range(chance.choice([1, 3, 30])):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        return bytes(changed)
    if kind == "other":
        return chance.choice([b"", b"\xff\xfe\0", b"[" * 100_000, b"{}", b"[]", b"null", b"\0" * 1000])
    if ending == ".toml":
        return _odd(content, _TOML_VALUE, ODD_TOML, chance)
    return _odd(content, _JSON_VALUE, ODD_JSON, chance)


def _odd(content: bytes, pattern: bytes, values: tuple[str, ...], chance: random.Random) -> bytes:
    """One value of many replaced by an odd one."""
    found = list(re.finditer(pattern, content))
    if not found:
        return content[::-1]
    start, end = chance.choice(found).span(1)
    return content[:start] + chance.choice(values).encode() + content[end:]


def odd_document(values: Mapping[str, Any], chance: random.Random) -> str:
    """The text of a document with one value at any depth replaced by an odd one, or left out."""
    document = json.loads(json.dumps(values))
    *way, last = chance.choice(list(_places(document)))
    inner = document
    for key in way:
        inner = inner[key]
    if isinstance(inner, dict) and chance.random() < 0.1:
        del inner[last]
        return json.dumps(document)
    inner[last] = "THE ODD ONE"
    return json.dumps(document).replace('"THE ODD ONE"', chance.choice(ODD_JSON))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(inner, (*path, key))


Words = Callable[[Path], list[Any]]  # a command, for the folder in which it works
