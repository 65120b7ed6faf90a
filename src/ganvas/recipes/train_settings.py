"""The training settings: length, data order, output intervals, schedule and guard."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationInfo, field_validator, model_validator

from ganvas.compute.device import Precision
from ganvas.core import files
from ganvas.core.errors import nearest
from ganvas.core.settings import Settings
from ganvas.metrics import METRICS

SCORE = "score"  # the name of every checkpoint's own score, a sliced Wasserstein distance


class Rule(Settings):
    """How a setting of the method changes during a run."""

    on: str = "images"
    """images = change linearly with the images seen, to `factor` times its value; a metric (or score) = at plateaus"""
    factor: float = Field(0.5, ge=0)
    """the value is multiplied by this factor: at the end of a linear change, or at each plateau"""
    patience: PositiveInt = 5
    """a plateau is this number of successive evaluations without a new best value"""
    least: float = Field(1e-3, gt=0, le=1)
    """smallest total factor; the largest is 1 / least"""
    start: NonNegativeInt = 0
    """images seen when a linear change begins"""
    end: PositiveInt | None = None
    """images seen when a linear change ends; none: at the end of the run"""

    def bounded(self, factor: float) -> float:
        """The factor, clamped to the limits set by `least`."""
        return min(max(factor, self.least), 1 / self.least)

    def extreme(self) -> float:
        """The total factor farthest from 1 that can be reached."""
        if self.on == "images":
            return self.bounded(self.factor)
        return self.least if self.factor < 1 else 1 / self.least if self.factor > 1 else 1.0

    @field_validator("on")
    @classmethod
    def _is_known(cls, on: str) -> str:
        if on not in ("images", SCORE, *METRICS):
            raise ValueError(f"there is no metric of that name: {nearest(on, ('images', SCORE, *METRICS))}")
        return on

    @model_validator(mode="after")
    def _makes_sense(self) -> "Rule":
        if self.on != "images" and (self.start or self.end):
            raise ValueError("start and end have no effect when a metric decides")
        if self.end is not None and self.end <= self.start:
            raise ValueError("it ends before it starts")
        return self


class TrainSettings(Settings):
    """The length of a run, its data order, its output intervals, the schedule and the guard."""

    epochs: PositiveFloat = 25
    """length of the run in passes over the data"""
    images: PositiveInt | None = None
    """length of the run in images seen; overrides epochs"""
    batch_size: PositiveInt = 128
    """images per batch"""
    seed: int = Field(0, ge=0, lt=2**31)
    """seed of the initial weights, the data order and the noise"""
    precision: Precision = "auto"
    """number format inside the networks; auto = bf16 where it is faster, else fp32"""
    log_every: PositiveInt = 5_000
    """images between two records of log.jsonl"""
    sample_every: NonNegativeInt = 0
    """images between two sample sheets; 0 = one epoch, but no fewer than log_every"""
    checkpoint_every: NonNegativeInt = 0
    """images between two checkpoints, each with a score; 0 = one epoch, but no fewer than log_every"""
    keep: PositiveInt = 2
    """number of newest checkpoints to keep; the best one and up to two that the guard may need are kept as well"""
    disk_budget: str = "2GB"
    """maximum size of the run directory, such as 500MB or 1.5GiB (a plain number is in bytes); none: no limit"""
    eval_every: NonNegativeInt = 0
    """images between two evaluations with all metrics, each with a checkpoint; 0 = none"""
    eval_samples: int = Field(2_000, ge=100)
    """samples drawn for such an evaluation"""
    best: str = SCORE
    """metric that selects the best checkpoint: score (sliced Wasserstein distance), or a metric of the evaluations"""

    schedule: dict[str, Rule] = Field({})
    """settings of the method that change during a run, such as train.schedule.lr.factor=0.5; none: no change"""
    guard: Literal["rollback", "stop", "off"] = "rollback"
    """what to do when training collapses: rollback = return to a good state and take smaller steps; stop; or off"""
    rollbacks: NonNegativeInt = 3
    """rollbacks before the guard stops the run"""
    guard_factor: float = Field(0.5, gt=0, lt=1)
    """factor for the learning rates and step lengths of the side that diverged"""

    @field_validator("disk_budget", mode="before")
    @classmethod
    def _is_a_size(cls, budget: Any) -> str:
        text = str(budget)
        if text.lower() == "none":
            return "none"
        try:
            files.read_size(text)
        except ValueError as error:
            raise ValueError(f"{error}, or none for no limit") from None
        return text

    def disk_limit(self) -> int | None:
        """The maximum size of the run directory in bytes; None: no limit."""
        return None if self.disk_budget == "none" else files.read_size(self.disk_budget)

    @field_validator("best")
    @classmethod
    def _is_measured(cls, best: str, others: ValidationInfo) -> str:
        if best not in (SCORE, *METRICS):
            raise ValueError(f"there is no metric of that name: {nearest(best, (SCORE, *METRICS))}")
        if best != SCORE and not others.data.get("eval_every"):
            raise ValueError("it needs evaluations: set train.eval_every as well")
        return best

    @field_validator("schedule", mode="before")
    @classmethod
    def _without_rules(cls, schedule: Any) -> Any:
        if schedule == "none":
            return {}
        return {f: r for f, r in schedule.items() if r != "none"} if isinstance(schedule, Mapping) else schedule

    @field_validator("schedule")
    @classmethod
    def _have_scores(cls, schedule: dict[str, Rule], others: ValidationInfo) -> dict[str, Rule]:
        for field, rule in schedule.items():
            if rule.on in METRICS and not others.data.get("eval_every"):
                raise ValueError(f"the rule of {field} needs evaluations: set train.eval_every as well")
        return schedule
