"""A trained network as one HTML file: a page that draws with it, without ganvas and without a network connection.

The file holds the network, some latents, and the scripts in `viewer/`. A pixel network is painted at any zoom by
WebGL2, with a shader (`shader`); its weights are stored as float32 if they fit, else as 16-bit integers. Other
generators make images of one size, which a worker computes layer by layer (`layers`); their weights are stored as
16-bit integers, or as 8-bit ones if these change the images little enough. Integers have a scale for every BLOCK of
them: with 16 bits a weight is at most 1/65,534 of the largest one away.
"""

import base64
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jinja2 import Environment
from markupsafe import Markup
from torch import Tensor

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.images import RECIPE_KEY, to_uint8
from ganvas.core.text import writable
from ganvas.export import layers, shader
from ganvas.methods import CFGGAN
from ganvas.methods.base import evaluating
from ganvas.networks.base import Generator
from ganvas.networks.view import View
from ganvas.painting.paint import POSTER_SIDE, Painting
from ganvas.painting.palette import Palette
from ganvas.painting.subjects import Subject, seed_latent
from ganvas.runs.directions import factorised
from ganvas.runs.model import Model
from ganvas.runs.samples import SampleRecipe

PALETTES = ("viridis", "magma", "cividis", "twilight", "copper")
BLOCK = 256  # weights that share a scale
WIDEST = 256  # units of a pixel network's layer: more do not fit into the uniforms that every GPU has
MOST_BYTES = 200_000  # of the page of a pixel network
MOST_BYTES_OF_IMAGES = 10_000_000  # of the page of another generator
LARGEST_ERROR = 1.0  # mean difference by 8-bit weights, in 1/255, above which they are refused
COMPARED = 64  # images from which differences are measured
PAGE = resources.files("ganvas.export") / "viewer"


