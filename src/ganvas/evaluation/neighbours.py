"""Has a run memorised its training images? The training images that are nearest to its samples.

This matters most for small sets, which are easy to memorise. Images are compared in two spaces: by pixels, which shows
copies, and by the features of an evaluator, in which images of similar content are neighbours. A sample is a near copy
if its distance to a training image is less than half the distance between that image and its nearest other training
image (duplicates do not count).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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
from ganvas.metrics.neighbourhoods import squared_distances
from ganvas.runs import model as sample

NEAR = 0.5  # a near copy is nearer than this share of the distance between training images
LEAST = 8  # minimum number of samples and of training images, as neighbourhoods need more than 5
COMPARED = 1_000  # maximum number of images on each side for the mean distance
COLUMNS = 4  # of the sheet, with three images each
SHOWN = 32  # samples on the sheet
SIDE = 900  # minimum side of the sheet in pixels; small images are enlarged


@dataclass(frozen=True)
class Space:
    """The nearest training image of each sample in one space, and its distance."""

    index: np.ndarray  # int64 [n]: index of the training image
    mirrored: np.ndarray  # bool [n]: whether its mirror image is the nearest
    quotient: np.ndarray  # float32 [n]: the distance / the distance of that training image to its nearest neighbour

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
        """(name, figure, meaning) as text for users."""
        f = self.figures
        return [
            ("near copies", f"{f['near_copies_pixels']:.1%}", f"of {len(self.samples.images):,} samples, by pixels"),
            ("", f"{f['near_copies_features']:.1%}", "by features"),
            ("images copied", f"{f['images_copied']:,.0f}", f"of {len(self.real):,}, by pixels"),
            (
                "mean distance",
                f"{f['distance']:.2f}" if "distance" in f else "-",
                "between samples; between training images it is " + ("1" if "distance" in f else "0"),
            ),
            (
                "coverage",
                f"{f['coverage']:.1%}",
                f"of {f['covered_of']:,.0f} training images have a sample nearby",
            ),
            ("different samples", f"{f['vendi']:.1f}", f"(Vendi score); training images: {f['vendi_real']:.1f}"),
        ]

    def sheet(self) -> np.ndarray:
        """Triples of sample, nearest by pixels, nearest by features, most copy-like first: uint8 [H, W, C]."""
        order = np.argsort(self.pixels.quotient, kind="stable")[:SHOWN]
        nearest = [self._real(space, order) for space in (self.pixels, self.features)]
        blocks = np.stack([self.samples.images[order], *nearest], axis=1)  # [n, 3, H, W, C]
        triples = np.stack([images.grid(block, 3, GAP // 2) for block in blocks])
        return images.enlarge(images.grid(triples, COLUMNS, 3 * GAP), SIDE)

    def recipe(self) -> dict[str, Any]:
        """The provenance of the sheet, for its file."""
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
    """Find the nearest training images of `n` samples of a run.

    If the run was also trained on mirror images, these count as well. Raises UserError if the run, its images or the
    evaluator are missing, or if there are too few images.
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
        "coverage": metrics.manifold(ours, theirs[some])["coverage"].value,
        "covered_of": float(len(some)),
        "vendi": metrics.vendi(ours).value,
        "vendi_real": metrics.vendi(theirs).value,
    }
    if apart := metrics.mean_distance(real.images[some[:COMPARED]]):  # 0 if all training images are the same
        figures["distance"] = metrics.mean_distance(samples[:COMPARED]) / apart
    facts = {**model.provenance(), "evaluator": chosen.sha256, "data": real.fingerprint, "mirror images": flips}
    return Neighbours(drawn, real, pixels, features, figures, facts)


class Near(NamedTuple):
    """A training image near to a given one."""

    image: int  # index of the training image
    mirrored: bool  # whether its mirror image is meant
    distance: float  # root mean square difference of the pixels, which are from 0 to 1
    quotient: float  # the distance / the distance of the training image to its nearest other one


def nearest_images(image: np.ndarray, real: ImageSet, flips: bool = False, count: int = 4) -> list[Near]:
    """The `count` training images (of different ones, as many as there are) that are nearest to `image`, by pixels.

    `image`: uint8 [C, H, W]. With `flips`, mirror images count as well. Meant for small sets: all images are compared.
    """
    distinct = real.distinct()
    ours, theirs = pixels(image[None]), pixels(real.images[distinct])
    sides = [theirs, pixels(np.ascontiguousarray(real.images[distinct][..., ::-1]))] if flips else [theirs]
    apart = torch.stack(
        [torch.cat([squared_distances(ours, part)[0] for part in side.split(PAIRED)]) for side in sides]
    )
    least, side = apart.min(0)
    chosen = least.topk(min(count, len(distinct)), largest=False).indices
    own, _ = metrics.nearest(theirs[chosen], theirs, own=chosen)
    quotients = least[chosen].sqrt() / own.nan_to_num(posinf=0).clamp_min(1e-6)
    distances = (least[chosen] / ours.shape[1]).sqrt() / 255
    return [
        Near(int(distinct[place]), bool(side[place]), float(distance), float(quotient))
        for place, distance, quotient in zip(chosen.tolist(), distances, quotients, strict=True)
    ]


def _pixel_space(samples: np.ndarray, real: ImageSet, flips: bool, distinct: np.ndarray) -> Space:
    mirrors = pixels(np.ascontiguousarray(real.images[..., ::-1])) if flips else None
    return _space(pixels(samples), pixels(real.images), mirrors, distinct)


def _space(ours: Tensor, theirs: Tensor, mirrors: Tensor | None, distinct: np.ndarray) -> Space:
    """Compare samples [n, F] with the `distinct` training images [N, F] and their mirror images [N, F]."""
    theirs = theirs[distinct]
    distance, index = metrics.nearest(ours, theirs)
    turned = torch.zeros(len(ours), dtype=torch.bool, device=ours.device)
    if mirrors is not None:
        other, there = metrics.nearest(ours, mirrors[distinct])
        turned = other < distance
        distance, index = torch.where(turned, other, distance), torch.where(turned, there, index)
    asked, place = index.unique(return_inverse=True)
    apart, _ = metrics.nearest(theirs[asked], theirs, own=asked)
    # A single training image has no neighbour: its distance is infinite.
    quotient = distance / apart.nan_to_num(posinf=0).clamp_min(1e-6)[place]
    return Space(distinct[index.cpu().numpy()], turned.cpu().numpy(), quotient.cpu().numpy())
