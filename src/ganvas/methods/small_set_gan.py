"""The GAN of `gan.py` with options for small sets, which are all off by default.

- More updates of G per update of D (`g_steps`). "Robot vs. Robot" (Weaver, 2017) makes them on the latents that D has
  just seen, and computes the recorded losses after all updates: `g_latents = "same"`, `losses = "after"`.
- Augmented images for D, so that it cannot memorise a small set (`augment`, see `augment.py`).
- Penalties on D's gradient at real images (`r1`, Mescheder et al., 2018) and at generated ones (`r2`), computed in
  every step or lazily (`penalty_every`, Karras et al., 2020; deviation: Adam's settings stay as they are). With
  `loss = "relativistic"` they are the loss of R3GAN (Huang et al., 2024).
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from ganvas.methods.augment import Augment
from ganvas.methods.base import BatchSource, Scalars, evaluating, frozen, recordable
from ganvas.methods.gan import GAN, GANSettings
from ganvas.methods.optim import descend
from ganvas.methods.penalties import refuse_batch_norm, squared_gradient
from ganvas.methods.settings import AlsoCalled, BuildTime, OverriddenBy, Updates


class SmallSetGANSettings(GANSettings):
    """The settings of the GAN with options for small sets."""

    g_steps: Annotated[Updates, AlsoCalled("g_advantage")] = 1
    """updates of G per step (g_advantage is another name for this setting)"""
    g_latents: Literal["fresh", "same"] = "fresh"
    """latents of G's updates after the first: new ones each time, or those that D saw last"""
    losses: Literal["before", "after"] = "before"
    """when the recorded losses and outputs of D are computed: before each update, or after all updates of the step, on
    its last batches"""
    augment: str = ""
    """changes of real and generated images before D sees them: any of colour,translation,cutout"""
    augment_p: Annotated[float, OverriddenBy("augment_target")] = Field(1.0, ge=0, le=1)
    """probability of each of these changes for each image; with augment_target its initial value"""
    augment_target: Annotated[float | None, BuildTime()] = Field(None, gt=-1, lt=1)
    """target for the mean sign of D's logits on real images, to which the probability adapts (published: 0.6); none: a
    constant probability"""
    r1: NonNegativeFloat = 0.0
    """weight of half D's squared gradient at real images, added to its loss"""
    r2: NonNegativeFloat = 0.0
    """weight of half D's squared gradient at generated images, added to its loss"""
    penalty_every: Annotated[Updates, BuildTime()] = 1
    """every how many steps r1 and r2 are computed; their weights are multiplied by this number"""


class SmallSetGAN(GAN):
    Settings = SmallSetGANSettings
    settings: SmallSetGANSettings

    def build(self) -> None:
        super().build()
        s = self.settings
        if s.r1 or s.r2:
            refuse_batch_norm(self.D, "method.r1" if s.r1 else "method.r2")
        self.steps = 0  # so far, of which every `penalty_every`-th has penalties
        policy = [word.strip() for word in s.augment.split(",") if word.strip()]
        p = torch.tensor(s.augment_p, device=self.compute.device)
        self.augment = Augment(policy, p, s.augment_target, self.noise)

    def step(self, batches: BatchSource) -> Scalars:
        s = self.settings
        penalised = bool(s.r1 or s.r2)
        if s.g_steps == 1 and s.losses == "before" and not self.augment.changes and not penalised:
            return super().step(batches)
        self.steps += 1
        if penalised and (self.steps - 1) % s.penalty_every == 0:
            return self.penalised_step(batches)
        return self.plain_step(batches)

    @recordable
    def penalised_step(self, batches: BatchSource) -> Scalars:
        return self.small_set_step(batches, self.settings.r1, self.settings.r2)

    @recordable
    def plain_step(self, batches: BatchSource) -> Scalars:
        return self.small_set_step(batches)

    def small_set_step(self, batches: BatchSource, r1: float = 0.0, r2: float = 0.0) -> Scalars:
        """One step, in which the penalties have these weights."""
        s = self.settings
        if s.augment_target is None:
            self.augment.p.fill_(s.augment_p)

        for k in range(s.d_steps):
            x, labels = batches.next()
            y = labels if s.conditional else None
            z = self.prior(len(x), self.noise)
            with torch.set_grad_enabled(k == s.d_steps - 1):  # G learns from the last batch only
                fake = self.G(z, y)
            real_seen = self.seen(x).requires_grad_(r1 > 0)
            fake_seen = self.seen(fake.detach()).requires_grad_(r2 > 0)
            d_real, d_fake = self.logit(real_seen, y), self.logit(fake_seen, y)
            total = d_loss = self.d_loss(d_real, d_fake)
            if r1:
                total = total + s.penalty_every * r1 / 2 * squared_gradient(d_real, real_seen)
            if r2:
                total = total + s.penalty_every * r2 / 2 * squared_gradient(d_fake, fake_seen)
            descend(self.optimizers["D"], total)
            self.augment.adapt(self.compared(d_real, d_fake)[0])

        for k in range(s.g_steps):
            if k > 0:
                z = self.prior(len(x), self.noise) if s.g_latents == "fresh" else z
                fake = self.G(z, y)
            with frozen(self.D):
                g_loss = self.g_loss(self.logit(self.seen(fake), y), self.rivals(x, y))
                descend(self.optimizers["G"], g_loss)

        if s.losses == "after":
            with torch.no_grad(), evaluating(self.D):  # a measurement must not move the estimates of spectral norms
                d_real, d_fake = self.logit(self.seen(x), y), self.logit(self.seen(self.G(z, y)), y)
                d_loss, g_loss = self.d_loss(d_real, d_fake), self.g_loss(d_fake, d_real)

        record = self.record(d_loss, g_loss, d_real, d_fake)
        if s.augment_target is not None and self.augment.changes:
            record["augment_p"] = self.augment.p.clone()
        return record

    def seen(self, images: Tensor) -> Tensor:
        return self.augment(images)

    def extra_state(self) -> dict[str, Tensor]:
        state = {} if self.settings.augment_target is None else {"augment_p": self.augment.p}
        return state if self.settings.penalty_every == 1 else state | {"steps": torch.tensor(self.steps)}

    def load_extra_state(self, tensors: Mapping[str, Tensor]) -> None:
        if "steps" in tensors:
            self.steps = int(tensors["steps"])
        if "augment_p" in tensors:
            self.augment.p.copy_(tensors["augment_p"])
        elif "small_sets" in tensors:  # from version 0.1: the probability is the first number
            self.augment.p.fill_(tensors["small_sets"][0].item())
