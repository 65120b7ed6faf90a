import json
from pathlib import Path

import numpy as np
import pytest

from ganvas.core.errors import UserError
from ganvas.core.images import load_png
from ganvas.runs.model import Samples
from ganvas.runs.samples import SampleRecipe, save

CLASSES = ("T - shirt / top", "..", "10")
PROVENANCE = {"ganvas": "0.2.0", "recipe": "mnist-cdcgan", "checkpoint": "ab12", "nimg": 240}
OLD = {"version": "0.1.0", "recipe": "mnist-cdcgan", "checkpoint": "ab12", "nimg": 240, "seeds": [7], "labels": [None]}


def samples(labels: list[int] | None) -> Samples:
    numbers = None if labels is None else np.array(labels)
    return Samples(np.zeros((2, 8, 8, 1), np.uint8), numbers, [5, 6], () if labels is None else CLASSES)


@pytest.mark.parametrize("labels", [None, [0, 1]])
def test_the_recipe_travels_in_every_kind_of_file(tmp_path: Path, labels: list[int] | None) -> None:
    wanted = SampleRecipe(**PROVENANCE, seeds=[5, 6], labels=labels)
    save(samples(labels), tmp_path / "a.png", PROVENANCE)
    assert SampleRecipe.from_json(json.dumps(load_png(tmp_path / "a.png")[1]), "a.png") == wanted
    save(samples(labels), tmp_path / "a.npz", PROVENANCE)
    with np.load(tmp_path / "a.npz") as arrays:
        assert SampleRecipe.from_json(str(arrays["recipe"]), "a.npz") == wanted
    _, second = save(samples(labels), tmp_path / "folder", PROVENANCE)
    found = SampleRecipe.from_json(json.dumps(load_png(second)[1]), second)
    assert (found.seeds, found.labels) == ([6], None if labels is None else [1])


def test_samples_from_latents_keep_them(tmp_path: Path) -> None:
    rows = np.array([[0.5, -1.0], [0.25, 2.0]], np.float32)
    drawn = samples(None)._replace(seeds=[], latents=rows)
    save(drawn, tmp_path / "a.npz", PROVENANCE)
    with np.load(tmp_path / "a.npz") as arrays:
        assert (arrays["z"] == rows).all() and "seeds" not in arrays
        assert SampleRecipe.from_json(str(arrays["recipe"]), "").latents == rows.tolist()
    _, second = save(drawn, tmp_path / "folder", PROVENANCE)
    assert second.name == "000001.png"
    found = SampleRecipe.from_json(json.dumps(load_png(second)[1]), second)
    assert (found.latents, found.seeds) == ([[0.25, 2.0]], None)
    with pytest.raises(UserError, match="either seeds or latents"):
        SampleRecipe.from_json(json.dumps({**PROVENANCE, "version": 3}), "a.png")


def test_recipes_of_an_earlier_version_are_read() -> None:
    recipe = SampleRecipe.from_json(json.dumps(OLD), "a.png")
    assert (recipe.version, recipe.ganvas, recipe.seeds, recipe.labels) == (1, "0.1.0", [7], None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": ["7"]}, "seeds.0: Input should be a valid integer"),
        ({"nimg": -1}, "nimg: Input should be greater than or equal to 0"),
        ({"checkpoint": None}, "checkpoint: Input should be a valid string"),
        ({"version": 9}, "was written by a later version of ganvas"),
    ],
)
def test_recipes_that_are_damaged_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        SampleRecipe.from_json(json.dumps({**OLD, "version": 2, "ganvas": "0.2.0", "labels": [1], **change}), "a.png")
    assert "\n" not in str(refused.value)


def test_files_are_named_after_their_classes(tmp_path: Path) -> None:
    for folder in (tmp_path / "have.dot", tmp_path / "v1.0"):
        (tmp_path / "have.dot").mkdir(exist_ok=True)
        written = save(samples([0, 1]), folder, PROVENANCE)
        assert written == [folder / "000005-T-shirt-top.png", folder / "000006-...png"]
    numbered = [file.name for file in save(samples([2, 2]), tmp_path / "numbers", PROVENANCE)]
    assert numbered == ["000005-10.png", "000006-10.png"]  # its name, not its number
    save(samples([2, 2]), tmp_path / "a.NPZ", PROVENANCE)
    with np.load(tmp_path / "a.NPZ") as arrays:
        assert [arrays["classes"][label] for label in arrays["labels"]] == ["10", "10"]
    assert save(samples(None), tmp_path / "a.PNG", PROVENANCE) == [tmp_path / "a.PNG"]
    with pytest.raises(UserError, match=r"cannot write samples as '\.jpg'"):
        save(samples(None), tmp_path / "a.jpg", PROVENANCE)
