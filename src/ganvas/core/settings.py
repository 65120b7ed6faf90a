"""Settings: declared once as typed, documented fields; read from TOML and `key=value` arguments, written as TOML."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from ganvas.core.errors import UserError, nearest

LARGEST_INT, LARGEST_FLOAT = 2**53, 1e30  # exact in JSON and in float64; far from the end of float32
TOO_LARGE = f"input should not exceed ±{LARGEST_INT:,}"


class Settings(BaseModel):
    """A frozen group of named, validated fields. The docstring below a field is its help text, with its unit.

    A field whose default is None accepts "none", as TOML and the command line cannot express None.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_value(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):  # pydantic reports the error
            return values
        optional = {name for name, field in cls.model_fields.items() if field.default is None}
        return {key: value for key, value in values.items() if value != "none" or key not in optional}

    @field_validator("*")
    @classmethod
    def _is_a_usable_number(cls, value: Any) -> Any:
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and abs(number) > LARGEST_INT:
                raise ValueError(TOO_LARGE)
            if isinstance(number, float) and abs(number) > LARGEST_FLOAT:
                raise ValueError(f"input should not exceed ±{LARGEST_FLOAT:g}")
        return value


FRESH_WITH_NAME = ("network", "method")
SHOWN = 200  # characters of a value in a message

S = TypeVar("S", bound=Settings)


def parse(cls: type[S], values: Mapping[str, Any], where: str) -> S:
    """Validate `values` as a `cls`. `where` names the section in messages: `method`, `train`, ...

    Raises UserError with one line that names the field, its value and what it accepts (or the most similar name).
    """
    try:
        return cls.model_validate(dict(values))
    except ValidationError as error:
        errors = error.errors()
        first, place = errors[0], _place(errors[0]["loc"])
        key = ".".join(place)
        name = f"{where}.{key}" if key else where
        if first["type"] == "extra_forbidden":
            raise UserError(f"unknown setting '{name}': {nearest(str(first['loc'][-1]), cls.model_fields)}") from None
        if first["type"] == "missing":
            raise UserError(f"setting '{name}' is missing: {_help_of(cls, key)}") from None
        message = TOO_LARGE if first["type"] == "int_parsing_size" else first["msg"].removeprefix("Value error, ")
        for other in errors[1:]:  # the other types that the setting accepts
            if _place(other["loc"]) == place:
                message += " or " + other["msg"].removeprefix("Input should be ")
        raise UserError(f"setting '{name}' is {_shown(first['input'])}: {message[0].lower()}{message[1:]}") from None


def _shown(value: Any) -> str:
    """A value in a message, without the middle of a very long one."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 30]}...{text[-20:]}"


def _place(loc: tuple[int | str, ...]) -> list[str]:
    """The keys that lead to a value, without the names that pydantic gives to the members of a union."""
    return [str(part) for part in loc if re.fullmatch(r"\w+", str(part))]


def _help_of(cls: type[Settings], key: str) -> str:
    field = cls.model_fields.get(key)
    return (field.description or "it has no default") if field else "it has no default"


def parse_assignments(words: Iterable[str]) -> dict[str, Any]:
    """Parse `["method.lr=1e-3", "data.size=32"]` into a nested mapping; values are TOML, or else plain text.

    Raises UserError for an argument without `=` or with an empty key.
    """
    nested: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise UserError(f"cannot read '{word}': write it as section.key=value, for example method.lr=1e-4")
        node = nested
        for part in parts[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise UserError(f"cannot read '{word}': '{part}' was already given a value")
        node[parts[-1]] = _value(text.strip())
    return nested


def typed(value: Any) -> str:
    """A value as it is typed after `section.key=`."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # not TOML, or a number of thousands of digits
        return text


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` updated with the values of `over`, section by section.

    A network or method with another `name` replaces the whole section: the settings of a DCGAN mean nothing to an MLP.
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if not (isinstance(value, Mapping) and isinstance(old, Mapping)):
            merged[key] = value
        elif "name" in value and "name" in old and value["name"] != old["name"] and key in FRESH_WITH_NAME:
            merged[key] = dict(value)
        else:
            merged[key] = merge(old, value)
    return merged


def to_toml(values: Mapping[str, Any]) -> str:
    """Nested mappings of plain values as TOML; None is left out."""
    return tomli_w.dumps(_without_none(values))


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }
