"""A sweep: one recipe with other settings, run by run, each trained and scored by a process of its own.

recipe.toml    what all the runs share                   journal.log   the trials, as Optuna keeps them
sweep.json     what is varied, and how it is scored      logs/         what the processes said
NAME/          the run directory of a trial              evaluations/  the scores of each run
sweep.csv      a line per run                            table.md      a row per point, over its seeds
sweep.png      one figure

A trial is a point (settings) with a seed. The processes are `ganvas train` and `ganvas evaluate`, so that a run of a
sweep is like any other: a sweep may be killed at any moment, and the same call goes on.
"""

import csv
import io
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, NamedTuple

import filelock
from matplotlib.figure import Figure

from ganvas import files, plot, report
from ganvas import recipe as recipes
from ganvas.config import merge, parse_assignments
from ganvas.data import DataSettings
from ganvas.data import load as load_data
from ganvas.errors import UserError, nearest
from ganvas.evaluate import LEAST_SAMPLES
from ganvas.metrics import METRICS, Score
from ganvas.recipe import SECTIONS, Recipe
from ganvas.run import LOCK_SECONDS, Record, Run

Point = dict[str, Any]  # section.key -> value
Execute = Callable[[Sequence[str], Path], int]  # the words of a `ganvas` command, its log -> its exit code

FORMAT = 1  # of sweep.json
LOOK_SECONDS = 1.0  # between two looks at the trials
POLL_SECONDS = 0.1  # between two looks at a process
LOG_RANGE = 10  # from this ratio of its ends on, a range is searched evenly in its logarithm
DIGITS = 4  # of a number from a range: enough, and short enough for the name of a folder
REPEATS = 50  # in a row, after which a search has seen every point it can think of
SCORES = ("kid", "fid", "vendi", "copy_rate", "coverage")  # of the table


# -- what to vary -----------------------------------------------------------------------------------------------------


class Range(NamedTuple):
    """Numbers from `low` to `high`; whole ones if both are."""

    low: float
    high: float

    @property
    def log(self) -> bool:
        return self.low > 0 and self.high >= LOG_RANGE * self.low


Varied = dict[str, list[Any] | Range]


def read_varied(words: Sequence[str], ranges: bool = False) -> Varied:
    """`["method.g_steps=1,2", "network.name=dcgan,mlp"]` as key -> values; with `ranges`, 1e-5..1e-3 is one as well.

    Raises UserError for what cannot be read.
    """
    varied: Varied = {}
    example = "method.lr=1e-5..1e-3 or network.base=16,32" if ranges else "method.g_steps=1,2,4"
    for word in words:
        key, equals, text = word.partition("=")
        parts = [part.strip() for part in re.split(r",(?![^\[]*\])", text)]  # not at a comma inside brackets
        if not equals or not re.fullmatch(r"\w+(\.\w+)+", key) or not all(parts):
            raise UserError(f"cannot read '{word}': write it as {example}")
        if key == "train.seed":
            raise UserError("train.seed is not a setting to vary: use --seeds")
        if key in varied:
            raise UserError(f"'{key}' is varied twice: write all its values in one word")
        if ".." in text:
            varied[key] = _read_range(word, text, ranges)
        else:
            varied[key] = [parse_assignments([f"value={part}"])["value"] for part in parts]
    return varied


def _read_range(word: str, text: str, ranges: bool) -> Range:
    if not ranges:
        raise UserError(f"cannot read '{word}': a grid has values, as method.g_steps=1,2,4; ranges are for --search")
    try:
        low, high = (int(end) if re.fullmatch(r"\s*[+-]?\d+\s*", end) else float(end) for end in text.split(".."))
    except ValueError:
        raise UserError(f"cannot read '{word}': write a range of numbers as 1e-5..1e-3") from None
    if not (low < high and math.isfinite(high - low)):
        raise UserError(f"cannot search '{word}': a range goes from a smaller to a larger number")
    return Range(low, high) if type(low) is type(high) else Range(float(low), float(high))


