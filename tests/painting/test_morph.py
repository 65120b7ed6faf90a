import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from ganvas.core.errors import UserError
from ganvas.networks.view import View
from ganvas.painting import video_files
from ganvas.painting.latents import Ease
from ganvas.painting.morph import Morph, Place, load_morph
from ganvas.painting.paint import Painting, load_painting
from ganvas.painting.painter import random_network
from ganvas.painting.subjects import Subject, random_latent
from tests.painting.test_video_files import ENDINGS, decoded, skip_without_av


@pytest.fixture(scope="module")
def morph() -> Morph:
    painter = random_network("tanh:3x8", 0, std=0.6)
    anchors = torch.stack([random_latent(painter, seed) for seed in (1, 5, 9)])
    return Morph(painter, anchors, ["1", "5", "9"], View(24, 32), frames=9)


def still(morph: Morph, z: torch.Tensor, view: View) -> np.ndarray:
    return np.concatenate(list(Painting([Subject(morph.painter, z, "")], view).bands()))


def test_frames_begin_and_end_at_the_latents(morph: Morph) -> None:
    frames = list(morph)
    assert len(frames) == 9
    for place, anchor in ((0, 0), (4, 1), (8, 2)):
        assert (frames[place] == still(morph, morph.anchors[anchor], morph.view)).all()
    assert all((a != b).any() for a, b in pairwise(frames))


def test_a_sine_lingers_at_the_latents(morph: Morph) -> None:
    def first_step(ease: Ease) -> float:
        begin, then, *_ = replace(morph, ease=ease, frames=41)
        return float(np.abs(begin.astype(float) - then).mean())

    assert first_step("sine") < 0.4 * first_step("linear")


def test_a_loop_has_no_seam(morph: Morph) -> None:
    frames = [frame.astype(float) for frame in replace(morph, loop=True, frames=12)]
    assert (frames[0] == still(morph, morph.anchors[0], morph.view)).all()
    seam = np.abs(frames[-1] - frames[0]).mean()
    others = [np.abs(a - b).mean() for a, b in pairwise(frames[8:])]
    assert seam < 2 * max(others)


def test_a_zoom_ends_where_it_should(morph: Morph) -> None:
    zooming = replace(morph, anchors=morph.anchors[:1], zoom_to=50.0, view=View(24, 32, center=(1, 2), zoom=0.5))
    frames = list(zooming)
    for place, zoom in ((0, 0.5), (4, 5.0), (8, 50.0)):
        picture = still(morph, morph.anchors[0], replace(zooming.view, zoom=zoom)).astype(int)
        assert np.abs(frames[place] - picture).max() <= 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_films_hold_their_frames_and_their_recipe(morph: Morph, tmp_path: Path, ending: str) -> None:
    skip_without_av(ending)
    ticks = []
    morph.save(tmp_path / f"a{ending}", lambda done, total: ticks.append((done, total)))
    assert ticks[-1] == (9, 9)
    shown, _ = decoded(tmp_path / f"a{ending}")
    assert len(shown) == 9 and shown[0].shape == (24, 32, 3)
    frames = list(morph)
    for place in (0, 8):
        assert np.abs(shown[place].mean(-1) - frames[place][..., 0]).mean() < 3
    recipe = json.loads(video_files.read_recipe(tmp_path / f"a{ending}"))["morph"]
    assert recipe["latents"] == morph.anchors.tolist()
    assert recipe["origin"]["random"] == "tanh:3x8"
    assert (recipe["frames"], recipe["ease"], recipe["view"]["width"]) == (9, "linear", 32)


def test_frames_of_a_tile_are_tiles(morph: Morph, tmp_path: Path) -> None:
    tile = replace(morph, view=replace(morph.view, tile=True))
    assert (next(iter(tile)) == still(morph, morph.anchors[0], tile.view)).all()
    tile.save(tmp_path / "a.gif")
    assert load_morph(tmp_path / "a.gif").view == tile.view


def test_a_film_is_made_again_from_its_file(morph: Morph, tmp_path: Path) -> None:
    first = tmp_path / "a.webp"
    replace(morph, ease="sine", view=View(16, 20, center=(1, -0.5), zoom=1.5), zoom_to=3.0).save(first)
    load_morph(first).save(tmp_path / "b.webp")
    assert (tmp_path / "b.webp").read_bytes() == first.read_bytes()
    with pytest.raises(UserError, match="is a film: use `ganvas morph --like`"):
        load_painting(first)
    picture = tmp_path / "c.webp"
    Painting([Subject(morph.painter, morph.anchors[0], "")], View(8, 8)).save(picture)
    with pytest.raises(UserError, match="choose a film that ganvas wrote"):
        load_morph(picture)
    assert load_painting(picture).view == View(8, 8)


def test_a_zoom_that_cannot_be_painted_is_refused_before_the_first_frame(morph: Morph, tmp_path: Path) -> None:
    painted: list[int] = []
    with pytest.raises(UserError, match="beyond float64"):
        replace(morph, zoom_to=1e17).save(tmp_path / "a.gif", lambda done, total: painted.append(done))
    assert not painted and not list(tmp_path.iterdir())


