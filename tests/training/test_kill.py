"""SIGKILL at any moment, then the same call again: the weights of a run that was never stopped, bit for bit."""

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from torch import Tensor

from ganvas.recipes.recipe import Recipe, from_dict
from ganvas.runs.run import Run
from ganvas.training.train import train
from tests.conftest import same_tensors
from tests.methods.test_contract import CASES, TOYS
from tests.processes import Moment, ended, ganvas, posix_only, start, wait_for

OFTEN = {"log_every": 20, "sample_every": 100, "checkpoint_every": 40}


def train_in_process(recipe: dict[str, Any], path: Path) -> None:
    for _ in train(from_dict(recipe), path, device="cpu"):
        pass


class Finished(NamedTuple):
    tensors: dict[str, Tensor]
    """of the last checkpoint"""
    seconds: float
    """of training"""


def finish(recipe: Recipe, path: Path) -> Finished:
    """Train to the end."""
    train_in_process(recipe.as_dict(), path)
    run = Run(path)
    assert run.state() == "finished"
    state, _ = run.checkpoints.newest()
    assert state is not None
    assert state.values["nimg"] == run.records()[-1]["nimg"] >= recipe.total_images(60)
    return Finished(state.tensors, run.records()[-1]["seconds"])


def kill_before_a_change(recipe: Recipe, path: Path, nth: int) -> int:
    """Train in a process that dies before the `nth` time that it changes the folder of the run; its exit code."""
    return ended(start(train_in_process, recipe.as_dict(), path, moment=Moment(path, nth)))


def kill_after(recipe: Recipe, path: Path, seconds: float) -> int:
    """Train in a process that is killed wherever it is so long after it began to train, if it still does."""
    run, process = Run(path), start(train_in_process, recipe.as_dict(), path)
    sessions = len(run.info().sessions) if run.is_run() else 0
    wait_for(lambda: process.exitcode is not None or (run.is_run() and len(run.info().sessions) > sessions))
    process.join(seconds)
    process.kill()
    return ended(process)


@pytest.fixture(scope="module")
def recipe(tiny: Callable[..., Recipe]) -> Recipe:
    return tiny(method={"ema_images": 100}, train={"images": 400, "batch_size": 10, **OFTEN})


@pytest.fixture(scope="module")
def straight(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(recipe, tmp_path_factory.mktemp("straight") / "run")


@posix_only
def test_killed_before_changes_of_its_folder(straight: Finished, recipe: Recipe, tmp_path: Path) -> None:
    """Before the first file, then between two files of a checkpoint, its note and the removal of an old one."""
    run = Run(tmp_path / "run")
    for nth in (1, 40, 41, 43, 17):
        assert kill_before_a_change(recipe, run.path, nth) == -signal.SIGKILL
        assert not run.is_run() if nth == 1 else run.state() == "killed"
    assert same_tensors(straight.tensors, finish(recipe, run.path).tensors)
    assert any(session.from_nimg > 0 for session in run.info().sessions)


@posix_only
def test_killed_at_random_moments(straight: Finished, recipe: Recipe, tmp_path: Path) -> None:
    """Wherever the moments fall: what it proves holds for all of them."""
    run, rng = Run(tmp_path / "run"), random.Random(0)
    for _ in range(4):
        assert kill_after(recipe, run.path, rng.uniform(0, straight.seconds / 2)) in (-signal.SIGKILL, 0)
    assert same_tensors(straight.tensors, finish(recipe, run.path).tensors)


@pytest.mark.slow
@posix_only
@pytest.mark.parametrize("name", [name for name in CASES if name not in TOYS])
def test_every_method_survives_kills(name: str, tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    """Each case of the contract, killed eight times: before random changes of its folder, and at random moments."""
    case = CASES[name]
    recipe = tiny(**{**case, "train": {**case.get("train", {}), "batch_size": 20, **OFTEN}})
    straight = finish(recipe, tmp_path / "straight")
    run, rng, kills = Run(tmp_path / "run"), random.Random(name), 0
    for attempt in range(8):
        if attempt % 2:
            code = kill_after(recipe, run.path, rng.uniform(0, straight.seconds / 2))
        else:
            code = kill_before_a_change(recipe, run.path, rng.randint(1, 80) if attempt else 60)
        assert code in (-signal.SIGKILL, 0)
        kills += code != 0
    assert same_tensors(straight.tensors, finish(recipe, run.path).tensors)
    begun = [session.from_nimg for session in run.info().sessions]
    assert begun[-1] > 0
    print(f"{name}: {kills} kills, sessions began after {begun} images, {len(straight.tensors)} tensors the same")


@pytest.fixture
def words(recipe: Recipe, tmp_path: Path) -> list[object]:
    """The command that trains the recipe in `tmp_path / "run"`."""
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    return ["train", tmp_path / "recipe.toml", "--out", tmp_path / "run", "--device", "cpu"]


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_checkpoints_and_exits_cleanly(
    straight: Finished, recipe: Recipe, words: list[object], tmp_path: Path, number: signal.Signals
) -> None:
    run, output = Run(tmp_path / "run"), tmp_path / "said.txt"
    at_a_record = Moment(run.path, 5, file="log.jsonl$", number=number)
    assert ended(ganvas(*words, output=output, moment=at_a_record)) == 130
    assert "The same command continues from here" in output.read_text()
    assert "Traceback" not in output.read_text()
    assert run.state() == "stopped"
    assert 0 < run.records()[-1]["nimg"] == run.checkpoints.available()[-1] < 400
    assert same_tensors(straight.tensors, finish(recipe, run.path).tensors)


@posix_only
def test_further_signals_do_not_cut_the_checkpoint_short(recipe: Recipe, words: list[object], tmp_path: Path) -> None:
    """A service manager sends SIGTERM to every process of a sweep, and then the sweep sends it to its own."""
    run, output = Run(tmp_path / "run"), tmp_path / "said.txt"
    again_and_again = Moment(run.path, 5, file="log.jsonl$", number=signal.SIGTERM, again=True)
    assert ended(ganvas(*words, output=output, moment=again_and_again)) == 130
    assert run.state() == "stopped"
    state, damages = run.checkpoints.newest()
    assert state is not None and state.values["nimg"] == run.records()[-1]["nimg"] and not damages


@posix_only
def test_a_painting_that_is_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "art").mkdir()
    words = ["paint", "--random", "tanh:8x64", "--size", 20_000, "--out", tmp_path / "art" / "x.png"]
    process = ganvas(*words, output=tmp_path / "said.txt")
    wait_for(lambda: any((tmp_path / "art").iterdir()))
    process.terminate()
    assert ended(process) == 128 + signal.SIGTERM
    assert "Traceback" not in (tmp_path / "said.txt").read_text()
    assert not list((tmp_path / "art").iterdir())
