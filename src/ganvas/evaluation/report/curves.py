"""Curves of the scores during training."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from ganvas.evaluation.compare import Comparison, Row, RunEvaluation, Table
from ganvas.evaluation.report.cells import metric_heading, table_title
from ganvas.plotting.style import COLOURS, RULE, STYLES
from ganvas.runs.run import Run

CURVES = ("fid", "kid", "inception_score", "precision", "recall", "coverage", "vendi", "class_kl", "classes_present")
BANDS = (
    "Several seeds: the line is their mean, and the band ranges from the lowest to the highest. A single run: the band "
    "is the uncertainty of its scores."
)
LOG_FROM = 20  # ratio of the largest to the smallest score from which the scale is logarithmic


class Curve(NamedTuple):
    key: str  # the key of the protocol
    metric: str
    figure: Figure


class Line(NamedTuple):
    label: str
    nimg: list[int]
    seconds: list[float]
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def curves(comparison: Comparison) -> list[Curve]:
    """Scores over images seen and over seconds of training, if some run was evaluated more than once."""
    return [
        Curve(table.key, metric, _curve(comparison, table, metric))
        for table in comparison.tables
        for metric in CURVES
        if any(len(points) > 1 for points in _points(table, metric).values())
    ]


def _points(table: Table, metric: str) -> dict[Run, list[RunEvaluation]]:
    """For every run in the table, its evaluations that have the metric, sorted by images seen."""
    points: dict[Run, list[RunEvaluation]] = {}
    runs = {e.run for row in table.rows for e in row.members}
    for evaluation in sorted(table.evaluations, key=lambda e: e.nimg):
        if evaluation.run in runs and metric in evaluation.scores:
            points.setdefault(evaluation.run, []).append(evaluation)
    return points


def _lines(row: Row, points: Mapping[Run, list[RunEvaluation]], metric: str) -> list[Line]:
    """The line of a run with the uncertainty of its scores, or the mean of seeds with their range.

    Seeds that were evaluated after different numbers of images have separate lines.
    """
    runs = [points[e.run] for e in row.members if e.run in points]
    shared = set.intersection(*({p.nimg for p in run} for run in runs)) if runs else set()
    if len(runs) < 2 or len(shared) < min(2, max(len(run) for run in runs)):
        return [_line_of_run(row.name, run, metric) for run in runs]
    seeds = [[p for p in run if p.nimg in shared] for run in runs]
    values = np.array([[p.scores[metric].value for p in run] for run in seeds])
    seconds = np.mean([[p.seconds for p in run] for run in seeds], axis=0).tolist()
    label = f"{row.name}: mean, lowest to highest"
    return [Line(label, sorted(shared), seconds, values.mean(0), values.min(0), values.max(0))]


def _line_of_run(label: str, points: Sequence[RunEvaluation], metric: str) -> Line:
    value = np.array([p.scores[metric].value for p in points])
    error = np.array([p.scores[metric].error or 0 for p in points])
    return Line(label, [p.nimg for p in points], [p.seconds for p in points], value, value - error, value + error)


def _curve(comparison: Comparison, table: Table, metric: str) -> Figure:
    """A figure with one colour per row of the table."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    points, legend = _points(table, metric), {}
    values = np.array([p.scores[metric].value for run in points.values() for p in run])
    log = values.min() > 0 and values.max() > LOG_FROM * values.min()
    for i, row in enumerate(table.rows):
        look = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i // len(COLOURS) % len(STYLES)]}
        for line in _lines(row, points, metric):
            low = np.maximum(line.low, values.min() / 2) if log else line.low
            for axes, x in ((left, line.nimg), (right, line.seconds)):
                (legend[line.label],) = axes.plot(x, line.value, marker=".", **look)
                axes.fill_between(x, low, line.high, color=look["color"], alpha=0.15, linewidth=0)
    real = [row.scores[metric].value for row in table.references if row.kind == "real" and metric in row.scores]
    for axes, label, budget in (
        (left, "images seen", comparison.at_images),
        (right, "seconds of training", comparison.at_seconds),
    ):
        if real and _fits(real[0], values, log):
            legend["real images"] = axes.axhline(real[0], color=RULE, linestyle="--", linewidth=1)
        if budget is not None:
            legend["budget"] = axes.axvline(budget, color=RULE, linewidth=1)
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.grid(alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
    if log:
        left.set_yscale("log")
    left.set_ylabel(metric_heading(metric))
    figure.suptitle(f"{metric_heading(metric)}   ({table_title(table)})").set_parse_math(False)
    shown = figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=3, frameon=False)
    for text in shown.get_texts():  # a path may contain dollar signs
        text.set_parse_math(False)
    return figure


def _fits(reference: float, values: np.ndarray, log: bool) -> bool:
    """Whether a line at `reference` is at most as far from the curves as their own height."""
    if log and reference <= 0:
        return False
    low, high, at = np.log([values.min(), values.max(), reference]) if log else (values.min(), values.max(), reference)
    return bool(2 * low - high <= at <= 2 * high - low)
