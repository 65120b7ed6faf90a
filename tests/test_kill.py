"""SIGKILL at any moment, then the same command again: the weights of a run that was never stopped, bit for bit."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganvas.run import Run
from tests.conftest import same_tensors

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


def command(pictures: Path, out: Path) -> list[str]:
    settings = ["network.base=8", "train.batch_size=10", "train.checkpoint_every=100", "method.ema_images=100"]
    words = [
        "train",
        "strokes-cdcgan",
        "--data",
        str(pictures),
        "--out",
        str(out),
        "--images",
        "3000",
        "--device",
        "cpu",
    ]
    return [sys.executable, "-m", "ganvas", *words, "--set", *settings]


def finish(pictures: Path, out: Path) -> str:
    done = subprocess.run(command(pictures, out), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@posix_only
def test_killed_at_random_moments(pictures: Path, tmp_path: Path) -> None:
    finish(pictures, tmp_path / "straight")
    out, rng = tmp_path / "killed", random.Random(0)
    run = Run(out)
    for kill in range(3):
        process = subprocess.Popen(command(pictures, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (run.is_run() and len(run.info()["sessions"]) == kill + 1) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert run.state() == "killed"
    finish(pictures, out)
    straight, _ = Run(tmp_path / "straight").newest_checkpoint()
    killed, _ = run.newest_checkpoint()
    assert straight is not None
    assert killed is not None
    assert straight.values["nimg"] == killed.values["nimg"] == 3000
    assert same_tensors(straight.tensors, killed.tensors)
    assert len(run.info()["sessions"]) == 4
    assert run.state() == "finished"


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_checkpoints_and_exits_cleanly(pictures: Path, tmp_path: Path, number: signal.Signals) -> None:
    words = command(pictures, tmp_path / "run")
    words[words.index("3000")] = "3000000"
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = Run(tmp_path / "run")
    deadline = time.monotonic() + 120
    while not list(run.checkpoints.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The same command goes on from here" in out
    assert "Traceback" not in err
    state, _ = run.newest_checkpoint()
    assert state is not None
    assert state.values["nimg"] == run.records()[-1]["nimg"]
    assert run.state() == "stopped"
