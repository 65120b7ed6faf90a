"""A recipe: everything that decides what a run computes. One TOML file per published experiment."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationInfo, field_validator, model_validator

from ganvas.compute.device import Compute, Precision
from ganvas.core import files
from ganvas.core.errors import UserError, nearest
from ganvas.core.images import ImageSpec
from ganvas.core.settings import Settings, merge, parse, to_toml
from ganvas.data import DataSettings
from ganvas.methods import METHODS, Method
from ganvas.methods.base import MethodSettings
from ganvas.metrics.scores import METRICS
from ganvas.networks import NETWORKS, Networks

SECTIONS = ("data", "network", "method", "train")
FREE_TO_CHANGE = (
    *("epochs", "images", "log_every", "sample_every", "checkpoint_every", "keep"),
    *("eval_every", "eval_samples", "best"),
    *("guard", "rollbacks", "guard_factor"),
    "disk_budget",
)
SCORE = "score"  # of every checkpoint: its sliced Wasserstein distance


class Rule(Settings):
    """How one setting of the method changes while the run goes on."""

    on: str = "images"
    """images: evenly, from its value to `factor` times that; or a score, that lowers it when it stops improving"""
    factor: float = Field(0.5, ge=0)
    """what it is multiplied by"""
    patience: PositiveInt = 5
    """how many scores in a row may fail to be the best one"""
    least: float = Field(1e-3, gt=0, le=1)
    """share of its first value that always stays; nor does it ever grow by more than one over this"""
    start: NonNegativeInt = 0
    """images seen when an even change begins"""
    end: PositiveInt | None = None
    """images seen when it ends; none: with the run"""

    def bounded(self, factor: float) -> float:
        """What may become of a factor."""
        return min(max(factor, self.least), 1 / self.least)

    def utmost(self) -> float:
        """The factor that is farthest from 1 which it may come to."""
        if self.on == "images":
            return self.bounded(self.factor)
        return self.least if self.factor < 1 else 1 / self.least if self.factor > 1 else 1.0

    @field_validator("on")
    @classmethod
    def _is_known(cls, on: str) -> str:
        if on not in ("images", SCORE, *METRICS):
            raise ValueError(f"there is no score of that name: {nearest(on, ('images', SCORE, *METRICS))}")
        return on

    @model_validator(mode="after")
    def _makes_sense(self) -> "Rule":
        if self.on != "images" and (self.start or self.end):
            raise ValueError("start and end do nothing where a score decides")
        if self.end is not None and self.end <= self.start:
            raise ValueError("it ends before it starts")
        return self


class TrainSettings(Settings):
    """How long, in which order and how often something is written down."""

    epochs: PositiveFloat = 25
    """length of the run in passes over the data"""
    images: PositiveInt | None = None
    """length of the run in images seen; overrides epochs"""
    batch_size: PositiveInt = 128
    """images per batch"""
    seed: int = Field(0, ge=0, lt=2**63)
    """decides the initial weights, the order of the data and the noise"""
    precision: Precision = "auto"
    """number format inside the networks; auto = bf16 where it is fast, else fp32"""
    log_every: PositiveInt = 5_000
    """images between two records of log.jsonl"""
    sample_every: NonNegativeInt = 0
    """images between two sample sheets; 0 = one epoch, but no fewer than log_every"""
    checkpoint_every: NonNegativeInt = 0
    """images between two checkpoints, each with a score; 0 = one epoch, but no fewer than log_every"""
    keep: PositiveInt = 2
    """newest checkpoints kept; the best one and up to two that the guard may need are kept as well"""
    disk_budget: str = "2GB"
    """what the run directory takes at most, such as 500MB or 1.5GiB (a number alone: bytes); none: no limit"""
    eval_every: NonNegativeInt = 0
    """images between two evaluations with all metrics, each with a checkpoint; 0 = none"""
    eval_samples: int = Field(2_000, ge=100)
    """samples drawn for such an evaluation"""
    best: str = SCORE
    """what the best checkpoint is best by: score (sliced Wasserstein distance) or a metric of the evaluations"""

    schedule: dict[str, Rule] = Field({})
    """settings of the method that change: train.schedule.lr.on=score train.schedule.lr.factor=0.5; none: they stay"""
    guard: Literal["rollback", "stop", "off"] = "rollback"
    """when training collapses: go back and on with smaller steps, stop, or look away"""
    rollbacks: NonNegativeInt = 3
    """how often the guard goes back before it stops"""
    guard_factor: float = Field(0.5, gt=0, lt=1)
    """what the guard multiplies the steps of the side by that ran away"""

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
        """Bytes that the run directory may take; None: as many as it likes."""
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


@dataclass(frozen=True)
class Recipe:
    name: str
    description: str
    data: DataSettings
    network: Networks
    method: MethodSettings
    train: TrainSettings

    def build(self, spec: ImageSpec, compute: Compute) -> Method:
        """The method with freshly initialised networks for images of `spec`."""
        return _method_class(self.method.name)(self.method, self.network, spec, compute, self.train.seed)

    def total_images(self, data_size: int) -> int:
        """Length of the run in images seen."""
        return self.train.images or max(1, round(self.train.epochs * data_size))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, section by section, as in the TOML file."""
        sections = {section: getattr(self, section).model_dump(mode="json") for section in SECTIONS}
        return {"name": self.name, "description": self.description, **sections}

    def to_toml(self) -> str:
        return to_toml(self.as_dict())

    def identity(self) -> dict[str, Any]:
        """What a run and its continuation must share, as `section.key` -> value: all that decides the weights.

        Not the place of the data (its pixels decide), nor the length of the run and what is written down when, unless
        the schedule depends on them.
        """
        free = {"data.name"} | {f"train.{key}" for key in FREE_TO_CHANGE}
        for rule in self.train.schedule.values():
            if rule.on != "images":
                free -= {f"train.{key}" for key in ("log_every", "checkpoint_every", "eval_every", "eval_samples")}
            elif rule.end is None:
                free -= {"train.epochs", "train.images"}
        settings = {f"{s}.{key}": value for s in SECTIONS for key, value in self.as_dict()[s].items()}
        return {key: value for key, value in settings.items() if key not in free}

    def marks(self) -> dict[str, Any]:
        """Of `identity`, names and what is not at its default: a setting that a later version adds changes nothing."""
        defaults = {f"{s}.{key}": f.default for s in SECTIONS for key, f in type(getattr(self, s)).model_fields.items()}
        return {k: v for k, v in self.identity().items() if k.endswith(".name") or v != defaults[k]}