@dataclass(frozen=True)
class Plan:
    """What a sweep is: raises UserError for settings that do not exist or cannot have such values."""

    recipe: Recipe
    varied: Varied
    trials: int | None = None  # points of a search; None: a grid, which has all points
    seeds: int = 1  # of each point, from that of the recipe on
    by: str = "kid"  # the metric that judges a trial
    samples: int = 10_000  # of each evaluation

    def __post_init__(self) -> None:
        if not self.varied:
            raise UserError("nothing to vary: give --grid method.g_steps=1,2,4 or --search method.lr=1e-5..1e-3")
        for name, least in (("seeds", 1), ("trials", 1), ("samples", LEAST_SAMPLES)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"--{name} is {value}: ask for {least} or more")
        if self.by not in METRICS:
            raise UserError(f"there is no metric '{self.by}': {nearest(self.by, METRICS)}")
        for point in self.examples():
            self.recipe_of(point)

    def points(self) -> list[Point]:
        """All points of a grid, the last key moving fastest."""
        points = [dict(zip(self.varied, values, strict=True)) for values in itertools.product(*self.varied.values())]
        named: dict[str, Point] = {}
        for point in points:
            if named.setdefault(self.name(point), point) != point:
                raise UserError(f"two points would share the name '{self.name(point)}': sweep one of them elsewhere")
        return list(named.values())

    def examples(self) -> list[Point]:
        """All points of a grid; of a search, some that have every end and every choice in them."""
        if self.trials is None:
            return self.points()
        first = {key: values[0] for key, values in self.varied.items()}
        return [{**first, key: value} for key, values in self.varied.items() for value in values]

    def recipe_of(self, point: Point) -> Recipe:
        changes = recipes.by_real_names(parse_assignments(assignments(point)))
        return recipes.from_dict(merge(self.recipe.as_dict(), changes))

    def name(self, point: Point, seed: int | None = None) -> str:
        """Each key as short as the others allow, with its value; a folder can have this name."""
        last = [key.rpartition(".")[2] for key in self.varied]
        short = {key: key if last.count(end) > 1 else end for key, end in zip(self.varied, last, strict=True)}
        parts = [f"{short[key]}={_text(point[key])}" for key in self.varied]
        return ",".join([*parts, *([] if seed is None else [f"seed={seed}"])])

    def all_seeds(self) -> range:
        return range(self.recipe.train.seed, self.recipe.train.seed + self.seeds)

    def as_dict(self) -> dict[str, Any]:
        """All but the recipe, for sweep.json."""
        varied = {k: values._asdict() if isinstance(values, Range) else values for k, values in self.varied.items()}
        numbers = {name: getattr(self, name) for name in ("trials", "seeds", "by", "samples")}
        return {"format": FORMAT, "varied": varied, **numbers}

    def refuse_unless_more(self, old: "Plan", folder: Path) -> None:
        """Raise UserError unless this is the sweep `old`, or one with more values, seeds or trials."""

        def refuse(there: str, asked: str) -> None:
            raise UserError(f"'{folder}' is a sweep with {there}, not {asked}: use another --out for another sweep")

        mine, theirs = self.recipe.as_dict(), old.recipe.as_dict()
        for section in SECTIONS:
            for key in {**theirs[section], **mine[section]}:
                before, now = theirs[section].get(key), mine[section].get(key)
                if before != now:
                    refuse(f"{section}.{key}={before}", str(now))
        if (self.trials is None) != (old.trials is None):
            refuse(*(("a grid", "a search") if old.trials is None else ("a search", "a grid")))
        if set(self.varied) != set(old.varied):
            refuse(f"other values of {', '.join(old.varied)}", f"of {', '.join(self.varied)}")
        for key, values in old.varied.items():
            lost = [value for value in values if value not in self.varied[key]]
            if lost or (self.trials is not None and values != self.varied[key]):
                refuse(f"{key}={_texts(values)}", _texts(self.varied[key]))
        for name in ("by", "samples"):
            if getattr(self, name) != getattr(old, name):
                refuse(f"--{name} {getattr(old, name)}", str(getattr(self, name)))
        for name in ("seeds", "trials"):
            if (getattr(self, name) or 0) < (getattr(old, name) or 0):
                raise UserError(
                    f"'{folder}' is a sweep with --{name} {getattr(old, name)}: ask for as many or more, "
                    "or use another --out"
                )


