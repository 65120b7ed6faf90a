"""Films of runs whose images have one size, for every kind of network and method."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganvas.core.errors import UserError
from ganvas.networks.view import View
from ganvas.painting.morph import Morph, load_morph
from ganvas.painting.painter import Painter
from ganvas.painting.sized import SizedPainter, film_painter
from ganvas.painting.subjects import choose_latents
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import Model, load
from ganvas.training.train import train

CFG = {"name": "cfg_gan", "latent_size": 4, "steps": 2, "pool": 20, "fit_epochs": 1, "fit_batch": 10}
CASES: dict[str, dict[str, Any]] = {
    "conditional dcgan": {},
    "mlp": {"network": {"name": "mlp", "hidden": [8]}, "method": {"name": "gan", "latent_size": 4}},
    "conditional resnet": {"network": {"name": "resnet", "base": 4, "g_blocks": 2, "d_blocks": 2}},
    "cfg_gan": {"network": {"name": "dcgan", "base": 4, "d_norm": "none"}, "method": CFG},
}


@pytest.fixture(scope="module", params=CASES)
def model(request: pytest.FixtureRequest, tiny: Callable[..., Recipe], tmp_path_factory: Any) -> Model:
    place = tmp_path_factory.mktemp("sized") / "run"
    list(train(tiny(train={"images": 40}, **CASES[request.param]), place, device="cpu"))
    return load(place, device="cpu")


def film(model: Model, size: int = 16, frames: int = 5) -> Morph:
    painter, chosen = film_painter(model), choose_latents(model, [1, 2])
    anchors = torch.stack([z for z, _ in chosen])
    return Morph(painter, anchors, [name for _, name in chosen], View(size, size), frames)


def test_films_begin_and_end_with_samples(model: Model) -> None:
    frames = list(film(model))
    first, last = (
        (model.sample(1, seed=seed, label=seed if model.classes else None) for seed in (1, 2))
        if (model.method.conditional)
        else (model.sample(1, seed=seed) for seed in (1, 2))
    )
    np.testing.assert_array_equal(frames[0], first.images[0])
    np.testing.assert_array_equal(frames[-1], last.images[0])
    assert len(frames) == 5


def test_the_middle_has_half_of_both_latents(model: Model) -> None:
    morph = film(model)
    middle = model.draw(morph.anchors.mean(0, keepdim=True)).images[0]
    np.testing.assert_array_equal(list(morph)[2], middle)


def test_larger_frames_repeat_pixels(model: Model) -> None:
    small, large = (next(iter(film(model, size))) for size in (16, 48))
    np.testing.assert_array_equal(large, small.repeat(3, 0).repeat(3, 1))


def test_a_film_is_made_again_from_its_file(model: Model, tmp_path: Path) -> None:
    if model.method.settings.name == "cfg_gan":
        model.method.use_steps(1)
    film(model, 32).save(tmp_path / "a.webp")
    load_morph(tmp_path / "a.webp", device="cpu").save(tmp_path / "b.webp")
    assert (tmp_path / "a.webp").read_bytes() == (tmp_path / "b.webp").read_bytes()
    model.method.steps_used = None


def test_steps_count(model: Model) -> None:
    if model.method.settings.name != "cfg_gan":
        pytest.skip("only cfg_gan has steps")
    whole = next(iter(film(model)))
    model.method.use_steps(0)
    start = next(iter(film(model)))
    model.method.steps_used = None
    assert (whole != start).any()


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (View(24, 24), "such as 32x32, not 24x24"),
        (View(32, 16), "such as 32x32, not 16x32"),
        (View(8, 8), "images of 16x16"),
        (View(16, 16, zoom=2), "only a pixel network"),
        (View(16, 16, supersample=2), "only a pixel network"),
    ],
)
def test_views_that_cannot_be_shown(model: Model, view: View, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SizedPainter(model).check(view)


def test_a_pixel_network_keeps_its_painter(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = tiny(network={"name": "cppn", "kind": "tanh", "width": 4}, train={"images": 20})
    list(train(recipe, tmp_path / "run", device="cpu"))
    assert isinstance(film_painter(load(tmp_path / "run", device="cpu")), Painter)
