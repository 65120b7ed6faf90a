"""Scores of a run with their provenance: run -> decode -> features -> metrics -> JSON.

An evaluation is compared only with evaluations of the same protocol: evaluator, reference pictures, number and seeds of
the samples, versions of the metrics. Its `references` hold the same scores of real pictures, of noise and of the mean
picture, so that a number can be read.
"""

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ganvas import metrics
from ganvas.core import files
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError
from ganvas.core.images import from_uint8, to_uint8
from ganvas.core.progress import progress
from ganvas.core.seeds import EVALUATION
from ganvas.core.version import VERSION
from ganvas.data import ImageSet, load_unseen
from ganvas.evaluation import evaluators
from ganvas.evaluation.evaluators import Evaluator, Measured
from ganvas.methods import Method
from ganvas.methods.encoding import EncodingMethod
from ganvas.metrics import METRICS, Moments, Score
from ganvas.recipes.recipe import Recipe
from ganvas.runs import model as sampling
from ganvas.runs.model import decode
from ganvas.runs.provenance import git_commit, now

FORMAT = 1
LEAST_SAMPLES = 100
LEAST_SEEN = 4  # training pictures that copies can be told from, where there are no others
FEW_TO_COPY = (
    f"copies cannot be told with fewer than {LEAST_SEEN} unlike training pictures, or if all test pictures are there"
)
LEAST_REAL = 40  # real pictures that distances between sets and neighbourhoods need
PAIRED = 10_000  # pictures of either side, at most, in scores that compare all pairs (KID, precision, recall, ...)
FLOOR_SAMPLES = 2_000  # pictures of noise, and copies of the mean: they need no precision
CACHED_BYTES = 2**29  # features of a larger set are measured anew each time
CHUNK = 1_000  # samples decoded, and pictures measured, between two ticks of the progress bar

Split = Literal["train", "test"]
Evaluation = dict[str, Any]


def evaluate(
    path: Path | str,
    checkpoint: str | int = "best",
    *,
    n: int = 10_000,
    split: Split = "train",
    seed: int = EVALUATION.start,
    evaluator: str | None = None,
    infinity: bool = False,
    data_dir: Path | None = None,
    device: str = "auto",
) -> Evaluation:
    """Score `n` samples of a checkpoint against the real pictures of a split; writes the result into the run.

    The evaluator is chosen by the data unless one is named; `infinity` adds FID∞. Raises UserError when the run, its
    pictures or the evaluator are not there.
    """
    model = sampling.load(path, checkpoint, device)
    recipe, train = model.run.recipe(), model.data(data_dir)
    chosen = evaluators.choose_for(train.spec, train.classes, train.fingerprint, device, evaluator)
    test = load_unseen(recipe.data, train, data_dir)
    judge = RunScorer(train, test, chosen, n=n, split=split, seed=seed, infinity=infinity, flips=recipe.data.flips)
    found = judge(model.method)
    at = {"nimg": model.nimg, "epoch": model.nimg / len(train), "seconds": model.seconds}
    found |= origin(recipe, at, model.sha256)
    model.run.write_evaluation(found)
    return found


def origin(recipe: Recipe, at: Mapping[str, Any], sha256: str) -> Evaluation:
    """Which run and checkpoint an evaluation is of (`at` has its nimg, epoch and seconds), and what computed it."""
    settings = {key: value for key, value in recipe.marks().items() if key != "train.seed"}
    return {
        "run": {"recipe": recipe.name, "seed": recipe.train.seed, "identity": _hash(settings)},
        "checkpoint": {
            "nimg": at["nimg"],
            "epoch": round(at["epoch"], 4),
            "seconds": round(at["seconds"], 3),
            "sha256": sha256,
        },
        "provenance": {"ganvas": VERSION, "git": git_commit(), "torch": torch.__version__, "at": now()},
    }


