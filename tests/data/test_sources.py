"""What users see when they name a set: every kind of picture, layout and mistake."""

import gzip
import io
import json
import os
import stat
import struct
import tracemalloc
import zlib
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

import ganvas.data
from ganvas.core.errors import UserError
from ganvas.core.settings import parse
from ganvas.data import DataSettings, ImageSet, ImageSpec, decoding, load, load_unseen, strokes
from ganvas.data.check import check

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def load_from(name: object, split: str = "train", data_dir: Path | None = None, **settings: object) -> ImageSet:
    return load(DataSettings(name=str(name), **settings), split, data_dir)


def refusal(name: object, split: str = "train", data_dir: Path | None = None, **settings: object) -> str:
    """The one line that the user gets."""
    with pytest.raises(UserError) as caught:
        load_from(name, split, data_dir, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def only(folder: Path, **settings: object) -> np.ndarray:
    """The pixels [C, S, S] of the only picture in a folder."""
    data = load_from(folder, **settings)
    assert len(data) == 1
    return data.images[0]


def fill(folder: Path, count: int, size: tuple[int, int] = (8, 8)) -> Path:
    """A folder of `count` different colour pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", size, (i, 100, 200)).save(folder / f"{i:03d}.png")
    return folder


# Modes and encodings


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "seen"),
    [
        ("L", 77, "png", [77]),
        ("1", 1, "png", [255]),
        ("LA", (77, 255), "png", [77]),
        ("LA", (0, 0), "png", [255]),  # transparent is white
        ("RGB", (1, 2, 3), "png", [1, 2, 3]),
        ("RGBA", (1, 2, 3, 255), "png", [1, 2, 3]),
        ("RGBA", (9, 0, 0, 0), "png", [255]),
        ("RGBA", (255, 0, 0, 102), "png", [255, 153, 153]),  # 0.4 red on white
        ("CMYK", (0, 255, 255, 0), "tiff", [255, 0, 0]),
        ("I;16", 77 * 257, "png", [77]),
        ("I;16", 77 * 257, "tiff", [77]),
        ("I", 77 * 257, "tiff", [77]),
        ("F", 0.2, "tiff", [51]),
        ("F", 51.0, "tiff", [51]),
        ("RGB", (1, 2, 3), "bmp", [1, 2, 3]),
        ("RGB", (1, 2, 3), "webp", [1, 2, 3]),
        ("RGB", (1, 2, 3), "TIF", [1, 2, 3]),
        ("RGB", (1, 2, 3), "ppm", [1, 2, 3]),
        ("RGB", (80, 80, 80), "jpg", [80]),  # grey, though stored in colour
    ],
)
def test_each_mode_and_format(tmp_path, mode, colour, suffix, seen):
    options = {"lossless": True} if suffix == "webp" else {}
    Image.new(mode, (8, 8), colour).save(tmp_path / f"a.{suffix}", **options)
    pixels = only(tmp_path)
    assert pixels.shape == (len(seen), 8, 8) and pixels.dtype == np.uint8
    assert (pixels == np.array(seen).reshape(-1, 1, 1)).all()


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "seen"),
    [
        ("RGBA", (200, 100, 50, 255), "png", [200, 100, 50, 255]),
        ("RGBA", (255, 100, 0, 102), "png", [102, 40, 0, 102]),  # each colour times 0.4
        ("RGBA", (9, 200, 77, 0), "png", [0, 0, 0, 0]),  # a colour that nobody sees
        ("RGBA", (255, 100, 0, 102), "webp", [102, 40, 0, 102]),
        ("LA", (100, 51), "png", [20, 20, 20, 51]),
        ("L", 77, "png", [77, 77, 77, 255]),
        ("RGB", (1, 2, 3), "jpg", [1, 2, 3, 255]),
        ("I;16", 77 * 257, "png", [77, 77, 77, 255]),
        ("CMYK", (0, 255, 255, 0), "tiff", [255, 0, 0, 255]),
    ],
)
def test_four_channels_are_alpha_and_colours_times_alpha(tmp_path, mode, colour, suffix, seen):
    options = {"lossless": True, "exact": True} if suffix == "webp" else {"quality": 100} if suffix == "jpg" else {}
    Image.new(mode, (8, 8), colour).save(tmp_path / f"a.{suffix}", **options)
    pixels = only(tmp_path, channels=4).astype(int)
    assert pixels.shape == (4, 8, 8)
    assert abs(pixels - np.array(seen).reshape(-1, 1, 1)).max() <= (1 if suffix == "jpg" else 0)


@pytest.mark.parametrize("fit", ["crop", "letterbox"])
def test_hidden_colours_do_not_leak_when_images_are_scaled(tmp_path, fit):
    """A green disc on transparent red: no pixel has any red, and none is brighter than its alpha."""
    image = Image.new("RGBA", (90, 60), (255, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((20, 5, 70, 55), (0, 255, 0, 255))
    image.save(tmp_path / "a.png")
    red, green, blue, alpha = only(tmp_path, channels=4, size="24x24", fit=fit)
    assert not red.any() and not blue.any()
    assert (green == alpha).all() and alpha[12, 12] == 255 and alpha[0, 0] == 0
    assert ((alpha > 0) & (alpha < 255)).any()


def test_letterbox_and_pad_fill_with_nothing_where_there_is_alpha(tmp_path):
    Image.new("RGB", (8, 4), (10, 20, 30)).save(tmp_path / "a.png")
    for fit in ("letterbox", "pad"):
        pixels = only(tmp_path, channels=4, size=8, fit=fit)
        assert not pixels[:, :2].any() and not pixels[:, 6:].any(), fit
        assert (pixels[:, 2:6] == np.array([10, 20, 30, 255]).reshape(4, 1, 1)).all(), fit


def test_named_sets_have_alpha_where_it_is_asked_for(tmp_path):
    data = load_from("strokes", channels=4, limit=3)
    grey = load_from("strokes", limit=3).images
    assert (data.images == np.concatenate([grey, grey, grey, np.full_like(grey, 255)], 1)).all()


def test_palettes_with_and_without_transparency(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([*RED, *GREEN])
    image.save(tmp_path / "a.png")
    assert only(tmp_path)[:, 0, 0].tolist() == [0, 255, 0]
    image.save(tmp_path / "a.png", transparency=1)
    assert only(tmp_path, channels=3)[:, 0, 0].tolist() == [255, 255, 255]


def test_sixteen_bits_keep_their_whole_range(tmp_path):
    values = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert only(tmp_path).ravel().tolist() == list(range(256))


@pytest.mark.parametrize(
    ("mode", "values", "seen", "white"),
    [
        ("F", [0.0, 0.5, 1.02], [0, 128, 255], 1),
        ("F", [0.0, 51.0, 255.0], [0, 51, 255], 255),
        ("F", [0.0, 257.0, 65535.0], [0, 1, 255], 65535),
        ("I", [0, 51, 255], [0, 51, 255], 255),
        ("I", [0, 257, 65535], [0, 1, 255], 65535),
        ("I", [0, 100_000, 200_000], [0, 128, 255], 200_000),
        ("I;16", [0, 0, 514], [0, 0, 2], 65535),
    ],
)
@pytest.mark.parametrize("layout", ["folder", "parquet"])
def test_white_of_deep_grey_is_decided_for_the_whole_set(tmp_path, mode, values, seen, white, layout):
    rows = []
    for i, value in enumerate(values):
        Image.new(mode, (8, 8), value).save(tmp_path / f"{i}.tiff")
        rows.append((tmp_path / f"{i}.tiff").read_bytes())
    if layout == "parquet":
        (tmp_path / "only").mkdir()
        pq.write_table(pa.table({"image": rows}), tmp_path / "only" / "a.parquet")
    data = load_from(tmp_path / "only" / "a.parquet" if layout == "parquet" else tmp_path)
    assert data.images[:, 0, 0, 0].tolist() == seen
    assert data.notes == (f"3 images of mode {mode} hold values from 0 to {values[-1]:g}: white is {white:g}",)


def test_numbers_that_are_not_finite_do_not_decide_what_is_white(tmp_path):
    for name, value in (("a", np.inf), ("b", 0.5), ("c", np.nan), ("d", -np.inf)):
        Image.new("F", (4, 4), value).save(tmp_path / f"{name}.tiff")
    data = load_from(tmp_path)
    assert data.images[:, 0, 0, 0].tolist() == [255, 128, 0, 0]
    assert data.notes == ("4 images of mode F hold values from 0 to 0.5: white is 1",)


def test_values_below_black_are_said(tmp_path):
    Image.new("F", (4, 4), -1).save(tmp_path / "a.tiff")
    Image.new("F", (4, 4), 1).save(tmp_path / "b.tiff")
    assert load_from(tmp_path).notes == (
        "2 images of mode F hold values from -1 to 1: white is 1, black is 0 and below",
    )


def test_the_test_split_has_the_white_of_the_training_split(tmp_path):
    for split, value in (("train", 255.0), ("test", 0.9)):
        (tmp_path / split).mkdir()
        Image.new("F", (8, 8), value).save(tmp_path / split / "a.tiff")
    settings = DataSettings(name=str(tmp_path))
    test = load_unseen(settings, load(settings))
    assert test is not None and test.images[0, 0, 0, 0] == 1


def with_chunk(file: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return file[:33] + chunk + file[33:]


def test_odd_metadata_does_not_spoil_an_image(tmp_path):
    whole = png((1, 2, 3))
    large = zlib.compress(bytes(3 * 2**20))
    (tmp_path / "exif.png").write_bytes(with_chunk(whole, b"eXIf", b"MM\x00*\xff\xff\xff\xff nonsense"))
    (tmp_path / "text.png").write_bytes(with_chunk(whole, b"zTXt", b"Comment\0\0" + large))
    (tmp_path / "profile.png").write_bytes(with_chunk(whole, b"iCCP", b"p\0\0" + large))
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "a.webp", lossless=True, exif=b"Exif\0\0 nonsense")
    data = load_from(tmp_path)
    assert data.skipped == () and len(data) == 4
    assert (data.images == np.array([1, 2, 3]).reshape(1, 3, 1, 1)).all()


def test_panoramas_are_read_and_limits_are_put_back(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    Image.new("1", (20_000, 10_000), 1).save(tmp_path / "panorama.png")
    assert (only(tmp_path, size=8) == 255).all()
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("large", [True, False])
def test_large_images_are_decoded_one_at_a_time(tmp_path, monkeypatch, large):
    to_8_bit, alone = decoding._to_8_bit, []

    def watched(image, *others):
        alone.append(decoding._ONE_LARGE.locked())
        return to_8_bit(image, *others)

    monkeypatch.setattr(decoding, "_to_8_bit", watched)
    monkeypatch.setattr(decoding, "LARGE_PIXELS", 63 if large else 64)
    assert len(load_from(fill(tmp_path, 20))) == 20
    assert alone == [large] * 20


def test_animations_give_their_first_frame(tmp_path):
    Image.new("RGB", (8, 8), RED).save(
        tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (8, 8), BLUE)], duration=100
    )
    assert only(tmp_path)[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (7, 7)), (6, (0, 7)), (8, (7, 0)), (2, (0, 7))])
@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_exif_orientation_is_applied(tmp_path, orientation, corner, suffix):
    image = Image.new("L", (8, 8))
    image.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif, lossless=True)
    assert np.argwhere(only(tmp_path, channels=1)[0] > 128).tolist() == [list(corner)]


def test_channels_convert_both_ways(tmp_path):
    Image.new("RGB", (8, 8), RED).save(tmp_path / "a.png")
    assert only(tmp_path, channels=1)[0, 0, 0] == 76  # the luma of pure red
    Image.new("L", (8, 8), 50).save(tmp_path / "a.png")
    assert only(tmp_path, channels=3)[:, 0, 0].tolist() == [50, 50, 50]


def test_one_coloured_picture_makes_the_set_coloured(tmp_path):
    for i in range(300):
        Image.new("L", (4, 4), i % 256).save(tmp_path / f"{i:03d}.png")
    assert load_from(tmp_path).spec == ImageSpec(1, 4, 4, 0)
    Image.new("RGB", (4, 4), RED).save(tmp_path / "zzz.png")
    assert load_from(tmp_path).spec == ImageSpec(3, 4, 4, 0)


# Sizes


def three_stripes(folder: Path, size: tuple[int, int]) -> Path:
    """A picture in three stripes along its longer side: red, green, blue."""
    width, height = size
    image = Image.new("RGB", size, GREEN)
    draw = ImageDraw.Draw(image)
    if width > height:
        draw.rectangle((0, 0, width // 3 - 1, height), RED)
        draw.rectangle((width - width // 3, 0, width, height), BLUE)
    else:
        draw.rectangle((0, 0, width, height // 3 - 1), RED)
        draw.rectangle((0, height - height // 3, width, height), BLUE)
    folder.mkdir(exist_ok=True)
    image.save(folder / "a.png")
    return folder


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_crop_keeps_the_centre(tmp_path, size):
    pixels = only(three_stripes(tmp_path, size), size=15)
    inside = pixels[:, 4:-4, 4:-4]  # further out Lanczos has a share of what was cut
    assert (inside == np.array(GREEN).reshape(3, 1, 1)).all() and (pixels.argmax(axis=0) == 1).all()


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_letterbox_keeps_everything_on_black(tmp_path, size):
    pixels = only(three_stripes(tmp_path, size), size=30, fit="letterbox")
    if size[0] < size[1]:
        pixels = pixels.transpose(0, 2, 1)
    assert not pixels[:, :9].any() and not pixels[:, 21:].any()
    assert [pixels[:, 15, x].tolist() for x in (3, 15, 26)] == [list(RED), list(GREEN), list(BLUE)]


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_crop_covers_any_shape(tmp_path, size):
    """A shape of the same proportions keeps all three stripes; a wider or narrower one cuts the centre out."""
    folder = three_stripes(tmp_path, size)
    width, height = (side // 3 for side in size)
    whole = only(folder, size=f"{width}x{height}")
    assert whole.shape == (3, height, width)
    long = whole if width > height else whole.transpose(0, 2, 1)
    assert [long[:, 5, x].tolist() for x in (3, 15, 26)] == [list(RED), list(GREEN), list(BLUE)]
    tall = only(folder, size="10x40") if width > height else only(folder, size="40x10").transpose(0, 2, 1)
    assert (tall[:, :, 1:-1] == np.array(GREEN).reshape(3, 1, 1)).all()


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_letterbox_fills_any_shape_with_black(tmp_path, size):
    """Stripes of 90 x 30 fill 60 x 20 of 60 x 30 pixels, and those of 30 x 90 fill 10 x 30 of them."""
    pixels = only(three_stripes(tmp_path, size), size="60x30", fit="letterbox")
    assert pixels.shape == (3, 30, 60)
    seen = np.argwhere(pixels.any(0))
    box = seen.min(0).tolist() + (seen.max(0) + 1).tolist()
    assert box == ([5, 0, 25, 60] if size == (90, 30) else [0, 25, 30, 35])


def test_a_large_photograph_on_its_side_keeps_its_detail(tmp_path):
    """JPEGs are decoded smaller if they stay large enough, also where width and height change places."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lines = np.zeros((400, 1600), np.uint8)
    lines[:, ::2] = 255  # columns of the file, rows of the photograph
    lines[:200] = 255
    Image.fromarray(lines).save(tmp_path / "a.jpg", quality=95, exif=exif)
    pixels = only(tmp_path, size="20x80")[0].astype(int)
    assert pixels.shape == (80, 20)
    assert (pixels[:, 11:] >= 250).all() and (abs(pixels[:, :9] - 127) <= 12).all()


@pytest.mark.parametrize("size", ["64x32", "32x64"])
@pytest.mark.parametrize("own", [(400, 1), (1, 400)])
def test_letterbox_keeps_a_line_in_any_shape(tmp_path, own, size):
    Image.new("L", own, 200).save(tmp_path / "a.png")
    width, height = map(int, size.split("x"))
    pixels = only(tmp_path, size=size, fit="letterbox")[0]
    assert (pixels == 200).sum() == (width if own[0] > 1 else height)


@pytest.mark.parametrize("size", [(400, 1), (1, 400)])
def test_letterbox_keeps_a_line(tmp_path, size):
    Image.new("L", size, 200).save(tmp_path / "a.png")
    pixels = only(tmp_path, size=64, fit="letterbox")[0]
    assert (pixels == 200).sum() == 64 and (pixels[31:33, 31:33] == 200).any()


def test_pad_centres_without_scaling(tmp_path):
    Image.new("L", (4, 2), 255).save(tmp_path / "a.png")
    pixels = only(tmp_path, size=8, fit="pad")[0]
    assert np.argwhere(pixels).tolist() == [[y, x] for y in (3, 4) for x in (2, 3, 4, 5)]
    assert only(tmp_path, size=2, fit="pad").tolist() == [[[255, 255], [255, 255]]]
    assert only(tmp_path, size="6x1", fit="pad").tolist() == [[[0, 255, 255, 255, 255, 0]]]


@pytest.mark.parametrize("suffix", ["png", "jpg"])  # large JPEGs take a short cut
@pytest.mark.parametrize("fit", ["crop", "letterbox"])
def test_shrinking_averages_and_never_aliases(tmp_path, suffix, fit):
    checks = np.indices((600, 600)).sum(axis=0) % 2 * 255
    Image.fromarray(checks.astype(np.uint8)).save(tmp_path / f"a.{suffix}", quality=95)
    pixels = only(tmp_path, size=30, fit=fit).astype(int)
    assert abs(pixels - 127).max() <= 12 and abs(pixels.mean() - 127.5) < 2


def test_size_is_the_pictures_own_or_64(tmp_path):
    same = fill(tmp_path / "same", 3, (20, 20))
    assert load_from(same).spec[1:3] == (20, 20)
    Image.new("RGB", (21, 21)).save(same / "other.png")
    assert load_from(same).spec[1:3] == (64, 64)
    assert load_from(fill(tmp_path / "wide", 3, (20, 10))).spec[1:3] == (64, 64)


def test_limit_takes_an_equal_share_of_each_class(tmp_path):
    for name, count in (("a", 10), ("b", 10), ("c", 1)):
        fill(tmp_path / name, count)
    assert labelled(tmp_path, limit=7) == {"a": 3, "b": 3, "c": 1}
    data = load_from(tmp_path, limit=6)
    assert data.labels is not None and data.labels.tolist() == [0, 0, 0, 1, 1, 2]  # in the order of the set
    assert data.images[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 0]


def test_limit_takes_the_first(tmp_path):
    fill(tmp_path, 5)
    assert load_from(tmp_path, limit=2).images[:, 0, 0, 0].tolist() == [0, 1]
    assert len(load_from(tmp_path, limit=99)) == 5


@pytest.mark.parametrize("given", [64, "64", "64x64", 64.0])
def test_one_size_is_one_setting(given):
    assert parse(DataSettings, {"size": given}, "data").size == 64


def test_a_size_is_width_by_height():
    settings = parse(DataSettings, {"size": "192x128", "random_crop": "9x8"}, "data")
    assert (settings.size, settings.sides, settings.crop_sides) == ("192x128", (128, 192), (8, 9))


@pytest.mark.parametrize(
    "size", [0, -8, True, 1.5, "8x", "x8", "0x8", "8x0", "8 x 8", "8x8x8", "wide", "9" * 20, [8, 8]]
)
def test_what_is_no_size_is_refused(size):
    with pytest.raises(UserError, match=r"'data\.size' is .*: write the side of a square .*, such as 192x128$"):
        parse(DataSettings, {"size": size}, "data")


@pytest.mark.parametrize("setting", [{"size": 0}, {"limit": 0}, {"channels": 2}, {"fit": "stretch"}, {"name": ""}])
def test_impossible_settings_are_refused(setting):
    with pytest.raises(UserError, match=f"data.{next(iter(setting))}"):
        parse(DataSettings, setting, "data")


def test_large_sets_are_memory_mapped_without_leaving_a_file(tmp_path, monkeypatch):
    folder, cache = fill(tmp_path / "pictures", 10), tmp_path / "cache"
    monkeypatch.setenv("GANVAS_CACHE", str(cache))
    in_memory = load_from(folder)
    monkeypatch.setattr(decoding, "MEMORY_LIMIT_BYTES", 10)
    mapped = load_from(folder)
    assert isinstance(mapped.images, np.memmap) and not list(cache.iterdir())
    assert mapped.fingerprint == in_memory.fingerprint


def test_a_set_larger_than_the_disk_is_refused(tmp_path):
    assert "data.size" in refusal(fill(tmp_path, 3), size=2_000_000)


# Folders


def test_folders_without_classes_are_read_in_order(tmp_path):
    fill(tmp_path, 3)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / ".hidden.png").write_text("not looked at")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.png").write_text("not looked at")
    data = load_from(tmp_path)
    assert data.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert data.labels is None and data.classes == () and data.skipped == ()