def save(subjects: Sequence[Subject], out: Path, title: str) -> int:
    """Write the page that paints `subjects`, which have one pixel network; returns its size in bytes.

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
    page = ""
    for weights in ({"floats": _base64(values.astype(np.float32))}, _integers(values, 16)[0]):
        page = _page(title, True, _pixel_model(subjects, title, weights))
        if len(page.encode()) <= MOST_BYTES:
            break
    return page


class ImagePage(NamedTuple):
    """A page of a generator that makes images of one size."""

    text: str
    bits: int  # of each weight
    largest: int  # difference of a pixel from the images that ganvas draws, in 1/255
    mean: float  # difference, in 1/255


def save_images(model: Model, latents: Sequence[tuple[Tensor, str]], out: Path, title: str) -> ImagePage:
    """Write the page that draws from `latents` [`Method.latent_length`], which have names; returns it.

    Raises UserError as `render_images` does.
    """
    page = render_images(model, latents, title)
    files.write(out, page.text.encode())
    return page


def render_images(model: Model, latents: Sequence[tuple[Tensor, str]], title: str) -> ImagePage:
    """The page of a run without a pixel network, with the finest weights that fit.

    Raises UserError for a network that is too large, and for one that a page cannot compute.
    """
    method = model.method
    if isinstance(method, CFGGAN):
        raise UserError("a page has no gradients of discriminators, with which CFG-GAN draws: use --to onnx")
    if method.spec.channels == 4:
        raise UserError("a page shows no transparency: use --to onnx")
    title = writable(title)
    generator = method.for_decoding("G")
    assert isinstance(generator, Generator)
    network = layers.of_generator(generator)
    count = network.matrices.size
    for bits in (16, 8):
        if count * bits // 6 > MOST_BYTES_OF_IMAGES:  # as base64
            continue
        weights, rounded = _integers(network.matrices, bits)
        text = _page(title, False, _image_model(model, latents, title, network, weights))
        if len(text.encode()) > MOST_BYTES_OF_IMAGES:
            continue
        largest, mean = _differences(model, generator, rounded, latents)
        if bits == 16 or mean <= LARGEST_ERROR:
            return ImagePage(text, bits, largest, mean)
    raise UserError(
        f"a page with these {count:,} weights would have more than {files.say_size(MOST_BYTES_OF_IMAGES)}: "
        "use --to onnx"
    )


def _page(title: str, pixels: bool, model: dict[str, Any]) -> str:
    def read(name: str) -> Markup:
        return Markup((PAGE / name).read_text("utf-8"))

    return (
        Environment(autoescape=True)
        .from_string(read("viewer.html.jinja"))
        .render(
            title=title,
            pixels=pixels,
            style=read("viewer.css"),
            model=Markup(json.dumps(model).replace("<", "\\u003c")),
            workers=[] if pixels else [read("network.js")],
            scripts=[read("viewer.js"), read("pixels.js" if pixels else "images.js")],
        )
    )


def _common(title: str, subjects: Sequence[tuple[Tensor, str]], weights: dict[str, Any], recipe: Any) -> dict[str, Any]:
    """What the script of every page needs, as its type `Common` says."""
    return {
        "name": title,
        "subjects": [{"name": name, "z": _numbers(z)} for z, name in subjects],
        "weights": weights,
        "recipe": recipe,
        "recipeKey": RECIPE_KEY,
    }


def _pixel_model(subjects: Sequence[Subject], title: str, weights: dict[str, Any]) -> dict[str, Any]:
    """The type `PixelModel` of the script."""
    painter = subjects[0].painter
    network = painter.network
    view = View(POSTER_SIDE, POSTER_SIDE, network.scale)
    painting = Painting(subjects[:1], view)
    maps = PALETTES if painter.channels == 1 else ()
    recipe = json.loads(painting.recipe().to_json())
    return _common(title, [(each.z, each.source) for each in subjects], weights, recipe) | {
        "source": shader.source(network),
        "lanes": shader.lanes(network),
        "width": network.output.in_features,
        "channels": painter.channels,
        "scale": view.scale,
        "latentScale": network.scale,
        "latent": _base64(network.latent.weight.detach().cpu().float().numpy()),
        "bias": _base64(network.latent.bias.detach().cpu().float().numpy()),
        "palettes": {name: _base64(Palette(name, 1)(np.linspace(0, 1, 256)[:, None])) for name in maps},
        "palette": painting.colours.name,
    }


def _image_model(
    model: Model,
    latents: Sequence[tuple[Tensor, str]],
    title: str,
    network: layers.Layers,
    weights: dict[str, Any],
) -> dict[str, Any]:
    """The type `ImageModel` of the script."""
    method = model.method
    recipe = SampleRecipe(**model.provenance(), latents=[latents[0][0].tolist()]).values()
    directions = factorised(model, 2)
    steps = [(std * vector).tolist() for vector, std in zip(directions.vectors, directions.stds, strict=True)]
    return _common(title, latents, weights, recipe) | {
        "layers": network.layers,
        "vectors": _base64(network.vectors),
        "height": method.spec.height,
        "width": method.spec.width,
        "latent": method.settings.latent_size,
        "prior": getattr(method.settings, "latent", "normal"),  # only some methods have a choice
        "classes": list(model.classes) if method.conditional else [],
        "directions": [_numbers(step) for step in steps] * (2 // len(steps)),
    }


@torch.no_grad()
def _differences(
    model: Model, generator: Generator, matrices: np.ndarray, latents: Sequence[tuple[Tensor, str]]
) -> tuple[int, float]:
    """The largest and the mean difference, in 1/255, of the images of the latents and of seeds by other matrices."""
    method, rounded = model.method, layers.with_matrices(generator, matrices)
    z = torch.stack([*(z for z, _ in latents), *(seed_latent(model, seed) for seed in range(COMPARED))])
    z, shares = z.tensor_split([method.settings.latent_size], 1)
    with evaluating(generator), evaluating(rounded):
        before, after = (
            to_uint8(network(z, shares if method.conditional else None, exact=True)).astype(int)
            for network in (generator, rounded)
        )
    differences = np.abs(before - after)
    return int(differences.max()), float(differences.mean())


def _integers(values: np.ndarray, bits: int) -> tuple[dict[str, Any], np.ndarray]:
    """Weights as integers with a scale for each BLOCK, and the float32 weights that the page makes of them."""
    flat, kind = values.ravel(), np.dtype(f"int{bits}")
    blocks = np.pad(flat, (0, -len(flat) % BLOCK)).reshape(-1, BLOCK)
    scales = np.maximum(np.abs(blocks).max(1, keepdims=True) / np.iinfo(kind).max, np.finfo(np.float32).tiny)
    scales = scales.astype(np.float32)
    integers = np.round(blocks / scales).astype(kind)
    rounded = (integers * scales).ravel()[: len(flat)]
    return {"integers": _base64(integers.ravel()[: len(flat)]), "bits": bits, "scales": _base64(scales)}, rounded


def _numbers(values: Tensor | list[float]) -> list[float]:
    return [float(f"{x:.7g}") for x in (values.tolist() if isinstance(values, Tensor) else values)]


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes()).decode()
