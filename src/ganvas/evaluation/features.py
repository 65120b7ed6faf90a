"""The features of real images, which are cached, and the statistics of them that scores need."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ganvas import metrics
from ganvas.core import files
from ganvas.core.cache import cache_dir, keep
from ganvas.core.progress import progress
from ganvas.data import ImageSet
from ganvas.evaluation.evaluators import Evaluator, Measured
from ganvas.metrics import Moments

LEAST_REAL = 40  # real images that KID and neighbourhoods need
PAIRED = 10_000  # maximum number of images on each side in scores that compare all pairs
CACHED_BYTES = 2**29  # features of larger sets are not cached
CHUNK = 1_000  # images between two updates of the progress bar


@dataclass(frozen=True)
class Reference:
    """The features of real images with which samples are compared, and statistics of them."""

    features: Tensor  # float32 [N, F]
    shares: Tensor | None  # of each class, [classes]; None if the data have no classes or the evaluator others
    moments: Moments
    paired: Tensor  # the features used in comparisons of all pairs, [at most PAIRED, F]
    radii: Tensor | None  # their `neighbour_distances`; None if there are too few

    @classmethod
    def of(cls, features: Tensor, shares: Tensor | None) -> "Reference":
        chosen = np.random.default_rng(0).permutation(len(features))[:PAIRED]
        paired = features[chosen]
        radii = metrics.neighbour_distances(paired) if len(paired) >= LEAST_REAL else None
        return cls(features, shares, Moments.of(features), paired, radii)


def measure(evaluator: Evaluator, data: ImageSet) -> Measured:
    """The features and probabilities of a set, from the cache if possible."""
    file = cache_dir() / "evaluations" / f"features-{data.fingerprint[:16]}-{evaluator.sha256[:16]}.safetensors"
    cached = read_tensors(file, "features", "probabilities")
    if cached is not None and len(cached["features"]) == len(data):
        return Measured(cached["features"], cached["probabilities"])
    parts = []
    with progress("measuring real images", len(data)) as advance:
        for at in range(0, len(data), CHUNK):
            parts.append(evaluator.measure(data.images[at : at + CHUNK]))
            advance(len(parts[-1].features))
    measured = Measured(*(torch.cat(each) for each in zip(*parts, strict=True)))
    if sum(part.nbytes for part in measured) <= CACHED_BYTES:
        keep(file, save(measured._asdict()))
    return measured


def read_tensors(file: Path, *names: str) -> dict[str, Tensor] | None:
    """The tensors `names` of a file in the cache; None if it is missing, damaged or has other tensors."""
    try:
        files.refuse_pipes(file)
        tensors: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError):
        return None
    return tensors if set(tensors) == set(names) else None
