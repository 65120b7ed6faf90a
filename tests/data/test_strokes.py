"""The embedded digits: reproducible, balanced, inside the frame, told apart by class and varied within one."""

import hashlib

import numpy as np
import pytest

from ganvas.data import strokes

DRAWN = {  # by version: sha256 of the first thousand images (uint8) and labels (as uint8) of the seeds 0 and 1
    1: {
        0: "156fc3e14fc6d94b547206a4f52551d3ab2ccf7cf136273a954cff8f6e4af4e8",
        1: "3b7414c603ea2158d9d6eccbdd509b8fed2a4f59702b967ce4497db7bf23d36c",
    },
}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return strokes.draw(2000, seed=0)


def test_shapes_and_types(digits):
    images, labels = digits
    assert images.shape == (2000, 1, 28, 28) and images.dtype == np.uint8
    assert labels.shape == (2000,) and labels.dtype == np.int64


@pytest.mark.parametrize("seed", [0, 1])
def test_a_version_has_the_images_that_it_had(seed):
    """Whoever changes them raises `strokes.VERSION` and adds a line above: runs and caches go by it."""
    images, labels = strokes.draw(1000, seed)
    drawn = hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
    assert max(DRAWN) == strokes.VERSION and DRAWN[strokes.VERSION][seed] == drawn


@pytest.mark.parametrize("count", [0, 1, 249, 250, 251])
def test_any_count(count):
    images, labels = strokes.draw(count, seed=3)
    assert images.shape == (count, 1, 28, 28) and labels.shape == (count,)


def test_smaller_draw_is_prefix_of_larger_with_same_seed(digits):
    images, labels = strokes.draw(321, seed=0)
    assert np.array_equal(images, digits[0][:321]) and np.array_equal(labels, digits[1][:321])


def test_seeds_differ(digits):
    images, labels = strokes.draw(500, seed=1)
    assert not np.array_equal(labels, digits[1][:500])
    assert not (images == digits[0][:500]).all(axis=(1, 2, 3)).any()


def test_every_ten_hold_each_digit_once_in_changing_order(digits):
    tens = digits[1].reshape(-1, 10)
    assert (np.sort(tens, axis=1) == np.arange(10)).all()
    assert len(np.unique(tens, axis=0)) > 190


def test_white_ink_on_black_inside_the_frame(digits):
    pictures = digits[0][:, 0]
    assert (pictures.max(axis=(1, 2)) == 255).all()
    assert 28 < pictures.mean() < 40  # the mean of MNIST is 33
    per_picture = pictures.mean(axis=(1, 2))
    assert per_picture.min() > 5 and per_picture.max() < 90
    assert pictures[:, [0, -1]].max() == 0 and pictures[:, :, [0, -1]].max() == 0


def test_centred_by_mass(digits):
    pictures = digits[0][:, 0].astype(float)
    mass = pictures.sum(axis=(1, 2))
    across = pictures.sum(axis=1) @ np.arange(28) / mass
    down = pictures.sum(axis=2) @ np.arange(28) / mass
    offset = np.hypot(across - 13.5, down - 13.5)
    assert offset.mean() < 0.75 and offset.max() < 3  # a lopsided figure is kept inside the frame rather than centred


def test_nearest_neighbour_tells_the_digits_apart(digits):
    images, labels = digits
    flat = images.reshape(len(images), -1).astype(np.float32) / 255
    known, asked = flat[:1500], flat[1500:]
    squared = (known**2).sum(axis=1) - 2 * asked @ known.T  # up to a constant per asked picture
    assert (labels[:1500][squared.argmin(axis=1)] == labels[1500:]).mean() > 0.9


@pytest.mark.parametrize("digit", range(10))
def test_variety_within_a_digit(digits, digit):
    images, labels = digits
    flat = images[labels == digit].reshape(200, -1).astype(np.float32) / 255
    norms = (flat**2).sum(axis=1)
    squared = norms[:, None] + norms - 2 * flat @ flat.T
    apart = np.sqrt(squared[~np.eye(200, dtype=bool)].clip(min=0))
    assert apart.min() > 0.3  # no two alike
    assert apart.mean() > 5.5  # MNIST: 6.6 for the ones, 8.5 to 10 for the others
