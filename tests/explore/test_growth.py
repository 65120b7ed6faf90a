"""What the runs of a folder contain, read again while they grow."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ganvas.explore import growth
from ganvas.explore.folder import Folder
from ganvas.explore.growth import Growth, Overview, Records, columns
from ganvas.runs.log import Log
from ganvas.runs.run import Run
from tests.evaluated import evaluate, make_run


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are searched, and files looked at, at every call."""
    monkeypatch.setattr(growth, "FRESH", -1.0)
    monkeypatch.setattr("ganvas.explore.folder.FRESH", -1.0)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log.jsonl")


# -- records ----------------------------------------------------------------------------------------------------------


def test_only_what_was_added_is_read(log: Log) -> None:
    records = Records(log.file)
    log.append({"nimg": 10, "d_loss": 1.5})
    records.update()
    before = log.file.read_bytes()
    log.append({"nimg": 20, "d_loss": 1.25})
    records.update()
    assert [record["nimg"] for record in records.records] == [10, 20]
    # What was read before is not read again: if it were, this damage would be noticed.
    log.append({"nimg": 30})
    log.file.write_bytes(b"x" * len(before) + log.file.read_bytes()[len(before) :])
    records.update()
    assert [record["nimg"] for record in records.records] == [10, 20, 30]
    assert records.error is None
    assert records.generation == 0


def test_an_unfinished_line_waits(log: Log) -> None:
    log.append({"nimg": 10})
    with log.file.open("ab") as file:
        file.write(b'{"version": 1, "ni')
    records = Records(log.file)
    records.update()
    assert len(records.records) == 1
    with log.file.open("ab") as file:
        file.write(b'mg": 20}\n')
    records.update()
    assert [record["nimg"] for record in records.records] == [10, 20]


def test_a_rewound_log_is_read_anew(log: Log) -> None:
    records = Records(log.file)
    for nimg in (10, 20, 30):
        log.append({"nimg": nimg, "d_loss": nimg / 10})
    records.update()
    log.rewind(10)
    log.append({"nimg": 20, "d_loss": 7.0})
    log.append({"nimg": 30, "d_loss": 3.5})
    records.update()
    assert [record.get("d_loss") for record in records.records] == [1.0, 7.0, 3.5]
    assert records.generation == 1
    log.remove()
    records.update()
    assert (records.records, records.generation, records.error) == ([], 2, None)


def test_a_damaged_line_is_said_until_it_is_mended(log: Log) -> None:
    log.append({"nimg": 10})
    with log.file.open("ab") as file:
        file.write(b"{]\n")
    log.append({"nimg": 20})
    records = Records(log.file)
    records.update()
    assert records.error is not None and "line 2" in records.error and "\n" not in records.error
    log.replace([{"nimg": 10}, {"nimg": 20}])
    records.update()
    assert records.error is None
    assert [record["nimg"] for record in records.records] == [10, 20]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(log: Log) -> None:
    os.mkfifo(log.file)
    records = Records(log.file)
    records.update()
    assert records.error is not None and "pipe" in records.error


def test_numbers_that_json_lacks_are_left_out(log: Log) -> None:
    log.file.write_text('{"nimg": 10, "d_loss": NaN, "g_loss": Infinity, "score": 2.0}\n')
    records = Records(log.file)
    records.update()
    assert columns(records.records) == {"nimg": [10], "score": [2.0]}


def test_columns_have_none_where_a_record_lacks_a_quantity() -> None:
    found = columns([{"nimg": 1, "score": 2.0}, {"nimg": 2, "d_loss": 0.5}])
    assert found == {"nimg": [1, 2], "score": [2.0, None], "d_loss": [None, 0.5]}


def test_the_newest_score_is_found_behind_many_records(log: Log) -> None:
    log.append({"nimg": 1, "score": 3.25})
    with log.file.open("ab") as file:
        file.write(b"".join(b'{"nimg": %d, "d_loss": 0.123456}\n' % nimg for nimg in range(2, 5000)))
    assert log.file.stat().st_size > growth.TAILS[0]
    assert growth.newest(log.file) == ({"nimg": 4999, "d_loss": 0.123456}, 3.25)


# -- runs -------------------------------------------------------------------------------------------------------------


