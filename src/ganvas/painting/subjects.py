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
from ganvas.networks.base import Generator
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
    assert isinstance(generator, Generator)
    return generator.latent(z, y)[0]


def open_files(model: Model, files: Sequence[Path], invert: bool = False) -> np.ndarray:
    """Image files as images of a run, uint8 [N, H, W, C]; `invert` inverts them.

    Raises UserError for a file that is not an image.
    """
    images = load_files(files, model.run.recipe().data, model.method.spec, model.run.info().data.whites)
    return np.moveaxis(255 - images if invert else images, 1, -1)


def encode_files(model: Model, files: Sequence[Path], invert: bool = False) -> Tensor:
    """Latents of image files by the encoder of a run: [N, latent_size].

    Raises UserError as `open_files` does, and for a run without encoder.
    """
    return model.encode(open_files(model, files, invert))


def read_latents(model: Model, file: Path) -> Tensor:
    """The latents in a file, [N, `Method.latent_length`]; raises UserError if they do not fit the run."""
    size = model.method.settings.latent_size
    return latents.read(file, size, model.method.latent_length - size)


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
    """Subjects with the latents of `choose_latents`; raises UserError as it does, and without a pixel network."""
    painter = trained_network(model)
    found = choose_latents(model, seeds, labels, images, z, truncation=truncation, invert=invert, data_dir=data_dir)
    return [Subject(painter, each, name) for each, name in found]


def choose_latents(
    model: Model,
    seeds: Sequence[int] = (0,),
    labels: Sequence[str] = (),
    images: Sequence[Path] = (),
    z: Path | None = None,
    *,
    truncation: float = 1.0,
    invert: bool = False,
    data_dir: Path | None = None,
) -> list[tuple[Tensor, str]]:
    """The latents of `images`, those in the file `z`, or those of `seeds` (for each of `labels`), with their sources.

    A latent has the numbers of z, then one for each class of a conditional run, whose images they are the shares of.
    For a run with an encoder, the latents of a label are those of training images, and the seed selects one of them.
    `truncation` pulls latents towards the mean of their class, or else towards 0; a truncation of 0 gives the mean.
    Raises UserError for a combination that the run does not support.
    """
    if not abs(truncation) <= MOST_TRUNCATION:
        raise UserError(f"a truncation of {truncation} cannot be painted: 1 keeps the latents, 0 is their mean")
    encoded = LatentsOfClasses(model, data_dir) if labels and not model.method.conditional else None
    found: list[tuple[Tensor, str]] = []
    if images:
        found += zip(
            encode_files(model, images, invert), (f"image {writable(file.name)}" for file in images), strict=True
        )
    elif z is not None:
        rows = read_latents(model, z)
        found += ((each, f"{writable(z.name)} {i}") for i, each in enumerate(rows))
    elif not labels:
        found += ((seed_latent(model, seed, None, truncation), f"seed {seed}") for seed in seeds)
    for label in labels:
        if encoded is None:
            zs = [seed_latent(model, seed, label, truncation) for seed in seeds]
        else:
            those, mean = encoded(label)
            zs = [latents.truncated(those[seed % len(those)], mean, truncation) for seed in seeds]
        found += ((each, f"{label} seed {seed}") for each, seed in zip(zs, seeds, strict=True))
    return found
