"""Latents of the training images of each class, for a run with an encoder.

They are encoded from the training images, which must be at hand; a published model brings some in a file of its own,
`latents.safetensors`: z.CLASS [N, latent_size] and mean.CLASS [latent_size], with the number of the class.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.data import ImageSet
from ganvas.runs.model import Model

ENCODED = 1_000  # maximum number of images of a class that are encoded
KEPT = 64  # of these latents in the file


class ClassLatents(NamedTuple):
    """Latents of a class, in random order, and their mean."""

    z: Tensor  # [N, latent_size]
    mean: Tensor  # [latent_size], of all that were encoded: N or more


def encode_class(model: Model, label: str, data: ImageSet) -> ClassLatents:
    """The latents of the training images (`Model.data`) of a class.

    Raises UserError for an unknown class, a class without images, and a run without encoder.
    """
    index = model.class_index(label)
    assert data.labels is not None, "there are classes"
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(data.labels == index))[:ENCODED]
    if not len(chosen):
        raise UserError(f"the run has no training images of '{label}': choose another label")
    z = model.encode(np.moveaxis(data.images[chosen], 1, -1))
    return ClassLatents(z, z.mean(0))


class LatentsOfClasses:
    """The latents of the classes of a run: from its file if it has one, else from its training images."""

    def __init__(self, model: Model, data_dir: Path | None = None) -> None:
        """Raises UserError if there is no file and the images are missing, or for a file that is damaged."""
        self.model, self.kept = model, _read(model.run.latents_file)
        self.data = model.data(data_dir) if self.kept is None else None

    def __call__(self, label: str) -> ClassLatents:
        """Raises UserError as `encode_class` does."""
        if self.kept is None:
            assert self.data is not None, "one of both is there"
            return encode_class(self.model, label, self.data)
        index = self.model.class_index(label)
        size = self.model.method.settings.latent_size
        found = [self.kept.get(f"{part}.{index}") for part in ("z", "mean")]
        z, mean = (None if each is None else each.to(self.model.method.compute.device) for each in found)
        if z is None or mean is None or z.ndim != 2 or z.shape[1] != size or mean.shape != (size,) or not len(z):
            raise UserError(f"'{self.model.run.latents_file}' has no latents of '{label}': choose another label")
        return ClassLatents(z, mean)


def to_file(latents: dict[int, ClassLatents]) -> bytes:
    """The content of the file with the latents of the classes, by number."""
    tensors: dict[str, Tensor] = {}
    for index, (z, mean) in sorted(latents.items()):
        tensors |= {f"z.{index}": z[:KEPT].cpu().contiguous(), f"mean.{index}": mean.cpu().contiguous()}
    return save_tensors(tensors)


def _read(file: Path) -> dict[str, Tensor] | None:
    """The tensors of the file, if there is one."""
    try:
        return {name: tensor.to(torch.float32) for name, tensor in load_tensors(files.read(file)).items()}
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"cannot read the latents in '{file}': {error}") from None
