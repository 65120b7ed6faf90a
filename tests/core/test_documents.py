from typing import ClassVar

import pytest

from ganvas.core.documents import Document
from ganvas.core.errors import UserError


class Note(Document):
    KIND: ClassVar[str] = "a note"
    VERSION: ClassVar[int] = 2

    version: int = 2
    nimg: int
    said: str | None = None
    varied: dict[str, list[int]] | None = None


def test_a_document_comes_back_as_it_was_written() -> None:
    note = Note(nimg=7)
    assert note.to_json() == '{"version":2,"nimg":7}'
    assert Note.from_json(note.to_json(), "note.json") == note


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "EOF while parsing"),
        ("[1]", "should be an object"),
        ("{}", "nimg: Field required"),
        ('{"nimg": "many"}', "nimg: Input should be a valid integer"),
        ('{"nimg": 1, "varied": {"\\n": 1}}', r"varied.\n: Input should be a valid array"),
        ('{"nimg": ' + "[" * 5000 + "]" * 5000 + "}", "recursion limit"),
        ('{"nimg": ' + "9" * 5000 + "}", "out of range"),
        ('{"nimg": 1, "version": 3}', "written by a later version of ganvas"),
    ],
)
def test_what_is_no_document_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        Note.from_json(text, "runs/a/note.json")
    assert said in str(refused.value) and "runs/a/note.json" in str(refused.value)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 200
