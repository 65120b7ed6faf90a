"""The pictures of latents that the tab Latents shows."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ganvas.explore.drawing import decode, facts_of
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import load
from ganvas.training.train import train


@pytest.mark.parametrize(("network", "shape"), [("cppn", (32, 48)), ("mlp", (16, 24))])
def test_a_picture_has_the_proportions_of_the_training_images(
    tiny: Callable[..., Recipe], tmp_path: Path, network: str, shape: tuple[int, int]
) -> None:
    """`size` is the longer side; a network of one size keeps its own."""
    method = {"name": "gan", "latent_size": 4}
    recipe = tiny(data={"size": "24x16"}, network={"name": network}, method=method, train={"images": 40})
    list(train(recipe, tmp_path / "run", device="cpu"))
    model = load(tmp_path / "run", device="cpu")
    z = model.method.latents([1, 2])
    assert decode(model, z, None, 48).shape == (2, *shape, model.method.spec.channels)
    assert decode(model, z, None).shape[1:3] == (16, 24)
    facts = facts_of(model.run)
    assert (facts["height"], facts["width"]) == (16, 24)
