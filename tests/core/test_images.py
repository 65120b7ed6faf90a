from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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


def test_enlarge_repeats_pixels() -> None:
    assert images.enlarge(np.arange(4, dtype=np.uint8).reshape(2, 2, 1), least=5).shape == (6, 6, 1)
    assert images.enlarge(np.zeros((900, 2, 1), np.uint8)).shape == (900, 2, 1)
