"""Evaluations as documents: written, read again, and refused in one line."""

import json
from math import nan
from pathlib import Path
from typing import Any

import pytest

from ganvas.core.errors import UserError
from ganvas.evaluation import document
from ganvas.evaluation.document import Evaluation
from ganvas.evaluation.protocol import Protocol
from ganvas.metrics import Score
from tests.evaluated import content, make_run


def as_file(folder: Path, **changes: Any) -> Path:
    file = folder / "evaluation.json"
    file.write_text(json.dumps({**content(600, {"fid": (3.0, 0.1), "classes_present": (10, None)}), **changes}))
    return file


def test_what_is_written_is_read(tmp_path: Path) -> None:
    evaluation = document.read(as_file(tmp_path))
    assert evaluation.scores == {"fid": Score(3.0, 0.1), "classes_present": Score(10, None)}
    file = document.keep(make_run(tmp_path / "run"), evaluation)
    assert file.name == "000000600-a1b2c3d4e5f6.json"
    assert document.read(file) == evaluation
    assert json.loads(file.read_text())["scores"]["fid"] == {"value": 3.0, "error": 0.1}


def test_files_of_the_first_version_are_read(tmp_path: Path) -> None:
    values = content(600, {"fid": (3.0, 0.1)})
    del values["version"]
    (tmp_path / "old.json").write_text(json.dumps({"format": 1, **values}))
    old = document.read(tmp_path / "old.json")
    assert (old.version, old.scores) == (1, {"fid": Score(3.0, 0.1)})


def test_scores_that_are_not_numbers_are_left_out(tmp_path: Path) -> None:
    scores = {"fid": {"value": nan, "error": None}, "kid": {"value": 0.1, "error": None}}
    assert list(document.read(as_file(tmp_path, scores=scores)).scores) == ["kid"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 3}, "was written by a later version of ganvas"),
        ({"scores": {"fid": {"error": 1.0}}}, r"is not an evaluation: scores\.fid\.value: "),
        ({"scores": None}, "is not an evaluation: scores: "),
        ({"checkpoint": {"nimg": "many"}}, r"is not an evaluation: checkpoint\.nimg: "),
        ({"protocol": {}}, r"is not an evaluation: protocol\.evaluator: "),
        ({"references": {"real": 1}}, r"is not an evaluation: references\.real: "),
    ],
)
def test_damaged_and_later_files_are_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        document.read(as_file(tmp_path, **changes))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_other_files_are_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "other.json").write_bytes(data)
    with pytest.raises(UserError, match="is not an evaluation") as refused:
        document.read(tmp_path / "other.json")
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*nowhere\.json': No such file"):
        document.read(tmp_path / "nowhere.json")


def test_the_key_of_a_protocol_never_changes() -> None:
    """Otherwise evaluations of earlier versions could not be compared any more; this one is of a run on MNIST."""
    digits = "d3b15bae88118be7f4c3b2792d5113d6f963e58cee9259d244ec4d0d72477bb3"
    mnist = "71d3be42f93ad20da73bb4a9744d0bebdaa6832be56dc010e21940e72c4c8b1e"
    unseen = "4718853ea946af656684509414983beff2e65cf414265c27966161014c003b8b"
    names = "fid fid_infinity kid inception_score precision recall density coverage vendi class_kl classes_present"
    versions = dict.fromkeys([*names.split(), "label_accuracy", "redrawn_accuracy"], 1)
    values = {
        "evaluator": {"name": "digits", "sha256": digits, "size": 28, "resize": "none"},
        "data": {"sha256": mnist, "trained_on": mnist, "unseen": unseen, "images": 60_000, "channels": 1}
        | {"height": 28, "width": 28},
        "split": "train",
        "n": 2_000,
        "seed": 1_000_000,
        "metrics": {**versions, "copy_rate": 2},
    }
    for labels in (None, "none", "as in the data"):  # runs with other labels are comparable
        assert Protocol.model_validate({**values, "labels": labels}).key == "e96487cf4e40"
    assert Protocol.model_validate({**values, "seed": 5}).key != "e96487cf4e40"


def test_the_schema_names_every_part() -> None:
    assert set(Evaluation.model_json_schema()["properties"]) >= {
        "protocol",
        "scores",
        "run",
        "checkpoint",
        "provenance",
    }
