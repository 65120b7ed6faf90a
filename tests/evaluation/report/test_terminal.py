"""Comparisons in the terminal."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from ganvas.evaluation.compare import Comparison, compare
from ganvas.evaluation.report.cells import metric_heading
from ganvas.evaluation.report.terminal import rich_tables
from ganvas.metrics import METRICS
from ganvas.runs.run import Run
from tests.evaluated import evaluate, make_run


def shown(comparison: Comparison, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    for part in rich_tables(comparison, width):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


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
    assert all(metric_heading(name) in text for name in many)


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
