"""The report on a folder: it finds what was planted, and finds nothing where nothing is wrong."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageEnhance

from ganvas.core.errors import UserError
from ganvas.data import DataSettings, load
from ganvas.data.check import check, epoch_line, exact_duplicates, near_duplicates


def scene(seed: int, size: int = 64) -> Image.Image:
    """A picture with broad shapes, as photographs have."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path):
    """Two classes of five different pictures each."""
    for i in range(10):
        place = tmp_path / ("cats" if i < 5 else "dogs")
        place.mkdir(exist_ok=True)
        scene(i).save(place / f"{i}.png")
    return tmp_path


def report_on(folder, **settings):
    return check(DataSettings(name=str(folder), **settings))


def test_a_sound_folder(folder):
    report = report_on(folder)
    assert report.count == 10 and (report.size, report.sides, report.channels) == (64, (64, 64), 3)
    assert report.classes == {"cats": 5, "dogs": 5}
    assert (report.exact, report.near, report.skipped) == (0, 0, ())
    assert report.megabytes == 10 * 3 * 64 * 64 / 1e6
    lines = report.lines()
    assert lines[0].endswith("10 images, used as 64 x 64 colour pixels")
    assert "classes: cats (5), dogs (5)" in lines and "unreadable: none" in lines
    assert not any(line.startswith("one epoch") for line in lines)


def test_sizes_and_modes_are_those_before_fitting(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, shown upright
    Image.new("L", (300, 20)).save(folder / "cats" / "long.png", exif=exif)
    report = report_on(folder, size=32)
    assert sorted(one.mode for one in report.originals) == ["L"] + ["RGB"] * 10
    assert (
        "originals: 20 to 64 (median 64) wide, 64 to 300 (median 64) high, Pillow modes RGB (10), L (1)"
        in report.lines()
    )


def test_images_of_any_shape_are_compared_in_all_their_parts(folder):
    """Two that differ only in the last columns of a wide image are no near duplicates."""
    for name, last in (("x", 0), ("y", 255)):
        pixels = np.asarray(scene(50).resize((48, 16))).copy()
        pixels[:, 36:] = last
        Image.fromarray(pixels).save(folder / "cats" / f"{name}.png")
    report = report_on(folder, size="48x16")
    assert (report.size, report.sides, report.near) == ("48x16", (16, 48), 0)
    assert report.lines()[0].endswith("12 images, used as 48 x 16 colour pixels")
    scene(50).resize((48, 16)).save(folder / "cats" / "z.png")
    scene(50).resize((480, 160)).save(folder / "dogs" / "z.png")
    assert report_on(folder, size="48x16").near == 1


def test_images_with_transparent_pixels_are_counted(folder):
    """Those with an alpha channel that is opaque everywhere are not."""
    assert "transparency: none" in report_on(folder).lines()
    opaque = scene(20).convert("RGBA")
    opaque.save(folder / "cats" / "opaque.png")
    for i in range(2):
        image = scene(21 + i).convert("RGBA")
        image.putpixel((3, 3), (0, 0, 0, 254 * i))
        image.save(folder / "dogs" / f"clear-{i}.png")
    report = report_on(folder)
    assert (report.transparent, report.channels) == (2, 3)
    assert "transparency: 2 images (composed on white, data.channels=4 keeps it)" in report.lines()
    kept = report_on(folder, channels=4)
    assert "transparency: 2 images (kept as alpha)" in kept.lines() and "colour and alpha" in kept.lines()[0]


def test_exact_duplicates_are_named(folder):
    scene(3).save(folder / "dogs" / "copy.bmp")  # another file, the same pixels
    report = report_on(folder)
    assert report.exact == 1 and report.near == 0
    assert report.exact_pairs == ((f"{folder}/dogs/copy.bmp", f"{folder}/cats/3.png"),)
    assert f"exact duplicates: 1; {folder}/dogs/copy.bmp = {folder}/cats/3.png" in report.lines()


@pytest.mark.parametrize(
    "change",
    [
        lambda image, path: image.save(path.with_suffix(".jpg"), quality=50),
        lambda image, path: image.resize((150, 150)).save(path),
        lambda image, path: ImageEnhance.Brightness(image).enhance(1.05).save(path),
    ],
    ids=["recompressed", "resized", "brighter"],
)
def test_near_duplicates_are_named(folder, change):
    change(scene(3), folder / "dogs" / "again.png")
    report = report_on(folder, size=64)
    assert report.exact == 0 and report.near == 1
    assert "again" in report.near_pairs[0][0] and report.near_pairs[0][1].endswith("cats/3.png")


def test_unreadable_files_are_reported_however_many(folder):
    for i in range(5):
        (folder / "cats" / f"bad{i}.jpg").write_text("no picture")
    report = report_on(folder)
    assert report.count == 10 and len(report.skipped) == 5
    line = next(line for line in report.lines() if line.startswith("unreadable"))
    assert line.startswith("unreadable: 5 (33.3%, training refuses more than 1%); ") and "bad0.jpg" in line


def test_the_range_of_images_with_more_than_8_bits(tmp_path):
    for i, value in enumerate((0.0, 0.5, 1.02)):
        Image.new("F", (8, 8), value).save(tmp_path / f"{i}.tiff")
    assert "3 images of mode F hold values from 0 to 1.02: white is 1" in report_on(tmp_path).lines()


def test_nothing_readable_at_all(tmp_path):
    (tmp_path / "bad.png").touch()
    assert "unreadable: 1 (100.0%" in "\n".join(report_on(tmp_path).lines())


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="no images"):
        report_on(tmp_path)