def from_dict(values: Mapping[str, Any]) -> Recipe:
    """A recipe from the sections of a TOML file; raises UserError for an unknown section, name, key or value."""
    values = by_real_names(values)
    for key in values:
        if key not in ("name", "description", *SECTIONS):
            raise UserError(f"unknown section '{key}' in the recipe: {nearest(key, SECTIONS)}")
    section: dict[str, dict[str, Any]] = {}
    for key in SECTIONS:
        if not isinstance(values.get(key, {}), Mapping):
            raise UserError(f"'{key}' is a section, not a value: write {key}.something={values[key]}")
        section[key] = dict(values.get(key, {}))
    recipe = Recipe(
        name=str(values.get("name", "unnamed")),
        description=str(values.get("description", "")),
        data=parse(DataSettings, section["data"], "data"),
        network=parse(_networks_class(section["network"].get("name", "dcgan")), section["network"], "network"),
        method=parse(_method_class(section["method"].get("name", "gan")).Settings, section["method"], "method"),
        train=parse(TrainSettings, section["train"], "train"),
    )
    values = {key: value for key, value in recipe.method.model_dump().items() if key not in recipe.method.ONCE}
    numbers = [key for key, value in values.items() if isinstance(value, int | float) and not isinstance(value, bool)]
    for field, rule in recipe.train.schedule.items():
        if field in values and values[field] is None:
            raise UserError(f"setting 'train.schedule' cannot change '{field}', which has no value: set method.{field}")
        if field not in numbers:
            raise UserError(
                f"setting 'train.schedule' cannot change '{field}' of method '{recipe.method.name}': "
                f"{nearest(field, numbers)}"
            )
        if other := recipe.method.idle().get(field):
            raise UserError(f"setting 'train.schedule' cannot change '{field}': method.{other} takes its place")
        value = values[field] * rule.utmost()
        value = max(min(1, values[field]), round(value)) if isinstance(values[field], int) else value
        try:
            parse(type(recipe.method), {**section["method"], field: value}, "method")
        except UserError as error:
            nearer = f"raise train.schedule.{field}.least" if rule.on != "images" else "choose another factor"
            raise UserError(f"setting 'train.schedule.{field}' goes too far ({error}): {nearer}") from None
    return recipe


def load(name: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """A built-in recipe by name, or one from a TOML file by path, with `changes` laid over its sections."""
    if name in names():
        values, stem = read_toml(resources.files("ganvas.recipes") / f"{name}.toml"), name
    elif name.endswith(".toml"):
        path = Path(name).expanduser()
        values, stem = read_toml(path), path.stem
    else:
        raise UserError(f"unknown recipe '{name}': {nearest(name, names())} (or the path of a .toml file)")
    return from_dict(merge(by_real_names({"name": stem, **values}), as_meant(changes or {})))


def by_real_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The sections with every setting of the method under its own name, whatever name it was given by."""
    section = values.get("method")
    aliases = {alias: name for method in METHODS.values() for alias, name in method.Settings.ALIASES.items()}
    if not isinstance(section, Mapping) or not aliases.keys() & section.keys():
        return dict(values)
    for alias in aliases.keys() & section.keys():
        if aliases[alias] in section:
            raise UserError(f"'method.{alias}' is another name of 'method.{aliases[alias]}': give one of them")
    return {**values, "method": {aliases.get(key, key): value for key, value in section.items()}}


def as_meant(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of a recipe, by real names; a length in epochs takes the place of the recipe's in images."""
    meant = by_real_names(changes)
    train = meant.get("train")
    if isinstance(train, Mapping) and "epochs" in train and "images" not in train:
        meant["train"] = {**train, "images": None}
    return meant


def read_toml(path: Path | Traversable) -> dict[str, Any]:
    """The values of a TOML file; raises UserError when it is missing or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the recipe '{path}': {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the recipe '{path}': {error}") from None


def names() -> list[str]:
    """The built-in recipes."""
    files = resources.files("ganvas.recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def _method_class(name: Any) -> type[Method]:
    if not isinstance(name, str) or name not in METHODS:
        raise UserError(f"unknown method '{name}': {nearest(str(name), METHODS)}")
    return METHODS[name]


def _networks_class(name: Any) -> type[Networks]:
    if not isinstance(name, str) or name not in NETWORKS:
        raise UserError(f"unknown network '{name}': {nearest(str(name), NETWORKS)}")
    return NETWORKS[name]
