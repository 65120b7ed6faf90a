import copy

import pytest
import torch
from torch import Tensor, nn

from ganvas.compute.device import choose
from ganvas.compute.precision import in_format

BF16, FP32 = choose("cpu", "bf16"), choose("cpu", "fp32")


class Pair(nn.Linear):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return super().forward(x), x


def test_it_computes_in_the_format_of_the_run_and_returns_float32() -> None:
    plain = nn.Linear(64, 64)
    fast, x = in_format(copy.deepcopy(plain), BF16), torch.randn(8, 64)
    assert fast(x).dtype == torch.float32
    assert torch.equal(fast(x), fast(x).bfloat16().float())  # it was rounded
    assert not torch.equal(fast(x), plain(x))
    assert torch.equal(fast(x, exact=True), plain(x))
    assert torch.equal(in_format(copy.deepcopy(plain), FP32)(x), plain(x))


def test_it_is_the_network_that_it_was() -> None:
    plain = nn.Linear(4, 4)
    weight = plain.weight
    placed = in_format(plain, BF16)
    assert placed is plain and isinstance(placed, nn.Linear) and placed.weight is weight
    assert list(placed.state_dict()) == ["weight", "bias"]
    assert in_format(placed, FP32)(torch.randn(2, 4)).dtype == torch.float32  # placed again
    again = copy.deepcopy(in_format(placed, BF16))
    x = torch.randn(2, 4)
    assert torch.equal(again(x), placed(x)) and not torch.equal(again(x), again(x, exact=True))


def test_every_output_is_float32_and_wider_numbers_stay() -> None:
    outputs = in_format(Pair(8, 8), BF16)(torch.randn(2, 8))
    assert [output.dtype for output in outputs] == [torch.float32] * 2
    assert in_format(nn.Linear(2, 2).double(), FP32)(torch.ones(1, 2).double()).dtype == torch.float64


def test_gradients_reach_the_weights() -> None:
    placed = in_format(nn.Linear(8, 1), BF16)
    placed(torch.ones(3, 8)).sum().backward()
    assert placed.weight.grad is not None
    assert placed.weight.grad.tolist() == [[pytest.approx(3.0)] * 8]