def test_sub_folders_are_classes(tmp_path):
    for name, count in (("dogs", 2), ("cats", 1), ("birds", 3)):
        fill(tmp_path / name, count)
    fill(tmp_path / "birds" / "deeper" / "still", 1)
    (tmp_path / "empty").mkdir()
    data = load_from(tmp_path)
    assert data.classes == ("birds", "cats", "dogs")
    assert data.labels is not None and data.labels.dtype == np.int64
    assert data.labels.tolist() == [0, 0, 0, 0, 1, 2, 2]
    assert data.spec == ImageSpec(3, 8, 8, 3)


def test_names_that_are_no_utf8_are_escaped(tmp_path):
    for name in (b"a", b"b\xff"):
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        fill(folder, 100)
    (folder / os.fsdecode(b"c\xfe.png")).write_bytes(b"no picture")
    data = load_from(tmp_path)
    assert data.classes == ("a", r"b\udcff")
    assert data.skipped[0].startswith(f"{tmp_path}/b\\udcff/c\\udcfe.png: ")


def test_a_single_sub_folder_is_no_class(tmp_path):
    fill(tmp_path / "unpacked", 2)
    assert load_from(tmp_path).labels is None


def test_pictures_beside_classes_are_refused(tmp_path):
    fill(tmp_path, 2)
    fill(tmp_path / "cats", 2)
    fill(tmp_path / "dogs", 2)
    assert "2 images (such as 000.png) next to its class folders (cats, ...)" in refusal(tmp_path)


