import json
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganvas.core import files, images
from ganvas.core.errors import UserError
from ganvas.painting import image_files
from ganvas.painting.formats import tiff as tiff_format
from ganvas.painting.palette import Bits

KINDS: list[tuple[str, Bits]] = [(".png", 8), (".png", 16), (".tif", 8), (".tif", 16), (".webp", 8), (".dzi", 8)]
SIZES = [(1, 1), (1, 37), (41, 1), (3, 3), (4, 4), (97, 131), (300, 509), (1800, 333)]
RECIPE = {"run": "Zoë's näch­ste", "seed": 7, "deep": {"list": [1, 2.5, None, "-- -->"]}}


def noise(height: int, width: int, channels: int, bits: Bits = 8) -> np.ndarray:
    """Everything a picture can have, and smooth parts of it: uint8 or uint16 [height, width, channels]."""
    rng = np.random.default_rng(height * width * channels)
    picture = rng.integers(0, 2**bits, (height, width, channels), np.uint16)
    picture[height // 3 :] = np.linspace(0, 2**bits - 1, width)[:, None]
    return picture.astype(f"u{bits // 8}")


def bands(picture: np.ndarray, seed: int = 0) -> Iterator[np.ndarray]:
    """Uneven ones, some of them empty."""
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(picture) + 1, 7))
    yield from np.split(picture, cuts)


def save(path: Path, picture: np.ndarray, recipe: dict[str, Any] = RECIPE) -> None:
    bits: Bits = 8 if picture.dtype == np.uint8 else 16
    height, width, channels = picture.shape
    image_files.save(path, bands(picture), height, width, channels, bits, json.dumps(recipe))


def read(path: Path, channels: int) -> np.ndarray:
    """With code that shares nothing with ours."""
    if path.suffix == ".png":
        return read_png(path)
    if path.suffix == ".tif":
        pixels = tifffile.imread(path)
        return pixels.reshape(*pixels.shape[:2], channels)
    if path.suffix == ".webp":
        with Image.open(path) as image:
            return np.asarray(image)[..., :channels]  # it has no grey: all three are the same
    levels = sorted(path.with_name(f"{path.stem}_files").glob("[0-9]*"), key=lambda folder: int(folder.name))
    return read_level(levels[-1], channels)


def read_png(path: Path) -> np.ndarray:
    """Pillow reduces 16 bits of three channels to 8, so this does what the specification says for filters 1 and 2."""
    data = path.read_bytes()
    chunks: list[tuple[bytes, bytes]] = []
    place = 8
    while place < len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        content = data[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", data, place + 8 + length)[0] == zlib.crc32(name + content)
        chunks.append((name, content))
        place += length + 12
    assert [name for name, _ in chunks if name != b"IDAT"] == [b"IHDR", b"tEXt", b"IEND"]
    width, height, bits, colour = struct.unpack_from(">IIBB", chunks[0][1])
    channels = {0: 1, 2: 3}[colour]
    step = channels * bits // 8
    packed = zlib.decompress(b"".join(content for name, content in chunks if name == b"IDAT"))
    filtered = np.frombuffer(packed, np.uint8).reshape(height, 1 + width * step)
    rows = [np.zeros(width * step, np.uint8)]
    for number, *row in filtered.tolist():
        if number == 1:
            rows.append(np.cumsum(np.reshape(row, (width, step)), axis=0).astype(np.uint8).ravel())
        else:
            assert number == 2
            rows.append(rows[-1] + np.array(row, np.uint8))
    pixels = np.stack(rows[1:]).reshape(height, width, step)
    return pixels.view(f">u{bits // 8}").astype(f"u{bits // 8}")


def read_level(folder: Path, channels: int) -> np.ndarray:
    """The tiles of one level, put together; what they have in common must be the same in all of them."""
    tiles = {}
    for file in folder.iterdir():
        column, row = map(int, file.stem.split("_"))
        with Image.open(file) as image:
            tiles[row, column] = np.asarray(image).reshape(image.height, image.width, channels)
    rows, columns = (max(place[axis] for place in tiles) + 1 for axis in (0, 1))
    assert len(tiles) == rows * columns
    height = 254 * (rows - 1) + len(tiles[rows - 1, 0]) - (rows > 1)
    width = 254 * (columns - 1) + tiles[0, columns - 1].shape[1] - (columns > 1)
    whole = np.full((height, width, channels), -1)
    for (row, column), tile in tiles.items():
        y, x = max(0, 254 * row - 1), max(0, 254 * column - 1)
        end_y, end_x = min(height, 254 * row + 255), min(width, 254 * column + 255)
        assert tile.shape == (end_y - y, end_x - x, channels)
        there = whole[y:end_y, x:end_x]
        assert ((there == -1) | (there == tile)).all()
        there[:] = tile
    return whole.astype(np.uint8)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("ending", "bits"), KINDS)
