"""A pixel network as one HTML file: a page that paints it by WebGL2, without ganvas and without a network connection.

The file holds the shader (`shader`), the weights and some latents. Weights are stored as float32 if they fit, else as
16-bit integers with a scale for every 256 of them: at most 1/65,534 of the largest one away.
"""

import base64
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.images import RECIPE_KEY
from ganvas.core.text import writable
from ganvas.export import shader
from ganvas.networks.view import View
from ganvas.painting.paint import POSTER_SIDE, Painting
from ganvas.painting.palette import Palette
from ganvas.painting.subjects import Subject

PALETTES = ("viridis", "magma", "cividis", "twilight", "copper")
BLOCK = 256  # weights that share a scale
WIDEST = 256  # units of a layer: more do not fit into the uniforms that every GPU has
MOST_BYTES = 200_000  # of the file
PAGE = resources.files("ganvas.export") / "viewer"


def save(subjects: Sequence[Subject], out: Path, title: str) -> int:
    """Write the page that paints `subjects`, which have one network; returns its size in bytes.

    Raises UserError for a network that is too large.
    """
    page = render(subjects, title).encode()
    if len(page) > MOST_BYTES:
        raise UserError(
            f"a page with this network would have {files.say_size(len(page))}, more than {files.say_size(MOST_BYTES)}: "
            "choose fewer subjects, or a smaller network"
        )
    files.write(out, page)
    return len(page)


def render(subjects: Sequence[Subject], title: str) -> str:
    """The page as text."""
    title = writable(title)
    network = subjects[0].painter.network
    if network.output.in_features > WIDEST:
        raise UserError(f"a network of {network.output.in_features} units is too wide for a page: at most {WIDEST}")
    values = shader.weights(network)
    style, script = ((PAGE / name).read_text("utf-8") for name in ("viewer.css", "viewer.js"))
    template = Environment(autoescape=True).from_string((PAGE / "viewer.html.jinja").read_text("utf-8"))
    page = ""
    for weights in (_floats(values), _shorts(values)):
        model = Markup(json.dumps(_model(subjects, title, weights)).replace("<", "\\u003c"))
        page = template.render(title=title, style=Markup(style), script=Markup(script), model=model)
        if len(page.encode()) <= MOST_BYTES:
            break
    return page


def _model(subjects: Sequence[Subject], title: str, weights: dict[str, str]) -> dict[str, Any]:
    """What the page's script needs, as its type `Model` says."""
    painter = subjects[0].painter
    network = painter.network
    view = View(POSTER_SIDE, POSTER_SIDE, network.scale)
    painting = Painting(subjects[:1], view)
    maps = PALETTES if painter.channels == 1 else ()
    return {
        "name": title,
        "source": shader.source(network),
        "lanes": shader.lanes(network),
        "width": network.output.in_features,
        "channels": painter.channels,
        "scale": view.scale,
        "latentScale": network.scale,
        "weights": weights,
        "latent": _base64(network.latent.weight.detach().cpu().float().numpy()),
        "bias": _base64(network.latent.bias.detach().cpu().float().numpy()),
        "subjects": [{"name": each.source, "z": [float(f"{x:.7g}") for x in each.z.tolist()]} for each in subjects],
        "palettes": {name: _base64(Palette(name, 1)(np.linspace(0, 1, 256)[:, None])) for name in maps},
        "palette": painting.colours.name,
        "recipe": json.loads(painting.recipe().to_json()),
        "recipeKey": RECIPE_KEY,
    }


def _floats(values: np.ndarray) -> dict[str, str]:
    return {"floats": _base64(values.astype(np.float32))}


def _shorts(values: np.ndarray) -> dict[str, str]:
    flat = values.ravel()
    blocks = np.pad(flat, (0, -len(flat) % BLOCK)).reshape(-1, BLOCK)
    scales = np.maximum(np.abs(blocks).max(1, keepdims=True) / np.iinfo(np.int16).max, np.finfo(np.float32).tiny)
    shorts = np.round(blocks / scales).astype(np.int16)
    return {"shorts": _base64(shorts.ravel()[: len(flat)]), "scales": _base64(scales.astype(np.float32))}


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes()).decode()
