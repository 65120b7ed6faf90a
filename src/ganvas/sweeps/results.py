"""The results of a sweep: the state of its trials, and the table, the CSV file and the figure made from them."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from matplotlib.figure import Figure

from ganvas.core import files
from ganvas.core.text import plain_cell
from ganvas.evaluation.report.cells import number
from ganvas.metrics import METRICS, Score
from ganvas.plotting import several_runs, style
from ganvas.runs.log import Record
from ganvas.runs.run import Run
from ganvas.sweeps.plan import Plan, Point, value_text

SCORES = ("kid", "fid", "vendi", "copy_rate", "coverage")  # columns of the table


@dataclass(frozen=True)
class Trial:
    """A run of a sweep and its current state."""

    name: str
    point: Point
    seed: int
    number: int  # in the journal
    run: Run
    state: Literal["waiting", "training", "scoring", "stopping", "finished", "failed"]
    total: int  # images seen at its end
    last: Record = field(default_factory=dict)  # the last record of its log
    scores: dict[str, Score] = field(default_factory=dict)
    reason: str = ""  # why it failed

    @property
    def done(self) -> bool:
        return self.state in ("finished", "failed")

    @property
    def active(self) -> bool:
        return not self.done and self.state != "waiting"


def balance_at_end(records: Sequence[Record]) -> float | None:
    """The mean of ln(loss of G / loss of D) over the last quarter of the records; None if it has no such ratio."""
    ratios = [ratio for _, ratio in several_runs.log_ratios(records[-max(1, len(records) // 4) :])]
    return fmean(ratios) if ratios else None


def measurements(trial: Trial) -> dict[str, Score]:
    """The balance, diversity, training seconds and scores of a trial, as far as it has them."""
    values = {"balance": balance_at_end(trial.run.records())}
    values |= {name: trial.last.get(name) for name in ("diversity", "seconds")}
    return {name: Score(value, None) for name, value in values.items() if value is not None} | trial.scores


def table(plan: Plan, trials: Sequence[Trial]) -> tuple[list[str], list[list[str]]]:
    """The headings, and a row per point with the mean ± standard deviation over its finished seeds.

    A single seed is shown with the uncertainty of its scores. The points of a search are sorted, best first.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(plan.name(trial.point), []).append(trial)
    rows = {
        name: _over_seeds([measurements(t) for t in group if t.state == "finished"]) for name, group in groups.items()
    }
    scores = [name for name in dict.fromkeys((plan.by, *SCORES)) if any(name in row for row in rows.values())]
    columns = [
        "balance",
        *scores,
        *(["diversity"] if any("diversity" in row for row in rows.values()) else []),
        "seconds",
    ]
    if plan.trials is not None:
        sign = -1 if METRICS[plan.by].better == "higher" else 1
        rows = dict(sorted(rows.items(), key=lambda r: sign * r[1][plan.by].value if plan.by in r[1] else math.inf))
    arrows = {"lower": " ↓", "higher": " ↑", "": ""}
    titles = [METRICS[c].title + arrows[METRICS[c].better] if c in METRICS else c for c in columns]
    body = []
    for name, row in rows.items():
        finished = sum(trial.state == "finished" for trial in groups[name])
        runs = f"{finished}" if finished == len(groups[name]) else f"{finished} of {len(groups[name])}"
        body.append([name, runs, *(number(row[c]) if c in row else "-" for c in columns)])
    return ["settings", "runs", *titles], body


def _over_seeds(seeds: Sequence[Mapping[str, Score]]) -> dict[str, Score]:
    if len(seeds) < 2:
        return dict(seeds[0]) if seeds else {}
    values = {name: [each[name].value for each in seeds if name in each] for each in seeds for name in each}
    return {name: Score(fmean(some), stdev(some) if len(some) > 1 else None) for name, some in values.items()}


LEGEND = (
    "balance: mean of ln(loss of G : loss of D) over the last quarter of the records; above 0, the loss of G is the "
    "larger one. diversity: mean distance between samples relative to real images. seconds: training time. "
    "±: standard deviation over seeds; for a single run, the uncertainty from the finite number of samples."
)


def write_results(plan: Plan, trials: Sequence[Trial], folder: Path) -> None:
    """Write sweep.csv, table.md and, if there is anything to draw, sweep.png and sweep.svg."""
    header, body = table(plan, trials)
    lines = [f"| {' | '.join(header)} |", f"| --- |{' ---: |' * (len(header) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in body]
    failed = [f"* {trial.name} failed: {trial.reason}" for trial in trials if trial.state == "failed"]
    lines += ["", *failed, *([""] if failed else []), LEGEND]
    files.write(folder / "table.md", ("\n".join(lines) + "\n").encode())
    files.write(folder / "sweep.csv", to_csv(plan, trials).encode())
    if chart := figure(plan, trials):
        style.save({"sweep": chart}, folder)


def rows(plan: Plan, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """A row for each run: its settings, its state, and its measurements, scores with their errors; None is unknown."""
    measured = [measurements(trial) for trial in trials]
    names = [name for name in ("balance", "diversity", *METRICS) if any(name in each for each in measured)]
    found = []
    for trial, values in zip(trials, measured, strict=True):
        row: dict[str, Any] = {"run": trial.name, **{key: trial.point[key] for key in plan.varied}}
        row |= {"seed": trial.seed, "state": trial.state, "reason": trial.reason}
        row |= {"nimg": trial.last.get("nimg", 0), "seconds": trial.last.get("seconds", 0)}
        for name in names:
            score = values.get(name)
            row[name] = _finite(score.value if score else None)
            if name in METRICS:
                row[f"{name}_error"] = _finite(score.error if score else None)
        found.append(row)
    return found


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def to_csv(plan: Plan, trials: Sequence[Trial]) -> str:
    """The rows as a CSV file."""
    table = rows(plan, trials)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(list(row) for row in table[:1])  # the headings
    for row in table:
        cells = {key: _csv_cell(row[key]) for key in plan.varied} | {"reason": plain_cell(row["reason"])}
        writer.writerow("" if value is None else value for value in (row | cells).values())
    return text.getvalue()


def _csv_cell(value: Any) -> Any:
    """The value of a setting in a CSV file: a number, or text that a spreadsheet does not take for a formula."""
    return value if type(value) in (int, float) else plain_cell(value_text(value))


def figure(plan: Plan, trials: Sequence[Trial]) -> Figure | None:
    """For a grid, the balance of the losses with a colour per point; for a search, or without losses, the scores."""
    curves = [(trial, trial.run.records()) for trial in trials if trial.last and trial.run.is_run()]
    if plan.trials is None and any(several_runs.log_ratios(records) for _, records in curves):
        return several_runs.balance(
            [
                several_runs.Curve(plan.name(trial.point), records, plan.recipe_of(trial.point).train.batch_size)
                for trial, records in curves
            ]
        )
    points = [(trial.point, trial.scores[plan.by].value) for trial in trials if plan.by in trial.scores]
    return several_runs.scores_by_setting(points, METRICS[plan.by].title) if points else None
