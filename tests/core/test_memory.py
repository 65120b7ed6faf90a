import pytest
from torch import nn

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


def test_networks_are_measured_with_what_training_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "physical_memory", lambda: 110.0 * 16)
    memory.refuse_large_networks(lambda: [nn.Linear(10, 9), nn.Linear(10, 1)], "fewer")  # 99 and 11 weights
    with pytest.raises(UserError, match=r"these networks, .*, take 1\.78 kB, more than .*: fewer"):
        memory.refuse_large_networks(lambda: [nn.Linear(10, 9), nn.Linear(11, 1)], "fewer")


@pytest.mark.parametrize("units", [2**40, 2**53, 2**63])
def test_networks_with_more_weights_than_64_bits_count_are_refused(units: int) -> None:
    with pytest.raises(UserError, match="take over 1,000,000 TB"):
        memory.refuse_large_networks(lambda: [nn.Linear(units, units)], "fewer")


def test_other_errors_of_networks_are_not_hidden() -> None:
    with pytest.raises(TypeError, match="stranger"):
        memory.refuse_large_networks(lambda: [nn.Linear(3, 4, stranger=5)], "fewer")
