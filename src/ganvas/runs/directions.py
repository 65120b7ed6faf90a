"""Directions in latent space along which the images of a run change most.

- `factorised`: closed-form factorisation (SeFa; Shen & Zhou, CVPR 2021, equation 7): the eigenvectors of AᵀA, where A
  are the weights of the layer that takes the latent. Needs nothing but the weights.
- `principal`: the principal components of the latents of training images, for a run with an encoder.
- `random`: to compare with.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganvas.compute.noise import Noise
from ganvas.core.errors import UserError
from ganvas.data import ImageSet
from ganvas.networks.base import Generator
from ganvas.runs.model import Model

ENCODED = 1_000  # maximum number of training images that are encoded
LEAST = 1e-6  # directions with less than this share of the largest eigenvalue change nothing


class Directions(NamedTuple):
    """K orthogonal directions, the one that changes most first."""

    vectors: Tensor  # float32 [K, latent], of length 1
    stds: Tensor  # float32 [K], the standard deviation of the latents along each
    shares: Tensor  # float32 [K], how much of all change or variance is along each, 0..1


def factorised(model: Model, count: int = 10) -> Directions:
    """The `count` directions (or fewer: not more than the first layer has units) that change the first layer most.

    The columns of the layer that belong to the label are left out, as is a norm after it.
    """
    generator, size = model.method.for_decoding("G"), model.method.settings.latent_size
    assert isinstance(generator, Generator)
    weights = generator.latent_layer.weight[:, :size].detach().cpu().double()
    vectors, values = strongest(weights.T @ weights, count)
    stds = torch.full((len(vectors),), model.method.prior_std)
    return Directions(vectors, stds, (values / weights.square().sum()).float())


def principal(model: Model, data: ImageSet, count: int = 10) -> Directions:
    """The principal components of the latents of up to ENCODED training images (`Model.data`), drawn at random.

    Raises UserError for a run without encoder.
    """
    chosen = np.random.default_rng(0).permutation(len(data))[:ENCODED]
    z = model.encode(np.moveaxis(data.images[chosen], 1, -1)).cpu().double()
    if len(z) < 2:
        raise UserError("principal components need 2 training images or more")
    z = z - z.mean(0)
    vectors, variances = strongest(z.T @ z / (len(z) - 1), count)
    return Directions(vectors, variances.sqrt().float(), (variances / (z.square().sum() / (len(z) - 1))).float())


def random(model: Model, count: int = 2, seed: int = 0) -> Directions:
    """`count` random orthogonal directions (or as many as a latent has numbers)."""
    size = model.method.settings.latent_size
    vectors = torch.linalg.qr(Noise(seed).normal(size, min(count, size)).double())[0].T
    stds = torch.full((len(vectors),), model.method.prior_std)
    return Directions(vectors.float(), stds, torch.full((len(vectors),), 1 / size))


def strongest(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The eigenvectors (as rows) of a symmetric matrix with the largest eigenvalues, and these; signs are fixed."""
    values, vectors = torch.linalg.eigh(matrix)
    values, vectors = values.flip(0)[:count], vectors.T.flip(0)[:count]
    keep = values > LEAST * values[0]
    values, vectors = values[keep], vectors[keep]
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return (vectors * largest.sign()).float(), values
