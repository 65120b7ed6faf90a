"""The journal of a sweep, kept by Optuna: which runs wait, run, went well or failed, and what to try next."""

import itertools
import json
import math
import random
from collections.abc import Set
from pathlib import Path
from typing import Any

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.metrics import METRICS
from ganvas.sweeps.plan import Plan

DIGITS = 4  # of a number from a range: enough, and short enough for the name of a folder
REPEATS = 20  # points in a row that were there already; then a search gets one that was not


def optuna() -> Any:
    """Optuna, imported when it is needed; raises UserError when it is not installed."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise UserError("sweeps need the extra 'sweep': pip install 'ganvas[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Journal:
    """The trials of a plan. Each is one of Optuna's, with `name`, `point` and `seed` as its user_attrs."""

    def __init__(self, plan: Plan, file: Path, retry: bool = False) -> None:
        """Read the journal, and note down what has to be run; with `retry`, what failed as well."""
        self.plan, self.optuna, self.exhausted = plan, optuna(), False
        self.states = self.optuna.trial.TrialState
        self.unsuccessful = self.states.PRUNED, self.states.FAIL
        for lock in file.parent.glob(f"{file.name}.lock*"):  # of a process that was killed
            lock.unlink()
        if file.is_file():
            whole, line_end, cut = file.read_bytes().rpartition(b"\n")
            if cut:  # the line that a kill cut short would spoil the next one
                files.write(file, whole + line_end)
        backend = self.optuna.storages.journal.JournalFileBackend(str(file))
        self.study = self.optuna.create_study(
            storage=self.optuna.storages.JournalStorage(backend),
            study_name="sweep",
            direction="maximize" if METRICS[plan.by].better == "higher" else "minimize",
            load_if_exists=True,
        )
        journal = self.study.get_trials(deepcopy=False)
        self.study.sampler = self.optuna.samplers.TPESampler(seed=len(journal))  # not the first draws again
        for trial in journal:
            if trial.state == self.states.RUNNING and "name" not in trial.user_attrs:
                self.study.tell(trial.number, state=self.states.FAIL)  # killed before it had any
        trials = self.trials()
        self.left = [trial for trial in trials.values() if trial.state == self.states.RUNNING]  # by a killed sweep
        for trial in trials.values():
            if retry and trial.state in self.unsuccessful:
                self.study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
        self._enqueue_missing()

    def trials(self) -> dict[str, Any]:
        """The trials by name, in the order in which they came; of one that was repeated, the last."""
        return {t.user_attrs["name"]: t for t in self.study.get_trials(deepcopy=False) if "name" in t.user_attrs}

    def next(self) -> Any:
        """The trial to start now; None when there is no other."""
        if self.left:
            return self.left.pop(0)
        for repeat in range(REPEATS + 1):
            trials = self.trials().values()
            points = {self.plan.name(trial.user_attrs["point"]) for trial in trials}
            waiting = any(trial.state == self.states.WAITING for trial in trials)
            wanted = min(self.plan.trials or 0, self.plan.size() or math.inf)
            if not waiting and (self.exhausted or len(points) >= wanted):
                return None
            if repeat == REPEATS:
                self._enqueue_untried(points)
            asked = self.study.ask(self._distributions())
            if "name" not in asked.user_attrs:  # a new point
                point = {key: drawn(value, asked.distributions[key]) for key, value in asked.params.items()}
                if self.plan.name(point) in points:
                    self.study.tell(asked.number, state=self.states.FAIL)
                    continue
                seed = self.plan.recipe.train.seed
                for key, value in (("point", point), ("seed", seed), ("name", self.plan.name(point, seed))):
                    asked.set_user_attr(key, value)
                self._enqueue_missing()
            return self.trials()[asked.user_attrs["name"]]
        self.exhausted = True  # two values may share a name
        return None

    def succeeded(self, number: int, score: float | None) -> None:
        """Note down how good a trial was; a grid needs no score."""
        worst = -math.inf if METRICS[self.plan.by].better == "higher" else math.inf
        self.study.tell(number, worst if score is None else score)

    def failed(self, number: int) -> None:
        """As pruned: a search would learn nothing from one that is told as failed."""
        self.study.tell(number, state=self.states.PRUNED)

    def _enqueue_untried(self, points: Set[str]) -> None:
        """Put a point that is not among the names `points` into the journal, where they can be counted."""
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
        """Put every seed of every known point into the journal, seed by seed."""
        trials, journal = self.trials(), self.study.get_trials(deepcopy=False)
        named = [trial for trial in reversed(journal) if "name" in trial.user_attrs]
        first = {self.plan.name(trial.user_attrs["point"]): trial for trial in named}  # of each point
        if self.plan.trials is None:
            points = self.plan.points()
        else:
            points = [trial.user_attrs["point"] for trial in reversed(first.values())]
        for seed, point in itertools.product(self.plan.all_seeds(), points):
            name = self.plan.name(point, seed)
            if name not in trials:
                params = {} if self.plan.trials is None else first[self.plan.name(point)].params
                self.study.enqueue_trial(params, user_attrs={"name": name, "point": point, "seed": seed})

    def _distributions(self) -> dict[str, Any]:
        """What Optuna may choose from; the values of a list are JSON, as it wants plain ones."""
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


def drawn(value: Any, distribution: Any) -> Any:
    """A value that Optuna chose from a distribution, as a setting."""
    if isinstance(value, str):
        return json.loads(value)
    if isinstance(value, float):  # rounded, but not over the edge
        return min(max(float(f"{value:.{DIGITS}g}"), distribution.low), distribution.high)
    return value
