"""What runs of the built-in recipes reached and when, from the table `measured.json` that comes with them.

`benchmarks/quality_per_minute.py --table` writes the table.
"""

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

from ganvas.core.text import duration
from ganvas.recipes import library
from ganvas.recipes.recipe import Recipe

FILE = "measured.json"


class Measured(NamedTuple):
    """Medians over several seeds of a recipe, at a few points of its runs."""

    machine: str
    seeds: int
    evaluator: str
    seconds: Sequence[float]  # of training on one core, until each point
    images: Sequence[int]  # seen until each point
    scores: dict[str, Sequence[float]]  # name of a metric -> its values at the points

    def said(self, total: int) -> list[str]:
        """The scores at the points that a run over `total` images passes, as a line; none before the first."""
        shown = {name: values for name, values in self.scores.items() if name != "kid" or "fid" not in self.scores}
        points = [i for i, seen in enumerate(self.images) if seen <= total]
        parts = [
            ", ".join(f"{TITLES[name]} {values[i]:.3g}" for name, values in shown.items())
            + f" after {duration(self.seconds[i])}"
            for i in points
        ]
        if not points:
            return []
        runs = "one run" if self.seeds == 1 else f"medians of {self.seeds} runs"
        return [f"earlier runs on one core of {self.machine} ({runs}, evaluator {self.evaluator}): {'; '.join(parts)}"]


TITLES = {"fid": "FID", "kid": "KID", "recall": "recall", "label_accuracy": "label accuracy"}


def table() -> dict[str, Measured]:
    """What is known, by the names of the recipes."""
    values = json.loads((resources.files("ganvas.recipes") / FILE).read_text(encoding="utf-8"))
    return {name: Measured(**row) for name, row in values.items()}


def expected_quality(recipe: Recipe, total: int) -> list[str]:
    """What earlier runs of this recipe reached at which minute, as a line; none if nobody has measured it.

    Only a recipe as it is built in is known, with any seed and any length; a schedule that ends with the run makes
    another length another recipe.
    """
    known = table().get(recipe.name)
    if known is None or recipe.name not in library.names() or _rule(recipe) != _rule(library.load(recipe.name)):
        return []
    return known.said(-(-total // recipe.train.batch_size) * recipe.train.batch_size)


def _rule(recipe: Recipe) -> dict[str, Any]:
    """What determines how well a run does: all but its seed."""
    return {**recipe.identity(), "data.name": recipe.data.name, "train.seed": None}
