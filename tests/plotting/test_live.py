"""Live curves in a notebook."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ganvas.plotting import live
from ganvas.plotting.live import watch


def records(count: int, closed: list[bool] | None = None) -> Iterator[dict[str, Any]]:
    try:
        for i in range(1, count + 1):
            yield {"nimg": 100 * i, "d_loss": 1.0, "g_loss": 0.5}
    finally:
        if closed is not None:
            closed.append(True)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A stand-in for a kernel; has the images that are shown, one after the other, in one place."""
    from IPython import display

    shown: list[bytes] = []
    handle = SimpleNamespace(update=lambda image: shown.append(image.data))

    def show(image: display.Image, display_id: bool) -> SimpleNamespace:
        assert display_id and not shown, "a second place"
        shown.append(image.data)
        return handle

    monkeypatch.setattr(display, "display", show)
    monkeypatch.setattr(live, "_in_notebook", lambda: True)
    return shown


def test_curves_are_drawn_at_most_every_so_often_and_at_the_end(notebook: list[bytes]) -> None:
    assert len(list(watch(records(5), every=1e9))) == 5
    assert len(notebook) == 2  # the first record, and the end
    assert all(image.startswith(b"\x89PNG") for image in notebook) and notebook[0] != notebook[1]


def test_every_record_can_be_drawn(notebook: list[bytes]) -> None:
    assert len(list(watch(records(3), every=0))) == 3
    assert len(notebook) == 4


def test_outside_of_a_notebook_nothing_is_drawn() -> None:
    assert not live._in_notebook()
    assert [record["nimg"] for record in watch(records(2))] == [100, 200]


def test_closing_it_ends_the_training(notebook: list[bytes]) -> None:
    closed: list[bool] = []
    watched = watch(records(5, closed))
    next(watched)
    watched.close()
    assert closed == [True]
