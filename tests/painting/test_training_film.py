import json
from pathlib import Path

import numpy as np
import pytest

from ganvas.core.errors import UserError
from ganvas.core.images import GAP, save_png
from ganvas.painting import video_files
from ganvas.painting.morph import load_morph
from ganvas.painting.training_film import training_film
from ganvas.runs.run import Run
from tests.painting.test_video_files import decoded


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    for nimg, shade in ((0, 10), (60, 90), (120, 200)):
        save_png(run.sheet(nimg), np.full((20, 30, 1), shade, np.uint8))
    return run


def test_frames_are_the_sheets_and_the_last_one_stays(run: Run, tmp_path: Path) -> None:
    film = training_film(run)
    frames = list(film)
    assert (len(frames), film.fps) == (3 + 2, 2)
    factor = 22  # to 640 pixels
    for frame, shade in zip(frames, (10, 90, 200, 200, 200), strict=True):
        assert (frame[: 20 * factor] == shade).all()
    bars = [int((frame[-1] < 255).sum()) for frame in frames]
    assert bars[1] == pytest.approx(bars[2] / 2, abs=1) and bars[2] == 30 * factor
    captions = [frame[20 * factor : -GAP - 2] for frame in frames]
    assert (captions[0] != captions[1]).any() and (captions[2] == captions[3]).all()
    film.save(tmp_path / "a.gif")
    shown, _ = decoded(tmp_path / "a.gif")
    assert len(shown) == 5
    recipe = json.loads(video_files.read_recipe(tmp_path / "a.gif"))["training"]
    assert recipe["sheets"] == [0, 60, 120]
    with pytest.raises(UserError, match="film of a training: `ganvas morph RUN --training` makes it again"):
        load_morph(tmp_path / "a.gif")


def test_fewer_frames(run: Run) -> None:
    assert list(training_film(run, frames=2).sheets) == [0, 120]
    assert list(training_film(run, frames=99).sheets) == [0, 60, 120]
    with pytest.raises(UserError, match="2 frames or more, not 1"):
        training_film(run, frames=1)


def test_damaged_and_odd_sheets_are_left_out(run: Run) -> None:
    run.sheet(60).write_bytes(b"rubbish")
    save_png(run.sheet(30), np.zeros((9, 9, 1), np.uint8))
    assert list(training_film(run).sheets) == [0, 120]
    run.sheet(0).unlink()
    with pytest.raises(UserError, match="has 1 sample sheets: a film of its training needs two"):
        training_film(run)
