"""The plan of a sweep: which settings it varies, and how its runs are scored."""

import itertools
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ganvas.core.errors import UserError, nearest
from ganvas.core.settings import merge, parse_assignments
from ganvas.evaluation.evaluate import refuse_too_many_samples
from ganvas.evaluation.references import LEAST_SAMPLES
from ganvas.metrics import METRICS
from ganvas.recipes import library
from ganvas.recipes.library import SECTIONS
from ganvas.recipes.recipe import Recipe, from_dict

Point = dict[str, Any]  # section.key -> value

MOST_POINTS = 10_000  # of a grid; a search can run out of points only if it has no more than these
MOST_RUNS = 10_000  # seeds of a point, and trials of a search
LOG_RANGE = 10  # a range of positive numbers is searched on a log scale if its ends have at least this ratio


class Range(NamedTuple):
    """Numbers from `low` to `high`; integers if both ends are."""

    low: int | float
    high: int | float

    @property
    def log(self) -> bool:
        return self.low > 0 and self.high >= LOG_RANGE * self.low


Varied = dict[str, list[Any] | Range]


def read_varied(words: Sequence[str], ranges: bool = False) -> Varied:
    """Parse `["method.g_steps=1,2", "network.name=dcgan,mlp"]` into key -> values.

    With `ranges`, 1e-5..1e-3 becomes a Range. Raises UserError for a word that cannot be parsed.
    """
    varied: Varied = {}
    example = "method.lr=1e-5..1e-3 or network.base=16,32" if ranges else "method.g_steps=1,2,4"
    for word in words:
        key, equals, text = word.partition("=")
        parts = [part.strip() for part in re.split(r",(?![^\[]*\])", text)]  # a comma in brackets does not separate
        if not equals or not re.fullmatch(r"\w+(\.\w+)+", key) or not all(parts):
            raise UserError(f"cannot read '{word}': write it as {example}")
        if key == "train.seed":
            raise UserError("train.seed is not a setting to vary: use --seeds")
        if key in varied:
            raise UserError(f"'{key}' is varied twice: write all its values in one word")
        if ".." in text:
            varied[key] = _read_range(word, text, ranges)
        else:
            varied[key] = [parse_assignments([f"value={part}"])["value"] for part in parts]
    return varied


def _read_range(word: str, text: str, ranges: bool) -> Range:
    if not ranges:
        raise UserError(f"cannot read '{word}': a grid has values, as method.g_steps=1,2,4; ranges are for --search")
    try:
        low, high = (int(end) if re.fullmatch(r"\s*[+-]?\d+\s*", end) else float(end) for end in text.split(".."))
    except ValueError:
        raise UserError(f"cannot read '{word}': write a range of numbers as 1e-5..1e-3") from None
    if not (low < high and math.isfinite(high - low)):
        raise UserError(f"cannot search '{word}': a range goes from a smaller to a larger number")
    return Range(low, high) if type(low) is type(high) else Range(float(low), float(high))


