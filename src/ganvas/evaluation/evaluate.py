"""Evaluating a run: samples -> features -> scores -> a document with provenance in the run directory.

Only evaluations with the same protocol can be compared. Reference rows contain the same scores for real images, for
noise and for the mean image, to show the scale of each score.
"""

import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas import metrics
from ganvas.compute.device import keep_freed_memory
from ganvas.core.errors import UserError
from ganvas.core.images import from_uint8, to_uint8
from ganvas.core.memory import refuse_more
from ganvas.core.progress import progress
from ganvas.core.seeds import EVALUATION
from ganvas.data import ImageSet, Split, load_unseen
from ganvas.evaluation import document, evaluators
from ganvas.evaluation.copies import Copies, pixels
from ganvas.evaluation.document import Cost, Evaluation, Findings
from ganvas.evaluation.evaluators import Evaluator, Measured
from ganvas.evaluation.features import CHUNK, Reference, measure
from ganvas.evaluation.protocol import protocol_for
from ganvas.evaluation.references import LEAST_SAMPLES, reference_rows
from ganvas.evaluation.scoring import Scoring, in_order
from ganvas.methods import Method
from ganvas.methods.encoding import EncodingMethod
from ganvas.metrics import Score
from ganvas.runs import model as sampling
from ganvas.runs.model import LAST_SEED, decode

SAMPLE_BYTES = 10_000  # of a sample: features and probabilities (`imagenet`: 2,280 numbers), and pixels in small


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
    """Score `n` samples of a checkpoint against the real images of a split, and write the result into the run.

    Nothing is written into a published model that was given by its name. By default the evaluator is chosen by the
    data; `infinity` adds FID∞. Raises UserError if the run, its images or the evaluator are missing.
    """
    model = sampling.load(path, checkpoint, device)
    recipe, train = model.run.recipe(), model.data(data_dir)
    unfit = recipe.method.unfit_evaluators
    chosen = evaluators.choose_for(train.spec, train.classes, train.fingerprint, device, evaluator, unfit)
    if chosen.device.type == "cpu":
        keep_freed_memory()
    test = load_unseen(model.data_settings(data_dir), train, data_dir)
    scorer = RunScorer(train, test, chosen, n=n, split=split, seed=seed, infinity=infinity, flips=recipe.data.flips)
    at = {"nimg": model.nimg, "epoch": model.nimg / len(train), "seconds": model.seconds}
    evaluation = scorer(model.method).of(recipe, at, model.sha256)
    if not model.run.read_only:
        document.keep(model.run, evaluation)
    return evaluation


def refuse_too_many_samples(n: int) -> None:
    """Raise UserError if the features of `n` samples are larger than the memory."""
    refuse_more(n * SAMPLE_BYTES, f"{n:,} samples take", "score fewer")