def test_splits_share_their_classes(tmp_path):
    for place in ("train/a", "train/b", "train/c", "test/c", "validation/a"):
        fill(tmp_path / place, 1)
    assert load_from(tmp_path).classes == ("a", "b", "c")
    test = load_from(tmp_path, "test")
    assert test.classes == ("a", "b", "c") and test.labels is not None and test.labels.tolist() == [2]


def labelled(folder: Path, **settings: object) -> dict[str, int]:
    """How many training images each class has."""
    data = load_from(folder, **settings)
    assert data.labels is not None
    return dict(zip(data.classes, np.bincount(data.labels, minlength=len(data.classes)).tolist(), strict=True))


def test_a_class_may_be_called_train_or_test(tmp_path):
    for place in ("a/car", "a/plane", "a/train", "b/exam", "b/quiz", "b/test"):
        fill(tmp_path / place, 2)
    assert labelled(tmp_path / "a") == {"car": 2, "plane": 2, "train": 2}
    assert labelled(tmp_path / "b") == {"exam": 2, "quiz": 2, "test": 2}
    assert load_from(tmp_path / "a").notes == ("'train' is a class, not a split: 'car' and 'plane' lie beside it",)
    assert "has no test split" in refusal(tmp_path / "b", "test")


@pytest.mark.parametrize("places", [("car", "train", "test"), ("train/a", "train/b", "more"), ("cats", "test")])
def test_what_may_be_a_class_or_a_split_is_refused(tmp_path, places):
    for place in places:
        fill(tmp_path / place, 1)
    line = refusal(tmp_path)
    assert "the names of splits" in line and f"images in '{next(p for p in places if 't' not in p[0])}'" in line


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("training", "validation"),
        ("TRAIN", "val"),
        ("train_set", "TestSet"),
        ("train images", "dev"),
        ("01_train", "02_test"),
        ("mnist_train_1", "mnist_test_1"),
        ("train2017", "val2017"),
        ("trn", "tst"),
        ("entraînement", "test"),
        ("обучение", "тест"),
        ("训练集", "测试集"),
    ],
)
def test_splits_are_known_by_the_names_that_people_give(tmp_path, train, test):
    for place, count in ((f"{train}/a", 3), (f"{train}/b", 2), (f"{test}/b", 4)):
        fill(tmp_path / place, count)
    assert labelled(tmp_path) == {"a": 3, "b": 2}
    held_out = load_from(tmp_path, "test")
    assert len(held_out) == 4 and held_out.labels is not None and set(held_out.labels.tolist()) == {1}
    assert load_from(tmp_path).notes == (f"training images: {train} (5 images); test images: {test} (4 images)",)


