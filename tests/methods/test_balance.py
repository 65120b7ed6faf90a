import math

import pytest
import torch

from ganvas.methods.balance import Balance, LeCam, r1


def test_g_gets_more_updates_while_its_loss_is_the_larger_one_and_fewer_afterwards() -> None:
    balance = Balance(most=50)
    assert balance.steps == 1
    for _ in range(200):
        balance.see(4.0, 0.1)
    assert balance.steps == 50
    for _ in range(400):
        balance.see(0.1, 4.0)
    assert balance.steps == 1


@pytest.mark.parametrize("needed", [2, 7, 30])
def test_it_settles_where_the_losses_are_level(needed: int) -> None:
    balance, seen = Balance(most=50), []
    for _ in range(600):
        balance.see(needed / balance.steps, 1.0)  # each update lowers G's loss
        seen.append(balance.steps)
    assert sum(seen[-200:]) / 200 == pytest.approx(needed, rel=0.25)


@pytest.mark.parametrize("losses", [(-1.0, 0.5), (0.5, -1.0), (0.0, 1.0), (1.0, 0.0), (math.nan, 1.0), (math.inf, 1.0)])
def test_losses_without_a_ratio_are_passed_over(losses: tuple[float, float]) -> None:
    balance = Balance(most=50)
    balance.see(2.0, 1.0)
    before = balance.ratio, balance.log_steps
    balance.see(*losses)
    assert (balance.ratio, balance.log_steps) == before


def test_lecam_holds_answers_near_the_means_of_the_other_kind() -> None:
    held = LeCam(keep=0.5)
    held(torch.tensor([1.0, 3.0]), torch.tensor([-2.0, -2.0]))
    assert (held.real, held.fake) == (1.0, -1.0)
    d_real, d_fake = torch.tensor([1.0, -5.0], requires_grad=True), torch.tensor([0.0, 4.0])
    penalty = held(d_real, d_fake)
    assert penalty.item() == pytest.approx(((1 + 1) ** 2 + 0) / 2 + ((1 - 0) ** 2 + 0) / 2)
    penalty.backward()
    assert d_real.grad is not None and d_real.grad.tolist() == [2.0, 0.0]


def test_r1_is_the_squared_gradient() -> None:
    images = torch.randn(5, 2, 3, 3, requires_grad=True)
    weights = torch.randn(2, 3, 3)
    penalty = r1((images * weights).sum((1, 2, 3)), images)
    assert penalty.item() == pytest.approx(weights.square().sum().item(), rel=1e-5)
