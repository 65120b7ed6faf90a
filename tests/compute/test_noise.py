import torch

from ganvas.compute.cuda_graphs import Replay
from ganvas.compute.noise import Noise


def test_a_seed_is_one_sequence() -> None:
    noise, plain = Noise(3, torch.device("cpu"), Replay(torch.device("cpu"))), torch.Generator().manual_seed(3)
    assert torch.equal(noise.normal(4, 5), torch.randn(4, 5, generator=plain))
    assert torch.equal(noise.uniform(7), torch.rand(7, generator=plain))
    assert torch.equal(noise.integers(9, 20), torch.randint(9, (20,), generator=plain))
    assert torch.equal(noise.permutation(11), torch.randperm(11, generator=plain))


def test_it_continues_from_its_state() -> None:
    noise, other = Noise(0), Noise(1)
    noise.normal(3)
    other.set_state(noise.get_state())
    assert torch.equal(other.uniform(5), noise.uniform(5))
