"""Images of latents, and what there is to know of a run: what the parts of the tab `Latents` share.

All but `facts_of` are called in the thread that computes.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from ganvas.core.errors import UserError
from ganvas.explore.live import Frame

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.runs.model import Model
    from ganvas.runs.run import Run

MOST_COMPARED = 5_000  # training images among which the nearest are looked for

Class = Annotated[int, Field(ge=0, lt=100_000)]


def facts_of(run: Run) -> dict[str, Any]:
    """What the page has to know of a run."""
    from ganvas.methods import METHODS

    recipe, info = run.recipe(), run.info()
    data = info.data
    method = recipe.method
    return {
        "classes": list(data.classes) if getattr(method, "conditional", False) else [],
        "latent": method.latent_size,
        "height": data.spec.height,
        "width": data.spec.width,
        "channels": data.spec.channels,
        "any_size": recipe.network.name == "cppn",
        "averaged": method.ema_images > 0 and info.state != "published",  # these have no others
        "encoder": METHODS[method.name].has_encoder(),
        "steps": getattr(method, "steps", 0),
        "small": data.images <= MOST_COMPARED,
        "images": data.images,
        "checkpoints": run.checkpoints.available(),
        "best": run.checkpoints.best(),
        "recipe": recipe.name,
    }


def latents_of(model: Model, rows: list[list[float]]) -> Tensor:
    """Latents from a page: [N, latent]. Raises UserError if they are of another size."""
    import torch

    size = model.method.settings.latent_size
    if any(len(row) != size for row in rows):
        raise UserError(f"latents of this run have {size} numbers")
    return torch.tensor(rows, device=model.method.compute.device)


def labels_of(model: Model, given: list[int | None]) -> Tensor | None:
    """The labels of points; raises UserError for a class that the run does not have."""
    import torch

    if not model.method.conditional:
        return None
    labels = [label or 0 for label in given]
    if max(labels) >= len(model.classes):
        raise UserError(f"this run has {len(model.classes)} classes")
    return torch.tensor(labels, device=model.method.compute.device)


def decode(model: Model, z: Tensor, labels: Tensor | None, size: int | None = None) -> np.ndarray:
    """uint8 [N, H, W, C]; `size`, the longer side in pixels, counts for pixel networks only."""
    from ganvas.compute.device import deterministic
    from ganvas.core.images import to_uint8
    from ganvas.networks.cppn import PixelGenerator

    sides = None
    if size and isinstance(model.method.for_decoding("G"), PixelGenerator):
        own = model.method.spec.height, model.method.spec.width
        sides = max(1, round(own[0] * size / max(own))), max(1, round(own[1] * size / max(own)))
    with deterministic():
        return to_uint8(model.method.decode(z, labels, sides))


def sheet(images: np.ndarray, columns: int) -> Frame:
    """uint8 [N, H, W, C] as one image, row by row; a cell has no border."""
    from ganvas.core.images import grid

    whole = grid(images, columns, 0)
    return Frame(whole, {"columns": columns, "rows": len(whole) // images.shape[1], "cell": list(images.shape[1:3])})


def address_of(image: np.ndarray) -> str:
    """uint8 [C, H, W] as the address of a picture."""
    from ganvas.core.images import png

    content = png(np.ascontiguousarray(np.moveaxis(image, 0, -1)))
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
