"""The training loop: step, record, sample, checkpoint. It yields records and knows nothing about any method.

Everything is counted in images seen. A run may be killed at any moment: the same call goes on from the last checkpoint
and ends with the same weights, bit for bit, as a run that was never stopped (same machine, same number of threads).
"""

import errno
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.compute.cuda_graphs import WARM_UP
from ganvas.compute.device import Compute, choose, keep_freed_memory, repeatable
from ganvas.core import images
from ganvas.core.errors import RunFailed, UserError, out_of_memory
from ganvas.core.files import say_size
from ganvas.core.images import ImageSpec
from ganvas.core.seeds import CHECKPOINT_CHOICE
from ganvas.core.settings import typed
from ganvas.data import Batches, ImageSet, load_unseen
from ganvas.data import load as load_data
from ganvas.evaluation import evaluators
from ganvas.evaluation.evaluate import RunScorer, origin
from ganvas.evaluation.evaluators import Evaluator
from ganvas.methods import Method
from ganvas.metrics import METRICS
from ganvas.recipes.recipe import Recipe
from ganvas.recipes.train_settings import SCORE
from ganvas.runs import checkpoint
from ganvas.runs.run import Record, Run, first_non_finite, now, pack, session_facts, unpack
from ganvas.training import disk_budget, guard
from ganvas.training.disk_budget import Budget
from ganvas.training.monitor import (
    WATCHED,
    CheckpointScore,
    NonFinite,
    Sheets,
    Watch,
    floats,
    means,
    norms,
    sheet_of_real,
)
from ganvas.training.schedule import Schedule
from ganvas.training.tensorboard import Board

LOST_RECORDS = 250  # of those that going back took, fewer than twice as many are kept
SHEET_RECIPE_BYTES = 4_000  # at most, in the file of a sheet
SKIPPED_SHOWN = 5  # unreadable files named in the warning; run.json has them all
STEP_BYTES = 500  # of what a step returns, in the checkpoint of a stop, at most


