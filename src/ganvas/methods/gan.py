"""The generative adversarial network (Goodfellow et al., 2014), plain or conditional (Mirza & Osindero, 2014).

One step: `d_steps` times, draw a batch of real images x and as many generated images G(z), and update D to increase
log D(x) + log(1 - D(G(z))); then once update G to increase log D(G(z)) (or to decrease log(1 - D(G(z))), the minimax
form). A discriminator with two outputs ("generated", "real") under softmax is equivalent to one with a single logit,
their difference.

Deviations: a conditional generator gets the labels of the real batch, so both batches have the classes of the data; G
learns from the generated batch of the last discriminator update, as is common.
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from ganvas.compute.noise import Noise
from ganvas.core import seeds
from ganvas.core.errors import UserError
from ganvas.methods.base import BatchSource, Scalars, TwoRates, evaluating, frozen, recordable
from ganvas.methods.optim import descend, sgd
from ganvas.methods.settings import BuildTime, TwoRateSettings, Updates

VALIDATION_IMAGES = 100


class GANSettings(TwoRateSettings):
    """The settings of the plain and the conditional GAN."""

    name: Literal["gan"] = "gan"
    latent: Literal["normal", "uniform"] = "normal"
    """distribution of the numbers of a latent: N(0, 1), or uniform from -1 to 1"""
    conditional: bool = False
    """whether G and D get the label"""
    loss: Literal["non-saturating", "minimax", "hinge", "relativistic"] = "non-saturating"
    """the losses of G and D (see the method's page)"""
    d_outputs: Annotated[Literal[1, 2], BuildTime()] = 1
    """outputs of D: 1 logit, or 2 under softmax (generated, real)"""
    d_steps: Updates = 1
    """updates of D per step, each on a new batch"""
    optimizer: Literal["adam", "sgd"] = "adam"
    """sgd is plain gradient descent with beta1 as its momentum"""

    @property
    def logistic(self) -> bool:
        return self.loss != "hinge"


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

    def make_optimizers(self) -> dict[str, Optimizer]:
        s = self.settings
        if s.optimizer == "adam":
            return super().make_optimizers()
        return {"G": sgd(self.G, s.lr, s.beta1), "D": sgd(self.D, s.d_lr or s.lr, s.beta1)}

    @recordable
    def step(self, batches: BatchSource) -> Scalars:
        s = self.settings
        for k in range(s.d_steps):
            x, labels = batches.next()
            y = labels if s.conditional else None
            z = self.prior(len(x), self.noise)
            with torch.set_grad_enabled(k == s.d_steps - 1):  # G learns from the last batch only
                fake = self.G(z, y)
            d_real, d_fake = self.logit(x, y), self.logit(fake.detach(), y)
            d_loss = self.d_loss(d_real, d_fake)
            descend(self.optimizers["D"], d_loss)

        with frozen(self.D):
            g_loss = self.g_loss(self.logit(fake, y), self.rivals(x, y))
            descend(self.optimizers["G"], g_loss)

        return self.record(d_loss, g_loss, d_real, d_fake)

    def logit(self, images: Tensor, y: Tensor | None) -> Tensor:
        """D's log-odds that each image is real, [B]."""
        out: Tensor = self.D(images, y)
        return out[:, 1] - out[:, 0] if self.settings.d_outputs == 2 else out[:, 0]

    def seen(self, images: Tensor) -> Tensor:
        """What D sees of images."""
        return images

    def rivals(self, x: Tensor, y: Tensor | None) -> Tensor | None:
        """D's logits [B] for real images, if G's loss compares its images with them."""
        if self.settings.loss != "relativistic":
            return None
        with torch.no_grad():
            return self.logit(self.seen(x), y)

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """The loss of D from its logits [B]; the mean over the batch."""
        if self.settings.loss == "hinge":
            return F.relu(1 - d_real).mean() + F.relu(1 + d_fake).mean()
        if self.settings.loss == "relativistic":
            return -F.logsigmoid(d_real - d_fake).mean()
        return -F.logsigmoid(d_real).mean() - F.logsigmoid(-d_fake).mean()

    def g_loss(self, d_fake: Tensor, d_real: Tensor | None = None) -> Tensor:
        """The loss of G from D's logits [B] for its images, and for real ones if it compares; the batch's mean."""
        match self.settings.loss:
            case "minimax":
                return F.logsigmoid(-d_fake).mean()
            case "hinge":
                return -d_fake.mean()
            case "relativistic":
                assert d_real is not None
                return -F.logsigmoid(d_fake - d_real).mean()
            case _:
                return -F.logsigmoid(d_fake).mean()

    def compared(self, d_real: Tensor, d_fake: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits [B]; of a relativistic D, which only compares, those of real against generated and the reverse."""
        return (d_real - d_fake, d_fake - d_real) if self.settings.loss == "relativistic" else (d_real, d_fake)

    def record(self, d_loss: Tensor, g_loss: Tensor, d_real: Tensor, d_fake: Tensor) -> Scalars:
        """The scalars of a step: both losses, and D's confidence that real and generated images are real."""
        real, fake = self.compared(d_real.detach(), d_fake.detach())
        losses = {"d_loss": d_loss.detach(), "g_loss": g_loss.detach()}
        return losses | {"d_real": real.sigmoid().mean(), "d_fake": fake.sigmoid().mean()}

    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        return self.draw(z, labels if self.settings.conditional else None, size)

    @property
    def conditional(self) -> bool:
        return self.settings.conditional

    @property
    def prior_std(self) -> float:
        return 1.0 if self.settings.latent == "normal" else 3**-0.5

    def prior(self, count: int, noise: Noise) -> Tensor:
        if self.settings.latent == "normal":
            return super().prior(count, noise)
        return 2 * noise.uniform(count, self.settings.latent_size) - 1

    @torch.no_grad()
    def monitor(self) -> Scalars:
        """D's confidence that images from fixed latents, which are never trained on, are real."""
        if self.settings.loss == "relativistic":
            return {}  # a logit alone says nothing
        labels = torch.arange(VALIDATION_IMAGES, device=self.compute.device) % max(1, self.spec.num_classes)
        y = labels if self.settings.conditional else None
        fake = self.decode(self.latents(seeds.VALIDATION[:VALIDATION_IMAGES]), y)
        with evaluating(self.D):  # a measurement must not move the estimates of spectral norms
            return {"d_fake_validation": self.logit(fake, y).sigmoid().mean()}
