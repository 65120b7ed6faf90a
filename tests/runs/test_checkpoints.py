"""Which checkpoints are kept, which is the best."""

from pathlib import Path

import pytest
import torch

from ganvas.core.errors import UserError
from ganvas.runs import checkpoint
from ganvas.runs.checkpoints import Checkpoints

TENSORS = {"x": torch.zeros(10)}


def test_the_newest_the_best_and_those_for_the_guard_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for nimg, score in enumerate((5.0, 1.0, 4.0, 3.0, 2.0, 6.0), 1):
        checkpoints.save(nimg, TENSORS, {}, keep=2, score=score, horizon=3)
    assert checkpoints.available() == [2, 3, 4, 5, 6]
    checkpoints.save(7, TENSORS, {}, keep=2, score=7.0)
    assert checkpoints.available() == [2, 6, 7] and checkpoints.best() == 2
    assert checkpoints.dispensable() == [6, 2]


def test_where_a_run_was_stopped_goes_with_the_next(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, TENSORS, {}, keep=1)
    checkpoints.save(2, TENSORS, {}, keep=1, stopped=True)
    assert checkpoints.available() == [1, 2] and checkpoints.regular() == [1]
    checkpoints.save(3, TENSORS, {}, keep=1)
    assert checkpoints.available() == [3]


@pytest.mark.parametrize(("by", "best"), [("score", 1), ("fid", 1), ("inception_score", 2)])
def test_the_best_is_so_by_the_kind_of_score_of_the_newest(by: str, best: int, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(0, TENSORS, {}, keep=9, score=0.0, by="kid")
    assert checkpoints.best() == 0
    for nimg, score in ((1, 1.0), (2, 2.0)):
        checkpoints.save(nimg, TENSORS, {}, keep=9, score=score, by=by)
    assert checkpoints.best() == best


def test_damaged_ones_are_passed_over_and_set_aside(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for nimg in (1, 2, 3):
        checkpoints.save(nimg, TENSORS, {"nimg": nimg}, keep=9)
    (tmp_path / "000000003.safetensors").write_bytes(b"x")
    (tmp_path / "000000002.json").write_text('{"nimg": 2}')
    found, warnings = checkpoints.newest()
    assert found is not None and found.values == {"nimg": 1}
    assert [warning.endswith(": using the one before") for warning in warnings] == [True, True]
    assert "000000002.json" in warnings[1] and not any("\n" in warning for warning in warnings)
    checkpoints.set_aside_after(1)
    assert checkpoints.available() == [1] and len(checkpoint.strays(tmp_path)) == 4


def test_tensors_without_a_note_are_removed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, TENSORS, {}, keep=9)
    for name in ("000000002.safetensors", "000000003.safetensors.damaged", "mine.safetensors"):
        (tmp_path / name).write_bytes(b"left")
    checkpoints.remove_unvouched()
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {"000000001.json", "000000001.safetensors", "000000003.safetensors.damaged", "mine.safetensors"}


def test_all_damaged_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.newest() == (None, [])
    checkpoints.save(1, TENSORS, {}, keep=1)
    (tmp_path / "000000001.safetensors").unlink()
    with pytest.raises(UserError, match="every checkpoint in"):
        checkpoints.newest()


def test_a_checkpoint_is_found_by_its_hash(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    sha256 = checkpoints.save(1, TENSORS, {}, keep=1)
    assert checkpoints.with_hash(sha256) == 1 and checkpoints.with_hash("0" * 64) is None
