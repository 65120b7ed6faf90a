from collections.abc import Callable

import pytest

from ganvas.cli.values import read_center, read_numbers, read_size
from ganvas.core.errors import UserError


def test_values_are_read() -> None:
    assert read_size("1080") == (1080, 1080)
    assert read_size("1920x1080") == (1080, 1920)
    assert read_numbers("3", "seeds") == [3]
    assert read_numbers("0-3,9", "seeds") == [0, 1, 2, 3, 9]
    assert read_center("-1.5,2e-3") == (-1.5, 0.002)


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_size, "10x", "write 1080, or 1920x1080"),
        (read_size, "9" * 5000, "write 1080, or 1920x1080"),
        (read_center, "1", "write x,y"),
        (read_center, "nan,0", "finite"),
    ],
)
def test_values_that_cannot_be_read_are_refused(
    read: Callable[[str], tuple[float, float]], text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5-3", "the seeds '5-3': write them as 0-15"),
        ("a", "write them as 0-15"),
        ("9" * 5000, "write them as 0-15"),
        ("99999999999999999999", "too large or too many"),
        ("0-99999999", "too large or too many"),
    ],
)
def test_numbers_that_cannot_be_read_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_numbers(text, "seeds")
