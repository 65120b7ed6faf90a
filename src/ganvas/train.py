"""The training loop: step, record, sample, checkpoint. It yields records and knows nothing about any method.

Everything is counted in images seen. A run may be killed at any moment: the same call goes on from the last checkpoint
and ends with the same weights, bit for bit, as a run that was never stopped (same machine, same number of threads).
"""

import errno
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas import budget, checkpoint, features, guard, images, metrics
from ganvas.budget import Budget
from ganvas.config import typed
from ganvas.data import Batches, ImageSet, load_unseen
from ganvas.data import load as load_data
from ganvas.device import choose, keep_freed_memory, repeatable
from ganvas.errors import RunFailed, UserError, out_of_memory
from ganvas.evaluate import Judge, origin
from ganvas.features import Evaluator
from ganvas.files import say_size
from ganvas.images import ImageSpec
from ganvas.methods import Method
from ganvas.recipe import SCORE, Recipe
from ganvas.run import Record, Run, first_non_finite, now, pack, session_facts, unpack
from ganvas.sample import decode
from ganvas.schedule import Schedule

SHEET_ROWS, SHEET_COLUMNS = 8, 10
STRIP_ROWS = 128
SHEET_MOST_COLUMNS = 20  # of a conditional run, which has a column per class
SHEET_RECIPE_BYTES = 4_000  # at most, in the file of a sheet
TENSORBOARD_HEADER_BYTES = 1_000  # of an empty file of events, at most
SCORE_IMAGES = 1_000
SKIPPED_SHOWN = 5  # unreadable files named in the warning; run.json has them all
SCORE_FIRST_SEED = 1_000_000  # far from the seeds that people look at
WATCHED = 64  # samples that are looked at with every record
STEP_BYTES = 500  # of what a step returns, in the checkpoint of a stop, at most
WATCH_FIRST_SEED = 3_000_000


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
        compute = choose(device, recipe.train.precision)
        if compute.device.type == "cpu":
            keep_freed_memory()
        repeatable()
        evaluator = None
        if data.classes or recipe.train.eval_every:
            evaluator = features.choose_for(data.spec, data.classes, data.fingerprint, device)
        torch.manual_seed(recipe.train.seed)  # after the evaluator, which draws its first weights
        method = recipe.build(data.spec, compute)
        batches = Batches(data, recipe.train.batch_size, recipe.train.seed, compute.device, recipe.data.flips)
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
        run.update_info(
            state="running", reason=None, sessions=[*run.info()["sessions"], session_facts(compute, batches.nimg)]
        )
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
        judge: Judge | None,
    ) -> None:
        self.run, self.recipe, self.settings = run, recipe, recipe.train
        self.method, self.batches, self.judge = method, batches, judge
        self.total = recipe.total_images(len(batches.data))
        self.rules = dict(self.settings.schedule)
        for field, source in method.follows().items():
            if source in self.rules:
                self.rules.setdefault(field, self.rules[source])
        self.schedule = Schedule(self.rules, self.total)
        self.score, self.watch = Score(batches.data, method), Watch(batches.data, method, evaluator)
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
            board = stack.enter_context(closing(_Board(run, batches.nimg)))
            if batches.nimg == 0:
                self.sheets.write(self.method, 0)
            elif not run.sheet_file.is_file():
                self.sheets.write_strip(batches.nimg)
            if tick:
                tick(batches.nimg, self.total)
            try:
                while batches.nimg < self.total and not stop.is_set():
                    before = batches.nimg
                    self.adjust()
                    scalars = self.method.step(batches)
                    self.pending.append((batches.nimg, scalars))
                    self.method.update_averages(batches.nimg - before, batches.nimg)
                    done = batches.nimg >= self.total

                    def due(every: int, before: int = before, done: bool = done) -> bool:
                        return done or before // every < batches.nimg // every

                    evaluating = self.judge is not None and due(settings.eval_every)
                    saving = evaluating or due(checkpoint_every)
                    if saving or due(settings.log_every) or due(sample_every):
                        for entry in self.write_down(due(sample_every), saving, evaluating):
                            board(entry)
                            yield entry
                    if tick:
                        tick(batches.nimg, self.total)
            except GeneratorExit:
                stop.set()
            if batches.nimg > self.saved:  # stopped between two checkpoints
                under_way = self.under_way()
                if self.pending:
                    self.log({**self.record(), "stopped": True})
                if broken := first_non_finite(self.method):
                    raise NonFinite(f"weights of {broken} are no longer finite after {batches.nimg:,} images")
                self.checkpoint(None, stopped=under_way)
            run.update_info(state="finished" if batches.nimg >= self.total else "stopped", ended=now())

    def intervals(self) -> tuple[int, int]:
        """Images between two sheets, and between two checkpoints."""
        epoch = len(self.batches.data)
        return self.settings.sample_every or epoch, self.settings.checkpoint_every or epoch

    def expected_space(self) -> str:
        """What the run directory will take, in words."""
        sample_every, checkpoint_every = self.intervals()
        times = {"sheets": sample_every, "records": self.settings.log_every, "checkpoints": checkpoint_every}
        counts = {what: -(-self.total // max(every, self.settings.batch_size)) for what, every in times.items()}
        evaluations = self.total // self.settings.eval_every if self.settings.eval_every else 0
        counts["checkpoints"] = min(counts["checkpoints"] + evaluations, self.settings.keep + 2)
        one = budget.checkpoint_size(self.method)
        sheet = len(images.png(_sheet_of_real(self.method, self.batches.data)))
        size, limit = budget.expected_size(one, sheet, evaluations=evaluations, **counts), self.settings.disk_limit()
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
        self.batches.shuffle = len(self.rollbacks())
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

    def write_down(self, sampling: bool, saving: bool, evaluating: bool) -> Iterator[Record]:
        evaluation = None
        try:
            if saving and (broken := first_non_finite(self.method)):
                raise NonFinite(f"weights of {broken} are no longer finite after {self.batches.nimg:,} images")
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
        alarm = guard.check([*self.records, entry], self.method.logistic) if self.settings.guard != "off" else None
        if alarm:
            self.go_back(alarm, entry)
            return
        if sampling:
            self.sheets.write(self.method, self.batches.nimg)
        self.schedule.see(entry)
        self.log(entry)  # before the checkpoint: a record without it is written again, never the reverse
        if saving:
            digest = self.checkpoint(entry.get(self.settings.best))
            if evaluation is not None:
                self.run.write_evaluation(evaluation | origin(self.recipe, entry, digest))
        yield entry

    def record(self) -> Record:
        """What happened since the last record; raises NonFinite."""
        nimg, elapsed = self.batches.nimg, self.elapsed()
        entry: Record = {"nimg": nimg, "epoch": round(self.batches.epoch, 4), "seconds": round(elapsed, 3)}
        if self.pending:
            entry["images_per_second"] = round((nimg - self.recorded[0]) / max(elapsed - self.recorded[1], 1e-9), 1)
            entry |= _means(self.pending) | _floats({**self.method.monitor(), **_norms(self.method)}, nimg)
            entry |= self.watch(self.method) | self.method.changed
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
        nimg, (tensors, values) = self.good_state(alarm.since)
        lost = [record for record in [*self.records, *([] if entry is None else [entry])] if record["nimg"] > nimg]
        self.restore(tensors, values)
        self.run.go_back({**event, "back_to": nimg, "records": lost})
        self.events = self.run.events()
        self.start_from_here()
        smaller = ", ".join(f"{field} × {self.settings.guard_factor:g}" for field in fields) or "the data reshuffled"
        warnings.warn(f"guard: {said}. Back to {nimg:,} images, with {smaller}.", stacklevel=2)

    def good_state(self, since: int) -> tuple[int, tuple[Mapping[str, Tensor], Mapping[str, Any]]]:
        """The images seen and the state of the newest checkpoint from before `since`, or of the start.

        Where there is an older one than was gone back to before, in vain, it is that.
        """
        tried = {event["back_to"] for event in self.rollbacks()}
        before = [nimg for nimg in self.run.regular_checkpoints() if nimg <= since]
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
    saved = [budget.checkpoint_size(method) + under_way]  # that of a stop between two records is the largest
    saved += [file.stat().st_size for file in run.checkpoints.glob("*.safetensors")]
    sheet = _sheet_of_real(method, data).nbytes + SHEET_RECIPE_BYTES  # a PNG is never larger than its pixels
    return Budget(run, limit, checkpoint=max(saved), sheet=sheet, keep=recipe.train.keep)


def _judge(recipe: Recipe, data: ImageSet, data_dir: Path | None, method: Method, evaluator: Evaluator) -> Judge:
    """What evaluates the run while it trains; raises UserError when its best checkpoint could not be told."""
    judge = Judge(data, load_unseen(recipe.data, data, data_dir), evaluator, n=recipe.train.eval_samples)
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
    for _ in range(steps + 1):
        start, before = time.perf_counter(), batches.nimg
        _means([(0, method.step(batches))])  # reading the losses waits for the device
        best = min(best, (time.perf_counter() - start) / (batches.nimg - before))
    return best


class Watch:
    """What a few samples from fixed latents tell: how far apart they are, how far they moved since the last look, and
    how many classes there are among them where the evaluator knows the classes (their effective number)."""

    def __init__(self, data: ImageSet, method: Method, evaluator: Evaluator | None) -> None:
        chosen = np.sort(np.random.default_rng(0).permutation(len(data))[:WATCHED])
        self.labels = data.labels[chosen] if method.conditional and data.labels is not None else None
        self.seeds = list(range(WATCH_FIRST_SEED, WATCH_FIRST_SEED + len(chosen)))
        self.real = metrics.mean_distance(data.images[chosen])
        self.evaluator = evaluator if evaluator is not None and evaluator.knows(data.classes) else None
        self.real_classes = self._classes(data.images[chosen])
        self.before: np.ndarray | None = None

    def __call__(self, method: Method) -> dict[str, float]:
        """`diversity`, `movement` and `classes`, as shares of what real images have."""
        now = decode(method, self.seeds, self.labels)
        before, self.before = self.before, now
        if before is None or not self.real:
            return {}
        moved = np.sqrt(np.square(now.astype(np.float32) - before).mean())
        values = {"diversity": metrics.mean_distance(now) / self.real, "movement": float(moved) / self.real}
        if self.evaluator is not None:
            values["classes"] = self._classes(np.moveaxis(now, -1, 1)) / self.real_classes
        return {name: float(f"{value:.6g}") for name, value in values.items()}

    def _classes(self, pictures: np.ndarray) -> float:
        """The effective number of classes that the evaluator sees in uint8 [N, C, H, W]; 0 where there is none."""
        if self.evaluator is None:
            return 0.0
        return metrics.effective_classes(self.evaluator.measure(pictures).probabilities.argmax(1))


class Score:
    """The cheap score of a checkpoint: sliced Wasserstein distance to real images; lower is better.

    It compares as many generated images as real ones (at most 1,000), with the labels of the real ones, from latents
    that are always the same: two checkpoints differ by their weights alone.
    """

    def __init__(self, data: ImageSet, method: Method) -> None:
        chosen = np.random.default_rng(0).permutation(len(data))[:SCORE_IMAGES]
        self.real = _pixels(np.moveaxis(data.images[np.sort(chosen)], 1, -1))
        self.labels = data.labels[np.sort(chosen)] if method.conditional and data.labels is not None else None
        self.seeds = list(range(SCORE_FIRST_SEED, SCORE_FIRST_SEED + len(chosen)))

    def __call__(self, method: Method) -> float:
        return round(metrics.sliced_wasserstein(_pixels(decode(method, self.seeds, self.labels)), self.real), 5)


def _pixels(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(pictures).flatten(1).float().mul(2 / 255).sub(1)


class Sheets:
    """Samples from latents that never change, a column per class; and in `sheet.png` the first row of every sheet.

    Of a long run it has at most `STRIP_ROWS` rows, at geometric distances.
    """

    def __init__(self, run: Run, data: ImageSet) -> None:
        self.run, self.data = run, data
        self.rows: dict[int, np.ndarray] = {}  # by images seen, so that no sheet is read twice

    def write(self, method: Method, nimg: int) -> None:
        columns = _columns(method, self.data)
        seeds = list(range(SHEET_ROWS * columns))
        labels = np.arange(len(seeds)) % columns if method.conditional else None
        sheet = images.grid(decode(method, seeds, labels), columns)
        recipe = {"nimg": nimg, "seeds": seeds, "labels": None if labels is None else labels.tolist()}
        self.run.write(self.run.sheet(nimg), images.png(sheet, recipe))
        self.rows[nimg] = self._first_row(sheet)
        self.write_strip(nimg, recipe)

    def write_strip(self, nimg: int, recipe: Mapping[str, Any] | None = None) -> None:
        """`sheet.png`, from the sheets of up to `nimg` images."""
        seen = [int(file.stem) for file in self.run.sheets() if int(file.stem) <= nimg]
        chosen = budget.fewer_sheets(seen, STRIP_ROWS)
        for at in chosen:
            if at not in self.rows:
                with suppress(OSError, SyntaxError, ValueError):  # a sheet that somebody damaged costs its row
                    self.rows[at] = self._first_row(images.load_png(self.run.sheet(at))[0])
        self.rows = {at: self.rows[at] for at in chosen if at in self.rows}
        if self.rows:
            rows = list(self.rows.values())
            picture = np.concatenate([row for row in rows if row.shape == rows[-1].shape])
            self.run.write(self.run.sheet_file, images.png(picture, recipe))

    def _first_row(self, sheet: np.ndarray) -> np.ndarray:
        return sheet[: self.data.spec.height + images.GAP].copy()


def _columns(method: Method, data: ImageSet) -> int:
    return min(len(data.classes), SHEET_MOST_COLUMNS) if method.conditional else SHEET_COLUMNS


def _sheet_of_real(method: Method, data: ImageSet) -> np.ndarray:
    """A sheet of real pictures, uint8 [H, W, C], to know what one takes."""
    columns = _columns(method, data)
    chosen = np.arange(SHEET_ROWS * columns) % len(data)
    return images.grid(np.moveaxis(data.images[chosen], 1, -1), columns)


class NonFinite(RunFailed):
    """A loss or a weight is no longer a number."""

    def __init__(self, said: str) -> None:
        super().__init__(
            f"{said}: lower the learning rate, or start with another seed; the last good checkpoint is kept"
        )
        self.said = said


@torch.no_grad()
def _norms(method: Method) -> dict[str, Tensor]:
    """Norms of each trained network's weights, and of its gradients in its last update."""
    norms = {}
    for name, module in method.modules.items():
        weights: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
        if weights:
            norms[f"{name.lower()}_norm"] = torch.stack(torch._foreach_norm(weights)).norm()
        gradients = [p.grad for p in weights if p.grad is not None]
        if gradients:
            norms[f"{name.lower()}_grad_norm"] = torch.stack(torch._foreach_norm(gradients)).norm()
    return norms


def _means(pending: list[tuple[int, dict[str, Tensor]]]) -> dict[str, float]:
    """The mean of every scalar over the steps since the last record; raises NonFinite at one that is not."""
    means = {}
    for name in dict.fromkeys(name for _, scalars in pending for name in scalars):
        steps = [nimg for nimg, scalars in pending if name in scalars]
        values = torch.stack([scalars[name].float() for _, scalars in pending if name in scalars])
        bad = (~values.isfinite()).nonzero()
        if len(bad):
            first = int(bad[0])
            raise NonFinite(f"{name} became {values[first].item()} in the step that ended at {steps[first]:,} images")
        means[name] = float(f"{values.mean().item():.6g}")
    return means


def _floats(scalars: dict[str, Tensor], nimg: int) -> dict[str, float]:
    """The scalars, to six digits; raises NonFinite at one that is not."""
    values = {name: value.item() for name, value in scalars.items()}
    for name, value in values.items():
        if not np.isfinite(value):
            raise NonFinite(f"{name} became {value} after {nimg:,} images")
    return {name: float(f"{value:.6g}") for name, value in values.items()}


def _refuse_other_recipe(run: Run, recipe: Recipe) -> None:
    """A run goes on only with the settings it began with; its length may change."""
    if not run.is_run():
        return
    old, new = run.recipe().identity(), recipe.identity()
    for key in {**old, **new}:
        if old.get(key) != new.get(key):
            raise UserError(
                f"'{run.path}' was trained with {key}={typed(old.get(key))}, not {typed(new.get(key))}: "
                "use another --out for other settings, or the old settings to go on"
            )


def _refuse_other_data(run: Run, data: ImageSet) -> None:
    if run.is_run() and run.info()["data"]["sha256"] != data.fingerprint:
        raise UserError(f"the images of '{data.name}' are not those that '{run.path}' began with: use another --out")


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
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


class _Board:
    """Sends records to TensorBoard, where that is installed.

    When the files are as large as the budget lets them be, they are written again from the log, with as many records
    as fill half of them; that is also where they come from when they are missing.
    """

    def __init__(self, run: Run, nimg: int) -> None:
        self.run, self.folder = run, run.path / "tensorboard"
        self.writer: Any = None
        self.newest = nimg  # images seen at the last record
        limit = run.recipe().train.disk_limit()
        self.limit = float("inf") if limit is None else budget.kept_free(limit)["tensorboard"]
        if find_spec("tensorboard") is None:
            return
        if run.records() and not budget.sizes(self.folder):
            self._write_again()
        else:
            self._open(nimg + 1 if nimg else 0)

    def __call__(self, record: Record) -> None:
        """Send a record that is in the log already."""
        if self.writer is None:
            return
        gone_back = record["nimg"] <= self.newest
        if gone_back or self.taken + budget.tensorboard_size(record) > self.limit:
            self._write_again()
        else:
            self._write(record, time.time())

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def _open(self, nimg: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.taken = sum(budget.sizes(self.folder).values()) + TENSORBOARD_HEADER_BYTES
        self.writer = SummaryWriter(self.folder, purge_step=nimg)

    def _write(self, record: Record, at: float) -> None:
        self.taken += budget.tensorboard_size(record)
        self.newest = record["nimg"]
        for name, value in record.items():
            if name != "nimg":
                self.writer.add_scalar(name, value, record["nimg"], at)

    def _write_again(self) -> None:
        self.close()
        budget.remove_events(self.run)
        records = self.run.records()
        while sum(budget.tensorboard_size(record) for record in records) > self.limit / 2:
            fewer = budget.fewer_records(records, least=4)
            records = fewer if len(fewer) < len(records) else records[len(records) // 2 + 1 :]
        self._open(0)
        now = time.time() - max((record["seconds"] for record in records), default=0)
        for record in records:
            self._write(record, now + record["seconds"])
