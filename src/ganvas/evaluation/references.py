"""The reference rows of an evaluation, which show the scale of each score."""

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError

from ganvas.core import files
from ganvas.core.cache import cache_dir, keep
from ganvas.core.progress import progress
from ganvas.data import ImageSet
from ganvas.evaluation.copies import pixels
from ganvas.evaluation.document import ReferenceRow
from ganvas.evaluation.features import CHUNK, Reference
from ganvas.evaluation.protocol import Protocol, short_hash
from ganvas.evaluation.scoring import Scoring

LEAST_SAMPLES = 100  # minimum number of samples that can be scored
FLOOR_SAMPLES = 2_000  # maximum number of images of noise and copies of the mean, whose scores need no precision
ROWS = TypeAdapter(dict[str, ReferenceRow])


def reference_rows(
    scoring: Scoring, reference: Reference, protocol: Protocol, train: ImageSet, test: ImageSet | None
) -> dict[str, ReferenceRow]:
    """The scores of real images (the ceiling), and of noise and the mean image (the floor); cached."""
    name = short_hash([protocol.key, scoring.copies.key, scoring.infinity, scoring.knows])
    file = cache_dir() / "evaluations" / f"{name}.json"
    try:
        return ROWS.validate_json(files.read(file))
    except (OSError, ValidationError):
        rows = _measured_rows(scoring, reference, protocol, train, test)
    keep(file, ROWS.dump_json(rows))
    return rows


def _measured_rows(
    scoring: Scoring, reference: Reference, protocol: Protocol, train: ImageSet, test: ImageSet | None
) -> dict[str, ReferenceRow]:
    rows = {}
    floor = min(protocol.n, FLOOR_SAMPLES)
    noise = np.random.default_rng(0).integers(0, 256, (floor, *train.images.shape[1:]), dtype=np.uint8)
    mean = np.broadcast_to(_mean(train), noise.shape)
    with progress("scoring real images and noise", 3) as advance:
        if real := _real_row(scoring, reference, protocol, train, test):
            rows["real"] = real
        advance(1)
        for name, what, images in (
            ("noise", f"{floor:,} images of uniform noise", noise),
            ("mean", f"the mean of the training images, {floor:,} times", mean),
        ):
            nearness = scoring.copies.nearness(pixels(images))
            scores, refused = scoring.scores(reference, scoring.evaluator.measure(images), nearness, None)
            rows[name] = ReferenceRow(what=what, n=floor, scores=scores, refused=refused)
            advance(1)
    return rows


def _mean(data: ImageSet) -> np.ndarray:
    """The mean image, uint8 [C, H, W]."""
    total = np.zeros(data.images.shape[1:])
    for at in range(0, len(data), CHUNK):
        total += data.images[at : at + CHUNK].sum(0, dtype=np.float64)
    mean: np.ndarray = (total / len(data)).round().astype(np.uint8)
    return mean


def _real_row(
    scoring: Scoring, reference: Reference, protocol: Protocol, train: ImageSet, test: ImageSet | None
) -> ReferenceRow | None:
    """The row of real images: those of the other split, or else half of the training images against the other half."""
    nearness = None
    if test is not None:
        other, kind = (test, "test") if protocol.split == "train" else (train, "training")
        chosen = np.random.default_rng(1).permutation(len(other))[: protocol.n]  # images may be sorted by class
        what = f"{len(chosen):,} {kind} images"
        if protocol.split == "train":
            nearness = scoring.copies.real
    else:
        other, order = train, np.random.default_rng(1).permutation(len(train))
        chosen, rest = order[: len(order) // 2][: protocol.n], order[len(order) // 2 :]
        what = f"{len(chosen):,} training images against the other {len(rest):,}"
    if len(chosen) < LEAST_SAMPLES:
        return None
    if test is None:
        reference = Reference.of(reference.features[rest], reference.shares)
    labels = None if other.labels is None else torch.from_numpy(other.labels[chosen])
    measured = scoring.evaluator.measure(other.images[chosen])
    scores, refused = scoring.scores(reference, measured, nearness, labels)
    return ReferenceRow(what=what, n=len(chosen), scores=scores, refused=refused)
