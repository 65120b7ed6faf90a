import json
from pathlib import Path

import pytest

from ganvas.core.errors import UserError
from ganvas.runs.log import Log


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    records = [{"nimg": 20, "epoch": 0.1, "d_loss": 1 / 3, "g_steps": 2}, {"nimg": 40, "stopped": True, "fid": 1e-300}]
    for record in records:
        log.append(record)
    assert log.read() == records
    assert isinstance(log.read()[0]["g_steps"], int)
    assert [json.loads(line)["version"] for line in log.file.read_text().splitlines()] == [1, 1]


def test_there_are_no_records_without_a_file(tmp_path: Path) -> None:
    assert Log(tmp_path / "log.jsonl").read() == []


def test_rewinding_drops_what_a_resumed_run_writes_again(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    for nimg in (20, 40, 60):
        log.append({"nimg": nimg})
    log.rewind(40)
    assert [record["nimg"] for record in log.read()] == [20, 40]


def test_records_of_earlier_versions_are_read(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"nimg": 20, "score": null, "d_loss": 0.5}\n')
    assert Log(tmp_path / "log.jsonl").read() == [{"nimg": 20, "d_loss": 0.5}]


def test_a_last_line_that_a_kill_cut_short_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"nimg": 20}\n{"nimg": 40, "d_lo')
    assert Log(tmp_path / "log.jsonl").read() == [{"nimg": 20}]


@pytest.mark.parametrize(
    "line",
    ['{"nimg": 40, "d_lo', "[]", "{}", '{"nimg": -1}', '{"nimg": 40, "d_loss": "low"}', '{"nimg": 40, "version": 9}'],
)
def test_a_damaged_line_is_one_message(line: str, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(f'{{"nimg": 20}}\n{line}\n{{"nimg": 60}}\n')
    with pytest.raises(UserError, match=r"log.jsonl, line 2") as refusal:
        Log(tmp_path / "log.jsonl").read()
    assert "\n" not in str(refusal.value)
