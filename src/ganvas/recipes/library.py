"""The built-in recipes, one TOML file each, and recipes from the user's files."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.core import files
from ganvas.core.errors import UserError, nearest

if TYPE_CHECKING:
    from ganvas.recipes.recipe import Recipe

SECTIONS = ("data", "network", "method", "train")
FREE_TO_CHANGE = (  # settings of `train` that may differ when a run is resumed
    *("epochs", "images", "log_every", "sample_every", "checkpoint_every", "keep"),
    *("eval_every", "eval_samples", "best"),
    *("guard", "rollbacks", "guard_factor"),
    "disk_budget",
)


def names() -> list[str]:
    """The names of the built-in recipes."""
    files = resources.files("ganvas.recipes").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def descriptions() -> dict[str, str]:
    """The descriptions of the built-in recipes, by name."""
    folder = resources.files("ganvas.recipes")
    return {name: read_toml(folder / f"{name}.toml").get("description", "") for name in names()}


def load(name: str, changes: Mapping[str, Any] | None = None) -> "Recipe":
    """A built-in recipe by name, or one from a TOML file by path, updated with `changes`."""
    from ganvas.core.settings import merge
    from ganvas.recipes.recipe import from_dict, without_aliases  # imported here as they need PyTorch; lists do not

    if name in names():
        values, stem = read_toml(resources.files("ganvas.recipes") / f"{name}.toml"), name
    elif name.endswith(".toml"):
        path = files.expanded(name)
        values, stem = read_toml(path), path.stem
    else:
        raise UserError(f"unknown recipe '{name}': {nearest(name, names())} (or the path of a .toml file)")
    return from_dict(merge(without_aliases({"name": stem, **values}), as_meant(changes or {})))


def length(images: int | None, epochs: float, data_size: int) -> int:
    """Length of a run in images seen, from the two settings of its length."""
    return images or max(1, round(epochs * data_size))


def as_meant(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of a recipe with aliases resolved; a length in epochs replaces the recipe's length in images."""
    from ganvas.recipes.recipe import without_aliases

    meant = without_aliases(changes)
    train = meant.get("train")
    if isinstance(train, Mapping) and "epochs" in train and "images" not in train:
        meant["train"] = {**train, "images": None}
    return meant


def read_toml(path: Path | Traversable) -> dict[str, Any]:
    """The values of a TOML file; raises UserError if it is missing or is not TOML."""
    try:
        if isinstance(path, Path):
            files.refuse_pipes(path)
        return _without_removed(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"cannot read the recipe '{path}': {error.strerror}") from None
    except ValueError as error:  # of TOML, of its letters, of a number with thousands of digits
        raise UserError(f"cannot read the recipe '{path}': {error}") from None
    except RecursionError:
        raise UserError(f"cannot read the recipe '{path}': it is nested too deeply") from None


def _without_removed(values: dict[str, Any]) -> dict[str, Any]:
    """Drop settings of version 0.1 that no longer exist, if they had no effect; else they are refused as unknown."""
    method = values.get("method")
    if not isinstance(method, dict) or method.get("lecam") != 0 or method.get("g_steps") == "balance":
        return values
    return {**values, "method": {key: v for key, v in method.items() if key not in ("lecam", "most_g_steps")}}