def assignments(point: Point) -> list[str]:
    """A point as words for --set."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in point.items()]


def _text(value: Any) -> str:
    """A value in the name of a folder."""
    if isinstance(value, list):
        return "x".join(map(_text, value))
    return re.sub(r"[^\w.+-]+", "-", value if isinstance(value, str) else json.dumps(value))


def _texts(values: list[Any] | Range) -> str:
    return f"{values.low}..{values.high}" if isinstance(values, Range) else ",".join(map(_text, values))


# -- trials -----------------------------------------------------------------------------------------------------------


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
        self.plan, self.folder, self.jobs, self.on, self.retry = plan, folder.expanduser().resolve(), jobs, on, retry
        self.shown_folder, self.data_dir, self.device = folder, data_dir and data_dir.resolve(), device
        self.plan_file, self.recipe_file = self.folder / "sweep.json", self.folder / "recipe.toml"
        self.journal_file, self.stop_file = self.folder / "journal.log", self.folder / ".stop"
        self.stops = 0  # how often somebody asked to stop: 1 lets the runs checkpoint, 2 does not
        self.sizes: dict[DataSettings, int] = {}  # images in an epoch
        self.totals: dict[str, int] = {}  # images that each run will see
        self.kept: dict[str, Trial] = {}  # what is done does not change
        self.running: dict[Future[bool], Trial] = {}

    def go(self) -> Iterator[list[Trial]]:
        """Run what is left to be run; yields all trials, as they are, about once a second.

        Ctrl-C and SIGTERM, and closing the iterator, let the runs checkpoint; a second Ctrl-C kills their processes.
        Tables and figure are written at the end. Raises UserError for what the caller can put right.
        """
        self.optuna = _optuna()
        if self.on == "ray":
            _import_ray()
        for point in self.plan.examples():  # missing pictures are noticed here, and decoded once
            self._images(self.plan.recipe_of(point))
        with self._lock():
            self._write_plan()
            self._open_journal()
            with self._executor() as execute, self._signals(), ThreadPoolExecutor(self.jobs) as pool:
                try:
                    yield self.trials()
                    while True:
                        while len(self.running) < self.jobs and not self.stops and (trial := self._next()):
                            self.running[pool.submit(self._train_and_score, trial, execute)] = trial
                        if not self.running:
                            break
                        for future in wait(self.running, LOOK_SECONDS, FIRST_COMPLETED).done:
                            self._tell(self.running.pop(future), future.result())
                        yield self.trials()
                except BaseException:  # the caller wants no more, or the disk is full
                    self._stop()
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
        if self.plan_file.is_file():
            self.plan.refuse_unless_more(read_plan(self.folder), self.shown_folder)
        files.write(self.recipe_file, self.plan.recipe.to_toml().encode())
        files.write(self.plan_file, (json.dumps(self.plan.as_dict(), indent=1) + "\n").encode())

    def _images(self, recipe: Recipe) -> int:
        """Length of a run in images seen."""
        if recipe.data not in self.sizes:
            self.sizes[recipe.data] = len(load_data(recipe.data, "train", self.data_dir))
        return recipe.total_images(self.sizes[recipe.data])

    # -- the journal --------------------------------------------------------------------------------------------

    def _open_journal(self) -> None:
        """Read the journal, take up what a killed sweep left running, and note down what has to be run."""
        optuna = self.optuna
        for lock in self.folder.glob(f"{self.journal_file.name}.lock*"):  # of a process that was killed
            lock.unlink()
        if self.journal_file.is_file():
            whole, line_end, cut = self.journal_file.read_bytes().rpartition(b"\n")
            if cut:  # the line that a kill cut short would spoil the next one
                files.write(self.journal_file, whole + line_end)
        backend = optuna.storages.journal.JournalFileBackend(str(self.journal_file))
        self.study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name="sweep",
            direction="maximize" if METRICS[self.plan.by].better == "higher" else "minimize",
            load_if_exists=True,
        )
        journal = self.study.get_trials(deepcopy=False)
        self.study.sampler = optuna.samplers.TPESampler(seed=len(journal))  # not the first draws again
        for trial in journal:
            if trial.state == optuna.trial.TrialState.RUNNING and "name" not in trial.user_attrs:
                self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # killed before it had any
        newest = self._newest()
        self.left = [trial for trial in newest.values() if trial.state == optuna.trial.TrialState.RUNNING]
        for trial in newest.values():
            if self.retry and trial.state == optuna.trial.TrialState.FAIL:
                self.study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
        self._enqueue_missing()

    def _newest(self) -> dict[str, Any]:
        """The trials of the journal by name, in the order in which they came; of one that was repeated, the last."""
        return {t.user_attrs["name"]: t for t in self.study.get_trials(deepcopy=False) if "name" in t.user_attrs}

    def _enqueue_missing(self) -> None:
        """Put every seed of every known point into the journal, seed by seed."""
        newest, journal = self._newest(), self.study.get_trials(deepcopy=False)
        named = [trial for trial in reversed(journal) if "name" in trial.user_attrs]
        drawn = {self.plan.name(trial.user_attrs["point"]): trial for trial in named}  # the first of each point
        points = (
            self.plan.points()
            if self.plan.trials is None
            else [t.user_attrs["point"] for t in reversed(drawn.values())]
        )
        for seed, point in itertools.product(self.plan.all_seeds(), points):
            name = self.plan.name(point, seed)
            if name not in newest:
                params = {} if self.plan.trials is None else drawn[self.plan.name(point)].params
                self.study.enqueue_trial(params, user_attrs={"name": name, "point": point, "seed": seed})

    def _next(self) -> Trial | None:
        """The trial to start now; None when there is no other."""
        state = self.optuna.trial.TrialState
        if self.left:
            return self._trial(self.left.pop(0))
        for _ in range(REPEATS):
            newest = self._newest()
            points = {self.plan.name(trial.user_attrs["point"]) for trial in newest.values()}
            if all(t.state != state.WAITING for t in newest.values()) and len(points) >= (self.plan.trials or 0):
                return None
            asked = self.study.ask(self._distributions())
            if "name" not in asked.user_attrs:  # a new point
                point = {key: _drawn(value, asked.distributions[key]) for key, value in asked.params.items()}
                if self.plan.name(point) in points:
                    self.study.tell(asked.number, state=state.FAIL)
                    continue
                seed = self.plan.recipe.train.seed
                for key, value in (("point", point), ("seed", seed), ("name", self.plan.name(point, seed))):
                    asked.set_user_attr(key, value)
                self._enqueue_missing()
            return self._trial(self._newest()[asked.user_attrs["name"]])
        return None

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

    def _tell(self, trial: Trial, succeeded: bool) -> None:
        """Note down how a trial ended; one that was stopped stays as it is, to be taken up again."""
        if succeeded:
            worst = -math.inf if METRICS[self.plan.by].better == "higher" else math.inf  # a grid does not need it
            score = self._scores(trial.name).get(self.plan.by)
            self.study.tell(trial.number, score.value if score else worst)
        elif not self.stops:
            self.study.tell(trial.number, state=self.optuna.trial.TrialState.FAIL)

    def trials(self) -> list[Trial]:
        """All trials of the journal, in its order."""
        return [self._trial(trial) for trial in self._newest().values()]

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
            return replace(trial, state="stopping" if self.stops else "scoring" if trained else "training")
        if told.state == self.optuna.trial.TrialState.COMPLETE:
            self.kept[name] = trial = replace(trial, state="finished", scores=self._scores(name))
        elif told.state == self.optuna.trial.TrialState.FAIL:
            self.kept[name] = trial = replace(trial, state="failed", reason=_reason(self._log(name)))
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
                if self.stops:
                    return False
                time.sleep(POLL_SECONDS)
            code = execute(train, log)
            if code == 0:
                break
            if self.stops or not _in_use(trial.run):
                return False
        return not self.stops and execute(score, log) == 0 and self._judged(trial)

    def _judged(self, trial: Trial) -> bool:
        """Whether the evaluation has the score that a search needs; if not, the log says so."""
        if self.plan.trials is None or self.plan.by in self._scores(trial.name):
            return True
        others = ", ".join(self._scores(trial.name)) or "none"
        with self._log(trial.name).open("a") as log:
            log.write(f"error: the evaluation has no {self.plan.by}: choose --by one of its scores ({others})\n")
        return False

    @contextmanager
    def _executor(self) -> Iterator[Execute]:
        """What runs the processes, each with a fair share of the cores."""
        here = Path.cwd()
        if self.on == "ray":
            self.stop_file.unlink(missing_ok=True)
            with _ray(self.jobs, self.device) as (threads, run):
                yield lambda words, log: run(words, log, threads, here, self.stop_file)
        else:
            cores = int(os.environ.get("OMP_NUM_THREADS") or _cores())
            threads = max(1, cores // self.jobs)
            yield lambda words, log: run_ganvas(words, log, threads, here, lambda: self.stops)

    def _stop(self) -> None:
        self.stops += 1
        if self.on == "ray":
            files.write(self.stop_file, str(self.stops).encode())

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM stop the sweep; its processes have sessions of their own, and hear it from here alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = (signal.SIGINT, signal.SIGTERM)
        previous = {number: signal.signal(number, lambda *_: self._stop()) for number in wanted}
        try:
            yield
        finally:
            for number, old in previous.items():
                signal.signal(number, old)

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.txt"

    def _result(self, name: str) -> Path:
        return self.folder / "evaluations" / f"{name}.json"

    def _scores(self, name: str) -> dict[str, Score]:
        """Of the evaluation that the journal has; none when somebody deleted or damaged it."""
        try:
            read = json.loads(self._result(name).read_text())["scores"]
            return {
                metric: Score(float(s["value"]), s["error"]) for metric, s in read.items() if s["value"] is not None
            }
        except (OSError, ValueError, TypeError, KeyError):
            return {}


def read_plan(folder: Path) -> Plan:
    """The plan of the sweep in a folder; raises UserError when it is damaged."""
    file = folder / "sweep.json"
    try:
        read = json.loads(file.read_text())
        if read.pop("format") != FORMAT:
            raise ValueError("written by another version of ganvas")
        varied = {k: Range(**v) if isinstance(v, dict) else list(v) for k, v in read.pop("varied").items()}
        return Plan(recipes.from_dict(recipes.read_toml(folder / "recipe.toml")), varied, **read)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"'{file}' is damaged ({error!r}): use another --out") from None


def run_ganvas(words: Sequence[str], log: Path, threads: int, folder: Path, stop: Callable[[], int]) -> int:
    """Run `ganvas` with `words` in a process with so many `threads`, in `folder`; its exit code.

    What it says goes to the end of `log`. It is asked to end (and checkpoints) when `stop()` is 1, and killed at 2.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ganvas", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        asked = 0
        try:
            while process.poll() is None:
                if stop() > asked:
                    asked = stop()
                    process.terminate() if asked == 1 else process.kill()
                time.sleep(POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
        if process.returncode < 0 and not asked:
            output.write(f"error: killed by signal {-process.returncode} (was the memory full?)\n".encode())
    return process.returncode


def _in_use(run: Run) -> bool:
    return run.path.is_dir() and run.in_use()


def _reason(log: Path) -> str:
    """The last line of a log that tells what went wrong."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()] if log.is_file() else []
    lines = [line for line in lines if line]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return [*(lines[-1:] or ["it said nothing"]), *errors][-1]


def _drawn(value: Any, distribution: Any) -> Any:
    """A value that Optuna chose from a distribution, as a setting."""
    if isinstance(value, str):
        return json.loads(value)
    if isinstance(value, float):  # rounded, but not over the edge
        return min(max(float(f"{value:.{DIGITS}g}"), distribution.low), distribution.high)
    return value


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _optuna() -> Any:
    """Optuna, imported when it is needed; raises UserError when it is not installed."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise UserError("sweeps need the extra 'sweep': pip install 'ganvas[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _import_ray() -> Any:
    """Ray, which reports nothing to anybody; raises UserError when it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError("sweeps on Ray need the extra 'ray': pip install 'ganvas[ray]'") from None
    return ray


@contextmanager
def _ray(jobs: int, device: str) -> Iterator[tuple[int, Callable[..., int]]]:
    """A Ray cluster (that of RAY_ADDRESS, or a local one): threads of a task, and `run_ganvas` as a task.

    Its last argument is a file that says whether to stop.
    """
    ray = _import_ray()
    ray.init(log_to_driver=False, logging_level="error")
    nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    threads = max(1, int(min(sum(nodes) // jobs, max(nodes))))
    task = ray.remote(num_cpus=threads, num_gpus=int(device.startswith("cuda")), max_retries=0)(_execute_on_node)

    def run(*words: Any) -> int:
        try:
            return int(ray.get(task.remote(*words)))
        except ray.exceptions.RayError as error:
            with Path(words[1]).open("a") as log:
                log.write(f"error: the task was lost ({' '.join(str(error).split())[:200]})\n")
            return 1

    try:
        yield threads, run
    finally:
        ray.shutdown()


def _execute_on_node(words: Sequence[str], log: Path, threads: int, folder: Path, stop_file: Path) -> int:
    """`run_ganvas` on whatever node Ray chose; all of them see the folder of the sweep."""

    def stop() -> int:
        return int(stop_file.read_text()) if stop_file.is_file() else 0

    return run_ganvas(words, log, threads, folder, stop)


# -- results ----------------------------------------------------------------------------------------------------------


def balance_at_end(records: Sequence[Record]) -> float | None:
    """The mean of ln(loss of G / loss of D) over the last quarter of the records; None where none has it."""
    ratios = [ratio for _, ratio in plot.log_ratios(records[-max(1, len(records) // 4) :])]
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
        body.append([name, runs, *(report.number(row[c]) if c in row else "-" for c in columns)])
    return ["settings", "runs", *titles], body


def _over_seeds(found: Sequence[Mapping[str, Score]]) -> dict[str, Score]:
    if len(found) < 2:
        return dict(found[0]) if found else {}
    values = {name: [each[name].value for each in found if name in each] for each in found for name in each}
    return {name: Score(fmean(some), stdev(some) if len(some) > 1 else None) for name, some in values.items()}


LEGEND = (
    "balance: mean of ln(loss of G : loss of D) over the last quarter of the records; above 0 that of G is "
    "larger. diversity: distance between samples over that between real pictures. seconds: of training. After ±: over "
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
        plot.save({"sweep": drawn}, folder)


def to_csv(plan: Plan, trials: Sequence[Trial]) -> str:
    """A line per run: its settings, its state, and every number with its error."""
    found = [facts(trial) for trial in trials]
    names = [name for name in ("balance", "diversity", *METRICS) if any(name in row for row in found)]
    columns = [part for name in names for part in ([name, f"{name}_error"] if name in METRICS else [name])]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *plan.varied, "seed", "state", "reason", "nimg", "seconds", *columns])
    for trial, row in zip(trials, found, strict=True):
        settings = [_text(trial.point[key]) for key in plan.varied]
        numbers = {name: score.value for name, score in row.items()}
        numbers |= {f"{name}_error": score.error for name, score in row.items() if score.error is not None}
        seen = [trial.last.get("nimg", 0), trial.last.get("seconds", 0)]
        cells = [*settings, trial.seed, trial.state, trial.reason, *seen, *(numbers.get(c, "") for c in columns)]
        writer.writerow([trial.name, *cells])
    return text.getvalue()


def figure(plan: Plan, trials: Sequence[Trial]) -> Figure | None:
    """The balance of the losses of a grid, a colour per point; of a search, or without such losses, the scores."""
    curves = [(trial, trial.run.records()) for trial in trials if trial.last and trial.run.is_run()]
    if plan.trials is None and any(plot.log_ratios(records) for _, records in curves):
        sizes = [trial.run.info()["data"]["images"] for trial, _ in curves]
        return plot.balance([(plan.name(trial.point), records) for trial, records in curves], sizes)
    points = [(trial.point, trial.scores[plan.by].value) for trial in trials if plan.by in trial.scores]
    return plot.scores_by_setting(points, METRICS[plan.by].title) if points else None
