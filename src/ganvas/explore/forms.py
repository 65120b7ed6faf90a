"""The settings of a recipe as a form: one field for each setting, with its help, its limits and its value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import tomli_w
from pydantic import Field

from ganvas.core.settings import Settings, parse_assignments
from ganvas.explore.messages import Message
from ganvas.recipes import library

if TYPE_CHECKING:
    from ganvas.recipes.recipe import Recipe

MAIN = (  # shown first, in this order
    *("data.name", "train.epochs", "train.images", "train.seed", "data.size", "train.batch_size"),
    *("method.lr", "method.g_lr", "method.d_lr", "method.vae_lr"),
    *("network.base", "network.width", "network.blocks", "network.layers", "network.hidden"),
)
TITLES = {"data": "Data", "network": "Network", "method": "Method", "train": "Training"}
PLAIN = {"integer": "integer", "number": "number", "boolean": "boolean", "string": "text"}


def form(recipe: Recipe) -> dict[str, Any]:
    """The sections of a recipe, each with its fields in the order in which they are declared."""
    from ganvas.methods import METHODS  # they need PyTorch, which only the form does
    from ganvas.networks import NETWORKS

    names = {"network": list(NETWORKS), "method": list(METHODS)}
    values = recipe.as_dict()
    sections = []
    for section, title in TITLES.items():
        fields = _fields(section, type(getattr(recipe, section)), values[section])
        for field in fields:
            if field["key"] == f"{section}.name" and section in names:
                field |= {"kind": "choice", "choices": names[section], "help": f"the kind of {section}"}
        sections.append({"title": title, "fields": fields})
    return {"recipe": recipe.name, "description": recipe.description, "sections": sections}


def _fields(section: str, cls: type[Settings], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    schema = cls.model_json_schema()["properties"]
    return [
        {
            "key": (key := f"{section}.{name}"),
            "help": " ".join((cls.model_fields[name].description or "").split()),
            "value": values[name] if _is_plain(values[name]) else _as_text(values[name]),
            "main": MAIN.index(key) if key in MAIN else None,
            **_input(described),
        }
        for name, described in schema.items()
    ]


def _input(schema: Mapping[str, Any]) -> dict[str, Any]:
    """How a setting is typed in: kind, limits, choices, and whether it may have no value."""
    branches = schema.get("anyOf", [schema])
    optional = any(branch.get("type") == "null" for branch in branches)
    branch, *others = (branch for branch in branches if branch.get("type") != "null")
    if others:  # of two types, such as 64 or 192x128: typed in as text
        return {"kind": "text", "optional": optional}
    choices = branch.get("enum")
    kind = "choice" if choices else PLAIN.get(branch.get("type", ""), "toml")
    limits = {"min": branch.get("minimum"), "max": branch.get("maximum")}
    if branch.get("exclusiveMinimum") is not None and kind == "integer":
        limits["min"] = branch["exclusiveMinimum"] + 1
    given = {name: value for name, value in {**limits, "choices": choices}.items() if value is not None}
    return {"kind": kind, "optional": optional, **given}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _as_text(value: Any) -> str:
    """A list or table as TOML on one line."""
    if isinstance(value, Mapping):
        parts = (f"{key} = {_as_text(part)}" for key, part in value.items() if part is not None)
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_as_text, value)) + "]"
    return tomli_w.dumps({"value": value}).removeprefix("value = ").strip()


class Toml(Message):
    """A list or table as it was typed in."""

    toml: Annotated[str, Field(max_length=10_000)]


Key = Annotated[str, Field(pattern=r"^(data|network|method|train)(\.[a-z0-9_]{1,40}){1,4}$")]
Changes = Annotated[
    dict[Key, bool | int | float | Annotated[str, Field(max_length=1_000)] | Toml | None], Field(max_length=200)
]


def assignments(changes: Changes) -> list[str]:
    """Changes of a recipe as they are given to --set."""
    return [f"{key}={_word(value)}" for key, value in changes.items()]


def _word(value: Any) -> str:
    if isinstance(value, Toml):
        return value.toml
    return "none" if value is None else _as_text(value)


def changed(name: str, words: list[str]) -> Recipe:
    """The recipe `name`, or of a file, with changes; raises UserError exactly when `ganvas train` would."""
    return library.load(name, parse_assignments(words))
