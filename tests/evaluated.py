"""Made-up runs with evaluation files, but without a network."""

import json
from pathlib import Path
from typing import Any

from ganvas.runs.run import Run

REFERENCES = {
    "real": {"what": "10,000 test images", "n": 10_000, "scores": {"fid": {"value": 1.02, "error": 0.03}}},
    "noise": {"what": "uniform noise", "n": 10_000, "scores": {"fid": {"value": 412.0, "error": 1.0}}},
    "mean": {"what": "their mean", "n": 10_000, "scores": {"fid": {"value": 230.0, "error": 0.0}}},
}


def make_run(path: Path, device: str = "cpu") -> Run:
    run = Run(path)
    path.mkdir(parents=True)
    run.recipe_file.write_text('name = "mnist-cdcgan"\n')
    spec = {"channels": 1, "height": 8, "width": 8, "num_classes": 3}
    data = {"name": "mnist", "images": 60_000, "sha256": "5e", "classes": ["0", "1", "2"], "spec": spec}
    sessions = [{"device": device, "threads": 2, "machine": "Linux"}]
    info = {"started": "2026-11-22T10:00:00+00:00", "data": data, "sessions": sessions}
    run.info_file.write_text(json.dumps(info))
    return run


def content(
    nimg: int,
    scores: dict[str, tuple[float, float | None]],
    *,
    key: str = "a1b2c3d4e5f6",
    seed: int = 0,
    recipe: str = "mnist-cdcgan",
    identity: str = "same",
    unfit: tuple[str, ...] = (),
    seconds: float | None = None,
    refused: dict[str, str] | None = None,
    references: dict[str, Any] = REFERENCES,
    **protocol: Any,
) -> dict[str, Any]:
    """What an evaluation leaves behind; `protocol` are entries that differ from the usual."""
    usual = {
        "evaluator": {"name": "digits", "sha256": "1a2b3c4d5e6f", "size": 28, "resize": "none"},
        "data": {"sha256": "d1d2d3d4d5d6", "images": 60_000, "channels": 1, "height": 28, "width": 28},
        "split": "train",
        "n": 10_000,
        "seed": 1_000_000,
        "labels": "as in the data",
        "metrics": {"fid": 1, "kid": 1},
    }
    return {
        "version": 2,
        "key": key,
        "protocol": usual | protocol,
        "data_name": "mnist",
        "run": {"recipe": recipe, "seed": seed, "identity": identity, "unfit_evaluators": unfit},
        "checkpoint": {
            "nimg": nimg,
            "epoch": nimg / 60_000,
            "seconds": nimg / 100 if seconds is None else seconds,
            "sha256": "c0ffee",
        },
        "scores": {name: {"value": value, "error": error} for name, (value, error) in scores.items()},
        "refused": refused or {},
        "counts": None,
        "references": references,
        "provenance": {"ganvas": "0.2.0", "git": "f00d", "at": "2026-11-22T11:00:00+00:00", "device": "cpu"},
    }


def evaluate(
    run: Run, nimg: int, scores: dict[str, tuple[float, float | None]], *, key: str = "a1b2c3d4e5f6", **more: Any
) -> Path:
    """Write an evaluation into a made-up run; `more` as in `content`."""
    file = run.path / "evaluations" / f"{nimg:09d}-{key}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content(nimg, scores, key=key, **{"identity": f"of {run.path.name}", **more})))
    return file
