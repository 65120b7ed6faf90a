"""Published models: the same images as the run, nothing of its machine, and no more than sampling needs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganvas.core.errors import UserError
from ganvas.evaluation import evaluate
from ganvas.painting.subjects import choose_subjects
from ganvas.plotting.figures import draw_figures
from ganvas.publishing.folder import publish
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import Model, load
from ganvas.runs.run import Run
from ganvas.training.train import train
from tests.painting.test_paint import LABELLED, RESIDUAL

CFG = {
    "network": {"name": "dcgan", "base": 8, "d_norm": "none"},
    "method": {"name": "cfg_gan", "latent_size": 8, "steps": 2, "pool": 20, "fit_epochs": 1},
    "data": {"size": 32},
}
KINDS: dict[str, dict[str, Any]] = {
    "dcgan": {},
    "averaged": {"method": {"ema_images": 100}},
    "small": {"method": {"augment": "colour", "augment_target": 0.6}},
    "wgan": {
        "method": {"name": "wgan_gp", "latent_size": 8},
        "network": {"name": "dcgan", "base": 8, "d_norm": "none"},
    },
    "cfg": CFG,
    "residual": RESIDUAL,
    "labelled": LABELLED,
}


@pytest.fixture(scope="module")
def runs(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A short run of each kind, trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("published")

    def of(kind: str) -> Path:
        if not (folder / kind).exists():
            list(train(tiny(**KINDS[kind], train={"images": 60}), folder / kind, device="cpu"))
        return folder / kind

    return of


def published(model: Model, out: Path, **options: Any) -> Model:
    publish(model, out, "cc0-1.0", **options)
    return load(out, device="cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_model_draws_the_same_images_bit_for_bit(
    kind: str, runs: Callable[[str], Path], tmp_path: Path
) -> None:
    before = load(runs(kind), device="cpu")
    after = published(before, tmp_path / "model")
    assert (after.sample(5).images == before.sample(5).images).all()
    assert (after.nimg, after.seconds, after.classes) == (before.nimg, before.seconds, before.classes)
    small, large = (
        sum(file.stat().st_size for file in (folder / "checkpoints").glob("*.safetensors")) / count
        for folder, count in ((tmp_path / "model", 1), (runs(kind), len(before.run.checkpoints.available())))
    )
    assert small < large / 2


def test_half_precision_halves_the_weights_and_hardly_changes_images(
    runs: Callable[[str], Path], tmp_path: Path
) -> None:
    before = load(runs("dcgan"), device="cpu")
    publish(before, tmp_path / "whole", "cc0-1.0")
    after = published(before, tmp_path / "half", half=True)
    sizes = [next((tmp_path / name / "checkpoints").glob("*.safetensors")).stat().st_size for name in ("half", "whole")]
    assert 0.45 < sizes[0] / sizes[1] < 0.65  # the header stays
    difference = np.abs(after.sample(5).images.astype(int) - before.sample(5).images)
    assert difference.max() <= 1
    assert "in half precision" in (tmp_path / "half" / "README.md").read_text()


def test_classes_can_be_painted_without_the_training_images(runs: Callable[[str], Path], tmp_path: Path) -> None:
    before = load(runs("residual"), device="cpu")
    after = published(before, tmp_path / "model")
    with pytest.raises(UserError, match="no folder"):
        after.data()
    for options in ({}, {"truncation": 0.0}, {"truncation": 0.5}):
        (one,) = choose_subjects(after, [4], ["down"], **options)
        (other,) = choose_subjects(before, [4], ["down"], **options)
        assert torch.equal(one.z, other.z)
    with pytest.raises(UserError, match="there is no label 'up'"):
        choose_subjects(after, labels=["up"])
    again = published(after, tmp_path / "again")  # from the latents that it has
    assert torch.equal(choose_subjects(again, [4], ["down"])[0].z, choose_subjects(before, [4], ["down"])[0].z)


@pytest.mark.parametrize("content", [b"", b"not tensors", b"\x00" * 100])
def test_damaged_latents_are_refused_in_one_line(content: bytes, runs: Callable[[str], Path], tmp_path: Path) -> None:
    model = published(load(runs("residual"), device="cpu"), tmp_path / "model")
    (tmp_path / "model" / "latents.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="cannot read the latents") as caught:
        choose_subjects(model, labels=["down"])
    assert "\n" not in str(caught.value)


def test_nothing_of_the_machine_is_published(runs: Callable[[str], Path], pictures: Path, tmp_path: Path) -> None:
    run = Run(runs("dcgan"))
    run.update_info(reason="'/home/me/secret' is full")
    publish(load(run.path, device="cpu"), tmp_path / "model", "cc-by-4.0")
    session = run.info().sessions[-1]
    for file in (file for file in (tmp_path / "model").rglob("*") if file.suffix in (".json", ".toml", ".md")):
        content = file.read_bytes()
        for secret in (str(pictures.parent), str(run.path), session.host, str(session.pid), "secret"):
            assert secret.encode() not in content, f"{secret} in {file.name}"
    info = json.loads((tmp_path / "model" / "run.json").read_text())
    assert info["state"] == "published" and info["licence"] == "cc-by-4.0"
    assert info["data"]["name"] == pictures.name


def test_a_published_model_is_scored_but_neither_trained_nor_drawn(
    runs: Callable[[str], Path], tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    publish(load(runs("dcgan"), device="cpu"), tmp_path / "model", "cc0-1.0")
    with pytest.raises(UserError, match="is a published model, which cannot be trained further"):
        list(train(tiny(train={"images": 400}), tmp_path / "model", device="cpu"))
    with pytest.raises(UserError, match="without the records of its training"):
        draw_figures(tmp_path / "model")
    assert Run(tmp_path / "model").state() == "published"


def test_scores_of_the_checkpoint_come_along(runs: Callable[[str], Path], pictures: Path, tmp_path: Path) -> None:
    scores = evaluate.evaluate(runs("averaged"), "last", n=100).scores
    model = published(load(runs("averaged"), device="cpu"), tmp_path / "model")
    (file,) = model.run.evaluation_files(model.nimg)
    assert json.loads(file.read_text())["scores"].keys() == scores.keys()
    assert str(pictures.parent) not in file.read_text()
    card = (tmp_path / "model" / "README.md").read_text()
    assert "100 samples" in card and "precision ↑" in card and "were copies of training images" in card


def test_the_folder_has_to_be_new(runs: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match="already exists"):
            publish(load(runs("dcgan"), device="cpu"), out, "cc0-1.0")
    assert (tmp_path / "file").read_text() == "mine"
