import math

import pytest

from ganvas.core import progress


def test_without_a_terminal_long_work_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_said", set())
    for seconds in (math.inf, 0.0, 0.0):
        monkeypatch.setattr(progress, "LINE_SECONDS", seconds)
        with progress.progress("measuring", 4) as advance:
            for _ in range(4):
                advance(1)
    assert capsys.readouterr().err == "measuring ..., 25% so far\n"
    with progress.progress("counting", None) as advance:
        advance(1)
    assert capsys.readouterr().err == "counting ...\n"
