import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.cli import main
from ganvas.core.errors import UserError
from ganvas.core.images import load_png
from ganvas.data import ImageSet
from ganvas.evaluation import neighbours
from ganvas.recipes.recipe import Recipe
from ganvas.runs import model as sample
from ganvas.runs.model import Samples
from ganvas.training.train import train

SIZE = 24


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """30 colour pictures of noise, all unlike each other."""
    (tmp_path / "set").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (30, SIZE, SIZE, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "set" / f"{i:02d}.png")
    return tmp_path / "set"


def trained(tiny: Callable[..., Recipe], folder: Path, out: Path, flips: bool = False) -> Path:
    recipe = tiny(
        data={"name": str(folder), "size": SIZE, "flips": flips},
        network={"name": "dcgan", "base": 2},
        method={"name": "gan", "latent_size": 4},
        train={"images": 20},
    )
    list(train(recipe, out, device="cpu"))
    return out


def answer_with(monkeypatch: pytest.MonkeyPatch, pictures: np.ndarray) -> None:
    """Let the run draw these, uint8 [n, H, W, C]."""
    drawn = Samples(pictures, None, list(range(len(pictures))))
    monkeypatch.setattr(sample.Model, "sample", lambda self, n, seed=0: drawn)


def pictures_of(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(file)) for file in sorted(folder.iterdir())])


