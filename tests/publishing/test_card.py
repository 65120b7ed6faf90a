from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ganvas.publishing import card
from ganvas.publishing.folder import publish
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import load
from ganvas.runs.run import Run
from ganvas.training.train import train


@pytest.fixture(scope="module")
def folder(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("card")
    list(train(tiny(train={"images": 60}), place / "run", device="cpu"))
    publish(load(place / "run", device="cpu"), place / "model", "cc-by-4.0", name="my [model] | <b>")
    return place / "model"


def test_the_card_says_what_the_run_was(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "license": "cc-by-4.0",
        "library_name": "ganvas",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["gan", "ganvas"],
    }
    for part in (
        "60 grey images of 16×16, 3 classes",
        "60 images seen (1 epochs)",
        "seed 1",
        "| Licence | cc-by-4.0 |",
        "method.conditional=true",
        "It has not been scored",
        Run(folder).checkpoints.newest()[0].sha256,  # type: ignore[union-attr]
    ):
        assert part in body, part


def test_names_of_strangers_are_text(folder: Path) -> None:
    body = (folder / "README.md").read_text()
    assert "# my \\[model\\] \\| \\<b>" in body


def test_a_licence_is_text_in_the_metadata(folder: Path) -> None:
    run = Run(folder)
    run.update_info(licence="other: # see - below")
    assert yaml.safe_load(card.text(run, "name").split("---\n", 2)[1])["license"] == "other: # see - below"
