"""Generators layer by layer, computed by the page's script: the same pixels as PyTorch, for every kind of network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from torch import nn

from ganvas.core.errors import UserError
from ganvas.export import html, layers
from ganvas.networks.base import Generator
from ganvas.networks.mlp import MLPGenerator
from ganvas.painting.subjects import choose_latents
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import Model, decode_latents, load
from tests.export.models import CASES, make

SIZED = [case for case in CASES if "cppn" not in case and "cfg_gan" not in case]


def images(page: Page, file: Path) -> np.ndarray:
    """What a page draws of its subjects, [N, H, W, 3]."""
    page.goto(file.as_uri())
    script = "Promise.all(model.subjects.map(async ({z}) => Array.from((await draw(z)).data)))"
    found = np.array(page.evaluate(script)).reshape(-1, *page.evaluate("[model.height, model.width]"), 4)
    assert (found[..., 3] == 255).all()
    return found[..., :3]


@pytest.mark.browser
@pytest.mark.parametrize("case", SIZED)
def test_a_page_draws_what_ganvas_draws(page: Page, tmp_path: Path, tiny: Callable[..., Recipe], case: str) -> None:
    model = make(tiny, case)
    latents = choose_latents(model, range(4))
    saved = html.save_images(model, latents, tmp_path / "page.html", "test")
    found = images(page, tmp_path / "page.html")
    expected = decode_latents(model.method, torch.stack([z for z, _ in latents])).astype(int)
    assert expected.std() > 5, "one grey shows nothing"
    assert np.abs(found - expected).max() <= 1
    assert (saved.bits, saved.largest) <= (16, 1)


@pytest.mark.browser
@pytest.mark.parametrize("name", ["mnist-quick", "strokes-quick"])
def test_models_that_come_with_ganvas(page: Page, tmp_path: Path, name: str) -> None:
    model = load(name, device="cpu")
    html.save_images(model, choose_latents(model, range(20)), tmp_path / "page.html", name)
    assert np.abs(images(page, tmp_path / "page.html") - model.sample(20).images.astype(int)).max() <= 1


def test_other_matrices_and_their_order(tiny: Callable[..., Recipe]) -> None:
    generator = make(tiny, "conditional resnet").method.for_decoding("G")
    assert isinstance(generator, Generator)
    before = layers.of_generator(generator)
    other = layers.with_matrices(generator, 2 * before.matrices)
    after = layers.of_generator(other)
    assert np.array_equal(after.matrices, 2 * before.matrices)
    assert np.array_equal(after.vectors, before.vectors)
    assert np.array_equal(layers.of_generator(generator).matrices, before.matrices), "the generator itself is unchanged"
    assert not torch.equal(other.latent_layer.weight, generator.latent_layer.weight)


def test_layers_that_a_page_lacks_are_refused() -> None:
    generator = MLPGenerator(CASES["mlp"][0], 8, (4,))
    generator.layers.append(nn.GELU())
    with pytest.raises(UserError, match="'GELU': use --to onnx"):
        layers.of_generator(generator)


def weights(model: Model) -> int:
    generator = model.method.for_decoding("G")
    assert isinstance(generator, Generator)
    return layers.of_generator(generator).matrices.size


@pytest.mark.browser
def test_large_networks_have_weights_of_8_bits_or_are_refused(
    page: Page, tmp_path: Path, tiny: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(tiny, "dcgan with pointwise convolutions")
    latents: Any = choose_latents(model, range(2))
    fine = html.render_images(model, latents, "test")
    monkeypatch.setattr(html, "MOST_BYTES_OF_IMAGES", len(fine.text) - 1)
    saved = html.save_images(model, latents, tmp_path / "page.html", "test")
    assert len(saved.text) < len(fine.text) - weights(model)
    assert saved.bits == 8
    assert 0 < saved.mean < html.LARGEST_ERROR
    expected = decode_latents(model.method, torch.stack([z for z, _ in latents])).astype(int)
    found = np.abs(images(page, tmp_path / "page.html") - expected)
    assert 0 < found.max() <= saved.largest + 1, "the error that is said is that of the page"
    monkeypatch.setattr(html, "LARGEST_ERROR", saved.mean / 2)
    with pytest.raises(UserError, match="use --to onnx"):
        html.render_images(model, latents, "test")
    monkeypatch.setattr(html, "MOST_BYTES_OF_IMAGES", 1000)
    with pytest.raises(UserError, match=f"these {weights(model):,} weights would have more than 1 kB: use --to onnx"):
        html.render_images(model, latents, "test")


def test_cfg_gan_is_refused(tiny: Callable[..., Recipe]) -> None:
    model = make(tiny, "cfg_gan dcgan")
    with pytest.raises(UserError, match="use --to onnx"):
        html.render_images(model, choose_latents(model), "test")
