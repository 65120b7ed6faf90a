"""When records, sheets, checkpoints and evaluations are due, by images seen."""

from typing import NamedTuple

from ganvas.metrics import METRICS
from ganvas.recipes.train_settings import SCORE, TrainSettings
from ganvas.runs.log import Record


class Due(NamedTuple):
    """What is due after a step. Every evaluation comes with a checkpoint, and everything comes with a record."""

    record: bool
    sheet: bool
    checkpoint: bool
    evaluation: bool

    def scores(self, record: Record) -> Record:
        """The scores in a record that belong to a due checkpoint or evaluation."""
        names = {*([SCORE] if self.checkpoint else ()), *(METRICS if self.evaluation else ())}
        return {name: record[name] for name in record.keys() & names}


class Intervals(NamedTuple):
    """Images between two records, two sheets, two checkpoints and two evaluations."""

    record: int
    sheet: int
    checkpoint: int
    evaluation: int  # 0: none

    @classmethod
    def of(cls, settings: TrainSettings, data_size: int) -> "Intervals":
        epoch = max(data_size, settings.log_every)  # an epoch of a small set is only a few steps
        return cls(
            settings.log_every, settings.sample_every or epoch, settings.checkpoint_every or epoch, settings.eval_every
        )

    def due(self, before: int, now: int) -> Due:
        """What is due after a step from `before` to `now` images seen."""
        record, sheet, checkpoint, evaluation = (bool(n) and before // n < now // n for n in self)
        checkpoint = checkpoint or evaluation
        return Due(record or sheet or checkpoint, sheet, checkpoint, evaluation)

    def due_at_the_end(self) -> Due:
        return Due(True, True, True, bool(self.evaluation))
