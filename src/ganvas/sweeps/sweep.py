"""Running a sweep: each trial is trained and scored by its own processes, several at a time."""

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
from ganvas.core.processes import failure_reason
from ganvas.data import DataSettings
from ganvas.data import load as load_data
from ganvas.evaluation import document
from ganvas.evaluation.document import Evaluation
from ganvas.metrics import Score
from ganvas.recipes.recipe import Recipe
from ganvas.runs.run import IN_USE, LOCK_SECONDS, Run
from ganvas.sweeps.info import read_plan, write_plan
from ganvas.sweeps.journal import Journal
from ganvas.sweeps.plan import Plan, assignments
from ganvas.sweeps.processes import POLL_SECONDS, CommandRunner, StopSignal, command_runner, import_ray
from ganvas.sweeps.results import Trial, write_results

UPDATE_SECONDS = 1.0  # between two lists of the trials
MOST_JOBS = 1_000  # each is a process


class Sweep:
    """A sweep in its folder; `run` trains and scores the trials that are left."""

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
        """`jobs` trials run at a time, on this machine or as Ray tasks; with `retry`, failed trials run again."""
        if not 1 <= jobs <= MOST_JOBS:
            raise UserError(f"--jobs is {jobs}: ask for 1 to {MOST_JOBS:,}")
        if on == "ray" and ":" in device:
            raise UserError(
                f"--device {device} is a GPU of this machine: on Ray each run gets a GPU of its own; use --device cuda"
            )
        self.plan, self.folder, self.jobs, self.on, self.retry = plan, files.expanded(folder).resolve(), jobs, on, retry
        self.given_folder, self.data_dir, self.device = folder, data_dir and data_dir.resolve(), device
        self.stop = StopSignal(self.folder / ".stop" if on == "ray" else None)
        self.sizes: dict[DataSettings, int] = {}  # images per epoch
        self.totals: dict[str, int] = {}  # images seen at the end of each run
        self.done: dict[str, Trial] = {}  # trials that have ended, which do not change any more
        self.running: dict[Future[bool], Trial] = {}

    def run(self) -> Iterator[list[Trial]]:
        """Run the trials that are left; yields the current state of all trials about once a second.

        Ctrl-C, SIGTERM and closing the iterator let the runs save a checkpoint; a second Ctrl-C kills their processes.
        The tables and the figure are written at the end. Raises UserError for problems that the caller can solve.
        """
        if self.on == "ray":
            import_ray()
        for point in self.plan.examples():  # reports missing data before the first run, and decodes it only once
            self._total_images(self.plan.recipe_of(point))
        with self._lock():
            if (self.folder / "sweep.json").is_file():
                self.plan.check_extends(read_plan(self.folder), self.given_folder)
            write_plan(self.plan, self.folder)
            self.journal = Journal(self.plan, self.folder / "journal.log", self.retry)
            with (
                command_runner(self.on, self.jobs, self.device, self.stop) as run_command,
                self.stop.on_signals(),
                ThreadPoolExecutor(self.jobs) as pool,
            ):
                try:
                    yield self.trials()
                    while True:
                        while len(self.running) < self.jobs and not self.stop and (entry := self.journal.next()):
                            trial = self._trial(entry)
                            self.running[pool.submit(self._train_and_score, trial, run_command)] = trial
                        if not self.running:
                            break
                        for future in wait(self.running, UPDATE_SECONDS, FIRST_COMPLETED).done:
                            self._record_outcome(self.running.pop(future), future.result())
                        yield self.trials()
                except BaseException:  # the caller closed the iterator, or the disk is full
                    self.stop.request()
                    raise
            write_results(self.plan, self.trials(), self.folder)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Lock the folder; raises UserError if another process has locked it. The lock ends with its process."""
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"'{self.given_folder}' is a file: give --out a folder")
        if Run(self.folder).is_run():
            raise UserError(f"'{self.given_folder}' holds a run: give --out a folder of its own")
        files.make_folders(self.folder)
        lock = filelock.FileLock(self.folder / ".lock", is_singleton=False)
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except filelock.Timeout:
            raise UserError(
                f"'{self.given_folder}' is in use by another sweep: wait for it, or use another --out"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _total_images(self, recipe: Recipe) -> int:
        """Length of a run in images seen."""
        if recipe.data not in self.sizes:
            self.sizes[recipe.data] = len(load_data(recipe.data, "train", self.data_dir))
        return recipe.total_images(self.sizes[recipe.data])

    # -- the trials ---------------------------------------------------------------------------------------------

    def trials(self) -> list[Trial]:
        """The current state of all trials, in the order of the journal."""
        return [self._trial(entry) for entry in self.journal.entries().values()]

    def _trial(self, entry: Any) -> Trial:
        """The current state of the trial in a journal entry."""
        name, point, seed = (entry.user_attrs[key] for key in ("name", "point", "seed"))
        if name in self.done:
            return self.done[name]
        if name not in self.totals:
            self.totals[name] = self._total_images(self.plan.recipe_of(point))
        run, total = Run(self.folder / name), self.totals[name]
        last = (run.records() or [{}])[-1]
        trial = Trial(name, point, seed, entry.number, run, "waiting", total, last)
        if any(name == other.name for other in self.running.values()):
            trained = last.get("nimg", 0) >= total
            return replace(trial, state="stopping" if self.stop else "scoring" if trained else "training")
        if entry.state == self.journal.states.COMPLETE:
            self.done[name] = trial = replace(trial, state="finished", scores=self._scores(name))
        elif entry.state in self.journal.unsuccessful:
            self.done[name] = trial = replace(trial, state="failed", reason=failure_reason(self._log_file(name)))
        return trial

    def _record_outcome(self, trial: Trial, succeeded: bool) -> None:
        """Record in the journal how a trial ended. A trial that was stopped is left open and continues next time."""
        if succeeded:
            score = self._scores(trial.name).get(self.plan.by)
            self.journal.record_success(trial.number, score.value if score else None)
        elif not self.stop:
            self.journal.record_failure(trial.number)

    # -- processes ----------------------------------------------------------------------------------------------

    def _train_and_score(self, trial: Trial, run_command: CommandRunner) -> bool:
        """Train and evaluate a run, and return whether it succeeded. Called in a thread of its own."""
        evaluation, log = self._evaluation_file(trial.name), self._log_file(trial.name)
        if evaluation.is_file():
            return self._is_comparable(trial)
        log.parent.mkdir(exist_ok=True)
        data = [] if self.data_dir is None else ["--data-dir", str(self.data_dir)]
        where = ["--device", self.device, *data]
        settings = [*assignments(trial.point), f"train.seed={trial.seed}"]
        train = ["train", str(self.folder / "recipe.toml"), "--out", str(trial.run.path), *where, "--set", *settings]
        score = ["evaluate", str(trial.run.path), "--n", str(self.plan.samples), "--json", str(evaluation), *where]
        while True:
            while _in_use(trial.run):  # by a process whose sweep was killed
                if self.stop:
                    return False
                time.sleep(POLL_SECONDS)
            code = run_command(train, log)
            if code == 0:
                break
            if self.stop or IN_USE not in failure_reason(log):  # that process may have begun, and ended, meanwhile
                return False
        return not self.stop and run_command(score, log) == 0 and self._is_comparable(trial)

    def _is_comparable(self, trial: Trial) -> bool:
        """Whether a run can be compared with the other ones; if not, the log says why.

        Its evaluator must be theirs, and a search needs the score that it optimises.
        """
        evaluation, why = self._evaluation(trial.name), ""
        before = next(filter(None, (self._evaluation(name) for name in list(self.done))), None)
        if evaluation and before and evaluation.protocol.evaluator != before.protocol.evaluator:
            own, theirs = evaluation.protocol.evaluator.name, before.protocol.evaluator.name
            self._evaluation_file(trial.name).unlink()
            why = f"the evaluator is '{own}', but earlier runs were scored by '{theirs}': install what is missing, "
            why += "or start another sweep"
        elif self.plan.trials is not None and self.plan.by not in self._scores(trial.name):
            others = ", ".join(self._scores(trial.name)) or "none"
            why = f"the evaluation has no {self.plan.by}: choose --by one of its scores ({others})"
        if why:
            with self._log_file(trial.name).open("a") as log:
                log.write(f"error: {why}\n")
        return not why

    def _log_file(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.txt"

    def _evaluation_file(self, name: str) -> Path:
        return self.folder / "evaluations" / f"{name}.json"

    def _scores(self, name: str) -> dict[str, Score]:
        """The scores of a run; empty if its evaluation has been deleted or damaged."""
        evaluation = self._evaluation(name)
        return evaluation.scores if evaluation else {}

    def _evaluation(self, name: str) -> Evaluation | None:
        """The evaluation of a run; None if it has been deleted or damaged."""
        try:
            return document.read(self._evaluation_file(name))
        except UserError:
            return None


def _in_use(run: Run) -> bool:
    return run.path.is_dir() and run.in_use()
