from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganvas.core.errors import UserError
from ganvas.core.images import load_png
from ganvas.painting import encoding
from ganvas.painting.encoding import encode
from ganvas.painting.subjects import choose_latents
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import Model, load
from ganvas.runs.projection import projecting
from ganvas.training.train import train

CFG = {"name": "cfg_gan", "latent_size": 4, "steps": 2, "pool": 20, "fit_epochs": 1, "fit_batch": 10, "eta": 0.5}
CASES: dict[str, dict[str, Any]] = {
    "conditional dcgan": {"network": {"name": "dcgan", "base": 8, "init": "normal", "init_std": 0.2}},
    "cfg_gan": {"network": {"name": "dcgan", "base": 8, "d_norm": "none", "init": "kaiming"}, "method": CFG},
    "encoder": {
        "network": {"name": "cppn", "kind": "softplus", "width": 8, "std": 0.4, "encoder_width": 16},
        "method": {"name": "cppn_vae_gan"},
    },
}


@pytest.fixture(scope="module")
def models(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    found = {}
    for name, changes in CASES.items():
        place = tmp_path_factory.mktemp("encoding") / "run"
        list(train(tiny(train={"images": 40}, **changes), place, device="cpu"))
        found[name] = load(place, device="cpu")
    return found


@pytest.mark.parametrize("case", ["conditional dcgan", "cfg_gan"])
def test_own_samples_come_back_from_the_file(models: dict[str, Model], tmp_path: Path, case: str) -> None:
    model, said = models[case], []
    originals = model.sample(9, seed=30).images  # more than are searched for at a time
    found = encode(model, originals, search=40, progress=lambda *news: said.append(news))
    assert said[-1][:2] == (80, 80)
    assert [done for done, *_ in said] == sorted(done for done, *_ in said)
    start = encode(model, originals, search=1)
    assert found.errors.mean() < 0.5 * start.errors.mean()
    encoding.save(found, tmp_path / "z.npz", [Path(f"{i}.png") for i in range(9)], model)
    latents = torch.stack([z for z, _ in choose_latents(model, z=tmp_path / "z.npz")])
    np.testing.assert_array_equal(model.draw(latents).images, found.redrawn)
    with np.load(tmp_path / "z.npz") as file:
        apart = (found.redrawn.astype(float) - originals) / 255
        np.testing.assert_allclose(file["errors"], np.sqrt((apart**2).mean((1, 2, 3))))
        assert ("labels" in file) == model.method.conditional
        assert file["z"].shape == (9, model.method.settings.latent_size)
    sheet, recipe = load_png(tmp_path / "z-redrawn.png")
    assert recipe is not None and np.allclose(recipe["latents"], latents.tolist())
    factor = sheet.shape[1] // (6 * 18 + 2)
    np.testing.assert_array_equal(sheet[::factor, ::factor][2:18, 2:18], originals[0])
    np.testing.assert_array_equal(sheet[::factor, ::factor][2:18, 20:36], found.redrawn[0])
    np.testing.assert_array_equal(sheet[::factor, ::factor][2:18, 38:54], originals[1])


def test_the_class_is_found_or_given(models: dict[str, Model]) -> None:
    model = models["conditional dcgan"]
    originals = model.sample(3, seed=6).images
    assert encode(model, originals, search=30).labels.tolist() == [0, 1, 2]
    assert encode(model, originals, "slanted", search=1).labels.tolist() == [2, 2, 2]
    with pytest.raises(UserError, match="there is no label 'up'"):
        encode(model, originals, "up")
    with pytest.raises(UserError, match="not conditional"):
        encode(models["cfg_gan"], originals, "down")


def test_an_encoder_is_used_unless_a_search_is_asked_for(models: dict[str, Model]) -> None:
    model = models["encoder"]
    originals = model.sample(2, seed=3).images
    assert torch.equal(encode(model, originals).z, model.encode(originals))
    searched = encode(model, originals, search=30)
    assert (searched.errors < encode(model, originals).errors).all()
    alone = projecting(model, originals, starts=1)  # the encoder's latent is the only start
    torch.testing.assert_close(next(alone).z, model.encode(originals))


def test_where_latents_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"use an \.npz file"):
        encoding.check(tmp_path / "z.txt")
    (tmp_path / "z-redrawn.png").mkdir()
    with pytest.raises(UserError, match=r"z-redrawn\.png"):
        encoding.check(tmp_path / "z.npz")
    with pytest.raises(UserError, match=r"would replace .*y-redrawn\.png"):
        encoding.check(tmp_path / "y.npz", [tmp_path / "y-redrawn.png"])
