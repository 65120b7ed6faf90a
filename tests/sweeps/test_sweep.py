"""Sweeps: their plans and their journal with processes that only pretend to train, and a few with real ones."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import pytest

from ganvas import sweeps
from ganvas.core.errors import UserError
from ganvas.core.settings import parse_assignments
from ganvas.plotting.several_runs import BAND
from ganvas.recipes.recipe import Recipe
from ganvas.runs.run import IN_USE, Run
from ganvas.sweeps import Plan, Range, Sweep, Trial, processes
from ganvas.sweeps.info import write_plan
from ganvas.sweeps.journal import to_setting
from ganvas.sweeps.results import to_csv
from tests.evaluated import content, make_run
from tests.processes import ended, ganvas, posix_only, wait_for


def grid(recipe: Recipe, *words: str, **more: Any) -> Plan:
    return Plan(recipe, sweeps.read_varied(words), **{"samples": 100, **more})


def search(recipe: Recipe, *words: str, trials: int = 4, **more: Any) -> Plan:
    return Plan(recipe, sweeps.read_varied(words, ranges=True), trials=trials, samples=100, **more)


def last(sweeping: Sweep) -> dict[str, Trial]:
    """Run a sweep to its end; its trials by name."""
    *_, found = sweeping.run()
    return {trial.name: trial for trial in found}


class Pretended:
    """What stands for `ganvas train` and `ganvas evaluate`: it makes up a run, and scores it by its settings."""

    def __init__(self, score: Callable[[dict[str, Any]], float] = lambda method: method.get("g_steps", 0)) -> None:
        self.score = score
        self.evaluator = "cifar10"
        self.trained: list[str] = []
        self.threads: set[int] = set()
        self.failing: set[str] = set()
        self.locked: set[str] = set()  # by a process that ends before the sweep looks again

    def __call__(self, words: Sequence[str], log: Path, threads: int, folder: Path, stop: Callable[[], int]) -> int:
        self.threads.add(threads)
        with log.open("a") as output:
            output.write(f"{words[0]}\n")
        if words[0] == "train":
            path = Path(words[words.index("--out") + 1])
            self.trained.append(path.name)
            if path.name in self.locked:
                self.locked.remove(path.name)
                with log.open("a") as output:
                    output.write(f"error: '{path}' {IN_USE}: wait for it, or use another --out\n")
                return 2
            if path.name in self.failing:
                with log.open("a") as output:
                    output.write("error: g_loss became nan: lower the learning rate\n")
                return 1
            settings = parse_assignments(words[words.index("--set") + 1 :])
            run = Run(path) if path.exists() else make_run(path)
            for i in range(8):
                balance = 1.0 if i < 6 else settings["method"].get("g_steps", 1)
                run.log.append(
                    {"nimg": 60_000 * (i + 1), "d_loss": 1.0, "g_loss": balance, "diversity": 0.5, "seconds": i}
                )
            (path / "settings.json").write_text(json.dumps(settings))
            return 0
        settings = json.loads((Path(words[1]) / "settings.json").read_text())
        result = Path(words[words.index("--json") + 1])
        result.parent.mkdir(exist_ok=True)
        scores = {"kid": (self.score(settings["method"]), 0.5)}
        evaluator = {"name": self.evaluator, "sha256": self.evaluator, "size": 32, "resize": "none"}
        result.write_text(json.dumps(content(60_000, scores, evaluator=evaluator)))
        return 0


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    pytest.importorskip("optuna")
    stands_in = Pretended()
    monkeypatch.setattr(processes, "run_ganvas", stands_in)
    return stands_in


# -- what to vary -----------------------------------------------------------------------------------------------------


def test_words_become_values_and_ranges() -> None:
    words = ["method.g_steps=1,2", "network.name=dcgan,mlp", "network.units=[8,16],[32]", "method.conditional=true"]
    assert sweeps.read_varied(words) == {
        "method.g_steps": [1, 2],
        "network.name": ["dcgan", "mlp"],
        "network.units": [[8, 16], [32]],
        "method.conditional": [True],
    }
    ranges = sweeps.read_varied(["method.lr=1e-5..1e-3", "method.g_steps=1..8", "method.beta1=0..0.9"], ranges=True)
    assert ranges == {"method.lr": (1e-5, 1e-3), "method.g_steps": (1, 8), "method.beta1": (0.0, 0.9)}
    assert isinstance(ranges["method.g_steps"][0], int) and isinstance(ranges["method.beta1"][0], float)
    assert [Range(*ends).log for ends in ((1e-5, 1e-3), (1, 10), (1, 8), (0, 100), (-1, 1))] == [True, True] + [
        False
    ] * 3


def test_names_are_short_and_tell_points_apart(tiny: Callable[..., Recipe]) -> None:
    plan = grid(tiny(), "method.g_steps=1,4", "method.lr=1e-5,0.0002", seeds=2)
    assert [plan.name(point, 1) for point in plan.points()] == [
        f"g_steps={steps},lr={rate},seed=1" for steps in (1, 4) for rate in ("1e-05", "0.0002")
    ]
    rules = ["train.schedule.lr.factor=0.5", "train.schedule.g_steps.factor=0.25"]
    (point,) = (plan := grid(tiny(), *rules)).points()
    assert plan.name(point) == "train.schedule.lr.factor=0.5,train.schedule.g_steps.factor=0.25"
    assert len(grid(tiny(), "method.g_steps=1,1,2").points()) == 2


def test_a_setting_may_be_given_by_its_other_name(tiny: Callable[..., Recipe]) -> None:
    plan = grid(tiny(), "method.g_advantage=1,4")
    assert plan.name(plan.points()[1]) == "g_advantage=4"
    assert plan.recipe_of(plan.points()[1]).method.model_dump()["g_steps"] == 4


@pytest.mark.parametrize(
    ("words", "more", "message"),
    [
        ([], {}, "nothing to vary"),
        (["method.g_steps"], {}, "cannot read 'method.g_steps': write it as method.g_steps=1,2,4"),
        (["method.g_steps=1,,2"], {}, "cannot read"),
        (["g_steps=1"], {}, "cannot read"),
        (["method.lr=1e-5..1e-3"], {}, "ranges are for --search"),
        (["method.lr=1", "method.lr=2"], {}, "varied twice"),
        (["train.seed=1,2"], {}, "use --seeds"),
        (["method.g_step=1,2"], {}, "did you mean 'g_steps'?"),
        (["method.g_steps=1,0"], {}, "method.g_steps"),
        (["method.g_steps=1"], {"seeds": 0}, "--seeds is 0"),
        (["method.g_steps=1"], {"seeds": 10**23}, f"--seeds is {10**23}: ask for 10,000 or fewer"),
        (["method.g_steps=1"], {"samples": 10**23}, "samples take .*: score fewer"),
        ([f"method.{key}={','.join(map(str, range(1, 102)))}" for key in ("lr", "g_steps")], {}, "more than 10,000"),
        (["method.g_steps=1"], {"by": "kidd"}, "did you mean 'kid'?"),
    ],
)
def test_a_mistake_in_a_grid(tiny: Callable[..., Recipe], words: list[str], more: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        grid(tiny(), *words, **more)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("method.lr=1e-3..1e-5", "from a smaller to a larger"),
        ("method.lr=a..b", "write a range of numbers"),
        ("method.lr=0..inf", "from a smaller to a larger"),
        ("method.beta1=0..2", "method.beta1"),
        ("network.base=8,x", "network.base"),
    ],
)
def test_a_mistake_in_a_search(tiny: Callable[..., Recipe], word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        search(tiny(), word)


def test_a_search_of_too_many_trials_is_refused(tiny: Callable[..., Recipe]) -> None:
    assert search(tiny(), "method.lr=1e-4..1e-3", trials=10_000).trials == 10_000
    with pytest.raises(UserError, match="--trials is 10001: ask for 10,000 or fewer"):
        search(tiny(), "method.lr=1e-4..1e-3", trials=10_001)


# -- its file ---------------------------------------------------------------------------------------------------------


def test_a_plan_is_read_as_it_was_written(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    plan = search(tiny(), "method.lr=1e-5..1e-3", "method.g_steps=1..3", "network.base=4,8", seeds=2, by="fid")
    write_plan(plan, tmp_path)
    read = sweeps.read_plan(tmp_path)
    assert read == plan
    steps = read.varied["method.g_steps"]
    assert isinstance(steps, Range) and type(steps.low) is int  # whole numbers stay whole


def test_a_plan_of_version_1_can_be_read(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    plan = search(tiny(), "method.lr=1e-05..0.001", "network.base=4,8")
    write_plan(plan, tmp_path)
    varied = {"method.lr": {"low": 1e-05, "high": 0.001}, "network.base": [4, 8]}
    old = {"format": 1, "varied": varied, "trials": 4, "seeds": 1, "by": "kid", "samples": 100}
    (tmp_path / "sweep.json").write_text(json.dumps(old))
    assert sweeps.read_plan(tmp_path) == plan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", "is not the plan of a sweep"),
        ("[]", "is not the plan of a sweep"),
        ({"varied": {}}, "is damaged .*nothing to vary"),
        ({"varied": {"method.g_steps": []}}, "is not the plan of a sweep: varied.method.g_steps"),
        ({"varied": {"method.g_steps": {"low": 1}}}, "is not the plan of a sweep: varied.method.g_steps"),
        ({"varied": {"method.g_step": [1]}}, "is damaged .*did you mean 'g_steps'"),
        ({"seeds": "two"}, "is not the plan of a sweep: seeds"),
        ({"samples": 1}, "is damaged .*--samples is 1"),
        ({"version": 99}, "was written by a later version of ganvas"),
    ],
)
def test_another_file_is_refused(
    tiny: Callable[..., Recipe], tmp_path: Path, change: str | dict[str, Any], message: str
) -> None:
    write_plan(grid(tiny(), "method.g_steps=1,2"), tmp_path)
    file = tmp_path / "sweep.json"
    file.write_text(change if isinstance(change, str) else json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(UserError, match=message) as refused:
        sweeps.read_plan(tmp_path)
    assert "\n" not in str(refused.value)
    file.unlink()
    with pytest.raises(UserError, match="cannot read"):
        sweeps.read_plan(tmp_path)


# -- the journal ------------------------------------------------------------------------------------------------------


def test_a_grid_runs_once_and_grows(tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended) -> None:
    plan = grid(tiny(), "method.g_steps=1,2")
    found = last(Sweep(plan, tmp_path / "s"))
    assert pretended.trained == list(found) == ["g_steps=1,seed=1", "g_steps=2,seed=1"]
    assert {trial.state for trial in found.values()} == {"finished"}
    assert found["g_steps=2,seed=1"].scores["kid"] == (2, 0.5)
    assert found["g_steps=2,seed=1"].total == 240
    assert sweeps.read_plan(tmp_path / "s") == plan
    last(Sweep(plan, tmp_path / "s"))
    assert len(pretended.trained) == 2  # nothing twice
    more = grid(tiny(), "method.g_steps=1,2,4", seeds=2)
    assert set(last(Sweep(more, tmp_path / "s", jobs=3))) == {
        f"g_steps={g},seed={s}" for g in (1, 2, 4) for s in (1, 2)
    }
    assert len(pretended.trained) == len(set(pretended.trained)) == 6


def test_jobs_share_the_cores(
    tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    last(Sweep(grid(tiny(), "method.g_steps=1"), tmp_path / "a", jobs=3))
    last(Sweep(grid(tiny(), "method.g_steps=1"), tmp_path / "b", jobs=8))
    assert pretended.threads == {2, 1}


def test_a_failure_is_kept_and_the_sweep_goes_on(
    tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended
) -> None:
    plan = grid(tiny(), "method.g_steps=1,2,4")
    pretended.failing = {"g_steps=2,seed=1"}
    found = last(Sweep(plan, tmp_path / "s"))
    assert [trial.state for trial in found.values()] == ["finished", "failed", "finished"]
    assert found["g_steps=2,seed=1"].reason == "g_loss became nan: lower the learning rate"
    assert "g_steps=2,seed=1 failed: g_loss became nan" in (tmp_path / "s" / "table.md").read_text()
    last(Sweep(plan, tmp_path / "s"))
    assert len(pretended.trained) == 3  # not again
    pretended.failing = set()
    assert last(Sweep(plan, tmp_path / "s", retry=True))["g_steps=2,seed=1"].state == "finished"
    assert pretended.trained[3:] == ["g_steps=2,seed=1"]


def test_the_lock_of_an_orphan_is_no_failure(tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended) -> None:
    """A killed sweep may leave a process that still trains: the next sweep waits for it, and continues the run."""
    pretended.locked = {"g_steps=1,seed=1"}
    found = last(Sweep(grid(tiny(), "method.g_steps=1"), tmp_path / "s"))
    assert found["g_steps=1,seed=1"].state == "finished"
    assert pretended.trained == ["g_steps=1,seed=1"] * 2


def test_what_a_kill_leaves_behind(tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended) -> None:
    """A trial that runs in the journal, a line cut short, and the lock of the journal."""
    plan = grid(tiny(), "method.g_steps=1,2")
    sweeping = Sweep(plan, tmp_path / "s")
    steps = sweeping.run()
    next(steps)
    killed = sweeping.journal.study.ask().user_attrs["name"]
    steps.close()
    journal = tmp_path / "s" / "journal.log"
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 6, "wor')
    (tmp_path / "s" / "journal.log.lock").symlink_to(journal)
    found = last(Sweep(plan, tmp_path / "s"))
    assert pretended.trained == [killed, "g_steps=2,seed=1"]
    assert [(trial.number, trial.state) for trial in found.values()] == [(0, "finished"), (1, "finished")]


def test_lengths_in_epochs_take_the_place_of_that_in_images(tiny: Callable[..., Recipe]) -> None:
    plan = grid(tiny(train={"images": 240}), "train.epochs=1,2")
    assert [plan.recipe_of(point).total_images(60) for point in plan.points()] == [60, 120]


def test_another_sweep_in_the_folder_is_refused(
    tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended
) -> None:
    folder = tmp_path / "s"
    last(Sweep(grid(tiny(), "method.g_steps=1,2", seeds=2), folder))
    asked = {
        "method.lr=0.0002, not 0.1": grid(tiny(method={"lr": 0.1}), "method.g_steps=1,2", seeds=2),
        "train.images=240, not 60": grid(tiny(train={"images": 60}), "method.g_steps=1,2", seeds=2),
        "method.g_steps=1,2, not 1,4": grid(tiny(), "method.g_steps=1,4", seeds=2),
        "other values of method.g_steps, not of method.d_steps": grid(tiny(), "method.d_steps=1,2", seeds=2),
        "a grid, not a search": search(tiny(), "method.g_steps=1,2", seeds=2),
        "--by kid, not recall": grid(tiny(), "method.g_steps=1,2", seeds=2, by="recall"),
        "--seeds 2: ask for as many or more": grid(tiny(), "method.g_steps=1,2", seeds=1),
    }
    before = {file: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    for message, plan in asked.items():
        with pytest.raises(UserError, match="is a sweep with ") as refused:
            last(Sweep(plan, folder))
        assert message in str(refused.value) and "\n" not in str(refused.value)
    assert before == {file: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_one_process_to_a_folder(tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended) -> None:
    plan = grid(tiny(), "method.g_steps=1")
    (tmp_path / "s").mkdir()
    with filelock.FileLock(tmp_path / "s" / ".lock"), pytest.raises(UserError, match="in use by another sweep"):
        last(Sweep(plan, tmp_path / "s"))
    make_run(tmp_path / "run")
    with pytest.raises(UserError, match="holds a run"):
        last(Sweep(plan, tmp_path / "run"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        last(Sweep(plan, tmp_path / "file"))
    for jobs in (0, 10**23):
        with pytest.raises(UserError, match=f"--jobs is {jobs}: ask for 1 to 1,000"):
            Sweep(plan, tmp_path / "s", jobs=jobs)


def test_a_search_finds_its_way_and_goes_on(tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended) -> None:
    pretended.score = lambda method: abs(method["lr"] - 1e-4) + 1e-5 * method["g_steps"]
    words = ["method.lr=1e-5..1e-3", "method.g_steps=1..3", "network.base=4,8"]
    found = last(Sweep(search(tiny(), *words, trials=8), tmp_path / "s", jobs=2))
    assert len(found) == 8 and {trial.state for trial in found.values()} == {"finished"}
    for trial in found.values():
        assert 1e-5 <= trial.point["method.lr"] <= 1e-3 and len(f"{trial.point['method.lr']:.6g}") <= 9
        assert type(trial.point["method.g_steps"]) is int and trial.point["network.base"] in (4, 8)
    more = last(Sweep(search(tiny(), *words, trials=10, seeds=2), tmp_path / "s", jobs=2))
    assert len(more) == 20 and set(found) <= set(more)
    assert len(pretended.trained) == len(set(pretended.trained)) == 20
    with pytest.raises(UserError, match=r"method.g_steps=1..3, not 1..4"):
        last(Sweep(search(tiny(), words[0], "method.g_steps=1..4", words[2], trials=10, seeds=2), tmp_path / "s"))
    rows = sweeps.table(search(tiny(), *words), list(more.values()))[1]
    kids = [float(row[3].split()[0]) for row in rows]
    assert kids == sorted(kids) and len(rows) == 10


def test_a_drawn_value_is_rounded_within_its_range() -> None:
    optuna = pytest.importorskip("optuna")
    near_one = optuna.distributions.FloatDistribution(0.999, 0.99999)
    assert to_setting(0.99998, near_one) == 0.99999
    assert to_setting(0.123456, optuna.distributions.FloatDistribution(0, 1)) == pytest.approx(0.1235, abs=1e-3)
    assert to_setting("[1, 2]", near_one) == [1, 2]


def test_a_search_ends_when_it_has_seen_every_point(
    tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended
) -> None:
    found = last(Sweep(search(tiny(), "method.g_steps=1..3", trials=20), tmp_path / "s"))
    assert sorted(trial.point["method.g_steps"] for trial in found.values()) == [1, 2, 3]


def test_a_search_over_lists_tries_every_point_once_and_then_lets_the_journal_be(
    tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended
) -> None:
    pretended.score = lambda method: method["g_steps"] * method.get("lr", 1)
    words = ["method.g_steps=1,2,3,4", "method.lr=1e-5,1e-4,1e-3,1e-2"]
    sweeping = Sweep(search(tiny(), *words, trials=16), tmp_path / "s")
    assert len(last(sweeping)) == len(set(pretended.trained)) == 16
    few = Sweep(search(tiny(), "method.g_steps=1,2,2", trials=20), tmp_path / "few")
    assert len(last(few)) == 2
    length = len(few.journal.study.trials)
    assert few.journal.next() is None and len(few.journal.study.trials) == length


def test_a_gpu_by_number_is_of_this_machine_alone(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="use --device cuda"):
        Sweep(grid(tiny(), "method.g_steps=1"), tmp_path / "s", device="cuda:1", on="ray")


def test_a_score_that_evaluations_lack(tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended) -> None:
    """A grid can do without; a search cannot."""
    found = last(Sweep(grid(tiny(), "method.g_steps=1", by="fid"), tmp_path / "grid"))
    assert [(trial.state, list(trial.scores)) for trial in found.values()] == [("finished", ["kid"])]
    (trial,) = last(Sweep(search(tiny(), "method.g_steps=1..3", trials=1, by="fid"), tmp_path / "search")).values()
    assert trial.state == "failed"
    assert trial.reason == "the evaluation has no fid: choose --by one of its scores (kid)"


def test_scores_by_two_evaluators_are_not_mixed(
    tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended
) -> None:
    """As on a machine where somebody installs `imagenet` between two sessions."""
    last(Sweep(grid(tiny(), "method.g_steps=1"), tmp_path / "s"))
    pretended.evaluator = "imagenet"
    found = last(Sweep(grid(tiny(), "method.g_steps=1,2"), tmp_path / "s"))
    assert {name: trial.state for name, trial in found.items()} == {
        "g_steps=1,seed=1": "finished",
        "g_steps=2,seed=1": "failed",
    }
    assert found["g_steps=2,seed=1"].reason.startswith("the evaluator is 'imagenet', but earlier runs were scored by")
    pretended.evaluator = "cifar10"
    found = last(Sweep(grid(tiny(), "method.g_steps=1,2"), tmp_path / "s", retry=True))
    assert [trial.state for trial in found.values()] == ["finished", "finished"]


def test_a_failed_point_of_a_search_is_taken_up_with_its_settings(
    tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended
) -> None:
    words = ["method.lr=1e-5..1e-3", "network.base=4,8"]
    (first,) = last(Sweep(search(tiny(), *words, trials=1), tmp_path / "a")).values()
    pretended.failing = {first.name}
    assert [trial.state for trial in last(Sweep(search(tiny(), *words, trials=1), tmp_path / "s")).values()] == [
        "failed"
    ]
    pretended.failing = set()
    sweeping = Sweep(search(tiny(), *words, trials=1, seeds=2), tmp_path / "s", retry=True)
    found = last(sweeping)
    assert [(trial.state, trial.point) for trial in found.values()] == [("finished", first.point)] * 2
    assert len({json.dumps(trial.params) for trial in sweeping.journal.study.trials}) == 1


# -- results ----------------------------------------------------------------------------------------------------------


def test_tables_and_figure(tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended) -> None:
    pretended.score = lambda method: method["g_steps"] + len(pretended.trained)
    plan = grid(tiny(), "method.g_steps=1,4", seeds=2)
    found = list(last(Sweep(plan, tmp_path / "s")).values())
    header, body = sweeps.table(plan, found)
    assert header == ["settings", "runs", "balance", "KID ↓", "diversity", "seconds"]
    assert body[1] == ["g_steps=4", "2", "1.386 ± 0", "7.0 ± 1.4", "0.5 ± 0", "7 ± 0"]  # ln 4; KID 6 and 8
    assert "| g_steps=4 | 2 | 1.386 ± 0 | 7.0 ± 1.4 |" in (tmp_path / "s" / "table.md").read_text()
    with (tmp_path / "s" / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["seed"], row["kid"]) for row in rows][-1] == ("g_steps=4,seed=2", "2", "8.0")
    assert float(rows[1]["balance"]) == pytest.approx(1.3863, abs=1e-4)
    drawn = sweeps.figure(plan, found)
    assert drawn is not None
    shown = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert shown == {"g_steps=1, mean of 2 seeds", "g_steps=4, mean of 2 seeds", BAND}
    assert (tmp_path / "s" / "sweep.png").stat().st_size > 1000 and (tmp_path / "s" / "sweep.svg").is_file()


def test_no_cell_of_the_csv_is_a_formula(tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended) -> None:
    plan = grid(tiny(), "method.g_steps=1,2")
    (trial, other) = last(Sweep(plan, tmp_path / "s")).values()
    bad = replace(trial, state="failed", reason='=HYPERLINK("x")', point={"method.g_steps": "@SUM(A1)"})
    rows = list(csv.reader(to_csv(plan, [bad, replace(other, point={"method.g_steps": -0.5})]).splitlines()))
    for cell in (cell for row in rows for cell in row):
        assert cell[:1] not in ("=", "+", "@") and (cell[:1] != "-" or float(cell) < 0)
    assert rows[1][4] == '\'=HYPERLINK("x")' and rows[2][1] == "-0.5"


def test_losses_without_a_balance_leave_the_scores(
    tiny: Callable[..., Recipe], tmp_path: Path, pretended: Pretended
) -> None:
    plan = grid(tiny(), "method.g_steps=1,4")
    found = list(last(Sweep(plan, tmp_path / "s")).values())
    for trial in found:
        log = trial.run.log.file
        log.write_text(re.sub(r'"d_loss": ?1\.0', '"d_loss": -1.0', log.read_text()))
    assert sweeps.table(plan, found)[1][0][2] == "-"
    drawn = sweeps.figure(plan, found)
    assert drawn is not None
    assert drawn.axes[0].lines[0].get_xydata().tolist() == [[1, 1], [4, 4]]


# -- real processes ---------------------------------------------------------------------------------------------------

SMALL = ["network.base=4", "train.batch_size=20"]


def command(pictures: Path, out: Path, images: int, *words: str, settings: Sequence[str] = ()) -> list[str]:
    """A sweep of one seed on the command line."""
    usual = ["--data", str(pictures), "--out", str(out), "--images", str(images), "--samples", "100"]
    return ["sweep", "strokes-cdcgan", *usual, "--device", "cpu", *words, "--set", *SMALL, *settings]


@posix_only
def test_a_real_sweep_with_a_failing_trial(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    out, output = tmp_path / "s", tmp_path / "said.txt"
    words = command(pictures, out, 60, "--grid", "method.lr=2e-4,1e30", "--jobs", "2", settings=["train.guard=off"])
    assert ended(ganvas(*words, output=output)) == 0
    said = output.read_text()
    lines = {line.split("  ")[0]: line for line in said.splitlines()}
    assert "finished" in lines["lr=0.0002,seed=0"] and "60 / 60" in lines["lr=0.0002,seed=0"]
    assert "failed" in lines["lr=1e+30,seed=0"] and "the learning rate" in lines["lr=1e+30,seed=0"]
    assert Run(out / "lr=0.0002,seed=0").state() == "finished"
    assert Run(out / "lr=1e+30,seed=0").state().startswith("failed")
    assert "KID ↓" in said and "table.md" in said
    assert all((out / name).is_file() for name in ("table.md", "sweep.csv", "sweep.png", "sweep.svg"))


@posix_only
def test_stopped_killed_and_resumed(pictures: Path, tmp_path: Path) -> None:
    """Ctrl-C lets the run checkpoint; kill -9 leaves a process that trains on, which the next sweep waits for."""
    pytest.importorskip("optuna")
    out, output = tmp_path / "s", tmp_path / "said.txt"
    run = Run(out / "g_steps=1,seed=0")
    words = command(pictures, out, 3000, "--grid", "method.g_steps=1", settings=["train.checkpoint_every=200"])

    process = ganvas(*words, output=output)
    wait_for(lambda: bool(list(run.checkpoints.folder.glob("*.json"))))
    os.kill(process.pid or 0, signal.SIGINT)
    code = ended(process)
    if code == 0:
        pytest.skip("the sweep was at its end before the signal reached it")
    assert code == 130, output.read_text()
    assert "Stopped after 0 runs. The same command continues from here." in output.read_text()
    assert run.state() == "stopped"
    seen = run.records()[-1]["nimg"]
    assert 0 < seen < 3000

    process = ganvas(*words, output=output)
    wait_for(lambda: len(run.info().sessions) == 2)
    process.kill()
    assert ended(process) == -signal.SIGKILL
    assert run.in_use() or run.state() == "finished"  # the training goes on without its sweep

    assert ended(ganvas(*words, output=output)) == 0, output.read_text()
    assert run.state() == "finished" and run.records()[-1]["nimg"] == 3000
    assert [session.from_nimg for session in run.info().sessions] == [0, seen, 3000]  # nothing was left to train
    assert (out / "table.md").is_file()


@posix_only
def test_on_a_local_ray(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    out = tmp_path / "s"
    words = command(pictures, out, 240, "--grid", "method.g_steps=1,2", "--jobs", "2", "--on", "ray")
    done = subprocess.run([sys.executable, "-m", "ganvas", *words], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert {Run(out / f"g_steps={steps},seed=0").state() for steps in (1, 2)} == {"finished"}
    assert (out / "table.md").read_text().count("| g_steps=") == 2
