from collections.abc import Callable
from pathlib import Path

import pytest

from ganvas.recipes.recipe import Recipe
from ganvas.training.train import train


def test_tensorboard_gets_the_records(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    list(train(tiny(train={"images": 120}), tmp_path / "run", device="cpu"))
    list(train(tiny(), tmp_path / "run", device="cpu"))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("d_loss")] == [40, 60, 80, 120, 160, 180, 200, 240]
