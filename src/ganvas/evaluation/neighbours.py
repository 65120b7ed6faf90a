"""Has a run memorised its training images? Its samples beside the training images that are nearest to them.

For small sets above all, where copying is easy. Images are compared in two spaces: by pixels, where copies are found,
and by the features of an evaluator, where images of the same thing are neighbours. A sample is a near copy if its
distance to a training image is less than half the distance of that image to any other (its duplicates do not count).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas import metrics
from ganvas.core import images
from ganvas.core.errors import UserError
from ganvas.core.images import GAP
from ganvas.data import ImageSet
from ganvas.evaluation import evaluators
from ganvas.evaluation.copies import pixels
from ganvas.evaluation.features import PAIRED, measure
from ganvas.runs import model as sample

NEAR = 0.5  # of the distance between training images
LEAST = 8  # samples, and training images: neighbourhoods need more than 5
COMPARED = 1_000  # images of either side, at most, whose mean distance is taken
COLUMNS = 4  # of the sheet, three images each
SHOWN = 32
SIDE = 900  # pixels of the sheet at least; small images are enlarged


@dataclass(frozen=True)
class Space:
    """What is nearest to each sample in one space, and how far."""

    index: np.ndarray  # int64 [n]: the training image
    mirrored: np.ndarray  # bool [n]: its mirror image is what is near
    quotient: np.ndarray  # float32 [n]: the distance over that between this image and its nearest other one

    @property
    def near(self) -> np.ndarray:
        """Which samples are near copies, bool [n]."""
        return self.quotient < NEAR


@dataclass(frozen=True)
class Neighbours:
    samples: sample.Samples
    real: ImageSet
    pixels: Space
    features: Space
    figures: dict[str, float]
    facts: dict[str, Any]

    def rows(self) -> list[tuple[str, str, str]]:
        """(name, figure, what it means), for people."""
        f = self.figures
        return [
            ("near copies", f"{f['near_copies_pixels']:.1%}", f"of {len(self.samples.images):,} samples, by pixels"),
            ("", f"{f['near_copies_features']:.1%}", "by features"),
            ("images copied", f"{f['images_copied']:,.0f}", f"of {len(self.real):,}, by pixels"),
            ("mean distance", f"{f['distance']:.2f}", "between samples; between training images it is 1"),
            (
                "coverage",
                f"{f['coverage']:.1%}",
                f"of {f['covered_of']:,.0f} training images have a sample near them",
            ),
            ("different samples", f"{f['vendi']:.1f}", f"(Vendi score); training images: {f['vendi_real']:.1f}"),
        ]

    def sheet(self) -> np.ndarray:
        """Triples sample, nearest by pixels, nearest by features; those most like a copy first. uint8 [H, W, C]"""
        order = np.argsort(self.pixels.quotient, kind="stable")[:SHOWN]
        nearest = [self._real(space, order) for space in (self.pixels, self.features)]
        blocks = np.stack([self.samples.images[order], *nearest], axis=1)  # [n, 3, H, W, C]
        triples = np.stack([images.grid(block, 3, GAP // 2) for block in blocks])
        return images.enlarge(images.grid(triples, COLUMNS, 3 * GAP), SIDE)

    def recipe(self) -> dict[str, Any]:
        """Where the sheet comes from, for its file."""
        return {**self.facts, "figures": self.figures, "seeds": self.samples.seeds}

    def _real(self, space: Space, order: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.moveaxis(self.real.images[space.index[order]], 1, -1)
        turned = space.mirrored[order]
        found[turned] = found[turned][:, :, ::-1]
        return found


def find(
    path: Path | str,
    checkpoint: str | int = "last",
    *,
    n: int = 1_000,
    seed: int = 0,
    evaluator: str | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
) -> Neighbours:
    """The nearest training images of `n` samples of a run.

    If the run was trained on mirror images too, they count as well. Raises UserError if run, images or evaluator are
    missing, or the images too few.
    """
    model = sample.load(path, checkpoint, device)
    real = model.data(data_dir)
    if min(n, len(real)) < LEAST:
        few = f"{n} samples" if n < LEAST else f"{len(real)} training images"
        raise UserError(f"{few} are too few to compare: {LEAST} or more are needed")
    chosen = evaluators.choose_for(real.spec, real.classes, real.fingerprint, device, evaluator)
    drawn = model.sample(n, seed=seed)
    samples = np.ascontiguousarray(np.moveaxis(drawn.images, -1, 1))
    flips = model.run.recipe().data.flips
    distinct = real.distinct()
    pixels = _pixel_space(samples, real, flips, distinct)
    ours, theirs = chosen.measure(samples).features, measure(chosen, real).features
    features = _space(ours, theirs, None, distinct)
    some = np.random.default_rng(0).permutation(len(real))[: min(PAIRED, n)]
    figures = {
        "near_copies_pixels": float(pixels.near.mean()),
        "near_copies_features": float(features.near.mean()),
        "images_copied": float(len(np.unique(pixels.index[pixels.near]))),
        "distance": metrics.mean_distance(samples[:COMPARED])
        / max(metrics.mean_distance(real.images[some[:COMPARED]]), 1e-9),  # identical images have none
        "coverage": metrics.manifold(ours, theirs[some])["coverage"].value,
        "covered_of": float(len(some)),
        "vendi": metrics.vendi(ours).value,
        "vendi_real": metrics.vendi(theirs).value,
    }
    facts = {**model.provenance(), "evaluator": chosen.sha256, "data": real.fingerprint, "mirror images": flips}
    return Neighbours(drawn, real, pixels, features, figures, facts)


def _pixel_space(samples: np.ndarray, real: ImageSet, flips: bool, distinct: np.ndarray) -> Space:
    mirrors = pixels(np.ascontiguousarray(real.images[..., ::-1])) if flips else None
    return _space(pixels(samples), pixels(real.images), mirrors, distinct)


def _space(ours: Tensor, theirs: Tensor, mirrors: Tensor | None, distinct: np.ndarray) -> Space:
    """Samples [n, F] among those training images [N, F] and their mirror images [N, F] that are `distinct`."""
    theirs = theirs[distinct]
    distance, index = metrics.nearest(ours, theirs)
    turned = torch.zeros(len(ours), dtype=torch.bool, device=ours.device)
    if mirrors is not None:
        other, there = metrics.nearest(ours, mirrors[distinct])
        turned = other < distance
        distance, index = torch.where(turned, other, distance), torch.where(turned, there, index)
    asked, place = index.unique(return_inverse=True)
    apart, _ = metrics.nearest(theirs[asked], theirs, own=asked)
    quotient = (
        distance / apart.nan_to_num(posinf=0).clamp_min(1e-6)[place]
    )  # a single image has no neighbour to compare with
    return Space(distinct[index.cpu().numpy()], turned.cpu().numpy(), quotient.cpu().numpy())
