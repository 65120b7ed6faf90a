"""Latents of one's own images: by the encoder of a run, else by a search; and the files that keep them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ganvas.core import files, images
from ganvas.core.errors import UserError
from ganvas.runs.model import Model, decode_latents
from ganvas.runs.projection import STEPS, Projection, projecting
from ganvas.runs.samples import SampleRecipe

TOGETHER = 8  # images that are searched for at a time; memory grows with them

Progress = Callable[[int, int, float], object]  # called with the steps done, all steps, and the mean error so far


class Encoded(NamedTuple):
    """The latents of N images, and what a run makes of them."""

    z: torch.Tensor  # float32 [N, latent], on the CPU
    labels: np.ndarray | None  # int64 [N], for a conditional run
    originals: np.ndarray  # uint8 [N, H, W, C]
    redrawn: np.ndarray  # uint8 [N, H, W, C]

    @property
    def errors(self) -> np.ndarray:
        """Root mean square difference of the pixels, which are from 0 to 1: float64 [N]."""
        apart = (self.redrawn.astype(float) - self.originals) / 255
        found: np.ndarray = np.sqrt(np.square(apart).mean((1, 2, 3)))
        return found

    def latents(self, classes: int) -> torch.Tensor:
        """z, followed by the one-hot class of a conditional run: [N, latent + classes]."""
        if self.labels is None:
            return self.z
        return torch.cat([self.z, torch.eye(classes)[torch.from_numpy(self.labels)]], 1)


def encode(
    model: Model,
    originals: np.ndarray,
    label: int | str | None = None,
    search: int | None = None,
    progress: Progress = lambda done, total, error: None,
) -> Encoded:
    """The latents of images, uint8 [N, H, W, C] of the size of the training images.

    They come from the encoder of the run. Without one, or if `search` is given, they are searched for in this number of
    steps (`ganvas.runs.projection`). `label` is the class of all images, for a conditional run; by default, the search
    finds it. Raises UserError for images of another size, and for a wrong label.
    """
    if label is not None:
        model.labels(label, 1)  # refuses a run that is not conditional
    if search is None and model.method.has_encoder():
        found = Encoded(model.encode(originals).cpu(), None, originals, originals)
    else:
        found = _searched(model, originals, label, STEPS if search is None else search, progress)
    return found._replace(redrawn=decode_latents(model.method, found.latents(len(model.classes))))


def _searched(model: Model, originals: np.ndarray, label: int | str | None, steps: int, progress: Progress) -> Encoded:
    groups = [originals[start : start + TOGETHER] for start in range(0, len(originals), TOGETHER)]
    parts: list[Projection] = []
    for group in groups:
        for found in projecting(model, group, label, steps=steps):
            progress(len(parts) * steps + found.step, len(groups) * steps, float(found.errors.mean()))
        parts.append(found)
    labels = np.concatenate([part.labels for part in parts]) if model.method.conditional else None
    return Encoded(torch.cat([part.z.cpu() for part in parts]), labels, originals, originals)


def picture_of(out: Path) -> Path:
    """The picture beside a file of latents."""
    return out.with_name(f"{out.stem}-redrawn.png")


def check(out: Path, names: Sequence[Path] = ()) -> None:
    """Raise UserError if `save` could not write there, or would replace one of `names`. Call it before any work."""
    if out.suffix != ".npz":
        raise UserError(f"cannot write latents as '{out.suffix}': use an .npz file")
    for file in (out, picture_of(out)):
        files.check_output(file)
    if picture_of(out) in names:
        raise UserError(f"the picture of the result would replace '{picture_of(out)}': choose another --out")


def save(encoded: Encoded, out: Path, names: Sequence[Path], model: Model) -> None:
    """Write the latents as an .npz file, and beside it a picture: each original and what the run makes of it.

    The arrays are z [N, latent], errors [N], files [N] (`names`), and for a conditional run labels [N] and classes.
    """
    check(out, names)
    arrays: dict[str, Any] = {
        "z": encoded.z.numpy(),
        "errors": encoded.errors,
        "files": np.array(list(map(str, names))),
    }
    if encoded.labels is not None:
        arrays |= {"labels": encoded.labels, "classes": np.array(model.classes)}
    with files.atomic(out) as file:
        np.savez(file, **arrays)
    pairs = np.stack([encoded.originals, encoded.redrawn], 1).reshape(-1, *encoded.originals.shape[1:])
    sheet = images.grid(pairs, 2 * images.square_columns(-(-len(encoded.z) // 2)))
    recipe = SampleRecipe(**model.provenance(), latents=encoded.latents(len(model.classes)).tolist())
    images.save_png(picture_of(out), images.enlarge(sheet), recipe.values())
