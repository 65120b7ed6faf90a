from types import SimpleNamespace
from typing import Any, cast

import pytest

from ganvas.core.errors import UserError
from ganvas.runs.model import Model

NOTHING = cast(Any, SimpleNamespace())


def model(*classes: str) -> Model:
    return Model(NOTHING, NOTHING, 0, classes, "", 0.0)


def test_a_class_is_given_by_its_name_or_number() -> None:
    assert model("cat", "dog").class_index("dog") == model("cat", "dog").class_index(1) == 1
    assert model("0", "1", "2").class_index(2) == 2


def test_where_names_are_numbers_a_number_is_a_name() -> None:
    months = model(*map(str, range(1, 13)))
    assert months.class_index("10") == months.class_index(10) == 9
    for label in ("0", 13):
        with pytest.raises(UserError, match=f"there is no label '{label}'"):
            months.class_index(label)
