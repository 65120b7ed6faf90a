from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganvas.core import images
from ganvas.data import Batches
from ganvas.evaluation import evaluators
from ganvas.evaluation.evaluators import Evaluator
from ganvas.methods.gan import GAN
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import load
from ganvas.runs.run import Run
from ganvas.training import sheets
from ganvas.training.disk_budget import fewer_sheets
from ganvas.training.train import train


def test_sheets_grow_a_row_per_epoch(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    list(train(tiny(), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    assert [int(file.stem) for file in sorted(run.samples.glob("*.png"))] == [0, 60, 120, 180, 240]
    sheet, _ = images.load_png(run.sheet_file)
    assert sheet.shape[:2] == (5 * 18, 3 * 18 + 2)
    last, recipe = images.load_png(run.samples / "000000240.png")
    assert (sheet[-18:] == last[:18]).all()
    model = load(run.path, device="cpu")
    assert recipe is not None
    assert (model.sample(1, label=0, seed=recipe["seeds"][0]).images[0] == last[2:18, 2:18]).all()


def test_the_strip_of_a_long_run_has_some_of_its_sheets(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "STRIP_ROWS", 4)
    list(train(tiny(train={"sample_every": 20}), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    chosen = fewer_sheets(list(range(0, 241, 20)), 4)
    assert len(run.sheets()) == 13 and len(chosen) <= 4 and {0, 240} <= {*chosen}
    rows = [images.load_png(run.sheet(nimg))[0][:18] for nimg in chosen]
    strip, _ = images.load_png(run.sheet_file)
    assert (strip == torch.cat([torch.tensor(row) for row in rows]).numpy()).all()
    run.sheet_file.unlink()
    list(train(tiny(train={"sample_every": 20}), run.path, device="cpu"))
    assert (images.load_png(run.sheet_file)[0] == strip).all()


def test_scalars_that_only_some_steps_return_are_averaged_over_those(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: GAN, batches: Batches) -> dict[str, torch.Tensor]:
        batches.next()
        return {"g_loss": torch.tensor(float(batches.nimg))} | (
            {"rare": torch.tensor(7.0)} if batches.nimg == 20 else {}
        )

    monkeypatch.setattr(GAN, "step", step)
    records = list(train(tiny(train={"guard": "off"}), tmp_path / "run", device="cpu"))
    assert [record["g_loss"] for record in records[:2]] == [30.0, 60.0]
    assert [record.get("rare") for record in records[:2]] == [7.0, None]


def test_classes_are_counted_where_an_evaluator_knows_them(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halves(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(pixels), 1), torch.eye(3)[torch.arange(len(pixels)) % 2]

    def evaluator(*classes: str) -> Evaluator:
        return Evaluator("halves", "", 16, 1, "none", classes, {}, halves, torch.device("cpu"))

    monkeypatch.setattr(evaluators, "choose_for", lambda *_: evaluator("across", "down", "slanted"))
    assert list(train(tiny(), tmp_path / "known", device="cpu"))[-1]["classes"] == pytest.approx(1)
    monkeypatch.setattr(evaluators, "choose_for", lambda *_: evaluator("0", "1", "2"))
    assert "classes" not in list(train(tiny(), tmp_path / "unknown", device="cpu"))[-1]
