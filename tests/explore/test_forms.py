"""The settings of a recipe as a form."""

from typing import Any

import pytest

from ganvas.core.errors import UserError
from ganvas.core.settings import parse
from ganvas.explore.forms import assignments, changed, form
from ganvas.explore.runs import Changed
from ganvas.recipes import library


def fields(recipe: str, *words: str) -> dict[str, dict[str, Any]]:
    sections = form(changed(recipe, list(words)))["sections"]
    return {field["key"]: field for section in sections for field in section["fields"]}


def words_of(changes: dict[str, Any]) -> list[str]:
    """What reaches --set of changes that a page sends."""
    return assignments(parse(Changed, {"recipe": "strokes-cdcgan", "changes": changes}, "request").changes)


@pytest.mark.parametrize("name", library.names())
def test_a_form_sent_back_whole_changes_nothing(name: str) -> None:
    recipe = library.load(name)
    values = {
        key: {"toml": field["value"]} if field["kind"] == "toml" and field["value"] is not None else field["value"]
        for key, field in fields(name).items()
    }
    values |= {"train.epochs": recipe.train.epochs} if recipe.train.images is None else {}
    assert changed(name, words_of(values)) == recipe


def test_each_kind_of_setting_has_its_input() -> None:
    found = fields("strokes-cdcgan")
    kinds = {key: found[key]["kind"] for key in ("data.name", "data.size", "data.flips", "data.fit", "train.schedule")}
    assert kinds == {
        "data.name": "text",
        "data.size": "text",
        "data.flips": "boolean",
        "data.fit": "choice",
        "train.schedule": "toml",
    }
    assert found["data.fit"]["choices"] == ["crop", "letterbox", "pad"]
    assert found["data.channels"]["choices"] == [1, 3, 4] and found["data.channels"]["optional"]
    assert found["data.size"]["optional"] and found["data.limit"]["kind"] == "integer"
    assert found["data.limit"]["min"] == 1 and found["data.limit"]["optional"]
    assert found["train.batch_size"]["value"] == 64
    assert found["method.lr"]["help"].startswith("learning rate of G")
    assert all(field["help"] for field in found.values())


def test_another_network_brings_its_own_settings() -> None:
    found = fields("strokes-cdcgan", "network.name=cppn")
    assert found["network.name"]["value"] == "cppn"
    assert "network.blocks" in found and "network.kernel" not in found
    assert "dcgan" in found["network.name"]["choices"]


def test_the_main_settings_begin_with_images_and_length() -> None:
    main = [field for field in fields("strokes-cdcgan").values() if field["main"] is not None]
    assert [field["key"] for field in sorted(main, key=lambda field: field["main"])][:4] == [
        "data.name",
        "train.epochs",
        "train.images",
        "train.seed",
    ]


@pytest.mark.parametrize(("typed", "size"), [("48", 48), ("192x128", "192x128"), (None, None)])
def test_a_size_is_typed_in_as_text(typed: str | None, size: int | str | None) -> None:
    assert changed("strokes-cdcgan", words_of({"data.size": typed})).data.size == size


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data.name": "2024"}, ['data.name="2024"']),  # text, not a number
        ({"data.name": 'my "best" photos\n'}, ['data.name="my \\"best\\" photos\\n"']),
        ({"method.lr": 1e-05}, ["method.lr=1e-05"]),
        ({"data.flips": True, "data.size": None}, ["data.flips=true", "data.size=none"]),
        ({"network.hidden": {"toml": "[1, 2]"}}, ["network.hidden=[1, 2]"]),
    ],
)
def test_changes_as_words(changes: dict[str, Any], words: list[str]) -> None:
    assert words_of(changes) == words


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"nothing.lr": 1},
        {"method.lr=1 --out": 1},
        {"method.lr\n": 1},
        {"method.lr": [1]},
        {"method.lr": {"toml": "1", "more": 2}},
        {"data.name": "x" * 1001},
        {f"method.a{i}": 1 for i in range(201)},
    ],
)
def test_other_keys_and_values_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        words_of(changes)


def test_a_bad_value_is_named_as_in_the_command() -> None:
    with pytest.raises(UserError, match=r"setting 'method.lr' is -1"):
        changed("strokes-cdcgan", words_of({"method.lr": -1}))
