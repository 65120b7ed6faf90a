"""An evaluation as a document: the scores of a checkpoint, with everything that affects their comparability."""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import AfterValidator, AliasChoices, Field, PlainSerializer

from ganvas.core import files
from ganvas.core.documents import Document
from ganvas.core.errors import UserError
from ganvas.core.version import VERSION
from ganvas.evaluation.protocol import Part, Protocol, short_hash
from ganvas.metrics import Score
from ganvas.recipes.recipe import Recipe
from ganvas.runs.provenance import git_commit, now
from ganvas.runs.run import Run
from ganvas.runs.writer import UNLIMITED, Writer


def _finite(scores: dict[str, Score]) -> dict[str, Score]:
    return {name: score for name, score in scores.items() if isfinite(score.value)}


Scores = Annotated[
    dict[str, Annotated[Score, PlainSerializer(lambda score: score._asdict())]], AfterValidator(_finite)
]  # the finite scores by metric


class ReferenceRow(Part):
    """The same scores for real images, noise or the mean image instead of samples."""

    what: str
    n: int
    scores: Scores
    refused: dict[str, str] = Field(default_factory=dict)


class Cost(Part):
    device: str
    sampling_seconds: float
    scoring_seconds: float
    peak_memory_mb: int | None = None


class RunUsed(Part):
    recipe: str
    seed: int
    identity: str  # a hash of all settings except the seed
    unfit_evaluators: tuple[str, ...] = ()  # on whose features it was trained


class CheckpointUsed(Part):
    nimg: int
    epoch: float
    seconds: float  # training time
    sha256: str


class Provenance(Part):
    ganvas: str
    git: str | None = None
    torch: str | None = None
    at: str


class Findings(Document):
    """The scores of a method, without the run and the checkpoint they belong to."""

    KIND: ClassVar[str] = "an evaluation"
    VERSION: ClassVar[int] = 2

    version: int = Field(2, validation_alias=AliasChoices("version", "format"))  # version 1 called it `format`
    key: str  # the key of the protocol
    protocol: Protocol
    data_name: str
    why_evaluator: str = ""  # why this evaluator was chosen
    scores: Scores
    refused: dict[str, str]  # metrics that are missing unexpectedly -> the reason
    counts: list[int] | None = None  # number of samples of each class
    classes: tuple[str, ...] = ()
    references: dict[str, ReferenceRow]
    cost: Cost | None = None

    def of(self, recipe: Recipe, at: Mapping[str, Any], sha256: str) -> "Evaluation":
        """The evaluation of the checkpoint with this hash; `at` has its nimg, epoch and seconds."""
        settings = {key: value for key, value in recipe.marks().items() if key != "train.seed"}
        return Evaluation(
            **dict(self),
            run=RunUsed(
                recipe=recipe.name,
                seed=recipe.train.seed,
                identity=short_hash(settings),
                unfit_evaluators=recipe.method.unfit_evaluators,
            ),
            checkpoint=CheckpointUsed(
                nimg=at["nimg"], epoch=round(at["epoch"], 4), seconds=round(at["seconds"], 3), sha256=sha256
            ),
            provenance=Provenance(ganvas=VERSION, git=git_commit(), torch=torch.__version__, at=now()),
        )


class Evaluation(Findings):
    """The file `evaluations/NIMG-KEY.json` of a run."""

    run: RunUsed
    checkpoint: CheckpointUsed
    provenance: Provenance

    @property
    def unfit(self) -> str:
        """Why the scores do not rank the run, to follow "it was"; empty if they do."""
        name = self.protocol.evaluator.name
        if name not in self.run.unfit_evaluators:
            return ""
        return f"trained on the features of '{name}', so that this does not rank it: score it by another --evaluator"

    def about(self) -> str:
        """The protocol in one line."""
        protocol, evaluator = self.protocol, self.protocol.evaluator
        return (
            f"{protocol.n:,} samples (seeds from {protocol.seed:,}) against {protocol.data.images:,} {protocol.split} "
            f"images of {self.data_name}, by evaluator '{evaluator.name}' "
            f"(sha {evaluator.sha256[:8]}, {evaluator.size}x{evaluator.size})"
        )

    def _repr_html_(self) -> str:
        """For notebooks."""
        from ganvas.evaluation.report.notebook import evaluation_html  # which imports this module

        return evaluation_html(self)


def read(file: Path) -> Evaluation:
    """Read the evaluation in a file; raises UserError if it is missing, damaged or something else."""
    try:
        content = files.read(file)
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error.strerror}") from None
    return Evaluation.from_json(content, file)


def to_file(evaluation: Evaluation) -> bytes:
    """The content of the file of an evaluation."""
    return (evaluation.to_json(indent=1) + "\n").encode()


def keep(run: Run, evaluation: Evaluation, writer: Writer = UNLIMITED) -> Path:
    """Write an evaluation into its run; replaces one of the same checkpoint and protocol. Returns the file."""
    file = run.evaluations / f"{evaluation.checkpoint.nimg:09d}-{evaluation.key}.json"
    writer.write(file, to_file(evaluation))
    return file