@pytest.mark.parametrize("outer", ["unpacked", "train"])
def test_splits_inside_a_single_folder_are_splits(tmp_path, outer):
    for place, count in (("train/a", 3), ("train/b", 2), ("test/b", 4)):
        fill(tmp_path / outer / place, count)
    assert labelled(tmp_path) == {"a": 3, "b": 2}
    assert len(load_from(tmp_path, "test")) == 4


def test_two_sets_of_splits_are_refused(tmp_path):
    for place in ("trainA", "trainB", "testA", "testB"):  # of pairs of images
        fill(tmp_path / place, 1)
    assert "'trainA' and 'trainB', which are the same split by their names" in refusal(tmp_path)


@pytest.mark.parametrize("places", [("model train", "steam engine"), ("crash test", "test tube"), ("contest", "last")])
def test_classes_may_have_such_words_in_their_names(tmp_path, places):
    for place in places:
        fill(tmp_path / place, 2)
    assert labelled(tmp_path) == dict.fromkeys(places, 2)


def test_a_validation_split_beside_a_test_split_is_left_out(tmp_path):
    for place, count in (("train", 3), ("val", 2), ("test", 1)):
        fill(tmp_path / place, count)
    data = load_from(tmp_path)
    assert len(data) == 3 and len(load_from(tmp_path, "test")) == 1
    assert data.notes == ("training images: train (3 images); test images: test (1 image); left out: val (2 images)",)


def test_splits_without_a_training_split_are_refused(tmp_path):
    for place in ("val/a", "val/b", "test/a", "test/b"):
        fill(tmp_path / place, 1)
    assert "no 'train' among them" in refusal(tmp_path)
    fill(tmp_path / "train", 1)
    fill(tmp_path / "Training", 1)
    assert "'Training' and 'train', which are the same split" in refusal(tmp_path)


def test_classes_with_a_test_folder_of_the_same_classes(tmp_path):
    for place in ("a", "b", "test/a", "test/b"):
        fill(tmp_path / place, 2)
    assert labelled(tmp_path) == {"a": 2, "b": 2} and len(load_from(tmp_path, "test")) == 4


def test_classes_that_are_numbers_are_in_the_order_of_numbers(tmp_path):
    for number in (1, 2, 10):
        fill(tmp_path / str(number), number)
    assert labelled(tmp_path) == {"1": 1, "2": 2, "10": 10}
    fill(tmp_path / "10b", 1)
    assert load_from(tmp_path).classes == ("1", "10", "10b", "2")


def test_thumbnails_of_network_disks_are_passed_over(tmp_path):
    fill(tmp_path, 2)
    for name in ("@eaDir/000.png", "__MACOSX", "$RECYCLE.BIN", "sub/@eaDir"):
        fill(tmp_path / name, 1)
    fill(tmp_path / "sub", 1)
    assert len(load_from(tmp_path)) == 3


def test_a_folder_with_the_name_of_a_set_is_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "strokes", 1)
    assert load_from("strokes", limit=1).notes == (
        "'strokes' is the built-in set, not the folder of images of that name here: that is './strokes'",
    )
    assert load_from("./strokes").notes == ()


def test_a_folder_with_the_name_of_a_downloaded_set_is_told_apart(mnist, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    fill(Path("mnist"), 2)
    data = load_from("mnist", data_dir=mnist)
    assert len(data) == 5 and len(load_from("./mnist")) == 2
    assert data.notes == ("'mnist' is the built-in set, not the folder of images of that name here: that is './mnist'",)


def test_pipes_are_passed_over_and_links_to_nothing_are_listed(tmp_path):
    fill(tmp_path, 100)
    os.mkfifo(tmp_path / "pipe.png")
    os.mknod(tmp_path / "socket.png", stat.S_IFSOCK)
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "zzz.png").symlink_to(tmp_path / "nothing.png")
    data = load_from(tmp_path)
    assert len(data) == 100 and data.skipped == (f"{tmp_path}/zzz.png: No such file or directory",)


