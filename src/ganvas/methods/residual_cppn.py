"""A pixel network trained against a classifier; pixels are never compared with real ones.

After "More MNIST Digits at 1080x1080 Resolution" (otoro.net, 2016). The discriminator is a classifier over the K
classes of the data and one more, "generated". Real images x with labels y are encoded as latents z ~ E(x) and redrawn
as G(z). For one batch:

- up to `g_steps` times, update G and E to decrease CE(D(G(z)), y) + `kl_weight` · KL / pixels, until G's images pass as
  their class;
- if D detects too few generated images while enough of them pass as their class, update D up to `d_steps` times to
  decrease (w · CE(D(x), y) + CE(D(G(z)), K)) / (w + 1), w = `real_weight`;
- else, if D does not recognise enough real images yet, update it on real images alone.

Whether D is updated is decided by images that are redrawn after G's updates. Accuracies are measured on the batch,
before the update.
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn
from torch.optim import Optimizer

from ganvas.core.errors import UserError
from ganvas.methods.base import BatchSource, Scalars, frozen
from ganvas.methods.encoding import EncodingMethod, EncodingSettings
from ganvas.methods.optim import adam, descend
from ganvas.methods.settings import BuildTime, LearningRate, Slows, Updates


class ResidualCPPNSettings(EncodingSettings):
    """The settings of the pixel network that is trained against a classifier."""

    name: Literal["residual_cppn"] = "residual_cppn"
    g_steps: Updates = 16
    """maximum number of updates of G and E per batch"""
    g_stop: float = Field(0.98, ge=0, le=1)
    """G stops when more than this share of its images passes as the right class"""
    d_steps: Updates = 8
    """maximum number of updates of D per batch"""
    d_start_detected: float = Field(0.7, ge=0, le=1)
    """D learns from both when it detects less than this share of the generated images, and"""
    d_start_passed: float = Field(0.6, ge=0, le=1)
    """more than this share of them passes as the right class;"""
    d_stop_detected: float = Field(0.75, ge=0, le=1)
    """it stops when it detects more than this share"""
    d_start_real: float = Field(0.6, ge=0, le=1)
    """otherwise D learns from real images alone when it recognises less than this share of them;"""
    d_stop_real: float = Field(0.7, ge=0, le=1)
    """it stops when it recognises more than this share"""
    real_weight: PositiveFloat = 10.0
    """weight of the real images in the loss of D; that of the generated images is 1"""
    kl_weight: NonNegativeFloat = 10.0
    """weight of KL / pixels in the loss of G and E"""
    g_lr: Annotated[PositiveFloat, LearningRate("G"), Slows("G")] = 1e-3
    """learning rate of Adam for G and E"""
    d_lr: Annotated[PositiveFloat, LearningRate("D"), LearningRate("D_real"), Slows("D")] = 1e-3
    """learning rate of Adam for D"""
    beta1: Annotated[float, BuildTime()] = Field(0.75, ge=0, lt=1)
    """Adam's decay of the mean gradient"""
    beta2: Annotated[float, BuildTime()] = Field(0.999, ge=0, lt=1)
    """Adam's decay of the mean squared gradient"""
    d_optimizers: Annotated[Literal[1, 2], BuildTime()] = 1
    """1: one Adam for all updates of D; 2: a second one for those on real images alone"""
    clip: NonNegativeFloat = 5.0
    """maximum joint norm of the gradients of an update; 0 = no limit"""


class ResidualCPPN(EncodingMethod):
    Settings = ResidualCPPNSettings
    settings: ResidualCPPNSettings
    classifies = True

    def build(self) -> None:
        if not self.spec.num_classes:
            raise UserError(
                "method 'residual_cppn' needs labelled data: put the images in one sub-folder per class, "
                "or use method.name=cppn_vae_gan"
            )
        super().build()

    def make_optimizers(self) -> dict[str, Optimizer]:
        s = self.settings
        betas = s.beta1, s.beta2
        networks = {"G": nn.ModuleList([self.G, self.E]), "D": self.D}
        if s.d_optimizers == 2:
            networks["D_real"] = self.D
        rates = s.learning_rates()
        return {name: adam(network, rates[name], betas) for name, network in networks.items()}

    def d_outputs(self) -> int:
        return self.spec.num_classes + 1

    def step(self, batches: BatchSource) -> Scalars:
        s = self.settings
        real, y = batches.next()
        assert y is not None, "labelled data"
        generated = torch.full_like(y, self.spec.num_classes)
        pixels = self.spec.height * self.spec.width

        g_steps = d_steps = 0
        while g_steps < s.g_steps:
            g_steps += 1
            fake, kl = self.redraw(real)
            with frozen(self.D):
                logits = self.D(fake)
                g_loss = F.cross_entropy(logits, y)
                descend(self.optimizers["G"], g_loss + s.kl_weight * kl.mean() / pixels, s.clip)
            passed = _share(logits, y)
            if passed > s.g_stop:
                break

        with torch.no_grad():
            real_logits, logits = self.D(real), self.D(self.redraw(real)[0])
            known, detected = _share(real_logits, y), _share(logits, generated)
        record = {"g_loss": g_loss, "kl": kl.mean(), "accuracy_real": known}
        record |= {"d_real": _real(real_logits), "d_fake": _real(logits)}
        record |= {"accuracy_generated": passed, "accuracy_detected": detected}

        against_generated = bool(detected < s.d_start_detected and passed > s.d_start_passed)
        if against_generated or known < s.d_start_real:
            while d_steps < s.d_steps:
                d_steps += 1
                logits = self.D(real)
                d_loss = F.cross_entropy(logits, y)
                if against_generated:
                    with torch.no_grad():
                        fake, _ = self.redraw(real)
                    fake_logits = self.D(fake)
                    d_loss = (s.real_weight * d_loss + F.cross_entropy(fake_logits, generated)) / (s.real_weight + 1)
                    enough = _share(fake_logits, generated) > s.d_stop_detected
                else:
                    enough = _share(logits, y) > s.d_stop_real
                alone = s.d_optimizers == 2 and not against_generated
                descend(self.optimizers["D_real" if alone else "D"], d_loss, s.clip)
                if enough:
                    break
            record["d_loss"] = d_loss
        record |= {"g_steps": torch.tensor(float(g_steps)), "d_steps": torch.tensor(float(d_steps))}
        return {name: value.detach() for name, value in record.items()}

    def redraw(self, real: Tensor) -> tuple[Tensor, Tensor]:
        """Redrawn images, and KL [B]; G computes in full precision, as its many blocks amplify rounding errors."""
        z, kl = self.infer(real)
        return self.G(z, exact=True), kl


def _real(logits: Tensor) -> Tensor:
    """The mean probability that an image is real, i.e. not of the last class."""
    return 1 - logits.softmax(1)[:, -1].mean()


def _share(logits: Tensor, classes: Tensor) -> Tensor:
    """The share of images that are classified as the given classes."""
    return (logits.argmax(1) == classes).float().mean()
