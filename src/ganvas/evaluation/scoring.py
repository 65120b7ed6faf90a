"""Computing scores from features, with reasons for those that cannot be computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas import metrics
from ganvas.data import ImageSet
from ganvas.evaluation.copies import Copies
from ganvas.evaluation.evaluators import Evaluator, Measured, inception
from ganvas.evaluation.features import LEAST_REAL, PAIRED, Reference
from ganvas.metrics import METRICS, Score

NOTED = ("fid", "kid", "inception_score", "copy_rate")  # one metric of each group, noted if it is missing


@dataclass(frozen=True)
class Scoring:
    """Computes the scores of sets of images with one evaluator."""

    evaluator: Evaluator
    classes: Sequence[str]  # of the data
    copies: Copies
    infinity: bool  # whether to compute FID∞

    @property
    def knows(self) -> bool:
        """Whether the evaluator knows the classes of the data."""
        return self.evaluator.knows(self.classes)

    def shares(self, real: ImageSet) -> Tensor | None:
        """The share of each class in labelled images, float64 [classes]; None without labels or known classes."""
        if not self.knows or real.labels is None:
            return None
        return torch.bincount(torch.from_numpy(real.labels), minlength=len(real.classes)).double() / len(real)

    def refusals(
        self, reference: Reference, n: int, *, labelled: bool = False, redrawn: bool = False
    ) -> dict[str, str]:
        """Metrics of `n` samples that cannot be computed -> the reason.

        `labelled`: the samples were drawn with labels; `redrawn`: real images with labels are encoded and decoded.
        """
        few = metrics.fid_refusal(n, len(reference.features), reference.features.shape[1])
        lonely = None
        if reference.radii is None:
            lonely = f"KID and neighbourhoods need {LEAST_REAL} real images, not {len(reference.paired)}"
        unknown = None
        if not self.knows:
            unknown = f"the evaluator '{self.evaluator.name}' does not know the classes of the data"
        shareless = unknown or (None if reference.shares is not None else "the data have no labels")
        reasons = {
            "fid": few,
            "fid_infinity": few or (None if self.infinity else "FID∞ was not asked for"),
            **dict.fromkeys(("kid", "precision", "recall", "density", "coverage"), lonely),
            "inception_score": None if self.evaluator.name == inception.NAME else unknown,  # it uses its own classes
            **dict.fromkeys(("class_kl", "classes_present"), shareless),
            "label_accuracy": shareless or (None if labelled else "the run is not conditional"),
            "redrawn_accuracy": unknown or (None if redrawn else "the run has no encoder, or the data have no labels"),
            "copy_rate": self.copies.refusal(),
        }
        return {name: reason for name, reason in reasons.items() if reason}

    def scores(
        self, reference: Reference, measured: Measured, nearness: Tensor | None, labels: Tensor | None
    ) -> tuple[dict[str, Score], dict[str, str]]:
        """All scores of a set of images that can be computed, and the reasons for those in NOTED that cannot.

        `nearness`: to the training images (see `Copies`); `labels`: that the images were drawn with, int64 [N].
        """
        features, probabilities = measured
        refusals = self.refusals(reference, len(features), labelled=labels is not None)
        scores = {"vendi": metrics.vendi(features)}
        if "fid" not in refusals:
            scores["fid"] = metrics.fid(features, reference.moments)
        if "fid_infinity" not in refusals:
            scores["fid_infinity"] = metrics.fid_infinity(features, reference.moments)
        if "kid" not in refusals:
            scores["kid"] = metrics.kid(features[:PAIRED], reference.paired)
            scores |= metrics.manifold(features[:PAIRED], reference.paired, reference.radii)
        if "inception_score" not in refusals:
            scores["inception_score"] = metrics.inception_score(probabilities)
        predicted = probabilities.argmax(1)
        if reference.shares is not None:
            scores["class_kl"] = metrics.class_kl(predicted, reference.shares)
            scores["classes_present"] = metrics.classes_present(predicted, reference.shares)
        if labels is not None and "label_accuracy" not in refusals:
            scores["label_accuracy"] = metrics.label_accuracy(predicted, labels)
        if nearness is not None and self.copies.real is not None:
            scores["copy_rate"] = metrics.copy_rate(nearness, self.copies.real)
        return in_order(scores), {name: reason for name, reason in refusals.items() if name in NOTED}


def in_order(scores: dict[str, Score]) -> dict[str, Score]:
    """The scores in the order of METRICS, rounded to six digits."""
    return {name: Score(_rounded(scores[name].value), _error(scores[name])) for name in METRICS if name in scores}


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _error(score: Score) -> float | None:
    return None if score.error is None else _rounded(score.error)
