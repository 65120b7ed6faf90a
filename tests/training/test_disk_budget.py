"""A run never takes more than its disk budget, and what that costs it is not its weights."""

import json
import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganvas.compute.device import choose
from ganvas.core import files, images
from ganvas.core.errors import RunFailed, UserError
from ganvas.core.images import ImageSpec
from ganvas.evaluation.compare import compare
from ganvas.evaluation.evaluate import evaluate
from ganvas.plotting.figures import draw_figures
from ganvas.recipes.recipe import Recipe
from ganvas.runs import checkpoint
from ganvas.runs.model import load
from ganvas.runs.run import Run
from ganvas.training import disk_budget, guard
from ganvas.training.disk_budget import Budget, fewer_evaluations, fewer_records, fewer_sheets, shares, sizes
from ganvas.training.train import train
from tests.cli.test_cli import ganvas
from tests.conftest import same_tensors, warned
from tests.evaluated import make_run

# -- sizes in words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("2GB", 2 * 10**9), ("2 GiB", 2**31), ("1.5 GiB", 3 * 2**29), ("500mb", 5 * 10**8), ("10k", 10**4)),
        *(("7", 7), ("7B", 7), (" 1 TB ", 10**12), ("2000000000.0", 2 * 10**9)),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert files.read_size(text) == size


@pytest.mark.parametrize("text", ["0", "-1", "lots", "", "GB", "2 GB or so", "0.5", "1e9", "nan", "2PB"])
def test_what_is_no_size_is_refused(text: str, tiny: Callable[..., Recipe]) -> None:
    with pytest.raises(ValueError, match="500MB"):
        files.read_size(text)
    with pytest.raises(UserError, match=r"setting 'train.disk_budget' is .*: write a size, such as .*or none for no"):
        tiny(train={"disk_budget": text})


def test_the_setting(tiny: Callable[..., Recipe]) -> None:
    assert tiny().train.disk_limit() == 2 * 10**9
    assert tiny(train={"disk_budget": 10**8}).train.disk_limit() == 10**8
    assert tiny(train={"disk_budget": "None"}).train.disk_limit() is None
    assert tiny().identity() == tiny(train={"disk_budget": "1MB"}).identity()
    assert files.say_size(2 * 10**9) == "2 GB" and files.say_size(14_150_000) == "14.2 MB"
    assert files.say_size(999_999) == "1 MB" and files.say_size(12) == "12 bytes"
    assert files.say_size(4.1e15) == "4,100 TB" and files.say_size(float("inf")) == "over 1,000,000 TB"


# -- what stays -------------------------------------------------------------------------------------------------------


def test_sheets_stay_at_geometric_distances() -> None:
    assert fewer_sheets(range(0, 101, 1), 9) == [0, 1, 2, 4, 8, 16, 32, 64, 100]
    assert fewer_sheets([0, 5, 10, 15], 3) == [0, 5, 15]
    assert fewer_sheets([0, 5], 3) == [0, 5]
    assert fewer_sheets([7, 9, 11, 13, 15], 4) == [7, 9, 11, 15]


@given(st.lists(st.integers(1, 10_000), min_size=3, max_size=200), st.integers(3, 40))
def test_sheets_that_arrive_one_by_one(steps: list[int], count: int) -> None:
    """What a run has dropped on the way is never among those that stay of all its sheets."""
    seen = np.cumsum([0, *steps]).tolist()
    kept: list[int] = []
    for nimg in seen:
        kept = fewer_sheets([*kept, nimg], count)
        assert len(kept) <= count and kept == sorted(set(kept))
        assert kept[0] == 0 and kept[-1] == nimg and (len(kept) < 3 or kept[1] == steps[0])
        assert set(kept) >= set(fewer_sheets([each for each in seen if each <= nimg], count))


def test_evenly_spaced_sheets_never_leave_a_hole() -> None:
    kept: list[int] = []
    for nimg in range(0, 100_001, 50):
        kept = fewer_sheets([*kept, nimg], 24)
    ratios = [(b + 50) / (a + 50) for a, b in pairwise(kept)]
    assert max(ratios) <= 2.05 and 12 <= len(kept) <= 24