def test_folders_that_link_to_each_other_are_read_once(tmp_path):
    for i in range(8):
        fill(tmp_path / str(i), 1)
        for j in range(8):
            if i != j:
                (tmp_path / str(i) / f"to{j}").symlink_to(tmp_path / str(j))
    assert len(load_from(tmp_path)) == 8


def test_a_damaged_test_split_is_said(tmp_path):
    fill(tmp_path / "train", 3)
    fill(tmp_path / "test", 1)
    settings = DataSettings(name=str(tmp_path))
    train = load(settings)
    unseen = load_unseen(settings, train)
    assert unseen is not None and len(unseen) == 1
    (tmp_path / "test" / "000.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="1 of 1 images"):
        load_unseen(settings, train)


def test_a_test_folder_alone_is_kept_out_of_training(tmp_path):
    fill(tmp_path, 3)
    fill(tmp_path / "test", 2)
    assert len(load_from(tmp_path)) == 3 and len(load_from(tmp_path, "test")) == 2


def test_a_missing_test_split_is_said(tmp_path):
    assert "has no test split" in refusal(fill(tmp_path, 1), "test")


def test_a_folder_without_pictures_says_what_it_has(tmp_path):
    assert "it has no files" in refusal(tmp_path)
    (tmp_path / "faces.zip").touch()
    assert "it has 1 .zip files" in refusal(tmp_path)


def test_unreadable_pictures_are_listed_up_to_one_percent(tmp_path):
    fill(tmp_path / "a", 99)
    fill(tmp_path / "b", 100)
    (tmp_path / "a" / "050.jpg").write_text("no picture")
    data = load_from(tmp_path)
    assert len(data) == 199 and data.skipped == (f"{tmp_path}/a/050.jpg: not an image that Pillow can read",)
    assert data.labels is not None and data.labels.tolist() == [0] * 99 + [1] * 100
    assert data.images[:, 0, 0, 0].tolist() == [*range(99), *range(100)]


def test_more_unreadable_pictures_are_refused(tmp_path):
    fill(tmp_path, 95)
    whole = (tmp_path / "000.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])  # cut short
    (tmp_path / "b.gif").touch()
    (tmp_path / "c.heic").write_bytes(b"no plug-in for these")
    (tmp_path / "d.webp").write_bytes(whole[:20])
    (tmp_path / "e.pgm").write_bytes(b"P5 40000 40000 255 ")  # 1.6 billion pixels: not to be believed
    line = refusal(tmp_path)
    assert line.startswith("5 of 100 images") and "more than 1%: repair or remove them" in line
    assert "a.png: " in line and "b.gif: " in line and line.endswith("...)")
    assert "bomb" in " ".join(
        decoding.decode(ganvas.data.find(DataSettings(name=str(tmp_path))), (8, 8), 3, "crop").skipped
    )


# Names


def test_a_mistyped_name_gets_the_nearest(tmp_path):
    line = refusal("mnits")
    assert "did you mean 'mnist'?" in line and "a path, or a hub id" in line


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "pictures.parquet", "~nobody/x/y", "C:\\x"])
def test_a_path_that_is_not_there(name):
    assert f"there is no folder or file '{name}'" in refusal(name)


def test_a_single_file_is_no_set(tmp_path):
    fill(tmp_path, 1)
    assert "is a single file" in refusal(tmp_path / "000.png")


# The embedded digits


def test_strokes_are_drawn_once_and_redrawn_when_the_cache_is_damaged(tmp_path, monkeypatch):
    drawn = []

    def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        drawn.append((count, seed))
        return np.full((count, 1, 28, 28), seed, np.uint8), np.arange(count) % 10

    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    monkeypatch.setattr(strokes, "draw", draw)
    data = load(DataSettings())
    assert data.spec == ImageSpec(1, 28, 28, 10) and len(data) == 60_000 and data.classes == tuple("0123456789")
    assert load(DataSettings()).fingerprint == data.fingerprint
    assert drawn == [(60_000, 0)]
    load(DataSettings(), "test")
    assert drawn == [(60_000, 0), (10_000, 1)]

    for damage in (b"", b"nonsense", (tmp_path / f"strokes-{strokes.VERSION}-test-images.npy").read_bytes()[:-9]):
        (tmp_path / f"strokes-{strokes.VERSION}-test-images.npy").write_bytes(damage)
        drawn.clear()
        assert (load(DataSettings(), "test").images == 1).all() and drawn == [(10_000, 1)]
    monkeypatch.setattr(strokes, "VERSION", strokes.VERSION + 1)
    load(DataSettings(), "test")
    assert len(drawn) == 2 and not list(tmp_path.glob("*.part"))


# IDX


