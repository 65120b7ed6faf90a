"""Comparing runs: tables of the evaluations in their run directories.

A table has only scores with one protocol: the same evaluator, real images, number of samples, first seed and
definitions of the metrics. Other evaluations are in separate tables, which say what differs.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from shlex import quote
from statistics import fmean, stdev
from typing import Any, NamedTuple

from ganvas.core.errors import UserError
from ganvas.evaluation import document
from ganvas.evaluation.document import Evaluation, ReferenceRow
from ganvas.evaluation.protocol import Protocol
from ganvas.metrics import METRICS, Metric, Score
from ganvas.runs.run import Run

logger = logging.getLogger("ganvas")

REFERENCES = {"real": "real images", "noise": "noise", "mean": "mean image"}
ENTRIES = {"data.unseen": "the test set", "data.trained_on": "the training set", "seed": "the first seed"}
MOST_BUDGET = 10**15  # images or seconds
GRACE = 1.01  # factor by which a budget may be exceeded, as checkpoints are written after whole batches
MISSED = 0.9  # runs that used less than this share of the budget have a note


@dataclass(frozen=True)
class RunEvaluation:
    """An evaluation, with its run and file."""

    run: Run
    file: Path
    document: Evaluation

    @property
    def name(self) -> str:
        return str(self.run.path)

    @property
    def scores(self) -> dict[str, Score]:
        return self.document.scores

    @property
    def key(self) -> str:
        return self.document.key

    @property
    def recipe(self) -> str:
        return self.document.run.recipe

    @property
    def identity(self) -> str:
        return self.document.run.identity

    @property
    def seed(self) -> int:
        return self.document.run.seed

    @property
    def nimg(self) -> int:
        return self.document.checkpoint.nimg

    @property
    def seconds(self) -> float:
        return self.document.checkpoint.seconds


class Row(NamedTuple):
    name: str
    kind: str  # run or seeds; for references: real, noise or mean
    members: tuple[RunEvaluation, ...]  # one for a run, one per seed for seeds, none for a reference
    scores: dict[str, Score]

    @property
    def nimg(self) -> list[int]:
        return [e.nimg for e in self.members]

    @property
    def seconds(self) -> list[float]:
        return [e.seconds for e in self.members]


@dataclass(frozen=True)
class Table:
    """The scores with one protocol, which can be compared with each other."""

    key: str
    about: str  # the protocol in one line
    why: str  # how it differs from the first table; "" for the first
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    references: tuple[Row, ...]
    best: frozenset[tuple[str, str]]  # (row name, metric)
    notes: tuple[str, ...]
    evaluations: tuple[RunEvaluation, ...]  # all with the protocol, including those outside the budget


@dataclass(frozen=True)
class Comparison:
    tables: tuple[Table, ...]  # sorted, most samples first
    missing: tuple[str, ...]  # a sentence for every run that is in no table
    at_images: int | None
    at_seconds: float | None

    def _repr_html_(self) -> str:
        """For notebooks."""
        from ganvas.evaluation.report.notebook import comparison_html  # which imports this module

        return comparison_html(self)


# -- reading ----------------------------------------------------------------------------------------------------------


def read(run: Run) -> list[RunEvaluation]:
    """The evaluations of a run, oldest checkpoint first; logs a warning for every file that cannot be read."""
    found = []
    for file in sorted(run.evaluations.glob("*.json")):
        try:
            found.append(RunEvaluation(run, file, document.read(file)))
        except UserError as error:
            logger.warning("skipped an evaluation: %s", error)
    return found


# -- comparing --------------------------------------------------------------------------------------------------------


def compare(paths: Iterable[Path | str], at_images: int | None = None, at_seconds: float | None = None) -> Comparison:
    """Compare the last evaluation of every run, optionally within a budget of images seen or seconds of training.

    Raises UserError for a path that is no run, for a budget beyond MOST_BUDGET, and if no run has an evaluation within
    the budget.
    """
    for name, budget in (("images", at_images), ("seconds", at_seconds)):
        if budget is not None and not 0 <= budget <= MOST_BUDGET:
            raise UserError(f"--at-{name} is out of range: give a number from 0 to {MOST_BUDGET:,}")
    unique: dict[Path, Run] = {}
    for run in map(Run.existing, paths):
        unique.setdefault(run.path.resolve(), run)
    runs = list(unique.values())
    everything = [evaluation for run in runs for evaluation in read(run)]
    within = [e for e in everything if _within(e, at_images, at_seconds)]
    found = [run for run in runs if any(e.run is run for e in within)]
    missing = tuple(_missing(run, everything) for run in runs if run not in found)
    if not runs:
        raise UserError("nothing to compare: name the folders of one or more runs")
    if not within:
        raise UserError(missing[0] + (f" (none of the {len(runs)} runs has one)" if len(runs) > 1 else ""))
    protocols: dict[str, list[RunEvaluation]] = {}
    for evaluation in within:
        protocols.setdefault(evaluation.key, []).append(evaluation)
    by_size = sorted(protocols.values(), key=lambda some: (-some[0].document.protocol.n, -_runs(some), some[0].key))
    tables = []
    for some in by_size:
        last = list({e.run: e for e in sorted(some, key=lambda e: e.nimg)}.values())
        last.sort(key=lambda e: found.index(e.run))
        points = [e for e in everything if e.key == some[0].key]
        why = _why_apart(some[0], by_size[0][0]) if some is not by_size[0] else ""
        tables.append(_table(last, points, why, found, at_images, at_seconds))
    return Comparison(tuple(tables), missing, at_images, at_seconds)


def _within(evaluation: RunEvaluation, at_images: int | None, at_seconds: float | None) -> bool:
    return (at_images is None or evaluation.nimg <= GRACE * at_images) and (
        at_seconds is None or evaluation.seconds <= GRACE * at_seconds
    )


def _runs(evaluations: Iterable[RunEvaluation]) -> int:
    return len({e.run for e in evaluations})


def _missing(run: Run, everything: Iterable[RunEvaluation]) -> str:
    own = [e for e in everything if e.run is run]
    if not own:
        return f"'{run.path}' has no evaluation: run `ganvas evaluate {quote(str(run.path))}`"
    first = min(own, key=lambda e: e.nimg)
    when = f"{first.nimg:,} images and {count(first.seconds)} seconds"
    return f"'{run.path}' has no evaluation within the budget: its first is at {when}, so allow more"


def _table(
    last: Sequence[RunEvaluation],
    points: Sequence[RunEvaluation],
    why: str,
    runs: Sequence[Run],
    at_images: int | None,
    at_seconds: float | None,
) -> Table:
    rows, notes = _rows(last, points, pool_unequal=at_seconds is not None)
    references, more = _references(points)
    present = {name for row in (*rows, *references) for name in row.scores} | {
        name for e in last for name in e.document.refused
    }
    metrics = tuple(name for name in METRICS if name in present) + tuple(sorted(present - METRICS.keys()))
    for name, reason in dict.fromkeys(pair for e in last for pair in e.document.refused.items()):
        notes.append(f"- under {metric_of(name).title}: {reason}")
    absent = [str(run.path) for run in runs if run not in {e.run for e in last}]
    notes += [f"{e.name} was {e.document.unfit}." for e in last if e.document.unfit]
    notes += more + _label_note(last) + _budget_notes(last, at_images, at_seconds) + _machine_note(last)
    notes += [f"Not evaluated like this: {', '.join(absent)}."] if absent else []
    fit = [row for row in rows if not any(e.document.unfit for e in row.members)]
    best = frozenset(pair for name in metrics for pair in _best(fit, name))
    return Table(
        last[0].key, last[0].document.about(), why, metrics, tuple(rows), references, best, tuple(notes), tuple(points)
    )


def _rows(
    last: Sequence[RunEvaluation], points: Sequence[RunEvaluation], pool_unequal: bool
) -> tuple[list[Row], list[str]]:
    """One row per run, or per group of seeds with the same images seen, and the notes about them."""
    groups: dict[tuple[str, int], list[RunEvaluation]] = {}
    for evaluation in last:
        groups.setdefault((evaluation.identity, 0 if pool_unequal else evaluation.nimg), []).append(evaluation)
    rows: list[Row] = []
    notes: list[str] = []
    for group in groups.values():
        seeds: dict[int, RunEvaluation] = {}
        for evaluation in group:
            seeds.setdefault(evaluation.seed, evaluation)
        pool = [seeds[seed] for seed in sorted(seeds)] if len(seeds) > 1 else []
        if pool:
            name = f"{pool[0].recipe} ({len(pool)} seeds)"
            if any(row.name == name for row in rows):  # the same recipe with other settings
                name = f"{name[:-1]}, {pool[0].name} ...)"
            rows.append(Row(name, "seeds", tuple(pool), _mean([e.scores for e in pool])))
            notes.append(f"{name}: {', '.join(f'{e.name} (seed {e.seed})' for e in pool)}.")
        for evaluation in (e for e in group if e not in pool):
            rows.append(Row(evaluation.name, "run", (evaluation,), evaluation.scores))
            if pool:
                notes.append(f"{evaluation.name} repeats seed {evaluation.seed}: it is not part of the mean.")
    return rows, notes + _apart_notes(rows, points)


def _apart_notes(rows: Sequence[Row], points: Sequence[RunEvaluation]) -> list[str]:
    """Notes on seeds of one recipe that could be averaged after equal numbers of images."""
    seen: dict[str, list[Row]] = {}
    for row in rows:
        seen.setdefault(row.members[0].identity, []).append(row)
    notes = []
    for apart in seen.values():
        pooled = {e.seed for row in apart if row.kind == "seeds" for e in row.members}
        members = [e for row in apart for e in row.members]
        if len({e.seed for e in members} - pooled) + bool(pooled) < 2:
            continue
        common = set.intersection(*({p.nimg for p in points if p.run is e.run} for e in members))
        what = f"use --at-images {max(common)}" if common else "evaluate them after equal numbers of images"
        name, count = members[0].recipe, len({e.seed for e in members})
        notes.append(f"{name}: {count} seeds are not averaged, as they saw different numbers of images: {what}.")
    return notes


def _mean(scores: Sequence[Mapping[str, Score]]) -> dict[str, Score]:
    """The mean and sample standard deviation over seeds of every metric that all seeds have."""
    columns = {name: [each[name].value for each in scores] for name in scores[0] if all(name in s for s in scores)}
    return {name: Score(fmean(values), stdev(values)) for name, values in columns.items()}


def _references(points: Sequence[RunEvaluation]) -> tuple[tuple[Row, ...], list[str]]:
    """The reference rows, each from the newest evaluation that has it, and the notes about them."""
    found: dict[str, ReferenceRow] = {}
    for evaluation in sorted(points, key=lambda e: e.document.provenance.at):
        found |= evaluation.document.references
    rows, notes = [], []
    for kind in sorted(found, key=lambda kind: [*REFERENCES, kind].index(kind)):
        name = REFERENCES.get(kind, kind)
        rows.append(Row(name, kind, (), found[kind].scores))
        notes.append(f"{name}: {found[kind].what}.")
        if kind != "real":
            continue
        for metric, reason in found[kind].refused.items():
            notes.append(f"- for the real images under {metric_of(metric).title}: {reason}")
        n, asked = found[kind].n, points[0].document.protocol.n
        if n != asked:
            notes.append(f"{name}: {n:,} images and not {asked:,}, on which biased scores such as FID depend.")
    return tuple(rows), notes


def _best(rows: Sequence[Row], metric: str) -> list[tuple[str, str]]:
    """(row, metric) for the best run and all that are within the uncertainty of it; empty for fewer than two runs."""
    having, better = [row for row in rows if metric in row.scores], metric_of(metric).better
    if len(having) < 2 or not better:
        return []
    best = (min if better == "lower" else max)((row.scores[metric] for row in having), key=lambda score: score.value)

    def close(score: Score) -> bool:
        return abs(score.value - best.value) <= 2 * hypot(score.error or 0, best.error or 0)

    return [(row.name, metric) for row in having if close(row.scores[metric])]


def _label_note(last: Iterable[RunEvaluation]) -> list[str]:
    """A note on the labels of the samples: conditional and unconditional runs may be compared, but should be marked."""
    labels: dict[str, list[str]] = {}
    for evaluation in last:
        labels.setdefault(evaluation.document.protocol.labels or "unknown", []).append(evaluation.name)
    texts = [f"{what} ({', '.join(names)})" if len(labels) > 1 else what for what, names in labels.items()]
    return [f"Labels of the samples: {', '.join(texts)}."]


def _budget_notes(last: Sequence[RunEvaluation], at_images: int | None, at_seconds: float | None) -> list[str]:
    """Notes on runs that used much less than the budget."""
    notes = []
    for evaluation in last:
        for budget, used, text in ((at_images, evaluation.nimg, "images"), (at_seconds, evaluation.seconds, "seconds")):
            if budget and used < MISSED * budget:
                notes.append(f"{evaluation.name}: {used:,.0f} {text}, less than the budget of {budget:,.0f}.")
    return notes


def _machine_note(last: Iterable[RunEvaluation]) -> list[str]:
    """A note if the runs are from different machines, whose seconds cannot be compared."""
    machines: dict[str, list[str]] = {}
    for evaluation in last:
        with suppress(UserError):
            sessions = evaluation.run.info().sessions
            names = dict.fromkeys(f"{s.device}, {s.threads} threads, {s.machine}" for s in sessions)
            machines.setdefault(" + ".join(names), []).append(evaluation.name)
    if len(machines) < 2:
        return []
    where = "; ".join(f"{', '.join(names)}: {machine or 'unknown'}" for machine, names in machines.items())
    return [f"The seconds are from different machines: compare over images seen ({where})."]


def _why_apart(this: RunEvaluation, first: RunEvaluation) -> str:
    """A sentence with the entries of the protocol that differ from those of the first table."""
    parts = []
    a, b = _flat(this.document.protocol), _flat(first.document.protocol)
    for key in dict.fromkeys([*a, *b]):
        mine, other = a.get(key), b.get(key)
        if mine == other or key in ("labels", "evaluator.name"):  # the name comes with the sha256
            continue
        section, _, entry = key.partition(".")
        if section == "metrics" and None in (mine, other):
            parts.append(f"{metric_of(entry).title} is measured {'only here' if other is None else 'only there'}")
        elif section == "metrics":
            parts.append(f"{metric_of(entry).title} is defined by version {mine}, not {other}")
        elif key in ("evaluator.sha256", "data.sha256"):
            parts.append(f"the {section} is {_which(this, section)}, not {_which(first, section)}")
        else:
            parts.append(f"{ENTRIES.get(key, key)} is {_word(mine)}, not {_word(other)}")
    differences = "; ".join(parts) or f"protocol {this.key}, not {first.key}"
    return f"Not comparable with the first table: {differences}."


def _flat(protocol: Protocol) -> dict[str, Any]:
    values = protocol.model_dump(exclude_none=True)
    nested = {key: value if isinstance(value, dict) else {"": value} for key, value in values.items()}
    return {f"{key}.{sub}".rstrip("."): value for key, values in nested.items() for sub, value in values.items()}


def _which(evaluation: RunEvaluation, section: str) -> str:
    protocol = evaluation.document.protocol
    name, sha256 = (
        (protocol.evaluator.name, protocol.evaluator.sha256)
        if section == "evaluator"
        else (evaluation.document.data_name, protocol.data.sha256)
    )
    return f"{name} ({sha256[:8]})"


def _word(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32,}", value):  # a hash
        return value[:8]
    return f"{value:,}" if type(value) is int else "absent" if value is None else str(value)


def metric_of(name: str) -> Metric:
    """The entry of a metric in METRICS; an unknown metric, from a newer version, has its raw name as title."""
    return METRICS.get(name) or Metric(name, "", 0, "a metric that this version of ganvas does not know")


def count(value: float) -> str:
    """Format a number of images or seconds: 1,500,032, or 2.5 if it is small."""
    return f"{value:.1f}" if 0 < value < 10 and value % 1 else f"{value:,.0f}"
