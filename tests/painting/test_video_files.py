import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.core.errors import UserError
from ganvas.painting import video_files

ENDINGS = tuple(video_files.FORMATS)
RECIPE = {"seed": 7, "run": "é 数字", "latents": [[0.5] * 200], "checkpoint": None}


def skip_without_av(ending: str) -> None:
    if ending in (".mp4", ".webm"):
        pytest.importorskip("av")


def brightness(i: int) -> int:
    """Of frame `i`: no two neighbours are alike, and no order but the right one fits."""
    return (i * 37) % 200 + 20


def frames(count: int, height: int, width: int, channels: int) -> Iterator[np.ndarray]:
    """Plain frames, each with a square that says where the top left is."""
    for i in range(count):
        frame = np.full((height, width, channels), brightness(i), np.uint8)
        frame[: height // 4, : width // 4] = 255
        if channels == 3:
            frame[..., 2] //= 2
        yield frame


def decoded(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """The frames of a film, [H, W, 3], and the times at which they end, in seconds."""
    if path.suffix in (".mp4", ".webm"):
        av = pytest.importorskip("av")
        with av.open(path) as container:
            shown = list(container.decode(video=0))
            starts = [frame.time for frame in shown]
            return [frame.to_ndarray(format="rgb24") for frame in shown], [*starts[1:], container.duration / 1e6]
    pictures, ends = [], [0.0]
    with Image.open(path) as picture:
        for i in range(picture.n_frames):
            picture.seek(i)
            pictures.append(np.asarray(picture.convert("RGB")))
            ends.append(ends[-1] + picture.info["duration"] / 1000)
    return pictures, ends[1:]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_film_has_every_frame_in_its_place(tmp_path: Path, ending: str, size: tuple[int, int], channels: int) -> None:
    skip_without_av(ending)
    height, width = size
    path = tmp_path / "new" / f"a{ending}"
    video_files.save(path, frames(40, height, width, channels), height, width, 12.5, True, json.dumps(RECIPE))
    pictures, ends = decoded(path)
    assert len(pictures) == 40
    grown = (height + height % 2, width + width % 2) if ending == ".mp4" else size
    for wanted, got in zip(frames(40, height, width, channels), pictures, strict=True):
        assert got.shape == (*grown, 3)
        difference = np.abs(got[:height, :width].astype(int) - wanted)
        assert difference[12:, 16:].max() <= (0 if ending == ".gif" else 6)  # away from the edge of the square
        assert difference.mean() <= (0 if ending == ".gif" else 4)
        if grown != size:
            assert np.abs(got[-1].astype(int) - got[-2]).max() <= 12
            assert np.abs(got[:, -1].astype(int) - got[:, -2]).max() <= 12
    assert ends == pytest.approx([0.08 * (i + 1) for i in range(40)], abs=1e-6)
    assert json.loads(video_files.read_recipe(path)) == RECIPE
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("fps", [29.97, 30, 0.5, 48])
def test_a_film_keeps_its_rate(tmp_path: Path, ending: str, fps: float) -> None:
    skip_without_av(ending)
    path = tmp_path / f"a{ending}"
    video_files.save(path, frames(61, 16, 16, 1), 16, 16, fps, False, "{}")
    pictures, ends = decoded(path)
    assert len(pictures) == 61
    half = 0.005 if ending == ".gif" else 0.0005  # of what the format can tell apart
    assert ends == pytest.approx([(i + 1) / fps for i in range(61)], abs=half + 1e-6)


@pytest.mark.parametrize("ending", ENDINGS)
def test_frames_that_are_alike_stay_apart(tmp_path: Path, ending: str) -> None:
    skip_without_av(ending)
    path = tmp_path / f"a{ending}"
    video_files.save(path, [np.full((16, 16, 1), 90, np.uint8)] * 5, 16, 16, 25, True, "{}")
    assert len(decoded(path)[0]) == 5


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_film_can_be_one_pixel_and_one_frame(tmp_path: Path, ending: str) -> None:
    skip_without_av(ending)
    path = tmp_path / f"a{ending.upper()}"
    video_files.save(path, [np.full((1, 1, 3), 200, np.uint8)], 1, 1, 25, True, json.dumps(RECIPE))
    (picture,), _ = decoded(path.rename(path.with_suffix(ending)))
    assert np.abs(picture.astype(int) - 200).max() <= 4
    assert json.loads(video_files.read_recipe(path.with_suffix(ending))) == RECIPE


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_loop_repeats_for_ever(tmp_path: Path, ending: str) -> None:
    for loop in (True, False):
        path = tmp_path / f"{loop}{ending}"
        video_files.save(path, frames(3, 8, 8, 1), 8, 8, 25, loop, "{}")
        with Image.open(path) as picture:
            # A GIF that says nothing of repeating is shown once, as is a WebP with a count of 1.
            assert picture.info.get("loop", 1) == (0 if loop else 1)


def test_webp_is_as_long_as_it_says(tmp_path: Path) -> None:
    for note in ("a", "ab"):  # parts of an odd length are filled up
        video_files.save(tmp_path / "a.webp", frames(2, 8, 8, 1), 8, 8, 25, True, json.dumps({"note": note}))
        data = (tmp_path / "a.webp").read_bytes()
        assert len(data) % 2 == 0
        assert int.from_bytes(data[4:8], "little") == len(data) - 8


def test_gif_keeps_all_greys_and_up_to_256_colours(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    colours = np.concatenate([ramp, ramp[::-1], ramp.transpose(1, 0, 2)], axis=2)
    for frame in (ramp, colours):
        video_files.save(tmp_path / "a.gif", [frame, 255 - frame], 16, 16, 25, True, "{}")
        first, second = decoded(tmp_path / "a.gif")[0]
        assert (first == frame).all()
        assert (second == 255 - frame).all()


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_film_has_the_same_bytes(tmp_path: Path, ending: str) -> None:
    skip_without_av(ending)
    files = [tmp_path / f"{name}{ending}" for name in "ab"]
    for file in files:
        video_files.save(file, frames(3, 16, 16, 3), 16, 16, 25, True, "{}")
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_video_keeps_greys_and_colours(tmp_path: Path, ending: str) -> None:
    """On the whole, not one by one: a conversion with the wrong range, matrix or rounding shifts all of them."""
    av = pytest.importorskip("av")

    def first(height: int, width: int, pixels: np.ndarray) -> np.ndarray:
        """Of three equal frames, in 0..255, by the formula of BT.709: FFmpeg's way back to colours is less exact."""
        video_files.save(tmp_path / f"a{ending}", [pixels] * 3, height, width, 25, True, "{}")
        with av.open(tmp_path / f"a{ending}") as container:
            planes = next(container.decode(video=0)).to_ndarray().astype(float)
        luma = (planes[:height] - 16) / 219
        blue, red = (planes[height:].reshape(2, height // 2, width // 2).repeat(2, 1).repeat(2, 2) - 128) / 224
        return 255 * np.stack([luma + 1.5748 * red, luma - 0.1873 * blue - 0.4681 * red, luma + 1.8556 * blue], axis=2)

    greys = np.arange(256, dtype=np.uint8)[None, :, None].repeat(64, 0)
    difference = first(64, 256, greys) - greys
    assert np.abs(difference).max() < 4
    assert abs(difference.mean()) < 0.1
    colours = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8).repeat(32, 0).repeat(32, 1)
    blocks = (first(128, 128, colours) - colours).reshape(4, 32, 4, 32, 3)[:, 8:24, :, 8:24]
    assert np.abs(blocks).max() < 8
    assert (np.abs(blocks.mean(axis=(0, 1, 2, 3))) < 0.5).all()


def test_video_says_what_it_is(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    for ending, codec in ((".mp4", "h264"), (".webm", "vp9")):
        video_files.save(tmp_path / f"a{ending}", frames(3, 16, 16, 1), 16, 16, 24, True, "{}")
        with av.open(tmp_path / f"a{ending}") as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name.replace("libvpx-", ""), stream.pix_fmt) == (codec, "yuv420p")
            assert (stream.color_range, stream.colorspace, stream.color_primaries, stream.color_trc) == (1, 1, 1, 1)
            assert stream.average_rate == 24
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")  # can be shown before all of it is loaded


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_frames_are_written_as_they_come(tmp_path: Path, ending: str) -> None:
    """At any time, the file holds all frames but the last: nothing collects them."""
    path = tmp_path / f"a{ending}"
    written: list[int] = []

    def watched() -> Iterator[np.ndarray]:
        noise = np.random.default_rng(0)
        for _ in range(20):
            part = next(iter(tmp_path.glob("*.part")), None)
            written.append(part.stat().st_size if part else 0)
            yield noise.integers(0, 256, (128, 128, 1), np.uint8)

    video_files.save(path, watched(), 128, 128, 25, True, "{}")
    frame = path.stat().st_size / 20
    assert written[-1] > 17 * frame  # the rest may be in the buffer of the file


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, UserError])
@pytest.mark.parametrize("after", [0, 3, 60])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_failure_leaves_the_old_film(tmp_path: Path, ending: str, after: int, failure: type[BaseException]) -> None:
    skip_without_av(ending)

    def failing() -> Iterator[np.ndarray]:
        yield from frames(after, 16, 16, 1)
        raise failure("in the middle")

    path = tmp_path / f"a{ending}"
    path.write_bytes(b"old")
    with pytest.raises(failure, match="in the middle"):
        video_files.save(path, failing(), 16, 16, 25, True, "{}")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_film_without_frames_is_refused(tmp_path: Path, ending: str) -> None:
    skip_without_av(ending)
    with pytest.raises(UserError, match="at least one frame"):
        video_files.save(tmp_path / f"a{ending}", [], 16, 16, 25, True, "{}")
    assert not list(tmp_path.iterdir())


def test_a_frame_of_another_size_is_a_mistake(tmp_path: Path) -> None:
    for frame in (np.zeros((8, 9, 1), np.uint8), np.zeros((8, 8, 1)), np.zeros((8, 8), np.uint8)):
        with pytest.raises(ValueError, match="frame 0"):
            video_files.save(tmp_path / "a.gif", [frame], 8, 8, 25, True, "{}")


@pytest.mark.parametrize(
    ("name", "height", "width", "fps", "message"),
    [
        ("a.avi", 8, 8, 25, "has to end in .mp4, .webm, .gif, .webp"),
        ("a", 8, 8, 25, "a' is not the name of a film"),
        ("a.mp4", 16_385, 8, 25, "1 to 16384 pixels, not 8x16385"),
        ("a.webm", 8, 65_536, 25, "1 to 65535 pixels"),
        ("a.gif", 8, 65_536, 25, "1 to 65535 pixels"),
        ("a.webp", 16_384, 8, 25, "1 to 16383 pixels"),
        ("a.gif", 0, 8, 25, "1 to 65535 pixels, not 8x0"),
        ("a.gif", 20_000, 20_000, 25, "do not fit into memory"),
        ("a.gif", 8, 8, 60, "0.01 to 50 frames per second, not 60"),
        ("a.webp", 8, 8, 0, "0.01 to 90 frames per second, not 0"),
        ("a.mp4", 8, 8, float("nan"), "0.01 to 240 frames per second, not nan"),
    ],
)
def test_refusals(tmp_path: Path, name: str, height: int, width: int, fps: float, message: str) -> None:
    untouched = iter([np.zeros((8, 8, 1), np.uint8)])
    with pytest.raises(UserError, match=message) as refusal:
        video_files.check(Path(name), height, width, fps)
    assert "\n" not in str(refusal.value)
    with pytest.raises(UserError, match=message):
        video_files.save(tmp_path / name, untouched, height, width, fps, True, "{}")
    assert len(list(untouched)) == 1
    assert not list(tmp_path.iterdir())


def test_sizes_that_fit() -> None:
    video_files.check(Path("a.webp"), 16_383, 1)
    video_files.check(Path("a.gif"), 1, 65_535, 50)
    video_files.check(Path("A.GIF"), 8, 8)


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_without_av(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"^\.\w+ films need the extra 'video': pip install 'ganvas\[video\]'$"):
        video_files.check(tmp_path / f"a{ending}", 8, 8)
    video_files.save(tmp_path / "a.gif", frames(2, 8, 8, 1), 8, 8, 25, True, json.dumps(RECIPE))
    assert json.loads(video_files.read_recipe(tmp_path / "a.gif")) == RECIPE


@pytest.mark.parametrize("ending", ENDINGS)
def test_recipes_that_cannot_be_read(tmp_path: Path, ending: str) -> None:
    skip_without_av(ending)
    path = tmp_path / f"a{ending}"
    with pytest.raises(UserError, match="there is no film"):
        video_files.read_recipe(path)
    for damaged in (b"", b"nothing of the kind" * 99):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged, or not a film"):
            video_files.read_recipe(path)


def test_films_of_others_have_no_recipe(tmp_path: Path) -> None:
    for ending, note in ((".gif", {"comment": "made by hand"}), (".webp", {}), (".gif", {"comment": b"\xff"})):
        path = tmp_path / f"a{ending}"
        stream = io.BytesIO()
        Image.new("L", (8, 8)).save(stream, ending[1:].upper(), **note)
        path.write_bytes(stream.getvalue())
        with pytest.raises(UserError, match=r"no recipe|damaged"):
            video_files.read_recipe(path)
