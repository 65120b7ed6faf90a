import json
from pathlib import Path
from typing import Any

import pytest

from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.runs.run import Run

OLD: dict[str, Any] = {  # as ganvas 0.1 wrote it
    "recipe": "mnist-cdcgan",
    "seed": 0,
    "data": {
        **{"name": "mnist", "images": 60_000, "sha256": "5e", "classes": ["0", "1"], "skipped": []},
        "spec": {"channels": 1, "height": 28, "width": 28, "num_classes": 2},
    },
    "started": "2026-11-22T10:00:00+00:00",
    "state": "finished",
    "reason": None,
    "sessions": [{"at": "2026-11-22T10:00:00+00:00", "from_nimg": 0, "precision": "fp32", "threads": 2}],
    "evaluator": "1a2b",
    "ended": "2026-11-22T11:00:00+00:00",
}


WITHOUT_ZONE = {**OLD, "started": "2026-11-22T10:00:00"}


def run_with(tmp_path: Path, content: Any) -> Run:
    run = Run(tmp_path)
    run.info_file.write_text(content if isinstance(content, str) else json.dumps(content))
    return run


def test_a_run_of_an_earlier_version_is_read_and_changed(tmp_path: Path) -> None:
    run = run_with(tmp_path, OLD)
    info = run.info()
    assert info.data.spec == ImageSpec(1, 28, 28, 2) and info.data.classes == ("0", "1")
    assert info.sessions[0].precision == "fp32" and info.started.hour == 10
    run.update_info(state="failed", reason="no space")
    assert run.state() == "failed: no space"
    assert run.info() == info.model_copy(update={"state": "failed", "reason": "no space"})
    assert json.loads(run.info_file.read_text())["data"]["spec"] == OLD["data"]["spec"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        {**OLD, "started": "yesterday"},
        WITHOUT_ZONE,
        {**OLD, "data": {"name": "x"}},
        {**OLD, "version": 99},
    ],
)
def test_a_damaged_one_is_one_message(content: Any, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"run\.json' (is not the run.json of a run|was written by a later version of ganvas)"
    ) as it:
        run_with(tmp_path, content).info()
    assert "\n" not in str(it.value)
