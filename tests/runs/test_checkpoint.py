from pathlib import Path

import pytest
import torch

from ganvas.runs import checkpoint
from ganvas.runs.checkpoint import Damaged
from ganvas.runs.state import optimizer_groups, optimizer_tensors, restore_optimizer

TENSORS = {
    "a": torch.randn(3, 2).to(memory_format=torch.contiguous_format),
    "image": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
    "half": torch.randn(5).bfloat16(),
    "count": torch.tensor(7),
    "rng": torch.Generator().get_state(),
}


def test_round_trip(tmp_path: Path) -> None:
    digest = checkpoint.save(tmp_path, 60, TENSORS, {"nimg": 60, "x": [1, "é"]}, score=0.5)
    read = checkpoint.load(tmp_path, 60)
    assert read.values == {"nimg": 60, "x": [1, "é"]}
    assert read.sha256 == digest
    assert all(torch.equal(read.tensors[key], TENSORS[key]) for key in TENSORS)
    assert checkpoint.note(tmp_path, 60).score == 0.5
    assert checkpoint.available(tmp_path) == [60]


@pytest.mark.parametrize("name", ["000000060.safetensors", "000000060.json"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "deleted"])
def test_every_damage_is_seen(tmp_path: Path, name: str, damage: str) -> None:
    checkpoint.save(tmp_path, 60, TENSORS, {})
    file = tmp_path / name
    data = bytearray(file.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[data.index(b"sha256") + 12 if name.endswith("json") else -1] ^= 1
    file.unlink() if damage == "deleted" else file.write_bytes(b"" if damage == "emptied" else data)
    unreadable = damage == "deleted" or (name.endswith("json") and damage != "flipped")
    said = f"{name} cannot be read" if unreadable else r"000000060\.safetensors is truncated or altered"
    with pytest.raises(Damaged, match=said):
        checkpoint.load(tmp_path, 60)


def test_remove(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, TENSORS, {})
    checkpoint.save(tmp_path, 2, TENSORS, {})
    checkpoint.remove(tmp_path, 1)
    assert checkpoint.available(tmp_path) == [2]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.RMSprop, torch.optim.SGD])
def test_a_restored_optimizer_goes_on_as_if_never_saved(tmp_path: Path, make: type[torch.optim.Optimizer]) -> None:
    def net() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)

    def train(module: torch.nn.Module, optimizer: torch.optim.Optimizer, seeds: range) -> None:
        for seed in seeds:
            x = torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(seed))
            optimizer.zero_grad()
            module(x).square().sum().backward()
            optimizer.step()

    straight = net()
    train(straight, make(straight.parameters(), lr=0.01), range(6))

    first = net()
    optimizer = make(first.parameters(), lr=0.01)
    train(first, optimizer, range(3))
    tensors = {**first.state_dict(), **{f"o/{k}": v for k, v in optimizer_tensors(optimizer).items()}}
    checkpoint.save(tmp_path, 3, tensors, {"groups": optimizer_groups(optimizer)})

    read = checkpoint.load(tmp_path, 3)
    second = net()
    second.load_state_dict({k: v for k, v in read.tensors.items() if not k.startswith("o/")})
    resumed = make(second.parameters(), lr=9.0)
    state = {k.removeprefix("o/"): v for k, v in read.tensors.items() if k.startswith("o/")}
    restore_optimizer(resumed, state, read.values["groups"])
    train(second, resumed, range(3, 6))
    assert torch.equal(straight.weight, second.weight)
