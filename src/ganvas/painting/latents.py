"""Paths through latent space, and latents from files."""

import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ganvas.core import files
from ganvas.core.errors import UserError

Ease = Literal["linear", "sine"]

ENDINGS = (".npy", ".npz", ".json", ".txt")
LEAST_SINE = 1e-6  # of the angle between two directions; below it, the direction of the rotation is undefined


def path(anchors: Tensor, frames: int, ease: Ease = "linear", spherical: bool = False, loop: bool = False) -> Tensor:
    """anchors [K, L] -> [frames, L] of the same dtype: from the first anchor to the last, in equal time for each leg.

    The first frame is the first anchor and the last frame is the last anchor, bit for bit. With `loop` the path returns
    to the first anchor and ends one step before it, so that a film repeats smoothly. `linear` has constant speed,
    `sine` slows down at the anchors. `spherical` rotates the direction at constant speed while the length changes
    linearly; it is a straight line between anchors that are parallel, opposite or zero. A path with one anchor stays
    there. Raises UserError for fewer frames than anchors.
    """
    count = len(anchors)
    if count < 1:
        raise UserError("a path needs at least one anchor: give a latent or a seed")
    if frames < count:
        raise UserError(f"too few frames to visit each anchor: ask for {count} or more, not {frames}")
    legs = count if loop and count > 1 else count - 1
    steps = max(1, frames if loop else frames - 1)
    places = torch.arange(frames) * legs  # in units of 1 / steps of a leg: integers, so anchors are met exactly
    leg, time = places // steps, (places % steps).double()[:, None] / steps
    if ease == "sine":
        time = (1 - torch.cos(math.pi * time)) / 2
    points = anchors.detach().cpu().double()
    a, b = points[leg], points[(leg + 1) % count]
    between = rotated(a, b, time) if spherical else torch.lerp(a, b, time)
    return torch.where(time == 0, a, between).to(anchors)


def zooms(start: float, stop: float, frames: int) -> list[float]:
    """Magnifications from exactly `start` to exactly `stop`, with a constant factor between frames.

    The eye perceives this as constant speed. Raises UserError for a zoom that is not above 0, or for too few frames.
    """
    if not (0 < start < math.inf and 0 < stop < math.inf):
        raise UserError(f"cannot zoom from {start:g} to {stop:g}: give numbers above 0")
    least = 1 if start == stop else 2
    if frames < least:
        raise UserError(f"too few frames to zoom from {start:g} to {stop:g}: ask for {least} or more, not {frames}")
    last = frames - 1
    return [start * (stop / start) ** (i / last) for i in range(last)] + [stop]


def truncated(z: Tensor, mean: Tensor, truncation: float) -> Tensor:
    """Latents [..., L] pulled towards their mean [L]: 0 gives the mean, 1 leaves them unchanged, bit for bit."""
    return z if truncation == 1 else mean + truncation * (z - mean)


def read(path: Path, latent_size: int, num_classes: int = 0) -> Tensor:
    """Read float32 [N, latent_size] from `.npy`, `.npz` (`z` or the only array), `.json` (lists) or `.txt` (lines).

    A single latent becomes [1, latent_size]. With classes, the result is [N, latent_size + num_classes]: the file has
    rows of this length, the last numbers of which are shares of the classes, or is an `.npz` that also has `labels`,
    the numbers of the classes [N]. Raises UserError for a file that cannot be read or holds anything else.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"cannot read latents from '{path}': its name has to end in {', '.join(ENDINGS)}")
    try:
        with np.errstate(over="ignore"):  # numbers that are too large become infinite, and are refused below
            numbers, labels = _rows(path)
            rows = np.atleast_2d(np.asarray(numbers)).astype(np.float32, order="C", casting="same_kind")
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read latents from '{path}': {error.strerror or 'it is damaged'}") from None
    except Exception:  # damaged files, and archives that are encrypted or of later versions, can raise anything
        raise UserError(f"'{path}' does not hold latents: it takes rows of numbers, all of one length") from None
    if rows.ndim != 2 or not rows.size:
        raise UserError(f"'{path}' holds numbers of the shape {rows.shape}: latents are rows of {latent_size} numbers")
    if num_classes and rows.shape[1] == latent_size:
        rows = np.concatenate([rows, _one_hot(path, labels, len(rows), num_classes)], axis=1)
    elif rows.shape[1] != latent_size + num_classes:
        classes = f", and the {num_classes} shares of its classes" if num_classes else ""
        raise UserError(f"the latents in '{path}' are of size {rows.shape[1]}: this run needs {latent_size}{classes}")
    if not np.isfinite(rows).all():
        raise UserError(f"the latents in '{path}' are not all finite: leave out nan and numbers too large for float32")
    return torch.from_numpy(rows)


def rotated(a: Tensor, b: Tensor, time: Tensor) -> Tensor:
    """[N, L] between a and b [N, L] at times [N, 1] in 0..1: rotated at constant speed, with linear length."""
    long_a, long_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    to_a, to_b = a / long_a, b / long_b
    # Near 180 degrees this is far more accurate than an arc cosine.
    angle = 2 * torch.atan2((to_a - to_b).norm(dim=1, keepdim=True), (to_a + to_b).norm(dim=1, keepdim=True))
    sine = torch.sin(angle)
    direction = (torch.sin((1 - time) * angle) * to_a + torch.sin(time * angle) * to_b) / sine
    # The direction of a zero vector is nan, and so is its sine: the comparison is false.
    return torch.where(sine > LEAST_SINE, torch.lerp(long_a, long_b, time) * direction, torch.lerp(a, b, time))


def _one_hot(path: Path, labels: Any, count: int, num_classes: int) -> np.ndarray:
    """float32 [count, num_classes] from the labels in a file; raises UserError if they are missing or wrong."""
    if labels is None:
        raise UserError(f"the latents in '{path}' have no classes: this run needs an .npz file with `z` and `labels`")
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or not ((labels >= 0) & (labels < num_classes)).all():
        raise UserError(f"the labels in '{path}' are not {count} numbers of classes, from 0 to {num_classes - 1}")
    rows: np.ndarray = (labels[:, None] == np.arange(num_classes)).astype(np.float32)
    return rows


def _rows(path: Path) -> tuple[Any, np.ndarray | None]:
    """The unchecked numbers in a file, an array or lists, and the labels beside them."""
    match path.suffix.lower():
        case ".json":
            return json.loads(files.read(path)), None
        case ".txt":
            lines = files.read(path).decode().replace(",", " ").splitlines()
            return [[float(word) for word in line.split()] for line in lines if line.strip()], None
    with files.open_regular(path) as file:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded, None
        if "z" not in loaded and len(loaded.files) != 1:
            raise UserError(f"'{path}' holds {len(loaded.files)} arrays: name the one with the latents 'z'")
        labels = loaded["labels"] if "z" in loaded and "labels" in loaded else None
        return loaded["z" if "z" in loaded else loaded.files[0]], labels