def test_a_zoom_cannot_loop(morph: Morph, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leave out --loop or --zoom-to"):
        replace(morph, loop=True, zoom_to=2.0).save(tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_too_many_frames_are_refused_before_the_first_one(morph: Morph, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a film of 1,000,001 frames is too long"):
        replace(morph, frames=1_000_001).save(tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("frames", "9", "morph.frames: Input should be a valid integer"),
        ("frames", 10**9, "morph.frames: Input should be less than or equal to 1000000"),
        ("fps", None, "morph.fps: Input should be a valid number"),
        ("ease", "slow", "morph.ease: Input should be 'linear' or 'sine'"),
        ("loop", 1, "morph.loop: Input should be a valid boolean"),
        ("zoom_to", 0, "morph.zoom_to: Input should be greater than 0"),
        ("latents", [], "morph.latents: List should have at least 1 item"),
        ("latents", [[0.5], [0.5]], "has a latent of 1 numbers: its network needs 32"),
        ("latents", [[1e99] * 32], "morph.latents.0.0: Input should be less than or equal to"),
        ("origin", {"random": "tanh:999999x64", "weights": 0}, "random.layers' is 999999"),
        (
            "origin",
            {"random": "tanh:3x8", "weights": -1},
            "origin.random.weights: Input should be greater than or equal",
        ),
        ("origin", {"run": 5}, "origin.run.run: Input should be a valid string"),
        ("view", {"height": 0}, "morph.view.height: Input should be greater than or equal to 1"),
    ],
)
def test_an_edited_film_is_refused(morph: Morph, tmp_path: Path, key: str, value: object, said: str) -> None:
    recipe = json.loads(morph.recipe().to_json())
    recipe["morph"][key] = value
    video_files.save(tmp_path / "a.gif", [np.zeros((8, 8, 1), np.uint8)], 8, 8, 25, False, json.dumps(recipe))
    with pytest.raises(UserError, match=re.escape(said)) as refused:
        load_morph(tmp_path / "a.gif")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ['{"morph": ' + "[" * 9999, '{"morph": ' + "9" * 9999 + "}", "{}", '{"painting": {}}'])
def test_what_is_no_recipe_of_a_film_is_refused(tmp_path: Path, text: str) -> None:
    video_files.save(tmp_path / "a.gif", [np.zeros((8, 8, 1), np.uint8)], 8, 8, 25, False, text)
    with pytest.raises(UserError, match="is not a film by ganvas: ") as refused:
        load_morph(tmp_path / "a.gif")
    assert "\n" not in str(refused.value)


def test_a_film_of_an_earlier_version_is_read(morph: Morph, tmp_path: Path) -> None:
    fields = json.loads(morph.recipe().to_json())["morph"]
    sources, origin = fields.pop("sources"), {**fields.pop("origin"), "version": "0.1.0"}
    recipe = {"version": "0.1.0", "morph": {**fields, "from": sources, "origin": origin, "zoom_to": None}}
    video_files.save(tmp_path / "a.gif", [np.zeros((8, 8, 1), np.uint8)], 8, 8, 25, False, json.dumps(recipe))
    old = load_morph(tmp_path / "a.gif")
    assert (list(old.sources), old.view, old.frames) == (["1", "5", "9"], morph.view, 9)
    assert torch.equal(old.anchors, morph.anchors)
    assert (next(iter(old)) == next(iter(morph))).all()


PLACES = [Place((0.0, 0.0), 1.0), Place((1.5, -2.0), 16.0), Place((-1.0, 0.5), 16.0)]


def test_a_film_visits_the_view_of_each_latent(morph: Morph) -> None:
    film = replace(morph, places=PLACES)
    views = film.views()
    assert [(views[i].center, views[i].zoom) for i in (0, 4, 8)] == PLACES
    assert [view.zoom for view in views[:5]] == pytest.approx([1, 2, 4, 8, 16])  # at constant perceived speed
    assert [view.center[0] for view in views[4:]] == pytest.approx([1.5, 0.875, 0.25, -0.375, -1])  # a pan
    still_point = [(1.6 - view.center[0]) * view.zoom for view in views[:5]]  # on the screen
    assert still_point == pytest.approx([1.6] * 5)
    frames = list(film)
    for place, anchor in ((0, 0), (4, 1), (8, 2)):
        assert (frames[place] == still(morph, morph.anchors[anchor], views[place])).all()
    around = replace(film, loop=True, frames=12, ease="sine").views()
    assert [(around[i].center, around[i].zoom) for i in (0, 4, 8)] == PLACES
    assert 1 < around[11].zoom < 2


def test_a_film_with_views_is_made_again_from_its_file(morph: Morph, tmp_path: Path) -> None:
    replace(morph, places=PLACES).save(tmp_path / "a.webp")
    again = load_morph(tmp_path / "a.webp")
    assert again.places == PLACES
    again.save(tmp_path / "b.webp")
    assert (tmp_path / "b.webp").read_bytes() == (tmp_path / "a.webp").read_bytes()
    assert "places" not in json.loads(morph.recipe().to_json())["morph"]  # as before there were any


@pytest.mark.parametrize(
    ("places", "zoom_to", "said"),
    [
        (PLACES[:2], None, "a film of 3 latents has as many views, not 2"),
        (PLACES, 2.0, "leave out --zoom-to"),
        ([*PLACES[:2], Place((1.0, 1.0), 1e17)], None, "beyond float64"),
        ([*PLACES[:2], Place((1.0, 1.0), 0.0)], None, "a zoom of 0"),
    ],
)
def test_views_that_cannot_be_filmed(
    morph: Morph, tmp_path: Path, places: list[Place], zoom_to: float | None, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        replace(morph, places=places, zoom_to=zoom_to).save(tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
