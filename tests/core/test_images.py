from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganvas.core import images


def test_every_grey_level_survives_the_round_trip() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    there = images.from_uint8(pixels)
    assert there.min() == -1
    assert there.max() == 1
    assert (images.to_uint8(there)[0, :, :, 0] == pixels[0, 0].numpy()).all()


def test_values_outside_the_range_are_clamped() -> None:
    assert images.to_uint8(torch.tensor([-9.0, 9.0]).view(1, 1, 1, 2)).tolist() == [[[[0], [255]]]]


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 3))
def test_grid_places_every_picture(count: int, columns: int, gap: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (count, 3, 4, 1), dtype=np.uint8)
    sheet = images.grid(pictures, columns, gap)
    rows = -(-count // columns)
    assert sheet.shape == (rows * (3 + gap) + gap, columns * (4 + gap) + gap, 1)
    for i, picture in enumerate(pictures):
        y, x = (i // columns) * (3 + gap) + gap, (i % columns) * (4 + gap) + gap
        assert (sheet[y : y + 3, x : x + 4] == picture).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_png_carries_its_recipe(tmp_path: Path, channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    images.save_png(tmp_path / "new" / "a.png", picture, {"seed": 7, "run": "é"})
    read, recipe = images.load_png(tmp_path / "new" / "a.png")
    assert (read == picture).all()
    assert recipe == {"seed": 7, "run": "é"}
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.png"]


def test_alpha_is_premultiplied_in_memory_and_straight_in_files(tmp_path: Path) -> None:
    """What was written is read again, number for number; the file itself holds the colours."""
    colours = np.random.default_rng(0).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    colours[..., :3] = np.minimum(colours[..., :3], colours[..., 3:])
    images.save_png(tmp_path / "a.png", colours, {"seed": 7})
    assert (images.load_png(tmp_path / "a.png")[0] == colours).all()
    half = np.array([[[102, 40, 0, 102], [0, 0, 0, 0], [9, 8, 7, 255]]], np.uint8)
    assert images.straight(half).tolist() == [[[255, 100, 0, 102], [0, 0, 0, 0], [9, 8, 7, 255]]]
    images.save_png(tmp_path / "b.png", half)
    with Image.open(tmp_path / "b.png") as file:
        assert file.mode == "RGBA" and file.getpixel((0, 0)) == (255, 100, 0, 102)
    assert images.on_white(half).tolist() == [[[255, 193, 153], [255, 255, 255], [9, 8, 7]]]
    grey = np.zeros((2, 2, 1), np.uint8)
    assert images.straight(grey) is grey and images.on_white(grey) is grey and images.premultiplied(grey) is grey


def test_no_colour_exceeds_its_alpha() -> None:
    drawn = torch.tensor([1.0, -0.5, -1.0, 0.0]).view(1, 4, 1, 1)
    assert images.to_uint8(drawn).ravel().tolist() == [128, 64, 0, 128]
    assert images.to_uint8(drawn[:, :3]).ravel().tolist() == [255, 64, 0]


def test_the_gaps_between_images_with_alpha_are_transparent() -> None:
    opaque = np.full((3, 2, 2, 4), 200, np.uint8)
    sheet = images.grid(opaque, 2, gap=1)
    assert sheet.shape == (7, 7, 4) and not sheet[0].any() and not sheet[4:6, 4:6].any()
    assert (sheet[1:3, 1:3] == 200).all()


def test_enlarge_repeats_pixels() -> None:
    assert images.enlarge(np.arange(4, dtype=np.uint8).reshape(2, 2, 1), least=5).shape == (6, 6, 1)
    assert images.enlarge(np.zeros((900, 2, 1), np.uint8)).shape == (900, 2, 1)
