"""Subjects of paintings: a painter with a latent, which comes from a seed, a class, an image or a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.core.text import writable
from ganvas.data import load_files
from ganvas.networks.cppn import PixelGenerator
from ganvas.painting import latents
from ganvas.painting.painter import Painter, trained_network
from ganvas.runs.class_latents import LatentsOfClasses
from ganvas.runs.model import Model

MOST_TRUNCATION = 1e6  # a network paints nothing that far out


@dataclass(frozen=True)
class Subject:
    """A painter and the latent that it paints."""

    painter: Painter
    z: Tensor  # [latent_size]
    source: str  # where the latent comes from, as text for users


def random_latent(painter: Painter, seed: int) -> Tensor:
    """The latent of a seed for a random network: [latent_size]."""
    return torch.randn(painter.latent_size, generator=torch.Generator().manual_seed(seed))


def seed_latent(model: Model, seed: int, label: str | None = None, truncation: float = 1.0) -> Tensor:
    """The latent of a seed, times `truncation`: [latent_size]. Without `label`, seeds alternate between the classes."""
    z, y = model.method.latents([seed]) * truncation, None
    if model.method.conditional:
        index = seed % len(model.classes) if label is None else model.class_index(label)
        y = torch.tensor([index], device=z.device)
    generator = model.method.for_decoding("G")
    assert isinstance(generator, PixelGenerator), "`trained_network` refuses others"
    return generator.latent(z, y)[0]


def encode_files(model: Model, files: Sequence[Path], invert: bool = False) -> Tensor:
    """Latents of image files: [N, latent_size]. `invert` inverts the images first.

    Raises UserError for a file that is not an image, and for a run without encoder.
    """
    images = load_files(files, model.run.recipe().data, model.method.spec)
    return model.encode(np.moveaxis(255 - images if invert else images, 1, -1))


def choose_subjects(
    model: Model,
    seeds: Sequence[int] = (0,),
    labels: Sequence[str] = (),
    images: Sequence[Path] = (),
    z: Path | None = None,
    *,
    truncation: float = 1.0,
    invert: bool = False,
    data_dir: Path | None = None,
) -> list[Subject]:
    """Subjects with the latents of `images`, those in the file `z`, or those of `seeds` (for each of `labels`).

    For a run with an encoder, the latents of a label are those of training images, and the seed selects one of them.
    `truncation` pulls latents towards the mean of their class, or else towards 0; a truncation of 0 gives the mean.
    Raises UserError for a combination that the run does not support.
    """
    painter = trained_network(model)
    if not abs(truncation) <= MOST_TRUNCATION:
        raise UserError(f"a truncation of {truncation} cannot be painted: 1 keeps the latents, 0 is their mean")
    encoded = LatentsOfClasses(model, data_dir) if labels and not model.method.conditional else None
    found: list[tuple[Tensor, str]] = []
    if images:
        found += zip(
            encode_files(model, images, invert), (f"image {writable(file.name)}" for file in images), strict=True
        )
    elif z is not None:
        found += ((each, f"{writable(z.name)} {i}") for i, each in enumerate(latents.read(z, painter.latent_size)))
    elif not labels:
        found += ((seed_latent(model, seed, None, truncation), f"seed {seed}") for seed in seeds)
    for label in labels:
        if encoded is None:
            zs = [seed_latent(model, seed, label, truncation) for seed in seeds]
        else:
            those, mean = encoded(label)
            zs = [latents.truncated(those[seed % len(those)], mean, truncation) for seed in seeds]
        found += ((each, f"{label} seed {seed}") for each, seed in zip(zs, seeds, strict=True))
    return [Subject(painter, each, name) for each, name in found]
