import json
from pathlib import Path

import pytest

from ganvas.core.errors import UserError
from ganvas.runs.provenance import now
from ganvas.runs.run import Run


def test_a_lock_is_held_once_and_leaves_nothing_where_nothing_came_of_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "a")
    with run.lock():
        with pytest.raises(UserError, match="another process"), Run(run.path).lock():
            pass
        assert Run(run.path).in_use()
    assert list(tmp_path.iterdir()) == []

    run.path.parent.mkdir()  # somebody's own folder stays
    with run.lock():
        pass
    assert list(tmp_path.iterdir()) == [run.path.parent] and list(run.path.parent.iterdir()) == []


def test_a_lock_keeps_a_run_and_sweeps_half_written_files(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.checkpoints.folder.mkdir(parents=True)
    (run.checkpoints.folder / ".000000060.safetensors.part").write_bytes(b"half")
    spec = {"channels": 1, "height": 8, "width": 8, "num_classes": 0}
    data = {"name": "x", "images": 1, "sha256": "", "classes": [], "spec": spec}
    run.info_file.write_text(json.dumps({"state": "running", "started": now(), "data": data}))
    run.recipe_file.write_text("")
    assert run.state() == "killed"
    with run.lock():
        assert run.state() == "running"
        assert list(run.checkpoints.folder.iterdir()) == []
    assert run.is_run()


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        Run.existing(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        Run.existing(tmp_path / "nowhere")
