"""Writing samples as a grid, as arrays or as single images. Each file contains the recipe of its samples."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from ganvas.core import files, images
from ganvas.core.documents import Document
from ganvas.core.errors import UserError
from ganvas.runs.model import Model, Samples

Count = Annotated[int, Field(ge=0, lt=2**63)]


class SampleRecipe(Document):
    """How samples were drawn. In version 1 the field `version` held the version of ganvas."""

    KIND: ClassVar[str] = "a recipe of samples"
    VERSION: ClassVar[int] = 2

    model_config = ConfigDict(strict=True)

    version: int = 2
    ganvas: str
    """version of ganvas that drew the samples"""
    recipe: str
    checkpoint: str
    """sha256"""
    nimg: Count
    steps: Count | list[Count] | None = None
    """functional gradient steps; a list: for each row of a grid"""
    seeds: list[Count]
    labels: list[Count] | None = None
    """left out: the samples have no classes"""

    @model_validator(mode="before")
    @classmethod
    def _of_version_1(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("version"), str):
            values = {**values, "version": 1, "ganvas": values["version"]}
            if values.get("labels") == [None]:
                values["labels"] = None
        return values

    def values(self) -> dict[str, Any]:
        """JSON values for an image file."""
        return self.model_dump(mode="json", exclude_none=True)


def save(samples: Samples, out: Path, provenance: dict[str, Any]) -> list[Path]:
    """Write samples as one grid (`.png`), as arrays (`.npz`) or one by one (a folder, such as `faces` or `v1.0`).

    The arrays are images, seeds, recipe and, for a conditional run, labels and the names of all classes. In a folder,
    the files are named after seed and class. Returns the written files. Raises UserError for another kind of file.
    """
    labels = None if samples.labels is None else samples.labels.tolist()
    kind = "" if out.is_dir() else out.suffix.lower()
    if kind == ".png":
        grid = images.grid(samples.images, images.square_columns(len(samples.images)))
        recipe = SampleRecipe(**provenance, seeds=samples.seeds, labels=labels)
        images.save_png(out, images.enlarge(grid), recipe.values())
        return [out]
    if kind == ".npz":
        recipe = SampleRecipe(**provenance, seeds=samples.seeds, labels=labels)
        arrays: dict[str, Any] = {"images": samples.images, "seeds": np.array(samples.seeds)}
        if samples.labels is not None:
            arrays |= {"labels": samples.labels, "classes": np.array(samples.classes)}
        with files.atomic(out) as file:
            np.savez_compressed(file, recipe=np.array(recipe.to_json()), **arrays)
        return [out]
    if re.match(r"\.[a-z]", kind):  # the extension of a file, unlike that of v1.0
        raise UserError(f"cannot write samples as '{out.suffix}': use a .png grid, an .npz file or a folder")
    written = []
    for i, (image, seed) in enumerate(zip(samples.images, samples.seeds, strict=True)):
        label = None if samples.labels is None else int(samples.labels[i])
        name = f"{seed:06d}.png" if label is None else f"{seed:06d}-{_in_a_name(samples.classes[label])}.png"
        recipe = SampleRecipe(**provenance, seeds=[seed], labels=None if label is None else [label])
        images.save_png(out / name, image, recipe.values())
        written.append(out / name)
    return written


def _in_a_name(text: str) -> str:
    """The name of a class as part of a file name: `T - shirt / top` -> `T-shirt-top`."""
    return re.sub(r"[^\w.]+", "-", text)[:80].strip("-") or "class"


def save_steps(model: Model, steps: Sequence[int], n: int, label: str | None, seed: int, out: Path) -> None:
    """Write a PNG grid whose rows are the same samples after each number of `steps`."""
    if out.suffix.lower() != ".png":
        raise UserError(f"rows of steps make an image: give --out a name that ends in .png, not '{out.name}'")
    rows = []
    for count in steps:
        model.method.use_steps(count)
        rows.append(model.sample(n, label, seed))
    grid = images.grid(np.concatenate([row.images for row in rows]), n)
    labels = None if rows[0].labels is None else rows[0].labels.tolist()
    recipe = SampleRecipe(**{**model.provenance(), "seeds": rows[0].seeds, "labels": labels, "steps": list(steps)})
    images.save_png(out, images.enlarge(grid), recipe.values())
