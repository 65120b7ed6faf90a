"""Copies are told from new images, with and without a test split."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ganvas import metrics
from ganvas.data import ImageSet
from ganvas.evaluation.copies import Copies, pixels


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))


def toy(count: int, seed: int = 0) -> ImageSet:
    images = np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
    return ImageSet("toy", images)


def copy_rate(copies: Copies, pictures: np.ndarray) -> metrics.Score:
    return metrics.copy_rate(copies.nearness(pixels(pictures)), copies.real)


@pytest.mark.parametrize("split", [True, False], ids=["with a test split", "without one"])
def test_copies_are_told_from_held_out_pictures(split: bool) -> None:
    data, held_out = toy(1_200), toy(3_000, seed=2)
    copies = Copies(data, toy(800, seed=1) if split else None)
    assert len(copies.real) == (800 if split else 600)
    assert copies.real.min() > 0  # no picture is its own neighbour
    nearness = copies.nearness(pixels(data.images))
    assert (nearness == 0).all()  # whichever half a picture is in
    assert copy_rate(copies, data.images).value == 1
    assert copy_rate(copies, held_out.images).value < 0.005
    mixed = copy_rate(copies, np.concatenate([data.images[:500], held_out.images[:1_500]]))
    assert 0.25 <= mixed.value < 0.255


@pytest.mark.parametrize("split", [True, False], ids=["with a test split", "without one"])
def test_pictures_that_are_there_twice_do_not_hide_copies(split: bool) -> None:
    once, unseen = toy(600).images, toy(400, seed=1).images
    data = ImageSet("twice", np.concatenate([once, once[:60]]))
    copies = Copies(data, ImageSet("leaky", np.concatenate([unseen, once[:20]])) if split else None)
    assert copies.real.min() > 0.1
    assert copy_rate(copies, once[:300]).value == 1
    assert copy_rate(copies, toy(500, seed=2).images).value < 0.005


def test_test_pictures_that_are_all_training_pictures_tell_nothing() -> None:
    data = toy(300)
    assert Copies(data, ImageSet("leak", data.images[:100])).real is None


@pytest.mark.parametrize("flips", [True, False])
def test_mirror_images_are_copies_where_the_run_was_shown_them(flips: bool) -> None:
    data = toy(600)
    mirrored = np.ascontiguousarray(data.images[:300, ..., ::-1])
    for test in (toy(400, seed=1), None):
        copies = Copies(data, test, flips)
        assert copies.real.min() > 0
        assert copy_rate(copies, mirrored).value == (1 if flips else 0)
        assert copy_rate(copies, data.images).value == 1


def unlike_contrast(seed: int) -> np.ndarray:
    """450 grey pictures of 16x16, uint8: blocks of 4x4 with a little noise, some six times as strong as others."""
    rng = np.random.default_rng(seed)
    blocks = rng.standard_normal((450, 1, 4, 4)).repeat(4, axis=2).repeat(4, axis=3)
    pictures = blocks + 0.3 * rng.standard_normal((450, 1, 16, 16))
    contrast = np.exp(rng.uniform(np.log(10), np.log(60), (450, 1, 1, 1)))
    found: np.ndarray = (127.5 + contrast * pictures).round().clip(0, 255).astype(np.uint8)
    return found


@pytest.mark.parametrize("seed", [0, 3, 21])
def test_on_a_small_set_plain_pictures_are_no_copies_and_near_copies_are(seed: int) -> None:
    """With these seeds the mean picture is nearer than 99 % of the real pictures are: it takes the margin."""
    train, unseen = np.split(unlike_contrast(seed), [150])
    copies = Copies(ImageSet("few", train), None)
    mean = train.mean(0, keepdims=True).round().astype(np.uint8).repeat(100, axis=0)
    assert (copies.nearness(pixels(mean)) < copies.real.quantile(0.01)).all()
    assert copy_rate(copies, mean).value == 0
    for pictures in (train, unseen):
        coarse = pictures.reshape(-1, 1, 2, 8, 2, 8).mean((3, 5)).round().astype(np.uint8)
        assert copy_rate(copies, coarse.repeat(8, axis=2).repeat(8, axis=3)).value < 0.05
    assert copy_rate(copies, unseen).value < 0.01
    noise = 4 * np.random.default_rng(0).standard_normal(train.shape)
    for copied in (train, (train + noise).round().clip(0, 255).astype(np.uint8)):
        assert copy_rate(copies, copied).value == 1


def test_nearness_is_a_quotient_of_two_distances() -> None:
    """Two training and two test pictures, all equally far apart, and samples a tenth of the way between two."""
    corners = 100 * np.eye(4, 64, dtype=np.uint8).reshape(4, 1, 8, 8)
    copies = Copies(ImageSet("seen", corners[:2]), ImageSet("unseen", corners[2:]))
    samples = 0.9 * corners + 0.1 * corners[[2, 3, 0, 1]]
    assert copies.real.tolist() == pytest.approx([1, 1])
    nearness = copies.nearness(pixels(samples.round().astype(np.uint8)))
    assert nearness.tolist() == pytest.approx([1 / 9, 1 / 9, 9, 9])


def test_the_nearness_of_real_pictures_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Copies(toy(300), toy(200, seed=1))
    monkeypatch.setattr(metrics, "nearest_distances", None)  # it would have to be called
    again = Copies(toy(300), toy(200, seed=1))
    assert torch.equal(again.real, first.real)
    with pytest.raises(TypeError):
        Copies(toy(300), toy(200, seed=2))
    with pytest.raises(TypeError):
        Copies(toy(300), None)


def test_pixels_are_scaled_down_but_never_up() -> None:
    pictures = np.full((3, 3, 64, 48), 7, np.uint8)
    assert pixels(pictures).shape == (3, 3 * 32 * 24)
    assert pixels(pictures).unique().tolist() == [7]
    small = np.random.default_rng(0).integers(0, 256, (2, 1, 28, 28), dtype=np.uint8)
    assert np.array_equal(pixels(small).numpy(), small.reshape(2, -1))
