"""What can be computed, and why the rest is not: one rule for the scores and for the refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ganvas.data import ImageSet
from ganvas.evaluation import evaluators
from ganvas.evaluation.copies import Copies, pixels
from ganvas.evaluation.evaluators import Measured
from ganvas.evaluation.features import Reference
from ganvas.evaluation.scoring import Scoring
from ganvas.metrics import METRICS

DIGITS = tuple("0123456789")


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))


def images(count: int, labelled: bool = True, seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
    return ImageSet("toy", pictures, np.arange(count) % 10 if labelled else None, DIGITS if labelled else ())


def scoring(data: ImageSet, name: str = "digits", infinity: bool = False) -> Scoring:
    evaluator = replace(evaluators.load("digits", "cpu"), name=name)
    return Scoring(evaluator, data.classes, Copies(data, None), infinity)


@pytest.mark.parametrize("count", [3, 20, 60, 2_500])
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("infinity", [True, False])
def test_every_metric_is_either_computed_or_refused(count: int, labelled: bool, infinity: bool) -> None:
    data, samples = images(count, labelled), images(max(count, 100), seed=1)
    rule = scoring(data, infinity=infinity)
    random = torch.Generator().manual_seed(0)
    features = torch.rand(len(data), 16, generator=random)
    probabilities = torch.rand(len(samples), 10, generator=random).softmax(1)
    measured = Measured(torch.rand(len(samples), 16, generator=random), probabilities)
    reference = Reference.of(features, rule.shares(data))
    labels = torch.arange(len(samples)) % 10 if labelled else None
    scores, noted = rule.scores(reference, measured, rule.copies.nearness(pixels(samples.images)), labels)
    refusals = rule.refusals(reference, len(samples), labelled=labelled)
    assert {*scores, *refusals} == set(METRICS)
    assert not scores.keys() & refusals.keys()
    assert noted.items() <= refusals.items()
    assert list(scores) == [name for name in METRICS if name in scores]
    assert ("fid" in scores) == (count == 2_500)
    assert ("kid" in scores) == (count >= 60)
    assert ("copy_rate" in scores) == (count > 3)


def test_inception_has_a_score_over_its_own_classes() -> None:
    data = images(60, labelled=False)
    reference = Reference.of(torch.rand(60, 16), None)
    assert "inception_score" in scoring(data).refusals(reference, 100)
    refusals = scoring(data, "inception").refusals(reference, 100)
    assert "inception_score" not in refusals
    assert "does not know the classes" in refusals["class_kl"]


def test_labels_and_encoders_are_needed_for_their_accuracies() -> None:
    data = images(60)
    rule = scoring(data)
    reference = Reference.of(torch.rand(60, 16), rule.shares(data))
    assert {"label_accuracy", "redrawn_accuracy"} <= rule.refusals(reference, 100).keys()
    assert (
        not {"label_accuracy", "redrawn_accuracy"} & rule.refusals(reference, 100, labelled=True, redrawn=True).keys()
    )
