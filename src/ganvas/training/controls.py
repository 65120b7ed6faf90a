"""Changing settings of the method during a run: the schedule's factors times the guard's."""

from collections.abc import Mapping, Sequence
from typing import Any

from ganvas.methods import Method
from ganvas.recipes.train_settings import Rule
from ganvas.runs.guard_journal import GuardEvent
from ganvas.runs.log import Record
from ganvas.training.schedule import Schedule


class Controls:
    """Sets the settings of `method` to the values from the schedule and the guard."""

    def __init__(self, method: Method, schedule: Mapping[str, Rule], total: int) -> None:
        self.method, self.total = method, total
        self.rules = dict(schedule)
        for field, source in method.settings.inherits_from().items():
            if source in self.rules:
                self.rules.setdefault(field, self.rules[source])
        self.schedule = Schedule(self.rules, total)
        self.first_values = {field: getattr(method.settings, field) for field in schedule}
        for settings in method.settings.slowdown_settings().values():
            self.first_values |= settings

    def apply(self, nimg: int, rollbacks: Sequence[GuardEvent]) -> None:
        """Set the settings to their values after `nimg` images and these rollbacks."""
        factors = self.schedule.factors(nimg)
        if rollbacks:  # from now on each side has its own learning rate
            factors = {**dict.fromkeys(self.first_values, 1.0), **factors}
        for event in rollbacks:
            for field, factor in event.factors.items():
                factors[field] *= factor
        wanted = {field: self._value(field, factor) for field, factor in factors.items()}
        changes = {field: value for field, value in wanted.items() if getattr(self.method.settings, field) != value}
        if changes:
            self.method.change(**changes)

    def _value(self, field: str, factor: float) -> float:
        """The initial value times `factor`; an integer stays an integer, and only 0 becomes 0."""
        first = self.first_values[field]
        return max(min(1, first), round(first * factor)) if isinstance(first, int) else first * factor

    def see(self, scores: Record) -> None:
        """Pass the scores of a record to the schedule."""
        self.schedule.see(scores)

    def state(self) -> dict[str, Any]:
        """The state of the schedule as JSON values, for `restore`."""
        return self.schedule.state()

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Restore the state of the schedule; without `state`, that at the start of a run."""
        self.schedule = Schedule(self.rules, self.total)
        if state:
            self.schedule.load_state(state)
