import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ganvas.core.errors import UserError
from ganvas.networks.view import View
from ganvas.painting.paint import Painting, load_painting
from ganvas.painting.subjects import choose_subjects
from ganvas.recipes.recipe import Recipe
from ganvas.runs import places
from ganvas.runs.model import load
from ganvas.runs.run import Run
from ganvas.training.train import train
from tests.painting.test_paint import RESIDUAL


@pytest.fixture(scope="module")
def run(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("places") / "run"
    list(train(tiny(**RESIDUAL, train={"images": 20}), place, device="cpu"))
    return place


@pytest.fixture
def models(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the models that come with ganvas, with one: bars."""
    folder = tmp_path / "models"
    shutil.copytree(run, folder / "bars")
    monkeypatch.setattr(places, "_models", lambda: folder)
    return folder


def test_a_model_is_found_by_its_name(models: Path) -> None:
    assert places.names() == ["bars"]
    run = Run.existing("bars")
    assert (run.path, run.name, run.read_only) == (models / "bars", "bars", True)


def test_a_folder_of_the_user_comes_first(
    models: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "here" / "bars")
    monkeypatch.chdir(tmp_path / "here")
    own = Run.existing("bars")
    assert own.path.resolve() == (tmp_path / "here" / "bars").resolve() and not own.read_only


def test_an_unknown_name_is_refused(models: Path) -> None:
    with pytest.raises(UserError, match="'stripes' does not exist: name a folder"):
        Run.existing("stripes")
    with pytest.raises(UserError, match="'barz' does not exist: did you mean the model 'bars'"):
        Run.existing("barz")


def test_a_painting_knows_the_name_of_its_model(models: Path, tmp_path: Path) -> None:
    model = load("bars", device="cpu")
    Painting(choose_subjects(model, [3]), View(8, 8)).save(tmp_path / "a.png")
    again = load_painting(tmp_path / "a.png", device="cpu")
    assert again.subjects[0].painter.origin.run == "bars"  # type: ignore[union-attr]


def test_a_painting_of_a_stranger_downloads_nothing(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_download", lambda name: pytest.fail(f"downloads {name}"))
    painting = Painting(choose_subjects(load("bars", device="cpu"), [3]), View(8, 8))
    origin = painting.subjects[0].painter.origin
    painting.subjects[0].painter.origin = origin.model_copy(update={"run": "hub:me/bars"})
    painting.save(tmp_path / "a.png")
    with pytest.raises(UserError, match="name it, as in"):
        load_painting(tmp_path / "a.png", device="cpu")


def test_a_notebook_shows_what_a_model_is_and_draws(models: Path) -> None:
    model = load("bars", device="cpu")
    shown = model._repr_html_()
    assert "bars: residual_cppn with the network cppn, 20 images of" in shown and "data:image/png;base64," in shown
    assert model.sample(4)._repr_png_().startswith(b"\x89PNG")
