"""Every kind of document, with damaged and made-up content: read, or refused in one line."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.core.documents import Document
from ganvas.core.errors import UserError
from ganvas.evaluation.document import Evaluation
from ganvas.evaluation.evaluators.facts import Facts
from ganvas.painting.recipes import MorphRecipe, PaintingRecipe, TrainingRecipe
from ganvas.runs.checkpoint import Note
from ganvas.runs.guard_journal import GuardEvent
from ganvas.runs.info import RunInfo
from ganvas.runs.log import LogRecord
from ganvas.runs.samples import SampleRecipe
from ganvas.sweeps.info import SweepInfo
from tests.evaluated import content

VIEW = {"height": 20, "width": 20, "scale": 8.0, "center": [0.0, 0.0], "zoom": 1.0, "supersample": 1}
ORIGIN = {"random": "tanh:8x64", "std": 0.6, "weights": 1}
DATA = {
    **{"name": "mnist", "images": 60_000, "sha256": "5e", "classes": ["0", "1"]},
    "spec": {"channels": 1, "height": 8, "width": 8, "num_classes": 2},
}
EXAMPLES: dict[type[Document], dict[str, Any]] = {
    RunInfo: {
        **{"started": "2026-11-22T10:00:00+00:00", "state": "finished", "data": DATA},
        "sessions": [{"device": "cpu", "threads": 2, "from_nimg": 60}],
    },
    LogRecord: {"nimg": 60, "epoch": 1.0, "seconds": 2.5, "d_loss": 1.3, "score": None},
    GuardEvent: {"nimg": 60, "kind": "collapse", "said": "alike", "back_to": 40, "factors": {"lr": 0.5}},
    Note: {"nimg": 60, "sha256": "5e", "bytes": 7, "score": 1.5, "by": "score"},
    Evaluation: content(60, {"fid": (3.0, 0.1)}),
    SampleRecipe: {
        **{"version": 3, "ganvas": "0.2.0", "recipe": "mnist-cdcgan", "checkpoint": "5e", "nimg": 60},
        **{"seeds": [1, 2], "labels": [0, 1]},
    },
    PaintingRecipe: {
        "painting": {
            "subjects": [{"source": "seed 1", "origin": ORIGIN, "latent": [0.5, 1.0]}],
            **{"view": VIEW, "palette": "auto", "bits": 8, "columns": 1},
        }
    },
    MorphRecipe: {
        "morph": {
            **{"origin": ORIGIN, "sources": ["seed 1"], "latents": [[0.5], [1.0]], "view": VIEW, "frames": 60},
            **{"ease": "sine", "spherical": False, "loop": True, "palette": "auto", "fps": 30.0},
        }
    },
    TrainingRecipe: {"training": {"run": "runs/a", "sheets": [0, 60], "fps": 2.0}},
    Facts: {
        **{"name": "digits", "settings": {"size": 28}, "channels": 1, "classes": ["0", "1"], "temperature": 0.5},
        **{"data": {"name": "mnist", "sha256": "5e", "images": 60_000}, "ganvas": "0.2.0", "torch": "2.13.0"},
        "test": {"what": "test images", "images": 10_000, "accuracy": 0.997},
    },
    SweepInfo: {"version": 2, "varied": {"method.lr": [1, 2]}, "trials": None, "seeds": 1, "by": "kid", "samples": 200},
}

ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**301)
    | st.floats()
    | st.text()
    | st.sampled_from(["\x1b[31m", "[/]", "=1+1", "1e999", "\ud800".encode("utf-8", "replace").decode(), "9" * 400])
)
VALUES = st.recursive(ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def test_every_kind_has_an_example() -> None:
    for kind, example in EXAMPLES.items():
        assert isinstance(kind.from_json(json.dumps(example), "example"), kind)
    kinds = {kind for kind in _kinds(Document) if hasattr(kind, "KIND") and kind.__module__.startswith("ganvas.")}
    assert {kind for kind in kinds if not any(issubclass(more, kind) for more in kinds - {kind})} == set(EXAMPLES)


def _kinds(kind: type[Document]) -> Iterator[type[Document]]:
    for more in kind.__subclasses__():
        yield more
        yield from _kinds(more)


@pytest.mark.parametrize("kind", EXAMPLES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_content_is_read_or_refused_in_one_line(kind: type[Document], data: st.DataObject) -> None:
    example = copy.deepcopy(EXAMPLES[kind])
    *way, last = data.draw(st.sampled_from(list(places(example))))
    inner: Any = example
    for key in way:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[last] = data.draw(VALUES)
    else:
        del inner[last]
    text = json.dumps(example)
    if data.draw(st.integers(0, 9)) == 0:
        text = text[: data.draw(st.integers(0, len(text)))]
    try:
        found = kind.from_json(text, "runs/a/file")
    except UserError as refused:
        assert "\n" not in str(refused) and "runs/a/file" in str(refused)
    else:
        again = found.to_json()
        assert kind.from_json(again, "runs/a/file").to_json() == again