def test_runs_come_and_go_and_a_damaged_one_hides_nothing(tmp_path: Path) -> None:
    overview = Overview(Folder(tmp_path))
    assert overview.summaries() == {}
    make_run(tmp_path / "one").log.append({"nimg": 60_000, "seconds": 5.0, "score": 1.5})
    make_run(tmp_path / "deep" / "two").info_file.write_text('{"data": 3}')
    make_run(tmp_path / "three").log.file.write_text('{"nimg": "many"}\n{"nimg": 1}\n')
    found = overview.summaries()
    assert {name: run["state"] for name, run in found.items()} == {
        "one": "unknown",
        "deep/two": "damaged",
        "three": "damaged",
    }
    assert (found["one"]["nimg"], found["one"]["score"]) == (60_000, 1.5)
    assert "run.json" in found["deep/two"]["reason"]
    shutil.rmtree(tmp_path / "one")
    assert overview.summaries().keys() == {"deep/two", "three"}
    assert overview.growth("one") is None
    json.dumps(found, allow_nan=False)


def test_killed_and_in_training_are_told_apart(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.update_info(state="running")
    overview = Overview(Folder(tmp_path))
    assert overview.summaries()["run"]["state"] == "killed"
    with run.lock():
        assert overview.summaries()["run"]["state"] == "training"


def test_the_length_of_a_run_is_that_of_its_recipe(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for text, total in (("epochs = 2.5", 150_000), ("epochs = 2.5\nimages = 700", 700), ("", 0), ("epochs = []", 0)):
        run.recipe_file.write_text(f"[train]\n{text}\n")
        assert Growth("run", run).summary()["total"] == total


def test_runs_with_a_pixel_network_are_known(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for text, paints in (
        ('[network]\nname = "cppn"', True),
        ('[network]\nname = "dcgan"', False),
        ("network = 7", False),
    ):
        run.recipe_file.write_text(text)
        assert Growth("run", run).summary()["paints"] is paints
    run.recipe_file.write_text("[[")
    assert Growth("run", run).summary()["paints"] is False


def test_sheets_evaluations_and_events_are_read_when_they_change(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    watched = Growth("run", run)
    assert watched.facts() == {"events": [], "sheets": [], "evaluations": []}
    run.samples.mkdir()
    for name in ("000000120.png", "000000060.png", "other.png"):
        (run.samples / name).touch()
    evaluate(run, 60, {"fid": (12.5, 0.1), "unheard_of": (1.0, None)}, seconds=8.0)
    event = {"nimg": 90, "kind": "collapse", "said": "all alike", "back_to": 60, "factors": {"lr": 0.5}}
    run.journal.file.write_text(json.dumps([event]))
    facts = watched.facts()
    assert facts["sheets"] == [60, 120]
    assert facts["evaluations"] == [{"nimg": 60, "seconds": 8.0, "scores": {"fid": 12.5}}]
    assert [(e["said"], e["response"]) for e in facts["events"]] == [("all alike", "back to 60 with lr × 0.5")]
    (run.evaluations / "000000060-0.json").write_text("{")
    assert "is not an evaluation" in watched.facts()["error"]


def test_watching_needs_no_pytorch(tmp_path: Path) -> None:
    make_run(tmp_path / "run").log.append({"nimg": 1})
    code = """
import sys
from pathlib import Path
from ganvas.explore import server
from ganvas.explore.folder import Folder
from ganvas.explore.growth import Overview

overview = Overview(Folder(Path(sys.argv[1])))
overview.summaries()
overview.growth("run").facts()
print([module for module in ("torch", "matplotlib") if module in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[]", done.stderr


def test_what_nobody_watches_any_more_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        make_run(tmp_path / name).log.append({"nimg": 1})
    overview = Overview(Folder(tmp_path))
    overview.summaries()
    first = overview.growth("a")
    assert first is not None and first.records.records
    monkeypatch.setattr(growth, "FORGOTTEN", -1.0)
    overview.growth("b")
    assert not first.records.records
    assert Run(tmp_path / "a").records()


def test_seeds_of_one_recipe_are_a_group(tmp_path: Path) -> None:
    texts = {
        "first": 'name = "a"\n[data]\nname = "/here"\n[method]\nlr = 1.0\n[train]\nseed = 1\nimages = 10\n',
        "seed": 'name = "b"\n[data]\nname = "/there"\n[method]\nlr = 1.0\n[train]\nseed = 2\nimages = 20\n',
        "rate": 'name = "a"\n[data]\nname = "/here"\n[method]\nlr = 2.0\n[train]\nseed = 1\nimages = 10\n',
        "batch": 'name = "a"\n[data]\nname = "/here"\n[method]\nlr = 1.0\n[train]\nseed = 1\nbatch_size = 9\n',
        "damaged": "[[",
        "odd": "train = 7\n",
    }
    groups = {}
    for name, text in texts.items():
        run = make_run(tmp_path / name)
        run.recipe_file.write_text(text)
        groups[name] = Growth(name, run).summary()["group"]
    assert groups["first"] == groups["seed"] and groups["damaged"] is None
    assert len({groups[name] for name in texts}) == 5
