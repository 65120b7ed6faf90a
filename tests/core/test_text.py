from ganvas.core.text import plain_cell, printable


def test_what_strangers_write_stays_on_its_line() -> None:
    assert printable("ein Name [/] ✓") == "ein Name [/] ✓"
    assert printable("a\x1b[31m\nb\udcff\u202e") == r"a\x1b[31m\nb\udcff\u202e"


def test_cells_are_no_formulas() -> None:
    assert [plain_cell(text) for text in ("=1+1", "-x", "a=b")] == ["'=1+1", "'-x", "a=b"]
