"""Documents: JSON that ganvas writes and reads again, each kind a versioned, typed model.

A kind is a subclass of `Document` with the fields that its file holds. A file that is damaged, or that something else
or a later ganvas wrote, is refused in one line.
"""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ganvas.core.errors import UserError


class Document(BaseModel):
    """What a file holds. `KIND` names it in messages; `VERSION` rises when older programs could no longer read it."""

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="constants")

    version: int = 1
    """of this kind of document"""

    @classmethod
    def from_json(cls, text: str | bytes, where: object) -> Self:
        """The document in `text`; `where` is what a message calls its place. Raises UserError in one line."""
        try:
            found = cls.model_validate_json(text)
        except ValidationError as error:
            raise UserError(f"'{where}' is not {cls.KIND}: {_first(error)}") from None
        return found._checked(where)

    @classmethod
    def from_values(cls, values: Any, where: object) -> Self:
        """The same from values that are parsed already."""
        try:
            found = cls.model_validate(values)
        except ValidationError as error:
            raise UserError(f"'{where}' is not {cls.KIND}: {_first(error)}") from None
        return found._checked(where)

    def to_json(self, indent: int | None = None) -> str:
        """The text of the file, without fields that have no value."""
        return self.model_dump_json(indent=indent, exclude_none=True)

    def _checked(self, where: object) -> Self:
        if self.version > self.VERSION:
            raise UserError(f"'{where}' was written by a later ganvas: install that one to read it")
        return self


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, in a few words."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
