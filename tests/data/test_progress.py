import pytest

from ganvas.data import progress as module
from ganvas.data.progress import progress


def test_without_a_terminal_long_work_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_said", set())
    for seconds in (60.0, 0.0, 0.0):
        monkeypatch.setattr(module, "LINE_SECONDS", seconds)
        with progress("measuring", 4) as advance:
            for _ in range(4):
                advance(1)
    assert capsys.readouterr().err == "measuring ..., 25% so far\n"
    with progress("counting", None) as advance:
        advance(1)
    assert capsys.readouterr().err == "counting ...\n"
