from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from ganvas.compute.device import choose
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.data import ImageSet
from ganvas.networks.base import Generator
from ganvas.recipes.recipe import Recipe
from ganvas.runs import directions
from ganvas.runs.model import Model

CPPN = {"name": "cppn", "kind": "tanh", "width": 8}
NETWORKS: list[dict[str, Any]] = [
    {"name": "mlp", "hidden": [12]},
    {"name": "dcgan", "base": 4},
    {"name": "resnet", "base": 4, "g_blocks": 2, "d_blocks": 2},
    CPPN,
]


def untrained(recipe: Recipe, classes: int = 3) -> Model:
    method = recipe.build(ImageSpec(1, 16, 16, classes), choose("cpu", "fp32"), training=False)
    return Model(method, cast(Any, SimpleNamespace()), 0, tuple("abc"[:classes]), "", 0.0)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["name"])
@pytest.mark.parametrize("conditional", [False, True])
def test_the_first_directions_change_the_first_layer_most(
    tiny: Callable[..., Recipe], network: dict[str, Any], conditional: bool
) -> None:
    method = {"name": "gan", "latent_size": 6, "conditional": conditional}
    model = untrained(tiny(network=network, method=method))
    generator = model.method.for_decoding("G")
    assert isinstance(generator, Generator)
    assert generator.latent_layer.in_features == (9 if conditional else 6)
    weights = generator.latent_layer.weight[:, :6]
    found = directions.factorised(model, 4)
    assert found.vectors.shape == (4, 6)
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(4), atol=1e-5, rtol=0)
    assert found.stds.tolist() == [1.0] * 4
    changes = (weights @ found.vectors.T).norm(dim=0)
    torch.testing.assert_close(changes, torch.linalg.svdvals(weights)[:4])
    torch.testing.assert_close(found.shares, (changes.square() / weights.square().sum()))
    assert (found.vectors.abs().amax(1) == found.vectors.amax(1)).all()


def test_a_layer_of_few_units_has_few_directions(tiny: Callable[..., Recipe]) -> None:
    model = untrained(tiny(network={**CPPN, "width": 3}, method={"name": "gan", "latent_size": 6}))
    assert len(directions.factorised(model).vectors) == 3


def test_steps_are_standard_deviations_of_the_latents(tiny: Callable[..., Recipe]) -> None:
    model = untrained(tiny(method={"name": "gan", "latent_size": 6, "latent": "uniform"}))
    z = model.method.latents(range(2_000))
    for found in (directions.factorised(model, 3), directions.random(model, 3)):
        torch.testing.assert_close((z @ found.vectors.T).std(0), found.stds, rtol=0.05, atol=0)


def test_random_directions_are_orthogonal_and_those_of_their_seed(tiny: Callable[..., Recipe]) -> None:
    model = untrained(tiny(method={"name": "gan", "latent_size": 3}))
    found = directions.random(model, 8, seed=4)
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(3), atol=1e-5, rtol=0)
    assert torch.equal(found.vectors, directions.random(model, 8, seed=4).vectors)
    assert not torch.equal(found.vectors, directions.random(model, 8, seed=5).vectors)


def test_principal_components_of_encoded_images(tiny: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    model = untrained(tiny(network=CPPN, method={"name": "cppn_vae_gan", "latent_size": 3}), classes=0)
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.normal(size=(3, 3)))[0]
    z = torch.from_numpy(random.normal(size=(400, 3)) * [3, 1, 0.2] @ axes.T + 5).float()
    monkeypatch.setattr(Model, "encode", lambda self, pixels: z[: len(pixels)])
    found = directions.principal(model, ImageSet("made", np.zeros((400, 1, 16, 16), np.uint8)))
    turned = (found.vectors.double() @ torch.from_numpy(axes)).abs()
    torch.testing.assert_close(turned.diagonal(), torch.ones(3).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(found.stds, torch.tensor([3.0, 1.0, 0.2]), rtol=0.1, atol=0)
    assert found.shares.sum().item() == pytest.approx(1)
    torch.testing.assert_close((z @ found.vectors.T).std(0), found.stds, rtol=1e-4, atol=1e-4)


def test_without_encoder_there_are_no_principal_components(tiny: Callable[..., Recipe]) -> None:
    with pytest.raises(UserError, match="has no encoder"):
        directions.principal(untrained(tiny()), ImageSet("made", np.zeros((4, 1, 16, 16), np.uint8)))