def log_of(length: int, seed: int = 0) -> list[dict[str, Any]]:
    """Records as a run writes them: a score with every tenth, an evaluation with every thirtieth, some stops."""
    draw = random.Random(seed)
    often = draw.choice([0.2, 1.0])  # where D pauses, its loss is not in every record
    records = []
    for i in range(1, length + 1):
        record: dict[str, Any] = {"nimg": 10 * i, "g_loss": draw.uniform(0.001, 9)}
        record |= {"d_loss": draw.choice([0.001, draw.uniform(0.001, 9)])} if draw.random() < often else {}
        record |= {"diversity": draw.uniform(0, 1) ** 4, "movement": draw.choice([0.0, 0.0, 0.0, 0.5])}
        record |= {"score": draw.random()} if i % 10 == 0 else {}
        record |= {"classes": draw.choice([0.2, 0.4, 1.0])}
        record |= {"fid": draw.random()} if i % 30 == 0 else {}
        record |= {"stopped": True} if i % 10 and draw.random() < 0.02 else {}
        records.append(record)
    return records


def test_old_records_go_the_scored_ones_last() -> None:
    records = log_of(400)
    kept = fewer_records(records)
    assert 280 <= len(kept) <= 320
    assert kept[-200:] == records[-200:] and kept[0] == records[0]
    assert [r for r in kept if "score" in r] == [r for r in records if "score" in r]
    for _ in range(50):
        before, kept = kept, fewer_records(kept)
        assert len(kept) < len(before) or len(kept) <= disk_budget.LEAST_RECORDS
    assert len(kept) <= disk_budget.LEAST_RECORDS + 8
    assert kept[-30:] == records[-30:]


@pytest.mark.parametrize("seed", range(40))
def test_the_guard_says_the_same_of_a_thinned_log(seed: int) -> None:
    records = log_of(200 + seed, seed)
    whole = records[:100]
    thin = list(whole)
    for record in records[100:]:  # as in a run: thinned now and then, and it goes on
        whole, thin = [*whole, record], [*thin, record]
        if record["nimg"] % 70 == 0:
            thin = fewer_records(thin)
        assert guard.check(thin) == guard.check(whole)
        assert guard.horizon(thin) == guard.horizon(whole)
    assert len(thin) < len(whole)


