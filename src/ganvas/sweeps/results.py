"""What came of a sweep: its runs as they are now, and the table, the lines and the figure made of them."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Literal

from matplotlib.figure import Figure

from ganvas.core import files
from ganvas.evaluation.report.cells import number
from ganvas.metrics import METRICS, Score
from ganvas.plotting import several_runs, style
from ganvas.runs.log import Record
from ganvas.runs.run import Run
from ganvas.sweeps.plan import Plan, Point, shown

SCORES = ("kid", "fid", "vendi", "copy_rate", "coverage")  # of the table


@dataclass(frozen=True)
class Trial:
    """One run of a sweep, as it is now."""

    name: str
    point: Point
    seed: int
    number: int  # in the journal
    run: Run
    state: Literal["waiting", "training", "scoring", "stopping", "finished", "failed"]
    total: int  # images that it will see
    last: Record = field(default_factory=dict)  # of its log
    scores: dict[str, Score] = field(default_factory=dict)
    reason: str = ""  # why it failed

    @property
    def done(self) -> bool:
        return self.state in ("finished", "failed")

    @property
    def active(self) -> bool:
        return not self.done and self.state != "waiting"


def balance_at_end(records: Sequence[Record]) -> float | None:
    """The mean of ln(loss of G / loss of D) over the last quarter of the records; None where none has it."""
    ratios = [ratio for _, ratio in several_runs.log_ratios(records[-max(1, len(records) // 4) :])]
    return fmean(ratios) if ratios else None


def facts(trial: Trial) -> dict[str, Score]:
    """All numbers of a trial: balance, scores, and what its last record has; those that it has."""
    found = {"balance": balance_at_end(trial.run.records())}
    found |= {name: trial.last.get(name) for name in ("diversity", "seconds")}
    return {name: Score(value, None) for name, value in found.items() if value is not None} | trial.scores


def table(plan: Plan, trials: Sequence[Trial]) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row per point with the mean ± standard deviation over its finished seeds.

    One seed alone has the uncertainty of its own scores. The points of a search come best first.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(plan.name(trial.point), []).append(trial)
    rows = {name: _over_seeds([facts(t) for t in group if t.state == "finished"]) for name, group in groups.items()}
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


def _over_seeds(found: Sequence[Mapping[str, Score]]) -> dict[str, Score]:
    if len(found) < 2:
        return dict(found[0]) if found else {}
    values = {name: [each[name].value for each in found if name in each] for each in found for name in each}
    return {name: Score(fmean(some), stdev(some) if len(some) > 1 else None) for name, some in values.items()}


LEGEND = (
    "balance: mean of ln(loss of G : loss of D) over the last quarter of the records; above 0 that of G is "
    "larger. diversity: distance between samples over that between real images. seconds: of training. After ±: over "
    "several seeds their standard deviation, for one run the uncertainty from the finite number of samples."
)


def write_results(plan: Plan, trials: Sequence[Trial], folder: Path) -> None:
    """Write sweep.csv, table.md and, when there is something to draw, sweep.png and sweep.svg."""
    header, body = table(plan, trials)
    lines = [f"| {' | '.join(header)} |", f"| --- |{' ---: |' * (len(header) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in body]
    failed = [f"* {trial.name} failed: {trial.reason}" for trial in trials if trial.state == "failed"]
    lines += ["", *failed, *([""] if failed else []), LEGEND]
    files.write(folder / "table.md", ("\n".join(lines) + "\n").encode())
    files.write(folder / "sweep.csv", to_csv(plan, trials).encode())
    if drawn := figure(plan, trials):
        style.save({"sweep": drawn}, folder)


def to_csv(plan: Plan, trials: Sequence[Trial]) -> str:
    """A line per run: its settings, its state, and every number with its error."""
    found = [facts(trial) for trial in trials]
    names = [name for name in ("balance", "diversity", *METRICS) if any(name in row for row in found)]
    columns = [part for name in names for part in ([name, f"{name}_error"] if name in METRICS else [name])]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["run", *plan.varied, "seed", "state", "reason", "nimg", "seconds", *columns])
    for trial, row in zip(trials, found, strict=True):
        settings = [shown(trial.point[key]) for key in plan.varied]
        numbers = {name: score.value for name, score in row.items()}
        numbers |= {f"{name}_error": score.error for name, score in row.items() if score.error is not None}
        seen = [trial.last.get("nimg", 0), trial.last.get("seconds", 0)]
        cells = [*settings, trial.seed, trial.state, trial.reason, *seen, *(numbers.get(c, "") for c in columns)]
        writer.writerow([trial.name, *cells])
    return written.getvalue()


def figure(plan: Plan, trials: Sequence[Trial]) -> Figure | None:
    """The balance of the losses of a grid, a colour per point; of a search, or without such losses, the scores."""
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
