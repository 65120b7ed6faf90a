import pytest

from ganvas.core.text import duration, plain_cell, printable


def test_what_strangers_write_stays_on_its_line() -> None:
    assert printable("ein Name [/] ✓") == "ein Name [/] ✓"
    assert printable("a\x1b[31m\nb\udcff\u202e") == r"a\x1b[31m\nb\udcff\u202e"


def test_cells_are_no_formulas() -> None:
    assert [plain_cell(text) for text in ("=1+1", "-x", "a=b")] == ["'=1+1", "'-x", "a=b"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (100_000, "27.8 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
