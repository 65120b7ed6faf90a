"""Writing samples as a grid, as arrays or as single images. Each file contains the recipe of its samples."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from ganvas.core import files, images
from ganvas.core.documents import Document
from ganvas.core.errors import UserError
from ganvas.runs.model import Model, Samples

Count = Annotated[int, Field(ge=0, lt=2**63)]


class SampleRecipe(Document):
    """How samples were drawn. In version 1 the field `version` held the version of ganvas; 3 added `latents`."""

    KIND: ClassVar[str] = "a recipe of samples"
    VERSION: ClassVar[int] = 3

    model_config = ConfigDict(strict=True)

    version: int = 3
    ganvas: str
    """version of ganvas that drew the samples"""
    recipe: str
    checkpoint: str
    """sha256"""
    nimg: Count
    steps: Count | list[Count] | None = None
    """functional gradient steps; a list: for each row of a grid"""
    seeds: list[Count] | None = None
    """left out: the latents do not come from seeds"""
    labels: list[Count] | None = None
    """left out: the samples have no classes"""
    latents: list[list[float]] | None = None
    """for each sample, if there are no seeds"""

    @model_validator(mode="after")
    def _seeds_or_latents(self) -> Self:
        if (self.seeds is None) == (self.latents is None):
            raise ValueError("samples have either seeds or latents")
        return self

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

    The arrays are images, seeds (or their latents, z), recipe and, for a conditional run, labels and the names of all
    classes. In a folder, the files are named after seed (or number) and class. Returns the written files. Raises
    UserError for another kind of file.
    """
    kind = "" if out.is_dir() else out.suffix.lower()
    if kind == ".png":
        grid = images.grid(samples.images, images.square_columns(len(samples.images)))
        images.save_png(out, images.enlarge(grid), _recipe(samples, provenance).values())
        return [out]
    if kind == ".npz":
        arrays: dict[str, Any] = {"images": images.straight(samples.images)}
        arrays |= {"seeds": np.array(samples.seeds)} if samples.latents is None else {"z": samples.latents}
        if samples.labels is not None:
            arrays |= {"labels": samples.labels, "classes": np.array(samples.classes)}
        with files.atomic(out) as file:
            np.savez_compressed(file, recipe=np.array(_recipe(samples, provenance).to_json()), **arrays)
        return [out]
    if re.match(r"\.[a-z]", kind):  # the extension of a file, unlike that of v1.0
        raise UserError(f"cannot write samples as '{out.suffix}': use a .png grid, an .npz file or a folder")
    written = []
    for i, image in enumerate(samples.images):
        number = samples.seeds[i] if samples.latents is None else i
        label = None if samples.labels is None else int(samples.labels[i])
        name = f"{number:06d}.png" if label is None else f"{number:06d}-{_in_a_name(samples.classes[label])}.png"
        images.save_png(out / name, image, _recipe(samples, provenance, slice(i, i + 1)).values())
        written.append(out / name)
    return written


def _recipe(samples: Samples, provenance: dict[str, Any], chosen: slice = slice(None)) -> SampleRecipe:
    """The recipe of the chosen samples."""
    if samples.latents is not None:
        return SampleRecipe(**provenance, latents=samples.latents[chosen].tolist())
    labels = None if samples.labels is None else samples.labels[chosen].tolist()
    return SampleRecipe(**provenance, seeds=samples.seeds[chosen], labels=labels)


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