def test_copies_are_found_with_the_picture_that_they_are_of(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tiny, folder, tmp_path / "run")
    real = pictures_of(folder)
    nearly = np.clip(real[[7, 3, 7]].astype(int) + 9, 0, 255).astype(np.uint8)
    fresh = np.random.default_rng(1).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)
    answer_with(monkeypatch, np.concatenate([fresh, nearly]))
    found = neighbours.find(run, n=10, device="cpu")
    assert found.pixels.near.tolist() == [False] * 7 + [True] * 3
    assert found.pixels.index[7:].tolist() == [7, 3, 7]
    assert found.figures["near_copies_pixels"] == pytest.approx(0.3)
    assert found.figures["images_copied"] == 2
    assert found.features.index[7:].tolist() == [7, 3, 7]

    gap, sheet = 2, found.sheet()  # copies come first: a sample, and its picture at its right
    factor = sheet.shape[1] // (4 * (3 * SIZE + 4 * gap // 2 + 3 * gap) + 3 * gap)
    sheet = sheet[::factor, ::factor]
    top = 3 * gap + gap // 2
    first, second = (sheet[top : top + SIZE, left : left + SIZE] for left in (top, top + SIZE + gap // 2))
    assert any((first == copy).all() and (second == real[i]).all() for copy, i in zip(nearly, (7, 3, 7), strict=True))


def test_a_picture_that_is_in_the_set_twice_can_still_be_copied(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(30):
        shutil.copy(folder / f"{i:02d}.png", folder / f"again-{i:02d}.png")
    run = trained(tiny, folder, tmp_path / "run")
    fresh = np.random.default_rng(1).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    answer_with(monkeypatch, np.concatenate([fresh, pictures_of(folder)[3:7]]))
    found = neighbours.find(run, n=8, device="cpu")
    assert found.pixels.near.tolist() == found.features.near.tolist() == [False] * 4 + [True] * 4
    assert found.pixels.index[4:].tolist() == [3, 4, 5, 6]


def test_pictures_that_are_all_the_same_are_near_to_nothing_else(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(1, 50):
        shutil.copy(folder / "00.png", folder / f"{i:02d}.png")
    run = trained(tiny, folder, tmp_path / "run")
    fresh = np.random.default_rng(1).integers(0, 256, (8, SIZE, SIZE, 3), dtype=np.uint8)
    answer_with(monkeypatch, fresh)
    found = neighbours.find(run, n=8, device="cpu")
    assert not found.pixels.near.any() and not found.features.near.any()
    assert "distance" not in found.figures  # relative to that between training images, which is 0
    assert ("mean distance", "-", "between samples; between training images it is 0") in found.rows()
    assert not [figure for _, figure, _ in found.rows() if re.search(r"\d{4}|inf|nan", figure.replace(",", ""))]


@pytest.mark.parametrize("flips", [True, False])
def test_mirror_images_count_where_the_run_has_seen_them(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flips: bool
) -> None:
    run = trained(tiny, folder, tmp_path / "run", flips)
    real = pictures_of(folder)
    answer_with(monkeypatch, np.concatenate([real[:4, :, ::-1], real[4:8]]))
    found = neighbours.find(run, n=8, device="cpu")
    assert found.pixels.near.tolist() == [flips] * 4 + [True] * 4
    assert found.pixels.mirrored[4:].tolist() == [False] * 4
    if flips:
        assert found.pixels.mirrored[:4].all()
        assert found.pixels.index.tolist() == list(range(8))


def test_collapse_shows_in_the_distance_and_in_the_number_of_different_samples(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tiny, folder, tmp_path / "run")
    real = pictures_of(folder)
    answer_with(monkeypatch, real)
    figures = neighbours.find(run, n=30, device="cpu").figures
    assert figures["distance"] == pytest.approx(1)
    assert figures["vendi"] == pytest.approx(figures["vendi_real"])
    assert figures["coverage"] == 1
    answer_with(monkeypatch, real[:1].repeat(30, axis=0))
    figures = neighbours.find(run, n=30, device="cpu").figures
    assert figures["distance"] < 0.01
    assert figures["vendi"] == pytest.approx(1, abs=0.01)
    assert figures["coverage"] < 0.6


def test_the_command_writes_a_sheet_that_says_how_it_was_made(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tiny, folder, tmp_path / "run")
    with pytest.raises(SystemExit) as stopped:
        main(["neighbours", str(run), "--n", "12", "--device", "cpu", "--out", str(tmp_path / "near.png")])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "near copies" in said and "Vendi score" in said
    sheet, recipe = load_png(tmp_path / "near.png")
    assert sheet.shape[2] == 3
    assert recipe is not None and recipe["seeds"] == list(range(12)) and recipe["figures"]["coverage"] <= 1


def test_another_kind_of_file_is_refused_before_anything_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["neighbours", "nowhere", "--out", "near.gif"])
    assert stopped.value.code == 2
    assert "name a .png file" in capsys.readouterr().err


def test_too_few_pictures_are_refused(tiny: Callable[..., Recipe], folder: Path, tmp_path: Path) -> None:
    run = trained(tiny, folder, tmp_path / "run")
    with pytest.raises(UserError, match="3 samples are too few"):
        neighbours.find(run, n=3, device="cpu")


def test_the_nearest_training_images_of_one_image() -> None:
    random = np.random.default_rng(0)
    different = random.integers(0, 256, (12, 3, 8, 8), dtype=np.uint8)
    real = ImageSet("noise", np.concatenate([different, different[4:5]]))
    image = different[4].copy()
    image[0] ^= 1  # a third of the values by one
    first, *others = neighbours.nearest_images(image, real)
    assert (first.image, first.mirrored, len(others)) == (4, False, 3)
    assert first.distance == pytest.approx((1 / 3) ** 0.5 / 255)
    apart = np.sqrt(np.square(different.astype(float) - different[4]).sum((1, 2, 3)))
    assert first.quotient == pytest.approx(8 / np.sort(apart)[1], rel=1e-3)
    distances = np.sqrt(np.square((different.astype(float) - image) / 255).mean((1, 2, 3)))
    assert [near.image for near in others] == np.argsort(distances)[1:4].tolist()
    assert [near.distance for near in others] == pytest.approx(np.sort(distances)[1:4])

    turned = np.ascontiguousarray(image[..., ::-1])
    assert neighbours.nearest_images(turned, real, flips=True)[0] == first._replace(mirrored=True)
    assert neighbours.nearest_images(turned, real)[0].quotient > 0.5
    assert len(neighbours.nearest_images(image, ImageSet("few", different[:2]))) == 2
    alone = neighbours.nearest_images(image, ImageSet("one", different[4:5]))
    assert (alone[0].image, alone[0].quotient > 1) == (0, True)
