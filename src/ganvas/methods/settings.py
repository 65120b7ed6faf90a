"""The base classes of method settings, and marks that tell the engine what a setting does.

    lr: Annotated[PositiveFloat, LearningRate("G"), Slows("G")] = 2e-4

The marks are annotations of the field; the schedule, the guard and the optimisers derive all they need from them.
"""

import functools
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from ganvas.core.settings import Settings


@dataclass(frozen=True)
class LearningRate:
    """The setting is the learning rate of an optimiser."""

    optimizer: str


@dataclass(frozen=True)
class Slows:
    """A smaller value slows down this side, "G" or "D"; the guard lowers the setting when the side diverges."""

    side: str


@dataclass(frozen=True)
class BuildTime:
    """The setting is read only when the method is built, so that no schedule can change it."""


@dataclass(frozen=True)
class InheritsFrom:
    """Without a value, the setting takes that of another setting."""

    field: str


@dataclass(frozen=True)
class OverriddenBy:
    """The setting has no effect while another one has a value."""

    field: str


@dataclass(frozen=True)
class AlsoCalled:
    """Another name for the setting that recipes may use."""

    name: str


Mark = TypeVar("Mark", LearningRate, Slows, BuildTime, InheritsFrom, OverriddenBy, AlsoCalled)


MOST_UPDATES = 10_000  # within one step, which is never stopped half-way
Updates = Annotated[int, Field(ge=1, le=MOST_UPDATES)]


class MethodSettings(Settings):
    """The settings that every method has."""

    name: str
    """the method's name in the table of methods"""
    latent_size: Annotated[PositiveInt, BuildTime()] = 100
    """numbers in a latent vector"""
    ema_images: Annotated[NonNegativeInt, BuildTime()] = 0
    """half-life of the moving average of G's weights, in images seen (shorter early in a run); 0 = none"""

    @property
    def logistic(self) -> bool:
        """Whether the losses are negative logarithms of probabilities."""
        return True

    @property
    def unfit_evaluators(self) -> tuple[str, ...]:
        """Names of the evaluators whose features the method trains on, and which therefore do not rank its runs."""
        return ()

    def images_at_once(self, batch: int) -> int:
        """How many images a step holds at the same time, with batches of `batch`."""
        return batch

    @classmethod
    def marked(cls, kind: type[Mark]) -> list[tuple[str, Mark]]:
        """(field, mark) for every mark of this kind."""
        return [(f, mark) for f, info in cls.model_fields.items() for mark in info.metadata if isinstance(mark, kind)]

    @classmethod
    def build_time(cls) -> set[str]:
        """Settings that cannot change during a run."""
        return {field for field, _ in cls.marked(BuildTime)}

    @classmethod
    @functools.cache
    def live(cls) -> set[str]:
        """Settings that may change at every step, so that no recording may contain their values."""
        return {field for field, _ in [*cls.marked(LearningRate), *cls.marked(Slows)]}

    @classmethod
    def aliases(cls) -> dict[str, str]:
        """Aliases of settings -> their names."""
        return {mark.name: field for field, mark in cls.marked(AlsoCalled)}

    def inherits_from(self) -> dict[str, str]:
        """Settings without a value -> the settings whose value they take."""
        return {field: mark.field for field, mark in self.marked(InheritsFrom) if getattr(self, field) is None}

    def overridden_by(self) -> dict[str, str]:
        """Settings without effect -> the settings that override them."""
        return {field: mark.field for field, mark in self.marked(OverriddenBy) if getattr(self, mark.field) is not None}

    def learning_rates(self) -> dict[str, float]:
        """The learning rate of every optimiser."""
        return {mark.optimizer: self._value(field) for field, mark in self.marked(LearningRate)}

    def slowdown_settings(self) -> dict[str, dict[str, float]]:
        """For "G" and "D": the settings whose smaller values slow down that side, with their values."""
        sides: dict[str, dict[str, float]] = {"G": {}, "D": {}}
        for field, mark in self.marked(Slows):
            sides[mark.side][field] = self._value(field)
        return sides

    def _value(self, field: str) -> float:
        value: float = getattr(self, self.inherits_from().get(field, field))
        return value


class TwoRateSettings(MethodSettings):
    """Settings with one optimiser for G and one for D, which may have different learning rates."""

    lr: Annotated[PositiveFloat, LearningRate("G"), Slows("G")] = 2e-4
    """learning rate of G, and of D unless d_lr is set"""
    d_lr: Annotated[PositiveFloat | None, LearningRate("D"), Slows("D"), InheritsFrom("lr")] = None
    """learning rate of D; none: that of G"""
    beta1: Annotated[float, BuildTime()] = Field(0.5, ge=0, lt=1)
    """Adam's decay of the mean gradient"""
    beta2: Annotated[float, BuildTime()] = Field(0.999, ge=0, lt=1)
    """Adam's decay of the mean squared gradient"""
