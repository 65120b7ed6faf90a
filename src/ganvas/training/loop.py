"""The training loop: step, record, sample, checkpoint. It yields records and is independent of the method."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing

from ganvas.data import Batches
from ganvas.evaluation.evaluate import RunScorer
from ganvas.evaluation.evaluators import Evaluator
from ganvas.methods import Method
from ganvas.recipes.recipe import Recipe
from ganvas.recipes.train_settings import SCORE
from ganvas.runs.log import Record
from ganvas.runs.provenance import now
from ganvas.runs.run import Run
from ganvas.runs.state import first_non_finite, pack, unpack
from ganvas.runs.writer import Writer
from ganvas.training import guard
from ganvas.training.controls import Controls
from ganvas.training.intervals import Due, Intervals
from ganvas.training.monitor import NonFinite
from ganvas.training.recorder import Recorder
from ganvas.training.rollback import Rollback, State
from ganvas.training.tensorboard import TensorBoard
from ganvas.training.timing import Clock

logger = logging.getLogger("ganvas")


class Loop:
    """One session of a run."""

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        method: Method,
        batches: Batches,
        writer: Writer,
        evaluator: Evaluator | None = None,
        scorer: RunScorer | None = None,
    ) -> None:
        self.run, self.settings, self.method, self.batches, self.writer = run, recipe.train, method, batches, writer
        self.total = recipe.total_images(len(batches.data))
        self.intervals = Intervals.of(recipe.train, len(batches.data))
        if scorer is None:
            self.intervals = self.intervals._replace(evaluation=0)
        self.clock = Clock()
        self.controls = Controls(method, recipe.train.schedule, self.total)
        self.recorder = Recorder(run, recipe, method, batches, self.clock, writer, evaluator, scorer)
        self.rollback = Rollback(run, recipe, method, writer)
        self.restored: State | None = None

    def go(self, tick: Callable[[int, int], None], stop: Callable[[], bool]) -> Iterator[Record]:
        """Train until the end of the run, or until `stop` or the caller ends it; yields each record when it is logged.

        `tick(nimg, total)` is called before the first step and after each step.
        """
        batches = self.batches
        trained = self.restored[1]["seconds"] if self.restored else 0.0
        self.clock.set(max([trained, *(event.seconds for event in self.rollback.events)]))
        self.begin()
        if self.run.info().begun_from and not self.run.checkpoints.available():
            self.save()  # so that the run can be resumed, and go back, without the run that it began with
        with closing(TensorBoard(self.run, batches.nimg)) as tensorboard:
            self.recorder.first_sheet()
            tick(batches.nimg, self.total)
            self.recorder.recover_missing_evaluation()
            try:
                while batches.nimg < self.total and not stop():
                    before = batches.nimg
                    self.step()
                    scheduled = self.intervals.due(before, batches.nimg)
                    due = scheduled if batches.nimg < self.total else self.intervals.due_at_the_end()
                    if due.record and (record := self.record_and_checkpoint(due, scheduled)):
                        tensorboard.write(record)
                        yield record
                    tick(batches.nimg, self.total)
            except GeneratorExit:
                pass
            if batches.nimg > self.saved:
                self.checkpoint_between_records()
        state = "finished" if batches.nimg >= self.total else "stopped"
        self.run.update_info(self.writer, state=state, ended=now())

    def step(self) -> None:
        """One step of the method, with the current settings."""
        before = self.batches.nimg
        self.controls.apply(before, self.rollback.done)
        self.drop_gradients()
        self.recorder.add(self.method.step(self.batches))
        self.method.update_averages(self.batches.nimg - before, self.batches.nimg)

    def drop_gradients(self) -> None:
        """So that a record has the norms of what its own step computed, in a resumed run too.

        On a GPU they stay: a recorded step writes into the same tensors again and again.
        """
        if self.method.compute.device.type != "cuda":
            for optimizer in self.method.optimizers.values():
                optimizer.zero_grad()

    def record_and_checkpoint(self, due: Due, scheduled: Due) -> Record | None:
        """Write what is `due`; returns the record, or None if the guard raised an alarm and rolled back.

        The schedule gets only the scores that are `scheduled`: at the end of a run there are further ones, which a
        longer run would not have.
        """
        findings = None
        since = self.recorder.recorded[0]
        try:
            if due.checkpoint:
                self.refuse_non_finite()
            record = self.recorder.record()
        except NonFinite as failure:
            if self.settings.guard == "off":
                raise
            self.go_back(guard.Alarm("non-finite", "both", failure.said, since), None)
            return None
        if due.checkpoint:
            record[SCORE] = self.recorder.score(self.method)
        if due.evaluation:
            findings = self.recorder.evaluate()
            record |= {name: score.value for name, score in findings.scores.items()}
        if self.settings.guard != "off":
            history = [*self.recorder.records, record]
            if alarm := guard.check(history, self.method.settings.logistic, self.method.classifies):
                self.go_back(alarm, record)
                return None
        if due.sheet:
            self.recorder.sheets.write(self.method, self.batches.nimg)
        self.controls.see(scheduled.scores(record))
        self.recorder.log(record)  # before the checkpoint: without it, the record is written again
        if due.checkpoint:
            sha256 = self.save(score=record.get(self.settings.best))
            if findings is not None:
                self.recorder.keep_evaluation(findings, record, sha256)
        return record

    def refuse_non_finite(self) -> None:
        """Raise NonFinite if anything in the state is not finite, so that it never gets into a checkpoint."""
        if broken := first_non_finite(self.method):
            raise NonFinite(f"{broken} is no longer finite after {self.batches.nimg:,} images")

    def go_back(self, alarm: guard.Alarm, record: Record | None) -> None:
        """Continue from the last good state, with smaller steps for the side that diverged; raises RunFailed."""
        seconds = self.clock.seconds()
        state = self.rollback.after(alarm, self.batches.nimg, seconds, self.recorder.records, record)
        self.restore(state)
        self.begin()

    # -- the state of a session ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin at the start of the run, or at the restored state."""
        self.saved = self.batches.nimg
        self.batches.reshuffles = len(self.rollback.done)
        self.recorder.begin()
        if self.restored and self.restored[1].get("under_way"):
            tensors, values = self.restored
            self.recorder.go_on_with(tensors, values["under_way"])
        self.restored = None

    def save(self, score: float | None = None, under_way: State | None = None) -> str:
        """Write a checkpoint; returns its sha256. Between two records it has the state of the next one, `under_way`."""
        tensors, values = pack(self.method)
        nimg, seconds = self.batches.nimg, self.recorder.recorded[1]
        values |= {"nimg": nimg, "seconds": seconds, "schedule": self.controls.state()}
        if under_way is not None:
            tensors, values = {**tensors, **under_way[0]}, {**values, "under_way": under_way[1]}
        self.saved = nimg
        return self.run.checkpoints.save(
            nimg,
            tensors,
            values,
            keep=self.settings.keep,
            score=score,
            by=self.settings.best,
            stopped=under_way is not None,
            horizon=None if self.settings.guard == "off" else guard.horizon(self.recorder.records),
            writer=self.writer,
        )

    def restore(self, state: State) -> None:
        """Restore method, data and schedule from a checkpoint; the guard keeps its events."""
        tensors, values = state
        unpack(self.method, tensors, values)
        for optimizer in self.method.optimizers.values():
            optimizer.zero_grad()  # the next record has their norms, and old gradients are from the abandoned state
        self.batches.nimg = values.get("nimg", 0)
        self.controls.restore(values.get("schedule"))
        self.restored = state

    def checkpoint_between_records(self) -> None:
        """Write a checkpoint where the run was stopped, including the state of the next record."""
        under_way = self.recorder.under_way()
        try:
            if self.recorder.pending:
                self.recorder.log({**self.recorder.record(), "stopped": True})
            self.refuse_non_finite()
        except NonFinite as failure:
            if self.settings.guard == "off":
                raise
            again = "the same command continues from there, with the guard"
            logger.warning(f"{failure.said}: the checkpoint of {self.saved:,} images is kept; {again}")
            return
        self.save(under_way=under_way)
