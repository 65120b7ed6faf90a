"""The base class of the methods: the contract between a method and the rest of ganvas."""

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

EMA_RAMP = 0.05  # largest half-life of the averages, as a share of the images seen

Module = TypeVar("Module", bound=nn.Module)
Scalars = dict[str, Tensor]
Rule = TypeVar("Rule", bound=Callable[..., Scalars])


class BatchSource(Protocol):
    """The source of a method's batches; a step takes as many as its rule needs."""

    def next(self) -> Batch: ...


def recordable(rule: Rule) -> Rule:
    """Declare that a rule does the same work at every call, so that an NVIDIA GPU may record it once and replay it.

    A rule is a function of a method: it takes tensors or the source of batches, and returns named scalars. It draws
    random numbers from `self.noise`, changes tensors in place, never waits for a result (`item`, `if` of a tensor) and
    reads no setting that may change at every step (`MethodSettings.live`); reading one raises RuntimeError, on every
    device. It may read other settings: when one of them changes, the rule is recorded again.
    """

    @wraps(rule)
    def call(method: "Method", *inputs: Any) -> Scalars:
        return method.run_recordable(rule, *inputs)

    return cast(Rule, call)


class Method(ABC):
    """A training rule with its networks.

    A method registers its networks in `modules` and its optimisers in `optimizers`. Together with `noise` and
    `extra_state` they are its whole state, which the engine saves and restores. With `settings.ema_images`, a moving
    average of the weights of the modules in `averaged` is kept.
    """

    Settings: ClassVar[type[MethodSettings]]
    averaged: ClassVar[tuple[str, ...]] = ("G",)
    sampled: ClassVar[tuple[str, ...]] = ("G",)
    """the modules that `decode` and `encode` use: a published model has no others"""
    classifies: ClassVar[bool] = False
    """whether D is a classifier, and G's images should be recognised as their class (`accuracy_generated`)"""

    def __init__(
        self,
        settings: MethodSettings,
        networks: Networks,
        spec: ImageSpec,
        compute: Compute,
        seed: int,
        training: bool = True,
    ) -> None:
        """With `training` false there are no optimisers, which is enough for sampling."""
        self.settings, self.networks, self.spec, self.compute = settings, networks, spec, compute
        self.first_settings = settings
        self.replay = Replay(compute.device)
        self.recorded_settings: set[str] = set()  # settings that recordable rules have read
        self.noise = Noise(seed, compute.device, self.replay)
        self.modules: dict[str, nn.Module] = {}
        self.changed: dict[str, float] = {}
        self.steps_used: int | None = None  # number of steps in `decode`; None: all
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.build()
        for module in self.modules.values():
            module.train()
        self.averages = {}
        if settings.ema_images:
            copies = {name: copy.deepcopy(self.modules[name]) for name in self.averaged}
            self.averages = {name: module.eval().requires_grad_(False) for name, module in copies.items()}
        self.optimizers = self.make_optimizers() if training else {}

    @abstractmethod
    def build(self) -> None:
        """Create the networks, with `self.place`."""

    @abstractmethod
    def make_optimizers(self) -> dict[str, Optimizer]:
        """The optimisers by name, with the learning rates of `settings`."""

    @abstractmethod
    def step(self, batches: BatchSource) -> Scalars:
        """One round of the method's rule. Takes the batches it needs; returns named, detached scalars.

        A step may omit scalars that it did not compute: a record has the mean over the steps that returned them.
        """

    @abstractmethod
    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        """Latents [B, latent] (and labels [B]) -> images float32 [B, C, H, W] in [-1, 1], on the method's device.

        Between classes, labels are the shares of the classes, float [B, classes].
        Uses the averaged weights, if there are any, and changes no state. It sets its own gradient mode, as some
        methods need gradients to sample. `size` is (height, width); raises UserError if it is not supported.
        """

    def decode_differentiably(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """`decode` at the size of the training images, so that gradients flow back to z; not clamped.

        A method that does more than G in `decode` overrides both.
        """
        generator = self.for_decoding("G")
        with evaluating(generator):
            images: Tensor = generator(z, labels if self.conditional else None, exact=True)
        return images

    @property
    def conditional(self) -> bool:
        """Whether `decode` needs labels."""
        return False

    def prior(self, count: int, noise: Noise) -> Tensor:
        """Random latents [count, latent]."""
        return noise.normal(count, self.settings.latent_size)

    @property
    def prior_std(self) -> float:
        """The standard deviation of each number of `prior`, whose mean is 0."""
        return 1.0

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """One latent per seed [B, latent], each from its own generator: a seed gives the same latent in any batch."""
        return torch.cat([self.prior(1, Noise(seed)) for seed in seeds]).to(self.compute.device)

    @property
    def latent_length(self) -> int:
        """The numbers of a latent, followed by those of its one-hot class if `decode` needs labels."""
        return self.settings.latent_size + (self.spec.num_classes if self.conditional else 0)

    @classmethod
    def has_encoder(cls) -> bool:
        """Whether `encode` turns images into latents."""
        return cls.encode is not Method.encode

    def encode(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] -> latents [B, latent]; raises UserError for a method without an encoder."""
        raise UserError(
            f"method '{self.settings.name}' has no encoder that turns images into latents: "
            "`ganvas encode` searches for them, and --z reads what it finds"
        )

    def use_steps(self, steps: int) -> None:
        """Let `decode` take only the first `steps` of its steps; raises UserError if it has none or fewer."""
        raise UserError(f"method '{self.settings.name}' draws an image in one step: leave out --steps")

    def monitor(self) -> Scalars:
        """Further scalars for a record, computed once per record; changes no state."""
        return {}

    def extra_state(self) -> dict[str, Tensor]:
        """Tensors that the next step depends on, other than modules, optimisers and noise."""
        return {}

    def sampling_state(self) -> dict[str, Tensor]:
        """The part of `extra_state` that `decode` and `encode` depend on."""
        return {}

    def load_extra_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `extra_state` returned, or `sampling_state`."""
        if tensors:
            raise ValueError(f"{type(self).__name__} keeps no extra state, but was given {sorted(tensors)}")

    # -- for methods to use -------------------------------------------------------------------------------------

    def place(self, name: str, module: Module) -> Module:
        """Register a network under `name`; moves it to the method's device, in the fastest layout for convolutions.

        When called, it computes in the number format of the run and returns float32 (float64 stays float64); a call
        with `exact=True` computes in the format of its inputs.
        """
        placed = in_format(module.to(self.compute.device), self.compute)
        for layer in placed.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.modules[name] = placed
        return placed

    def for_decoding(self, name: str) -> nn.Module:
        """The averaged module if there is one, else the trained module."""
        return self.averages.get(name, self.modules[name])

    @torch.no_grad()
    def draw(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        """`decode` for a method whose images come from `G` alone; raises UserError for a size that G cannot make."""
        generator = self.for_decoding("G")
        with evaluating(generator):
            if isinstance(generator, PixelGenerator):
                height, width = size or (self.spec.height, self.spec.width)
                return render(generator.pixels, generator.latent(z, labels), View(height, width, generator.scale))
            native = self.spec.height, self.spec.width
            if size is not None and tuple(size) != native:
                raise UserError(
                    f"this network makes images of {native[1]}x{native[0]} only, not {size[1]}x{size[0]}: "
                    "runs with network.name=cppn can paint at any size"
                )
            images: Tensor = generator(z, labels, exact=True)
        return images

    # -- for the engine to use ----------------------------------------------------------------------------------

    def change(self, **values: float) -> None:
        """Change settings during the run; raises UserError for values that a recipe could not have.

        Also sets the learning rates of the optimisers. `changed` holds all changed values.
        """
        self.settings = parse(type(self.settings), {**self.settings.model_dump(), **values}, "method")
        self.changed |= values
        for name, rate in self.settings.learning_rates().items():
            if name in self.optimizers:
                set_rate(self.optimizers[name], rate)
        if values.keys() & self.recorded_settings:
            self.replay.forget()

    def change_back(self, changed: Mapping[str, float]) -> None:
        """Reset the settings to the recipe, except for the values in `changed`."""
        self.settings, self.changed = self.first_settings, {}
        self.change(**changed)
        self.replay.forget()

    def run_recordable(self, rule: Callable[..., Scalars], *inputs: Any) -> Scalars:
        """Call a recordable rule, or replay its recording."""
        if isinstance(self.settings, _Watched):  # called by another recordable rule
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
        """Update the averages after a step that saw `images` images, with `seen` images in total.

        Early in a run the half-life is shorter, so that the initial weights are soon forgotten (Karras et al., 2020).
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
    """A method with networks G and D and one optimiser for each."""

    settings: TwoRateSettings
    G: nn.Module
    D: nn.Module

    def make_optimizers(self) -> dict[str, Optimizer]:
        s = self.settings
        return {"G": adam(self.G, s.lr, (s.beta1, s.beta2)), "D": adam(self.D, s.d_lr or s.lr, (s.beta1, s.beta2))}


class _Watched:
    """The settings during a recordable rule: tracks which are read, and refuses those that may change at every step."""

    def __init__(self, settings: MethodSettings, rule: str, read: set[str]) -> None:
        self._settings, self._rule, self._read = settings, rule, read

    def __getattr__(self, name: str) -> Any:
        if name in self._settings.live():
            raise RuntimeError(
                f"the recordable rule '{self._rule}' reads method.{name}, which changes during a run: "
                "let the optimiser apply it, or read it outside the rule"
            )
        self._read.add(name)
        return getattr(self._settings, name)


class _Fed:
    """A source of batches for a step that may be a replay."""

    def __init__(self, batches: BatchSource, replay: Replay) -> None:
        self.batches, self.replay = batches, replay

    def next(self) -> Batch:
        return self.replay.fresh(self.batches.next)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """A context in which gradients flow through `module`, but none are computed for its weights."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """A context in which `module` is in evaluation mode; afterwards its previous mode is restored."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
