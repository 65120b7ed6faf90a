"""A library leaves the process as it was: signals, warnings, random numbers, switches of torch."""

import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganvas.compute.device import deterministic
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import load
from ganvas.runs.run import Run
from ganvas.training.train import train


def settings_of_the_process() -> list[Any]:
    cudnn = torch.backends.cudnn
    switches = [cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32]
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return [switches, handlers, list(warnings.filters), torch.get_rng_state().tolist()]


def test_training_and_sampling_leave_the_process_as_it_was(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    before = settings_of_the_process()
    list(train(tiny(), tmp_path / "run", device="cpu"))
    assert settings_of_the_process() == before
    for _ in train(tiny(), tmp_path / "closed", device="cpu"):
        break
    assert settings_of_the_process() == before
    load(tmp_path / "run", device="cpu").sample(2)
    assert settings_of_the_process() == before


def test_switches_are_put_back_after_a_failure() -> None:
    before = settings_of_the_process()
    with pytest.raises(KeyError), deterministic():
        assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.allow_tf32
        raise KeyError
    assert settings_of_the_process() == before


def test_a_caller_has_its_own_signals_and_its_ctrl_c_is_not_swallowed(
    tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    records = train(tiny(), tmp_path / "run", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        for record in records:
            assert signal.getsignal(signal.SIGINT) is handler
            if record["nimg"] >= 80:
                raise KeyboardInterrupt
    records.close()
    run = Run(tmp_path / "run")
    assert run.state() == "stopped" and run.checkpoints.available()[-1] == 80


def test_a_run_that_is_asked_to_stop_goes_on_later(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    seen: list[int] = []
    list(
        train(
            tiny(), tmp_path / "run", device="cpu", tick=lambda nimg, _: seen.append(nimg), stop=lambda: seen[-1] >= 100
        )
    )
    assert seen == [0, 20, 40, 60, 80, 100]
    assert Run(tmp_path / "run").state() == "stopped"
    assert list(train(tiny(), tmp_path / "run", device="cpu"))[-1]["nimg"] == 240
