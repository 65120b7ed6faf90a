"""Making the records, sample sheets, scores and evaluations of a run."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganvas.data import Batches
from ganvas.evaluation import document
from ganvas.evaluation.document import Findings
from ganvas.evaluation.evaluate import RunScorer
from ganvas.evaluation.evaluators import Evaluator
from ganvas.methods import Method
from ganvas.metrics import METRICS
from ganvas.recipes.recipe import Recipe
from ganvas.runs import checkpoint
from ganvas.runs.log import Record
from ganvas.runs.run import Run
from ganvas.runs.writer import Writer
from ganvas.training.monitor import CheckpointScore, Watch, floats, means, norms
from ganvas.training.sheets import Sheets
from ganvas.training.timing import Clock


class Recorder:
    """Makes the records of a run and the related files."""

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        method: Method,
        batches: Batches,
        clock: Clock,
        writer: Writer,
        evaluator: Evaluator | None,
        scorer: RunScorer | None,
    ) -> None:
        self.run, self.recipe, self.method, self.batches = run, recipe, method, batches
        self.clock, self.writer, self.scorer = clock, writer, scorer
        self.score, self.watch = CheckpointScore(batches.data, method), Watch(batches.data, method, evaluator)
        self.sheets = Sheets(run, batches.data, writer)

    def begin(self) -> None:
        """Start recording here; the state of an unfinished record is discarded."""
        self.records = self.run.records()
        self.pending: list[tuple[int, dict[str, Tensor]]] = []  # images seen, and what the step returned
        self.recorded = self.batches.nimg, self.clock.seconds()  # at the last record
        self.watch(self.method)

    def first_sheet(self) -> None:
        """Write the samples of the untrained network; in a resumed run, only `sheet.png` if it is missing."""
        if self.batches.nimg == 0:
            self.sheets.write(self.method, 0)
        elif not self.run.sheet_file.is_file():
            self.sheets.write_strip(self.batches.nimg)

    def add(self, scalars: dict[str, Tensor]) -> None:
        """Add the scalars that a step returned."""
        self.pending.append((self.batches.nimg, scalars))

    def record(self) -> Record:
        """The record of the time since the last one; raises NonFinite."""
        nimg, seconds = self.batches.nimg, self.clock.seconds()
        entry: Record = {"nimg": nimg, "epoch": round(self.batches.epoch, 4), "seconds": round(seconds, 3)}
        if self.pending:
            entry["images_per_second"] = round((nimg - self.recorded[0]) / max(seconds - self.recorded[1], 1e-9), 1)
            entry |= means(self.pending) | floats({**self.method.monitor(), **norms(self.method)}, nimg)
            entry |= self.watch(self.method)
            entry |= {name: value for name, value in self.method.changed.items() if name not in entry}  # not measured
        self.pending.clear()
        self.recorded = nimg, seconds
        return entry

    def evaluate(self) -> Findings:
        """Evaluate the method in its current state; this does not count as training time."""
        assert self.scorer is not None
        with self.clock.paused():
            return self.scorer(self.method)

    def log(self, entry: Record) -> None:
        self.run.log.append(entry, self.writer)
        self.records.append(entry)

    def keep_evaluation(self, findings: Findings, entry: Record, sha256: str) -> None:
        """Write the evaluation of the checkpoint with this hash, saved with the record `entry`."""
        document.keep(self.run, findings.of(self.recipe, entry, sha256), self.writer)

    def recover_missing_evaluation(self) -> None:
        """Write the evaluation of the newest checkpoint if its record has the scores but a kill came in between."""
        newest, nimg = self.records[-1] if self.records else {}, self.batches.nimg
        if self.scorer is None or newest.get("nimg") != nimg or not METRICS.keys() & newest.keys():
            return
        if not self.run.evaluation_files(nimg):
            sha256 = checkpoint.note(self.run.checkpoints.folder, nimg).sha256
            self.keep_evaluation(self.evaluate(), newest, sha256)

    # -- a stop between two records -----------------------------------------------------------------------------

    def under_way(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The state of the next record, as tensors and JSON values, for `go_on_with`."""
        pending = [(nimg, {name: float(value) for name, value in scalars.items()}) for nimg, scalars in self.pending]
        before = {} if self.watch.before is None else {"watched": torch.from_numpy(self.watch.before)}
        return before, {"pending": pending, "recorded": self.recorded}

    def go_on_with(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Restore the state of the next record, so that a stop does not change it."""
        self.pending = [
            (nimg, {name: torch.tensor(value) for name, value in scalars.items()})
            for nimg, scalars in values["pending"]
        ]
        self.recorded = values["recorded"][0], values["recorded"][1]
        self.watch.before = tensors["watched"].numpy() if "watched" in tensors else None
