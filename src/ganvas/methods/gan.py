"""The generative adversarial network (Goodfellow et al., 2014), plain or conditional (Mirza & Osindero, 2014).

One step: `d_steps` times, draw real images x and as many generated G(z), and raise log D(x) + log(1 - D(G(z)));
then `g_steps` times raise log D(G(z)) (or lower log(1 - D(G(z))), the minimax form). A discriminator with two outputs
("generated", "real") under softmax is the one with a single logit equal to their difference.

Deviations: a conditional generator is given the labels of the real batch, so both batches have the classes of the data;
the generated batch of the last discriminator step is used again for the first generator step, as is customary.

"Robot vs. Robot" (Weaver, 2017) updates G several times on the latents that D has just seen, and reads both losses
after all updates: `g_steps`, `g_latents = "same"`, `losses = "after"`.

For small sets there is more, all of it off by default: a number of generator updates that keeps the losses level,
augmented images for the discriminator, and penalties on it.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.core.seeds import VALIDATION
from ganvas.methods.augment import Augment
from ganvas.methods.balance import Balance, LeCam, r1
from ganvas.methods.base import BatchSource, TwoRates, TwoRateSettings, adam, descend, frozen, refuse_batch_norm

VALIDATION_IMAGES = 100


class GANSettings(TwoRateSettings):
    """The settings of the plain and the conditional GAN."""

    ONCE: ClassVar[tuple[str, ...]] = (*TwoRateSettings.ONCE, "most_g_steps", "augment_target", "d_outputs")
    ALIASES: ClassVar[dict[str, str]] = {"g_advantage": "g_steps"}

    name: Literal["gan"] = "gan"
    latent: Literal["normal", "uniform"] = "normal"
    """what the numbers of a latent are drawn from: N(0, 1), or evenly from -1 to 1"""
    conditional: bool = False
    """whether G and D are told the label"""
    loss: Literal["non-saturating", "minimax"] = "non-saturating"
    """what G minimises: -log D(G(z)), or log(1 - D(G(z)))"""
    d_outputs: Literal[1, 2] = 1
    """outputs of D: 1 logit, or 2 under softmax (generated, real)"""
    d_steps: PositiveInt = 1
    """updates of D per step, each on a new batch"""
    g_steps: PositiveInt | Literal["balance"] = 1
    """updates of G per step (g_advantage is another name for it); balance: as many as keep both losses level"""
    g_latents: Literal["fresh", "same"] = "fresh"
    """latents of the updates of G after the first: fresh ones each time, or the same, which D saw last"""
    losses: Literal["before", "after"] = "before"
    """when the recorded losses and D's answers are computed: before the update that each causes, or after all updates
    of the step, on its last batches"""
    most_g_steps: PositiveInt = 50
    """how many these may become"""
    optimizer: Literal["adam", "sgd"] = "adam"
    """with sgd, plain gradient descent, beta1 is its momentum"""
    augment: str = ""
    """how images are changed before D sees them, real and generated alike: some of colour,translation,cutout"""
    augment_p: float = Field(1.0, ge=0, le=1)
    """probability of each of these changes for each image; with augment_target the first one"""
    augment_target: float | None = Field(None, gt=-1, lt=1)
    """mean sign of D's logits on real images that the probability aims at (0.6 was published); none: it stays"""
    r1: NonNegativeFloat = 0.0
    """weight of half D's squared gradient at real images, added to its loss"""
    lecam: NonNegativeFloat = 0.0
    """weight of D's squared distance from running means of its answers, added to its loss"""

    def idle(self) -> dict[str, str]:
        return {} if self.augment_target is None else {"augment_p": "augment_target"}


