from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from ganvas.core.errors import UserError
from ganvas.networks.view import View
from ganvas.painting import paint, video_files
from ganvas.painting.latents import Ease
from ganvas.painting.morph import Morph, again
from ganvas.painting.paint import Painting, Picture
from tests.painting.test_video_files import ENDINGS, decoded, skip_without_av


@pytest.fixture(scope="module")
def morph() -> Morph:
    painter = paint.of_chance("tanh:3x8", 0, std=0.6)
    anchors = torch.stack([paint.by_chance(painter, seed) for seed in (1, 5, 9)])
    return Morph(painter, anchors, ["1", "5", "9"], View(24, 32), frames=9)


def still(morph: Morph, z: torch.Tensor, view: View) -> np.ndarray:
    return np.concatenate(list(Painting([Picture(morph.painter, z, "")], view).bands()))


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
    recipe = video_files.read_recipe(tmp_path / f"a{ending}")["morph"]
    assert recipe["latents"] == morph.anchors.tolist()
    assert recipe["origin"]["random"] == "tanh:3x8"
    assert (recipe["frames"], recipe["ease"], recipe["view"]["width"]) == (9, "linear", 32)


def test_a_film_is_made_again_from_its_file(morph: Morph, tmp_path: Path) -> None:
    first = tmp_path / "a.webp"
    replace(morph, ease="sine", view=View(16, 20, center=(1, -0.5), zoom=1.5), zoom_to=3.0).save(first)
    again(first).save(tmp_path / "b.webp")
    assert (tmp_path / "b.webp").read_bytes() == first.read_bytes()
    with pytest.raises(UserError, match="is a film: `ganvas morph --like`"):
        paint.again(first)
    picture = tmp_path / "c.webp"
    Painting([Picture(morph.painter, morph.anchors[0], "")], View(8, 8)).save(picture)
    with pytest.raises(UserError, match="choose a film that ganvas wrote"):
        again(picture)
    assert paint.again(picture).view == View(8, 8)


def test_a_zoom_that_cannot_be_painted_is_refused_before_the_first_frame(morph: Morph, tmp_path: Path) -> None:
    painted: list[int] = []
    with pytest.raises(UserError, match="beyond float64"):
        replace(morph, zoom_to=1e17).save(tmp_path / "a.gif", lambda done, total: painted.append(done))
    assert not painted and not list(tmp_path.iterdir())


def test_a_zoom_cannot_loop(morph: Morph, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leave out --loop or --zoom-to"):
        replace(morph, loop=True, zoom_to=2.0).save(tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
