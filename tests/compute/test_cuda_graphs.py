"""On a CUDA device a step that was recorded does what the step does, bit for bit; elsewhere nothing is recorded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganvas.compute.cuda_graphs import Replay
from ganvas.compute.device import choose, deterministic
from ganvas.core.images import ImageSpec
from ganvas.methods import Method
from ganvas.methods.cfg_gan import CFGGAN, CFGGANSettings
from ganvas.methods.small_set_gan import SmallSetGAN, SmallSetGANSettings
from ganvas.methods.wgan_gp import WGANGP, WGANGPSettings
from ganvas.networks import DCGAN
from ganvas.runs.state import pack, unpack
from tests.methods.images import Images

SPEC = ImageSpec(3, 16, 16, 4)
SMALL_SETS = {"augment": "colour,translation,cutout", "augment_target": 0.2, "ema_images": 50}
METHODS: dict[str, tuple[type[Method], Any, dict[str, Any]]] = {
    "gan": (SmallSetGAN, SmallSetGANSettings, {"conditional": True, "d_steps": 2, "g_steps": 2}),
    "gan for small sets": (SmallSetGAN, SmallSetGANSettings, SMALL_SETS),
    "gan with r1": (SmallSetGAN, SmallSetGANSettings, {"r1": 1.0}),
    "relativistic": (
        *(SmallSetGAN, SmallSetGANSettings),
        {"loss": "relativistic", "r1": 1.0, "r2": 1.0, "penalty_every": 2, "conditional": True},
    ),
    "spectral": (SmallSetGAN, SmallSetGANSettings, {"loss": "hinge", "conditional": True, "d_steps": 2}),
    "plain gan": (SmallSetGAN, SmallSetGANSettings, {}),
    "robot vs. robot": (SmallSetGAN, SmallSetGANSettings, {"g_steps": 3, "g_latents": "same", "losses": "after"}),
    "sgd": (SmallSetGAN, SmallSetGANSettings, {"optimizer": "sgd"}),
    "wgan-gp": (WGANGP, WGANGPSettings, {"n_critic": 2}),
    "wgan": (WGANGP, WGANGPSettings, {"clip": 0.01, "optimizer": "rmsprop"}),
    "cfg-gan": (CFGGAN, CFGGANSettings, {"steps": 3, "pool": 24, "fit_batch": 8, "rise": 0.5, "eta": 8, "penalty": 1}),
    "cfg-gan, pool": (CFGGAN, CFGGANSettings, {"steps": 3, "pool": 20, "fit_batch": 8, "fakes": "pool", "d_steps": 2}),
}


def make(name: str, device: str, precision: Any = "fp32", replay: bool = True, **more: Any) -> Method:
    method, settings, values = METHODS[name]
    norm = {"gan": "batch", "gan for small sets": "batch", "spectral": "spectral"}.get(name, "none")
    network = DCGAN.model_validate(
        {"base": 8, "d_norm": norm, "d_labels": "projection" if norm == "spectral" else "maps"}
    )
    made = method(settings(**values, **more, latent_size=6), network, SPEC, choose(device, precision), seed=3)
    made.replay.active &= replay
    return made


def steps(method: Method, count: int, batches: Images) -> list[dict[str, float]]:
    records = []
    for i in range(count):
        scalars = method.step(batches)
        method.update_averages(batches.size, batches.size * (i + 1))
        records.append({key: value.item() for key, value in scalars.items()})
    return records


def assert_same(one: Method, other: Method) -> None:
    ours, theirs = pack(one)[0], pack(other)[0]
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", METHODS)
@deterministic()
def test_replayed_steps_are_those_that_were_taken_one_by_one(name: str, precision: str) -> None:
    replayed, plain = make(name, "cuda", precision), make(name, "cuda", precision, replay=False)
    ours, theirs = Images(SPEC, device="cuda"), Images(SPEC, device="cuda")
    changes: list[dict[str, float]] = [{}]
    changes += [
        {field: value / 2} for side in replayed.settings.slowdown_settings().values() for field, value in side.items()
    ]
    changes += [{"r1": 3.0}] if name == "gan with r1" else []
    for change in changes:
        for method in (replayed, plain):
            method.change(**change)
        assert steps(replayed, 7, ours) == steps(plain, 7, theirs)
    assert_same(replayed, plain)

    tensors, values = pack(replayed)
    tensors = {key: value.clone() for key, value in tensors.items()}
    for method, batches in ((replayed, ours), (plain, theirs)):
        steps(method, 2, batches)
        unpack(method, tensors, values)  # as the guard does
        steps(method, 6, batches)
    assert_same(replayed, plain)


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_a_run_goes_from_one_device_to_another(name: str) -> None:
    there, here = make(name, "cuda"), make(name, "cpu")
    steps(there, 6, Images(SPEC, device="cuda"))
    tensors, values = pack(there)
    tensors = {key: value.cpu() for key, value in tensors.items()}
    unpack(here, tensors, values)
    assert all(torch.equal(value, tensors[key]) for key, value in pack(here)[0].items())
    steps(here, 2, Images(SPEC))
    tensors, values = pack(here)
    unpack(there, tensors, values)
    steps(there, 6, Images(SPEC, device="cuda"))


def test_elsewhere_than_on_cuda_functions_are_just_called() -> None:
    replay, seen = Replay(torch.device("cpu")), []

    def function(x: Tensor) -> dict[str, Tensor]:
        (noise,) = replay.fresh(lambda: (torch.tensor(float(len(seen))),))
        seen.append(x)
        return {"sum": x.sum() + noise}

    assert [replay("name", function, torch.ones(2))["sum"].item() for _ in range(6)] == [2, 3, 4, 5, 6, 7]


class Tape:
    """Stands in for a CUDA graph: what is done while it records is done again by `replay`."""

    work: Callable[[], None]

    def replay(self) -> None:
        self.work()


def test_what_comes_from_outside_is_asked_for_once_per_call(monkeypatch: pytest.MonkeyPatch) -> None:
    recording: list[Tape] = []
    tapes: list[Tape] = []

    @contextmanager
    def graph(tape: Tape, **_: object) -> Iterator[None]:
        recording.append(tape)
        yield
        tapes.append(recording.pop())

    stream = SimpleNamespace(device=torch.device("cpu"), wait_stream=lambda other: None)
    fake = SimpleNamespace(
        Stream=lambda device: stream,
        current_stream=lambda device: stream,
        stream=lambda stream: nullcontext(),
        CUDAGraph=Tape,
        graph=graph,
    )
    monkeypatch.setattr(torch, "cuda", fake)
    replay, state, drawn = Replay(torch.device("cuda")), torch.zeros(()), []

    def draw() -> tuple[Tensor, None]:
        drawn.append(float(len(drawn) ** 2))
        return torch.tensor(drawn[-1]), None

    def function(x: Tensor) -> dict[str, Tensor]:
        (one, nothing), (other, _) = replay.fresh(draw), replay.fresh(draw)
        assert nothing is None
        out = torch.empty(())

        def work() -> None:
            state.add_(1)
            out.copy_(x.sum() + one - other + state)

        if recording:  # as a GPU: nothing is done yet
            recording[-1].work = work
        else:
            work()
        return {"out": out}

    kept = []
    for call in range(7):
        kept.append(replay("name", function, torch.full((2,), 0.25 * call))["out"])
        assert len(drawn) == 2 * (call + 1)
        if call == 5:
            replay.forget()
    expected = [0.5 * call + (2 * call) ** 2 - (2 * call + 1) ** 2 + call + 1 for call in range(7)]
    assert [value.item() for value in kept] == pytest.approx(expected)
    assert len(tapes) == 1  # at the fourth call; after it was forgotten the first call is a warm-up again

    for call in range(5):
        replay("name", function, torch.ones(3 + call % 2))
    assert len(tapes) == 1 and state.item() == 12  # by shapes, each with a warm-up of its own
