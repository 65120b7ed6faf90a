"""The generative adversarial network (Goodfellow et al., 2014), plain or conditional (Mirza & Osindero, 2014).

One step: `d_steps` times, draw real images x and as many generated G(z), and raise log D(x) + log(1 - D(G(z)));
then `g_steps` times raise log D(G(z)) (or lower log(1 - D(G(z))), the minimax form). A discriminator with two outputs
("generated", "real") under softmax is the one with a single logit equal to their difference.

Deviations: a conditional generator is given the labels of the real batch, so both batches have the classes of the data;
the generated batch of the last discriminator step is used again for the first generator step, as is customary.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor

from ganvas.errors import UserError
from ganvas.methods.base import BatchSource, TwoRates, TwoRateSettings, adam, descend, frozen

VALIDATION_IMAGES = 100
VALIDATION_FIRST_SEED = 2_000_000  # far from the seeds of runs, whose first latents would resemble these


class GANSettings(TwoRateSettings):
    """The settings of the plain and the conditional GAN."""

    name: Literal["gan"] = "gan"
    conditional: bool = False
    """whether G and D are told the label"""
    loss: Literal["non-saturating", "minimax"] = "non-saturating"
    """what G minimises: -log D(G(z)), or log(1 - D(G(z)))"""
    d_outputs: Literal[1, 2] = 1
    """outputs of D: 1 logit, or 2 under softmax (generated, real)"""
    d_steps: PositiveInt = 1
    """updates of D per step, each on a new batch"""
    g_steps: PositiveInt = 1
    """updates of G per step"""
    optimizer: Literal["adam", "sgd"] = "adam"
    """with sgd, plain gradient descent, beta1 is its momentum"""


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
        self.G = self.place("G", self.backbone.generator(spec, s.latent_size))
        self.D = self.place("D", self.backbone.discriminator(spec, s.d_outputs))
        for name, lr in self.learning_rates().items():
            if s.optimizer == "sgd":
                self.optimizers[name] = torch.optim.SGD(self.modules[name].parameters(), lr, s.beta1, foreach=True)
            else:
                self.optimizers[name] = adam(self.modules[name], lr, (s.beta1, s.beta2))

    def step(self, batches: BatchSource) -> dict[str, Tensor]:
        for i in range(self.settings.d_steps):
            real, labels = batches.next()
            y = labels if self.settings.conditional else None
            with torch.set_grad_enabled(i == self.settings.d_steps - 1):  # G learns from the last fakes only
                fake = self._generate(len(real), y)
            d_real = self._logit(real, y)
            d_fake = self._logit(fake.detach(), y)
            d_loss = -F.logsigmoid(d_real).mean() - F.logsigmoid(-d_fake).mean()
            descend(self.optimizers["D"], d_loss)

        for i in range(self.settings.g_steps):
            if i > 0:
                fake = self._generate(len(real), y)
            with frozen(self.D):
                g_logit = self._logit(fake, y)
                if self.settings.loss == "minimax":
                    g_loss = F.logsigmoid(-g_logit).mean()
                else:
                    g_loss = -F.logsigmoid(g_logit).mean()
                descend(self.optimizers["G"], g_loss)

        return {
            "d_loss": d_loss.detach(),
            "g_loss": g_loss.detach(),
            "d_real": d_real.detach().sigmoid().mean(),
            "d_fake": d_fake.detach().sigmoid().mean(),
        }

    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        return self.draw(z, labels if self.settings.conditional else None, size)

    @torch.no_grad()
    def monitor(self) -> dict[str, Tensor]:
        """D's confidence that images from fixed latents, which no training step sees, are real."""
        labels = torch.arange(VALIDATION_IMAGES, device=self.compute.device) % max(1, self.spec.num_classes)
        y = labels if self.settings.conditional else None
        fake = self.decode(self.latents(range(VALIDATION_FIRST_SEED, VALIDATION_FIRST_SEED + VALIDATION_IMAGES)), y)
        return {"d_fake_validation": self._logit(fake, y).sigmoid().mean()}

    @property
    def conditional(self) -> bool:
        return self.settings.conditional

    def _generate(self, count: int, labels: Tensor | None) -> Tensor:
        with self.compute.autocast():
            images: Tensor = self.G(self.randn(count, self.settings.latent_size), labels)
        return images.float()

    def _logit(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """How real D finds each image: log-odds, float32 [B]."""
        with self.compute.autocast():
            out: Tensor = self.D(images, labels)
        out = out.float()
        return out[:, 1] - out[:, 0] if self.settings.d_outputs == 2 else out[:, 0]
