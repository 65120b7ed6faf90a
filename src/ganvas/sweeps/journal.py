"""The journal of a sweep, an Optuna study: which trials wait, run, succeeded or failed, and what to try next."""

import itertools
import json
import math
import random
from collections.abc import Set
from pathlib import Path
from typing import Any

from ganvas.core import files
from ganvas.metrics import METRICS
from ganvas.sweeps.plan import Plan

DIGITS = 4  # significant digits of a number from a range, which becomes part of a folder's name
REPEATS = 20  # known points that a search may propose in a row before it is given a new one


class Journal:
    """The trials of a plan. An entry is an Optuna trial with `name`, `point` and `seed` in its user_attrs."""

    def __init__(self, plan: Plan, file: Path, retry: bool = False) -> None:
        """Read the journal and add the trials that are missing; with `retry`, the failed ones are queued again."""
        import optuna  # imported here: slow to import

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna: Any = optuna  # its modules are loaded when they are first used
        self.plan, self.exhausted = plan, False
        self.states = self.optuna.trial.TrialState
        self.unsuccessful = self.states.PRUNED, self.states.FAIL
        for lock in file.parent.glob(f"{file.name}.lock*"):  # left by a killed process
            lock.unlink()
        if file.is_file():
            whole, line_end, cut = file.read_bytes().rpartition(b"\n")
            if cut:  # a kill cut this line short: the next one must not continue it
                files.write(file, whole + line_end)
        backend = self.optuna.storages.journal.JournalFileBackend(str(file))
        self.study = self.optuna.create_study(
            storage=self.optuna.storages.JournalStorage(backend),
            study_name="sweep",
            direction="maximize" if METRICS[plan.by].better == "higher" else "minimize",
            load_if_exists=True,
        )
        journal = self.study.get_trials(deepcopy=False)
        # Not a fixed seed: a resumed search would draw its first points again.
        self.study.sampler = self.optuna.samplers.TPESampler(seed=len(journal))
        for trial in journal:
            if trial.state == self.states.RUNNING and "name" not in trial.user_attrs:
                self.study.tell(trial.number, state=self.states.FAIL)  # killed before it got one
        entries = self.entries().values()
        self.interrupted = [entry for entry in entries if entry.state == self.states.RUNNING]  # when a sweep was killed
        for entry in entries:
            if retry and entry.state in self.unsuccessful:
                self.study.enqueue_trial(entry.params, user_attrs=entry.user_attrs)
        self._enqueue_missing()

    def entries(self) -> dict[str, Any]:
        """The entries by name, oldest first; of a trial that was run again, the latest."""
        return {t.user_attrs["name"]: t for t in self.study.get_trials(deepcopy=False) if "name" in t.user_attrs}

    def next(self) -> Any:
        """The entry of the trial to start next; None when there are no more."""
        if self.interrupted:
            return self.interrupted.pop(0)
        for repeat in range(REPEATS + 1):
            entries = self.entries().values()
            points = {self.plan.name(entry.user_attrs["point"]) for entry in entries}
            waiting = any(entry.state == self.states.WAITING for entry in entries)
            wanted = min(self.plan.trials or 0, self.plan.size() or math.inf)
            if not waiting and (self.exhausted or len(points) >= wanted):
                return None
            if repeat == REPEATS:
                self._enqueue_new_point(points)
            asked = self.study.ask(self._distributions())
            if "name" not in asked.user_attrs:  # a new point
                point = {key: to_setting(value, asked.distributions[key]) for key, value in asked.params.items()}
                if self.plan.name(point) in points:
                    self.study.tell(asked.number, state=self.states.FAIL)
                    continue
                seed = self.plan.recipe.train.seed
                for key, value in (("point", point), ("seed", seed), ("name", self.plan.name(point, seed))):
                    asked.set_user_attr(key, value)
                self._enqueue_missing()
            return self.entries()[asked.user_attrs["name"]]
        self.exhausted = True  # fewer points than the plan counts: two values may share a name
        return None

    def record_success(self, number: int, score: float | None) -> None:
        """Record that a trial succeeded, with its score; None counts as the worst one (a grid needs no score)."""
        worst = -math.inf if METRICS[self.plan.by].better == "higher" else math.inf
        self.study.tell(number, worst if score is None else score)

    def record_failure(self, number: int) -> None:
        """Record that a trial failed, as pruned: the sampler ignores trials in state FAIL, but learns from these."""
        self.study.tell(number, state=self.states.PRUNED)

    def _enqueue_new_point(self, points: Set[str]) -> None:
        """Add a point whose name is not in `points` to the journal, if the possible points can be enumerated."""
        if self.plan.size() is None:
            return
        every = self.plan.varied.values()
        choices = [v if isinstance(v, list) else range(int(v.low), int(v.high) + 1) for v in every]
        possible = (dict(zip(self.plan.varied, values, strict=True)) for values in itertools.product(*choices))
        untried = [point for point in possible if self.plan.name(point) not in points]
        if untried:
            point = random.Random(len(points)).choice(untried)
            params = {k: json.dumps(v) if isinstance(self.plan.varied[k], list) else v for k, v in point.items()}
            self.study.enqueue_trial(params)

    def _enqueue_missing(self) -> None:
        """Add every known point with every seed to the journal, ordered by seed."""
        entries, journal = self.entries(), self.study.get_trials(deepcopy=False)
        named = [trial for trial in reversed(journal) if "name" in trial.user_attrs]
        first = {self.plan.name(trial.user_attrs["point"]): trial for trial in named}  # the first trial of each point
        if self.plan.trials is None:
            points = self.plan.points()
        else:
            points = [trial.user_attrs["point"] for trial in reversed(first.values())]
        for seed, point in itertools.product(self.plan.all_seeds(), points):
            name = self.plan.name(point, seed)
            if name not in entries:
                params = {} if self.plan.trials is None else first[self.plan.name(point)].params
                self.study.enqueue_trial(params, user_attrs={"name": name, "point": point, "seed": seed})

    def _distributions(self) -> dict[str, Any]:
        """Optuna's distribution of each setting. List values are JSON texts, as Optuna takes only plain values."""
        if self.plan.trials is None:
            return {}
        of = self.optuna.distributions
        found: dict[str, Any] = {}
        for key, values in self.plan.varied.items():
            if isinstance(values, list):
                found[key] = of.CategoricalDistribution([json.dumps(value) for value in values])
            else:
                kind = of.IntDistribution if isinstance(values.low, int) else of.FloatDistribution
                found[key] = kind(values.low, values.high, log=values.log)
        return found


def to_setting(value: Any, distribution: Any) -> Any:
    """The value of a setting for a value that Optuna drew from a distribution."""
    if isinstance(value, str):
        return json.loads(value)
    if isinstance(value, float):  # rounded, but kept within the range
        return min(max(float(f"{value:.{DIGITS}g}"), distribution.low), distribution.high)
    return value
