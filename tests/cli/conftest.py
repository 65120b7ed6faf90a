"""What the campaigns try things on."""

import json
from pathlib import Path

import pytest

from tests.cli.test_cli import NO_FIGURES, PAINTS, TINY, ganvas

EVENT = {"nimg": 120, "kind": "collapse", "said": "samples are alike", "back_to": 120, "factors": {"lr": 0.5}}


@pytest.fixture(scope="session")
def runs(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs that have everything (checkpoints, events, evaluations), and images and films of them."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["--data", pictures, "--device", "cpu", "--set", "train.eval_every=120", "train.eval_samples=100"]
    small = [word for word in TINY if not word.startswith("train.eval")]
    assert ganvas("train", "strokes-cdcgan", "--out", folder / "a", "--images", 240, *NO_FIGURES, *words, *small) == 0
    assert (
        ganvas("train", "mnist-residual-cppn", "--out", folder / "b", "--images", 60, *NO_FIGURES, *words, *PAINTS) == 0
    )
    assert ganvas("sample", folder / "a", "--n", 4, "--out", folder / "samples.png") == 0
    assert ganvas("paint", folder / "b", "--seed", 1, "--size", 20, "--out", folder / "painting.png") == 0
    assert ganvas("paint", "--random", "tanh:2x4", "--size", 20, "--out", folder / "random.tiff") == 0
    film = ["--seeds", "1,2", "--frames", 3, "--size", 16]
    assert ganvas("morph", folder / "b", *film, "--out", folder / "film.gif") == 0
    assert ganvas("morph", "--random", "tanh:2x4", *film, "--zoom-to", 2, "--out", folder / "random.webp") == 0
    (folder / "a" / "guard.json").write_text(json.dumps([EVENT]))
    return folder
