"""`ganvas models` and `ganvas push`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ganvas.cli import common, main
from ganvas.recipes.recipe import Recipe
from ganvas.runs import places
from ganvas.runs.model import load
from ganvas.training.train import train
from tests.hub import Hub


@pytest.fixture(scope="module")
def run(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("push") / "run"
    list(train(tiny(train={"images": 40}), place, device="cpu"))
    return place


@pytest.fixture
def ganvas(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command; returns its exit code, its output, and what it says on stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def test_models_lists_what_comes_with_ganvas(
    ganvas: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common.out, "width", 80)
    code, text, _ = ganvas("models")
    assert code == 0 and all(name in text for name in places.names())


def test_models_can_be_read_by_programs(ganvas: Callable[..., tuple[int, str, str]]) -> None:
    code, text, _ = ganvas("models", "--json")
    rows = {row["model"]: row for row in json.loads(text)["rows"]}
    assert code == 0 and list(rows) == places.names()
    assert 0 < rows["mnist-quick"]["scores"]["fid"]["value"] < 1
    assert rows["mnist-quick"]["licence"] == "cc-by-sa-3.0" and len(rows["mnist-quick"]["sha256"]) == 64


def test_all_models_together_are_small() -> None:
    """They are part of every installation."""
    files = [file for name in places.names() for file in places.built_in(name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 5_000_000


@pytest.mark.parametrize("name", places.names())
def test_every_model_draws_and_has_a_licence(name: str) -> None:
    model = load(name, device="cpu")
    images = model.sample(10).images
    assert images.std() > 20 and model.run.info().licence
    assert model.run.info().state == "published" and model.run.evaluation_files(model.nimg)


def test_an_unknown_model_is_refused(ganvas: Callable[..., tuple[int, str, str]]) -> None:
    code, _, said = ganvas("models", "mnist-quik")
    assert code == 2 and "there is no model 'mnist-quik'" in said


def test_push_writes_a_folder_to_look_at(
    run: Path, tmp_path: Path, ganvas: Callable[..., tuple[int, str, str]]
) -> None:
    code, text, _ = ganvas("push", run, "--licence", "cc0-1.0", "--out", tmp_path / "model")
    assert code == 0 and text.startswith(f"{tmp_path / 'model'}  (")
    code, text, _ = ganvas("sample", tmp_path / "model", "--n", 2, "--out", tmp_path / "a.png")
    assert code == 0 and (tmp_path / "a.png").is_file()


def test_push_uploads(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, ganvas: Callable[..., tuple[int, str, str]]
) -> None:
    hub.token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", hub.token)
    code, text, _ = ganvas("push", run, "hub:me/bars", "--license", "cc0-1.0")
    assert code == 0 and "others use it as hub:me/bars\n" in text
    assert b"# bars" in hub.repos["me/bars"]["main"]["README.md"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "nowhere to publish"),
        (["me/bars"], "under which licence"),
        (["bars", "--licence", "mit"], "write it as hub:owner/name"),
        (["me/bars@v2", "--licence", "mit"], "cannot upload to a revision: write me/bars"),
        (["me/bars", "--licence", " "], "needs a licence"),
        (["--licence", "mit\nx", "--out", "model"], "needs a licence"),
    ],
)
def test_a_push_that_lacks_something_is_refused(
    words: list[str], why: str, run: Path, monkeypatch: pytest.MonkeyPatch, ganvas: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    code, _, said = ganvas("push", run, *words)
    assert code == 2 and why in said
