import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from ganvas.core.errors import RunFailed
from ganvas.recipes.recipe import Recipe
from ganvas.runs.run import Run
from ganvas.training.failures import failures_noted
from ganvas.training.train import train


def said_of_a_full_disk(run: Run) -> str:
    with pytest.raises(RunFailed) as failed, failures_noted(run):
        raise OSError(errno.ENOSPC, "No space left on device")
    return str(failed.value)


def test_a_checkpoint_is_called_intact_only_where_there_is_one(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    assert said_of_a_full_disk(Run(tmp_path / "none")).endswith("free some, then run the same command")
    list(train(tiny(), tmp_path / "run", device="cpu"))
    assert said_of_a_full_disk(Run(tmp_path / "run")).endswith("the last checkpoint is intact")
    assert "no space left" in str(Run(tmp_path / "run").info().reason)
