"""Commands that are killed at any moment: the same command again does all of its work, and leaves nothing else."""

import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.campaign import SEED, Campaign, Words, abandoned, files_in
from tests.processes import Moment, ended, ganvas, posix_only

MOST_CHANGES, RANDOM_MOMENTS = 40, 8  # of a command
EVALUATE = ["--n", 100, "--device", "cpu"]
QUICK = ["--set", "widths=[8,8,16]", "epochs=2", "batch_size=18", "shift=1"]
COMMANDS: dict[str, Words] = {
    "paint png": lambda place: ["paint", place / "b", "--size", 300, "--out", place / "new" / "x.png"],
    "paint tiff": lambda place: ["paint", place / "b", "--size", 40, "--out", place / "new" / "x.tiff"],
    "paint webp": lambda place: ["paint", place / "b", "--size", 40, "--out", place / "new" / "x.webp"],
    "paint dzi": lambda place: ["paint", place / "b", "--size", 300, "--out", place / "new" / "x.dzi"],
    "paint folder": lambda place: ["paint", place / "b", "--seeds", "0-2", "--size", 20, "--out", place / "new"],
    **{
        f"morph {kind}": lambda place, kind=kind: [
            *("morph", place / "b", "--seeds", "1,2", "--frames", 8, "--size", 32, "--out", place / "new" / f"x.{kind}")
        ]
        for kind in ("gif", "webp", "mp4", "webm")
    },
    "plot": lambda place: ["plot", place / "a"],
    "plot several": lambda place: ["plot", place / "a", place / "b", "--out", place / "new"],
    "evaluate": lambda place: ["evaluate", place / "a", *EVALUATE, "--json", place / "new" / "x.json"],
    "neighbours": lambda place: ["neighbours", place / "a", *EVALUATE, "--out", place / "new" / "x.png"],
    "compare": lambda place: [
        *("compare", place / "a", place / "b"),
        *(word for kind in ("html", "csv", "markdown", "json") for word in (f"--{kind}", place / "new" / f"x.{kind}")),
    ],
    "sample png": lambda place: ["sample", place / "a", "--n", 9, "--out", place / "new" / "x.png"],
    "sample npz": lambda place: ["sample", place / "a", "--n", 9, "--out", place / "new" / "x.npz"],
    "sample folder": lambda place: ["sample", place / "a", "--n", 5, "--out", place / "new"],
    "encode": lambda place: ["encode", place / "b", place / "samples.png", "--out", place / "new" / "x.npz"],
    "evaluator train": lambda place: [
        *("evaluator", "train", "--data", place.parent / "pictures", "--device", "cpu"),
        *("--out", place / "new" / "x.safetensors", *QUICK),
    ],
}


def result(place: Path) -> dict[str, Any]:
    """What a command has made, by file, without what differs from one time to the next (seconds, dates)."""
    found: dict[str, Any] = {}
    for name in files_in(place):
        file = place / name
        match file.suffix:
            case ".npz":
                with np.load(file) as arrays:
                    found[str(name)] = {key: array.tolist() for key, array in arrays.items()}
            case ".json" | ".csv" | ".html" | ".svg" | ".markdown" | ".jsonl":
                text = re.sub(r'"(cost|at|made|created|written|date)": ?(\{[^}]*\}|"[^"]*")', "", file.read_text())
                found[str(name)] = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.+:]*", "", text)
            case _:
                found[str(name)] = file.read_bytes()
    return found


class Killer:
    """Gives one command again and again, always from the same beginning."""

    def __init__(self, campaign: Campaign, name: str, begin: Callable[[], Path], said: Path) -> None:
        self.campaign, self.name, self.begin, self.said = campaign, name, begin, said
        self.straight = self._to_the_end(begin())

    def _to_the_end(self, place: Path) -> dict[str, Any]:
        code = ended(ganvas(*COMMANDS[self.name](place), output=self.said))
        if code:
            kind = "traceback" if "Traceback" in self.said.read_text() else "exit code"
            self.campaign.fault(kind, f"{self.name}: {code}: {self.said.read_text()[-300:]}")
        return result(place)

    def kill_at_change(self, nth: int) -> bool:
        """Whether there are so many changes of files that it was killed before the `nth`."""
        place = self.begin()
        process = ganvas(*COMMANDS[self.name](place), output=self.said, moment=Moment(place, nth))
        return self._again(place, ended(process), f"before change {nth}")

    def kill_after(self, seconds: float) -> None:
        place = self.begin()
        process = ganvas(*COMMANDS[self.name](place), output=self.said)
        process.join(seconds)
        process.kill()
        self._again(place, ended(process), f"after {seconds:.2f} s")

    def _again(self, place: Path, code: int, when: str) -> bool:
        self.campaign.commands += 1
        self.campaign.codes[code] += 1
        if code not in (0, -signal.SIGKILL):
            self.campaign.fault("exit code", f"{self.name} killed {when}: {code}: {self.said.read_text()[-300:]}")
        found = self._to_the_end(place)
        if left := abandoned(place):
            self.campaign.fault("left over", f"{self.name} killed {when}: {left}")
        elif found != self.straight:
            names = found.keys() | self.straight.keys()
            differ = sorted(name for name in names if found.get(name) != self.straight.get(name))
            self.campaign.fault("wrong result", f"{self.name} killed {when}: {differ}")
        return code == -signal.SIGKILL


@pytest.fixture
def begin(runs: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Path]]:
    """A function that puts the runs, and an empty cache, back as they were."""
    (tmp_path / "pictures").symlink_to(pictures)
    place = tmp_path / "place"
    monkeypatch.setenv("GANVAS_CACHE", str(place / "cache"))

    def back() -> Path:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(runs, place)
        return place

    yield back


@posix_only
def test_a_command_that_was_killed(begin: Callable[[], Path], tmp_path: Path) -> None:
    """Every day: three commands, each before one of its changes."""
    campaign, chance = Campaign("kills"), random.Random(SEED)
    for name in chance.sample(sorted(COMMANDS), 3):
        Killer(campaign, name, begin, tmp_path / "said.txt").kill_at_change(chance.randint(1, 4))
    campaign.end()


@pytest.mark.slow
@posix_only
@pytest.mark.parametrize("name", COMMANDS)
def test_kills_before_every_change_and_at_random_moments(name: str, begin: Callable[[], Path], tmp_path: Path) -> None:
    campaign, chance = Campaign(f"kills of {name}"), random.Random(f"{SEED} {name}")
    killer, nth = Killer(campaign, name, begin, tmp_path / "said.txt"), 1
    while nth <= MOST_CHANGES and killer.kill_at_change(nth):
        nth += 1
    for _ in range(RANDOM_MOMENTS):
        killer.kill_after(chance.uniform(0.05, 1.5))
    campaign.end()
