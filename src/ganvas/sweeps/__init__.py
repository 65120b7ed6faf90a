"""A sweep: one recipe with other settings, run by run, each trained and scored by a process of its own.

recipe.toml    what all the runs share                   journal.log   the trials, as Optuna keeps them
sweep.json     what is varied, and how it is scored      logs/         what the processes said
NAME/          the run directory of a trial              evaluations/  the scores of each run
sweep.csv      a line per run                            table.md      a row per point, over its seeds
sweep.png      one figure

A trial is a point (settings) with a seed. The processes are `ganvas train` and `ganvas evaluate`, so that a run of a
sweep is like any other: a sweep may be killed at any moment, and the same call goes on.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import filelock

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.data import DataSettings
from ganvas.data import load as load_data
from ganvas.evaluation import document
from ganvas.metrics import Score
from ganvas.recipes.recipe import Recipe
from ganvas.runs.run import LOCK_SECONDS, Run
from ganvas.sweeps.journal import Journal, optuna
from ganvas.sweeps.plan import Plan, Point, Range, assignments, read_plan, read_varied
from ganvas.sweeps.processes import POLL_SECONDS, Execute, Stop, executor, import_ray, reason
from ganvas.sweeps.results import Trial, figure, table, to_csv, write_results

__all__ = [
    "Plan",
    "Point",
    "Range",
    "Sweep",
    "Trial",
    "figure",
    "read_plan",
    "read_varied",
    "table",
    "to_csv",
    "write_results",
]

LOOK_SECONDS = 1.0  # between two looks at the trials


class Sweep:
    """A sweep in its folder; `go` does what is not done yet."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        *,
        jobs: int = 1,
        data_dir: Path | None = None,
        device: str = "auto",
        on: Literal["here", "ray"] = "here",
        retry: bool = False,
    ) -> None:
        """`jobs` trials run side by side, here or as tasks `on` Ray; `retry` takes up those that failed as well."""
        if jobs < 1:
            raise UserError(f"--jobs is {jobs}: ask for 1 or more")
        if on == "ray" and ":" in device:
            raise UserError(
                f"--device {device} is one of this machine: on Ray each run has a GPU of its own: give cuda"
            )
        self.plan, self.folder, self.jobs, self.on, self.retry = plan, folder.expanduser().resolve(), jobs, on, retry
        self.shown_folder, self.data_dir, self.device = folder, data_dir and data_dir.resolve(), device
        self.recipe_file = self.folder / "recipe.toml"
        self.stop = Stop(self.folder / ".stop" if on == "ray" else None)
        self.sizes: dict[DataSettings, int] = {}  # images in an epoch
        self.totals: dict[str, int] = {}  # images that each run will see
        self.kept: dict[str, Trial] = {}  # what is done does not change
        self.running: dict[Future[bool], Trial] = {}

    def go(self) -> Iterator[list[Trial]]:
        """Run what is left to be run; yields all trials, as they are, about once a second.

        Ctrl-C and SIGTERM, and closing the iterator, let the runs checkpoint; a second Ctrl-C kills their processes.
        Tables and figure are written at the end. Raises UserError for what the caller can put right.
        """
        optuna()
        if self.on == "ray":
            import_ray()
        for point in self.plan.examples():  # missing images are noticed here, and decoded once
            self._images(self.plan.recipe_of(point))
        with self._lock():
            self._write_plan()
            self.journal = Journal(self.plan, self.folder / "journal.log", self.retry)
            with (
                executor(self.on, self.jobs, self.device, self.stop) as execute,
                self.stop.on_signals(),
                ThreadPoolExecutor(self.jobs) as pool,
            ):
                try:
                    yield self.trials()
                    while True:
                        while len(self.running) < self.jobs and not self.stop and (told := self.journal.next()):
                            trial = self._trial(told)
                            self.running[pool.submit(self._train_and_score, trial, execute)] = trial
                        if not self.running:
                            break
                        for future in wait(self.running, LOOK_SECONDS, FIRST_COMPLETED).done:
                            self._tell(self.running.pop(future), future.result())
                        yield self.trials()
                except BaseException:  # the caller wants no more, or the disk is full
                    self.stop.ask()
                    raise
            write_results(self.plan, self.trials(), self.folder)

    # -- the folder ---------------------------------------------------------------------------------------------

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the folder; raises UserError while another process does. The lock dies with its process."""
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"'{self.shown_folder}' is a file: give --out a folder")
        if Run(self.folder).is_run():
            raise UserError(f"'{self.shown_folder}' holds a run: give --out a folder of its own")
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.folder / ".lock", is_singleton=False)
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except filelock.Timeout:
            raise UserError(
                f"'{self.shown_folder}' is being swept by another process: wait for it, or use another --out"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _write_plan(self) -> None:
        """Write down what this sweep is; raises UserError when another one is here."""
        plan_file = self.folder / "sweep.json"
        if plan_file.is_file():
            self.plan.refuse_unless_more(read_plan(self.folder), self.shown_folder)
        files.write(self.recipe_file, self.plan.recipe.to_toml().encode())
        files.write(plan_file, (json.dumps(self.plan.as_dict(), indent=1) + "\n").encode())

    def _images(self, recipe: Recipe) -> int:
        """Length of a run in images seen."""
        if recipe.data not in self.sizes:
            self.sizes[recipe.data] = len(load_data(recipe.data, "train", self.data_dir))
        return recipe.total_images(self.sizes[recipe.data])

    # -- the trials ---------------------------------------------------------------------------------------------

    def _tell(self, trial: Trial, succeeded: bool) -> None:
        """Note down how a trial ended; one that was stopped stays as it is, to be taken up again."""
        if succeeded:
            score = self._scores(trial.name).get(self.plan.by)
            self.journal.succeeded(trial.number, score.value if score else None)
        elif not self.stop:
            self.journal.failed(trial.number)

    def trials(self) -> list[Trial]:
        """All trials of the journal, in its order."""
        return [self._trial(trial) for trial in self.journal.trials().values()]

    def _trial(self, told: Any) -> Trial:
        """A trial of the journal, as it is now."""
        name, point, seed = (told.user_attrs[key] for key in ("name", "point", "seed"))
        if name in self.kept:
            return self.kept[name]
        if name not in self.totals:
            self.totals[name] = self._images(self.plan.recipe_of(point))
        run, total = Run(self.folder / name), self.totals[name]
        last = (run.records() or [{}])[-1]
        trial = Trial(name, point, seed, told.number, run, "waiting", total, last)
        if any(name == other.name for other in self.running.values()):
            trained = last.get("nimg", 0) >= total
            return replace(trial, state="stopping" if self.stop else "scoring" if trained else "training")
        if told.state == self.journal.states.COMPLETE:
            self.kept[name] = trial = replace(trial, state="finished", scores=self._scores(name))
        elif told.state in self.journal.unsuccessful:
            self.kept[name] = trial = replace(trial, state="failed", reason=reason(self._log(name)))
        return trial

    # -- processes ----------------------------------------------------------------------------------------------

    def _train_and_score(self, trial: Trial, execute: Execute) -> bool:
        """Train and evaluate a run; whether that went well. Runs in a thread of its own."""
        result, log = self._result(trial.name), self._log(trial.name)
        if result.is_file():
            return self._judged(trial)
        log.parent.mkdir(exist_ok=True)
        data = [] if self.data_dir is None else ["--data-dir", str(self.data_dir)]
        where = ["--device", self.device, *data]
        settings = [*assignments(trial.point), f"train.seed={trial.seed}"]
        train = ["train", str(self.recipe_file), "--out", str(trial.run.path), *where, "--set", *settings]
        score = ["evaluate", str(trial.run.path), "--n", str(self.plan.samples), "--json", str(result), *where]
        while True:
            while _in_use(trial.run):  # by a process whose sweep was killed
                if self.stop:
                    return False
                time.sleep(POLL_SECONDS)
            code = execute(train, log)
            if code == 0:
                break
            if self.stop or not _in_use(trial.run):
                return False
        return not self.stop and execute(score, log) == 0 and self._judged(trial)

    def _judged(self, trial: Trial) -> bool:
        """Whether the evaluation has the score that a search needs; if not, the log says so."""
        if self.plan.trials is None or self.plan.by in self._scores(trial.name):
            return True
        others = ", ".join(self._scores(trial.name)) or "none"
        with self._log(trial.name).open("a") as log:
            log.write(f"error: the evaluation has no {self.plan.by}: choose --by one of its scores ({others})\n")
        return False

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.txt"

    def _result(self, name: str) -> Path:
        return self.folder / "evaluations" / f"{name}.json"

    def _scores(self, name: str) -> dict[str, Score]:
        """Of the evaluation that the journal has; none when somebody deleted or damaged it."""
        try:
            return document.read(self._result(name)).scores
        except UserError:
            return {}


def _in_use(run: Run) -> bool:
    return run.path.is_dir() and run.in_use()
