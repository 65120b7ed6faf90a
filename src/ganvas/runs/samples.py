"""Samples as files: a grid, arrays, single images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.core import files, images
from ganvas.core.errors import UserError
from ganvas.runs.model import Model, Samples


def save(samples: Samples, out: Path, provenance: dict[str, Any]) -> list[Path]:
    """Write samples as one grid (`.png`), as arrays (`.npz`: images, labels, seeds, recipe) or one by one (a folder).

    Returns the files written. Raises UserError for another ending.
    """
    if out.suffix == ".png":
        grid = images.grid(samples.images, images.square_columns(len(samples.images)))
        labels = None if samples.labels is None else samples.labels.tolist()
        images.save_png(out, images.enlarge(grid), {**provenance, "seeds": samples.seeds, "labels": labels})
        return [out]
    if out.suffix == ".npz":
        labels = {} if samples.labels is None else {"labels": samples.labels}
        with files.atomic(out) as file:
            recipe = np.array(json.dumps(provenance))
            np.savez_compressed(file, images=samples.images, seeds=np.array(samples.seeds), recipe=recipe, **labels)
        return [out]
    if out.suffix:
        raise UserError(f"cannot write samples as '{out.suffix}': use a .png grid, an .npz file or a folder")
    written = []
    for i, (image, seed) in enumerate(zip(samples.images, samples.seeds, strict=True)):
        label = None if samples.labels is None else int(samples.labels[i])
        written.append(out / (f"{seed:06d}.png" if label is None else f"{seed:06d}-label{label}.png"))
        images.save_png(written[-1], image, {**provenance, "seeds": [seed], "labels": [label]})
    return written


def save_steps(model: Model, steps: Sequence[int], n: int, label: str | None, seed: int, out: Path) -> None:
    """Write a grid with the same samples in every row, after each number of `steps`; raises UserError for others."""
    if out.suffix != ".png":
        raise UserError(f"rows of steps make an image: give --out a name that ends in .png, not '{out.name}'")
    rows = []
    for count in steps:
        model.method.use_steps(count)
        rows.append(model.sample(n, label, seed))
    grid = images.grid(np.concatenate([row.images for row in rows]), n)
    labels = None if rows[0].labels is None else rows[0].labels.tolist()
    recipe = {**model.provenance(), "seeds": rows[0].seeds, "labels": labels, "steps": list(steps)}
    images.save_png(out, images.enlarge(grid), recipe)