@dataclass(frozen=True)
class Plan:
    """What a sweep varies, and how its runs are scored. Raises UserError for unknown settings and invalid values."""

    recipe: Recipe
    varied: Varied
    trials: int | None = None  # points of a search; None: a grid, which has every point
    seeds: int = 1  # of each point, counting from the seed of the recipe
    by: str = "kid"  # the metric that a search optimises
    samples: int = 10_000  # of each evaluation

    def __post_init__(self) -> None:
        if not self.varied:
            raise UserError("nothing to vary: give --grid method.g_steps=1,2,4 or --search method.lr=1e-5..1e-3")
        for name, least, most in (("seeds", 1, MOST_RUNS), ("trials", 1, MOST_RUNS), ("samples", LEAST_SAMPLES, None)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"--{name} is {value}: ask for {least} or more")
            if value is not None and most is not None and value > most:
                raise UserError(f"--{name} is {value}: ask for {most:,} or fewer")
        refuse_too_many_samples(self.samples)
        if self.by not in METRICS:
            raise UserError(f"there is no metric '{self.by}': {nearest(self.by, METRICS)}")
        for point in self.examples():
            self.recipe_of(point)

    def points(self) -> list[Point]:
        """All points of a grid; the last key varies fastest. Raises UserError if there are too many."""
        if self.size() is None:
            raise UserError(f"the grid has more than {MOST_POINTS:,} points: give fewer values, or use --search")
        points = [dict(zip(self.varied, values, strict=True)) for values in itertools.product(*self.varied.values())]
        named: dict[str, Point] = {}
        for point in points:
            if named.setdefault(self.name(point), point) != point:
                raise UserError(f"two points would share the name '{self.name(point)}': sweep one of them elsewhere")
        return list(named.values())

    def size(self) -> int | None:
        """The number of possible points; None if there are too many to try them all."""
        counts = [1 + v.high - v.low if isinstance(v, Range) else len(v) for v in self.varied.values()]
        size = math.prod(counts)
        return size if isinstance(size, int) and size <= MOST_POINTS else None

    def examples(self) -> list[Point]:
        """All points of a grid; for a search, points that cover the ends of each range and the values of each list."""
        if self.trials is None:
            return self.points()
        first = {key: values[0] for key, values in self.varied.items()}
        return [{**first, key: value} for key, values in self.varied.items() for value in values]

    def recipe_of(self, point: Point) -> Recipe:
        changes = library.as_meant(parse_assignments(assignments(point)))
        return from_dict(merge(self.recipe.as_dict(), changes))

    def name(self, point: Point, seed: int | None = None) -> str:
        """The point as text that can name a folder; keys are shortened where they stay distinct."""
        last = [key.rpartition(".")[2] for key in self.varied]
        short = {key: key if last.count(end) > 1 else end for key, end in zip(self.varied, last, strict=True)}
        parts = [f"{short[key]}={value_text(point[key])}" for key in self.varied]
        return ",".join([*parts, *([] if seed is None else [f"seed={seed}"])])

    def all_seeds(self) -> range:
        return range(self.recipe.train.seed, self.recipe.train.seed + self.seeds)

    def check_extends(self, old: "Plan", folder: Path) -> None:
        """Raise UserError unless this plan equals `old`, the one in `folder`, or has more values, seeds or trials."""

        def refuse(there: str, asked: str) -> None:
            raise UserError(f"'{folder}' is a sweep with {there}, not {asked}: use another --out for another sweep")

        mine, theirs = self.recipe.as_dict(), old.recipe.as_dict()
        for section in SECTIONS:
            for key in {**theirs[section], **mine[section]}:
                before, now = theirs[section].get(key), mine[section].get(key)
                if before != now:
                    refuse(f"{section}.{key}={before}", str(now))
        if (self.trials is None) != (old.trials is None):
            refuse(*(("a grid", "a search") if old.trials is None else ("a search", "a grid")))
        if set(self.varied) != set(old.varied):
            refuse(f"other values of {', '.join(old.varied)}", f"of {', '.join(self.varied)}")
        for key, values in old.varied.items():
            lost = [value for value in values if value not in self.varied[key]]
            if lost or (self.trials is not None and values != self.varied[key]):
                refuse(f"{key}={_values_text(values)}", _values_text(self.varied[key]))
        for name in ("by", "samples"):
            if getattr(self, name) != getattr(old, name):
                refuse(f"--{name} {getattr(old, name)}", str(getattr(self, name)))
        for name in ("seeds", "trials"):
            if (getattr(self, name) or 0) < (getattr(old, name) or 0):
                raise UserError(
                    f"'{folder}' is a sweep with --{name} {getattr(old, name)}: ask for as many or more, "
                    "or use another --out"
                )


def assignments(point: Point) -> list[str]:
    """A point as arguments of --set."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in point.items()]


def value_text(value: Any) -> str:
    """The value of a setting as text that can be part of a folder's name."""
    if isinstance(value, list):
        return "x".join(map(value_text, value))
    return re.sub(r"[^\w.+-]+", "-", value if isinstance(value, str) else json.dumps(value))


def _values_text(values: list[Any] | Range) -> str:
    return f"{values.low}..{values.high}" if isinstance(values, Range) else ",".join(map(value_text, values))
