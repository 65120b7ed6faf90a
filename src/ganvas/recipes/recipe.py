"""A recipe: everything that determines what a run computes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.compute.device import Compute
from ganvas.core import seeds
from ganvas.core.errors import UserError, nearest
from ganvas.core.images import ImageSpec
from ganvas.core.settings import LARGEST_INT, parse, to_toml
from ganvas.data import DataSettings
from ganvas.methods import METHODS, Method
from ganvas.methods.settings import MethodSettings
from ganvas.networks import NETWORKS, Networks
from ganvas.recipes.library import FREE_TO_CHANGE, SECTIONS, length
from ganvas.recipes.train_settings import TrainSettings


@dataclass(frozen=True)
class Recipe:
    name: str
    description: str
    data: DataSettings
    network: Networks
    method: MethodSettings
    train: TrainSettings

    def build(self, spec: ImageSpec, compute: Compute, training: bool = True) -> Method:
        """The method with newly initialised networks for images of `spec`; for sampling, `training` may be false."""
        seed = seeds.TRAINING[self.train.seed]
        return _method_class(self.method.name)(self.method, self.network, spec, compute, seed, training)

    def total_images(self, data_size: int) -> int:
        """Length of the run in images seen; raises UserError for more epochs than can be counted in images."""
        total = length(self.train.images, self.train.epochs, data_size)
        if total > LARGEST_INT:
            raise UserError(f"{self.train.epochs:g} epochs of {data_size:,} images are too many: lower train.epochs")
        return total

    def folder(self, parent: str) -> Path:
        """Where its runs or sweeps go if nobody says; raises UserError for a name that is none of a folder."""
        if self.name in ("", ".", "..") or not self.name.isprintable() or set(self.name) & set('/\\:*?"<>|'):
            raise UserError(f"the recipe's name '{self.name}' cannot be the name of a folder: give --out")
        return Path(parent) / self.name

    def as_dict(self) -> dict[str, Any]:
        """The values by section, as in the TOML file."""
        sections = {section: getattr(self, section).model_dump(mode="json") for section in SECTIONS}
        return {"name": self.name, "description": self.description, **sections}

    def to_toml(self) -> str:
        return to_toml(self.as_dict())

    def identity(self) -> dict[str, Any]:
        """The settings that determine the weights, as `section.key` -> value. A run can only be resumed with the same.

        They exclude the location of the data (its pixels are compared instead), the length of the run and the intervals
        of its output, unless the schedule depends on these.
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
        """The names and non-default values of `identity`, which do not change when a later version adds a setting."""
        defaults = {f"{s}.{key}": f.default for s in SECTIONS for key, f in type(getattr(self, s)).model_fields.items()}
        return {k: v for k, v in self.identity().items() if k.endswith(".name") or v != defaults[k]}


def from_dict(values: Mapping[str, Any]) -> Recipe:
    """A recipe from the sections of a TOML file; raises UserError for unknown names and bad values."""
    values = without_aliases(values)
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
    values = {key: value for key, value in recipe.method.model_dump().items() if key not in recipe.method.build_time()}
    numbers = [key for key, value in values.items() if isinstance(value, int | float) and not isinstance(value, bool)]
    for field, rule in recipe.train.schedule.items():
        if field in values and values[field] is None:
            raise UserError(f"setting 'train.schedule' cannot change '{field}', which has no value: set method.{field}")
        if field not in numbers:
            raise UserError(
                f"setting 'train.schedule' cannot change '{field}' of method '{recipe.method.name}': "
                f"{nearest(field, numbers)}"
            )
        if other := recipe.method.overridden_by().get(field):
            raise UserError(f"setting 'train.schedule' cannot change '{field}': method.{other} takes its place")
        value = values[field] * rule.extreme()
        value = max(min(1, values[field]), round(value)) if isinstance(values[field], int) else value
        try:
            parse(type(recipe.method), {**section["method"], field: value}, "method")
        except UserError as error:
            nearer = f"raise train.schedule.{field}.least" if rule.on != "images" else "choose another factor"
            raise UserError(f"setting 'train.schedule.{field}' goes too far ({error}): {nearer}") from None
    return recipe


def without_aliases(values: Mapping[str, Any]) -> dict[str, Any]:
    """The sections with aliases of the method's settings replaced by their names."""
    section = values.get("method")
    aliases = {alias: name for method in METHODS.values() for alias, name in method.Settings.aliases().items()}
    if not isinstance(section, Mapping) or not aliases.keys() & section.keys():
        return dict(values)
    for alias in aliases.keys() & section.keys():
        if aliases[alias] in section:
            raise UserError(f"'method.{alias}' is another name of 'method.{aliases[alias]}': give one of them")
    return {**values, "method": {aliases.get(key, key): value for key, value in section.items()}}


def _method_class(name: Any) -> type[Method]:
    if not isinstance(name, str) or name not in METHODS:
        raise UserError(f"unknown method '{name}': {nearest(str(name), METHODS)}")
    return METHODS[name]


def _networks_class(name: Any) -> type[Networks]:
    if not isinstance(name, str) or name not in NETWORKS:
        raise UserError(f"unknown network '{name}': {nearest(str(name), NETWORKS)}")
    return NETWORKS[name]
