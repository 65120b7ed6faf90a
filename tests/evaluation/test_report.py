"""What a comparison looks like: terminal, CSV, Markdown, JSON, curves and page."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ganvas.core.images import save_png
from ganvas.evaluation import report
from ganvas.evaluation.compare import Comparison, compare
from ganvas.evaluation.report import number
from ganvas.metrics import METRICS, Score
from ganvas.runs.run import Run
from tests.evaluated import evaluate, make_run


def shown(comparison: Comparison, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    for part in report.rich_tables(comparison, width):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Page(HTMLParser):
    """Every tag is closed, every id is there once, and nothing is loaded from elsewhere."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.images = 0
        self.feed(text)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe", "object", "base")
        self.images += tag == "img"
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "src":
                assert value is not None and value.startswith("data:image/png;base64,")
            if name == "href":
                assert value is not None and value.startswith("#")
            if name == "id":
                self.ids.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3.2149, 0.05, "3.21 ± 0.05"),
        (0.00123, 0.000137, "0.00123 ± 0.00014"),
        (0.9712, 0.0996, "0.97 ± 0.10"),
        (1523.4, 23.0, "1,523 ± 23"),
        (10, None, "10"),
        (3.21987, None, "3.22"),
        (12345.6, None, "12,346"),
        (10, 0.0, "10 ± 0"),
    ],
)
def test_a_value_has_as_many_decimals_as_its_error(value: float, error: float | None, text: str) -> None:
    assert number(Score(value, error)) == text


def test_the_terminal_table_fits_and_keeps_every_row(evaluated: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(evaluated[0].parent)
    many = dict.fromkeys(METRICS, (0.51234, 0.00031))
    evaluate(Run(evaluated[3]), 180_000, many)
    text = shown(compare(["other", "seed0"]))
    assert max(map(len, text.splitlines())) <= 120
    parts = len(re.findall(r"^run ", text, re.MULTILINE))
    assert parts > 1
    assert len(re.findall(r"^other ", text, re.MULTILINE)) == parts
    assert "…" not in text
    assert all(report._heading(name) in text for name in many)


def test_a_refused_score_is_a_dash_with_one_footnote(
    evaluated: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reason = "needs at least 2,000 samples, not 500"
    bold = make_run(Path("[bold]"))
    evaluate(bold, 60_000, {"kid": (0.3, 0.01)}, key="b" * 12, n=500, refused={"fid": reason})
    text = shown(compare(["small", "[bold]"]))
    assert text.count(reason) == 1
    assert "- under FID: needs at least" in text
    (line,) = [line for line in text.splitlines() if line.startswith("[bold]")]
    assert " - " in line and "0.300 ± 0.010" in line


def test_csv_has_one_line_per_score(evaluated: list[Path]) -> None:
    lines = list(csv.DictReader(io.StringIO(report.to_csv(compare(evaluated)))))
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
    text = report.to_markdown(compare([*evaluated[3:], odd.path], at_images=60_000))
    assert "| run | images seen | seconds | FID ↓ |" in text
    assert "| --- | ---: | ---: | ---: |" in text
    assert f"| {tmp_path}/a\\|b | 60,000 | 600 | **2.00 ± 0.10** |" in text
    assert "| noise |  |  | 412 |" in text
    assert "n is 500, not 10,000" in text
    assert "Equal budget: the last evaluation within 60,000 images seen." in text


def test_json_holds_everything(evaluated: list[Path]) -> None:
    content = json.loads(report.to_json(compare(evaluated, at_seconds=1_200)))
    assert (content["at_images"], content["at_seconds"]) == (None, 1_200)
    first = content["tables"][0]
    assert [row["kind"] for row in first["rows"]] == ["seeds", "run", "real", "noise", "mean"]
    assert [row["scores"]["fid"]["value"] for row in first["single_runs"]] == [3.0, 4.0, 5.0]
    assert len(first["evaluations"]) == 8  # also what was measured before and after
    assert {e["content"]["provenance"]["git"] for e in first["evaluations"]} == {"f00d"}


def test_curves_show_every_evaluation_the_real_images_and_the_budget(evaluated: list[Path]) -> None:
    drawn = {curve.metric: curve.figure for curve in report.curves(compare(evaluated, at_images=120_000))}
    assert list(drawn) == ["fid", "kid", "classes_present"]
    left, right = drawn["fid"].axes
    assert left.lines[0].get_xydata().tolist() == [[60_000, 50.0], [120_000, 3.0]]
    assert right.lines[0].get_xydata().tolist() == [[600, 50.0], [1_200, 3.0]]
    assert len({line.get_color() for line in left.lines[:3]}) == 1  # the seeds of one row
    assert left.lines[3].get_xydata().tolist() == [[60_000, 20.0], [180_000, 3.5]]
    assert list(left.lines[4].get_ydata()) == [1.02, 1.02]
    assert list(left.lines[5].get_xdata()) == [120_000, 120_000]
    assert len(right.lines) == 5


@pytest.mark.parametrize(
    ("reference", "log", "fits"), [(1.0, True, True), (0.001, True, False), (-1.0, True, False), (900, False, False)]
)
def test_the_line_of_the_real_images_is_drawn_where_it_fits(reference: float, log: bool, fits: bool) -> None:
    assert report._fits(reference, np.array([3.0, 300.0]), log) == fits


def test_the_page_needs_nothing_but_itself(evaluated: list[Path], tmp_path: Path) -> None:
    odd = make_run(tmp_path / "<b>&$x$ http:")
    evaluate(odd, 60_000, {"fid": (2.0, 0.1)})
    evaluate(odd, 70_000, {"fid": (1.5, 0.1)}, refused={"kid": "<script>alert(1)</script>"})
    (odd.samples).mkdir()
    odd.sheet(60_000).write_bytes(b"damaged")
    compared = compare([*evaluated, odd.path])
    text = report.to_html(compared)
    assert not re.search(r"https?://", text)
    assert "<b>" not in text and "<script" not in text
    page = Page(text)
    assert page.images == 3
    assert "<b>&$x$ http:" in page.text
    assert "n is 500, not 10,000" in page.text
    assert "seed0, 60,000 images seen, seeds 0–3" in page.text
    assert "f00d" in page.text
    assert "<strong>" in text and text.count("<svg") == 3
    assert text == report.to_html(compare([*evaluated, odd.path]))


def test_sheets_of_unlike_seeds_are_not_passed_off_as_alike(evaluated: list[Path]) -> None:
    assert "not all from the same seeds" not in report.to_html(compare(evaluated))
    save_png(Run(evaluated[3]).sheet(120_000), np.zeros((12, 12, 3), np.uint8), {"seeds": [7, 8]})
    text = report.to_html(compare(evaluated))
    assert "not all from the same seeds" in text
    assert "120,000 images seen, seeds 7–8" in text
