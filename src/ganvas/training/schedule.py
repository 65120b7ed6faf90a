"""The schedule: factors of the method's settings that depend on images seen, or on plateaus of a score."""

from collections.abc import Mapping
from typing import Any

from ganvas.metrics import METRICS
from ganvas.recipes.train_settings import Rule
from ganvas.runs.log import Record


class Schedule:
    """The factors that the rules give to settings of the method; `state` and `load_state` save and restore it."""

    def __init__(self, rules: Mapping[str, Rule], total: int) -> None:
        self.rules, self.total = rules, total
        self.scales = {field: 1.0 for field, rule in rules.items() if rule.on != "images"}
        self.best: dict[str, float] = {}
        self.waited: dict[str, int] = {}

    def factors(self, nimg: int) -> dict[str, float]:
        """For each field, the factor of its value in the recipe after `nimg` images."""
        return {field: self.scales.get(field) or self._line(rule, nimg) for field, rule in self.rules.items()}

    def _line(self, rule: Rule, nimg: int) -> float:
        end = rule.end or self.total
        done = min(1.0, max(0.0, (nimg - rule.start) / max(1, end - rule.start)))
        return rule.bounded(1 + (rule.factor - 1) * done)

    def see(self, record: Record) -> list[str]:
        """Process the scores of a record; returns the fields whose factors change because of a plateau."""
        changed: list[str] = []
        for field in self.scales:
            rule = self.rules[field]
            value = record.get(rule.on)
            if value is None:
                continue
            sign = -1 if rule.on in METRICS and METRICS[rule.on].better == "higher" else 1
            if field not in self.best or sign * value < sign * self.best[field]:
                self.best[field], self.waited[field] = value, 0
                continue
            self.waited[field] += 1
            if self.waited[field] >= rule.patience:
                before, self.waited[field] = self.scales[field], 0
                self.scales[field] = rule.bounded(before * rule.factor)
                changed += [field] if self.scales[field] != before else []
        return changed

    def state(self) -> dict[str, Any]:
        """The state as JSON values."""
        return {"scales": self.scales, "best": self.best, "waited": self.waited}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.scales, self.best, self.waited = dict(state["scales"]), dict(state["best"]), dict(state["waited"])
