"""The contract between a method and everything around it."""

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import ClassVar, Protocol, TypeVar

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from ganvas.compute.cuda_graphs import Replay
from ganvas.compute.device import Compute, to_device
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.core.settings import Settings, parse
from ganvas.data import Batch
from ganvas.networks import Networks
from ganvas.networks.cppn import PixelGenerator
from ganvas.networks.render import render
from ganvas.networks.view import View

EMA_RAMP = 0.05  # of the images seen, at most, is the half-life of the averages

M = TypeVar("M", bound=nn.Module)
Opt = TypeVar("Opt", bound=Optimizer)


class BatchSource(Protocol):
    """Where a method pulls its batches from; it takes as many per step as its rule needs."""

    def next(self) -> Batch: ...


class MethodSettings(Settings):
    """What every method has."""

    LIVE: ClassVar[tuple[str, ...]] = ("lr", "d_lr", "g_lr", "eta")
    """never read inside a recording of a step (`Replay`), so that it stays true when they change"""
    ONCE: ClassVar[tuple[str, ...]] = ("latent_size", "ema_images", "beta1", "beta2", "alpha", "start_std", "steps")
    """read when a method is built, so that no schedule can change them"""
    ALIASES: ClassVar[dict[str, str]] = {}
    """other names of settings"""

    name: str
    """the method's name in the table of methods"""
    latent_size: PositiveInt = 100
    """numbers in a latent vector"""
    ema_images: NonNegativeInt = 0
    """half-life of the moving average of G's weights, in images seen (shorter early in a run); 0 = none"""

    def idle(self) -> dict[str, str]:
        """Settings that do nothing beside the others, and the one that takes their place."""
        return {}


