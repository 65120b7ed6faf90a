import pytest
import torch

from ganvas.networks.view import View


def test_coordinates_of_a_square() -> None:
    place = View(3, 3, scale=8).coordinates()
    assert place[:, 0].tolist() == [-8, 0, 8] * 3
    assert place[:, 1].tolist() == [-8] * 3 + [0] * 3 + [8] * 3
    torch.testing.assert_close(place[:, 2], place[:, :2].norm(dim=1))


@pytest.mark.parametrize(("height", "width"), [(5, 9), (9, 5), (7, 7), (1, 4), (1, 1)])
def test_pixels_are_square_and_the_middle_is_the_middle(height: int, width: int) -> None:
    x, y, _ = View(height, width, scale=3, center=(0.5, -2)).coordinates().view(height, width, 3).unbind(-1)
    torch.testing.assert_close(x.mean().item(), 0.5, atol=1e-6, rtol=0)
    torch.testing.assert_close(y.mean().item(), -2.0, atol=1e-6, rtol=0)
    step = 6 / max(1, min(height, width) - 1)
    torch.testing.assert_close(x.diff(dim=1), torch.full((height, width - 1), step))
    torch.testing.assert_close(y.diff(dim=0), torch.full((height - 1, width), step))


def test_zoom() -> None:
    near, far = View(5, 5, zoom=4).coordinates(), View(5, 5).coordinates()
    torch.testing.assert_close(4 * near, far)
    torch.testing.assert_close(View(5, 5, scale=16).coordinates(), 2 * far)
    deep = View(3, 100, center=(1 / 3, 1 / 3), zoom=1e12).coordinates(dtype=torch.float64)
    assert len(deep[:, 0].unique()) == 100  # steps of 1e-11 are told apart
    far_out = View(3, 100, center=(1000, 0), zoom=1e3).coordinates()
    assert len(far_out[:, 0].unique()) == 100  # as near as float32 comes


def test_a_part_of_the_coordinates() -> None:
    whole = View(7, 11, center=(1, 2), zoom=3).coordinates()
    stops = [*range(13, 77, 13), 77]
    parts = [View(7, 11, center=(1, 2), zoom=3).coordinates(stop - 13 if stop < 77 else 65, stop) for stop in stops]
    assert torch.equal(torch.cat(parts), whole)


def test_samples_lie_evenly_within_their_pixel() -> None:
    pixels = View(4, 5).coordinates()
    samples = View(4, 5, supersample=3).coordinates().view(20, 9, 3)
    torch.testing.assert_close(samples[:, 4], pixels)  # the one in the middle
    third = 16 / 3 / 3
    torch.testing.assert_close(samples[:, 1, :2] - samples[:, 0, :2], torch.tensor([third, 0.0]).expand(20, 2))
    torch.testing.assert_close(samples[:, 3, :2] - samples[:, 0, :2], torch.tensor([0.0, third]).expand(20, 2))


@pytest.mark.parametrize(("height", "width"), [(12, 12), (12, 30), (30, 12), (1, 5)])
@pytest.mark.parametrize("supersample", [1, 3])
def test_a_tile_is_a_torus(height: int, width: int, supersample: int) -> None:
    """The distance between the neighbours of any two edges is as it is within."""
    view = View(height, width, scale=3, center=(0.5, -2), zoom=2, tile=True)
    place = view.coordinates(dtype=torch.float64).view(height, width, 3)
    long, short = (width, height) if width >= height else (height, width)
    x, y, r = (place - torch.tensor([0.5, -2, 0], dtype=torch.float64)).unbind(-1)
    tube = 3 / 2 / torch.pi
    ring = 2 * tube * long / short
    torch.testing.assert_close(((x**2 + y**2).sqrt() - ring) ** 2 + (r - tube) ** 2, torch.full_like(x, tube**2))
    steps = [(place - place.roll(1, axis)).norm(dim=2) for axis in (0, 1)]
    for axis in (0, 1):  # the step over the edge is the first one; by symmetry it is one of those within
        edge, inside = steps[axis].narrow(axis, 0, 1), steps[axis]
        assert edge.max() <= inside.max() * (1 + 1e-9)
    samples = View(height, width, tile=True, supersample=supersample).coordinates(dtype=torch.float64)
    assert len(torch.unique(samples.round(decimals=9), dim=0)) == len(samples)  # no place is there twice


def test_the_period_of_a_tile_is_exact() -> None:
    view, share = View(7, 11, tile=True), torch.rand(100, dtype=torch.float64, generator=torch.manual_seed(0))
    share = (share * 2**20).floor() / 2**20  # so that adding integers is exact
    other = share.flip(0)
    for x, y in ((share + 1, other), (share, other - 2), (share + 3, other + 1)):
        assert torch.equal(view._torus(x, y), view._torus(share, other))
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    assert torch.equal(view._torus(one, one), view._torus(zero, zero))
