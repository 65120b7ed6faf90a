"""Composite functional gradient learning, xICFG (Johnson & Zhang, ICML 2018 and TPAMI 2021).

There is no game: a discriminator d says in which direction an image is more real, and the image goes there,
x <- x + η ∇d(x). G starts the way, `steps` stored discriminators d_0, d_1, ... go on with it. One step is one stage:

- approximate: G learns by regression to make, from the same latents, what the whole way of the stage before ends with;
- then for each t: `d_steps` times d learns, by logistic regression, to tell real images from G(z) moved through
  d_0 ... d_(t-1); a copy of it is stored as d_t. It begins each t, and each stage, where it stood.

A step that is too long lowers d instead of raising it, and then d tells moved images at a glance. With `rise`, η is
what a backtracking line search finds (Armijo, 1966): halved, from `eta` on, until d rises by that share of what its
gradient promises. The steps that are left become short as d grows steep and bent; `penalty` keeps d smooth, so that
images move on (it is that of Mescheder et al., 2018, at real and at moved images).

A stage moves all its images together: those that d learns from later, and the `pool` that G will learn from.
With `fakes = "fresh"` every update of d has latents of its own, as published for xICFG; with `"pool"` they are drawn
from the pool (as in the ICML paper), which saves two fifths of the gradients.

Deviations: RMSprop adds eps to the root instead of under it, as the authors' PyTorch program does. Their order is kept:
the stage ends before G has learned what it ends with, since the discriminators belong to the G that they started from.
"""

import copy
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from ganvas.core.errors import UserError
from ganvas.methods.balance import r1
from ganvas.methods.base import (
    BatchSource,
    Method,
    MethodSettings,
    descend,
    evaluating,
    full,
    refuse_batch_norm,
    restart,
    rmsprop,
    set_rate,
)

CHUNK, GPU_CHUNK = 128, 512  # images that are moved at once; the result is the same for any other number
PROBE = 64  # images on which the length of a step is tried
MOST_HALVINGS = 12  # of η; then the gradient is no guide at all


class CFGGANSettings(MethodSettings):
    """The settings of xICFG, with the names of the paper in brackets."""

    name: Literal["cfg_gan"] = "cfg_gan"
    steps: PositiveInt = 15
    """functional gradient steps on the way of an image, each with its own discriminator (T)"""
    d_steps: PositiveInt = 1
    """updates of the discriminator per functional gradient step, each on a new batch (U)"""
    eta: PositiveFloat = 2.5
    """length of a functional gradient step, times the gradient (η); with `rise`, the greatest"""
    rise: float | None = Field(None, ge=0, lt=1)
    """least share of the rise that d's gradient promises; η is halved until a step brings it (none: η stays)"""
    penalty: NonNegativeFloat = 0.0
    """weight of half d's squared gradient at real and at moved images, added to its loss"""
    fakes: Literal["fresh", "pool"] = "fresh"
    """whose images the discriminator learns from: those of new latents each time, or some of the pool"""
    pool: PositiveInt = 640
    """latents that G learns from in a stage (N)"""
    fit_epochs: PositiveInt = 10
    """passes of G over the pool"""
    fit_batch: PositiveInt = 64
    """images per update of G"""
    d_lr: PositiveFloat = 2.5e-4
    """learning rate of RMSprop for the discriminator"""
    g_lr: PositiveFloat = 2.5e-4
    """learning rate of RMSprop for G, at the start of every stage"""
    g_cut: float = Field(0.1, gt=0, le=1)
    """factor of G's learning rate after a pass whose loss was above that of the pass before"""
    g_most_cuts: NonNegativeInt = 3
    """how often it is applied in a stage, at most"""
    alpha: float = Field(0.95, ge=0, lt=1)
    """RMSprop's decay of the mean squared gradient"""
    start_std: PositiveFloat = 0.01
    """before the first stage G learns clamp(z·W, -1, 1); this is the standard deviation of W"""


