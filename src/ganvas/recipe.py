"""A recipe: everything that decides what a run computes. One TOML file per published experiment."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationInfo, field_validator

from ganvas.backbones import BACKBONES, Backbone
from ganvas.config import Settings, merge, parse, to_toml
from ganvas.data import DataSettings
from ganvas.device import Compute, Precision
from ganvas.errors import UserError, nearest
from ganvas.images import ImageSpec
from ganvas.methods import METHODS, Method
from ganvas.methods.base import MethodSettings
from ganvas.metrics import METRICS

SECTIONS = ("data", "network", "method", "train")
FREE_TO_CHANGE = (
    *("epochs", "images", "log_every", "sample_every", "checkpoint_every", "keep"),
    *("eval_every", "eval_samples", "best"),
)
SCORE = "score"  # of every checkpoint: its sliced Wasserstein distance


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
    """images between two sample sheets; 0 = one epoch"""
    checkpoint_every: NonNegativeInt = 0
    """images between two checkpoints, each with a score; 0 = one epoch"""
    keep: PositiveInt = 2
    """newest checkpoints kept; the best one is kept as well"""
    eval_every: NonNegativeInt = 0
    """images between two evaluations with all metrics, each with a checkpoint; 0 = none"""
    eval_samples: int = Field(2_000, ge=100)
    """samples drawn for such an evaluation"""
    best: str = SCORE
    """what the best checkpoint is best by: score (sliced Wasserstein distance) or a metric of the evaluations"""

    @field_validator("best")
    @classmethod
    def _is_measured(cls, best: str, others: ValidationInfo) -> str:
        if best not in (SCORE, *METRICS):
            raise ValueError(f"there is no metric of that name: {nearest(best, (SCORE, *METRICS))}")
        if best != SCORE and not others.data.get("eval_every"):
            raise ValueError("it needs evaluations: set train.eval_every as well")
        return best


@dataclass(frozen=True)
class Recipe:
    name: str
    description: str
    data: DataSettings
    network: Backbone
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

        Not the place of the data (its pixels decide), nor the length of the run and what is written down when.
        """
        free = {"data.name"} | {f"train.{key}" for key in FREE_TO_CHANGE}
        settings = {f"{s}.{key}": value for s in SECTIONS for key, value in self.as_dict()[s].items()}
        return {key: value for key, value in settings.items() if key not in free}


def from_dict(values: Mapping[str, Any]) -> Recipe:
    """A recipe from the sections of a TOML file; raises UserError for an unknown section, name, key or value."""
    for key in values:
        if key not in ("name", "description", *SECTIONS):
            raise UserError(f"unknown section '{key}' in the recipe: {nearest(key, SECTIONS)}")
    section: dict[str, dict[str, Any]] = {}
    for key in SECTIONS:
        if not isinstance(values.get(key, {}), Mapping):
            raise UserError(f"'{key}' is a section, not a value: write {key}.something={values[key]}")
        section[key] = dict(values.get(key, {}))
    return Recipe(
        name=str(values.get("name", "unnamed")),
        description=str(values.get("description", "")),
        data=parse(DataSettings, section["data"], "data"),
        network=parse(_backbone_class(section["network"].get("name", "dcgan")), section["network"], "network"),
        method=parse(_method_class(section["method"].get("name", "gan")).Settings, section["method"], "method"),
        train=parse(TrainSettings, section["train"], "train"),
    )


def load(name: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """A built-in recipe by name, or one from a TOML file by path, with `changes` laid over its sections."""
    if name in names():
        values, stem = read_toml(resources.files("ganvas.recipes") / f"{name}.toml"), name
    elif name.endswith(".toml"):
        path = Path(name).expanduser()
        values, stem = read_toml(path), path.stem
    else:
        raise UserError(f"unknown recipe '{name}': {nearest(name, names())} (or the path of a .toml file)")
    return from_dict(merge({"name": stem, **values}, changes or {}))


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


def _backbone_class(name: Any) -> type[Backbone]:
    if not isinstance(name, str) or name not in BACKBONES:
        raise UserError(f"unknown network '{name}': {nearest(str(name), BACKBONES)}")
    return BACKBONES[name]