def test_evaluations_go_from_the_fullest_protocol(tmp_path: Path) -> None:
    names = [
        tmp_path / f"{nimg:09d}-{key}.json" for nimg in range(10, 130, 10) for key in ("aa", "bb")[: 1 + nimg // 110]
    ]
    kept = fewer_evaluations(names, best=40)
    assert [int(file.stem[:9]) for file in names if file not in kept] == [20, 50, 70]
    assert tmp_path / "000000040-aa.json" in kept and {file for file in names if "bb" in file.name} <= set(kept)
    assert fewer_evaluations(names[:4], None) == names[:4]


def test_shares() -> None:
    many = shares(1000, 100, 10, keep=2, least=50)
    assert many["checkpoints"] == 60 and sum(many.values()) <= 900
    few = shares(1000, 100, 300, keep=2, least=50)
    assert few["checkpoints"] == 600 and sum(few.values()) <= 900
    assert shares(1000, 100, 420, keep=2, least=50)["checkpoints"] == 840


# -- making room ------------------------------------------------------------------------------------------------------


def test_checkpoints_go_in_order(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for nimg, score, stopped in (
        (10, 0.5, False),
        (20, 0.1, False),
        (30, 0.9, False),
        (40, 0.8, True),
        (50, 0.7, False),
    ):
        checkpoint.save(run.checkpoints.folder, nimg, {"x": torch.zeros(1000)}, {}, score=score, stopped=stopped)
    assert run.checkpoints.dispensable() == [10, 30, 40, 20]
    assert run.checkpoints.dispensable(horizon=15) == [30, 40, 10, 20]
    assert run.checkpoints.dispensable(horizon=30) == [10, 40, 30, 20]
    (run.checkpoints.folder / "000000030.safetensors.damaged").write_bytes(b"x" * 4000)
    (run.checkpoints.folder / "000000060.safetensors").write_bytes(b"x" * 4000)
    within = Budget(run, 1_000_000, checkpoint=5_000, sheet=1_000, keep=1, horizon=lambda: 30)
    within.begin()
    assert not within.dropped
    (run.path / "mine.bin").write_bytes(b"x" * 740_000)
    left = [run.checkpoints.available()]
    with pytest.raises(RunFailed, match="cannot stay within its disk budget of 1 MB: remove files of your own"):
        for size in range(5_000, 500_000, 500):
            within.reserve(run.checkpoints.folder / "000000070.safetensors", size)
            if left[-1] != run.checkpoints.available():
                left.append(run.checkpoints.available())
                assert not checkpoint.strays(run.checkpoints.folder)
    left.append(run.checkpoints.available())
    assert left == [[10, 20, 30, 40, 50], [20, 30, 40, 50], [20, 30, 50], [20, 50], [50], [50]]


def test_checkpoint_size_is_known_before_the_first_step(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    for method in ({}, {"ema_images": 100}, {"optimizer": "sgd"}):
        recipe = tiny(method=method, train={"images": 60})
        torch.manual_seed(0)
        built = recipe.build(ImageSpec(1, 16, 16, 3), choose("cpu"))
        state = torch.get_rng_state()
        size = disk_budget.checkpoint_size(built)
        assert torch.equal(state, torch.get_rng_state())
        assert not any(optimizer.state for optimizer in built.optimizers.values())
        out = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        list(train(recipe, out, device="cpu"))
        there = sum(file.stat().st_size for file in (out / "checkpoints").iterdir())
        assert there <= size <= 1.1 * there + 3_000


# -- in training ------------------------------------------------------------------------------------------------------

LIMIT = 700_000


class Killed(BaseException):
    """As sudden as SIGKILL: nothing is saved, nothing is written down."""


@pytest.fixture(scope="module")
def long(tiny: Callable[..., Recipe]) -> Callable[..., Recipe]:
    def make(**changes: Any) -> Recipe:
        often = {"log_every": 8, "sample_every": 40, "checkpoint_every": 200, "eval_every": 400, "eval_samples": 100}
        return tiny(
            network={"name": "mlp", "hidden": [8]},
            train={"images": 4800, "batch_size": 2, "guard": "stop", "disk_budget": LIMIT} | often | changes,
        )

    return make


class Meter:
    """The most bytes that a run directory has taken: looked at before each file takes its place, and on request."""

    def __init__(self, path: Path) -> None:
        self.path, self.peak, self.kill = path, 0, False

    def look(self) -> int:
        now = sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())
        self.peak = max(self.peak, now)
        return now

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        plain = Path.replace

        def replace(file: Path, target: Path) -> Path:
            self.look()
            if self.kill and target.suffix == ".safetensors":
                raise Killed
            return plain(file, target)

        patch.setattr(Path, "replace", replace)


@pytest.fixture(scope="module")
def trained(long: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Meter]]:
    """More than two thousand steps, 600 records, in 700 kB; killed on the way while a checkpoint is being written."""
    path = tmp_path_factory.mktemp("long") / "run"
    meter = Meter(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANVAS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        meter.watch(patch)
        with pytest.raises(Killed):
            for record in train(long(), path, device="cpu"):
                assert meter.look() <= LIMIT, record["nimg"]
                meter.kill = record["nimg"] > 3000
        meter.kill = False
        (path / "checkpoints" / ".000003200.safetensors.1.part").write_bytes(b"x" * 50_000)
        (path / "checkpoints" / "000003200.safetensors").write_bytes(b"x" * 50_000)
        for record in train(long(), path, device="cpu"):
            assert meter.look() <= LIMIT, record["nimg"]
        meter.look()
        yield path, meter


def test_it_never_takes_more(trained: tuple[Path, Meter]) -> None:
    path, meter = trained
    assert meter.peak <= LIMIT
    assert meter.peak > 0.6 * LIMIT, "the budget is there to be used"
    run = Run(path)
    assert run.state() == "finished"
    records, sheets = run.records(), [int(file.stem) for file in run.sheets()]
    assert len(records) < 600 and records[0]["nimg"] == 8
    assert [record["nimg"] for record in records[-32:]] == list(range(4552, 4801, 8))
    assert len(sheets) < 120 and sheets[:3] == [0, 40, 80] and sheets[-1] == 4800
    assert len(run.checkpoints.available()) >= 2 and not checkpoint.strays(run.checkpoints.folder)
    assert images.load_png(run.sheet_file)[0].shape[0] >= 3 * 18


def test_tensorboard_stays_within_its_share(trained: tuple[Path, Meter]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path, _ = trained
    assert 0 < sizes(path)["tensorboard"] <= disk_budget.kept_free(LIMIT)["tensorboard"]
    steps = [event.step for event in EventAccumulator(str(path / "tensorboard")).Reload().Scalars("d_loss")]
    assert steps == sorted(set(steps)) and steps[-1] == 4800 and steps[0] == 8


def test_the_weights_are_those_of_a_run_without_a_budget(
    trained: tuple[Path, Meter], long: Callable[..., Recipe], tmp_path: Path
) -> None:
    rarely = dict.fromkeys(("log_every", "sample_every", "checkpoint_every"), 4800)
    list(train(long(disk_budget="none", eval_every=0, **rarely), tmp_path / "free", device="cpu"))
    ends = [Run(path).checkpoints.newest()[0] for path in (trained[0], tmp_path / "free")]
    assert same_tensors(ends[0].tensors, ends[1].tensors)  # type: ignore[union-attr]


def test_everything_reads_a_thinned_run(trained: tuple[Path, Meter], capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = trained
    assert load(path, "best", "cpu").sample(3).images.shape == (3, 16, 16, 1)
    assert evaluate(path, "best", n=100, device="cpu").scores["kid"]
    assert compare([path]).tables
    assert {"losses", "monitors", "score", "epochs", "metrics"} <= {file.stem for file in draw_figures(path)}
    assert ganvas("runs", path.parent) == 0
    assert "4,800" in capsys.readouterr().out


# -- at the start -----------------------------------------------------------------------------------------------------


def test_a_budget_that_is_too_small_is_refused_and_nothing_is_written(
    tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(UserError, match=r"a disk budget of 500 kB is too small: two checkpoints of .* need") as refusal:
        list(train(tiny(train={"disk_budget": "500kB"}), out, device="cpu"))
    assert refusal.value.exit_code == 2 and "\n" not in str(refusal.value)
    assert not out.exists()
    enough = str(refusal.value).split("files need ")[1].split(":")[0]
    list(train(tiny(train={"disk_budget": enough, "images": 120}), out, device="cpu"))
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match="too small"):
        list(train(tiny(train={"disk_budget": "500kB"}), out, device="cpu"))
    assert before == {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}


def test_a_run_that_is_too_large_is_thinned_at_once(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    often = {"log_every": 20, "sample_every": 20, "checkpoint_every": 20, "keep": 9, "disk_budget": "none"}
    list(train(tiny(train=often), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    best, before = run.checkpoints.best(), run.checkpoints.newest()[0]
    one = (run.checkpoints.folder / "000000240.safetensors").stat().st_size
    limit = int((4.5 * one + 600_000) / 0.78)
    with warned(match=r"removed \d+ checkpoints.* from '.*run', to stay within its disk budget"):
        assert list(train(tiny(train=often | {"disk_budget": limit}), run.path, device="cpu")) == []
    assert sum(sizes(run.path).values()) <= limit
    assert {240, best} <= set(run.checkpoints.available()) and run.recipe().train.disk_limit() == limit
    assert same_tensors(before.tensors, run.checkpoints.newest()[0].tensors)  # type: ignore[union-attr]


def test_too_many_pictures_and_records_are_thinned_at_once(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    list(train(tiny(train={"images": 120}), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    record, sheet = run.records()[0], run.sheet(60).read_bytes()
    run.log.file.write_text("".join(json.dumps({**record, "nimg": i}) + "\n" for i in range(1, 121)) * 20)
    for nimg in range(1, 120):
        run.sheet(nimg).write_bytes(sheet + b"x" * 10_000)
    records = train(tiny(train={"disk_budget": "3MB"}), run.path, device="cpu")
    with warned(match=r"removed .*sample sheets.* from '.*'"):
        assert next(records)["nimg"] == 160
    assert sum(sizes(run.path).values()) <= 3_000_000
    assert len(list(records)) == 3
    seen = [int(file.stem) for file in run.sheets()]
    assert seen[:2] == [0, 1] and seen[-2:] == [180, 240]
    assert images.load_png(run.sheet_file)[0].shape[0] == 18 * len(seen)


def test_on_the_command_line(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "strokes-cdcgan", "--data", pictures, "--out", tmp_path / "run", "--images", 120]
    small = ["--device", "cpu", "--set", "network.base=4", "train.batch_size=20"]
    assert ganvas(*words, "--disk-budget", "lots", *small) == 2
    assert "write a size, such as 500MB" in capsys.readouterr().err
    assert ganvas(*words, "--disk-budget", "20 kB", *small) == 2
    shown = capsys.readouterr().err
    assert "too small" in shown and "Traceback" not in shown
    assert not (tmp_path / "run").exists()
    assert ganvas(*words, "--disk-budget", "2MB", *small) == 0
    shown = capsys.readouterr()
    assert "per checkpoint, about" in shown.err and "in total at the end; budget 2 MB" in shown.err
    assert "the disk budget has no room for them" in shown.out and not (tmp_path / "run" / "figures").exists()
    assert ganvas(*words, "--disk-budget", "none", *small) == 0
    assert (tmp_path / "run" / "figures" / "losses.png").is_file()
