"""Starting a run with the weights of another one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.compute.device import choose
from ganvas.core import images
from ganvas.core.errors import UserError
from ganvas.data import load as load_data
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import load
from ganvas.runs.run import Run
from ganvas.runs.state import below, pack, pack_for_sampling
from ganvas.training.train import train
from tests.conftest import same_tensors

AVERAGED = {"name": "gan", "latent_size": 8, "conditional": True, "ema_images": 60}


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """20 pictures of discs in each of two classes."""
    y, x = np.mgrid[:16, :16]
    for name, middle in (("left", 5), ("right", 11)):
        (tmp_path / "others" / name).mkdir(parents=True)
        for i in range(20):
            disc = 255 * ((y - 8) ** 2 + (x - middle) ** 2 < 9 + i)
            Image.fromarray(disc.astype(np.uint8)).save(tmp_path / "others" / name / f"{i:02d}.png")
    return tmp_path / "others"


@pytest.fixture
def source(tiny: Callable[..., Recipe], tmp_path: Path) -> Path:
    list(train(tiny(method=AVERAGED, train={"images": 120}), tmp_path / "source", device="cpu"))
    return tmp_path / "source"


def state(path: Path, nimg: int) -> dict[str, torch.Tensor]:
    return Run(path).checkpoints.load(nimg).tensors


def test_a_run_begins_with_the_averages_of_g_and_the_weights_of_d(
    tiny: Callable[..., Recipe], tmp_path: Path, source: Path
) -> None:
    said: list[str] = []
    recipe = tiny(method={**AVERAGED, "lr": 1e-5}, train={"images": 60, "seed": 7, "checkpoint_every": 60})
    list(train(recipe, tmp_path / "run", begin_from=source, device="cpu", say=said.append))
    there, here = state(source, 120), state(tmp_path / "run", 0)
    averages = below("average/G/", there)
    assert not same_tensors(averages, below("module/G/", there))
    assert same_tensors(averages, below("module/G/", here)) and same_tensors(averages, below("average/G/", here))
    assert same_tensors(below("module/D/", there), below("module/D/", here))
    assert not any(key.startswith("optimizer/") and key.endswith("exp_avg") for key in here)
    first, _ = images.load_png(Run(tmp_path / "run").sheet(0))
    assert (first == images.grid(load(source, device="cpu").sample(24).images, 3)).all()
    begun = Run(tmp_path / "run").info().begun_from
    assert begun is not None
    assert (begun.run, begun.recipe, begun.nimg) == (str(source), "tiny", 120)
    assert begun.checkpoint == Run(source).checkpoints.load(120).sha256
    assert f"begins with the weights of '{source}' after 120 images" in said
    assert not any("anew" in text for text in said)


def test_it_resumes_alike_when_its_source_has_gone(tiny: Callable[..., Recipe], tmp_path: Path, source: Path) -> None:
    recipe = tiny(method=AVERAGED, train={"images": 120})
    for name in ("whole", "stopped", "at once"):
        at = {"whole": 1_000, "stopped": 60, "at once": 0}[name]
        seen = [0]
        steps = train(
            recipe,
            tmp_path / name,
            begin_from=source,
            device="cpu",
            tick=lambda nimg, _, seen=seen: seen.append(nimg),
            stop=lambda seen=seen, at=at: seen[-1] >= at,
        )
        list(steps)
    shutil.rmtree(source)
    list(train(recipe, tmp_path / "stopped", begin_from=source, device="cpu"))
    list(train(recipe, tmp_path / "at once", device="cpu"))
    expected = state(tmp_path / "whole", 120)
    assert same_tensors(state(tmp_path / "stopped", 120), expected)
    assert same_tensors(state(tmp_path / "at once", 120), expected)


def test_other_numbers_of_classes_begin_anew_and_the_rest_is_kept(
    tiny: Callable[..., Recipe], tmp_path: Path, source: Path, others: Path
) -> None:
    said: list[str] = []
    recipe = tiny(data={"name": str(others)}, method=AVERAGED, train={"images": 20})
    list(train(recipe, tmp_path / "run", begin_from=source, device="cpu", say=said.append))
    (anew,) = [text for text in said if "anew" in text]
    assert anew.startswith("2 classes instead of 3: their weights begin anew (G.layers.0.weight, D.levels.0.label")
    there, here = state(source, 120), state(tmp_path / "run", 0)
    first = "average/G/layers.0.weight"
    assert here[first].shape[1] == 8 + 2 and torch.equal(here[first][:, :8], there[first][:, :8])
    fresh = start_of(recipe)
    assert torch.equal(here["module/D/levels.0.label_weight"], fresh["module/D/levels.0.label_weight"])
    kept = {key for key in here if key.startswith("module/D/") and "label_weight" not in key}
    assert kept and all(torch.equal(here[key], there[key]) for key in kept)


def start_of(recipe: Recipe) -> dict[str, torch.Tensor]:
    """The start of the same run with random weights."""
    torch.manual_seed(recipe.train.seed)
    return pack(recipe.build(load_data(recipe.data).spec, choose("cpu", "fp32")))[0]


def test_a_conditional_run_begins_with_one_without_classes(
    tiny: Callable[..., Recipe], tmp_path: Path, others: Path
) -> None:
    plain = tiny(method={"name": "gan", "latent_size": 8, "conditional": False}, train={"images": 40})
    list(train(plain, tmp_path / "source", device="cpu"))
    recipe = tiny(data={"name": str(others)}, train={"images": 20})
    said: list[str] = []
    list(train(recipe, tmp_path / "run", begin_from=tmp_path / "source", device="cpu", say=said.append))
    assert any(text.startswith("2 classes instead of 0: their weights begin anew") for text in said)
    there, here = state(tmp_path / "source", 40), state(tmp_path / "run", 0)
    assert torch.equal(here["module/G/layers.0.weight"][:, :8], there["module/G/layers.0.weight"])
    assert torch.equal(here["module/D/levels.0.conv.weight"], there["module/D/levels.0.conv.weight"])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"network": {"name": "dcgan", "base": 16}}, "network.base is 8 there and 16 here$"),
        ({"network": {"name": "mlp"}}, "network.name is dcgan there and mlp here$"),
        ({"method": {**AVERAGED, "latent_size": 9}}, "method.latent_size is 8 there and 9 here$"),
        ({"data": {"size": "32x16"}}, "data.size is 16 there and 32x16 here$"),
        ({"data": {"channels": 3}}, "data.channels is 1 there and 3 here$"),
        # More layers, and no classes: layers that only one side has may have tensors without dimensions.
        ({"data": {"size": 64}, "method": {**AVERAGED, "conditional": False}}, "data.size is 16 there and 64 here$"),
    ],
)
def test_what_does_not_fit_is_named(
    tiny: Callable[..., Recipe], tmp_path: Path, source: Path, changes: dict[str, dict[str, object]], match: str
) -> None:
    recipe = tiny(**{"method": AVERAGED, **changes})
    with pytest.raises(UserError, match=f"cannot be the start of this run: {match}"):
        list(train(recipe, tmp_path / "run", begin_from=source, device="cpu"))
    assert not (tmp_path / "run").exists()


def test_a_published_model_gives_only_g(tiny: Callable[..., Recipe], tmp_path: Path, source: Path) -> None:
    run = Run(source)
    tensors, values = pack_for_sampling(load(source, device="cpu").method)
    run.checkpoints.save(120, tensors, {**values, "nimg": 120, "seconds": 1.0}, keep=1)
    run.update_info(state="published")
    said: list[str] = []
    list(train(tiny(method=AVERAGED, train={"images": 20}), tmp_path / "run", begin_from=source, say=said.append))
    assert any(text.endswith("has no D, which begins anew") for text in said)
    assert same_tensors(below("module/G/", tensors), below("module/G/", state(tmp_path / "run", 0)))


def test_a_run_keeps_the_start_that_it_has(tiny: Callable[..., Recipe], tmp_path: Path, source: Path) -> None:
    recipe = tiny(method=AVERAGED, train={"images": 20})
    list(train(recipe, tmp_path / "random", device="cpu"))
    with pytest.raises(UserError, match="was begun with random weights"):
        list(train(recipe, tmp_path / "random", begin_from=source, device="cpu"))
    list(train(recipe, tmp_path / "run", begin_from=source, device="cpu"))
    with pytest.raises(UserError, match=r"was begun from '.*source', not '.*random'"):
        list(train(recipe, tmp_path / "run", begin_from=tmp_path / "random", device="cpu"))
    assert Run(tmp_path / "run").but_for_seed() != Run(tmp_path / "random").but_for_seed()
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(UserError, match=r"has lost its checkpoints: give --from .*source again"):
        list(train(recipe, tmp_path / "run", device="cpu"))
