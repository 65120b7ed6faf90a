import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.core.errors import UserError
from ganvas.core.images import load_png, to_uint8
from ganvas.networks.view import View
from ganvas.painting import image_files, paint
from ganvas.painting.paint import Painting, load_painting
from ganvas.painting.painter import Painter, random_network, trained_network
from ganvas.painting.subjects import Subject, choose_subjects, encode_files, open_files, random_latent, seed_latent
from ganvas.recipes.recipe import Recipe
from ganvas.runs.class_latents import encode_class
from ganvas.runs.model import Model, load
from ganvas.training.train import train

RESIDUAL = {
    "network": {"name": "cppn", "width": 4, "blocks": 2, "encoder_width": 16, "std": 0.3, "residual_std": 0.2},
    "method": {"name": "residual_cppn", "latent_size": 6},
}
LABELLED = {
    "network": {"name": "cppn", "kind": "tanh", "width": 6, "layers": 3, "std": 0.3},
    "method": {"name": "gan", "latent_size": 6, "conditional": True},
}


@pytest.fixture(scope="module")
def run(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("paint") / "run"
    list(train(tiny(**RESIDUAL, train={"images": 60}), path, device="cpu"))
    return path


@pytest.fixture
def model(run: Path) -> Model:
    return load(run, device="cpu")


@pytest.fixture(scope="module")
def conditional(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("paint") / "conditional"
    list(train(tiny(**LABELLED, train={"images": 20}), path, device="cpu"))
    return load(path, device="cpu")


def pixels(painting: Painting) -> np.ndarray:
    return np.concatenate(list(painting.bands()))


def poster(model: Model, height: int = 40, width: int = 50, **view: float) -> Painting:
    return Painting(choose_subjects(model, [3]), View(height, width, **view))


def test_a_poster_is_what_the_method_decodes(model: Model) -> None:
    method = model.method
    images = to_uint8(method.decode(method.latents([3]), size=(40, 50)))[0]
    found = pixels(poster(model))
    assert found.shape == (40, 50, 1)
    assert np.abs(found.astype(int) - (255 - images)).max() <= 1  # ink is dark
    assert found.std() > 1


def test_bands_do_not_change_the_bits(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pixels(replace(poster(model, 37, 53), bits=16))
    for band in (1, 60, 500):
        monkeypatch.setattr("ganvas.painting.painter.BAND", band)
        assert (pixels(replace(poster(model, 37, 53), bits=16)) == whole).all()


def test_supersampling_is_the_mean_of_a_finer_picture(model: Model) -> None:
    painter, z = poster(model).subjects[0].painter, seed_latent(model, 3)
    (smooth,) = painter.bands(z, View(20, 20, supersample=3), 20)
    # The finer picture has its samples at the same places: between the outermost ones lie 59 steps of a third.
    (fine,) = painter.bands(z, View(60, 60, scale=8 * (59 / 3) / 19), 60)
    expected = fine.view(20, 3, 20, 3, 1).mean((1, 3))
    torch.testing.assert_close(smooth, expected, atol=1e-5, rtol=0)


def test_zoom_shows_the_middle(model: Model) -> None:
    far, near = pixels(poster(model, 41, 41)), pixels(poster(model, 21, 21, zoom=2))
    assert np.abs(far[10:31, 10:31].astype(int) - near).max() <= 1


def test_a_deep_zoom_is_painted_in_float64(model: Model) -> None:
    painter, z = poster(model).subjects[0].painter, seed_latent(model, 3)
    deep = View(9, 9, center=(1.2345, -0.5), zoom=1e10)
    (band,) = painter.bands(z, deep, 9)
    assert band.dtype == torch.float64
    assert len(band.unique()) > 40  # in float32 all pixels would have one place
    (middle,) = painter.bands(z, View(9, 9, zoom=1e8), 9)  # the coordinates alone would do in float32
    assert middle.dtype == torch.float64 and len(middle.unique()) > 40
    (shallow,) = painter.bands(z, View(9, 9), 9)
    assert shallow.dtype == torch.float32
    with pytest.raises(UserError, match=r"zoom of 1e\+16 .* is beyond float64"):
        next(painter.bands(z, View(9, 9, center=(1.0, 0.0), zoom=1e16), 9))
    with pytest.raises(UserError, match="zoom in, or lower the scale"):
        next(painter.bands(z, View(9, 9, zoom=1e-40), 9))


def test_the_same_painting_is_the_same_bytes(model: Model, tmp_path: Path) -> None:
    ticks = []
    poster(model).save(tmp_path / "a.png", lambda done, total: ticks.append((done, total)))
    poster(model).save(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert ticks[-1] == (40, 40)
    assert (load_png(tmp_path / "a.png")[0] == pixels(poster(model))).all()


@pytest.mark.parametrize("ending", ["png", "tif", "webp", "dzi"])
def test_again_from_the_file(model: Model, run: Path, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"a.{ending}"
    first = replace(poster(model, zoom=1.7, center=(0.3, -1.1), supersample=2), palette="viridis")
    first.save(file)
    second = load_painting(file)
    assert (second.view, second.palette, second.bits) == (first.view, first.palette, first.bits)
    assert second.subjects[0].source == "seed 3"
    assert (pixels(second) == pixels(first)).all()
    second.save(tmp_path / f"b.{ending}")
    assert file.read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    moved = run.rename(run.with_name("moved"))
    try:
        with pytest.raises(UserError, match="name it, as in `ganvas paint RUN --like FILE`"):
            load_painting(file)
        assert (pixels(load_painting(file, moved)) == pixels(first)).all()
    finally:
        moved.rename(run)


def test_a_checkpoint_that_is_gone(model: Model, tmp_path: Path) -> None:
    painter = poster(model).subjects[0].painter
    origin = painter.origin.model_copy(update={"checkpoint": "0" * 64})
    lost = Painting([Subject(Painter(painter.network, origin), torch.zeros(6), "x")], View(4, 4))
    lost.save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"the checkpoint that painted .* is no longer in"):
        load_painting(tmp_path / "a.png")


def save_with(recipe: str, path: Path) -> Path:
    """A file that holds `recipe`."""
    image_files.save(path, iter([np.zeros((6, 6, 1), np.uint8)]), 6, 6, 1, 8, recipe)
    return path


@pytest.mark.parametrize(
    "text",
    ['{"painted by": "hand"}', '{"painting": ' + "[" * 9999, '{"painting": ' + "9" * 9999 + "}", '{"morph": {}}'],
)
def test_what_is_no_recipe_of_a_painting_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="is not a painting by ganvas: ") as refused:
        load_painting(save_with(text, tmp_path / "a.png"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("columns", 0, "painting.columns: Input should be greater than or equal to 1"),
        ("bits", 12, "painting.bits: Input should be 8 or 16"),
        ("subjects", [], "painting.subjects: List should have at least 1 item"),
        ("view", {"supersample": 1.5}, "painting.view.supersample: Input should be a valid integer"),
        ("view", {"supersample": 33}, "a supersample of 33 cannot be painted"),
        ("view", {"height": "6"}, "painting.view.height: Input should be a valid integer"),
        ("view", {"zoom": "2"}, "painting.view.zoom: Input should be a valid number"),
        ("latent", [0.5, 1], "has a latent of 2 numbers: its network needs 32"),
        ("latent", 1, "latent: Input should be a valid array"),
        ("origin", {"random": 1}, "origin.random.random: Input should be a valid string"),
        ("origin", {"std": "0.5"}, "origin.random.std: Input should be a valid number"),
    ],
)
def test_an_edited_painting_is_refused(key: str, value: object, said: str, tmp_path: Path) -> None:
    painter = random_network("tanh:2x4", 0)
    recipe = json.loads(
        Painting([Subject(painter, random_latent(painter, 1), "seed 1")], View(6, 6)).recipe().to_json()
    )
    place = recipe["painting"]["subjects"][0] if key in ("latent", "origin") else recipe["painting"]
    place[key] = {**place[key], **value} if isinstance(value, dict) else value
    with pytest.raises(UserError, match=re.escape(said)) as refused:
        load_painting(save_with(json.dumps(recipe), tmp_path / "a.png"))
    assert "\n" not in str(refused.value)


def test_a_painting_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    painter = random_network("tanh:2x4", 0)
    painting = Painting([Subject(painter, random_latent(painter, 1), "seed 1")], View(6, 6, center=(1.0, 0.5)))
    old = {
        "version": "0.1.0",
        "painting": {
            "pictures": [
                {
                    "from": "seed 1",
                    "origin": {"random": "tanh:2x4", "std": None, "weights": 0, "colour": False, "version": "0.1.0"},
                    "latent": painting.subjects[0].z.tolist(),
                }
            ],
            "view": {"height": 6, "width": 6, "scale": 8.0, "center": [1.0, 0.5], "zoom": 1.0, "supersample": 1},
            "palette": "auto",
            "bits": 8,
            "columns": 1,
        },
    }
    found = load_painting(save_with(json.dumps(old), tmp_path / "a.png"))
    assert (found.view, found.subjects[0].source) == (painting.view, "seed 1")
    assert (pixels(found) == pixels(painting)).all()


def test_a_webp_of_many_pixels_is_looked_at_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painter = random_network("tanh:2x4", 0)
    painting = Painting([Subject(painter, random_latent(painter, 1), "seed 1")], View(40, 40))
    painting.save(tmp_path / "a.webp")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert load_painting(tmp_path / "a.webp").view == painting.view


@pytest.mark.parametrize(("height", "width"), [(90, 90), (60, 110), (110, 60)])
def test_edges_of_a_tile_meet(height: int, width: int) -> None:
    """In all kinds of networks, nothing shows where copies of a tile touch."""
    for kind, std in (("tanh:8x32", 0.5), ("softplus:3x16", 0.9), ("residual:4x6", 1.0)):
        painter = random_network(kind, 3, std, device="cpu")
        art = Painting([Subject(painter, random_latent(painter, 3), "")], View(height, width, tile=True), bits=16)
        tile = pixels(art)[..., 0].astype(float)
        assert tile.std() > 200
        for axis in (0, 1):
            # Second differences: a kink or a jump at the edge would be larger than all within.
            bends = np.abs(np.roll(tile, 1, axis) - 2 * tile + np.roll(tile, -1, axis))
            edge = np.take(bends, [0, -1], axis)
            assert edge.max() <= np.take(bends, range(1, tile.shape[axis] - 1), axis).max()
            plain = pixels(replace(art, view=View(height, width), bits=16))[..., 0].astype(float)
            open_seam, seam = (np.abs(each.take(0, axis) - each.take(-1, axis)).mean() for each in (plain, tile))
            assert seam < 0.5 * open_seam


def test_a_tile_has_its_period_at_any_size(tmp_path: Path) -> None:
    """Pixels of one size are among those of another, and a file is a tile again."""
    painter = random_network("tanh:4x16", 3, 0.6, device="cpu")
    small = Painting([Subject(painter, random_latent(painter, 3), "")], View(20, 30, tile=True))
    large = pixels(replace(small, view=View(60, 90, tile=True)))
    assert np.abs(large[::3, ::3].astype(int) - pixels(small)).max() <= 1
    for ending in ("png", "tif", "webp", "dzi"):
        small.save(tmp_path / f"a.{ending}")
        again = load_painting(tmp_path / f"a.{ending}")
        assert again.view == small.view and again.view.tile
        assert (pixels(again) == pixels(small)).all()


def test_sheets(model: Model) -> None:
    pictures = choose_subjects(model, range(5))
    sheet = Painting(pictures, View(48, 24), columns=3)
    assert sheet.gap == 1
    found = pixels(sheet)
    assert found.shape == (sheet.height, sheet.width, 1) == (2 * 49 + 1, 3 * 25 + 1, 1)
    for i, picture in enumerate(pictures):
        top, left = 1 + 49 * (i // 3), 1 + 25 * (i % 3)
        alone = pixels(Painting([picture], View(48, 24)))
        assert (found[top : top + 48, left : left + 24] == alone).all()
    assert (found[50:, 51:] == 255).all()  # the last place is empty paper


def test_latents_of_a_class_are_those_of_its_pictures(model: Model) -> None:
    z = encode_class(model, "down", model.data()).z
    assert z.shape == (20, 6)
    by_name, by_number = choose_subjects(model, [4], ["down"]), choose_subjects(model, [4], ["1"])
    assert torch.equal(by_name[0].z, z[4]) and torch.equal(by_number[0].z, z[4])
    assert by_name[0].source == "down seed 4"
    (mean,) = choose_subjects(model, [4], ["down"], truncation=0)
    torch.testing.assert_close(mean.z, z.mean(0))
    assert torch.equal(choose_subjects(model, [24], ["down"])[0].z, z[4])  # there are 20
    (half,) = choose_subjects(model, [4], truncation=0.5)
    torch.testing.assert_close(half.z, model.method.latents([4])[0] / 2)
    both = choose_subjects(model, [0, 1], ["down", "across"])
    assert [picture.source for picture in both] == ["down seed 0", "down seed 1", "across seed 0", "across seed 1"]


def test_latents_of_a_class_need_the_pictures_of_the_run(
    tiny: Callable[..., Recipe], pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(pictures, tmp_path / "set")
    recipe = tiny(**RESIDUAL, data={"name": str(tmp_path / "set")}, train={"images": 20})
    list(train(recipe, tmp_path / "run", device="cpu"))
    (tmp_path / "set" / "across").rename(tmp_path / "set" / "upward")
    with pytest.raises(UserError, match=r"are not those that .* was trained on"):
        choose_subjects(load(tmp_path / "run", device="cpu"), labels=["down"])


def test_a_latent_is_the_same_in_any_company(model: Model, pictures: Path) -> None:
    files = sorted((pictures / "down").iterdir())
    together = encode_files(model, files)
    assert len(together) == len(files) == 20
    for file, z in zip(files[:5], together[:5], strict=True):
        assert torch.equal(encode_files(model, [file])[0], z)


def test_latents_of_pictures_and_files(model: Model, pictures: Path, tmp_path: Path) -> None:
    file = pictures / "slanted" / "03.png"
    (found,) = choose_subjects(model, images=[file])
    seen, _ = load_png(file)
    real = torch.tensor(seen).permute(2, 0, 1)[None].float() / 127.5 - 1
    torch.testing.assert_close(found.z, model.method.encode(real)[0], rtol=1e-4, atol=1e-5)
    Image.fromarray(255 - seen[..., 0]).convert("RGB").resize((64, 64), 0).save(tmp_path / "dark.png")
    (inverted,) = choose_subjects(model, images=[tmp_path / "dark.png"], invert=True)
    assert (inverted.z - found.z).norm() < 0.2 * found.z.norm() + 0.05
    np.save(tmp_path / "z.npy", found.z.numpy())
    (read,) = choose_subjects(model, z=tmp_path / "z.npy")
    assert torch.equal(read.z, found.z)


def test_pictures_with_more_than_8_bits_have_the_white_of_the_training_images(
    tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    for i, value in enumerate((0.0, 51.0, 255.0, 0.9)):
        place = tmp_path / "set" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("F", (8, 8), value).save(place / f"{i}.tiff")
    recipe = tiny(**RESIDUAL, data={"name": str(tmp_path / "set")}, train={"images": 20, "batch_size": 4})
    list(train(recipe, tmp_path / "run", device="cpu"))
    model = load(tmp_path / "run", device="cpu")
    for i, seen in enumerate((0, 51, 255, 1)):
        assert (open_files(model, [tmp_path / "set" / "ab"[i % 2] / f"{i}.tiff"]) == seen).all()


def test_a_conditional_network_paints_its_classes(conditional: Model) -> None:
    view = View(16, 16)
    found = choose_subjects(conditional, [5], ["slanted"])
    images = to_uint8(conditional.method.decode(conditional.method.latents([5]), torch.tensor([2])))[0]
    assert np.abs(pixels(Painting(found, view, "chalk")).astype(int) - images).max() <= 1
    turns = choose_subjects(conditional, range(3))
    assert [int(picture.z[-3:].argmax()) for picture in turns] == [0, 1, 2]


def test_random_art_needs_no_run(tmp_path: Path) -> None:
    painter = random_network("tanh:8x64", 3, std=0.6)
    art = Painting([Subject(painter, random_latent(painter, 3), "seed 3")], View(30, 40))
    assert pixels(art).std() > 20
    art.save(tmp_path / "a.png")
    assert (pixels(load_painting(tmp_path / "a.png")) == pixels(art)).all()
    weights = torch.cat([p.flatten() for p in painter.network.parameters()])
    assert weights.std().item() == pytest.approx(0.6, rel=0.02)
    colour = random_network("residual:2x5", 1, colour=True)
    assert pixels(Painting([Subject(colour, random_latent(colour, 1), "")], View(4, 4))).shape == (4, 4, 3)
    recipe = json.loads(image_files.read_recipe(tmp_path / "a.png"))
    assert recipe["painting"]["subjects"][0]["origin"]["random"] == "tanh:8x64"


def test_what_cannot_be_painted_is_refused(
    tiny: Callable[..., Recipe], model: Model, conditional: Model, pictures: Path, tmp_path: Path
) -> None:
    list(train(tiny(train={"images": 20}), tmp_path / "dcgan", device="cpu"))
    picture = next((pictures / "down").iterdir())
    with pytest.raises(UserError, match=r"images of 16x16 only: use `ganvas sample`, .* network\.name=cppn"):
        trained_network(load(tmp_path / "dcgan", device="cpu"))
    for call, message in (
        (lambda: random_network("tanh:8", 0), "write it as tanh:8x64"),
        (lambda: random_network("relu:8x64", 0), "write it as tanh:8x64"),
        (lambda: random_network("tanh:0x64", 0), "random.layers"),
        (lambda: random_network("tanh:999999x64", 0), "random.layers' is 999999: .* less than or equal to 10000"),
        (lambda: random_network("tanh:9999x999", 0), "is too large: at most 10,000 layers and 100,000,000 weights"),
        (lambda: random_network("softplus:2x99999", 0), "a random network of 2 layers and about 20,"),
        (lambda: random_network("tanh", 0, std=-1), "random.std"),
        (lambda: choose_subjects(model, labels=["up"]), "this run has across, down, slanted"),
        (lambda: choose_subjects(conditional, images=[picture]), "has no encoder"),
        (lambda: choose_subjects(model, truncation=float("nan")), "truncation of nan"),
        (lambda: choose_subjects(model, truncation=-1e300), "truncation of -1e\\+300"),
        (lambda: View(4, 4, zoom=0), "zoom of 0"),
        (lambda: View(4, 4, supersample=99), "from 1 to 32"),
        (lambda: View(4, 0), "sides are 1 or more"),
        (lambda: random_network("tanh", -1), "use 0 or more"),
        (lambda: choose_subjects(model, images=[Path("x.png")]), "cannot read x.png"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_a_notebook_shows_a_small_painting(model: Model) -> None:
    large = Painting(choose_subjects(model, [1, 2, 3]), View(3_000, 2_000, supersample=3), columns=2, bits=16)
    with Image.open(io.BytesIO(large._repr_png_())) as image:
        assert max(image.size) == pytest.approx(paint.PREVIEW_SIDE, abs=3) and image.mode == "L"
    small = poster(model)
    with Image.open(io.BytesIO(small._repr_png_())) as image:
        assert (np.asarray(image)[..., None] == pixels(small)).all()
