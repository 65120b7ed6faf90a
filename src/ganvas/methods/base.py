"""The contract between a method and everything around it."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, ClassVar, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ganvas.compute.cuda_graphs import Replay
from ganvas.compute.device import Compute
from ganvas.compute.noise import Noise
from ganvas.compute.precision import in_format
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.core.settings import parse
from ganvas.data import Batch
from ganvas.methods.optim import adam, can_be_recorded, set_rate
from ganvas.methods.settings import MethodSettings, TwoRateSettings
from ganvas.networks import Networks
from ganvas.networks.cppn import PixelGenerator
from ganvas.networks.render import render
from ganvas.networks.view import View

EMA_RAMP = 0.05  # of the images seen, at most, is the half-life of the averages

Module = TypeVar("Module", bound=nn.Module)
Scalars = dict[str, Tensor]
Rule = TypeVar("Rule", bound=Callable[..., Scalars])


class BatchSource(Protocol):
    """Where a method pulls its batches from; it takes as many per step as its rule needs."""

    def next(self) -> Batch: ...


def recordable(rule: Rule) -> Rule:
    """Declare that a rule does the same work at every call, so that an NVIDIA GPU may record it once and replay it.

    A rule is a function of a method: it takes tensors, or the source of batches, and returns named scalars. It draws
    its random numbers from `self.noise`, changes tensors in place, never waits for a result (`item`, `if` of a tensor)
    and reads no setting that may change at every step (`MethodSettings.live`): that raises RuntimeError, on every
    device. Where it reads another setting, it is recorded anew when that changes.
    """

    @wraps(rule)
    def call(method: "Method", *inputs: Any) -> Scalars:
        return method.run_recordable(rule, *inputs)

    return cast(Rule, call)


class Method(ABC):
    """One training rule with its networks.

    A method names its networks in `modules` and its optimisers in `optimizers`; with the random numbers of `noise` and
    what `extra_state` returns they are its whole state, which the engine saves and restores. `averaged` names the
    modules that `decode` uses and of which a moving average is kept when `settings.ema_images` asks for one.
    """

    Settings: ClassVar[type[MethodSettings]]
    averaged: ClassVar[tuple[str, ...]] = ("G",)
    logistic: ClassVar[bool] = True
    """whether its losses are negative logarithms of probabilities"""
    classifies: ClassVar[bool] = False
    """whether D names the class of an image, and G's images are made to pass as theirs (`accuracy_generated`)"""

    def __init__(
        self,
        settings: MethodSettings,
        networks: Networks,
        spec: ImageSpec,
        compute: Compute,
        seed: int,
        training: bool = True,
    ) -> None:
        """With `training` false it has no optimisers, which sampling does without."""
        self.settings, self.networks, self.spec, self.compute = settings, networks, spec, compute
        self.first_settings = settings
        self.replay = Replay(compute.device)
        self.recorded_settings: set[str] = set()  # those that recordable rules have read
        self.noise = Noise(seed, compute.device, self.replay)
        self.modules: dict[str, nn.Module] = {}
        self.changed: dict[str, float] = {}
        self.steps_used: int | None = None  # of those that `decode` has; all
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.build()
        for module in self.modules.values():
            module.train()
        self.averages = {}
        if settings.ema_images:
            self.averages = {name: _frozen_copy(self.modules[name]) for name in self.averaged}
        self.optimizers = self.make_optimizers() if training else {}

    @abstractmethod
    def build(self) -> None:
        """Make the networks, with `self.place`."""

    @abstractmethod
    def make_optimizers(self) -> dict[str, Optimizer]:
        """The optimisers by name, with the learning rates of `settings`."""

    @abstractmethod
    def step(self, batches: BatchSource) -> Scalars:
        """One round of the method's rule. Pulls the batches it needs; returns named, detached scalars.

        A step may leave out what it did not compute: a record has the mean over the steps that returned it.
        """

    @abstractmethod
    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        """Latents [B, latent] (and labels [B]) -> images float32 [B, C, H, W] in [-1, 1], on the method's device.

        Uses the averaged weights where there are any and changes no state. It owns its gradient mode: some methods
        need gradients to sample. `size` is (height, width); raises UserError where a method cannot honour it.
        """

    @property
    def conditional(self) -> bool:
        """Whether `decode` needs labels."""
        return False

    def prior(self, count: int, noise: Noise) -> Tensor:
        """Random latents [count, latent]."""
        return noise.normal(count, self.settings.latent_size)

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """One latent per seed, each from its own generator: seed 7 is the same latent in any batch. [B, latent]"""
        return torch.cat([self.prior(1, Noise(seed)) for seed in seeds]).to(self.compute.device)

    def encode(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] -> latents [B, latent]; raises UserError for a method without an encoder."""
        raise UserError(f"method '{type(self).__name__}' has no encoder: it cannot turn images into latents")

    def use_steps(self, steps: int) -> None:
        """Let `decode` take only the first `steps` of its steps; raises UserError where it has no or fewer steps."""
        raise UserError(f"method '{self.settings.name}' draws in one go: leave out --steps")

    def monitor(self) -> Scalars:
        """Scalars that a record has besides those of the steps; computed once per record, changes no state."""
        return {}

    def extra_state(self) -> dict[str, Tensor]:
        """Tensors beyond modules, optimisers and noise that the next step depends on."""
        return {}

    def load_extra_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `extra_state` returned."""
        if tensors:
            raise ValueError(f"{type(self).__name__} keeps no extra state, but was given {sorted(tensors)}")

    # -- for methods to use -------------------------------------------------------------------------------------

    def place(self, name: str, module: Module) -> Module:
        """Register a network under `name`, on the method's device, with the layout that convolutions like.

        When it is called it computes in the number format of the run and returns float32 (wider inputs stay wider); a
        call with `exact=True` computes in the format of its inputs.
        """
        placed = in_format(module.to(self.compute.device), self.compute)
        for layer in placed.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.modules[name] = placed
        return placed

    def for_decoding(self, name: str) -> nn.Module:
        """The averaged module where there is one, else the trained module itself."""
        return self.averages.get(name, self.modules[name])

    @torch.no_grad()
    def draw(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        """What `decode` returns for a method whose images come from `G` alone."""
        generator = self.for_decoding("G")
        with evaluating(generator):
            if isinstance(generator, PixelGenerator):
                height, width = size or (self.spec.height, self.spec.width)
                return render(generator.pixels, generator.latent(z, labels), View(height, width, generator.scale))
            self.native_size_only(size)
            images: Tensor = generator(z, labels, exact=True)
        return images

    def native_size_only(self, size: tuple[int, int] | None) -> None:
        """Raise UserError unless `size` is None or the size that the networks were built for."""
        native = (self.spec.height, self.spec.width)
        if size is not None and tuple(size) != native:
            raise UserError(
                f"this network makes images of {native[1]}x{native[0]} only, not {size[1]}x{size[0]}: "
                "a run with network.name=cppn paints at any size, such as those of the recipes named cppn"
            )

    # -- for the engine to use ----------------------------------------------------------------------------------

    def change(self, **values: float) -> None:
        """Give settings other values while the run goes on; raises UserError as a recipe with these values does.

        A method reads its settings at every step; here the learning rates follow. `changed` has all such values.
        """
        self.settings = parse(type(self.settings), {**self.settings.model_dump(), **values}, "method")
        self.changed |= values
        for name, rate in self.settings.learning_rates().items():
            if name in self.optimizers:
                set_rate(self.optimizers[name], rate)
        if values.keys() & self.recorded_settings:
            self.replay.forget()

    def change_back(self, changed: Mapping[str, float]) -> None:
        """Give the settings the values of the recipe, but for those in `changed`."""
        self.settings, self.changed = self.first_settings, {}
        self.change(**changed)
        self.replay.forget()

    def run_recordable(self, rule: Callable[..., Scalars], *inputs: Any) -> Scalars:
        """Call a recordable rule, or replay its recording."""
        if isinstance(self.settings, _Watched):  # inside another one
            return rule(self, *inputs)
        settings = self.settings
        self.settings = _Watched(settings, rule.__name__, self.recorded_settings)  # type: ignore[assignment]
        try:
            if not (self.replay.active and all(map(can_be_recorded, self.optimizers.values()))):
                return rule(self, *inputs)
            tensors = [value for value in inputs if isinstance(value, Tensor)]
            sources = [_Fed(value, self.replay) for value in inputs if not isinstance(value, Tensor)]
            return self.replay(rule.__name__, partial(rule, self, *sources), *tensors)
        finally:
            self.settings = settings

    @torch.no_grad()
    def update_averages(self, images: int, seen: int) -> None:
        """Update the averages after a step that saw `images` images, `seen` in all.

        Early in a run they look back less far, so that the initial weights are soon forgotten (Karras et al., 2020).
        """
        if not self.averages:
            return
        keep = 0.5 ** (images / min(self.settings.ema_images, EMA_RAMP * seen))
        for name, average in self.averages.items():
            trained, mean = self.modules[name].state_dict(), average.state_dict()
            # Batch-norm statistics are averaged too: they belong to the averaged weights. Counters are copied.
            numbers = [key for key, value in mean.items() if value.is_floating_point()]
            get_ema_multi_avg_fn(keep)([mean[key] for key in numbers], [trained[key] for key in numbers], 0)
            for key in mean.keys() - numbers:
                mean[key].copy_(trained[key])


class TwoRates(Method):
    """A method with networks G and D and an optimiser for each."""

    settings: TwoRateSettings
    G: nn.Module
    D: nn.Module

    def make_optimizers(self) -> dict[str, Optimizer]:
        s = self.settings
        return {"G": adam(self.G, s.lr, (s.beta1, s.beta2)), "D": adam(self.D, s.d_lr or s.lr, (s.beta1, s.beta2))}


class _Watched:
    """Settings as a recordable rule sees them: notes which are read, and refuses those that a recording would fix."""

    def __init__(self, settings: MethodSettings, rule: str, read: set[str]) -> None:
        self._settings, self._rule, self._read = settings, rule, read

    def __getattr__(self, name: str) -> Any:
        if name in self._settings.live():
            raise RuntimeError(
                f"the recordable rule '{self._rule}' reads method.{name}, which changes during a run: "
                "let the optimiser apply it, or read it outside of the rule"
            )
        self._read.add(name)
        return getattr(self._settings, name)


class _Fed:
    """Batches for a step that may be a replay."""

    def __init__(self, batches: BatchSource, replay: Replay) -> None:
        self.batches, self.replay = batches, replay

    def next(self) -> Batch:
        return self.replay.fresh(self.batches.next)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, gradients flow through `module` but none are computed for its weights."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Inside, `module` is in evaluation mode; afterwards in the mode it had."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def _frozen_copy(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).eval().requires_grad_(False)
