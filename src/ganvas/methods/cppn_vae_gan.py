"""A pixel network that is trained alternately as a variational autoencoder and as a GAN.

After "Generating Large Images from Latent Vectors" (otoro.net, 2016). An image x is encoded as a latent z ~ E(x) and
redrawn as G(z). With VAE = (Bernoulli reconstruction + KL) / pixels, for one batch:

- `vae_steps` times, update E and G to decrease VAE (with `vae_pixels`, for only some of the pixels);
- up to `g_steps` times, update them to decrease `adversarial` · -log D(G(z)) + VAE, until -log D(G(z)) is below
  `g_stop`;
- update D once to decrease -(log D(x) + log(1 - D(G(z)))) / 2, if that is above `d_above` and G's loss is below
  `d_unless_g`; the G(z) of this update are redrawn after G's updates.

Guessing gives a loss of log 2 = 0.69. The colour variant (hardmaru, 2016) compares pixels by twice their squared
difference instead of the Bernoulli likelihood: `reconstruction = "squares"`.
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from ganvas.methods.base import BatchSource, Scalars, frozen
from ganvas.methods.encoding import EncodingMethod, EncodingSettings
from ganvas.methods.optim import adam, descend
from ganvas.methods.settings import MOST_UPDATES, BuildTime, LearningRate, Slows, Updates
from ganvas.networks.cppn import to_images


class CPPNVAEGANSettings(EncodingSettings):
    """The settings of the VAE-GAN with a pixel network."""

    name: Literal["cppn_vae_gan"] = "cppn_vae_gan"
    vae_steps: int = Field(4, ge=0, le=MOST_UPDATES)
    """updates of E and G as an autoencoder per batch"""
    vae_pixels: PositiveInt | None = None
    """pixels of each image that such an update compares, drawn anew each time; none: all of them"""
    reconstruction: Literal["bernoulli", "squares"] = "bernoulli"
    """how pixels in [0, 1] are compared: by their likelihood in nats, or by twice their squared difference"""
    g_steps: Updates = 4
    """maximum number of updates of E and G against D per batch"""
    adversarial: NonNegativeFloat = 1.0
    """weight of the adversarial loss in these updates"""
    g_stop: NonNegativeFloat = 0.6
    """G stops when its loss against D is below this, in nats"""
    d_above: NonNegativeFloat = 0.6
    """D learns when its loss is above this, and"""
    d_unless_g: NonNegativeFloat = 0.75
    """the loss of G below this"""
    g_lr: Annotated[PositiveFloat, LearningRate("G"), Slows("G")] = 5e-3
    """learning rate of Adam for the updates against D"""
    vae_lr: Annotated[PositiveFloat, LearningRate("VAE"), Slows("G")] = 1e-3
    """learning rate of Adam for the autoencoder updates"""
    d_lr: Annotated[PositiveFloat, LearningRate("D"), Slows("D")] = 1e-3
    """learning rate of Adam for D"""
    beta1: Annotated[float, BuildTime()] = Field(0.65, ge=0, lt=1)
    """Adam's decay of the mean gradient"""
    beta2: Annotated[float, BuildTime()] = Field(0.999, ge=0, lt=1)
    """Adam's decay of the mean squared gradient"""


class CPPNVAEGAN(EncodingMethod):
    Settings = CPPNVAEGANSettings
    settings: CPPNVAEGANSettings

    def make_optimizers(self) -> dict[str, Optimizer]:
        s, both = self.settings, nn.ModuleList([self.G, self.E])
        betas = s.beta1, s.beta2
        return {"VAE": adam(both, s.vae_lr, betas), "G": adam(both, s.g_lr, betas), "D": adam(self.D, s.d_lr, betas)}

    def step(self, batches: BatchSource) -> Scalars:
        s = self.settings
        real, _ = batches.next()

        for _ in range(s.vae_steps):
            descend(self.optimizers["VAE"], self.autoencode(real))

        g_steps = 0
        while g_steps < s.g_steps:
            g_steps += 1
            fake, vae_loss, kl = self.redraw(real)
            with frozen(self.D):
                g_loss = -F.logsigmoid(self.D(fake)).mean()
                descend(self.optimizers["G"], s.adversarial * g_loss + vae_loss)
            if g_loss < s.g_stop:
                break

        with torch.no_grad():
            fake, vae_loss, kl = self.redraw(real)
        d_real, d_fake = self.D(real), self.D(fake)
        d_loss = -(F.logsigmoid(d_real).mean() + F.logsigmoid(-d_fake).mean()) / 2
        d_steps = bool(d_loss > s.d_above and g_loss < s.d_unless_g)
        if d_steps:
            descend(self.optimizers["D"], d_loss)

        record = {"d_loss": d_loss, "g_loss": g_loss, "vae_loss": vae_loss, "kl": kl}
        record |= {"d_real": d_real.sigmoid().mean(), "d_fake": d_fake.sigmoid().mean()}
        record |= {"g_steps": torch.tensor(float(g_steps)), "d_steps": torch.tensor(float(d_steps))}
        for name, right in (("real", d_real > 0), ("generated", d_fake > 0), ("detected", d_fake <= 0)):
            record[f"accuracy_{name}"] = right.float().mean()
        return {name: value.detach() for name, value in record.items()}

    def autoencode(self, real: Tensor) -> Tensor:
        """(Reconstruction + KL) / pixels in nats; the reconstruction may be estimated from some of the pixels."""
        pixels, some = self.spec.height * self.spec.width, self.settings.vae_pixels
        if some is None or some >= pixels:
            return self.redraw(real)[1]
        chosen = self.noise.permutation(pixels)[:some]
        z, kl = self.infer(real)
        logits = self.G(z, as_logits=True, at=chosen)
        return self.reconstruction_loss(logits, shares(real)[:, chosen]) / (len(real) * some) + kl.mean() / pixels

    def reconstruction_loss(self, logits: Tensor, pixels: Tensor) -> Tensor:
        """The reconstruction loss of `logits` for real pixels in [0, 1], both [B, P, C]; summed."""
        if self.settings.reconstruction == "squares":
            return 2 * (logits.sigmoid() - pixels).square().sum()
        return F.binary_cross_entropy_with_logits(logits, pixels, reduction="sum")

    def redraw(self, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Redrawn images, and the batch means of (reconstruction + KL) / pixels and of KL, in nats."""
        z, kl = self.infer(real)
        logits = self.G(z, as_logits=True)
        reconstruction = self.reconstruction_loss(logits, shares(real)) / len(real)
        images = to_images(logits.sigmoid(), self.spec.height, self.spec.width)
        return images, (reconstruction + kl.mean()) / (self.spec.height * self.spec.width), kl.mean()


def shares(images: Tensor) -> Tensor:
    """Images [B, C, H, W] in [-1, 1] -> their pixels [B, H * W, C] in [0, 1]."""
    return (images.permute(0, 2, 3, 1).flatten(1, 2) + 1) / 2
