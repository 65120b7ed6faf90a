"""The Wasserstein GAN, with a gradient penalty (Gulrajani et al., 2017) or clipped weights (Arjovsky et al., 2017).

One step: `n_critic` times, draw a batch of real images x and as many generated images G(z), and update D to decrease
D(G(z)) - D(x) plus `penalty` · (|∇D(x̂)| - 1)², the mean over points x̂ drawn uniformly from the segments between them;
then once update G to increase D(G(z)). With `clip` there is no penalty: after each update, D's weights are clipped to
[-clip, clip].

The published residual networks for CIFAR-10 have two additions: G's batch is twice as large as D's (`g_batch`), and
uniform noise is added to the 256 levels of real images (`dequantise`). Deviations: no auxiliary classifier and no
labels. D must not normalise over the batch, as the penalty is defined for each image separately.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.optim import Optimizer

from ganvas.methods.base import BatchSource, Scalars, TwoRates, frozen, recordable
from ganvas.methods.optim import descend, rmsprop
from ganvas.methods.penalties import refuse_batch_norm, refuse_spectral_norm
from ganvas.methods.settings import BuildTime, LearningRate, OverriddenBy, Slows, TwoRateSettings, Updates


class WGANGPSettings(TwoRateSettings):
    """The settings of the Wasserstein GAN."""

    name: Literal["wgan_gp"] = "wgan_gp"
    latent_size: Annotated[PositiveInt, BuildTime()] = 128
    """numbers in a latent vector, each drawn from N(0, 1)"""
    n_critic: Updates = 5
    """updates of D per update of G, each on a new batch"""
    g_batch: PositiveInt = 1
    """images in an update of G, as a multiple of the batch size"""
    dequantise: NonNegativeFloat = 0.0
    """width of the uniform noise that is added to real images; one of the 256 levels is 1/128 wide"""
    penalty: Annotated[NonNegativeFloat, OverriddenBy("clip")] = 10.0
    """weight of the gradient penalty"""
    clip: PositiveFloat | None = None
    """clip D's weights to [-clip, clip] instead of using the penalty (published: 0.01); none: no clipping"""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """optimiser of G and D; with rmsprop the betas have no effect"""
    lr: Annotated[PositiveFloat, LearningRate("G"), Slows("G")] = 1e-4
    """learning rate of G, and of D unless d_lr is set"""
    beta2: Annotated[float, BuildTime()] = Field(0.9, ge=0, lt=1)
    """Adam's decay of the mean squared gradient"""

    @property
    def logistic(self) -> bool:
        return False

    def images_at_once(self, batch: int) -> int:
        return batch * self.g_batch


class WGANGP(TwoRates):
    Settings = WGANGPSettings
    settings: WGANGPSettings

    def build(self) -> None:
        s, spec = self.settings, self.spec._replace(num_classes=0)
        self.G = self.place("G", self.networks.generator(spec, s.latent_size))
        self.D = self.place("D", self.networks.discriminator(spec))
        if s.clip is None:
            refuse_batch_norm(self.D, "the gradient penalty")
        else:
            refuse_spectral_norm(self.D, "method.clip")

    def make_optimizers(self) -> dict[str, Optimizer]:
        s = self.settings
        if s.optimizer == "adam":
            return super().make_optimizers()
        return {"G": rmsprop(self.G, s.lr, eps=1e-8), "D": rmsprop(self.D, s.d_lr or s.lr, eps=1e-8)}

    @recordable
    def step(self, batches: BatchSource) -> Scalars:
        s = self.settings
        for _ in range(s.n_critic):
            x, _ = batches.next()
            if s.dequantise:
                x = x + s.dequantise * self.noise.uniform(*x.shape)
            with torch.no_grad():
                fake = self.G(self.prior(len(x), self.noise))
            d_real, d_fake = self.critic(x).mean(), self.critic(fake).mean()
            penalty = torch.zeros_like(d_real) if s.clip is not None else self.gradient_penalty(x, fake)
            d_loss = d_fake - d_real + s.penalty * penalty
            descend(self.optimizers["D"], d_loss)
            if s.clip is not None:
                with torch.no_grad():
                    for weights in self.D.parameters():
                        weights.clamp_(-s.clip, s.clip)

        with frozen(self.D):
            fake = self.G(self.prior(s.g_batch * len(x), self.noise))
            g_loss = -self.critic(fake).mean()
            descend(self.optimizers["G"], g_loss)

        record = {"d_loss": d_loss, "g_loss": g_loss, "d_real": d_real, "d_fake": d_fake}
        if s.clip is None:
            record["gradient_penalty"] = penalty
        return {name: value.detach() for name, value in record.items()}

    def gradient_penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """The mean of (|∇D(x̂)| - 1)² over the batch, differentiable."""
        share = self.noise.uniform(len(real), 1, 1, 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        length: Tensor = gradient.flatten(1).norm(dim=1)
        return (length - 1).square().mean()

    def critic(self, images: Tensor) -> Tensor:
        """D's output [B]."""
        out: Tensor = self.D(images)
        return out[:, 0]

    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        return self.draw(z, None, size)
