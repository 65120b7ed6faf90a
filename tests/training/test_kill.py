"""SIGKILL at any moment, then the same command again: the weights of a run that was never stopped, bit for bit."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from ganvas.runs.run import Run
from tests.conftest import same_tensors

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


IMAGES = 2000


def command(pictures: Path, out: Path) -> list[str]:
    settings = ["network.base=8", "train.batch_size=10", "train.checkpoint_every=200", "method.ema_images=100"]
    words = ["train", "strokes-cdcgan", "--data", str(pictures), "--out", str(out), "--images", str(IMAGES)]
    return [sys.executable, "-m", "ganvas", *words, "--device", "cpu", "--set", *settings]


def start(pictures: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(command(pictures, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finish(pictures: Path, out: Path) -> dict[str, Tensor]:
    """Run to the end; the tensors of the last checkpoint."""
    done = subprocess.run(command(pictures, out), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert Run(out).state() == "finished"
    state, _ = Run(out).checkpoints.newest()
    assert state is not None
    assert state.values["nimg"] == IMAGES
    return state.tensors


@pytest.fixture(scope="module")
def straight(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    return finish(pictures, tmp_path_factory.mktemp("straight") / "run")


@posix_only
def test_killed_at_random_moments(straight: dict[str, Tensor], pictures: Path, tmp_path: Path) -> None:
    run, rng = Run(tmp_path / "run"), random.Random(0)
    for kill in range(3):
        process = start(pictures, run.path)
        wait_for(lambda kill=kill: run.is_run() and len(run.info().sessions) > kill)
        if kill < 2:  # the last one dies as soon as it begins
            seen = len(run.records())
            wait_for(lambda seen=seen: len(run.records()) > seen)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        assert run.state() == "killed"
    assert same_tensors(straight, finish(pictures, run.path))
    assert any(session.from_nimg > 0 for session in run.info().sessions)


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_checkpoints_and_exits_cleanly(
    straight: dict[str, Tensor], pictures: Path, tmp_path: Path, number: signal.Signals
) -> None:
    run = Run(tmp_path / "run")
    process = start(pictures, run.path)
    wait_for(lambda: bool(list(run.checkpoints.folder.glob("*.json"))))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The same command continues from here" in out
    assert "Traceback" not in err
    assert run.state() == "stopped"
    assert run.records()[-1]["nimg"] == max(int(file.stem) for file in run.checkpoints.folder.glob("*.json"))
    assert same_tensors(straight, finish(pictures, run.path))


@posix_only
def test_a_painting_that_is_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    words = ["paint", "--random", "tanh:8x64", "--size", "20000", "--out", str(tmp_path / "x.png")]
    process = subprocess.Popen([sys.executable, "-m", "ganvas", *words], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any(tmp_path.iterdir()))
    process.terminate()
    _, said = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


@posix_only
def test_a_second_sigterm_does_not_cut_the_checkpoint_short(pictures: Path, tmp_path: Path) -> None:
    """As a service manager sends it to every process of a sweep, and then the sweep to its own."""
    run = Run(tmp_path / "run")
    process = start(pictures, run.path)
    wait_for(lambda: len(run.records()) > 0)
    for _ in range(20):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.005)
    process.communicate()
    assert run.state() == "stopped"
    assert run.checkpoints.newest()[0].values["nimg"] == run.records()[-1]["nimg"]  # type: ignore[union-attr]