def idx(values: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, values.ndim)) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + values.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path) -> Path:
    """A folder with five pictures of 28 x 28 in MNIST's format: i everywhere, labelled i."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    images = np.arange(5)[:, None, None] + np.zeros((5, 28, 28))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(5)))
    return folder


def test_idx_files_gzipped_or_not(mnist, monkeypatch):
    data = load_from("mnist", data_dir=mnist)
    assert data.spec == ImageSpec(1, 28, 28, 10) and data.labels is not None
    assert data.images[:, 0, 5, 5].tolist() == data.labels.tolist() == [0, 1, 2, 3, 4]
    assert load_from("mnist", data_dir=mnist.parent).fingerprint == data.fingerprint  # in a sub-folder of its name
    monkeypatch.setenv("GANVAS_DATA", str(mnist))
    assert load_from("mnist").fingerprint == data.fingerprint


def test_a_set_is_never_put_together_from_two_places(mnist, tmp_path, monkeypatch):
    """A folder with a part of a set has to have the rest, too: the message names it."""
    for stem, values in (("images-idx3", np.zeros((2, 28, 28))), ("labels-idx1", np.zeros(2))):
        (mnist / f"t10k-{stem}-ubyte").write_bytes(idx(values))
    monkeypatch.setenv("GANVAS_DATA", str(mnist.parent))
    half = tmp_path / "half" / "mnist"
    half.mkdir(parents=True)
    assert len(load_from("mnist", data_dir=half.parent)) == 5  # it has nothing of the set
    images, labels = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"
    (half / images).write_bytes((mnist / images).read_bytes())
    for given in (half, half.parent):
        assert (
            refusal("mnist", data_dir=given)
            == f"'{half}' has only a part of 'mnist': put train-labels-idx1-ubyte.gz there as well"
        )
    (half / labels).write_bytes((mnist / labels).read_bytes())
    assert len(load_from("mnist", data_dir=half)) == 5
    with pytest.raises(UserError, match=r"put t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz there as well"):
        load(DataSettings(name="mnist"), "test", half)
    monkeypatch.setenv("GANVAS_DATA", str(half))
    with pytest.raises(UserError, match=r"put t10k-images-idx3-ubyte.gz and"):
        load(DataSettings(name="mnist"), "test")
    assert len(load(DataSettings(name="mnist"), "test", mnist)) == 2  # --data-dir comes first, and is whole
    for folder in ("fashion-mnist", "cifar10/plain_text"):
        home = tmp_path / "published" / folder
        home.mkdir(parents=True)
        (home / "test-00000-of-00001.parquet").touch()
        name = folder.split("/")[0]
        assert "put train-00000-of-00001.parquet there as well" in refusal(name, data_dir=tmp_path / "published")


def test_idx_pictures_are_fitted_like_others(mnist):
    padded = load_from("mnist", data_dir=mnist, size=32, fit="pad").images
    assert padded.shape == (5, 1, 32, 32)
    assert (padded[4, 0, 2:30, 2:30] == 4).all() and padded[4].sum() == 4 * 28 * 28
    by_pillow = load_from("mnist", data_dir=mnist, size=33, fit="pad", channels=3).images
    assert (by_pillow == load_from("mnist", data_dir=mnist, size=33, fit="pad").images).all()
    wide = load_from("mnist", data_dir=mnist, size="41x30", fit="pad").images
    assert wide.shape == (5, 1, 30, 41)
    assert (wide == load_from("mnist", data_dir=mnist, size="41x30", fit="pad", channels=3).images[:, :1]).all()
    cropped = load_from("mnist", data_dir=mnist, size="40x20", fit="pad").images[4, 0]
    assert (cropped[:, 6:34] == 4).all() and cropped.sum() == 4 * 20 * 28
    assert (load_from("mnist", data_dir=mnist, size=14, limit=2).images[1] == 1).all()
    assert load_from("mnist", data_dir=mnist, limit=2, channels=3).spec == ImageSpec(3, 28, 28, 10)


@pytest.mark.parametrize("label", [26, 200])  # the letters of EMNIST, and damage
def test_idx_labels_of_another_set_are_refused(mnist, label):
    (mnist / "train-labels-idx1-ubyte").write_bytes(idx(np.array([1, 2, 3, label, 5])))
    line = f"labels from 1 to {label} do not fit its 10 classes"
    assert line in refusal("mnist", data_dir=mnist)
    with pytest.raises(UserError, match=line):
        check(DataSettings(name="mnist"), data_dir=mnist)


def test_idx_pictures_may_be_oblong(mnist):
    (mnist / "train-images-idx3-ubyte.gz").write_bytes(idx(np.full((5, 20, 30), 9)))
    data = load_from("mnist", data_dir=mnist)
    assert data.spec == ImageSpec(1, 64, 64, 10) and (data.images == 9).all()


def test_idx_files_hold_what_their_header_promises(mnist):
    path = mnist / "train-images-idx3-ubyte.gz"
    header = bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in (5, 28, 28))
    path.write_bytes(gzip.compress(header + bytes(100_000_000)))
    tracemalloc.start()
    assert "should hold 3,920 bytes (5 x 28 x 28) and holds more" in refusal("mnist", data_dir=mnist)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    path.write_bytes(bytes((0, 0, 8, 3)) + (10).to_bytes(4, "big") + bytes(8))
    assert "10 x 0 x 0 bytes, which is nothing" in refusal("mnist", data_dir=mnist)


def test_damaged_idx_files_are_named(mnist):
    path = mnist / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert str(path) in refusal("mnist", data_dir=mnist)
    path.write_bytes(gzip.decompress(whole)[:-100])  # not zipped, in spite of its name, and cut short
    assert "should hold 3,920 bytes (5 x 28 x 28) and holds 3,820" in refusal("mnist", data_dir=mnist)
    path.write_bytes((mnist / "train-labels-idx1-ubyte").read_bytes())
    assert "is not an IDX file of 3-dimensional bytes" in refusal("mnist", data_dir=mnist)
    path.write_bytes(b"")
    assert "is not an IDX file" in refusal("mnist", data_dir=mnist)
    path.write_bytes(whole)
    (mnist / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(4)))
    assert "5 images" in refusal("mnist", data_dir=mnist)


# Parquet


def png(colour: int | tuple[int, int, int], size: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("L" if isinstance(colour, int) else "RGB", (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()


def hub_table(labels: list[int], names: list[str], column: str = "img", size: int = 8) -> pa.Table:
    """Grey pictures of their labels, in the hub's layout."""
    features = {column: {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    pictures = [{"bytes": png(abs(label), size), "path": None} for label in labels]
    table = pa.table({column: pictures, "label": labels})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def test_parquet_in_the_hubs_layout(tmp_path):
    pq.write_table(hub_table([2, 0, 1], ["a", "b", "c"]), tmp_path / "train-00000-of-00002.parquet")
    pq.write_table(hub_table([1], ["a", "b", "c"]), tmp_path / "train-00001-of-00002.parquet")
    pq.write_table(hub_table([-1, -1], ["a", "b", "c"]), tmp_path / "test-00000-of-00001.parquet")
    data = load_from(tmp_path)
    assert data.classes == ("a", "b", "c") and data.labels is not None
    assert data.labels.tolist() == data.images[:, 0, 0, 0].tolist() == [2, 0, 1, 1]
    test = load_from(tmp_path, "test")
    assert len(test) == 2 and test.labels is None  # -1: labels that were kept back
    one = tmp_path / "train-00001-of-00002.parquet"
    assert len(load_from(one)) == 1 and "has no test split" in refusal(one, "test")


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        (["dog", "cat", "dog"], ("cat", "dog"), [1, 0, 1]),
        (pa.array(["dog", "cat", "dog"]).dictionary_encode(), ("cat", "dog"), [1, 0, 1]),
        ([7, 3, 7], ("3", "7"), [1, 0, 1]),
        ([7.0, 3.0, 7.0], ("3", "7"), [1, 0, 1]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
        (pa.array(["10", "9", "10"], pa.string_view()), ("9", "10"), [1, 0, 1]),
        ([-1, -1, -1], (), None),  # the mark of none
        ([0.5, 1.5, 2.5], (), None),  # not classes
        ([1.0, float("inf"), 2.0], (), None),
        ([1.0, 1e300, 2.0], (), None),
        (None, (), None),
    ],
)
def test_parquet_of_plain_bytes(tmp_path, labels, classes, numbers):
    columns = {"id": [1, 2, 3], "photo": [png(1), png(2), png(3)], "thumbnail": [b"", b"", b""]}
    pq.write_table(pa.table(columns if labels is None else {**columns, "label": labels}), tmp_path / "a.parquet")
    data = load_from(tmp_path / "a.parquet")
    assert data.images[:, 0, 0, 0].tolist() == [1, 2, 3] and data.classes == classes
    assert (None if data.labels is None else data.labels.tolist()) == numbers


def test_parquet_says_which_columns_it_passes_over(tmp_path):
    columns = {"image": [png(1), png(2)], "label": [[1], [2, 3]], "category": [0.5, 1.5]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert load_from(tmp_path / "a.parquet").notes == (
        "the column 'label' holds list<element: int64>: it is not used as labels",
        "the column 'category' holds other than whole numbers: it is not used as labels",
    )
    pq.write_table(pa.table({"image": pa.array([png(1)], pa.binary_view()), "label": [3]}), tmp_path / "a.parquet")
    assert load_from(tmp_path / "a.parquet").classes == ("3",)
    pq.write_table(pa.table({"image": [png(1), png(2)], "label": [-1, 3]}), tmp_path / "a.parquet")
    assert "1 images have the label -1" in refusal(tmp_path / "a.parquet")


def test_parquet_labels_are_the_column_that_the_hub_calls_so(tmp_path):
    features = {"species": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    table = pa.table({"id": [7, 8], "image": [png(1), png(2)], "label": ["x", "y"], "species": [1, 0]})
    text = json.dumps({"info": {"features": features}})
    pq.write_table(table.replace_schema_metadata({"huggingface": text}), tmp_path / "a.parquet")
    found = load_from(tmp_path / "a.parquet")
    assert (found.classes, found.labels.tolist()) == (("cat", "dog"), [1, 0])
    assert found.notes == ("labels: the column 'species'; columns that are not used: 'id', 'label'",)


def test_parquet_names_every_column_that_is_not_used(tmp_path):
    pq.write_table(pa.table({"image": [png(1)], "y": [3]}), tmp_path / "a.parquet")
    assert load_from(tmp_path / "a.parquet").notes == ("labels: none; columns that are not used: 'y'",)
    more = {f"c{i}": [i] for i in range(7)}
    pq.write_table(pa.table({"image": [png(1)], "label": [3], "fine_label": [4], **more}), tmp_path / "a.parquet")
    assert load_from(tmp_path / "a.parquet").notes == (
        "labels: the column 'label'; columns that are not used: 'fine_label', 'c0', 'c1', 'c2', 'c3' and 3 more",
    )


@pytest.mark.parametrize(("values", "classes"), [(["1", "2.00"], ("1", "2")), (["0.5", "1"], ()), (["-1", "-1"], ())])
def test_parquet_labels_may_be_decimals(tmp_path, values, classes):
    labels = pa.array([Decimal(value) for value in values], pa.decimal128(5, 2))
    pq.write_table(pa.table({"image": [png(1), png(2)], "label": labels}), tmp_path / "a.parquet")
    assert load_from(tmp_path / "a.parquet").classes == classes


@pytest.mark.parametrize(
    "metadata",
    [
        *({"names": names} for names in ([1, 2], [["a"], ["b"]], [None, "b"], ["a", "a"], "ab", 5, {"0": "a"})),
        *(5, ["a"], None),
    ],
)
def test_parquet_with_odd_metadata_has_the_values_as_classes(tmp_path, metadata):
    table = pa.table({"image": [png(1), png(2)], "label": [0, 1]})
    for features in ({"label": metadata}, {"label": metadata, "image": metadata}):
        text = json.dumps({"info": {"features": features}})
        pq.write_table(table.replace_schema_metadata({"huggingface": text}), tmp_path / "a.parquet")
        assert load_from(tmp_path / "a.parquet").classes == ("0", "1")
    pq.write_table(table.replace_schema_metadata({"huggingface": "[" * 5000}), tmp_path / "a.parquet")
    assert load_from(tmp_path / "a.parquet").classes == ("0", "1")


def test_parquet_labels_may_be_the_names_themselves(tmp_path):
    table = hub_table([0, 1, 1], ["b", "a"])
    pq.write_table(table.set_column(1, "label", pa.array(["b", "a", "a"])), tmp_path / "a.parquet")
    data = load_from(tmp_path / "a.parquet")
    assert data.classes == ("b", "a") and data.labels is not None and data.labels.tolist() == [0, 1, 1]


def test_parquet_images_may_be_dictionaries_and_the_column_is_said(tmp_path):
    columns = {"mask": pa.array([png(1), png(2)]).dictionary_encode(), "other": [png(3), png(4)]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    data = load_from(tmp_path / "a.parquet")
    assert data.images[:, 0, 0, 0].tolist() == [1, 2]
    assert data.notes == ("images: the column 'mask', not 'other'",)


@pytest.mark.parametrize("column", ["image", "label"])
def test_parquet_with_two_columns_of_one_name_is_refused(tmp_path, column):
    arrays = {"image": pa.array([png(1)]), "label": pa.array([0])}
    table = pa.Table.from_arrays([*arrays.values(), arrays[column]], [*arrays, column])
    pq.write_table(table, tmp_path / "a.parquet")
    assert f"has two columns called '{column}'" in refusal(tmp_path / "a.parquet")


def test_parquet_files_with_other_classes_are_refused(tmp_path):
    pq.write_table(hub_table([0, 1], ["a", "b"]), tmp_path / "train-0.parquet")
    pq.write_table(hub_table([0, 1], ["b", "a"]), tmp_path / "train-1.parquet")
    assert "list their classes in different orders" in refusal(tmp_path)


@pytest.mark.parametrize("path", ["../outside.png", "{tmp}/outside.png", "link.png", "pipe.png", "nothing.png"])
def test_parquet_opens_only_files_beside_it(tmp_path, path):
    Image.new("L", (8, 8)).save(tmp_path / "outside.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "outside.png")
    os.mkfifo(tmp_path / "set" / "pipe.png")
    rows = [{"bytes": None, "path": path.format(tmp=tmp_path)}]
    pq.write_table(pa.table({"image": rows}), tmp_path / "set" / "a.parquet")
    assert "cannot be read" in refusal(tmp_path / "set" / "a.parquet")


def test_parquet_that_names_files(tmp_path):
    fill(tmp_path / "files", 2)
    rows = [{"bytes": None, "path": f"files/{i:03d}.png"} for i in range(2)]
    pq.write_table(pa.table({"image": rows}), tmp_path / "a.parquet")
    assert load_from(tmp_path / "a.parquet").images[:, 0, 0, 0].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("files", "train", "test"),
    [
        (["a.parquet", "b.parquet"], 2, None),
        (["data/train-0.parquet", "data/test-0.parquet", "data/validation-0.parquet"], 1, 1),
        (["train/0.parquet", "train/1.parquet", "test/0.parquet", ".cache/train/0.parquet"], 2, 1),
        (["testimony.parquet"], 1, None),
        (["test.parquet"], None, 1),
        (["Train.parquet", "Test.parquet"], 1, 1),
        (["training.parquet", "validation.parquet"], 1, 1),
        (["faces_train.parquet", "faces_val.parquet", "faces_test.parquet"], 1, 1),
    ],
)
def test_parquet_splits_go_by_their_names(tmp_path, files, train, test):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(hub_table([0], ["a"]), tmp_path / file)
    for split, count in (("train", train), ("test", test)):
        if count is None:
            assert f"has no {split} split" in refusal(tmp_path, split)
        else:
            assert len(load_from(tmp_path, split)) == count


def test_bad_parquet_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    assert f"cannot read {path} as Parquet" in refusal(path)
    pq.write_table(pa.table({"text": ["a", "b"]}), path)
    assert "has no column of images among: text" in refusal(path)
    pq.write_table(hub_table([5], ["a", "b"]), path)
    assert "do not fit its 2 classes" in refusal(path)
    pq.write_table(pa.table({"image": [None, png(1)], "label": [0, None]}), path)
    assert "1 images have no value in the column 'label'" in refusal(path)
    pq.write_table(pa.table({"image": [None, png(1)]}), path)
    assert "row 0: no image in this row" in refusal(path)


def test_mnist_may_be_parquet_too(tmp_path):
    pq.write_table(hub_table([3, 4], list("0123456789"), "image", 28), tmp_path / "train-00000-of-00001.parquet")
    data = load_from("mnist", data_dir=tmp_path)
    assert data.labels is not None and data.labels.tolist() == [3, 4] and data.spec == ImageSpec(1, 28, 28, 10)


def test_one_named_set_does_not_pass_for_another(tmp_path):
    pq.write_table(hub_table([3, 4], list("0123456789")), tmp_path / "train-00000-of-00001.parquet")
    assert "is not 'cifar10': its classes are 0, 1" in refusal("cifar10", data_dir=tmp_path)


# Real data


def test_real_mnist(real_data):
    train, test = (load_from("mnist", split, real_data) for split in ("train", "test"))
    assert (len(train), len(test)) == (60_000, 10_000) and train.spec == test.spec == ImageSpec(1, 28, 28, 10)
    assert train.labels is not None and train.labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_real_cifar10(real_data):
    data = load_from("cifar10", "test", real_data, limit=500)
    assert data.spec == ImageSpec(3, 32, 32, 10) and data.classes[7] == "horse" and not data.skipped


def test_real_horses(real_data):
    data = load_from(real_data / "horses192")
    assert len(data) == 192 and data.spec == ImageSpec(3, 150, 150, 0)


def test_a_folder_by_its_name_is_found_where_the_user_keeps_sets(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home, name = pictures.parent, pictures.name
    assert len(load(DataSettings(name=name), data_dir=home)) == len(load(DataSettings(name=str(pictures))))
    with pytest.raises(UserError, match="there is no set and no folder"):
        load(DataSettings(name=name))
    monkeypatch.setenv("GANVAS_DATA", str(home))
    assert load(DataSettings(name=name)).fingerprint == load(DataSettings(name=str(pictures))).fingerprint
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="it has no files"):  # what is here comes first, even if it is empty
        load(DataSettings(name=name))


def test_a_link_back_to_where_it_lies_is_not_followed(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("L", (8, 8), ord(name)).save(tmp_path / "set" / name / "x.png")
    (tmp_path / "set" / "a" / "self").symlink_to(tmp_path / "set" / "a")
    (tmp_path / "set" / "a" / "up").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "a" / "other").symlink_to(tmp_path / "set" / "b")
    (tmp_path / "set" / "b" / "other").symlink_to(tmp_path / "set" / "a")
    data = load_from(tmp_path / "set")
    assert len(data) == 2 and data.classes == ("a", "b")  # each folder is read once


def test_an_orientation_that_is_none_is_passed_over(tmp_path: Path) -> None:
    entry = struct.pack("<HHHI4s", 1, 0x112, 2, 2, b"6")  # the orientation as text
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry + bytes(4)
    Image.new("RGB", (20, 10), RED).save(tmp_path / "x.jpg", exif=exif)
    assert only(tmp_path, size=8).shape == (3, 8, 8)


def test_a_test_split_has_the_numbers_that_training_gave_to_the_classes(tmp_path: Path) -> None:
    def write(split: str, classes: str) -> None:
        pixels = []
        for i, _ in enumerate(classes):
            file = io.BytesIO()
            Image.new("L", (8, 8), i).save(file, "PNG")
            pixels.append({"bytes": file.getvalue()})
        pq.write_table(pa.table({"image": pixels, "label": list(classes)}), tmp_path / f"{split}-0.parquet")

    settings = DataSettings(name=str(tmp_path))
    write("train", "abc")
    write("test", "cb")
    train = load(settings)
    unseen = ganvas.data.load_unseen(settings, train)
    assert unseen is not None and unseen.labels is not None
    assert unseen.classes == train.classes == ("a", "b", "c") and unseen.labels.tolist() == [2, 1]
    write("test", "cd")
    with pytest.raises(UserError, match="has the class 'd', which its training split lacks"):
        ganvas.data.load_unseen(settings, train)


# Parts of a set


def in_splits(folder: Path) -> Path:
    """Three training and two test pictures of each of the classes a and b."""
    for split, count in (("train", 3), ("test", 2)):
        for name in "ab":
            fill(folder / split / name, count)
    return folder


def test_all_splits_are_the_training_pictures_and_then_the_test_pictures(tmp_path: Path) -> None:
    train, everything = (load_from(in_splits(tmp_path), splits=splits) for splits in ("train", "all"))
    test = load_from(tmp_path, "test")
    assert (everything.images == np.concatenate([train.images, test.images])).all()
    assert everything.labels is not None and everything.labels.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]
    assert len(load_from(tmp_path, splits="all", limit=4)) == 4
    assert len(load_from(tmp_path, splits="all", limit=8)) == 8
    settings = DataSettings(name=str(tmp_path), splits="all")
    assert ganvas.data.load_unseen(settings, everything) is None
    assert ganvas.data.load_unseen(DataSettings(name=str(tmp_path)), train) is not None
    assert len(load_from(tmp_path / "train", splits="all")) == 6  # where there is one split, it is all


def test_some_classes_alone(tmp_path: Path) -> None:
    for name in ("cat", "dog", "eel"):
        fill(tmp_path / name, 2, (8, 8))
    data, everything = load_from(tmp_path, classes=("eel", "cat")), load_from(tmp_path)
    assert data.classes == ("eel", "cat")
    assert data.labels is not None and data.labels.tolist() == [1, 1, 0, 0]
    assert (data.images == everything.images[[0, 1, 4, 5]]).all()
    assert "no class 'cot'" in refusal(tmp_path, classes=("cot",)) and "cat" in refusal(tmp_path, classes=("cot",))
    assert "has no classes" in refusal(tmp_path / "cat", classes=("cat",))
    assert "names 'cat' twice" in refusal(tmp_path, classes=("cat", "dog", "cat"))


def test_random_crops_are_of_whole_pictures_and_unseen_ones_are_cropped_alike(tmp_path: Path) -> None:
    settings = DataSettings(name=str(in_splits(tmp_path)), size=8, random_crop=6)
    data = load(settings)
    assert data.whole is not None
    assert (data.images.shape, data.whole.shape) == ((6, 3, 6, 6), (6, 3, 8, 8))
    unseen = ganvas.data.load_unseen(settings, data)
    assert unseen is not None and unseen.images.shape == (4, 3, 6, 6)
    file = next((tmp_path / "train").rglob("*.png"))
    given = ganvas.data.load_files([file], settings, data.spec)  # the middle, not the whole made smaller
    assert (given[0] == np.moveaxis(np.asarray(Image.open(file)), -1, 0)[:, 1:7, 1:7]).all()


def test_unseen_and_given_images_get_the_shape_of_the_training_images(tmp_path: Path) -> None:
    for crop, shape, rows, columns in (
        (None, (6, 8), slice(1, 7), slice(0, 8)),
        ("6x2", (2, 6), slice(3, 5), slice(1, 7)),
    ):
        settings = DataSettings(name=str(in_splits(tmp_path)), size="8x6", random_crop=crop)
        data = load(settings)
        unseen = ganvas.data.load_unseen(settings, data)
        assert data.images.shape[2:] == shape and unseen is not None and unseen.images.shape[2:] == shape
        file = next((tmp_path / "train").rglob("*.png"))  # of 8 x 8 pixels
        given = ganvas.data.load_files([file], settings, data.spec)
        assert (given[0] == np.moveaxis(np.asarray(Image.open(file)), -1, 0)[:, rows, columns]).all()
