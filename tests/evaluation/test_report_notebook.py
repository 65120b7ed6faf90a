"""Evaluations and comparisons in a notebook."""

import json
from pathlib import Path

from ganvas.evaluation.compare import compare
from ganvas.evaluation.document import Evaluation
from tests.evaluated import content, evaluate, make_run


def test_an_evaluation_is_a_table() -> None:
    text = content(60_000, {"fid": (12.0, 0.5), "recall": (0.5, 0.01)})
    found = Evaluation.from_json(json.dumps(text), "here")._repr_html_()
    assert "<td>FID ↓</td><td>12.0 ± 0.5</td><td>1.02 ± 0.03</td>" in found
    assert found.count("<tr>") == 3


def test_a_comparison_is_a_table_whose_names_are_text(tmp_path: Path) -> None:
    for name, fid in (("a", 12.0), ("<b>x", 3.0)):
        evaluate(make_run(tmp_path / name), 60_000, {"fid": (fid, 0.1)})
    found = compare([tmp_path / "a", tmp_path / "<b>x"])._repr_html_()
    assert "<b>3.00 ± 0.10</b>" in found and "<td>12.00 ± 0.10</td>" in found
    assert "<b>x" not in found and "&lt;b&gt;x" in found
