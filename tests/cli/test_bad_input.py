"""Odd values for every argument of every command: done, or refused in one line; and what a refusal says."""

import os
import random
import shutil
import stat
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ganvas import cli
from ganvas.recipes import library
from ganvas.recipes.library import SECTIONS
from tests.cli.campaign import SEED, Campaign, Words, sizes
from tests.cli.test_cli import NO_FIGURES, PAINTS, TINY

EVERYDAY, CAMPAIGN = 15, 600  # commands

COMMANDS: list[Words] = [
    lambda place: ["sample", place / "a", "--n", 2, "--out", place / "new.png"],
    lambda place: ["paint", place / "b", "--size", 8, "--out", place / "new.png"],
    lambda place: ["paint", place / "b", "--like", place / "painting.png", "--size", 8, "--out", place / "new.png"],
    lambda place: ["paint", "--random", "tanh:2x4", "--size", 8, "--out", place / "new.png"],
    lambda place: ["morph", place / "b", "--seeds", "1,2", "--frames", 3, "--size", 8, "--out", place / "new.gif"],
    lambda place: [
        "morph",
        "--random",
        "tanh:2x4",
        "--seeds",
        "1,2",
        "--frames",
        3,
        "--size",
        8,
        "--out",
        place / "n.gif",
    ],
    lambda place: ["morph", "--like", place / "film.gif", "--size", 8, "--out", place / "new.gif"],
    lambda place: ["encode", place / "b", place / "samples.png", "--out", place / "new.npz"],
    lambda place: ["plot", place / "a", place / "b", "--at", "120", "--out", place / "new"],
    lambda place: ["export", place / "b", "--seed", 1, "--out", place / "new.html"],
    lambda place: ["export", "--random", "tanh:2x4", "--to", "glsl", "--out", place / "new.glsl"],
    lambda place: ["runs", place],
    lambda place: ["recipes", "mnist-cdcgan"],
    lambda place: ["info"],
    lambda place: ["data", "check", place / "pictures"],
    lambda place: ["train", "strokes-cdcgan", *_tiny(place), "--set", *TINY],
    lambda place: ["train", "mnist-residual-cppn", *_tiny(place), "--set", *PAINTS],
    lambda place: ["evaluate", place / "a", "--n", 100, "--device", "cpu"],
    lambda place: ["neighbours", place / "a", "--n", 10, "--device", "cpu", "--out", place / "new.png"],
    lambda place: ["compare", place / "a", place / "b", "--csv", place / "new.csv"],
    lambda place: ["evaluator", "train", "--data", place / "pictures", "--out", place / "e.safetensors", *QUICK],
    lambda place: [
        "sweep",
        "strokes-cdcgan",
        "--data",
        place / "nowhere",
        "--grid",
        "method.lr=1",
        "--out",
        place / "s",
    ],
]
QUICK = ["--device", "cpu", "--set", "widths=[8,8,16]", "epochs=1", "batch_size=18", "shift=1"]


def _tiny(place: Path) -> list[Any]:
    return ["--data", place / "pictures", "--out", place / "new", "--images", 20, "--device", "cpu", *NO_FIGURES]


def odd_values(place: Path) -> list[str]:
    """What nobody should give to an option: numbers, text, and paths of all kinds of things."""
    return [
        *("-1", "0", "1", "nan", "inf", "-inf", "1e999", "1e10", "-0.0", "1e-320", "9" * 5000, "0x10", "1_000", "²"),
        *("99999999999", str(2**63), str(2**64), "4294967296", "3.7", "true", "none", "null", "", " ", ".", ".."),
        *(
            "\x1b[31m[/]",
            "[bold]x",
            "a\nb",
            "\u202eabc",
            "=1+1",
            "`id`",
            "$(id)",
            "a|b",
            "\udcff",
            "日本",
            "'",
            '"',
            "{}",
        ),
        *(
            "0-",
            "-5",
            "1-0",
            "0-99999999",
            "1,,2",
            ",",
            "1,2,3",
            "x" * 300,
            "x/" * 2000,
            "last",
            "best",
            "train",
            "test",
        ),
        *("~nobodyhasthis/x", "~nobodyhasthis", "tanh:999999x64", "tanh:0x0", "tanh:-1x4", "8x", "x8", "8x8x8"),
        *("/proc/self/mem", "mnist:x", "a/b/c/d", "http://x.y/z", "v1.0", "x.PNG"),
        *(str(place / name) for name in ("a", "a/run.json", "a/recipe.toml", "painting.png", "film.gif", "pictures")),
        *(
            str(place / name)
            for name in ("nowhere", "pipe", "socket", "loop", "empty", "folder.png", "folder.npz", "file/x")
        ),
        *(
            str(place / name)
            for name in ("zero.png", "zero.npy", "zero.toml", "zero.parquet", "zero.safetensors", "new.npz")
        ),
    ]