def train(
    recipe: Recipe,
    out: Path | str,
    *,
    data_dir: Path | None = None,
    device: str = "auto",
    tick: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[Record]:
    """Train `recipe` in the run directory `out`, new or to be continued; yields each record as it is logged.

    A record has nimg, epoch, seconds, images_per_second, the means of what the method's steps returned since the record
    before, norms and diversity; those at a checkpoint also have its score. `tick(nimg, total)` is called after every
    step, `say` once with a line on the space that the run will take.
    Closing the iterator, Ctrl-C and SIGTERM all checkpoint first.

    Raises UserError for what the caller can put right, RunFailed when the guard gives up or the disk is full; the last
    good checkpoint stays.
    """
    run = Run(out)
    with run.lock(), _failures_written_down(run):
        _refuse_other_recipe(run, recipe)
        data = load_data(recipe.data, "train", data_dir)
        _refuse_other_data(run, data)
        if data.skipped:
            shown = "; ".join(data.skipped[:SKIPPED_SHOWN]) + ("; ..." if len(data.skipped) > SKIPPED_SHOWN else "")
            warnings.warn(f"{len(data.skipped)} files cannot be read and are left out: {shown}", stacklevel=2)
        compute = _compute(run, recipe, device)
        if compute.device.type == "cpu":
            keep_freed_memory()
        repeatable()
        evaluator = _evaluator(run, recipe, data, device)
        torch.manual_seed(recipe.train.seed)  # after the evaluator, which draws its first weights
        method = recipe.build(data.spec, compute)
        batches = Batches(
            data,
            recipe.train.batch_size,
            recipe.train.seed,
            compute.device,
            recipe.data.flips,
            recipe.data.shuffle,
        )
        judge = None
        if evaluator is not None and recipe.train.eval_every:
            judge = _judge(recipe, data, data_dir, method, evaluator)
        within = _budget(run, recipe, data, method)
        run.finish_going_back()
        loop = _Loop(run, recipe, method, batches, evaluator, judge)

        state, damages = run.newest_checkpoint()
        for damage in damages:
            warnings.warn(damage, stacklevel=2)
        if state is not None:
            loop.restore(state.tensors, state.values)
            loop.seconds = max(state.values["seconds"], loop.seconds)
            run.rewind_log(batches.nimg)
            run.set_aside_after(batches.nimg)
        else:
            run.log_file.unlink(missing_ok=True)
        if within is not None:
            run.safe = guard.horizon(run.records())
            within.begin()
            if dropped := [f"{count:,} {kind}" for kind, count in within.dropped.items() if count]:
                removed = f"removed {', '.join(dropped)} from '{run.path}'"
                warnings.warn(f"{removed}, to stay within its disk budget of {say_size(within.limit)}", stacklevel=2)
        if state is not None:
            run.write_recipe(recipe)
        else:
            run.start(recipe, data)
        sessions = [*run.info()["sessions"], session_facts(compute, batches.nimg)]
        looks = {} if evaluator is None else {"evaluator": evaluator.sha256}
        run.update_info(state="running", reason=None, sessions=sessions, **looks)
        if say and batches.nimg < loop.total:
            say(loop.expected_space())
        yield from loop.go(tick)


class _Loop:
    """One session of a run."""

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        method: Method,
        batches: Batches,
        evaluator: Evaluator | None,
        judge: RunScorer | None,
    ) -> None:
        self.run, self.recipe, self.settings = run, recipe, recipe.train
        self.method, self.batches, self.judge = method, batches, judge
        self.total = recipe.total_images(len(batches.data))
        self.rules = dict(self.settings.schedule)
        for field, source in method.follows().items():
            if source in self.rules:
                self.rules.setdefault(field, self.rules[source])
        self.schedule = Schedule(self.rules, self.total)
        self.score, self.watch = CheckpointScore(batches.data, method), Watch(batches.data, method, evaluator)
        self.sheets = Sheets(run, batches.data)
        self.events = run.events()
        self.first_values = {field: getattr(method.settings, field) for field in self.settings.schedule}
        for brakes in method.brakes().values():
            self.first_values |= brakes
        self.seconds = max((event["seconds"] for event in self.events), default=0.0)  # of training until now
        self.stopped_at: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None = None

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Put the method, the data and the schedule where a checkpoint has them; the guard keeps what it has done."""
        unpack(self.method, tensors, values)
        for optimizer in self.method.optimizers.values():
            optimizer.zero_grad()  # the next record tells their norms, and they are of what was left behind
        self.batches.nimg = values.get("nimg", 0)
        self.stopped_at = (tensors, values["under_way"]) if values.get("under_way") else None
        self.schedule = Schedule(self.rules, self.total)
        if values.get("schedule"):
            self.schedule.load_state(values["schedule"])

    def go(self, tick: Callable[[int, int], None] | None) -> Iterator[Record]:
        settings, batches, run = self.settings, self.batches, self.run
        sample_every, checkpoint_every = self.intervals()
        self.started = time.monotonic() - self.seconds
        self.start_from_here()
        with ExitStack() as stack:
            stop = stack.enter_context(_stop_signals())
            board = stack.enter_context(closing(Board(run, batches.nimg)))
            if batches.nimg == 0:
                self.sheets.write(self.method, 0)
            elif not run.sheet_file.is_file():
                self.sheets.write_strip(batches.nimg)
            if tick:
                tick(batches.nimg, self.total)
            self.make_up_for_an_evaluation()
            try:
                while batches.nimg < self.total and not stop.is_set():
                    before = batches.nimg
                    self.adjust()
                    scalars = self.method.advance(batches)
                    self.pending.append((batches.nimg, scalars))
                    self.method.update_averages(batches.nimg - before, batches.nimg)
                    done = batches.nimg >= self.total

                    def due(every: int, before: int = before, done: bool = done) -> bool:
                        return done or before // every < batches.nimg // every

                    evaluating = self.judge is not None and due(settings.eval_every)
                    saving = evaluating or due(checkpoint_every)
                    if saving or due(settings.log_every) or due(sample_every):
                        regular = self.regular_scores(before) if done else {SCORE, *METRICS}
                        for entry in self.write_down(due(sample_every), saving, evaluating, regular):
                            board(entry)
                            yield entry
                    if tick:
                        tick(batches.nimg, self.total)
            except GeneratorExit:
                stop.set()
            if batches.nimg > self.saved:  # stopped between two checkpoints
                self.save_for_later()
            run.update_info(state="finished" if batches.nimg >= self.total else "stopped", ended=now())

    def regular_scores(self, before: int) -> set[str]:
        """The scores that a longer run too would have after the step that began at `before` images."""
        now = self.batches.nimg
        evaluated = self.judge is not None and before // self.settings.eval_every < now // self.settings.eval_every
        saved = evaluated or before // self.intervals()[1] < now // self.intervals()[1]
        return {*(METRICS if evaluated else ()), *([SCORE] if saved else [])}

    def save_for_later(self) -> None:
        """A checkpoint with what the next record is made of so far."""
        under_way = self.under_way()
        try:
            if self.pending:
                self.log({**self.record(), "stopped": True})
            if broken := first_non_finite(self.method):
                raise NonFinite(f"{broken} is no longer finite after {self.batches.nimg:,} images")
        except NonFinite as failure:
            if self.settings.guard == "off":
                raise
            again = "the same command goes on from there, and the guard with it"
            warnings.warn(f"{failure.said}: the checkpoint of {self.saved:,} images is kept; {again}", stacklevel=2)
            return
        self.checkpoint(None, stopped=under_way)

    def intervals(self) -> tuple[int, int]:
        """Images between two sheets, and between two checkpoints."""
        epoch = max(len(self.batches.data), self.settings.log_every)  # that of a small folder is a few steps
        return self.settings.sample_every or epoch, self.settings.checkpoint_every or epoch

    def expected_space(self) -> str:
        """What the run directory will take, in words."""
        sample_every, checkpoint_every = self.intervals()
        times = {"sheets": sample_every, "records": self.settings.log_every, "checkpoints": checkpoint_every}
        counts = {what: -(-self.total // max(every, self.settings.batch_size)) for what, every in times.items()}
        evaluations = self.total // self.settings.eval_every if self.settings.eval_every else 0
        counts["checkpoints"] = min(counts["checkpoints"] + evaluations, self.settings.keep + 2)
        one = disk_budget.checkpoint_size(self.method)
        sheet = len(images.png(sheet_of_real(self.method, self.batches.data)))
        size, limit = (
            disk_budget.expected_size(one, sheet, evaluations=evaluations, **counts),
            self.settings.disk_limit(),
        )
        said = f"disk: {say_size(one)} per checkpoint, about {say_size(size)} in all at the end; "
        if limit is None:
            return f"{said}no budget"
        return f"{said}budget {say_size(limit)}" + (": the oldest of it will be thinned" if size > limit else "")

    def start_from_here(self) -> None:
        """Forget what was under way."""
        self.records = self.run.records()
        self.pending: list[tuple[int, dict[str, Tensor]]] = []
        self.recorded = self.batches.nimg, self.elapsed()
        self.saved = self.batches.nimg
        self.batches.reshuffles = len(self.rollbacks())
        self.watch(self.method)
        if self.stopped_at:
            self.go_on_with(*self.stopped_at)
            self.stopped_at = None

    def under_way(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What the next record is made of so far, as tensors and JSON values, for `go_on_with`."""
        pending = [(nimg, {name: float(value) for name, value in scalars.items()}) for nimg, scalars in self.pending]
        before = {} if self.watch.before is None else {"watched": torch.from_numpy(self.watch.before)}
        return before, {"pending": pending, "recorded": self.recorded}

    def go_on_with(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """So that a record is the same whether there was a stop in between or not."""
        self.pending = [
            (nimg, {name: torch.tensor(value) for name, value in scalars.items()})
            for nimg, scalars in values["pending"]
        ]
        self.recorded = values["recorded"][0], values["recorded"][1]
        self.watch.before = tensors["watched"].numpy() if "watched" in tensors else None

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def adjust(self) -> None:
        """Give the method's settings the values that the schedule and the guard want now."""
        factors, rollbacks = self.schedule.factors(self.batches.nimg), self.rollbacks()
        if rollbacks:  # from now on every side has a rate of its own
            factors = {**dict.fromkeys(self.first_values, 1.0), **factors}
        for event in rollbacks:
            for field, factor in event["factors"].items():
                factors[field] *= factor
        wanted = {field: self.first_values[field] * factor for field, factor in factors.items()}
        whole = {field for field, value in self.first_values.items() if isinstance(value, int)}
        least = {field: min(1, value) for field, value in self.first_values.items()}
        wanted = {
            field: max(least[field], round(value)) if field in whole else value for field, value in wanted.items()
        }
        changes = {field: value for field, value in wanted.items() if getattr(self.method.settings, field) != value}
        if changes:
            self.method.change(**changes)

    def write_down(self, sampling: bool, saving: bool, evaluating: bool, regular: Set[str]) -> Iterator[Record]:
        """Record, and sheet, checkpoint and evaluation where they are due; the schedule sees the `regular` scores."""
        evaluation = None
        try:
            if saving and (broken := first_non_finite(self.method)):
                raise NonFinite(f"{broken} is no longer finite after {self.batches.nimg:,} images")
            entry = self.record()
        except NonFinite as failure:
            if self.settings.guard == "off":
                raise
            self.go_back(guard.Alarm("non-finite", "both", failure.said, self.recorded[0]), None)
            return
        if saving:
            entry[SCORE] = self.score(self.method)
        if self.judge is not None and evaluating:
            begun = time.monotonic()
            evaluation = self.judge(self.method)
            self.started += time.monotonic() - begun  # the clock of a run shows what training costs
            entry |= {name: found["value"] for name, found in evaluation["scores"].items()}
        alarm = None
        if self.settings.guard != "off":
            alarm = guard.check([*self.records, entry], self.method.logistic, self.method.classifies)
        if alarm:
            self.go_back(alarm, entry)
            return
        if sampling:
            self.sheets.write(self.method, self.batches.nimg)
        self.schedule.see({name: value for name, value in entry.items() if name in regular})
        self.log(entry)  # before the checkpoint: a record without it is written again, never the reverse
        if saving:
            digest = self.checkpoint(entry.get(self.settings.best))
            if evaluation is not None:
                self.run.write_evaluation(evaluation | origin(self.recipe, entry, digest))
        yield entry

    def make_up_for_an_evaluation(self) -> None:
        """Write the evaluation of the newest checkpoint, if its record has the scores and a kill took the rest."""
        newest = self.records[-1] if self.records else {}
        if self.judge is None or newest.get("nimg") != self.batches.nimg or not METRICS.keys() & newest.keys():
            return
        if not self.run.evaluation_files(self.batches.nimg):
            digest = checkpoint.note(self.run.checkpoints, self.batches.nimg)["sha256"]
            begun = time.monotonic()
            self.run.write_evaluation(self.judge(self.method) | origin(self.recipe, newest, digest))
            self.started += time.monotonic() - begun

    def record(self) -> Record:
        """What happened since the last record; raises NonFinite."""
        nimg, elapsed = self.batches.nimg, self.elapsed()
        entry: Record = {"nimg": nimg, "epoch": round(self.batches.epoch, 4), "seconds": round(elapsed, 3)}
        if self.pending:
            entry["images_per_second"] = round((nimg - self.recorded[0]) / max(elapsed - self.recorded[1], 1e-9), 1)
            entry |= means(self.pending) | floats({**self.method.monitor(), **norms(self.method)}, nimg)
            entry |= self.watch(self.method)
            entry |= {name: value for name, value in self.method.changed.items() if name not in entry}  # not measured
        self.pending.clear()
        self.recorded = nimg, elapsed
        return entry

    def log(self, entry: Record) -> None:
        self.run.log(entry)
        self.records.append(entry)

    def checkpoint(
        self, value: float | None, stopped: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None = None
    ) -> str:
        """Save everything; its sha256. `stopped` between two records, with what was under way."""
        settings, nimg, seconds = self.settings, self.batches.nimg, self.recorded[1]
        self.saved = nimg
        return self.run.save_checkpoint(
            self.method,
            nimg,
            seconds,
            value,
            settings.keep,
            settings.best,
            schedule=self.schedule.state(),
            safe=None if settings.guard == "off" else guard.horizon(self.records),
            stopped=stopped,
        )

    # -- the guard ----------------------------------------------------------------------------------------------

    def rollbacks(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["back_to"] is not None]

    def go_back(self, alarm: guard.Alarm, entry: Record | None) -> None:
        """Restore the last good state, with smaller steps for the side that ran away.

        Raises RunFailed instead where the recipe wants that, or when it did not help often enough.
        """
        sides = ("G", "D") if alarm.side == "both" else (alarm.side,)
        fields = [field for side in sides for field in self.method.brakes().get(side, {})]
        said = alarm.said if alarm.kind == "non-finite" else f"at {self.batches.nimg:,} images {alarm.said}"
        event = {
            "nimg": self.batches.nimg,
            "kind": alarm.kind,
            "said": said,
            "back_to": None,
            "factors": dict.fromkeys(fields, self.settings.guard_factor),
            "seconds": round(self.elapsed(), 3),
            "records": [],
        }
        before = self.rollbacks()
        if self.settings.guard == "stop" or len(before) >= self.settings.rollbacks:
            if entry is not None:
                self.run.log(entry)
            self.run.write_events([*before, event])
            again = f", after going back {len(before)} times" if before else ""
            lower = " and ".join(f"method.{field}" for field in fields) or "the learning rate"
            look_away = "" if alarm.kind == "non-finite" else ", or go on with --guard off"
            raise RunFailed(f"{said}{again}: lower {lower}{look_away}; the last good checkpoint is kept")
        nimg, (tensors, values) = self.good_state(alarm)
        lost = [record for record in [*self.records, *([] if entry is None else [entry])] if record["nimg"] > nimg]
        lost = lost[:: -max(1, len(lost) // LOST_RECORDS)][::-1]  # enough for a curve
        self.restore(tensors, values)
        self.run.go_back({**event, "back_to": nimg, "records": lost})
        self.events = self.run.events()
        self.start_from_here()
        smaller = ", ".join(f"{field} × {self.settings.guard_factor:g}" for field in fields) or "the data reshuffled"
        warnings.warn(f"guard: {said}. Back to {nimg:,} images, with {smaller}.", stacklevel=2)

    def good_state(self, alarm: guard.Alarm) -> tuple[int, tuple[Mapping[str, Tensor], Mapping[str, Any]]]:
        """The images seen and the state of the newest checkpoint from before the trouble, or of the start.

        That is one from when all was sound, if one of the newest `keep` is, else from just before. Where there is an
        older one than was gone back to before, in vain, it is that.
        """
        tried = {event["back_to"] for event in self.rollbacks()}
        regular = self.run.regular_checkpoints()
        before = [nimg for nimg in regular if nimg <= alarm.since]
        if any(nimg <= alarm.sound for nimg in regular[-self.settings.keep :]):
            before = [nimg for nimg in regular if nimg <= alarm.sound]
        for nimg in sorted(before, key=lambda nimg: (nimg not in tried, nimg), reverse=True):
            with suppress(checkpoint.Damaged):
                state = checkpoint.load(self.run.checkpoints, nimg)
                return nimg, (state.tensors, state.values)
        torch.manual_seed(self.settings.seed)
        return 0, pack(self.recipe.build(self.method.spec, self.method.compute))


def _budget(run: Run, recipe: Recipe, data: ImageSet, method: Method) -> Budget | None:
    """What keeps the run within its disk budget, if it has one; raises UserError where that is too small."""
    limit = recipe.train.disk_limit()
    if limit is None:
        return None
    steps = -(-recipe.train.log_every // recipe.train.batch_size)
    under_way = WATCHED * method.spec.channels * method.spec.height * method.spec.width + steps * STEP_BYTES
    saved = [disk_budget.checkpoint_size(method) + under_way]  # that of a stop between two records is the largest
    saved += [file.stat().st_size for file in run.checkpoints.glob("*.safetensors")]
    sheet = sheet_of_real(method, data).nbytes + SHEET_RECIPE_BYTES  # a PNG is never larger than its pixels
    return Budget(run, limit, checkpoint=max(saved), sheet=sheet, keep=recipe.train.keep)


def _evaluator(run: Run, recipe: Recipe, data: ImageSet, device: str) -> Evaluator | None:
    """What looks at the samples: for all of a run the same, so that its scores can be compared."""
    if not (data.classes or recipe.train.eval_every):
        return None
    begun = run.info().get("evaluator") if run.is_run() else None
    if begun and (found := evaluators.with_hash(begun, device)):
        return found
    chosen = evaluators.choose_for(data.spec, data.classes, data.fingerprint, device)
    if begun:
        gone = f"the evaluator that '{run.path}' began with is not here any more"
        warnings.warn(f"{gone}: from here on its scores are through '{chosen.name}'", stacklevel=3)
    return chosen


def _judge(recipe: Recipe, data: ImageSet, data_dir: Path | None, method: Method, evaluator: Evaluator) -> RunScorer:
    """What evaluates the run while it trains; raises UserError when its best checkpoint could not be told."""
    judge = RunScorer(
        data,
        load_unseen(recipe.data, data, data_dir),
        evaluator,
        n=recipe.train.eval_samples,
        seed=CHECKPOINT_CHOICE.start,
        flips=recipe.data.flips,
    )
    why_not = None if recipe.train.best == SCORE else judge.refusal(recipe.train.best, method)
    if why_not:
        raise UserError(f"setting 'train.best' is '{recipe.train.best}', which these evaluations will lack: {why_not}")
    return judge


def seconds_per_image(recipe: Recipe, spec: ImageSpec, device: str = "auto", steps: int = 2) -> float:
    """How long `recipe` takes here for an image of `spec`: the fastest of a few real steps on noise."""
    compute = choose(device, recipe.train.precision)
    repeatable()
    shape = (recipe.train.batch_size, spec.channels, spec.height, spec.width)
    labels = np.arange(shape[0]) % spec.num_classes if spec.num_classes else None
    noise = ImageSet("noise", np.zeros(shape, np.uint8), labels, tuple(map(str, range(spec.num_classes))))
    method = recipe.build(spec, compute)
    batches = Batches(noise, recipe.train.batch_size, 0, compute.device)
    best = float("inf")
    for _ in range(WARM_UP + 1 + steps if method.replay.active else 1 + steps):
        start, before = time.perf_counter(), batches.nimg
        means([(0, method.advance(batches))])  # reading the losses waits for the device
        best = min(best, (time.perf_counter() - start) / (batches.nimg - before))
    return best


def _refuse_other_recipe(run: Run, recipe: Recipe) -> None:
    """A run goes on only with the settings it began with; its length may change."""
    if not run.is_run():
        return
    old, new = run.recipe().identity(), recipe.identity()
    for key in {**old, **new}:
        if key == "train.precision" and old.get(key) == "auto":
            continue  # what a GPU does fast may be slow on the CPU where the run goes on
        if old.get(key) != new.get(key):
            raise UserError(
                f"'{run.path}' was trained with {key}={typed(old.get(key))}, not {typed(new.get(key))}: "
                "use another --out for other settings, or the old settings to go on"
            )


def _refuse_other_data(run: Run, data: ImageSet) -> None:
    if run.is_run() and run.info()["data"]["sha256"] != data.fingerprint:
        raise UserError(f"the images of '{data.name}' are not those that '{run.path}' began with: use another --out")


def _compute(run: Run, recipe: Recipe, device: str) -> Compute:
    """Where the run computes; `auto` chooses a number format once, when the run begins."""
    compute = choose(device, recipe.train.precision)
    sessions = run.info()["sessions"] if run.is_run() else []
    if recipe.train.precision != "auto" or not sessions or sessions[-1]["precision"] == compute.precision:
        return compute
    before = sessions[-1]["precision"]
    why = f"--precision {compute.precision} would be faster here ({compute.why}), but not the same run to the bit"
    warnings.warn(f"'{run.path}' goes on in {before}, as it began; {why}", stacklevel=3)
    return choose(device, before)


@contextmanager
def _failures_written_down(run: Run) -> Iterator[None]:
    """A full disk becomes one clear line; every failure is kept in run.json, if it can be written."""
    try:
        yield
    except RunFailed as failure:
        _write_down(run, str(failure))
        raise
    except UserError:
        raise  # nothing ran
    except Exception as error:
        reason = _in_one_line(error, run)
        _write_down(run, reason or f"{type(error).__name__}: {error}")
        if reason is None:
            raise
        raise RunFailed(reason) from None


def _in_one_line(error: Exception, run: Run) -> str | None:
    """What a full disk or a full memory means to the user; None for what should never have happened."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space left for '{run.path}': free some, then run the same command; the last checkpoint is whole"
    if isinstance(error, ValueError) and "more than 1 value per channel" in str(error):  # torch, of batch norm
        return "batch norm needs more than one picture: raise train.batch_size, or leave it out (network.d_norm=none)"
    if out_of_memory(error):
        return "out of memory: lower train.batch_size, network.base or data.size; the last checkpoint is whole"
    return None


def _write_down(run: Run, reason: str) -> None:
    if run.is_run():
        with suppress(OSError, UserError):
            run.update_info(state="failed", reason=reason)


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handler(number: int, frame: Any) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
