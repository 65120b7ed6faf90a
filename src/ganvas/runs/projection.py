"""Projection: the latents whose images are nearest to given ones, by pixels, for a run of any method.

Of many random latents, those with the nearest images are the starts (and what the encoder finds, if there is one); then
Adam decreases

    |G(z) - x|² / pixels + pull · log² (|z|² / E|z|²)

for each of them by itself, and the nearest image that was met counts. The second term keeps the length of z near that
of random latents, as G has seen no others. As in the projections of StyleGAN2 (Karras et al., 2020, appendix D), the
learning rate rises and then falls to 0; unlike there, images are compared by pixels, and there is no noise.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganvas.compute.device import deterministic
from ganvas.compute.noise import Noise
from ganvas.core import images
from ganvas.core.errors import UserError
from ganvas.runs.model import DECODE_BATCH, Model

STEPS = 200
DRAWS = 128  # random latents to start from
STARTS = 8  # of them that are optimised, for each image
RATE = 0.1  # largest learning rate of Adam, in standard deviations of the latents
RISE = 0.05  # share of the steps in which it rises
FALL = 0.5  # share of the steps in which it falls
PULL = 0.02


class Projection(NamedTuple):
    """The latents found for N images."""

    z: Tensor  # float32 [N, latent]
    labels: np.ndarray | None  # int64 [N], for a conditional method
    errors: np.ndarray  # float64 [N]: root mean square difference of the pixels, which are from 0 to 1
    step: int  # done of `steps`; 0: the best random latents
    steps: int


def project(model: Model, pixels: np.ndarray, label: int | str | None = None, **options: int) -> Projection:
    """The latents whose images are nearest to `pixels`; as `projecting`, to its end."""
    for found in projecting(model, pixels, label, **options):
        last = found
    return last


def projecting(
    model: Model,
    pixels: np.ndarray,
    label: int | str | None = None,
    *,
    steps: int = STEPS,
    draws: int = DRAWS,
    starts: int = STARTS,
    seed: int = 0,
) -> Iterator[Projection]:
    """The best latents so far, before the first step and after each one; stop iterating to cancel.

    `pixels`: uint8 [N, H, W, C] of the size of the training images. For a conditional method, `label` is the class, by
    name or number; by default the best one is found. Repeatable: a seed gives the same result on the same machine. The
    method must not be used by another thread meanwhile. Raises UserError for images of another shape, a wrong label,
    and for fewer than 1 start, or fewer draws than starts.
    """
    model.check_pixels(pixels)
    if not 1 <= starts <= draws or steps < 0:
        raise UserError(f"cannot project with {starts} starts of {draws} draws: use 1 or more of more draws")
    method = model.method
    classes = len(model.classes) if method.conditional else 0
    if label is not None:
        model.labels(label, 1)  # refuses a run without classes
    noise, device, std = Noise(seed), method.compute.device, method.prior_std
    target = images.from_uint8(torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 1))).to(device))
    drawn = method.prior(draws, noise).to(device)
    chosen = torch.arange(draws, device=device) % max(classes, 1)
    if label is not None:
        chosen = torch.full_like(chosen, model.class_index(label))
    with deterministic():
        parts = zip(drawn.split(DECODE_BATCH), chosen.split(DECODE_BATCH), strict=True)
        decoded = torch.cat([method.decode(z, y if classes else None) for z, y in parts])
        apart = torch.stack([(decoded - one).flatten(1).square().mean(1) for one in target])  # [N, draws]
    nearest = apart.topk(starts, largest=False)
    first, least = drawn[nearest.indices], nearest.values  # [N, starts, latent], [N, starts]
    if method.has_encoder():  # in place of the last start
        first[:, -1] = model.encode(pixels)
        with deterministic():
            least[:, -1] = (method.decode(first[:, -1]) - target).flatten(1).square().mean(1)
    z = first.flatten(0, 1).requires_grad_()  # [N * starts, latent]
    y = chosen[nearest.indices.flatten()]
    targets = target.repeat_interleave(starts, 0)
    best, least = z.detach().clone(), least.flatten()

    def result(step: int) -> Projection:
        places = least.view(-1, starts).argmin(1) + starts * torch.arange(len(target), device=device)
        errors = least[places].cpu().double().sqrt().numpy() / 2  # pixels are from -1 to 1 here
        return Projection(best[places].clone(), y[places].cpu().numpy() if classes else None, errors, step, steps)

    yield result(0)
    expected = method.settings.latent_size * std**2  # of |z|²
    optimizer = torch.optim.Adam([z], fused=False)
    for step in range(1, steps + 1):
        with deterministic(), torch.enable_grad():
            drawn_now = method.decode_differentiably(z, y if classes else None)
            errors = (drawn_now - targets).flatten(1).square().mean(1)
            pulled = (z.square().sum(1) / expected).log().square()
            (z.grad,) = torch.autograd.grad((errors + PULL * pulled).sum(), z)
        with torch.no_grad():
            clamped = (drawn_now.clamp(-1, 1) - targets).flatten(1).square().mean(1)
            nearer = clamped < least
            least = torch.where(nearer, clamped, least)
            best = torch.where(nearer[:, None], z, best)
        optimizer.param_groups[0]["lr"] = RATE * std * _ramp((step - 1) / steps)
        optimizer.step()
        yield result(step)


def _ramp(time: float) -> float:
    """The factor of the learning rate at a time from 0 to 1."""
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - time) / FALL))
    return fall * min(1.0, (time + 1e-3) / RISE)
