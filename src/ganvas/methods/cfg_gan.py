"""Composite functional gradient learning, xICFG (Johnson & Zhang, ICML 2018 and TPAMI 2021).

This is not an adversarial game: the gradient of a discriminator d shows how an image becomes more real, and the image
is moved along it, x <- x + η ∇d(x). A sample starts as G(z) and is moved through `steps` stored discriminators d_0,
d_1, ... One step of training is one stage:

- approximate: G is fitted by regression to the final images of the previous stage, from the same latents;
- then for each t: `d_steps` times, d learns by logistic regression to distinguish real images from G(z) moved through
  d_0 ... d_(t-1); then a copy of d is stored as d_t. d itself is never reset, but keeps learning in every t and stage.

If a functional gradient step is too long, it decreases d instead of increasing it, and moved images are easy to detect.
With `rise`, η is found by a backtracking line search (Armijo, 1966): starting at `eta`, it is halved until d rises by
that share of what its gradient predicts. If d becomes steep and curved, only short steps pass; `penalty` keeps d smooth
and the steps long (it is the penalty of Mescheder et al., 2018, at real and at moved images).

A stage moves all its images together: those for later updates of d, and the `pool` that G will be fitted to. With
`fakes = "fresh"` every update of d uses new latents, as published for xICFG; with `"pool"` its images are drawn from
the pool (as in the ICML paper), which saves two fifths of the image gradients with the default settings (fresh batches
of 64 are moved 0 to 14 times, in addition to the pool of 640, which is moved 15 times).

Deviations: RMSprop adds eps to the root instead of under it, as the authors' PyTorch program does. As in that program,
a stage ends before G is fitted to its images, since the discriminators belong to the G that they started from.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from ganvas.core.errors import UserError
from ganvas.methods.base import BatchSource, Method, Scalars, evaluating, recordable
from ganvas.methods.optim import descend, restart, rmsprop, set_rate
from ganvas.methods.penalties import refuse_batch_norm, refuse_spectral_norm, squared_gradient
from ganvas.methods.settings import BuildTime, LearningRate, MethodSettings, Slows, Updates

CHUNK, GPU_CHUNK = 128, 512  # images that are moved at once; the number does not change the result
PROBE = 64  # images of the pool that the line search uses, enough for a mean
TRIED_ETAS = 12  # the last is `eta` / 2048, which is used even if d does not rise enough


class CFGGANSettings(MethodSettings):
    """The settings of xICFG, with the names of the paper in brackets."""

    name: Literal["cfg_gan"] = "cfg_gan"
    steps: Annotated[int, BuildTime()] = Field(15, ge=1, le=1_000)
    """functional gradient steps of an image, each with its own discriminator (T)"""
    d_steps: Updates = 1
    """updates of the discriminator per functional gradient step, each on a new batch (U)"""
    eta: Annotated[PositiveFloat, Slows("D")] = 2.5
    """factor of d's gradient in a functional gradient step (η); with `rise`, the largest that is tried"""
    rise: float | None = Field(None, ge=0, lt=1)
    """minimum rise of d by a step, as a share of what its gradient predicts; η is halved to reach it; none: never"""
    penalty: NonNegativeFloat = 0.0
    """weight of half d's squared gradient at real and at moved images in the loss of d"""
    fakes: Literal["fresh", "pool"] = "fresh"
    """generated images that the discriminator learns from: fresh = from new latents each time, pool = from the pool"""
    pool: PositiveInt = 640
    """latents that G is fitted to in a stage (N)"""
    fit_epochs: Updates = 10
    """passes of G over the pool"""
    fit_batch: PositiveInt = 64
    """images per update of G"""
    d_lr: Annotated[PositiveFloat, LearningRate("D"), Slows("D")] = 2.5e-4
    """learning rate of RMSprop for the discriminator"""
    g_lr: Annotated[PositiveFloat, Slows("G")] = 2.5e-4
    """learning rate of RMSprop for G, at the start of every stage"""
    g_cut: float = Field(0.1, gt=0, le=1)
    """factor of G's learning rate after a pass with a higher loss than the previous pass"""
    g_most_cuts: NonNegativeInt = 3
    """maximum number of times that g_cut is applied in a stage"""
    alpha: Annotated[float, BuildTime()] = Field(0.95, ge=0, lt=1)
    """RMSprop's decay of the mean squared gradient"""
    start_std: Annotated[PositiveFloat, BuildTime()] = 0.01
    """before the first stage, G is fitted to clamp(z·W, -1, 1); this is the standard deviation of W"""

    def images_at_once(self, batch: int) -> int:
        reals = batch * self.steps * self.d_steps
        return self.pool + (2 if self.fakes == "fresh" else 1) * reals


class Step(NamedTuple):
    """A functional gradient step of some images."""

    images: Tensor  # [N, C, H, W], after the step; not clamped
    update: Tensor  # [N, C, H, W], by which it changed them: η ∇d(x)
    before: Tensor  # [N], the log-odds that d gives the images before the step
    after: Tensor  # [N], the same after it


