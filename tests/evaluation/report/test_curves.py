"""Curves of scores while runs train."""

from pathlib import Path

import numpy as np
import pytest

from ganvas.evaluation.compare import compare
from ganvas.evaluation.report.curves import _fits, _lines, _points, curves
from tests.evaluated import evaluate, make_run


def test_curves_show_every_evaluation_the_real_images_and_the_budget(evaluated: list[Path]) -> None:
    drawn = {curve.metric: curve.figure for curve in curves(compare(evaluated, at_images=120_000))}
    assert list(drawn) == ["fid", "kid", "classes_present"]
    left, right = drawn["fid"].axes
    assert left.lines[0].get_xydata().tolist() == [[60_000, 51.0], [120_000, 4.0]]  # the mean of three seeds
    assert right.lines[0].get_xydata().tolist() == [[600, 51.0], [1_200, 4.0]]
    assert left.lines[1].get_xydata().tolist() == [[60_000, 20.0], [180_000, 3.5]]
    assert list(left.lines[2].get_ydata()) == [1.02, 1.02]
    assert list(left.lines[3].get_xdata()) == [120_000, 120_000]
    assert len(right.lines) == 3
    labels = [text.get_text() for text in drawn["fid"].legends[0].get_texts()]
    other = str(evaluated[3])
    assert labels == ["mnist-cdcgan (3 seeds): mean, lowest to highest", other, "real images", "budget"]


def test_the_band_is_the_range_of_the_seeds_or_the_uncertainty_of_a_run(evaluated: list[Path]) -> None:
    (table, _) = compare(evaluated).tables
    points = _points(table, "fid")
    (seeds,), (run,) = (_lines(row, points, "fid") for row in table.rows)
    assert (seeds.low.tolist(), seeds.high.tolist()) == ([50, 3], [52, 5])
    assert run.low.tolist() == pytest.approx([19.9, 3.4])
    assert run.high.tolist() == pytest.approx([20.1, 3.6])


def test_seeds_that_share_no_evaluations_have_a_line_each(tmp_path: Path) -> None:
    for seed, (first, last) in enumerate(((100, 300), (200, 310))):
        run = make_run(tmp_path / f"{seed}")
        evaluate(run, first, {"fid": (9.0, 0.1)}, seed=seed, identity="same", seconds=1)
        evaluate(run, last, {"fid": (3.0, 0.1)}, seed=seed, identity="same", seconds=9)
    (table,) = compare([tmp_path / "0", tmp_path / "1"], at_seconds=10).tables
    (row,) = table.rows
    lines = _lines(row, _points(table, "fid"), "fid")
    assert [line.nimg for line in lines] == [[100, 300], [200, 310]]
    assert {line.label for line in lines} == {"mnist-cdcgan (2 seeds)"}


@pytest.mark.parametrize(
    ("reference", "log", "fits"), [(1.0, True, True), (0.001, True, False), (-1.0, True, False), (900, False, False)]
)
def test_the_line_of_the_real_images_is_drawn_where_it_fits(reference: float, log: bool, fits: bool) -> None:
    assert _fits(reference, np.array([3.0, 300.0]), log) == fits