@dataclass(frozen=True)
class Reference:
    """Real pictures as an evaluator sees them."""

    features: Tensor  # float32 [N, F]
    shares: Tensor | None  # of each class, [classes]; None where the evaluator does not know the classes
    moments: Moments
    paired: Tensor  # the features that take part in comparisons of all pairs [at most PAIRED, F]
    radii: Tensor | None  # of their neighbourhoods; None where they are too few

    @classmethod
    def of(cls, features: Tensor, shares: Tensor | None) -> "Reference":
        chosen = np.random.default_rng(0).permutation(len(features))[:PAIRED]
        paired = features[chosen]
        radii = metrics.neighbour_distances(paired) if len(paired) >= LEAST_REAL else None
        return cls(features, shares, Moments.of(features), paired, radii)


class RunScorer:
    """Scores the samples of any method against the same real pictures, the same way; made once, called often.

    Making it measures the real pictures and the reference rows, which the cache keeps. `protocol` is all that two
    comparable scores must share, `key` its hash.
    """

    def __init__(
        self,
        train: ImageSet,
        test: ImageSet | None,
        evaluator: Evaluator,
        *,
        n: int,
        split: Split = "train",
        seed: int = EVALUATION.start,
        infinity: bool = False,
        flips: bool = False,
    ) -> None:
        """`flips`: the run was shown mirror images as well, so that a mirror image is a copy too."""
        if seed < 0:
            raise UserError(f"there is no seed {seed}: use 0 or more")
        if n < LEAST_SAMPLES:
            raise UserError(f"{n} samples are too few to score: ask for {LEAST_SAMPLES} or more")
        if split == "test" and test is None:
            raise UserError(f"'{train.name}' has no test split: use --split train")
        self.train, self.test, self.evaluator = train, test, evaluator
        self.n, self.split, self.seed, self.infinity = n, split, seed, infinity
        real = train if split == "train" else test
        assert real is not None
        self.protocol = {
            "evaluator": {
                "name": evaluator.name,
                "sha256": evaluator.sha256,
                "size": evaluator.size,
                "resize": evaluator.resize(train.spec),
            },
            "data": {
                "sha256": real.fingerprint,
                "trained_on": train.fingerprint,
                "unseen": test.fingerprint if test else None,
                "images": len(real),
            }
            | {key: value for key, value in train.spec._asdict().items() if key != "num_classes"},
            "split": split,
            "n": n,
            "seed": seed,
            "metrics": {name: metric.version for name, metric in METRICS.items()},
        }
        self.key = _hash(self.protocol)
        self.knows = evaluator.knows(train.classes)
        self.reference = Reference.of(measure(evaluator, real).features, self._shares(real))
        self.copies = Copies(train, test, flips, evaluator.device)
        self.rows = self._reference_rows()

    def __call__(self, method: Method) -> Evaluation:
        """Draw the samples of `method` and score them."""
        start = time.perf_counter()
        seeds = list(range(self.seed, self.seed + self.n))
        labels = None
        if method.conditional and self.train.labels is not None:  # as often as the data has them
            labels = np.random.default_rng(self.seed).choice(self.train.labels, self.n)
        parts, small, sampling_seconds = [], [], 0.0
        with progress("drawing samples", self.n) as advance:
            for at in range(0, self.n, CHUNK):
                begun = time.perf_counter()
                pictures = decode(method, seeds[at : at + CHUNK], None if labels is None else labels[at : at + CHUNK])
                sampling_seconds += time.perf_counter() - begun
                pictures = np.moveaxis(pictures, -1, 1)
                parts.append(self.evaluator.measure(pictures))
                small.append(evaluators.pixels(pictures))
                advance(len(pictures))
        measured = Measured(*(torch.cat(each) for each in zip(*parts, strict=True)))
        asked = None if labels is None else torch.from_numpy(labels)
        with progress("scoring", 2) as advance:
            nearness = self.copies.nearness(torch.cat(small))
            advance(1)
            scores, refused = self._score(self.reference, measured, nearness, asked)
            advance(1)
        told = "none" if labels is None else "as in the data"
        if self._redraws(method):
            scores["redrawn_accuracy"] = self._redrawn(method)
        counts = None
        if self.knows:
            counts = torch.bincount(measured.probabilities.argmax(1), minlength=len(self.train.classes)).tolist()
        seconds = time.perf_counter() - start
        return {
            "format": FORMAT,
            "key": self.key,
            "protocol": {**self.protocol, "labels": told},
            "data_name": self.train.name,
            "scores": _plain({name: scores[name] for name in METRICS if name in scores}),
            "refused": refused,
            "counts": counts,
            "classes": list(self.train.classes),
            "references": self.rows,
            "cost": {
                "device": str(self.evaluator.device),
                "sampling_seconds": round(sampling_seconds, 2),
                "scoring_seconds": round(seconds - sampling_seconds, 2),
                "peak_memory_mb": peak_memory_mb(),
            },
        }

    def _redraws(self, method: Method) -> bool:
        """Whether labels enter `method` as the pictures that they belong to."""
        return isinstance(method, EncodingMethod) and self.knows and self.train.labels is not None

    def _redrawn(self, method: Method) -> Score:
        """How many real pictures keep their label when they are encoded and drawn again: unseen ones, if there are."""
        real = self.test if self.test is not None and self.test.labels is not None else self.train
        assert real.labels is not None
        chosen = np.random.default_rng(self.seed).permutation(len(real))[: self.n]
        predicted = []
        with progress("redrawing real pictures", len(chosen)) as advance:
            for at in range(0, len(chosen), CHUNK):
                pictures = torch.from_numpy(real.images[chosen[at : at + CHUNK]]).to(method.compute.device)
                redrawn = to_uint8(method.decode(method.encode(from_uint8(pictures))))
                predicted.append(self.evaluator.measure(np.moveaxis(redrawn, -1, 1)).probabilities.argmax(1))
                advance(len(redrawn))
        return metrics.label_accuracy(torch.cat(predicted), torch.from_numpy(real.labels[chosen]))

    def refusal(self, metric: str, method: Method) -> str | None:
        """Why these evaluations will not have a metric, None if they will."""
        if metric.startswith("fid"):
            few = metrics.fid_refusal(self.n, len(self.reference.features), self.reference.features.shape[1])
            return few or (None if metric == "fid" or self.infinity else "FID∞ is not asked for")
        by_class = ("class_kl", "classes_present", "inception_score", "label_accuracy", "redrawn_accuracy")
        if metric in by_class and not self.knows:
            return f"the evaluator '{self.evaluator.name}' does not know the classes of the data"
        if metric == "label_accuracy" and not method.conditional:
            return "the run is not conditional"
        if metric == "redrawn_accuracy" and not self._redraws(method):
            return "the run has no encoder, or the data no labels"
        if metric == "copy_rate" and self.copies.real is None:
            return FEW_TO_COPY
        if metric in ("kid", "precision", "recall", "density", "coverage") and self.reference.radii is None:
            return f"{metric} needs {LEAST_REAL} real pictures, not {len(self.reference.paired)}"
        return None

    def _score(
        self, reference: Reference, measured: Measured, nearness: Tensor | None, labels: Tensor | None
    ) -> tuple[dict[str, Score], dict[str, str]]:
        """Every score that the samples allow, and why the others do not appear."""
        features, probabilities = measured
        scores: dict[str, Score] = {"vendi": metrics.vendi(features)}
        refused: dict[str, str] = {}
        few = metrics.fid_refusal(len(features), len(reference.features), features.shape[1])
        if few:
            refused["fid"] = few
        else:
            scores["fid"] = metrics.fid(features, reference.moments)
            if self.infinity:
                scores["fid_infinity"] = metrics.fid_infinity(features, reference.moments)
        if reference.radii is None:
            refused["kid"] = f"KID and neighbourhoods need {LEAST_REAL} real pictures, not {len(reference.paired)}"
        else:
            scores["kid"] = metrics.kid(features[:PAIRED], reference.paired)
            scores |= metrics.manifold(features[:PAIRED], reference.paired, reference.radii)
        if self.knows or self.evaluator.name == evaluators.INCEPTION:
            scores["inception_score"] = metrics.inception_score(probabilities)
        else:
            refused["inception_score"] = f"the evaluator '{self.evaluator.name}' does not know the classes of the data"
        if reference.shares is not None:
            predicted = probabilities.argmax(1)
            scores["class_kl"] = metrics.class_kl(predicted, reference.shares)
            scores["classes_present"] = metrics.classes_present(predicted, reference.shares)
            if labels is not None:
                scores["label_accuracy"] = metrics.label_accuracy(predicted, labels)
        if self.copies.real is None:
            refused["copy_rate"] = FEW_TO_COPY
        elif nearness is not None:
            scores["copy_rate"] = metrics.copy_rate(nearness, self.copies.real)
        return {name: scores[name] for name in METRICS if name in scores}, refused

    def _shares(self, real: ImageSet) -> Tensor | None:
        if not self.knows or real.labels is None:
            return None
        return torch.bincount(torch.from_numpy(real.labels), minlength=len(real.classes)).double() / len(real)

    def _reference_rows(self) -> dict[str, Any]:
        """The scores of real pictures (the ceiling), noise and the mean picture (the floor); the cache keeps them."""
        file = cache_dir() / "evaluations" / f"{_hash([self.key, self.copies.key, self.infinity])}.json"
        try:
            kept: dict[str, Any] = json.loads(file.read_text())
            return kept
        except (OSError, ValueError):
            pass
        rows = {}
        spec = self.train.spec
        floor = min(self.n, FLOOR_SAMPLES)
        shape = (floor, spec.channels, spec.height, spec.width)
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        mean = np.zeros((spec.channels, spec.height, spec.width))
        for at in range(0, len(self.train), CHUNK):
            mean += self.train.images[at : at + CHUNK].sum(0, dtype=np.float64)
        average = (mean / len(self.train)).round().astype(np.uint8)
        pictures = {
            "noise": (f"{floor:,} pictures of uniform noise", noise),
            "mean": (f"the mean of the training pictures, {floor:,} times", np.broadcast_to(average, noise.shape)),
        }
        with progress("scoring real pictures and noise", 1 + len(pictures)) as advance:
            real = self._real_row()
            if real is not None:
                rows["real"] = real
            advance(1)
            for name, (what, images) in pictures.items():
                measured = self.evaluator.measure(images)
                nearness = self.copies.nearness(evaluators.pixels(images))
                scores, refused = self._score(self.reference, measured, nearness, None)
                rows[name] = {"what": what, "n": floor, "scores": _plain(scores), "refused": refused}
                advance(1)
        files.write(file, json.dumps(rows).encode())
        return rows

    def _real_row(self) -> dict[str, Any] | None:
        """Real pictures of the other split; without one, a half of the training pictures against the other half."""
        reference = self.reference
        if self.test is not None:
            other = self.test if self.split == "train" else self.train
            chosen = np.random.default_rng(1).permutation(len(other))[: self.n]  # in no order that classes may have
            pictures, labels = other.images[chosen], None if other.labels is None else other.labels[chosen]
            kind = "test" if self.split == "train" else "training"
            what = f"{len(chosen):,} {kind} pictures"
            nearness = self.copies.real if self.split == "train" else None
        else:
            order = np.random.default_rng(1).permutation(len(self.train))
            half, rest = order[: len(order) // 2][: self.n], order[len(order) // 2 :]
            if len(half) < LEAST_SAMPLES:
                return None
            pictures, labels = self.train.images[half], None if self.train.labels is None else self.train.labels[half]
            what = f"{len(half):,} training pictures against the other {len(rest):,}"
            nearness = None
            reference = Reference.of(reference.features[rest], reference.shares)
        measured = self.evaluator.measure(pictures)
        scores, refused = self._score(
            reference, measured, nearness, None if labels is None else torch.from_numpy(labels)
        )
        return {"what": what, "n": len(pictures), "scores": _plain(scores), "refused": refused}


class Copies:
    """Tells copies of training pictures from pictures that are new, by their pixels.

    Without a test split, one half of the training pictures stands for the unseen ones when the other half is asked
    about, and the other way round. A picture that is there twice counts once, and is not unseen. With `flips` a mirror
    image is as good as the picture. `real` is the nearness of unseen pictures, None where there are too few to tell.
    """

    def __init__(
        self, train: ImageSet, test: ImageSet | None, flips: bool = False, device: torch.device | str = "cpu"
    ) -> None:
        self.key = f"2-{train.fingerprint[:16]}-{test.fingerprint[:16] if test else 'alone'}{'-flips' * flips}"
        seen = train.images[train.distinct()]
        unseen = test.images[test.distinct(but=train)] if test is not None else seen
        order = np.random.default_rng(2).permutation(len(unseen))
        self._alone = test is None
        if self._alone:
            seen, unseen = seen[order[::2]], seen[order[1::2]]
        else:
            unseen = unseen[order[:PAIRED]]
        self.real: Tensor | None = None
        if len(unseen) < 2 or (self._alone and len(order) < LEAST_SEEN):
            return
        sides = (1, -1) if flips else (1,)  # as they are, and mirrored
        self._seen, self._unseen = (
            [evaluators.pixels(np.ascontiguousarray(each[..., ::side])).to(device) for side in sides]
            for each in (seen, unseen)
        )
        file = cache_dir() / "evaluations" / f"nearness-{self.key}.safetensors"
        kept = _read(file, "real")
        if kept is None:
            kept = {"real": self._quotient(self._unseen[0][:PAIRED], known=True)}
            files.write(file, save(kept))
        self.real = kept["real"]

    def nearness(self, pixels: Tensor) -> Tensor | None:
        """How near each picture, uint8 [N, F] (see `features.pixels`), is to the training pictures: float32 [N].

        The distance to the nearest of them over the distance to the nearest unseen one; 0 for an exact copy. None where
        there are too few pictures to tell.
        """
        return None if self.real is None else self._quotient(pixels[:PAIRED], known=False)

    def _quotient(self, pixels: Tensor, known: bool) -> Tensor:
        """`known`: the pictures are the first of the unseen ones, and not their own neighbours."""
        pixels = pixels.to(self._seen[0].device)
        seen = torch.stack([metrics.nearest_distances(pixels, each) for each in self._seen]).amin(0)
        unseen = torch.stack([metrics.nearest_distances(pixels, each, known) for each in self._unseen]).amin(0)
        if self._alone:
            seen, unseen = torch.minimum(seen, unseen), torch.maximum(seen, unseen)
        return (seen / unseen.clamp_min(1e-6)).cpu()


def measure(evaluator: Evaluator, data: ImageSet) -> Measured:
    """What the evaluator sees in a set, kept in the cache."""
    file = cache_dir() / "evaluations" / f"features-{data.fingerprint[:16]}-{evaluator.sha256[:16]}.safetensors"
    kept = _read(file, "features", "probabilities")
    if kept is not None and len(kept["features"]) == len(data):
        return Measured(kept["features"], kept["probabilities"])
    parts = []
    with progress("measuring real pictures", len(data)) as advance:
        for at in range(0, len(data), CHUNK):
            parts.append(evaluator.measure(data.images[at : at + CHUNK]))
            advance(len(parts[-1].features))
    measured = Measured(*(torch.cat(each) for each in zip(*parts, strict=True)))
    if sum(part.nbytes for part in measured) <= CACHED_BYTES:
        files.write(file, save(measured._asdict()))
    return measured


def _read(file: Path, *names: str) -> dict[str, Tensor] | None:
    """The tensors of a file in the cache; None when it is missing or damaged."""
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except (OSError, SafetensorError):
        return None
    return tensors if set(tensors) == set(names) else None


def _plain(scores: dict[str, Score]) -> dict[str, dict[str, float | None]]:
    return {name: {"value": _rounded(score.value), "error": _rounded(score.error)} for name, score in scores.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def peak_memory_mb() -> int | None:
    """The most memory that this process has held, in MB; None where the system does not say."""
    with suppress(ImportError):  # Windows
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
    return None