class CFGGAN(Method):
    Settings = CFGGANSettings
    settings: CFGGANSettings
    sampled: ClassVar[tuple[str, ...]] = ("G", "stored")

    def build(self) -> None:
        s, spec = self.settings, self.spec._replace(num_classes=0)
        self.G = self.place("G", self.networks.generator(spec, s.latent_size))
        self.D = self.place("D", self.networks.discriminator(spec))
        refuse_batch_norm(self.D, "a functional gradient")
        refuse_spectral_norm(self.D, "a functional gradient")  # its estimates would move with every image that is drawn
        self.stored = self.place("stored", nn.ModuleList(copy.deepcopy(self.D) for _ in range(s.steps)))
        self.stored.requires_grad_(False)
        self.moves = 0  # functional gradient steps in `decode`: 0 before the first stage, then `steps`
        self.etas = [s.eta] * s.steps
        self.chunk = CHUNK if self.compute.device.type == "cpu" else GPU_CHUNK
        pixels = spec.channels * spec.height * spec.width
        z = self.prior(s.pool, self.noise)
        start = (z @ (self.noise.normal(s.latent_size, pixels) * s.start_std)).clamp(-1, 1)
        self.pool = z, start.view(s.pool, spec.channels, spec.height, spec.width)

    def make_optimizers(self) -> dict[str, Optimizer]:
        s = self.settings
        self.fitter = rmsprop(self.G, s.g_lr, s.alpha)  # reset in every stage, so it is not part of the state
        return {"D": rmsprop(self.D, s.d_lr, s.alpha)}

    def step(self, batches: BatchSource) -> Scalars:
        s = self.settings
        error = self.approximate(*self.pool)

        # Images that start at G(z): the pool, and a batch for each update of d, unless it learns from the pool.
        reals = [batches.next().images for _ in range(s.steps * s.d_steps)]
        sizes = [s.pool, *([len(real) for real in reals] if s.fakes == "fresh" else [])]
        z = self.prior(sum(sizes), self.noise)
        pool, *fakes = self.generate(z).split(sizes)
        records: list[Scalars] = []
        for t in range(s.steps):
            for _ in range(s.d_steps):
                real = reals.pop(0)
                fake = fakes.pop() if s.fakes == "fresh" else pool[self.noise.integers(s.pool, len(real))]
                records.append(self.learn(real, fake))
            d = self.stored[t]
            d.load_state_dict(self.D.state_dict())
            self.etas[t] = s.eta
            if s.rise is not None or t == s.steps - 1:  # without the line search, once per stage, for the log
                self.etas[t], records[-1]["rise"] = self.step_size(pool[:PROBE], d)
            x = torch.cat([pool, *fakes])
            moved = self.move(x, d, self.etas[t])
            records[-1] |= {"update_size": (moved - x).abs().mean(), "eta": torch.tensor(self.etas[t])}
            pool, *fakes = moved.split(sizes[: 1 + len(fakes)])
        self.pool, self.moves = (z[: s.pool], pool), s.steps
        return {**_means(records), "approximation": error}

    def approximate(self, z: Tensor, target: Tensor) -> Tensor:
        """Fit G to z [N, latent] -> target [N, C, H, W]; returns the mean squared error per pixel in the last pass."""
        s = self.settings
        rate, cuts, before = s.g_lr, 0, float("inf")
        restart(self.fitter, rate)
        for _ in range(s.fit_epochs):
            order = self.noise.permutation(len(z))
            losses = [self.fit(z[few], target[few])["loss"] for few in order.split(s.fit_batch)]
            mean = torch.stack(losses).mean().item()
            if mean > before and cuts < s.g_most_cuts:
                cuts, rate = cuts + 1, rate * s.g_cut
                set_rate(self.fitter, rate)
            before = mean
        return torch.tensor(2 * mean / target[0].numel())  # the loss is half the sum over an image

    @recordable
    def fit(self, z: Tensor, target: Tensor) -> Scalars:
        """One update of G."""
        loss = (self.G(z) - target).square().sum() / 2 / len(z)
        descend(self.fitter, loss)
        return {"loss": loss.detach()}

    @torch.no_grad()
    def generate(self, z: Tensor) -> Tensor:
        """G(z) for any number of latents, [N, C, H, W]."""
        with evaluating(self.G):
            return torch.cat([self.G(part) for part in z.split(self.chunk)])

    @recordable
    def learn(self, real: Tensor, fake: Tensor) -> Scalars:
        """One update of d."""
        s = self.settings
        real, fake = (images.detach().requires_grad_(s.penalty > 0) for images in (real, fake))
        d_real, d_fake = self.logit(self.D, real), self.logit(self.D, fake)
        d_loss = F.softplus(-d_real).mean() + F.softplus(d_fake).mean()
        steepness = (
            squared_gradient(d_real, real) + squared_gradient(d_fake, fake) if s.penalty else torch.zeros_like(d_loss)
        )
        descend(self.optimizers["D"], d_loss + s.penalty / 2 * steepness)
        d_real, d_fake = d_real.detach(), d_fake.detach()
        return {
            "d_loss": d_loss.detach(),
            "g_loss": F.softplus(-d_fake).mean(),
            "d_real": d_real.sigmoid().mean(),
            "d_fake": d_fake.sigmoid().mean(),
        }

    @torch.no_grad()
    def step_size(self, x: Tensor, d: nn.Module) -> tuple[float, Tensor]:
        """η for a step of images [N, C, H, W], and the rise of d by it, as a share of the predicted rise η |∇d|²."""
        s = self.settings
        before, gradient = self.ascent(x, d, exact=True)  # the differences of large logits are small
        slope = gradient.flatten(1).square().sum(1).mean()
        for halvings in range(TRIED_ETAS):
            eta = s.eta / 2**halvings
            rise = (self.logit(d, x + eta * gradient, exact=True) - before).mean()
            share = torch.where(slope > 0, rise / (eta * slope), 0.0)  # if d is flat, its gradient predicts no rise
            if s.rise is None or share >= s.rise:
                break
        return eta, share

    def move(self, x: Tensor, d: nn.Module, eta: float, exact: bool = False) -> Tensor:
        """One functional gradient step of each image of x [N, C, H, W]: x + η ∇d(x)."""
        return torch.cat([part + eta * self.ascent(part, d, exact)[1] for part in x.split(self.chunk)])

    def ascent(self, x: Tensor, d: nn.Module, exact: bool = False) -> tuple[Tensor, Tensor]:
        """d(x) [N] and its gradient at each image of x [N, C, H, W]."""
        with torch.enable_grad():
            place = x.detach().requires_grad_()
            logit = self.logit(d, place, exact)
            (gradient,) = torch.autograd.grad(logit.sum(), place)
        return logit.detach(), gradient

    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        return self.move_all(self.draw(z, None, size)).clamp(-1, 1)

    def decode_differentiably(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """As in `Method`, through all steps.

        A discriminator of convolutions and (leaky) ReLUs is linear around almost every image: its gradient there, by
        which the image moves, is constant. One with layer norms is not.
        """
        x = super().decode_differentiably(z)
        if not any(isinstance(layer, nn.GroupNorm) for layer in self.D.modules()):
            return x + (self.move_all(x.detach()) - x).detach()
        for d, eta in self.stages():
            (gradient,) = torch.autograd.grad(self.logit(d, x, exact=True).sum(), x, create_graph=True)
            x = x + eta * gradient
        return x

    def trace(self, z: Tensor) -> Iterator[Step]:
        """The steps of `decode`, one after the other. They start from `draw(z)`; their sum, clamped, is `decode(z)`."""
        x = self.draw(z)
        for d, eta in self.stages():
            before, gradient = self.ascent(x, d, exact=True)
            update = eta * gradient
            x = x + update
            with torch.no_grad():
                after = self.logit(d, x, exact=True)
            yield Step(x, update, before, after)

    def stages(self) -> list[tuple[nn.Module, float]]:
        """The discriminators that `decode` uses, each with its η."""
        return list(zip(self.stored, self.etas, strict=True))[: self.moves][: self.steps_used]

    def move_all(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W] after all steps of `decode`, not clamped."""
        for d, eta in self.stages():
            x = self.move(x, d, eta, exact=True)
        return x

    def use_steps(self, steps: int) -> None:
        if not 0 <= steps <= self.settings.steps:
            raise UserError(f"there are no {steps} steps: this run has 0 to {self.settings.steps}")
        self.steps_used = steps

    def extra_state(self) -> dict[str, Tensor]:
        return {"pool_z": self.pool[0], "pool_x": self.pool[1], **self.sampling_state()}

    def sampling_state(self) -> dict[str, Tensor]:
        return {"moves": torch.tensor(self.moves), "etas": torch.tensor(self.etas, dtype=torch.float64)}

    def load_extra_state(self, tensors: Mapping[str, Tensor]) -> None:
        if "pool_z" in tensors:
            device = self.compute.device
            self.pool = tensors["pool_z"].to(device), tensors["pool_x"].to(device)
        self.moves = int(tensors["moves"])
        self.etas = tensors["etas"].tolist() if "etas" in tensors else [self.settings.eta] * self.settings.steps

    def logit(self, d: nn.Module, images: Tensor, exact: bool = False) -> Tensor:
        """d's log-odds that each image is real, [B]."""
        out: Tensor = d(images, exact=exact)
        return out[:, 0]


def _means(records: list[Scalars]) -> Scalars:
    """The mean of each scalar over the records that have it."""
    names = dict.fromkeys(name for record in records for name in record)
    return {name: torch.stack([record[name] for record in records if name in record]).mean() for name in names}