ODD_SETTINGS = (
    *(
        "-1",
        "0",
        "nan",
        "inf",
        "1e10",
        "1e300",
        "9" * 5000,
        "99999999999",
        "[]",
        "{}",
        "[1,2]",
        "true",
        "none",
        '""',
        "x",
    ),
    *('"\\u001b[31m"', "1979-05-27", "[[[]]]", "{a=1}", "0.5", "1", "1000000"),
    *("1e23", "1e30", str(2**53 + 1), "[1e23]"),
)


def fill(folder: Path, runs: Path, pictures: Path) -> None:
    """Make a folder with runs, pictures, and things that are no files, or empty ones."""
    shutil.copytree(runs, folder)
    shutil.copytree(pictures, folder / "pictures")
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "socket", stat.S_IFSOCK)
    (folder / "loop").symlink_to(folder / "loop")
    for name in ("empty", "folder.png", "folder.npz"):
        (folder / name).mkdir()
    for name in ("file", "zero.png", "zero.npy", "zero.toml", "zero.parquet", "zero.safetensors"):
        (folder / name).touch()


def with_an_odd_word(words: list[Any], place: Path, chance: random.Random) -> list[Any]:
    """A command with one word replaced or one option added."""
    odd, words = chance.choice(odd_values(place)), [*words]
    count = 2 if words[0] in ("data", "evaluator") else 1
    kind = chance.choice(["word", "option", "option", "set"])
    if kind == "set" and words[0] in ("train", "evaluator", "data", "sweep"):
        of_a_recipe = words[0] in ("train", "sweep")
        key = chance.choice(settings_of(words[1]) if of_a_recipe else ["size", "limit", "epochs", "lr", "widths"])
        return [*words, "--set", f"{key}={chance.choice(ODD_SETTINGS)}"]
    if kind == "word" and len(words) > count:
        at = chance.choice([i for i in range(count, len(words)) if not str(words[i]).startswith("--")] or [count])
        return [*words[:at], odd, *words[at + 1 :]]
    app = cli.app
    for word in words[:count]:
        app = app[word]
    options = [argument.name for argument in app.assemble_argument_collection() if argument.name.startswith("--")]
    option = chance.choice([option for option in options if option != "--set"] or ["--nothing"])
    return [*words, f"{option}={odd}"] if chance.random() < 0.7 else [*words, option, odd]


@cache
def settings_of(recipe: str) -> list[str]:
    loaded = library.load(recipe)
    return [f"{part}.{key}" for part in SECTIONS for key in type(getattr(loaded, part)).model_fields]


@sizes(EVERYDAY, CAMPAIGN)
def test_odd_words_are_one_line(
    count: int,
    runs: Path,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    chance, campaign = random.Random(SEED), Campaign("bad input", capsys)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there: no test uses the network
    for attempt in range(count):
        here = tmp_path / str(attempt)
        fill(here, runs, pictures)
        monkeypatch.chdir(here)
        words = with_an_odd_word(chance.choice(COMMANDS)(here), here, chance)
        campaign.give(words, str(attempt), here, codes=(0, 1, 2))
        shutil.rmtree(here, ignore_errors=True)
    campaign.end()
