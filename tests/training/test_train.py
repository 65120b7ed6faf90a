import errno
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from ganvas.core import files, images
from ganvas.core.errors import RunFailed, UserError
from ganvas.core.images import ImageSpec
from ganvas.core.version import VERSION
from ganvas.data import Batches
from ganvas.evaluation.evaluate import evaluate
from ganvas.export.html import render_images
from ganvas.methods.gan import GAN
from ganvas.painting.training_film import training_film
from ganvas.plotting.figures import draw_figures
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import load
from ganvas.runs.run import Run
from ganvas.runs.samples import save
from ganvas.training.monitor import CheckpointScore
from ganvas.training.train import train
from tests.conftest import same_tensors, warned
from tests.training.stopping import train_until


def test_a_run_directory_explains_itself(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = tiny()
    records = list(train(recipe, tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    assert run.recipe() == recipe
    info = run.info()
    assert info.state == "finished"
    assert info.data.spec == ImageSpec(channels=1, height=16, width=16, num_classes=3)
    assert info.data.classes == ("across", "down", "slanted")
    (session,) = info.sessions
    assert (session.pid, session.host) == (os.getpid(), platform.node())
    assert session.ganvas == VERSION and session.torch == torch.__version__ and session.precision == "fp32"
    assert session.at and session.machine and session.device and session.threads and session.command
    assert run.records() == records
    assert {"nimg", "epoch", "seconds", "d_loss", "g_loss", "d_real", "d_fake", "d_fake_validation"} <= records[
        0
    ].keys()
    assert [record["nimg"] for record in records] == [40, 60, 80, 120, 160, 180, 200, 240]
    assert [record["nimg"] for record in records if "score" in record] == [60, 120, 180, 240]


@pytest.mark.parametrize("network", [{"name": "dcgan", "base": 8}, {"name": "resnet", "base": 4}, {"name": "mlp"}])
def test_images_that_are_not_square_are_trained_sampled_and_evaluated(
    tiny: Callable[..., Recipe], tmp_path: Path, network: dict[str, Any]
) -> None:
    recipe = tiny(data={"size": "24x16"}, network=network, train={"images": 120})
    assert 'size = "24x16"' in recipe.to_toml()
    list(train(recipe, tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    assert run.recipe().data == recipe.data and run.info().data.spec[1:3] == (16, 24)
    assert list(train(tiny(data={"size": "24x16"}, network=network, train={"images": 120}), run.path)) == []  # the same
    sheet = images.load_png(run.sheets()[-1])[0]
    classes = len(run.info().data.classes)
    assert sheet.shape[:2] == (8 * (16 + 2) + 2, classes * (24 + 2) + 2)
    strip = images.load_png(run.sheet_file)[0]
    assert strip.shape[:2] == (len(run.sheets()) * (16 + 2), sheet.shape[1])
    drawn = load(run.path, "last", "cpu").sample(8 * classes).images
    assert drawn.shape[:3] == (8 * classes, 16, 24)
    assert (images.grid(drawn, classes) == sheet).all()
    found = evaluate(run.path, "last", n=100, device="cpu")
    assert (found.protocol.data.height, found.protocol.data.width) == (16, 24)
    assert found.protocol.evaluator.resize == "bilinear, antialiased, stretched to a square"


def test_clusters_take_the_place_of_classes(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    plain, clustered = tmp_path / "plain", tmp_path / "clustered"
    list(train(tiny(), plain, device="cpu"))
    list(train(tiny(data={"clusters": 4}, method={"conditional": True}), clustered, device="cpu"))
    model = load(clustered)
    assert model.classes == ("cluster 0", "cluster 1", "cluster 2", "cluster 3")
    assert model.sample(2, label="cluster 3").labels.tolist() == model.sample(2, label=3).labels.tolist() == [3, 3]
    evaluations = [evaluate(path, n=100) for path in (plain, clustered)]
    assert evaluations[0].key == evaluations[1].key  # their scores can be compared
    assert "label_accuracy" not in evaluations[1].scores
    with pytest.raises(UserError, match=r"data\.clusters has no effect, as method 'gan' gets no labels"):
        list(train(tiny(data={"clusters": 4}, method={"conditional": False}), tmp_path / "useless", device="cpu"))


def test_images_with_alpha_are_trained_sampled_and_evaluated(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    """Discs on transparent red, of three colours."""
    for i in range(120):
        image = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
        ImageDraw.Draw(image).ellipse((2, 2, 10 + i % 4, 12), ((0, 200, 0), (0, 0, 200), (90, 90, 90))[i % 3])
        (tmp_path / "discs").mkdir(exist_ok=True)
        image.save(tmp_path / "discs" / f"{i:03d}.png")
    method = {"name": "gan", "latent_size": 8, "augment": "colour,translation"}
    data = {"name": str(tmp_path / "discs"), "channels": 4}
    list(train(tiny(data=data, method=method, train={"images": 240}), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    assert run.info().data.spec == ImageSpec(4, 16, 16, 0)
    with Image.open(run.sheets()[-1]) as sheet:
        assert sheet.mode == "RGBA" and sheet.getpixel((0, 0))[3] == 0
    model = load(run.path, "last", "cpu")
    samples = model.sample(80)
    assert (samples.images[..., :3] <= samples.images[..., 3:]).all()
    assert (images.grid(samples.images, 10) == images.load_png(run.sheets()[-1])[0]).all()
    with Image.open(tmp_path / "discs" / "000.png") as original:
        assert (model.data().images[0] == images.premultiplied(np.asarray(original)).transpose(2, 0, 1)).all()
    found = evaluate(run.path, "last", n=100, device="cpu")
    assert found.protocol.evaluator.name in ("cifar10", "imagenet")
    assert found.protocol.evaluator.resize.startswith("composed on white, bilinear")
    save(samples, tmp_path / "samples.npz", model.provenance())
    assert (np.load(tmp_path / "samples.npz")["images"] == images.straight(samples.images)).all()
    film = next(iter(training_film(run)))
    assert film.shape[-1] == 3 and (film[0, 0] == 255).all()
    assert "epochs" in {file.stem for file in draw_figures(run)}
    with pytest.raises(UserError, match="a page shows no transparency"):
        render_images(model, [(model.method.latents([0])[0], "0")], "discs")


def test_newest_and_best_checkpoints_are_kept(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([5.0, 1.0, 4.0, 3.0, 2.0])
    monkeypatch.setattr(CheckpointScore, "__call__", lambda self, method: next(scores))
    list(
        train(
            tiny(train={"checkpoint_every": 50, "keep": 2, "images": 250, "batch_size": 10, "guard": "off"}),
            tmp_path / "run",
            device="cpu",
        )
    )
    run = Run(tmp_path / "run")
    assert run.checkpoints.available() == [100, 200, 250]
    assert run.checkpoints.best() == 100
    assert load(run.path, "best", "cpu").nimg == 100
    assert load(run.path, 200, "cpu").nimg == 200
    with pytest.raises(UserError, match="last, best or one of 100, 200, 250"):
        load(run.path, 150)


def test_a_longer_run_goes_on_from_a_finished_one(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    list(train(tiny(train={"images": 120}), tmp_path / "run", device="cpu"))
    assert list(train(tiny(train={"images": 120}), tmp_path / "run", device="cpu")) == []
    said: list[str] = []
    records = list(train(tiny(train={"images": 240}), tmp_path / "run", device="cpu", say=said.append))
    assert records[0]["nimg"] > 120
    assert said[-1].startswith("resumes after 1")
    assert len(Run(tmp_path / "run").info().sessions) == 3


def test_other_settings_in_the_same_folder_are_refused(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    list(train(tiny(), tmp_path / "run", device="cpu"))
    before = (tmp_path / "run" / "log.jsonl").read_bytes()
    with pytest.raises(UserError, match=r"trained with method.lr=0.0002, not 0.01"):
        list(train(tiny(method={"lr": 0.01}), tmp_path / "run", device="cpu"))
    with pytest.raises(UserError, match=r"network\.base=8"):
        list(train(tiny(network={"base": 4}), tmp_path / "run", device="cpu"))
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == before


def test_changed_data_is_refused(tiny: Callable[..., Recipe], tmp_path: Path, pictures: Path) -> None:
    list(train(tiny(), tmp_path / "run", device="cpu"))
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    info["data"]["sha256"] = "0" * 64
    (tmp_path / "run" / "run.json").write_text(json.dumps(info))
    with pytest.raises(UserError, match="not those that"):
        list(train(tiny(), tmp_path / "run", device="cpu"))


def test_a_second_process_is_refused(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    first = train(tiny(), tmp_path / "run", device="cpu")
    next(first)
    with pytest.raises(UserError, match="another process"):
        next(train(tiny(), tmp_path / "run", device="cpu"))
    assert Run(tmp_path / "run").state() == "running"
    first.close()
    assert Run(tmp_path / "run").state() == "stopped"


def newest(path: Path) -> dict[str, torch.Tensor]:
    state, _ = Run(path).checkpoints.newest()
    assert state is not None
    return state.tensors


def damage(run: Run, nimg: int) -> None:
    file = run.checkpoints.folder / f"{nimg:09d}.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    list(train(tiny(), tmp_path / "straight", device="cpu"))
    list(train(tiny(train={"images": 180}), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    damage(run, 180)
    with warned(match=r"000000180.safetensors is truncated or altered .* using the one before"):
        records = train(tiny(train={"checkpoint_every": 10}), tmp_path / "run", device="cpu")
        assert next(records)["nimg"] == 140
    assert run.checkpoints.available()[-1] == 140, "a new checkpoint gave way to a damaged one"
    list(records)
    assert same_tensors(newest(run.path), newest(tmp_path / "straight"))


def test_a_run_whose_checkpoints_are_all_damaged_is_left_as_it_is(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    list(train(tiny(), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    log = run.log.file.read_bytes()
    for nimg in run.checkpoints.available():
        damage(run, nimg)
    with pytest.raises(UserError, match="every checkpoint in"):
        list(train(tiny(train={"images": 480}), tmp_path / "run", device="cpu"))
    assert run.log.file.read_bytes() == log


def test_foreign_files_among_the_sheets_do_no_harm(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    list(train(tiny(train={"images": 120}), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    (run.samples / "000000-label0.png").write_bytes(b"mine")
    run.sheet(60).write_bytes(b"")
    list(train(tiny(), tmp_path / "run", device="cpu"))
    assert images.load_png(run.sheet_file)[0].shape[0] == 4 * 18


def test_a_full_memory_is_one_line(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: GAN, batches: Batches) -> dict[str, torch.Tensor]:
        return {"x": torch.empty(2**60)}

    monkeypatch.setattr(GAN, "step", step)
    with pytest.raises(RunFailed, match=r"out of memory: lower train\.batch_size"):
        list(train(tiny(train={"guard": "off"}), tmp_path / "run", device="cpu"))
    assert Run(tmp_path / "run").state().startswith("failed: out of memory")


def test_batch_norm_of_one_value_is_one_line(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    network = {"name": "resnet", "base": 4, "g_blocks": 2, "d_norm": "batch", "d_smallest": 1}
    recipe = tiny(network=network, data={"size": 8}, train={"batch_size": 1})
    with pytest.raises(RunFailed, match=r"batch norm needs more than one image: raise train\.batch_size"):
        list(train(recipe, tmp_path / "run", device="cpu"))


def test_gradients_from_before_a_rollback_are_forgotten(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where D pauses: its gradient is that of an update long ago."""
    plain_step, calls = GAN.step, iter(range(99))

    def step(self: GAN, batches: object) -> dict[str, torch.Tensor]:
        call = next(calls)
        scalars = plain_step(self, batches)  # type: ignore[arg-type]
        gradient = next(self.D.parameters()).grad
        if call == 4 and gradient is not None:
            gradient.fill_(float("nan"))
        elif call > 4:
            self.optimizers["D"].zero_grad()
        return scalars

    monkeypatch.setattr(GAN, "step", step)
    with warned(match="d_grad_norm became nan"):
        list(train(tiny(train={"log_every": 20}), tmp_path / "run", device="cpu"))
    assert len(Run(tmp_path / "run").events()) == 1


@pytest.mark.parametrize("pauses", [False, True])
def test_a_record_is_the_same_with_a_stop_in_between(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: bool
) -> None:
    """Also where a network pauses after 60 images: a record must not read gradients that its steps did not compute."""
    plain_step = GAN.step

    def step(self: GAN, batches: Batches) -> dict[str, torch.Tensor]:
        if pauses and batches.nimg >= 60:
            batches.next()
            return {"d_loss": torch.tensor(1.0)}
        return plain_step(self, batches)

    monkeypatch.setattr(GAN, "step", step)
    recipe = tiny(train={"guard": "off"})
    train_until(100, recipe, tmp_path / "run")
    list(train(recipe, tmp_path / "run", device="cpu"))
    list(train(recipe, tmp_path / "whole", device="cpu"))
    timeless = [
        [{k: v for k, v in r.items() if "second" not in k} for r in Run(tmp_path / name).records()]
        for name in ("run", "whole")
    ]
    (partial,) = [record for record in timeless[0] if record not in timeless[1]]
    assert partial["nimg"] == 100 and partial["stopped"]
    assert [record for record in timeless[0] if record != partial] == timeless[1]


def test_nan_stops_the_run_and_keeps_the_last_good_state(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_step, calls = GAN.step, iter(range(99))

    def step(self: GAN, batches: object) -> dict[str, torch.Tensor]:
        scalars = plain_step(self, batches)  # type: ignore[arg-type]
        return {**scalars, "g_loss": torch.tensor(float("nan"))} if next(calls) == 7 else scalars

    monkeypatch.setattr(GAN, "step", step)
    with pytest.raises(RunFailed, match="g_loss became nan in the step that ended at 160 images"):
        list(train(tiny(train={"guard": "off"}), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    assert run.state().startswith("failed: g_loss became nan")
    assert load(run.path, device="cpu").nimg == 120


def test_weights_that_are_not_finite_are_never_saved(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_step = GAN.step

    def step(self: GAN, batches: object) -> dict[str, torch.Tensor]:
        scalars = plain_step(self, batches)  # type: ignore[arg-type]
        if batches.nimg == 120:  # type: ignore[attr-defined]
            next(self.G.parameters()).data[0] = float("inf")
        return scalars

    monkeypatch.setattr(GAN, "step", step)
    with pytest.raises(RunFailed, match=r"G.layers.0.weight is no longer finite after 120 images"):
        list(train(tiny(train={"guard": "off"}), tmp_path / "run", device="cpu"))
    assert Run(tmp_path / "run").checkpoints.available() == [60]


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_write = files.write

    def full(path: Path, data: bytes) -> None:
        if path.name == "000000180.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        plain_write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", full)
        with pytest.raises(RunFailed, match="no space left"):
            list(train(tiny(), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    assert load(run.path, device="cpu").nimg == 120
    assert list(train(tiny(), tmp_path / "run", device="cpu"))[-1]["nimg"] == 240


def test_a_log_line_that_a_kill_cut_short_is_dropped(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    list(train(tiny(train={"images": 120}), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    with run.log.file.open("a") as file:
        file.write('{"nimg": 140, "d_lo')
    list(train(tiny(), tmp_path / "run", device="cpu"))
    assert [record["nimg"] for record in run.records()] == [40, 60, 80, 120, 160, 180, 200, 240]


def test_bf16_trains_where_it_is_asked_for(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    records = list(train(tiny(train={"precision": "bf16", "images": 120}), tmp_path / "run", device="cpu"))
    assert records[-1]["nimg"] == 120
    assert Run(tmp_path / "run").info().sessions[0].precision == "bf16"
    assert all(p.dtype == torch.float32 for p in load(tmp_path / "run").method.modules["G"].parameters())


def test_a_moment_of_adam_that_overflows_is_no_checkpoint(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    def poison(nimg: int, total: int) -> None:
        if nimg == 100:
            state = next(iter(found[0].optimizers["D"].state.values()))
            state["exp_avg_sq"].fill_(float("inf"))

    found: list[GAN] = []
    build = GAN.build
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GAN, "build", lambda self: (found.append(self), build(self))[1])
        with pytest.raises(RunFailed, match=r"optimizer.D.*exp_avg_sq.* is no longer finite after 120 images"):
            list(train(tiny(train={"guard": "off"}), tmp_path / "run", device="cpu", tick=poison))
    assert Run(tmp_path / "run").checkpoints.regular()[-1] < 120


def test_a_run_goes_on_in_the_number_format_that_it_began_in(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(train={"precision": "auto"})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {})
    for record in train(recipe, tmp_path / "run", device="cpu"):
        if record["nimg"] >= 80:
            break
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    list(train(tiny(train={"precision": "bf16"}), tmp_path / "other", device="cpu"))
    assert [session.precision for session in Run(tmp_path / "other").info().sessions] == ["fp32", "bf16"]
    with warned(match="continues in fp32, as it began; --precision bf16 would be faster here"):
        list(train(recipe, tmp_path / "run", device="cpu"))
    assert [session.precision for session in Run(tmp_path / "run").info().sessions] == ["fp32", "fp32"]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_cuda_too_resuming_equals_not_stopping(tiny: Callable[..., Recipe], tmp_path: Path, precision: str) -> None:
    recipe = tiny(method={"ema_images": 100}, train={"precision": precision})
    list(train(recipe, tmp_path / "straight", device="cuda"))
    train_until(100, recipe, tmp_path / "stopped", "cuda")
    list(train(recipe, tmp_path / "stopped", device="cuda"))
    assert same_tensors(newest(tmp_path / "straight"), newest(tmp_path / "stopped"))
    on_cpu, on_gpu = (load(tmp_path / "straight", device=device).sample(8).images for device in ("cpu", "cuda"))
    assert abs(on_cpu.astype(int) - on_gpu).max() <= 2


def test_a_run_without_its_checkpoints_keeps_its_log(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    list(train(tiny(), run.path, device="cpu"))
    before = run.log.file.read_bytes()
    shutil.rmtree(run.checkpoints.folder)
    with warned("has lost its checkpoints and begins anew: its log until now is kept in log.1.old"):
        list(train(tiny(), run.path, device="cpu"))
    assert (run.path / "log.1.old").read_bytes() == before
    assert len(run.records()) == len(before.splitlines())


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names there are Unicode")
def test_the_name_of_a_run_need_not_be_utf8(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    run = tmp_path / os.fsdecode(b"l\xe4uft")
    with warned("without TensorBoard") if find_spec("tensorboard") else nullcontext():
        list(train(tiny(), run, device="cpu"))
    assert Run(run).state() == "finished"
