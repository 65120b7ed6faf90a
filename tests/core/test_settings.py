import tomllib
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import PositiveFloat

from ganvas.core.errors import UserError
from ganvas.core.settings import Settings, merge, parse, parse_assignments, to_toml


class Oven(Settings):
    heat: PositiveFloat = 180.0
    """degrees Celsius"""
    mode: Literal["fan", "grill"] = "fan"
    """how the heat moves"""
    racks: tuple[int, ...] = (1, 2)
    """racks in use"""
    minutes: int | None = None
    """until it rings"""


class Kitchen(Settings):
    oven: Oven


def test_help_comes_from_the_docstring_of_a_field() -> None:
    assert Oven.model_fields["heat"].description == "degrees Celsius"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"heet": 1}, "unknown setting 'oven.heet': did you mean 'heat'?"),
        ({"xyz": 1}, "unknown setting 'oven.xyz': choose one of: heat, minutes, mode, racks"),
        ({"heat": -1}, "setting 'oven.heat' is -1: input should be greater than 0"),
        ({"heat": "warm"}, "setting 'oven.heat' is 'warm': input should be a valid number"),
        ({"heat": float("nan")}, "setting 'oven.heat' is nan"),
        ({"mode": "gril"}, "setting 'oven.mode' is 'gril': input should be 'fan' or 'grill'"),
        ({"racks": ["a"]}, "setting 'oven.racks.0' is 'a'"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_field(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(Oven, values, "oven")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "shown", "most"),
    [
        ({"minutes": 2**53 + 1}, "9007199254740993", "9,007,199,254,740,992"),
        ({"minutes": -(10**22)}, f"-1{'0' * 22}", "9,007,199,254,740,992"),
        ({"minutes": 1e23}, "1e+23", "9,007,199,254,740,992"),
        ({"minutes": "9" * 5000}, f"'{'9' * 169}...{'9' * 19}'", "9,007,199,254,740,992"),
        ({"racks": (1, 2**60)}, "(1, 1152921504606846976)", "9,007,199,254,740,992"),
        ({"heat": 1e31}, "1e+31", "1e+30"),
    ],
)
def test_numbers_that_nothing_could_use_are_refused(values: dict[str, object], shown: str, most: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(Oven, values, "oven")
    assert str(caught.value) == f"setting 'oven.{next(iter(values))}' is {shown}: input should not exceed ±{most}"


def test_large_numbers_that_can_be_used_are_accepted() -> None:
    assert parse(Oven, {"minutes": 2**53, "heat": 1e30, "racks": [-(2**53)]}, "oven").minutes == 2**53


def test_a_field_that_may_be_without_a_value_takes_none() -> None:
    assert parse(Oven, {"minutes": "none"}, "oven").minutes is None
    assert parse(Oven, merge({"minutes": 5}, {"minutes": "none"}), "oven") == Oven()
    with pytest.raises(UserError, match=r"'oven\.heat' is 'none'"):
        parse(Oven, {"heat": "none"}, "oven")


def test_a_value_in_the_place_of_a_group_is_named() -> None:
    with pytest.raises(UserError, match=r"'kitchen\.oven' is 5"):
        parse(Kitchen, {"oven": 5}, "kitchen")


def test_assignments_are_toml_values_or_plain_text() -> None:
    words = ["oven.heat=1e2", "oven.mode=grill", "oven.racks=[1, 3]", "a.b.c=true", 'a.d="x y"']
    assert parse_assignments(words) == {
        "oven": {"heat": 100.0, "mode": "grill", "racks": [1, 3]},
        "a": {"b": {"c": True}, "d": "x y"},
    }


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 5000, "1979-99-99"])
def test_what_toml_cannot_read_is_text(text: str) -> None:
    assert parse_assignments([f"a.b={text}"]) == {"a": {"b": text}}


@pytest.mark.parametrize("word", ["heat", "=1", "a..b=1", ".a=1"])
def test_a_malformed_assignment_says_how_to_write_it(word: str) -> None:
    with pytest.raises(UserError, match=r"section\.key=value"):
        parse_assignments([word])


def test_a_network_of_another_name_starts_afresh() -> None:
    base = {"network": {"name": "dcgan", "base": 8}, "data": {"name": "a", "size": 8}}
    assert merge(base, {"network": {"name": "mlp"}, "data": {"name": "b"}}) == {
        "network": {"name": "mlp"},
        "data": {"name": "b", "size": 8},
    }
    assert merge(base, {"network": {"name": "dcgan", "kernel": 4}})["network"] == {**base["network"], "kernel": 4}


def test_merge_goes_section_by_section() -> None:
    assert merge({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 5}, "c": 4}) == {"a": {"x": 1, "y": 5}, "b": 3, "c": 4}


plain = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(st.integers(-9, 9), max_size=3),
)
keys = st.from_regex(r"[a-z_]{1,6}", fullmatch=True)


@given(st.dictionaries(keys, st.one_of(plain, st.dictionaries(keys, plain, max_size=3)), max_size=4))
def test_toml_round_trip(values: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(values)) == values


def test_toml_leaves_out_none() -> None:
    assert to_toml({"a": None, "b": {"c": None, "d": 1}}) == "[b]\nd = 1\n"
