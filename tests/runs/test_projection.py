from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from ganvas.compute.device import choose
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import Model
from ganvas.runs.projection import project, projecting


@pytest.fixture(scope="module")
def model(tiny: Callable[..., Recipe]) -> Model:
    """A conditional network with random weights, large enough for varied images."""
    network = {"name": "dcgan", "base": 8, "init": "normal", "init_std": 0.2}
    method = tiny(network=network).build(ImageSpec(1, 16, 16, 3), choose("cpu", "fp32"), training=False)
    return Model(method, cast(Any, SimpleNamespace()), 0, ("a", "b", "c"), "", 0.0)


def test_a_sample_of_the_model_comes_back_with_its_class(model: Model) -> None:
    drawn = model.sample(3, seed=40)
    records = list(projecting(model, drawn.images, steps=80, draws=60, starts=6))
    assert [record.step for record in records] == list(range(81))
    errors = np.array([record.errors for record in records])
    assert (np.diff(errors, axis=0) <= 0).all()
    assert (errors[-1] < 0.35 * errors[0]).all()
    assert records[-1].labels is not None and drawn.labels is not None
    assert records[-1].labels.tolist() == drawn.labels.tolist()


def test_the_class_can_be_chosen(model: Model) -> None:
    found = project(model, model.sample(2, label="a", seed=3).images, "c", steps=3, draws=20, starts=2)
    assert found.labels is not None and found.labels.tolist() == [2, 2]
    with pytest.raises(UserError, match="there is no label 'd'"):
        project(model, model.sample(1).images, "d", steps=1, draws=8, starts=2)


def test_images_are_found_by_themselves_and_again(model: Model) -> None:
    pixels = model.sample(3, seed=9).images
    both, one = (project(model, some, steps=10, draws=20, starts=3) for some in (pixels, pixels[1:2]))
    torch.testing.assert_close(both.z[1:2], one.z, rtol=1e-3, atol=1e-3)
    assert torch.equal(one.z, project(model, pixels[1:2], steps=10, draws=20, starts=3).z)
    assert not torch.equal(one.z, project(model, pixels[1:2], steps=10, draws=20, starts=3, seed=1).z)


def test_latents_keep_the_length_of_random_ones(model: Model) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), dtype=np.uint8)
    found = project(model, noise, steps=80, draws=20, starts=2)
    lengths = found.z.square().mean(1)
    assert ((lengths > 0.3) & (lengths < 3)).all()


def test_whoever_stops_has_the_best_so_far(model: Model) -> None:
    pixels = model.sample(1, seed=2).images
    running: Iterator[Any] = projecting(model, pixels, steps=10, draws=20, starts=3)
    first, second = next(running), next(running)
    assert (first.step, second.step, second.steps) == (0, 1, 10)
    assert second.errors[0] <= first.errors[0]
    assert project(model, pixels, steps=0, draws=20, starts=3).errors[0] == first.errors[0]


def test_what_cannot_be_projected(model: Model) -> None:
    with pytest.raises(UserError, match=r"images of this run are uint8 \[N, 16, 16, 1\]"):
        project(model, np.zeros((1, 8, 8, 1), np.uint8))
    with pytest.raises(UserError, match="5 starts of 4 draws"):
        project(model, np.zeros((1, 16, 16, 1), np.uint8), draws=4, starts=5)
