"""The model card of a published model: its data, settings, scores with their protocol, and limits."""

from importlib import resources
from typing import Any

from huggingface_hub import ModelCardData
from jinja2 import Environment, StrictUndefined

from ganvas.core.files import say_size
from ganvas.core.settings import typed
from ganvas.core.text import plain_markdown
from ganvas.core.version import VERSION
from ganvas.evaluation import document
from ganvas.evaluation.report.cells import metric_heading, number
from ganvas.runs.run import Run

TEMPLATE = "card.md.jinja"


def text(run: Run, name: str) -> str:
    """The card of the published model `run`, with YAML metadata for the hub; `name` is the heading."""
    recipe, info = run.recipe(), run.info()
    found, _ = run.checkpoints.newest()
    assert found is not None, "a published model has a checkpoint"
    kind = {1: "grey", 3: "colour", 4: "transparent"}[info.data.spec.channels]
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters["plain"] = lambda value: plain_markdown(str(value))
    template = environment.from_string((resources.files("ganvas.publishing") / TEMPLATE).read_text("utf-8"))
    return template.render(
        metadata=_metadata(run),
        name=name,
        recipe=recipe,
        info=info,
        kind=kind,
        nimg=found.values["nimg"],
        epochs=found.values["nimg"] / info.data.images,
        minutes=found.values["seconds"] / 60,
        half=any(tensor.dtype.itemsize == 2 for tensor in found.tensors.values() if tensor.is_floating_point()),
        size=say_size(sum(tensor.nbytes for tensor in found.tensors.values())),
        sha256=found.sha256,
        settings=[f"{key}={typed(value)}" for key, value in sorted(recipe.marks().items())],
        evaluations=[_scores(document.read(file)) for file in run.evaluation_files()],
        paints=run.paints(),
        version=VERSION,
    )


def _metadata(run: Run) -> str:
    recipe, info = run.recipe(), run.info()
    return ModelCardData(
        license=info.licence,
        library_name="ganvas",
        pipeline_tag="unconditional-image-generation",
        datasets=[recipe.data.name.partition(":")[0]] if info.data.place is None and "/" in recipe.data.name else None,
        tags=["gan", "ganvas"],
    ).to_yaml()


def _scores(evaluation: document.Evaluation) -> dict[str, Any]:
    """The protocol in one line, and a row for each score: its name, that of the model and that of real images."""
    real = evaluation.references.get("real")
    rows = [
        (metric_heading(name), number(score), number(real.scores[name]) if real and name in real.scores else "–")
        for name, score in evaluation.scores.items()
    ]
    copies = evaluation.scores.get("copy_rate")
    return {"about": evaluation.about(), "rows": rows, "copies": None if copies is None else f"{copies.value:.2%}"}
