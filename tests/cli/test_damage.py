"""Files that were damaged or made up: every command ends with one line, or goes another way; never with a traceback."""

import json
import os
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli import NO_FIGURES, PAINTS, TINY, ganvas
from tests.conftest import MESSAGES

EVERYDAY, CAMPAIGN = 12, 1500  # damaged files that are tried
SECONDS = 600  # a command that takes longer hangs, on any machine

ODD_VALUES = (
    "null",
    "-1",
    "7e999",
    "9" * 5000,
    '"text"',
    "[]",
    "{}",
    "true",
    "NaN",
    '"\\u001b[31m[/] \\n"',
    "[" * 3000,
)
ODD_TOML = ("-1", "1e999", "9" * 5000, '"text"', "[]", "nan", "true", "{}", "[" * 3000, '"../../x"', "1979-05-27")


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
        return _odd(content, rb"= ([^\n]+)", ODD_TOML, chance)
    return _odd(content, rb': ?("[^"]*"|-?[\d.e+-]+|true|false|null|\[[^\]]*\]|\{[^}]*\})', ODD_VALUES, chance)


def _odd(content: bytes, pattern: bytes, values: tuple[str, ...], chance: random.Random) -> bytes:
    """One value of many replaced by an odd one."""
    found = list(re.finditer(pattern, content))
    if not found:
        return content[::-1]
    start, end = chance.choice(found).span(1)
    return content[:start] + chance.choice(values).encode() + content[end:]


@contextmanager
def deadline() -> Iterator[None]:
    """A command that hangs fails the test."""

    def ring(*_: object) -> None:
        raise TimeoutError("the command does not end")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def runs(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs that have everything: checkpoints, events, evaluations, images with recipes."""
    folder = tmp_path_factory.mktemp("damage")
    words = ["--data", pictures, "--device", "cpu", "--set", "train.eval_every=120", "train.eval_samples=100"]
    small = [word for word in TINY if not word.startswith("train.eval")]
    assert ganvas("train", "strokes-cdcgan", "--out", folder / "a", "--images", 240, *NO_FIGURES, *words, *small) == 0
    assert (
        ganvas("train", "mnist-residual-cppn", "--out", folder / "b", "--images", 60, *NO_FIGURES, *words, *PAINTS) == 0
    )
    assert ganvas("sample", folder / "a", "--n", 4, "--out", folder / "samples.png") == 0
    assert ganvas("paint", folder / "b", "--seed", 1, "--size", 20, "--out", folder / "painting.png") == 0
    (folder / "a" / "guard.json").write_text(json.dumps([json.loads(EVENT)]))
    return folder


EVENT = '{"nimg": 120, "kind": "collapse", "said": "samples are alike", "back_to": 120, "factors": {"lr": 0.5}}'

COMMANDS: list[Callable[[Path], list[Any]]] = [
    lambda place: ["runs", place],
    lambda place: ["sample", place / "a", "--n", 2, "--out", place / "new.png"],
    lambda place: ["plot", place / "a"],
    lambda place: ["plot", place / "a", place / "b"],
    lambda place: ["compare", place / "a", place / "b", "--html", place / "new.html"],
    lambda place: ["evaluate", place / "a", "--n", 100, "--device", "cpu"],
    lambda place: ["train", "strokes-cdcgan", "--out", place / "a", "--images", 280, "--device", "cpu"],
    lambda place: ["paint", place / "b", "--seed", 2, "--size", 10, "--out", place / "new.png"],
    lambda place: ["paint", place / "b", "--like", place / "painting.png", "--out", place / "new.png"],
]


def campaign(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int, seed: int) -> list[str]:
    """Damage a file of the runs, give a command, `count` times; what went wrong."""
    chance, wrong = random.Random(seed), []
    endings = (".json", ".jsonl", ".toml", ".safetensors", ".png")
    files = [file.relative_to(runs) for file in sorted(runs.rglob("*")) if file.suffix in endings]
    files = [file for file in files if "figures" not in file.parts]  # which nobody reads
    for attempt in range(count):
        place = tmp_path / str(attempt)
        shutil.copytree(runs, place)
        victim = chance.choice(files)
        content = (place / victim).read_bytes()
        (place / victim).write_bytes(damaged(content, victim.suffix, chance))
        words = chance.choice(COMMANDS)(place)
        capsys.readouterr()
        try:
            with deadline():
                code = ganvas(*words)
        except BaseException as error:
            wrong.append(f"{attempt} {words[0]} with a damaged {victim}: {type(error).__name__}: {error}"[:300])
            continue
        finally:
            said = capsys.readouterr().err
        lines = [line for line in said.splitlines() if line.startswith("error: ")]
        if code not in (0, 1, 2) or (code == 2 and len(lines) != 1) or "Traceback" in said or "\x1b[31m" in said:
            wrong.append(f"{attempt} {words[0]} with a damaged {victim}: exit code {code}: {said}"[:300])
        shutil.rmtree(place)
    MESSAGES.texts.clear()
    return wrong


@pytest.mark.parametrize("count", [EVERYDAY, pytest.param(CAMPAIGN, marks=pytest.mark.slow)])
def test_a_damaged_file_is_one_line(count: int, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("GANVAS_TEST_SEED", "0"))
    assert campaign(runs, tmp_path, capsys, count, seed) == []


@pytest.mark.parametrize(
    "words",
    [
        ["train", "{pipe}.toml"],
        ["train", "strokes-cdcgan", "--data", "{pipe}.parquet"],
        ["paint", "{runs}/b", "--z", "{pipe}.npy"],
        ["paint", "{runs}/b", "--z", "{pipe}.json"],
        ["paint", "{runs}/b", "--image", "{pipe}.png"],
        *(["paint", "--like", f"{{pipe}}.{ending}"] for ending in ("png", "webp", "tiff", "dzi")),
        *(["morph", "--like", f"{{pipe}}.{ending}"] for ending in ("gif", "webp", "mp4")),
        ["evaluate", "{runs}/a", "--evaluator", "{pipe}.safetensors"],
        ["sample", "{pipe}"],
    ],
)
def test_pipes_are_refused(words: list[str], runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = {word.partition("{pipe}")[2] for word in words if "{pipe}" in word}
    for ending in made:
        os.mkfifo(tmp_path / f"pipe{ending}")
    capsys.readouterr()
    with deadline():
        assert ganvas(*(word.format(pipe=tmp_path / "pipe", runs=runs) for word in words)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
