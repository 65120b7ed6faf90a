"""Tables as JSON, and what the shell completes."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ganvas.recipes import library
from ganvas.recipes.recipe import Recipe
from ganvas.runs import places
from ganvas.training.train import train
from tests.cli.test_cli import TINY, ganvas

KNOWN = library.names()


@pytest.fixture(scope="module")
def run(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("json") / "runs" / "tiny"
    list(train(tiny(), path, device="cpu"))
    return path


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def read(*words: object) -> Any:
        capsys.readouterr()
        assert ganvas(*words) == 0
        return json.loads(capsys.readouterr().out)

    return read


def test_every_table_has_one_shape(run: Path, pictures: Path, tmp_path: Path, printed: Callable[..., Any]) -> None:
    sheet = tmp_path / "neighbours.png"
    words = {
        "runs": [run.parent],
        "recipes": [],
        "info": ["--device", "cpu"],
        "data check": [pictures],
        "evaluator list": [],
        "neighbours": [run, "--n", 20, "--out", sheet, "--device", "cpu"],
    }
    found = {}
    for command, more in words.items():
        document = printed(*command.split(), *more, "--json")
        assert list(document) == ["command", "ganvas", "rows"]
        assert document["command"] == command
        assert document["rows"] and all(isinstance(row, dict) for row in document["rows"])
        found[command] = document["rows"]
    (of_run,) = found["runs"]
    assert datetime.fromisoformat(of_run.pop("started")).tzinfo is not None
    assert isinstance(of_run.pop("score"), float)
    assert of_run == {
        "run": str(run),
        "recipe": "tiny",
        "data": str(pictures),
        "images_seen": 240,
        "state": "finished",
    }
    assert [row["name"] for row in found["recipes"]] == KNOWN
    assert {row["name"]: row["value"] for row in found["info"]}["fused Adam"] in (True, False)
    (of_data,) = found["data check"]
    assert (of_data["count"], of_data["size"], of_data["classes"]["down"]) == (60, 16, 20)
    assert found["evaluator list"][0]["name"] == "digits"
    (of_samples,) = found["neighbours"]
    assert (of_samples["samples"], of_samples["sheet"]) == (20, str(sheet))
    assert isinstance(of_samples["coverage"], float)


def test_settings_of_a_recipe(printed: Callable[..., Any]) -> None:
    rows = {row["setting"]: row["value"] for row in printed("recipes", "mnist-cdcgan", "--json")["rows"]}
    recipe = library.load("mnist-cdcgan")
    assert rows["method.lr"] == recipe.method.model_dump()["lr"]
    assert rows["data.name"] == "mnist" and rows["train.schedule"] == {}


def test_an_empty_or_damaged_folder(tmp_path: Path, printed: Callable[..., Any]) -> None:
    assert printed("runs", tmp_path, "--json")["rows"] == []
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.json").write_text("{")
    (tmp_path / "a" / "recipe.toml").write_text("")
    (row,) = printed("runs", tmp_path, "--json")["rows"]
    assert (row["state"], row["score"], row["images_seen"]) == ("damaged", None, None)


def test_a_comparison_on_standard_output(evaluated: list[Path], tmp_path: Path, printed: Callable[..., Any]) -> None:
    document = printed("compare", *evaluated, "--json", "-", "--csv", tmp_path / "table.csv")
    assert ganvas("compare", *evaluated, "--json", tmp_path / "a.json") == 0
    assert document == json.loads((tmp_path / "a.json").read_bytes())
    assert (tmp_path / "table.csv").is_file() and not Path("-").exists()


def completions(*words: str, cwd: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ganvas", "__complete", *words], cwd=cwd, capture_output=True, text=True, check=True
    )
    lines = done.stdout.split("\n")
    return [line.split("\t")[0] for line in lines[lines.index("\x1fbegin") + 1 :] if line]


def test_recipes_and_runs_are_completed(run: Path) -> None:
    above = run.parent.parent
    assert completions("train", "", cwd=above) == KNOWN
    assert completions("recipes", "", cwd=above) == KNOWN
    expected = ["runs/tiny", *places.names()]
    assert completions("paint", "", cwd=above) == completions("compare", "", cwd=above) == expected
    assert completions("models", "", cwd=above) == places.names()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "ZSH_CUSTOM", "BASH_VERSION", "ZSH_VERSION", "FISH_VERSION"):
        monkeypatch.delenv(name, raising=False)
    assert ganvas("--install-completion") == 0
    scripts = [file for file in tmp_path.rglob("*ganvas*") if file.is_file()]
    assert scripts and "--supersample" in scripts[0].read_text()


def test_a_sweep_says_what_it_does(pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a terminal: a line as each run starts and ends; with --json, the results alone on standard output."""
    words = ["strokes-cdcgan", "--data", pictures, "--images", 40, "--samples", 100, "--device", "cpu"]
    words += ["--out", tmp_path / "sweep", "--set", *TINY, "train.disk_budget=20MB"]
    assert ganvas("sweep", *words, "--grid", "method.lr=1e-4,1e-3", "--json") == 0
    printed = capfd.readouterr()
    rows = json.loads(printed.out)["rows"]
    assert [row["method.lr"] for row in rows] == [1e-4, 1e-3]
    for row in rows:
        assert (row["state"], row["nimg"], row["reason"]) == ("finished", 40, "")
        assert isinstance(row["seconds"], float)
    said = [
        line.split("  ")[:2] for line in printed.err.splitlines() if line.split()[0] in {row["run"] for row in rows}
    ]
    assert said == [[row["run"], word] for row in rows for word in ("starts: 0 / 40", "finished")]
    assert ganvas("sweep", *words, "--grid", "method.lr=1e-4,1e-3") == 0
    assert "settings" in capfd.readouterr().out