class GAN(TwoRates):
    Settings = GANSettings
    settings: GANSettings

    def build(self) -> None:
        s = self.settings
        if s.conditional and not self.spec.num_classes:
            raise UserError(
                "method.conditional needs labelled data: put the images in one sub-folder per class, or set it to false"
            )
        spec = self.spec if s.conditional else self.spec._replace(num_classes=0)
        self.G = self.place("G", self.networks.generator(spec, s.latent_size))
        self.D = self.place("D", self.networks.discriminator(spec, s.d_outputs))
        for name, lr in self.learning_rates().items():
            if s.optimizer == "sgd":
                self.optimizers[name] = torch.optim.SGD(self.modules[name].parameters(), lr, s.beta1, foreach=True)
            else:
                self.optimizers[name] = adam(self.modules[name], lr, (s.beta1, s.beta2))
        if s.r1:
            refuse_batch_norm(self.D, "method.r1")
        policy = [word.strip() for word in s.augment.split(",") if word.strip()]
        device = self.compute.device
        self.augment = Augment(policy, torch.tensor(s.augment_p, device=device), s.augment_target, self.uniform)
        self.balance, self.held = Balance(s.most_g_steps), LeCam(device)

    def step(self, batches: BatchSource) -> dict[str, Tensor]:
        s = self.settings
        if s.augment_target is None:
            self.augment.p.fill_(s.augment_p)
        for i in range(s.d_steps):
            real, labels = batches.next()
            y = labels if s.conditional else None
            z = self._latents(len(real))
            with torch.set_grad_enabled(i == s.d_steps - 1):  # G learns from the last fakes only
                fake = self._generate(z, y)
            seen = self.augment(real).requires_grad_(s.r1 > 0)
            d_real = self._logit(seen, y)
            d_fake = self._logit(self.augment(fake.detach()), y)
            d_loss = -F.logsigmoid(d_real).mean() - F.logsigmoid(-d_fake).mean()
            penalties = s.r1 / 2 * r1(d_real, seen) if s.r1 else 0
            if s.lecam:
                penalties = penalties + s.lecam * self.held(d_real, d_fake)
            descend(self.optimizers["D"], d_loss + penalties)
            self.augment.adapt(d_real)

        g_steps = self.balance.steps if s.g_steps == "balance" else s.g_steps
        for i in range(g_steps):
            if i > 0:
                z = self._latents(len(real)) if s.g_latents == "fresh" else z
                fake = self._generate(z, y)
            with frozen(self.D):
                g_logit = self._logit(self.augment(fake), y)
                g_loss = self._g_loss(g_logit)
                descend(self.optimizers["G"], g_loss)

        if s.losses == "after":
            with torch.no_grad():
                d_real = self._logit(self.augment(real), y)
                d_fake = g_logit = self._logit(self.augment(self._generate(z, y)), y)
                d_loss = -F.logsigmoid(d_real).mean() - F.logsigmoid(-d_fake).mean()
                g_loss = self._g_loss(g_logit)

        record = {
            "d_loss": d_loss.detach(),
            "g_loss": g_loss.detach(),
            "d_real": d_real.detach().sigmoid().mean(),
            "d_fake": d_fake.detach().sigmoid().mean(),
        }
        if s.g_steps == "balance":
            # The loss that has a logarithm, whatever the one that G learned by.
            self.balance.see(-F.logsigmoid(g_logit.detach()).mean().item(), d_loss.item())
            record["g_steps"] = torch.tensor(float(g_steps))
        if s.augment_target is not None and self.augment.changes:
            record["augment_p"] = self.augment.p.clone()
        return record

    def recordable(self) -> bool:
        s = self.settings  # balance needs the losses as numbers; SGD's learning rate is one
        return s.g_steps != "balance" and s.optimizer == "adam"

    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        return self.draw(z, labels if self.settings.conditional else None, size)

    @torch.no_grad()
    def monitor(self) -> dict[str, Tensor]:
        """D's confidence that images from fixed latents, which no training step sees, are real."""
        labels = torch.arange(VALIDATION_IMAGES, device=self.compute.device) % max(1, self.spec.num_classes)
        y = labels if self.settings.conditional else None
        fake = self.decode(self.latents(VALIDATION[:VALIDATION_IMAGES]), y)
        return {"d_fake_validation": self._logit(fake, y).sigmoid().mean()}

    @property
    def conditional(self) -> bool:
        return self.settings.conditional

    def prior(self, count: int, generator: torch.Generator) -> Tensor:
        if self.settings.latent == "normal":
            return super().prior(count, generator)
        return 2 * torch.rand(count, self.settings.latent_size, generator=generator) - 1

    def extra_state(self) -> dict[str, Tensor]:
        s = self.settings
        if s.g_steps != "balance" and s.augment_target is None and not s.lecam:
            return {}
        p, real, fake = torch.stack([self.augment.p, self.held.real, self.held.fake]).tolist()
        values = [p, self.balance.ratio, self.balance.log_steps, real, fake]
        return {"small_sets": torch.tensor(values, dtype=torch.float64)}

    def load_extra_state(self, tensors: Mapping[str, Tensor]) -> None:
        if "small_sets" in tensors:
            p, self.balance.ratio, self.balance.log_steps, real, fake = tensors["small_sets"].tolist()
            self.augment.p.fill_(p)
            self.held.real.fill_(real)
            self.held.fake.fill_(fake)

    def _latents(self, count: int) -> Tensor:
        return self.fresh(lambda: self.prior(count, self.noise))

    def _generate(self, z: Tensor, labels: Tensor | None) -> Tensor:
        with self.compute.autocast():
            images: Tensor = self.G(z, labels)
        return images.float()

    def _g_loss(self, logits: Tensor) -> Tensor:
        """What G lowers: the mean over D's logits [B] for its images."""
        return F.logsigmoid(-logits).mean() if self.settings.loss == "minimax" else -F.logsigmoid(logits).mean()

    def _logit(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """How real D finds each image: log-odds, float32 [B]."""
        with self.compute.autocast():
            out: Tensor = self.D(images, labels)
        out = out.float()
        return out[:, 1] - out[:, 0] if self.settings.d_outputs == 2 else out[:, 0]
