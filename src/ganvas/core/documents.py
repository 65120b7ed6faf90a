"""Documents: JSON files that ganvas writes and reads back. Each kind is a versioned, typed model.

A kind is a subclass of `Document` with the fields of its file. A file that is damaged, or that another program or a
later version of ganvas wrote, is refused with one line.
"""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ganvas.core.errors import UserError
from ganvas.core.text import printable


class Document(BaseModel):
    """The content of a file. `KIND` names it in messages; `VERSION` goes up when older programs cannot read it."""

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="constants")

    version: int = 1
    """the version of this kind of document"""

    @classmethod
    def from_json(cls, text: str | bytes, where: object) -> Self:
        """Parse `text`; messages call its origin `where`. Raises UserError with one line."""
        try:
            found = cls.model_validate_json(text)
        except ValidationError as error:
            raise UserError(f"'{where}' is not {cls.KIND}: {_first(error)}") from None
        return found._checked(where)

    @classmethod
    def from_values(cls, values: Any, where: object) -> Self:
        """The same for values that are already parsed."""
        try:
            found = cls.model_validate(values)
        except ValidationError as error:
            raise UserError(f"'{where}' is not {cls.KIND}: {_first(error)}") from None
        return found._checked(where)

    def to_json(self, indent: int | None = None) -> str:
        """The text of the file; fields without a value are left out."""
        return self.model_dump_json(indent=indent, exclude_none=True)

    def _checked(self, where: object) -> Self:
        if self.version > self.VERSION:
            raise UserError(f"'{where}' was written by a later version of ganvas: install that version to read it")
        return self


def _first(error: ValidationError) -> str:
    """The first error: the field and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return printable(f"{place}: {first['msg']}" if place else first["msg"])  # keys of foreign files are any text
