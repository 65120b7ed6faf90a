import matplotlib
import numpy as np
import pytest
import torch

from ganvas.core.errors import UserError
from ganvas.painting.palette import Palette

RAMP = torch.linspace(0, 1, 11)[:, None]


def test_ink_is_dark_on_light_and_chalk_light_on_dark() -> None:
    ink, chalk = Palette("auto", 1), Palette("chalk", 1)
    assert ink.name == "ink"
    assert ink(RAMP)[[0, 10], 0].tolist() == [255, 0]
    assert chalk(RAMP)[[0, 10], 0].tolist() == [0, 255]
    assert (np.diff(ink(RAMP)[:, 0].astype(int)) < 0).all()
    assert (ink.paper.tolist(), chalk.paper.tolist()) == ([255], [0])


def test_sixteen_bits_are_finer() -> None:
    values = torch.linspace(0.5, 0.51, 100)[:, None]
    assert len(np.unique(Palette("ink", 1)(values))) < 5
    fine = Palette("ink", 1, 16)(values)
    assert fine.dtype == np.uint16
    assert len(np.unique(fine)) == 100


def test_colour_maps_are_those_of_matplotlib() -> None:
    palette = Palette("viridis", 1)
    expected = matplotlib.colormaps["viridis"](np.linspace(0, 1, 256))[:, :3] * 255
    np.testing.assert_allclose(palette(np.linspace(0, 1, 256)[:, None]), expected, atol=0.51)
    assert palette.paper.tolist() == palette(np.zeros((1, 1)))[0].tolist()
    assert (Palette("viridis_r", 1)(RAMP) == palette(RAMP.flip(0))).all()
    between = Palette("viridis", 1, 16)(np.linspace(0, 1, 1000)[:, None])
    assert len(np.unique(between, axis=0)) == 1000


def test_colours_of_a_network_stay() -> None:
    values = torch.rand(4, 5, 3)
    assert (Palette("auto", 3)(values) == (values.numpy() * 255).round()).all()


@pytest.mark.parametrize(
    ("name", "channels", "message"),
    [
        ("virids", 1, "did you mean 'viridis'"),
        ("viridis", 3, "use rgb, its own colours"),
        ("rgb", 1, "use ink, chalk or a colour map"),
    ],
)
def test_wrong_palettes_are_refused(name: str, channels: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Palette(name, channels)


def test_numbers_that_are_not_finite_are_no_colours() -> None:
    for name in ("ink", "viridis"):
        with pytest.raises(UserError, match="not finite: choose an earlier checkpoint"):
            Palette(name, 1)(torch.tensor([[0.5], [float("nan")]]))
