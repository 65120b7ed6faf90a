"""Comparisons as CSV, Markdown and JSON."""

import csv
import io
import json
from pathlib import Path

import pytest

from ganvas.evaluation.compare import compare
from ganvas.evaluation.report.export import to_csv, to_json, to_markdown
from tests.evaluated import evaluate, make_run


def test_csv_has_one_line_per_score(evaluated: list[Path]) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(compare(evaluated)))))
    fid = {(line["kind"], Path(line["run"]).name): line for line in lines if line["metric"] == "fid"}
    assert len(fid) == 1 + 3 + 1 + 3
    mean = fid["seeds", "mnist-cdcgan (3 seeds)"]
    assert (mean["seed"], float(mean["value"]), float(mean["error"])) == ("0 1 2", 4.0, 1.0)
    assert mean["error_kind"] == "standard deviation over seeds"
    single = fid["run", "seed1"]
    assert (single["value"], single["nimg"], single["seconds"]) == ("4.0", "120000", "1200.0")
    assert single["error_kind"] == "finite number of samples"
    assert fid["real", "real images"]["nimg"] == ""
    (kid,) = [line for line in lines if line["protocol"] == "b" * 12]
    assert (kid["metric"], kid["value"]) == ("kid", "0.2")


def test_markdown(evaluated: list[Path], tmp_path: Path) -> None:
    odd = make_run(tmp_path / "a|b")
    evaluate(odd, 60_000, {"fid": (2.0, 0.1)})
    text = to_markdown(compare([*evaluated[3:], odd.path], at_images=60_000))
    assert "| run | images seen | seconds | FID ↓ |" in text
    assert "| --- | ---: | ---: | ---: |" in text
    assert f"| {tmp_path}/a\\|b | 60,000 | 600 | **2.00 ± 0.10** |" in text
    assert "| noise |  |  | 412 |" in text
    assert "n is 500, not 10,000" in text
    assert "Equal budget: the last evaluation within 60,000 images seen." in text


def test_json_holds_everything(evaluated: list[Path]) -> None:
    content = json.loads(to_json(compare(evaluated, at_seconds=1_200)))
    assert (content["at_images"], content["at_seconds"]) == (None, 1_200)
    first = content["tables"][0]
    assert [row["kind"] for row in first["rows"]] == ["seeds", "run", "real", "noise", "mean"]
    assert [row["scores"]["fid"]["value"] for row in first["single_runs"]] == [3.0, 4.0, 5.0]
    assert len(first["evaluations"]) == 8  # also what was measured before and after
    assert {e["content"]["provenance"]["git"] for e in first["evaluations"]} == {"f00d"}


def test_a_spreadsheet_takes_no_name_for_a_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    link = '=HYPERLINK("http:evil.example","scores")'
    for name in (link, "@x", "plain"):
        evaluate(make_run(Path(name)), 100, {"kid": (-0.002, 0.001)}, recipe={"@x": "-x", "plain": link}.get(name, "+"))
    lines = [line for line in csv.DictReader(io.StringIO(to_csv(compare([link, "@x", "plain"])))) if line["recipe"]]
    assert [line["run"] for line in lines] == [f"'{link}", "'@x", "plain"]
    assert [line["recipe"] for line in lines] == ["'+", "'-x", f"'{link}"]
    assert {line["value"] for line in lines} == {"-0.002"}  # a number stays one


def test_names_are_no_markdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evaluate(make_run(Path("![x](y)|`<b>*")), 100, {"kid": (0.1, 0.01)})
    assert r"| \!\[x\](y)\|\`\<b>\* | 100 |" in to_markdown(compare(["![x](y)|`<b>*"]))
