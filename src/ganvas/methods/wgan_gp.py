"""The Wasserstein GAN, with a gradient penalty (Gulrajani et al., 2017) or clipped weights (Arjovsky et al., 2017).

One step: `n_critic` times, draw real images x and as many generated G(z), and lower D(G(z)) - D(x) plus
`penalty` · (|∇D(x̂)| - 1)², the mean over points x̂ drawn evenly from the segments between them; then once raise D(G(z)).
With `clip` there is no penalty: after each of its updates D's weights are cut to [-clip, clip].

The published residual networks for CIFAR-10 have two things more: G's batch is twice D's (`g_batch`), and the 256
levels of real images are blurred by uniform noise (`dequantise`). Deviations: their auxiliary classifier is left out,
and so is the label. D may not normalise over the batch: the penalty holds for each image by itself.
"""

from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.optim import Optimizer

from ganvas.methods.base import (
    BatchSource,
    TwoRates,
    TwoRateSettings,
    adam,
    descend,
    frozen,
    full,
    refuse_batch_norm,
    rmsprop,
)


class WGANGPSettings(TwoRateSettings):
    """The settings of the Wasserstein GAN."""

    name: Literal["wgan_gp"] = "wgan_gp"
    latent_size: PositiveInt = 128
    """numbers in a latent vector, each drawn from N(0, 1)"""
    n_critic: PositiveInt = 5
    """updates of D per update of G, each on a new batch"""
    g_batch: PositiveInt = 1
    """images in an update of G, as a multiple of the batch"""
    dequantise: NonNegativeFloat = 0.0
    """width of the uniform noise that is added to real images; one of 256 levels is 1/128 wide"""
    penalty: NonNegativeFloat = 10.0
    """weight of the gradient penalty"""
    clip: PositiveFloat | None = None
    """cut D's weights to this size, in place of the penalty (0.01 was published)"""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """with rmsprop the betas do nothing"""
    lr: PositiveFloat = 1e-4
    """learning rate of G, and of D unless d_lr is set"""
    beta2: float = Field(0.9, ge=0, lt=1)
    """Adam's decay of the mean squared gradient"""

    def idle(self) -> dict[str, str]:
        return {} if self.clip is None else {"penalty": "clip"}


class WGANGP(TwoRates):
    Settings = WGANGPSettings
    settings: WGANGPSettings
    logistic = False

    def build(self) -> None:
        s, spec = self.settings, self.spec._replace(num_classes=0)
        self.G = self.place("G", self.networks.generator(spec, s.latent_size))
        self.D = self.place("D", self.networks.discriminator(spec))
        if s.clip is None:
            refuse_batch_norm(self.D, "the gradient penalty")
        for name, lr in self.learning_rates().items():
            module, betas = self.modules[name], (s.beta1, s.beta2)
            optimizer: Optimizer = adam(module, lr, betas) if s.optimizer == "adam" else rmsprop(module, lr, eps=1e-8)
            self.optimizers[name] = optimizer

    def recordable(self) -> bool:
        return True

    def step(self, batches: BatchSource) -> dict[str, Tensor]:
        s = self.settings
        for _ in range(s.n_critic):
            real, _ = batches.next()
            if s.dequantise:
                real = real + s.dequantise * self.uniform(*real.shape)
            with torch.no_grad():
                fake = self._generate(len(real))
            d_real, d_fake = self._critic(real).mean(), self._critic(fake).mean()
            penalty = torch.zeros_like(d_real) if s.clip is not None else self.gradient_penalty(real, fake)
            d_loss = d_fake - d_real + s.penalty * penalty
            descend(self.optimizers["D"], d_loss)
            if s.clip is not None:
                with torch.no_grad():
                    torch._foreach_clamp_min_(list(self.D.parameters()), -s.clip)
                    torch._foreach_clamp_max_(list(self.D.parameters()), s.clip)

        with frozen(self.D):
            g_loss = -self._critic(self._generate(s.g_batch * len(real))).mean()
            descend(self.optimizers["G"], g_loss)

        record = {"d_loss": d_loss, "g_loss": g_loss, "d_real": d_real, "d_fake": d_fake}
        if s.clip is None:
            record["gradient_penalty"] = penalty
        return {name: value.detach() for name, value in record.items()}

    def gradient_penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """The mean of (|∇D(x̂)| - 1)² over the batch: a scalar with a graph."""
        share = self.uniform(len(real), 1, 1, 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(self._critic(between).sum(), between, create_graph=True)
        length: Tensor = gradient.flatten(1).norm(dim=1)
        return (length - 1).square().mean()

    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        return self.draw(z, None, size)

    def _generate(self, count: int) -> Tensor:
        with self.compute.autocast():
            images: Tensor = self.G(self.randn(count, self.settings.latent_size), None)
        return full(images)

    def _critic(self, images: Tensor) -> Tensor:
        """D's output, at least float32 [B]."""
        with self.compute.autocast():
            out: Tensor = self.D(images, None)
        return full(out)[:, 0]
