import pytest

from ganvas.core import memory
from ganvas.core.errors import UserError


def test_machines_that_do_not_say_how_much_memory_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.physical_memory() > 10**8
    monkeypatch.delattr(memory.os, "sysconf")
    assert memory.physical_memory() == float("inf")


def test_what_is_larger_than_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "physical_memory", lambda: 1000.0)
    memory.refuse_more(1000, "samples take", "draw fewer")
    with pytest.raises(UserError, match=r"samples take 2 kB, more than this machine has \(1 kB\): draw fewer"):
        memory.refuse_more(2000, "samples take", "draw fewer")