class RunScorer:
    """Scores samples of any method against the same real images in the same way. Create it once, call it often.

    Creating it measures the real images and the reference rows, which are cached.
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
        """`flips`: the run was also trained on mirror images, so a mirror image is also a copy.

        Raises UserError for fewer than 100 samples, a negative seed, or a missing split.
        """
        if not 0 <= seed <= LAST_SEED - n:
            raise UserError(f"{n:,} samples cannot begin with the seed {seed}: use one from 0 on, below 2**63 - {n:,}")
        if n < LEAST_SAMPLES:
            raise UserError(f"{n} samples are too few to score: ask for {LEAST_SAMPLES} or more")
        refuse_too_many_samples(n)
        if split == "test" and test is None:
            raise UserError(f"'{train.name}' has no test split: use --split train")
        self.train, self.test, self.evaluator, self.n, self.seed = train, test, evaluator, n, seed
        self.protocol = protocol_for(evaluator, train, test, split, n, seed)
        self.scoring = Scoring(evaluator, train.classes, Copies(train, test, flips, evaluator.device), infinity)
        real = test if split == "test" and test is not None else train
        self.reference = Reference.of(measure(evaluator, real).features, self.scoring.shares(real))
        self.rows = reference_rows(self.scoring, self.reference, self.protocol, train, test)

    def __call__(self, method: Method) -> Findings:
        """Draw samples of `method` and score them."""
        start = time.perf_counter()
        labels = self._labels(method)
        measured, small, sampling_seconds = self._draw(method, labels)
        with progress("scoring", 2) as advance:
            nearness = self.scoring.copies.nearness(small)
            advance(1)
            targets = None if labels is None else torch.from_numpy(labels)
            scores, refused = self.scoring.scores(self.reference, measured, nearness, targets)
            advance(1)
        if "redrawn_accuracy" not in self.refusals(method):
            scores["redrawn_accuracy"] = self._redrawn(method)
        counts = None
        if self.scoring.knows:
            counts = torch.bincount(measured.probabilities.argmax(1), minlength=len(self.train.classes)).tolist()
        words = "none" if labels is None else "as in the data"
        return Findings(
            key=self.protocol.key,
            protocol=self.protocol.model_copy(update={"labels": words}),
            data_name=self.train.name,
            why_evaluator=self.evaluator.why,
            scores=in_order(scores),
            refused=refused,
            counts=counts,
            classes=tuple(self.train.classes),
            references=self.rows,
            cost=Cost(
                device=str(self.evaluator.device),
                sampling_seconds=round(sampling_seconds, 2),
                scoring_seconds=round(time.perf_counter() - start - sampling_seconds, 2),
                peak_memory_mb=peak_memory_mb(),
            ),
        )

    def refusals(self, method: Method) -> dict[str, str]:
        """Metrics that evaluations of `method` will lack -> the reason."""
        return self.scoring.refusals(
            self.reference,
            self.n,
            labelled=self._conditional(method),
            redrawn=isinstance(method, EncodingMethod) and self.train.labels is not None,
        )

    def _conditional(self, method: Method) -> bool:
        return method.conditional and self.train.labels is not None

    def _labels(self, method: Method) -> np.ndarray | None:
        """Random labels with the frequencies of the data, int64 [n]; None if the method takes no labels."""
        if self.train.labels is None or not self._conditional(method):
            return None
        return np.random.default_rng(self.seed).choice(self.train.labels, self.n)

    def _draw(self, method: Method, labels: np.ndarray | None) -> tuple[Measured, Tensor, float]:
        """Features and probabilities of the samples, their pixels (to detect copies), and the seconds of drawing."""
        parts, small, seconds = [], [], 0.0
        with progress("drawing samples", self.n) as advance:
            for at in range(0, self.n, CHUNK):
                begun = time.perf_counter()
                seeds = list(range(self.seed + at, self.seed + min(at + CHUNK, self.n)))
                images = decode(method, seeds, None if labels is None else labels[at : at + CHUNK])
                seconds += time.perf_counter() - begun
                images = np.moveaxis(images, -1, 1)
                parts.append(self.evaluator.measure(images))
                small.append(pixels(images))
                advance(len(images))
        return Measured(*(torch.cat(each) for each in zip(*parts, strict=True))), torch.cat(small), seconds

    def _redrawn(self, method: Method) -> Score:
        """The share of real images (test images, if any) that keep their label when they are encoded and decoded."""
        assert isinstance(method, EncodingMethod)
        real = self.test if self.test is not None and self.test.labels is not None else self.train
        assert real.labels is not None
        chosen = np.random.default_rng(self.seed).permutation(len(real))[: self.n]
        predicted = []
        with progress("redrawing real images", len(chosen)) as advance:
            for at in range(0, len(chosen), CHUNK):
                images = torch.from_numpy(real.images[chosen[at : at + CHUNK]]).to(method.compute.device)
                redrawn = to_uint8(method.decode(method.encode(from_uint8(images))))
                predicted.append(self.evaluator.measure(np.moveaxis(redrawn, -1, 1)).probabilities.argmax(1))
                advance(len(redrawn))
        return metrics.label_accuracy(torch.cat(predicted), torch.from_numpy(real.labels[chosen]))


def peak_memory_mb() -> int | None:
    """The peak memory of this process in MB; None if the system does not report it."""
    with suppress(ImportError):  # Windows
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
    return None
