import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.painting import latents

EASES = ("linear", "sine")


def normal(count: int, size: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def same(a: Tensor, b: Tensor) -> bool:
    """Equal bits: -0 is not 0."""
    return a.dtype == b.dtype and a.numpy().tobytes() == b.numpy().tobytes()


def steps(path: Tensor) -> Tensor:
    return (path[1:] - path[:-1]).norm(dim=1)


@given(
    st.integers(1, 5),
    st.integers(0, 30),
    st.sampled_from(EASES),
    st.booleans(),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_ends_are_the_anchors_bit_for_bit(
    count: int, more: int, ease: str, spherical: bool, loop: bool, dtype: torch.dtype
) -> None:
    anchors = normal(count).to(dtype)
    anchors[:, 0] = -0.0
    path = latents.path(anchors, count + more, ease, spherical, loop)
    assert path.shape == (count + more, 6)
    assert path.dtype == dtype
    assert path.isfinite().all()
    assert same(path[0].double(), anchors[0].double())
    if not loop:
        assert same(path[-1].double(), anchors[-1].double())


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("ease", EASES)
def test_path_visits_each_anchor_after_equal_times(ease: str, spherical: bool) -> None:
    anchors = normal(4)
    path = latents.path(anchors, 31, ease, spherical)
    assert same(path[::10], anchors)
    around = latents.path(anchors, 40, ease, spherical, loop=True)
    assert same(around[::10], anchors)
    assert same(latents.path(anchors, 4, ease, spherical), anchors)
    assert same(latents.path(anchors, 4, ease, spherical, loop=True), anchors)


def test_linear_goes_at_an_even_speed() -> None:
    anchors = normal(2).double()
    path = latents.path(anchors, 11)
    wanted = torch.stack([anchors[0] + i / 10 * (anchors[1] - anchors[0]) for i in range(11)])
    assert torch.allclose(path, wanted, atol=1e-14)


def test_arithmetic_is_in_float64() -> None:
    anchors = normal(2)
    exact = latents.path(anchors.double(), 1001, "sine", spherical=True)
    assert same(latents.path(anchors, 1001, "sine", spherical=True), exact.float())


def test_a_leg_may_end_between_two_frames() -> None:
    path = latents.path(torch.tensor([[0.0], [1.0], [0.0]]), 4)
    assert path[:, 0].tolist() == pytest.approx([0, 2 / 3, 2 / 3, 0])


def test_sine_lingers_at_the_anchors() -> None:
    path = latents.path(torch.tensor([[0.0], [1.0], [3.0]]).double(), 2001, "sine")[:, 0]
    speed = path.diff() * 1000  # per leg
    for anchor in (0, 1000, 2000):
        assert speed[max(0, anchor - 1) : anchor + 1].abs().max() < 0.01
    assert path[500].item() == pytest.approx(0.5)
    assert path[1500].item() == pytest.approx(2)
    assert path[250].item() == pytest.approx((1 - math.cos(math.pi / 4)) / 2)
    assert speed[500].item() == pytest.approx(math.pi / 2, rel=1e-3)
    assert (speed > 0).all()


def test_spherical_keeps_the_length_and_turns_evenly() -> None:
    anchors = torch.nn.functional.normalize(normal(3).double()) * 5
    path = latents.path(anchors, 41, spherical=True)
    assert torch.allclose(path.norm(dim=1), torch.full((41,), 5.0).double())
    for leg in (path[:21], path[20:]):
        assert torch.allclose(steps(leg), steps(leg).mean())
    # The first leg stays in the plane of its two anchors, and between them.
    weights = torch.linalg.lstsq(anchors[:2].T, path[:21].T).solution
    assert torch.allclose(anchors[:2].T @ weights, path[:21].T)
    assert (weights > -1e-12).all()
    straight = latents.path(anchors[:2], 3)[1]
    assert torch.allclose(torch.nn.functional.normalize(straight, dim=0) * 5, path[10])


def test_spherical_changes_the_length_linearly() -> None:
    path = latents.path(torch.tensor([[2.0, 0.0], [0.0, 4.0]]).double(), 5, spherical=True)
    assert torch.allclose(path.norm(dim=1), torch.tensor([2, 2.5, 3, 3.5, 4]).double())
    assert torch.allclose(torch.atan2(path[:, 1], path[:, 0]), torch.arange(5).double() * math.pi / 8)


@pytest.mark.parametrize(
    "other", [[0.3, 0.6, -0.9], [-0.3, -0.6, 0.9], [0.0, 0.0, 0.0], [-0.1, -0.2, 0.3], [0.1, 0.2, -0.3]]
)
def test_spherical_is_straight_where_nothing_tells_which_way_to_turn(other: list[float]) -> None:
    for anchors in (torch.tensor([[0.1, 0.2, -0.3], other]), torch.tensor([other, [0.1, 0.2, -0.3]])):
        assert torch.allclose(latents.path(anchors, 9, spherical=True), latents.path(anchors, 9), atol=1e-7)


@pytest.mark.parametrize("angle", [1e-3, 1e-5, math.pi - 1e-5])
def test_spherical_is_as_good_near_straight_lines(angle: float) -> None:
    anchors = torch.tensor([[1, 0], [math.cos(angle), math.sin(angle)]], dtype=torch.float64)
    path = latents.path(anchors, 5, spherical=True)
    assert torch.allclose(path[:, 1], torch.sin(torch.arange(5).double() * angle / 4), rtol=1e-9, atol=0)


@pytest.mark.parametrize("spherical", [False, True])
def test_a_loop_repeats_without_a_stutter(spherical: bool) -> None:
    anchors = torch.nn.functional.normalize(normal(2).double())
    path = latents.path(anchors, 20, spherical=spherical, loop=True)
    twice = torch.cat([path, path])
    assert torch.allclose(steps(twice), steps(twice)[0])
    assert not torch.allclose(path[0], path[-1])


def test_a_loop_with_sine_slows_down_at_the_seam() -> None:
    path = latents.path(normal(3), 300, "sine", loop=True)
    seam, middle = (path[0] - path[-1]).norm(), (path[50] - path[49]).norm()
    assert 0 < seam < middle / 20


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_one_anchor_stays(frames: int, loop: bool) -> None:
    anchor = normal(1)
    for ease in EASES:
        for spherical in (False, True):
            assert same(latents.path(anchor, frames, ease, spherical, loop), anchor.repeat(frames, 1))


@pytest.mark.parametrize(
    ("count", "frames", "message"),
    [
        (1, 0, "too few frames to visit each anchor: ask for 1 or more, not 0"),
        (2, -3, "ask for 2 or more, not -3"),
        (3, 2, "ask for 3 or more, not 2"),
        (0, 5, "at least one anchor"),
    ],
)
def test_paths_that_cannot_be(count: int, frames: int, message: str) -> None:
    for loop in (False, True):
        with pytest.raises(UserError, match=message):
            latents.path(normal(count), frames, loop=loop)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(2, 50))
def test_zooms_are_geometric(start: float, stop: float, frames: int) -> None:
    zooms = latents.zooms(start, stop, frames)
    assert len(zooms) == frames
    assert (zooms[0], zooms[-1]) == (start, stop)
    ratios = [b / a for a, b in pairwise(zooms)]
    assert ratios == pytest.approx([(stop / start) ** (1 / (frames - 1))] * (frames - 1))


def test_zooms_that_stay() -> None:
    assert latents.zooms(0.3, 0.3, 1) == [0.3]
    assert latents.zooms(0.3, 0.3, 4) == [0.3] * 4


@pytest.mark.parametrize(
    ("start", "stop", "frames", "message"),
    [
        (0, 1, 9, "cannot zoom from 0 to 1"),
        (1, -2, 9, "cannot zoom from 1 to -2"),
        (math.nan, 1, 9, "above 0"),
        (1, math.inf, 9, "above 0"),
        (1, 2, 1, "too few frames to zoom from 1 to 2: ask for 2 or more, not 1"),
        (1, 1, 0, "ask for 1 or more, not 0"),
    ],
)
def test_zooms_that_cannot_be(start: float, stop: float, frames: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        latents.zooms(start, stop, frames)


def test_truncation() -> None:
    z, mean = normal(5), normal(1, seed=1)[0]
    z[0, 0] = -0.0
    assert same(latents.truncated(z, mean, 1), z)
    assert torch.equal(latents.truncated(z, mean, 0), mean.expand(5, -1))
    assert torch.allclose(latents.truncated(z, mean, 0.5), (z + mean) / 2)
    assert latents.truncated(z, mean, 0.7).shape == z.shape


def test_reading(tmp_path: Path) -> None:
    wanted = normal(3, 4)
    rows = wanted.tolist()
    np.save(tmp_path / "a.npy", wanted.numpy().astype(">f8").T.copy().T)
    np.savez(tmp_path / "only.npz", anything=wanted.numpy())
    np.savez(tmp_path / "z.npz", seeds=np.arange(3), z=wanted.numpy())
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "a.txt").write_text("\n".join(" ".join(map(str, row)) for row in rows) + "\n")
    (tmp_path / "b.TXT").write_text("\n\n".join(",  ".join(map(str, row)) for row in rows))
    for name in ("a.npy", "only.npz", "z.npz", "a.json", "a.txt", "b.TXT"):
        z = latents.read(tmp_path / name, 4)
        assert same(z, wanted), name
        assert z.is_contiguous(), name


def test_reading_a_single_latent(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1, 2, 3]))
    np.savez(tmp_path / "a.npz", z=np.array([1, 2, 3], np.uint8))
    (tmp_path / "a.json").write_text("[1, 2.0, 3e0]")
    (tmp_path / "a.txt").write_text("1\t2, 3")
    for ending in latents.ENDINGS:
        assert same(latents.read(tmp_path / f"a{ending}", 3), torch.tensor([[1.0, 2.0, 3.0]])), ending


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"1 2", "has to end in .npy, .npz, .json, .txt"),
        ("a.json", None, "No such file"),
        ("a.npy", None, "No such file"),
        ("a.npy", b"", "does not hold latents"),
        ("a.npy", b"rubbish", "does not hold latents"),
        ("a.npz", b"PK\x03\x04rubbish", "does not hold latents"),
        ("a.json", b"[1, 2", "does not hold latents"),
        ("a.json", b"[" * 100_000, "does not hold latents"),
        ("a.json", b"[[1, 2], [3]]", "rows of numbers, all of one length"),
        ("a.json", b'{"z": [1, 2]}', "does not hold latents"),
        ("a.json", b'["1", "2"]', "does not hold latents"),
        ("a.json", b"[1, null]", "does not hold latents"),
        ("a.json", b"[]", "shape"),
        ("a.json", b"[[[1, 2]]]", r"shape \(1, 1, 2\): latents are rows of 2 numbers"),
        ("a.json", b"[1, 2, 3]", "of size 3: this run needs 2"),
        ("a.json", b"[1, NaN]", "not all finite"),
        ("a.json", b"[1, 1e39]", "not all finite"),
        ("a.txt", b"1 2\n3", "rows of numbers, all of one length"),
        ("a.txt", b"1 two", "does not hold latents"),
        ("a.txt", b"\xff\xfe", "does not hold latents"),
        ("a.txt", b"", "shape"),
        ("a.txt", b"1\n2\n", "of size 1: this run needs 2"),
        ("a.txt", b"1 inf", "not all finite"),
    ],
)
def test_files_without_latents(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as refusal:
        latents.read(tmp_path / name, 2)
    assert "\n" not in str(refusal.value)
    assert name in str(refusal.value)


def test_arrays_that_are_not_latents(tmp_path: Path) -> None:
    for array in (np.array([1, "a"], object), np.array(["1", "2"]), np.array([1j, 2]), np.zeros(2, "i4,f4")):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(UserError, match="does not hold latents"):
            latents.read(tmp_path / "a.npy", 2)
    np.savez(tmp_path / "a.npz", a=np.zeros(2), b=np.zeros(2))
    with pytest.raises(UserError, match="holds 2 arrays: name the one with the latents 'z'"):
        latents.read(tmp_path / "a.npz", 2)
    with pytest.raises(UserError, match="Is a directory"):
        (tmp_path / "b.npy").mkdir()
        latents.read(tmp_path / "b.npy", 2)


@pytest.mark.parametrize(("place", "value"), [(8, 1), (10, 99), (8, 64)])  # encrypted; a method, flags of the future
def test_archives_that_numpy_cannot_read(tmp_path: Path, place: int, value: int) -> None:
    np.savez(tmp_path / "z.npz", z=np.zeros((2, 4)))
    content = bytearray((tmp_path / "z.npz").read_bytes())
    content[content.find(b"PK\x01\x02") + place] |= value
    (tmp_path / "z.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"does not hold latents"):
        latents.read(tmp_path / "z.npz", 4)


def test_latents_of_a_conditional_run_have_classes(tmp_path: Path) -> None:
    z, labels = normal(2, 4), np.array([2, 0])
    wanted = torch.cat([z, torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])], 1)
    np.savez(tmp_path / "a.npz", z=z.numpy(), labels=labels)
    np.save(tmp_path / "a.npy", wanted.numpy())
    for name in ("a.npz", "a.npy"):
        assert same(latents.read(tmp_path / name, 4, 3), wanted)
    np.save(tmp_path / "b.npy", z.numpy())
    for name, size, message in (("b.npy", 4, "have no classes"), ("b.npy", 5, "needs 5, and the 3 shares")):
        with pytest.raises(UserError, match=message):
            latents.read(tmp_path / name, size, 3)
    for wrong in ([3, 0], [-1, 0], [0], [0.0, 1.0]):
        np.savez(tmp_path / "b.npz", z=z.numpy(), labels=np.array(wrong))
        with pytest.raises(UserError, match="are not 2 numbers of classes, from 0 to 2"):
            latents.read(tmp_path / "b.npz", 4, 3)