def test_every_pixel_comes_back(tmp_path: Path, ending: str, bits: Bits, channels: int) -> None:
    for height, width in SIZES:
        picture = noise(height, width, channels, bits)
        save(tmp_path / f"new/a{ending}", picture)
        pixels = read(tmp_path / f"new/a{ending}", channels)
        assert pixels.dtype == picture.dtype
        assert np.array_equal(pixels, picture), (height, width)


def test_others_read_our_png(tmp_path: Path) -> None:
    for channels in (1, 3):
        picture = noise(30, 50, channels)
        save(tmp_path / "a.PNG", picture)
        pixels, recipe = images.load_png(tmp_path / "a.PNG")
        assert np.array_equal(pixels, picture)
        assert recipe == RECIPE
    deep = noise(30, 50, 1, 16)
    save(tmp_path / "a.png", deep)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), deep[..., 0])


def test_a_png_is_packed_in_pieces_of_moderate_size(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3000, 700, 1), np.uint8)  # nothing to gain
    image_files.save(tmp_path / "a.png", [picture], 3000, 700, 1, 8, "{}")
    data = (tmp_path / "a.png").read_bytes()
    assert 3 <= data.count(b"IDAT") <= 10
    assert np.array_equal(read_png(tmp_path / "a.png"), picture)


def test_smooth_pictures_become_small(tmp_path: Path) -> None:
    y, x = np.mgrid[:500, :500] / 500
    light = (np.sin(20 * x + 9 * y) + np.sin(7 * x - 25 * y) + 2) / 4
    for bits in (8, 16):
        picture = (light * (2**bits - 1)).round().astype(f"u{bits // 8}")[..., None]
        for ending in (".png", ".tif"):
            save(tmp_path / f"a{ending}", picture)
            assert (tmp_path / f"a{ending}").stat().st_size < 0.8 * len(zlib.compress(picture.tobytes()))


def test_large_tiffs_are_of_the_large_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(90, 70, 3, 16)
    for big in (False, True):
        if big:
            monkeypatch.setattr(tiff_format, "BIG", picture.nbytes - 1)
        save(tmp_path / "a.tiff", picture)
        with tifffile.TiffFile(tmp_path / "a.tiff") as tiff:
            assert tiff.is_bigtiff == big
            assert np.array_equal(tiff.asarray(), picture)
        assert json.loads(image_files.read_recipe(tmp_path / "a.tiff")) == RECIPE


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 1), (254, 255), (255, 254), (256, 509), (763, 510)])
@pytest.mark.parametrize("channels", [1, 3])
def test_deep_zoom_has_all_levels(tmp_path: Path, height: int, width: int, channels: int) -> None:
    """Each is half the size of the next, the mean of 2 x 2 pixels, where the last row and column may count twice."""
    picture = noise(height, width, channels)
    save(tmp_path / "a.dzi", picture)
    last = int(np.ceil(np.log2(max(height, width))))
    folders = {item.name for item in (tmp_path / "a_files").iterdir() if item.is_dir()}
    assert folders == {str(level) for level in range(last + 1)}
    means = picture.astype(float)
    for level in range(last, -1, -1):
        pixels = read_level(tmp_path / "a_files" / str(level), channels)
        assert pixels.shape == means.shape
        assert (np.abs(pixels - means) <= 0.5).all()
        means = np.pad(means, ((0, len(means) % 2), (0, means.shape[1] % 2), (0, 0)), mode="edge")
        means = means.reshape(len(means) // 2, 2, -1, 2, channels).mean(axis=(1, 3))
    assert read_level(tmp_path / "a_files" / "0", channels).shape == (1, 1, channels)


def test_deep_zoom_describes_itself(tmp_path: Path) -> None:
    save(tmp_path / "a.b.dzi", noise(300, 20, 1))
    assert (tmp_path / "a.b.dzi").read_text() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="png" Overlap="1" TileSize="254">\n'
        '  <Size Width="20" Height="300"/>\n'
        "</Image>\n"
    )
    assert sorted(file.name for file in (tmp_path / "a.b_files" / "9").iterdir()) == ["0_0.png", "0_1.png"]
    assert {file.name for file in tmp_path.iterdir()} == {"a.b.dzi", "a.b_files"}