class Method(ABC):
    """One training rule with its networks.

    A method fills `modules` and `optimizers` by name when it is built; with the random generator `noise` and what
    `extra_state` returns they are its whole state, which the engine saves and restores. `averaged` names the modules
    that `decode` uses and of which a moving average is kept when `settings.ema_images` asks for one.
    """

    Settings: ClassVar[type[MethodSettings]]
    averaged: ClassVar[tuple[str, ...]] = ("G",)
    logistic: ClassVar[bool] = True
    """whether its losses are negative logarithms of probabilities"""
    classifies: ClassVar[bool] = False
    """whether D names the class of an image, and G's images are made to pass as theirs (`accuracy_generated`)"""

    def __init__(
        self, settings: MethodSettings, networks: Networks, spec: ImageSpec, compute: Compute, seed: int
    ) -> None:
        self.settings, self.networks, self.spec, self.compute = settings, networks, spec, compute
        self.first_settings = settings
        # Drawn on the CPU, so that one seed gives one run on every device.
        self.noise = torch.Generator().manual_seed(seed)
        self.replay = Replay(compute.device)
        self.modules: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Optimizer] = {}
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

    @abstractmethod
    def build(self) -> None:
        """Make the networks (with `self.place`) and their optimisers."""

    @abstractmethod
    def step(self, batches: BatchSource) -> dict[str, Tensor]:
        """One round of the method's rule. Pulls the batches it needs; returns named, detached scalars.

        A step may leave out what it did not compute: a record has the mean over the steps that returned it.
        """

    def recordable(self) -> bool:
        """Whether all of a step is the same work every time, so that a GPU may record and replay it."""
        return False

    def advance(self, batches: BatchSource) -> dict[str, Tensor]:
        """`step`, the fastest way there is on this device."""
        if not (self.replay.active and self.recordable()):
            return self.step(batches)
        return self.replay("step", partial(self.step, _Fed(batches, self.replay)))

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

    def prior(self, count: int, generator: torch.Generator) -> Tensor:
        """Random latents, on the CPU [count, latent]."""
        return torch.randn(count, self.settings.latent_size, generator=generator)

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """One latent per seed, each from its own generator: seed 7 is the same latent in any batch. [B, latent]"""
        draws = [self.prior(1, torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.cat(draws).to(self.compute.device)

    def encode(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] -> latents [B, latent]; raises UserError for a method without an encoder."""
        raise UserError(f"method '{type(self).__name__}' has no encoder: it cannot turn images into latents")

    def use_steps(self, steps: int) -> None:
        """Let `decode` take so many of its steps; raises UserError for a method without, or for too many."""
        raise UserError(f"method '{self.settings.name}' draws in one go: leave out --steps")

    def learning_rates(self) -> dict[str, float]:
        """The learning rate of every optimiser, as `settings` has it now."""
        return {}

    def brakes(self) -> dict[str, dict[str, float]]:
        """For "G" and "D", the settings whose smaller values slow that side down, with their values now."""
        return {}

    def follows(self) -> dict[str, str]:
        """Settings without a value of their own, and those whose value they take."""
        return {}

    def change(self, **values: float) -> None:
        """Give settings other values while the run goes on; raises UserError as a recipe with these values does.

        A method reads its settings at every step; here the learning rates follow. `changed` has all such values.
        """
        self.settings = parse(type(self.settings), {**self.settings.model_dump(), **values}, "method")
        self.changed |= values
        for name, rate in self.learning_rates().items():
            set_rate(self.optimizers[name], rate)
        if not values.keys() <= set(self.settings.LIVE):
            self.replay.forget()

    def change_back(self, changed: Mapping[str, float]) -> None:
        """Give the settings the values of the recipe, but for those in `changed`."""
        self.settings, self.changed = self.first_settings, {}
        self.change(**changed)
        self.replay.forget()

    def monitor(self) -> dict[str, Tensor]:
        """Scalars worth recording that no step computes; called once per record, must not change state."""
        return {}

    def extra_state(self) -> dict[str, Tensor]:
        """Tensors beyond modules, optimisers and noise that the next step depends on."""
        return {}

    def load_extra_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `extra_state` returned."""
        if tensors:
            raise ValueError(f"{type(self).__name__} keeps no extra state, but was given {sorted(tensors)}")

    # -- for methods to use -------------------------------------------------------------------------------------

    def place(self, name: str, module: M) -> M:
        """Register a network under `name`, on the method's device, with the layout that convolutions like."""
        placed = module.to(self.compute.device)
        for layer in placed.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.modules[name] = placed
        return placed

    def for_decoding(self, name: str) -> nn.Module:
        """The averaged module where there is one, else the trained module itself."""
        return self.averages.get(name, self.modules[name])

    def randn(self, *shape: int) -> Tensor:
        """Standard normal noise from the method's own generator, on its device."""
        return self.fresh(lambda: torch.randn(*shape, generator=self.noise))

    def uniform(self, *shape: int) -> Tensor:
        """Even numbers from 0 to 1, from the method's own generator, on its device."""
        return self.fresh(lambda: torch.rand(*shape, generator=self.noise))

    def fresh(self, draw: Callable[[], Tensor]) -> Tensor:
        """Numbers that `draw` makes on the CPU, on the method's device."""
        return self.replay.fresh(lambda: (to_device(draw(), self.compute.device),))[0]

    @torch.no_grad()
    def draw(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        """What `decode` returns for a method whose images come from `G` alone."""
        generator = self.for_decoding("G")
        with evaluating(generator):
            if isinstance(generator, PixelGenerator):
                height, width = size or (self.spec.height, self.spec.width)
                return render(generator.pixels, generator.latent(z, labels), View(height, width, generator.scale))
            self.native_size_only(size)
            images: Tensor = generator(z, labels)
        return full(images)

    def native_size_only(self, size: tuple[int, int] | None) -> None:
        """Raise UserError unless `size` is None or the size that the networks were built for."""
        native = (self.spec.height, self.spec.width)
        if size is not None and tuple(size) != native:
            raise UserError(
                f"this network makes images of {native[1]}x{native[0]} only, not {size[1]}x{size[0]}: "
                "a run with network.name=cppn paints at any size, such as those of the recipes named cppn"
            )

    # -- for the engine to use ----------------------------------------------------------------------------------

    @torch.no_grad()
    def update_averages(self, images: int, seen: int) -> None:
        """Move the averages on by a step that saw `images` images, `seen` in all.

        Early in a run they look back less far, so that the initial weights are soon forgotten (Karras et al., 2020).
        """
        if not self.averages:
            return
        keep = 0.5 ** (images / min(self.settings.ema_images, EMA_RAMP * seen))
        for name, average in self.averages.items():
            trained, mean = self.modules[name].state_dict(), average.state_dict()
            # Batch-norm statistics are averaged too: they belong to the averaged weights. Counters are copied.
            numbers = [key for key, value in mean.items() if value.is_floating_point()]
            torch._foreach_lerp_([mean[key] for key in numbers], [trained[key] for key in numbers], 1 - keep)
            for key in mean.keys() - numbers:
                mean[key].copy_(trained[key])


class TwoRateSettings(MethodSettings):
    """Adam for G and for D, each with its own learning rate if need be."""

    lr: PositiveFloat = 2e-4
    """learning rate of G, and of D unless d_lr is set"""
    d_lr: PositiveFloat | None = None
    """learning rate of D; that of G when left out"""
    beta1: float = Field(0.5, ge=0, lt=1)
    """Adam's decay of the mean gradient"""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Adam's decay of the mean squared gradient"""


class TwoRates(Method):
    """A method that has an optimiser for G and one for D, and nothing else."""

    settings: TwoRateSettings

    def learning_rates(self) -> dict[str, float]:
        return {"G": self.settings.lr, "D": self.settings.d_lr or self.settings.lr}

    def follows(self) -> dict[str, str]:
        return {"d_lr": "lr"} if self.settings.d_lr is None else {}

    def brakes(self) -> dict[str, dict[str, float]]:
        rates = self.learning_rates()
        return {"G": {"lr": rates["G"]}, "D": {"d_lr": rates["D"]}}


class _Fed:
    """Batches for a step that may be a replay."""

    def __init__(self, batches: BatchSource, replay: Replay) -> None:
        self.batches, self.replay = batches, replay

    def next(self) -> Batch:
        return self.replay.fresh(self.batches.next)


def adam(module: nn.Module, lr: float, betas: tuple[float, float]) -> torch.optim.Adam:
    """Adam in one fused pass over the weights."""
    return _recordable(torch.optim.Adam(module.parameters(), lr, betas, fused=True, capturable=_on_cuda(module)))


def rmsprop(module: nn.Module, lr: float, alpha: float = 0.99, eps: float = 1e-18) -> torch.optim.RMSprop:
    """RMSprop as CFG-GAN uses it; `alpha` is the decay of the mean squared gradient."""
    parameters, on_cuda = module.parameters(), _on_cuda(module)
    return _recordable(torch.optim.RMSprop(parameters, lr, alpha, eps, foreach=True, capturable=on_cuda))


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Change the learning rate, in place where a recording reads it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def restart(optimizer: Optimizer, rate: float) -> None:
    """Make an optimiser what it was before its first update, in place."""
    set_rate(optimizer, rate)
    for slots in optimizer.state.values():
        for value in slots.values():
            value.zero_()


def _on_cuda(module: nn.Module) -> bool:
    return next(module.parameters()).device.type == "cuda"


def _recordable(optimizer: Opt) -> Opt:
    """The optimiser, on a GPU with its learning rate where a recording (`Replay`) can read it."""
    for group in optimizer.param_groups:
        if group["capturable"]:
            # Some runs cannot be recorded, and the first steps of others are not.
            warnings.filterwarnings("ignore", ".*capturable=True.* running without CUDA graph capture", UserWarning)
            group["lr"] = torch.tensor(group["lr"], device=group["params"][0].device)
    return optimizer


def refuse_batch_norm(discriminator: nn.Module, what: str) -> None:
    """Raise UserError if D looks at the batch: `what` is computed for each image by itself."""
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in discriminator.modules()):
        raise UserError(
            f"{what} needs a D that sees each image by itself: use dcgan or resnet with network.d_norm=none"
        )


def full(tensor: Tensor) -> Tensor:
    """What came out of autocast, in float32; wider numbers stay."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def descend(optimizer: Optimizer, loss: Tensor, clip: float = 0.0) -> None:
    """One step down `loss`; gradients are scaled down to a joint norm of `clip`, unless that is 0."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if clip:
        nn.utils.clip_grad_norm_((p for group in optimizer.param_groups for p in group["params"]), clip)
    optimizer.step()


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