def test_a_table_without_rows(tmp_path):
    pq.write_table(
        pa.table({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}), tmp_path / "a.parquet"
    )
    assert "0 images" in report_on(tmp_path / "a.parquet").lines()[0]
    with pytest.raises(UserError, match="has no images"):
        load(DataSettings(name=str(tmp_path / "a.parquet")))


def test_one_picture(tmp_path):
    scene(0).save(tmp_path / "a.png")
    report = report_on(tmp_path)
    assert (report.count, report.exact, report.near) == (1, 0, 0) and "classes: none" in report.lines()


@pytest.mark.parametrize(("seconds", "time"), [(0.5, "about 5 s,"), (60, "about 10 min,")])
def test_time_per_epoch(seconds, time):
    assert epoch_line(10, seconds).startswith(f"one epoch: {time}")


def test_thousands_of_classes_are_not_all_listed(tmp_path):
    for name in range(40):
        (tmp_path / str(name)).mkdir()
        scene(name).save(tmp_path / str(name) / "a.png")
    line = report_on(tmp_path).lines()[1]
    assert line.startswith("classes: 0 (1), 1 (1), 2 (1), ") and line.endswith(" 29 (1), ... 10 more")


def test_near_duplicates_agree_with_comparing_all_pairs():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (40, 1, 16, 16))
    images = np.concatenate([base, base + rng.integers(-9, 10, base.shape)]).clip(0, 255).astype(np.uint8)
    images = np.tile(images, (4, 1, 1, 1)) + rng.integers(0, 3, (320, 1, 16, 16)).astype(np.uint8)
    centred = images.reshape(320, -1).astype(np.float32)
    centred -= centred.mean(axis=1, keepdims=True)
    distances = ((centred[:, None] - centred[None]) ** 2).mean(axis=2) ** 0.5
    expected = int((distances < 5)[np.triu_indices(320, 1)].sum())
    assert 0 < expected == near_duplicates(images, np.arange(320))[0]


def test_all_the_same_is_found_in_full():
    images = np.full((600, 3, 8, 8), 7, np.uint8)
    assert len(exact_duplicates(images)) == 599
    assert near_duplicates(images, np.arange(600)) == (600 * 599 // 2, [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)])


def test_pictures_are_compared_with_those_within_reach_alone(monkeypatch):
    """Light on the left to light on the right, in even steps: each is like its neighbours, and no others are met."""
    slopes = np.linspace(-120, 120, 8_000)[:, None, None, None] * np.linspace(-1, 1, 16)
    images = (127.5 + slopes.repeat(16, axis=2)).round().astype(np.uint8)
    compared, plain = [], np.flatnonzero
    monkeypatch.setattr(np, "flatnonzero", lambda close: (compared.append(close.size), plain(close))[1])
    assert near_duplicates(images, np.arange(8_000))[0] > 100_000
    assert sum(compared) < 0.1 * 8_000**2 and len(compared) < 100  # blocks, not pairs