@pytest.mark.parametrize(("ending", "bits"), [*KINDS, (".tiff", 8)])
def test_the_recipe_travels_in_the_file(tmp_path: Path, ending: str, bits: Bits) -> None:
    for recipe in (RECIPE, {}, {"shape": [1, 2]}, {"long": "é" * 100_000}):
        save(tmp_path / f"a{ending}", noise(5, 7, 3, bits), recipe)
        assert json.loads(image_files.read_recipe(tmp_path / f"a{ending}")) == recipe


def test_the_recipe_of_another_png_is_read_as_well(tmp_path: Path) -> None:
    images.save_png(tmp_path / "a.png", noise(5, 7, 3), RECIPE)
    assert json.loads(image_files.read_recipe(tmp_path / "a.png")) == RECIPE
    text = PngInfo()
    text.add_text("Title", "A holiday")
    text.add(b"tEXt", b"ganvas\0" + json.dumps(RECIPE).encode(), after_idat=True)
    Image.new("RGB", (3, 3)).save(tmp_path / "a.png", pnginfo=text)
    assert json.loads(image_files.read_recipe(tmp_path / "a.png")) == RECIPE


def test_a_recipe_is_read_without_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So pictures may be larger than Pillow likes, and what they are made of may be missing."""
    side = 16383
    blank = (np.zeros((100, side, 1), np.uint8) for _ in range(3))
    image_files.save(tmp_path / "a.png", blank, 300, side, 1, 8, json.dumps(RECIPE))
    data = (tmp_path / "a.png").read_bytes()
    head = struct.pack(">4sII5B", b"IHDR", side, 2**31 - 1, 8, 0, 0, 0, 0)
    short = data[: data.index(b"IDAT") + 10]
    (tmp_path / "a.png").write_bytes(short[:12] + head + struct.pack(">I", zlib.crc32(head)) + short[33:])
    save(tmp_path / "a.webp", noise(5, 7, 3))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((Image.DecompressionBombError, Image.DecompressionBombWarning)):
            Image.open(tmp_path / "a.webp")
        assert json.loads(image_files.read_recipe(tmp_path / "a.png")) == RECIPE
        assert json.loads(image_files.read_recipe(tmp_path / "a.webp")) == RECIPE


def test_a_picture_without_a_recipe_says_so(tmp_path: Path) -> None:
    Image.new("RGB", (3, 3)).save(tmp_path / "a.png")
    Image.new("RGB", (3, 3)).save(tmp_path / "a.webp")
    exif = Image.Exif()
    exif[270] = "A holiday"
    Image.new("RGB", (3, 3)).save(tmp_path / "b.webp", exif=exif)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 3), np.uint8))
    save(tmp_path / "a.dzi", noise(3, 3, 1))
    (tmp_path / "a_files" / "recipe.json").unlink()
    for name in ("a.png", "a.webp", "b.webp", "a.tif", "a.dzi"):
        with pytest.raises(UserError, match=r"no recipe in .* not painted by ganvas, or its recipe was removed$"):
            image_files.read_recipe(tmp_path / name)


def test_tiles_without_their_file_are_replaced_if_ganvas_wrote_them(tmp_path: Path) -> None:
    """As a killed process leaves them."""
    save(tmp_path / "a.dzi", noise(3, 3, 1))
    (tmp_path / "a.dzi").unlink()
    save(tmp_path / "a.dzi", noise(3, 3, 1))
    (tmp_path / "a.dzi").unlink()
    (tmp_path / "a_files" / "recipe.json").unlink()
    with pytest.raises(UserError, match="already exists: choose another name"):
        save(tmp_path / "a.dzi", noise(3, 3, 1))


@pytest.mark.parametrize("ending", [".png", ".tif", ".webp", ".dzi"])
def test_other_files_are_no_pictures(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    with pytest.raises(UserError, match="there is no image"):
        image_files.read_recipe(path)
    for content in (b"", b"not a picture, but something longer"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"damaged or no {ending} file"):
            image_files.read_recipe(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="cannot read"):
        image_files.read_recipe(path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow, of EXIF
@pytest.mark.parametrize("ending", [".png", ".tif", ".webp", ".dzi"])
def test_damage_is_a_plain_error(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    save(path, noise(9, 9, 3))
    whole = path.read_bytes()
    rng, refused = np.random.default_rng(0), 0
    for i in range(100):
        data = np.frombuffer(whole, np.uint8)[: len(whole) if i % 2 else i].copy()
        data[rng.integers(0, len(data), len(data) and 6)] = rng.integers(0, 256, len(data) and 6)
        path.write_bytes(data.tobytes())
        try:
            image_files.read_recipe(path)
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 50  # the rest was harmed where there is no recipe, or is another text


@pytest.mark.parametrize(("ending", "bits"), KINDS)
def test_same_picture_same_bytes(tmp_path: Path, ending: str, bits: Bits) -> None:
    picture = noise(300, 270, 3, bits)
    for i in range(2):
        image_files.save(tmp_path / f"{i}/a{ending}", bands(picture, seed=i), 300, 270, 3, bits, json.dumps(RECIPE))
    assert everything(tmp_path / "0") == everything(tmp_path / "1")


@pytest.mark.parametrize(("ending", "bits"), KINDS)
def test_a_picture_is_replaced_by_a_whole_one(tmp_path: Path, ending: str, bits: Bits) -> None:
    save(tmp_path / f"a{ending}", noise(600, 300, 3, bits))
    names = {name.split("/")[0] for name in everything(tmp_path)}
    picture = noise(5, 6, 3, bits)
    save(tmp_path / f"a{ending}", picture, {"new": True})
    assert np.array_equal(read(tmp_path / f"a{ending}", 3), picture)
    assert json.loads(image_files.read_recipe(tmp_path / f"a{ending}")) == {"new": True}
    assert {item.name for item in tmp_path.iterdir()} == names
    if ending == ".dzi":
        assert len(list((tmp_path / "a_files").rglob("*.png"))) == 4  # levels of one tile each


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(("ending", "bits"), KINDS)
def test_a_failure_leaves_what_was_there(tmp_path: Path, ending: str, bits: Bits, there: bool) -> None:
    """A painter that gives up, too few rows, too many, and rows that are of another kind."""
    path = tmp_path / f"a{ending}"
    picture = noise(2500, 500, 1, bits)  # several strips, so that the file is begun
    if there:
        save(path, noise(8, 8, 3))
    before = everything(tmp_path)

    def gives_up() -> Iterator[np.ndarray]:
        yield picture[:2400]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        image_files.save(path, gives_up(), 2500, 500, 1, bits, "{}")
    wrong: list[tuple[list[np.ndarray], str]] = [
        ([picture[1:]], "has 2499 rows instead of 2500"),
        ([], "has 0 rows instead of 2500"),
        ([picture, picture[:1]], "more than 2500 rows"),
        ([picture[:2400], picture[:100, 1:]], "does not fit"),
        ([picture[:2400], picture[:100].repeat(3, axis=2)], "does not fit"),
        ([picture[:2400], picture[:100].astype(float)], "does not fit"),
    ]
    for bad, message in wrong:
        with pytest.raises(ValueError, match=message):
            image_files.save(path, bad, 2500, 500, 1, bits, "{}")
    assert everything(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == {False: 0, True: 1 + (ending == ".dzi")}[there]


@pytest.mark.parametrize("there", [False, True])
def test_a_deep_zoom_that_cannot_be_finished_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        save(tmp_path / "a.dzi", noise(300, 30, 1))
    before = everything(tmp_path)
    write = files.write

    def full(path: Path, data: bytes) -> None:
        if path.suffix == ".dzi":
            raise OSError("disk full")
        write(path, data)

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(OSError, match="disk full"):
        save(tmp_path / "a.dzi", noise(40, 700, 3))
    assert everything(tmp_path) == before
    assert {item.name for item in tmp_path.iterdir()} == ({"a.dzi", "a_files"} if there else set())


@pytest.mark.parametrize(
    ("name", "height", "width", "bits", "message"),
    [
        ("a.jpg", 9, 9, 8, r"ends in \.png, \.tif, \.tiff, \.pdf, \.webp, \.dzi$"),
        ("a", 9, 9, 8, r"ends in \.png"),
        (
            "a.webp",
            16384,
            9,
            8,
            r"at most 16383 pixels a side and 8 bits, not 9x16384 .* in \.png, \.tif, \.tiff, \.pdf, \.dzi$",
        ),
        ("a.webp", 9, 9, 16, r"and 16 bits: choose a name that ends in \.png, \.tif, \.tiff, \.pdf$"),
        ("a.dzi", 9, 9, 16, r"and 16 bits: choose a name that ends in \.png, \.tif, \.tiff, \.pdf$"),
        ("a.png", 9, 2**31, 8, "2147483647 pixels a side .* choose a smaller size$"),
        ("a.png", 9, 10**7 + 1, 8, "a row of 10,000,001 pixels does not fit into memory"),
        ("a.dzi", 9, 10**6 + 1, 8, "at most 1000000 pixels a side"),
        ("a.png", 0, 9, 8, "9x0 pixels is empty"),
        ("folder.png", 9, 9, 8, "is a folder"),
        ("mine.dzi", 9, 9, 8, "mine_files', the folder for the tiles of 'mine.dzi', already exists"),
    ],
)
def test_what_cannot_be_written_is_refused_at_once(
    tmp_path: Path, name: str, height: int, width: int, bits: Bits, message: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "mine_files").mkdir()

    def never() -> Iterator[np.ndarray]:
        raise AssertionError("nothing should be painted")
        yield

    with pytest.raises(UserError, match=message) as error:
        image_files.check(tmp_path / name, height, width, bits)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=message):
        image_files.save(tmp_path / name, never(), height, width, 1, bits, "{}")


def test_what_can_be_written_is_not_refused(tmp_path: Path) -> None:
    for name, side, bits in (
        ("a.PNG", 10**7, 16),
        ("a.tiff", 40000, 16),
        ("a.webp", 16383, 8),
        ("a.dzi", 10**6, 8),
    ):
        image_files.check(tmp_path / "new" / name, side, side, bits)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "height", "width"), [("a.png", 8192, 8192), ("a.tif", 8192, 4096), ("a.dzi", 12288, 2048)]
)
def test_the_picture_is_never_in_memory(tmp_path: Path, name: str, height: int, width: int) -> None:
    band = np.broadcast_to(np.arange(width, dtype=np.uint8)[:, None], (64, width, 1))
    tracemalloc.start()
    try:
        image_files.save(tmp_path / name, (band for _ in range(height // 64)), height, width, 1, 8, "{}")
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20 < height * width
    finally:
        tracemalloc.stop()
