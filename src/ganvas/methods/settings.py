"""What the settings of all methods have, and marks that tell the engine what a setting does.

    lr: Annotated[PositiveFloat, LearningRate("G"), Slows("G")] = 2e-4

A mark stands at the field itself; all that the schedule, the guard and the optimisers need to know derives from it.
"""

import functools
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from ganvas.core.settings import Settings


@dataclass(frozen=True)
class LearningRate:
    """The learning rate of an optimiser."""

    optimizer: str


@dataclass(frozen=True)
class Slows:
    """A smaller value slows this side down, "G" or "D": the guard lowers it when the side diverges."""

    side: str


@dataclass(frozen=True)
class BuildTime:
    """Read when the method is built only, so that no schedule can change it."""


@dataclass(frozen=True)
class InheritsFrom:
    """Without a value it takes that of another setting."""

    field: str


@dataclass(frozen=True)
class OverriddenBy:
    """It has no effect while another setting has a value."""

    field: str


@dataclass(frozen=True)
class AlsoCalled:
    """Another name that a recipe may use."""

    name: str


Mark = TypeVar("Mark", LearningRate, Slows, BuildTime, InheritsFrom, OverriddenBy, AlsoCalled)


class MethodSettings(Settings):
    """What every method has."""

    name: str
    """the method's name in the table of methods"""
    latent_size: Annotated[PositiveInt, BuildTime()] = 100
    """numbers in a latent vector"""
    ema_images: Annotated[NonNegativeInt, BuildTime()] = 0
    """half-life of the moving average of G's weights, in images seen (shorter early in a run); 0 = none"""

    @classmethod
    def marked(cls, kind: type[Mark]) -> list[tuple[str, Mark]]:
        """The fields with a mark of this kind, and the mark."""
        return [(f, mark) for f, info in cls.model_fields.items() for mark in info.metadata if isinstance(mark, kind)]

    @classmethod
    def build_time(cls) -> set[str]:
        """Settings that cannot change during a run."""
        return {field for field, _ in cls.marked(BuildTime)}

    @classmethod
    @functools.cache
    def live(cls) -> set[str]:
        """Settings that may change at every step: no recording of a step may contain their values."""
        return {field for field, _ in [*cls.marked(LearningRate), *cls.marked(Slows)]}

    @classmethod
    def aliases(cls) -> dict[str, str]:
        """Other names of settings, and the settings."""
        return {mark.name: field for field, mark in cls.marked(AlsoCalled)}

    def inherits_from(self) -> dict[str, str]:
        """Settings without a value of their own, and those whose value they take."""
        return {field: mark.field for field, mark in self.marked(InheritsFrom) if getattr(self, field) is None}

    def overridden_by(self) -> dict[str, str]:
        """Settings that have no effect, and those that take their place."""
        return {field: mark.field for field, mark in self.marked(OverriddenBy) if getattr(self, mark.field) is not None}

    def learning_rates(self) -> dict[str, float]:
        """The learning rate of every optimiser."""
        return {mark.optimizer: self._value(field) for field, mark in self.marked(LearningRate)}

    def slowdown_settings(self) -> dict[str, dict[str, float]]:
        """For "G" and "D", the settings whose smaller values slow that side down, with their values."""
        sides: dict[str, dict[str, float]] = {"G": {}, "D": {}}
        for field, mark in self.marked(Slows):
            sides[mark.side][field] = self._value(field)
        return sides

    def _value(self, field: str) -> float:
        value: float = getattr(self, self.inherits_from().get(field, field))
        return value


class TwoRateSettings(MethodSettings):
    """An optimiser for G and one for D, each with a learning rate of its own if need be."""

    lr: Annotated[PositiveFloat, LearningRate("G"), Slows("G")] = 2e-4
    """learning rate of G, and of D unless d_lr is set"""
    d_lr: Annotated[PositiveFloat | None, LearningRate("D"), Slows("D"), InheritsFrom("lr")] = None
    """learning rate of D; none: that of G"""
    beta1: Annotated[float, BuildTime()] = Field(0.5, ge=0, lt=1)
    """Adam's decay of the mean gradient"""
    beta2: Annotated[float, BuildTime()] = Field(0.999, ge=0, lt=1)
    """Adam's decay of the mean squared gradient"""
