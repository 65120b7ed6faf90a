"""What the README shows works: its commands are taken from it and run, on a small folder and few images."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
from PIL import Image

from ganvas.methods import METHODS
from ganvas.recipes import library
from tests.cli.test_cli import ganvas

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def expanded(words: str) -> list[str]:
    """`a-{b,c}` -> a-b, a-c"""
    choice = re.search(r"\{([^}]*)\}", words)
    if not choice:
        return [words]
    return [each for part in choice[1].split(",") for each in expanded(words.replace(choice[0], part, 1))]


def commands(program: str) -> list[list[str]]:
    lines = "".join(blocks("sh")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith(f"{program} ")]


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert {words[1] for words in commands("make")} == {"demo", "test"}
    for words in commands("make"):
        assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE)


def test_commands(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `ganvas` line, in order, with the data and the length replaced by small ones."""
    monkeypatch.chdir(tmp_path)
    shown = commands("ganvas")
    assert len(shown) >= 8
    for words in shown:
        words = [str(pictures) if word.startswith("~/") else word for word in words[1:]]
        if words[0] == "train":
            words += [] if "--data" in words else ["--data", str(pictures)]
            words = [word for word in words if word not in ("--epochs", "25")] + ["--images", "120", "--device", "cpu"]
            small = ["network.width=3", "network.blocks=2"] if "cppn" in words[1] else ["network.base=4"]
            words += ["--set", *small, "train.batch_size=20"]
        if words[0] == "sweep":
            smaller = {"method.g_steps=1,2,4,8,50": "method.g_steps=4", "3": "1", "20": "1"}
            words = [smaller.get(word, word) for word in words] + ["--data", str(pictures), "--images", "120"]
            words += ["--samples", "100", "--device", "cpu", "--set", "network.base=4", "train.batch_size=20"]
        if words[0] in ("evaluate", "neighbours"):
            words += ["--n", "100", "--device", "cpu"]
        if words[0] == "paint":
            smaller = {"3240": "40", "32768": "50", "3": "1", "0,1,2,3,4,5,6,7,8,9": "0,1,2"}
            words = [smaller.get(word, word) for word in words] + (
                ["--size", "20"] if {"--sheet", "--random"} & {*words} else []
            )
        if words[0] == "morph":
            words = [{"3,7": "0,1", "1080": "24"}.get(word, word) for word in words]
            words += [] if "--like" in words else ["--frames", "4", "--size", "20"]
        if words[0] == "sample":
            words = ["40" if word in ("100", "10000") else "2" if word == "3" else word for word in words]
        assert ganvas(*words) == 0, words
    made = {file.name for file in tmp_path.iterdir()}
    assert {"threes.png", "samples.npz", "runs", "report.html", "three.dzi", "morph.webp"} <= made
    assert (tmp_path / "sweeps" / "mnist-cdcgan" / "g_steps=4,seed=0").is_dir()
    assert {"balance.png", "sheets.svg"} <= {file.name for file in (tmp_path / "runs" / "figures").iterdir()}


def test_python_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    example, painting = blocks("python")
    assert '{"images": 2560}' in example
    quick = example.replace('{"images": 2560}', '{"images": 128}').replace("n=1000", "n=100")
    (tmp_path / "example.py").write_text(quick)
    runpy.run_path(str(tmp_path / "example.py"))
    assert "(16, 28, 28, 1)" in capsys.readouterr().out
    (tmp_path / "painting.py").write_text(painting)
    runpy.run_path(str(tmp_path / "painting.py"))
    assert capsys.readouterr().out == "2.0\n"
    assert (tmp_path / "art.png").is_file()


def test_pictures_and_links_are_there() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).is_file(), target
        if target.endswith(".png"):
            with Image.open(ROOT / target) as picture:
                assert min(picture.size) > 200


def test_recipes_and_methods_are_mentioned() -> None:
    named = [name for words in re.findall(r"`([\w.,{}-]+)`", README) for name in expanded(words)]
    assert set(library.names()) <= {*named}
    assert set(METHODS) <= set(README.split("`"))


def test_the_map_names_every_module() -> None:
    table = README.split("## The house")[1]
    modules = {
        path.stem
        for path in (ROOT / "src" / "ganvas").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    for module in modules - {"__init__", "__main__", "version", "recipes", "evaluators"}:
        assert f"`{module}`" in table or f"`{module}/`" in table, module
