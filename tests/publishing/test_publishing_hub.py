"""Uploads to the hub and downloads from it, which a server on this machine stands in for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ganvas.core.errors import UserError
from ganvas.publishing import hub as uploading
from ganvas.publishing.folder import publish
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import load
from ganvas.runs.run import Run
from ganvas.training.train import train
from tests.hub import Hub


@pytest.fixture(scope="module")
def run(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pushed") / "run"
    list(train(tiny(train={"images": 60}), place, device="cpu"))
    return place


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    publish(load(run, device="cpu"), tmp_path / "model", "cc0-1.0")
    return tmp_path / "model"


@pytest.fixture
def signed_in(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub.token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", hub.token)
    return hub


def test_what_was_pushed_is_loaded_by_its_name(
    signed_in: Hub, run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert uploading.upload(folder, "me/digits").endswith("me/digits")
    files = signed_in.repos["me/digits"]["main"]
    assert {"README.md", "recipe.toml", "run.json", "samples.png"} <= files.keys()
    model = load("hub:me/digits", device="cpu")
    assert (model.sample(4).images == load(run, device="cpu").sample(4).images).all()
    assert model.run.name == "hub:me/digits" and model.run.read_only
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert load("hub:me/digits@main", device="cpu").sha256 == model.sha256


def test_another_push_replaces_the_files_of_the_first(signed_in: Hub, folder: Path) -> None:
    uploading.upload(folder, "me/digits")
    signed_in.repos["me/digits"]["main"]["checkpoints/000000001.json"] = b"{}"
    uploading.upload(folder, "me/digits")
    assert "checkpoints/000000001.json" not in signed_in.repos["me/digits"]["main"]


def test_nothing_but_the_files_of_a_model_is_downloaded(signed_in: Hub, folder: Path) -> None:
    uploading.upload(folder, "me/digits")
    signed_in.repos["me/digits"]["main"] |= {"setup.py": b"raise SystemExit", "model.pkl": b"cos\nsystem\n"}
    place = Run.existing("hub:me/digits").path
    assert not (place / "setup.py").exists() and not (place / "model.pkl").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("hub:me/none", "there is no public model 'hub:me/none'"),
        ("hub:me/digits@never", "there is no public model"),
        ("hub:me", "write it as hub:owner/name"),
        ("hub:me/digits@", "write it as hub:owner/name"),
        ("hub:../../etc", "write it as hub:owner/name"),
        ("hub:me/set", "is no model of ganvas"),
    ],
)
def test_bad_names_are_refused_in_one_line(name: str, why: str, signed_in: Hub, folder: Path) -> None:
    uploading.upload(folder, "me/digits")
    signed_in.repos["me/set"] = {"main": {"train.parquet": b""}}
    with pytest.raises(UserError, match=why) as caught:
        Run.existing(name)
    assert "\n" not in str(caught.value)


def test_without_a_token_the_hub_is_not_asked(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(folder / "none"))
    with pytest.raises(UserError, match=r"hf auth login|cannot upload"):
        uploading.upload(folder, "me/digits")
    assert not hub.repos


def test_a_refusal_of_the_hub_is_one_line(signed_in: Hub, folder: Path) -> None:
    signed_in.token = "hf_other"
    with pytest.raises(UserError, match="cannot upload to 'me/digits'") as caught:
        uploading.upload(folder, "me/digits")
    assert "\n" not in str(caught.value) and "hf_secret" not in str(caught.value)
