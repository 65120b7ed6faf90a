"""What a recordable rule may read, and what the engine does with what it reads."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ganvas.compute.device import choose
from ganvas.methods.base import BatchSource, Method, Scalars, recordable
from ganvas.methods.small_set_gan import SmallSetGAN, SmallSetGANSettings
from ganvas.networks import MLP
from tests.methods.images import LABELLED, Images


class ReadsRate(SmallSetGAN):
    @recordable
    def step(self, batches: BatchSource) -> Scalars:
        scalars = super().step(batches)
        return {name: value * self.settings.lr for name, value in scalars.items()}


class Pretended:
    """Stands in for the recorder of a GPU: calls the function every time, and counts."""

    active = True

    def __init__(self) -> None:
        self.forgotten, self.asked = 0, []

    def __call__(self, name: str, function: Callable[..., Scalars], *tensors: Tensor) -> Scalars:
        self.asked.append((name, len(tensors)))
        return function(*tensors)

    def fresh(self, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        return make()

    def forget(self) -> None:
        self.forgotten += 1


def make(kind: type[SmallSetGAN] = SmallSetGAN, **settings: object) -> SmallSetGAN:
    return kind(SmallSetGANSettings(latent_size=5, **settings), MLP(), LABELLED, choose("cpu", "fp32"), seed=0)


def recorded(**settings: object) -> tuple[Method, Pretended]:
    method, replay = make(**settings), Pretended()
    method.replay = replay  # type: ignore[assignment]
    method.step(Images(LABELLED))
    return method, replay


def test_a_recorded_step_that_reads_a_live_setting_is_refused() -> None:
    method = make(ReadsRate)
    with pytest.raises(RuntimeError, match=r"recordable rule 'step' reads method\.lr, which changes during a run"):
        method.step(Images(LABELLED))
    assert method.settings.lr == 2e-4  # outside of a rule it may be read


def test_a_change_of_what_a_recording_read_makes_it_be_recorded_again() -> None:
    method, replay = recorded(r1=0.1)
    assert replay.asked == [("penalised_step", 0)]
    method.change(lr=1e-4, beta1=0.5)
    assert replay.forgotten == 0
    method.change(r1=0.2)
    assert replay.forgotten == 1


def test_what_cannot_be_recorded_is_not() -> None:
    assert recorded(optimizer="sgd")[1].asked == []


def test_without_training_there_are_no_optimisers() -> None:
    method = SmallSetGAN(SmallSetGANSettings(latent_size=5), MLP(), LABELLED, choose("cpu"), seed=0, training=False)
    assert method.optimizers == {}
    method.change(lr=1e-5)
    assert torch.equal(method.decode(method.latents([1])), make().decode(make().latents([1])))
