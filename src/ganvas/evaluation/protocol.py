"""The protocol of an evaluation: everything that must be equal for two scores to be comparable."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from ganvas.data import ImageSet, Split
from ganvas.evaluation.evaluators import Evaluator
from ganvas.metrics import METRICS


class Part(BaseModel):
    """A group of values in a document."""

    model_config = ConfigDict(frozen=True)


class EvaluatorUsed(Part):
    name: str
    sha256: str
    size: int
    resize: str


class DataUsed(Part):
    sha256: str  # of the real images that samples are compared with
    trained_on: str | None = None  # sha256 of the training set
    unseen: str | None = None  # sha256 of the test set, which is used to detect copies
    images: int
    channels: int
    height: int
    width: int


class Protocol(Part):
    evaluator: EvaluatorUsed
    data: DataUsed
    split: Split
    n: int  # number of samples
    seed: int  # of the first sample
    metrics: dict[str, int]  # metric -> version of its definition
    labels: str | None = None  # how labels were drawn, as text; runs with other labels are comparable

    @property
    def key(self) -> str:
        """A hash of everything except the labels; evaluations with the same key are comparable."""
        return short_hash(self.model_dump(exclude={"labels"}))


def protocol_for(
    evaluator: Evaluator, train: ImageSet, test: ImageSet | None, split: Split, n: int, seed: int
) -> Protocol:
    real = train if split == "train" or test is None else test
    spec = real.spec
    return Protocol(
        evaluator=EvaluatorUsed(
            name=evaluator.name, sha256=evaluator.sha256, size=evaluator.size, resize=evaluator.resize(spec)
        ),
        data=DataUsed(
            sha256=real.fingerprint,
            trained_on=train.fingerprint,
            unseen=test.fingerprint if test else None,
            images=len(real),
            channels=spec.channels,
            height=spec.height,
            width=spec.width,
        ),
        split=split,
        n=n,
        seed=seed,
        metrics={name: metric.version for name, metric in METRICS.items()},
    )


def short_hash(values: Any) -> str:
    """The first 12 digits of the sha256 of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