class CFGGAN(Method):
    Settings = CFGGANSettings
    settings: CFGGANSettings

    def build(self) -> None:
        s, spec = self.settings, self.spec._replace(num_classes=0)
        self.G = self.place("G", self.networks.generator(spec, s.latent_size))
        self.D = self.place("D", self.networks.discriminator(spec))
        refuse_batch_norm(self.D, "a functional gradient")
        self.stored = self.place("stored", nn.ModuleList(copy.deepcopy(self.D) for _ in range(s.steps)))
        self.stored.requires_grad_(False)
        self.optimizers = {"D": rmsprop(self.D, s.d_lr, s.alpha)}
        self.fitter = rmsprop(self.G, s.g_lr, s.alpha)  # begins anew in every stage
        self.chunk = CHUNK if self.compute.device.type == "cpu" else GPU_CHUNK
        self.moves = 0  # how many discriminators are stored
        self.etas = [s.eta] * s.steps
        pixels = spec.channels * spec.height * spec.width
        z = self.randn(s.pool, s.latent_size)
        start = (z @ (self.randn(s.latent_size, pixels) * s.start_std)).clamp(-1, 1)
        self.pool = z, start.view(s.pool, spec.channels, spec.height, spec.width)

    def learning_rates(self) -> dict[str, float]:
        return {"D": self.settings.d_lr}

    def brakes(self) -> dict[str, dict[str, float]]:
        s = self.settings
        return {"G": {"g_lr": s.g_lr}, "D": {"d_lr": s.d_lr, "eta": s.eta}}

    def step(self, batches: BatchSource) -> dict[str, Tensor]:
        s = self.settings
        error = self.approximate(*self.pool)

        reals = [batches.next()[0] for _ in range(s.steps * s.d_steps)]
        size = len(reals[0])
        # The pool comes first; in front of the end, what d learns from next. Used images are dropped and move no more.
        z = self.randn(s.pool + (len(reals) * size if s.fakes == "fresh" else 0), s.latent_size)
        with evaluating(self.G), torch.no_grad(), self.compute.autocast():
            x = torch.cat([full(self.G(part, None)) for part in z.split(self.chunk)])
        records: list[dict[str, Tensor]] = []
        for t in range(s.steps):
            for _ in range(s.d_steps):
                if s.fakes == "fresh":
                    x, fake = x[:-size], x[-size:]
                else:
                    fake = x[self.fresh(lambda: torch.randint(s.pool, (size,), generator=self.noise))]
                records.append(self.replay("learn", self._learn, reals[len(records)], fake))
            self.stored[t].load_state_dict(self.D.state_dict())
            self.etas[t] = s.eta
            if s.rise is not None or t == s.steps - 1:
                self.etas[t], records[-1]["rise"] = self.step_size(x[:PROBE], self.stored[t])
            moved = self.move(x, self.stored[t], self.etas[t])
            records[-1] |= {"update_size": (moved - x).abs().mean(), "eta": torch.tensor(self.etas[t])}
            x = moved
        self.pool, self.moves = (z[: s.pool], x), s.steps

        names = dict.fromkeys(name for record in records for name in record)
        means = {name: torch.stack([r[name] for r in records if name in r]).mean() for name in names}
        return {**means, "approximation": error}

    def approximate(self, z: Tensor, target: Tensor) -> Tensor:
        """Fit G to z [N, latent] -> target [N, C, H, W]; the mean squared error of a pixel in the last pass."""
        s = self.settings
        rate, cuts, before = s.g_lr, 0, float("inf")
        restart(self.fitter, rate)
        for _ in range(s.fit_epochs):
            order = self.fresh(lambda: torch.randperm(len(z), generator=self.noise))
            losses = [self.replay("fit", self._fit, z[few], target[few])["loss"] for few in order.split(s.fit_batch)]
            mean = torch.stack(losses).mean().item()
            if mean > before and cuts < s.g_most_cuts:
                cuts, rate = cuts + 1, rate * s.g_cut
                set_rate(self.fitter, rate)
            before = mean
        return torch.tensor(2 * mean / target[0].numel())

    @torch.no_grad()
    def step_size(self, x: Tensor, d: nn.Module) -> tuple[float, Tensor]:
        """η for a step of images [N, C, H, W], and how much d rises by it, as a share of what ∇d promises (η |∇d|²)."""
        s = self.settings
        before, gradient = self._ascent(x, d, exact=True)  # small differences of large logits
        slope = gradient.flatten(1).square().sum(1).mean()
        for halvings in range(MOST_HALVINGS):
            eta = s.eta / 2**halvings
            rise = (self._logit(d, x + eta * gradient, exact=True) - before).mean()
            share = torch.where(slope > 0, rise / (eta * slope), 0.0)  # where d is flat, nothing was promised
            if s.rise is None or share >= s.rise:
                break
        return eta, share

    def move(self, x: Tensor, d: nn.Module, eta: float, exact: bool = False) -> Tensor:
        """One functional gradient step of images [N, C, H, W], each by itself: x + η ∇d(x); `exact`: in float32."""
        return torch.cat([part + eta * self._ascent(part, d, exact)[1] for part in x.split(self.chunk)])

    def _ascent(self, x: Tensor, d: nn.Module, exact: bool = False) -> tuple[Tensor, Tensor]:
        """d(x) [N] and its gradient at each image of x [N, C, H, W]."""
        with torch.enable_grad():
            place = x.detach().requires_grad_()
            logit = self._logit(d, place, exact)
            (gradient,) = torch.autograd.grad(logit.sum(), place)
        return logit.detach(), gradient

    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        images = self.draw(z, None, size)
        for d, eta in list(zip(self.stored, self.etas, strict=True))[: self.moves][: self.steps_used]:
            images = self.move(images, d, eta, exact=True)
        return images.clamp(-1, 1)

    def use_steps(self, steps: int) -> None:
        if not 0 <= steps <= self.settings.steps:
            raise UserError(f"there are no {steps} steps: this run has 0 to {self.settings.steps}")
        self.steps_used = steps

    def extra_state(self) -> dict[str, Tensor]:
        return {
            "pool_z": self.pool[0],
            "pool_x": self.pool[1],
            "moves": torch.tensor(self.moves),
            "etas": torch.tensor(self.etas, dtype=torch.float64),
        }

    def load_extra_state(self, tensors: Mapping[str, Tensor]) -> None:
        device = self.compute.device
        self.pool = tensors["pool_z"].to(device), tensors["pool_x"].to(device)
        self.moves = int(tensors["moves"])
        self.etas = tensors["etas"].tolist() if "etas" in tensors else [self.settings.eta] * self.settings.steps

    def _fit(self, z: Tensor, target: Tensor) -> dict[str, Tensor]:
        """One update of G."""
        with self.compute.autocast():
            images: Tensor = self.G(z, None)
        loss = (full(images) - target).square().sum() / 2 / len(z)
        descend(self.fitter, loss)
        return {"loss": loss.detach()}

    def _learn(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """One update of d."""
        s = self.settings
        real, fake = (images.detach().requires_grad_(s.penalty > 0) for images in (real, fake))
        d_real, d_fake = self._logit(self.D, real), self._logit(self.D, fake)
        d_loss = F.softplus(-d_real).mean() + F.softplus(d_fake).mean()
        steepness = r1(d_real, real) + r1(d_fake, fake) if s.penalty else torch.zeros_like(d_loss)
        descend(self.optimizers["D"], d_loss + s.penalty / 2 * steepness)
        with torch.no_grad():
            g_loss = F.softplus(-d_fake).mean()
            return {
                "d_loss": d_loss.detach(),
                "g_loss": g_loss,
                "d_real": d_real.sigmoid().mean(),
                "d_fake": d_fake.sigmoid().mean(),
            }

    def _logit(self, d: nn.Module, images: Tensor, exact: bool = False) -> Tensor:
        """How real d finds each image: log-odds, at least float32 [B]."""
        with nullcontext() if exact else self.compute.autocast():
            out: Tensor = d(images, None)
        return full(out)[:, 0]
