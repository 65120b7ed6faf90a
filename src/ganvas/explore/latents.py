"""The tab `Latents`: samples of a run, walks from them, morphs, the steps of CFG-GAN, and images of one's own.

A page keeps latents as plain lists of numbers and asks for their images through the socket. Whatever takes longer than
an image (training images, projections) has a thread of its own, so that pictures follow the pointer meanwhile.
"""

from __future__ import annotations

import base64
import io
import secrets
import threading
import time
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import anyio
import anyio.from_thread
import anyio.to_thread
import numpy as np
from pydantic import Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ganvas.core.errors import UserError
from ganvas.core.settings import parse
from ganvas.core.text import printable
from ganvas.explore.live import Connection, Frame, Handler, Watcher
from ganvas.explore.messages import MOST_LIVE, Latent, Message, Name, OfRun, Seed, body, query

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.data import ImageSet
    from ganvas.runs.model import Model
    from ganvas.runs.run import Run

MOST_SAMPLES = 100  # of a grid
MOST_POINTS = 24  # of a morph
MOST_COMPARED = 5_000  # training images among which the nearest are looked for
MOST_FILE = 32 * 2**20  # bytes of an image file
MOST_PIXELS = 50_000_000  # of an image file
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
KEPT = 16  # images of one's own in memory
NEWS_SECONDS = 0.15  # between two messages about a projection

Class = Annotated[int, Field(ge=0, lt=100_000)]


class Grid(OfRun):
    """The samples of the seeds from `seed` on."""

    seed: Seed = 0
    count: int = Field(36, ge=1, le=MOST_SAMPLES)
    columns: int = Field(6, ge=1, le=MOST_SAMPLES)
    label: Class | None = None
    truncation: float = Field(1.0, ge=0, le=2)


class Point(OfRun):
    """A latent, and a class if the run has classes."""

    z: Latent
    label: Class | None = None


class Sized(Point):
    """A point to be painted, by pixel networks at any size."""

    size: int | None = Field(None, ge=1, le=2048)


class Pin(Message):
    z: Latent
    label: Class | None = None


class Pins(OfRun):
    points: list[Pin] = Field(min_length=1, max_length=MOST_POINTS)


class Morph(OfRun):
    """A path through latents."""

    points: list[Latent] = Field(min_length=1, max_length=MOST_POINTS)
    frames: int = Field(60, ge=1, le=2_000)
    spherical: bool = False
    loop: bool = False


class Seeds(OfRun):
    seed: list[Seed] = Field(min_length=1, max_length=MOST_SAMPLES)


class Axes(OfRun):
    kind: Literal["factorised", "principal", "random"] = "factorised"


class Own(OfRun):
    """An image that was sent before, to be projected."""

    image: Name
    label: Class | None = None
    steps: int = Field(200, ge=1, le=2_000)


# -- what a run is ------------------------------------------------------------------------------------------------


async def list_runs(request: Request) -> Response:
    """The names of all runs that have a checkpoint."""

    def names() -> list[str]:
        return [name for name, run in request.app.state.folder.runs().items() if run.checkpoints.available()]

    return JSONResponse({"runs": await anyio.to_thread.run_sync(names)})


async def describe(request: Request) -> Response:
    """What the page has to know of a run."""
    asked = query(request, OfRun)
    return JSONResponse(await anyio.to_thread.run_sync(_facts, request.app.state.folder.run(asked.run)))


def _facts(run: Run) -> dict[str, Any]:
    from ganvas.methods import METHODS, Method

    recipe, data = run.recipe(), run.info().data
    method, kind = recipe.method, METHODS[recipe.method.name]
    return {
        "classes": list(data.classes) if getattr(method, "conditional", False) else [],
        "latent": method.latent_size,
        "height": data.spec.height,
        "width": data.spec.width,
        "channels": data.spec.channels,
        "any_size": recipe.network.name == "cppn",
        "averaged": method.ema_images > 0,
        "encoder": kind.encode is not Method.encode,
        "steps": getattr(method, "steps", 0),
        "small": data.images <= MOST_COMPARED,
        "images": data.images,
        "checkpoints": run.checkpoints.available(),
        "best": run.checkpoints.best(),
        "recipe": recipe.name,
    }


# -- latents ------------------------------------------------------------------------------------------------------


async def latents(request: Request) -> Response:
    """The latents of seeds."""
    asked, studio = query(request, Seeds), request.app.state.studio
    rows = await studio.compute(lambda: studio.model(asked).method.latents(asked.seed).tolist())
    return JSONResponse({"z": rows})


async def axes(request: Request) -> Response:
    """Directions to walk along. For principal components, the training images are read in another thread first."""
    from ganvas.runs import directions

    asked, studio = query(request, Axes), request.app.state.studio
    data = None
    if asked.kind == "principal":
        await studio.compute(lambda: _encoder(studio.model(asked)))
        data = await _training_images(request, asked)

    def find() -> directions.Directions:
        model = studio.model(asked)
        if data is not None:
            return directions.principal(model, data)
        return directions.random(model, 10) if asked.kind == "random" else directions.factorised(model)

    found = await studio.compute(find)
    return JSONResponse({name: rows.tolist() for name, rows in found._asdict().items()})


def _encoder(model: Model) -> None:
    """Raise UserError for a run without encoder, before its training images are read."""
    spec = model.method.spec
    model.encode(np.zeros((1, spec.height, spec.width, spec.channels), np.uint8))


async def path(request: Request) -> Response:
    """The latents of a morph."""
    asked, studio = await body(request, Morph), request.app.state.studio

    def find() -> list[list[float]]:
        from ganvas.painting import latents

        anchors = _latents(studio.model(asked), asked.points)
        rows = latents.path(anchors, asked.frames, spherical=asked.spherical, loop=asked.loop)
        return [[round(number, 5) for number in row] for row in rows.tolist()]

    return JSONResponse({"z": await studio.compute(find)})


def _latents(model: Model, rows: list[list[float]]) -> Tensor:
    """Latents from a page: [N, latent]. Raises UserError if they are of another size."""
    import torch

    size = model.method.settings.latent_size
    if any(len(row) != size for row in rows):
        raise UserError(f"latents of this run have {size} numbers")
    return torch.tensor(rows, device=model.method.compute.device)


def _labels(model: Model, given: list[int | None]) -> Tensor | None:
    """The labels of points; raises UserError for a class that the run does not have."""
    import torch

    if not model.method.conditional:
        return None
    labels = [label or 0 for label in given]
    if max(labels) >= len(model.classes):
        raise UserError(f"this run has {len(model.classes)} classes")
    return torch.tensor(labels, device=model.method.compute.device)


# -- pictures -----------------------------------------------------------------------------------------------------


async def draw_grid(page: Connection, fields: dict[str, Any]) -> Frame:
    """Samples as one image, row by row; a cell has no border."""
    asked = parse(Grid, fields, "message")

    def draw() -> np.ndarray:
        model = page.studio.model(asked)
        seeds = list(range(asked.seed, asked.seed + asked.count))
        label = [seed % max(1, len(model.classes)) if asked.label is None else asked.label for seed in seeds]
        return _decode(model, model.method.latents(seeds) * asked.truncation, _labels(model, [*label]))

    return _sheet(await page.studio.compute(draw), asked.columns)


async def draw_one(page: Connection, fields: dict[str, Any]) -> Frame:
    """The image of a latent."""
    asked = parse(Sized, fields, "message")
    if asked.size is not None and asked.size**2 > MOST_LIVE:
        raise UserError("the image is too large to be painted live")

    def draw() -> np.ndarray:
        model = page.studio.model(asked)
        return _decode(model, _latents(model, [asked.z]), _labels(model, [asked.label]), asked.size)

    return Frame((await page.studio.compute(draw))[0], {})


async def draw_pins(page: Connection, fields: dict[str, Any]) -> Frame:
    """The images of some latents, side by side."""
    asked = parse(Pins, fields, "message")

    def draw() -> np.ndarray:
        model = page.studio.model(asked)
        z = _latents(model, [point.z for point in asked.points])
        return _decode(model, z, _labels(model, [point.label for point in asked.points]))

    return _sheet(await page.studio.compute(draw), len(asked.points))


async def draw_steps(page: Connection, fields: dict[str, Any]) -> Frame:
    """The steps of CFG-GAN. Rows: the images after 0..T steps; the updates, signed; the updates, by magnitude.

    Signed updates are 128 + 127 u / scale, with u the mean over the channels; magnitudes are 255 |u| / scale. Both
    scales hold for all steps, in units of the range of a pixel, [-1, 1].
    """
    asked = parse(Point, fields, "message")

    def draw() -> Frame:
        import torch

        from ganvas.core.images import to_uint8
        from ganvas.methods import CFGGAN

        model = page.studio.model(asked)
        method = model.method
        if not isinstance(method, CFGGAN):
            raise UserError("only runs of cfg_gan draw an image in steps")
        z = _latents(model, [asked.z])
        steps = list(method.trace(z))
        frames = torch.cat([method.draw(z), *(step.images for step in steps)])
        updates = torch.cat([torch.zeros_like(frames[:1]), *(step.update for step in steps)])
        signed, size = updates.mean(1, keepdim=True), updates.norm(dim=1, keepdim=True)
        scales = [max(float(some.abs().max()), 1e-12) for some in (signed, size)]
        coded = [128 + 127 * signed / scales[0], 255 * size / scales[1]]
        rows = [row.round().clamp(0, 255) / 127.5 - 1 for row in coded]
        images = [frames, *(row.expand_as(frames) for row in rows)]
        facts = {
            "before": [float(step.before) for step in steps],
            "after": [float(step.after) for step in steps],
            "signed": scales[0],
            "magnitude": scales[1],
        }
        frame = _sheet(to_uint8(torch.cat(images)), len(frames))
        return frame._replace(facts=facts | frame.facts)

    return await page.studio.compute(draw)


def _decode(model: Model, z: Tensor, labels: Tensor | None, size: int | None = None) -> np.ndarray:
    """uint8 [N, H, W, C]; `size` counts for pixel networks only."""
    from ganvas.compute.device import deterministic
    from ganvas.core.images import to_uint8
    from ganvas.networks.cppn import PixelGenerator

    any_size = isinstance(model.method.for_decoding("G"), PixelGenerator)
    with deterministic():
        return to_uint8(model.method.decode(z, labels, (size, size) if size and any_size else None))


def _sheet(images: np.ndarray, columns: int) -> Frame:
    from ganvas.core.images import grid

    sheet = grid(images, columns, 0)
    return Frame(sheet, {"columns": columns, "rows": len(sheet) // images.shape[1], "cell": list(images.shape[1:3])})


# -- training images ----------------------------------------------------------------------------------------------

_sets: OrderedDict[str, ImageSet] = OrderedDict()  # by fingerprint; the most recently used two
_reading = threading.Lock()


async def _training_images(request: Request, asked: OfRun) -> ImageSet:
    """The training images of a run; raises UserError if they are missing or have changed."""
    studio = request.app.state.studio
    model: Model = await studio.compute(studio.model, asked)

    def read() -> ImageSet:
        key = model.run.info().data.sha256
        with _reading:
            if key not in _sets:
                _sets[key] = model.data()
                while len(_sets) > 2:
                    _sets.popitem(last=False)
            _sets.move_to_end(key)
            return _sets[key]

    return await anyio.to_thread.run_sync(read)


async def nearest(request: Request) -> Response:
    """The training images that are nearest to the image of a latent."""
    from ganvas.evaluation.neighbours import nearest_images

    asked, studio = await body(request, Point), request.app.state.studio
    facts = await anyio.to_thread.run_sync(_facts, request.app.state.folder.run(asked.run))
    if not facts["small"]:
        raise UserError(f"neighbours are looked for among up to {MOST_COMPARED:,} training images only")
    data = await _training_images(request, asked)

    def draw() -> tuple[np.ndarray, bool]:
        model = studio.model(asked)
        image = _decode(model, _latents(model, [asked.z]), _labels(model, [asked.label]))[0]
        return np.ascontiguousarray(np.moveaxis(image, -1, 0)), model.run.recipe().data.flips

    image, flips = await studio.compute(draw)
    found = await anyio.to_thread.run_sync(nearest_images, image, data, flips)
    return JSONResponse(
        {
            "images": [
                {
                    "number": near.image,
                    "label": None if data.labels is None else data.classes[data.labels[near.image]],
                    "mirrored": near.mirrored,
                    "distance": near.distance,
                    "quotient": min(near.quotient, 1e6),
                    "picture": _picture(data.images[near.image, :, :, :: -1 if near.mirrored else 1]),
                }
                for near in found
            ]
        }
    )


def _picture(image: np.ndarray) -> str:
    """uint8 [C, H, W] as the address of a picture."""
    from ganvas.core.images import png

    content = png(np.ascontiguousarray(np.moveaxis(image, 0, -1)))
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


# -- images of one's own ------------------------------------------------------------------------------------------


async def take_image(request: Request) -> Response:
    """An image file, fitted as the training images are; with its latent, if the run has an encoder."""
    asked, studio = query(request, OfRun), request.app.state.studio
    content = await request.body()
    if len(content) > MOST_FILE:
        raise UserError(f"an image file may have {MOST_FILE // 2**20} MB")
    run = request.app.state.folder.run(asked.run)
    pixels = await anyio.to_thread.run_sync(_fitted, content, run)
    kept = _own_images(request.app)
    key = secrets.token_urlsafe(12)
    kept[key] = pixels
    while len(kept) > KEPT:
        kept.popitem(last=False)
    answer: dict[str, Any] = {"image": key, "picture": _picture(np.moveaxis(pixels[0], -1, 0)), "z": None}

    def encode() -> dict[str, Any]:
        model = studio.model(asked)
        z = model.encode(pixels)
        drawn = _decode(model, z, None)
        error = np.sqrt(np.square((drawn - pixels.astype(float)) / 255).mean())
        return {"z": z[0].tolist(), "difference": float(error)}

    facts = await anyio.to_thread.run_sync(_facts, run)
    return JSONResponse(answer | (await studio.compute(encode) if facts["encoder"] else {}))


def _own_images(app: Starlette) -> OrderedDict[str, np.ndarray]:
    """The images that pages have sent, by their key: uint8 [1, H, W, C]."""
    if not hasattr(app.state, "own_images"):
        app.state.own_images = OrderedDict()
    kept: OrderedDict[str, np.ndarray] = app.state.own_images
    return kept


def _fitted(content: bytes, run: Run) -> np.ndarray:
    """The image in a file, as an image of a run: uint8 [1, H, W, C]. Raises UserError if it is none, or too large."""
    from PIL import Image

    from ganvas.data import load_opened

    def opened() -> Image.Image:
        return Image.open(io.BytesIO(content), formats=FORMATS)

    try:
        with opened() as image:
            size = image.width * image.height
    except Exception:  # Pillow's readers raise any exception for a damaged file
        raise UserError(f"this is not an image that can be read: use {', '.join(FORMATS)}") from None
    if size > MOST_PIXELS:
        raise UserError(f"the image is too large: it may have {MOST_PIXELS / 1e6:.0f} million pixels")
    images = load_opened([opened], ["the image"], run.recipe().data, run.info().data.spec)
    return np.moveaxis(images, 1, -1)


class Projector:
    """The projection of a page: one at a time, a new one ends the one before."""

    def __init__(self) -> None:
        self.asked: tuple[Own, dict[str, Any]] | None = None
        self.wake = anyio.Event()
        self.cancelled = threading.Event()

    def start(self, asked: Own | None, mark: dict[str, Any]) -> None:
        """End what is computed, and begin what is `asked`."""
        self.cancelled.set()
        self.asked = None if asked is None else (asked, mark)
        self.wake.set()


def _projector(page: Connection) -> Projector:
    found: Projector = page.state.setdefault("projector", Projector())
    return found


async def project(page: Connection, fields: dict[str, Any]) -> None:
    """Begin a projection; its progress comes as messages `latents.projected`."""
    asked = parse(Own, fields, "message")
    page.folder.run(asked.run)
    _projector(page).start(asked, {"image": asked.image})


async def cancel(page: Connection, fields: dict[str, Any]) -> None:
    """End the projection."""
    parse(Message, fields, "message")
    _projector(page).start(None, {})


async def watch(page: Connection) -> None:
    """Compute the projections of a page, each in a thread of its own."""
    desk = _projector(page)
    try:
        while True:
            await desk.wake.wait()
            desk.wake, desk.cancelled = anyio.Event(), threading.Event()
            if desk.asked is None:
                continue
            asked, mark = desk.asked
            try:
                await anyio.to_thread.run_sync(_project, page, asked, desk.cancelled, mark, abandon_on_cancel=True)
            except UserError as error:
                await page.send("latents.projected", **mark, error=printable(str(error)))
    finally:
        desk.cancelled.set()


def _project(page: Connection, asked: Own, cancelled: threading.Event, mark: dict[str, Any]) -> None:
    """Find the latent of an image, with a model of its own, and report every now and then."""
    from ganvas.runs.model import load
    from ganvas.runs.projection import projecting

    pixels = _own_images(page.socket.app).get(asked.image)
    if pixels is None:
        raise UserError("this image is no longer here: choose it again")
    model = load(page.folder.run(asked.run).path, asked.checkpoint, page.studio.device)
    if not asked.averaged:
        model.method.averages.clear()
    said = -NEWS_SECONDS
    for found in projecting(model, pixels, asked.label, steps=asked.steps):
        if cancelled.is_set():
            return
        if time.monotonic() - said > NEWS_SECONDS or found.step == found.steps:
            said = time.monotonic()
            news = {
                "z": found.z[0].tolist(),
                "label": None if found.labels is None else int(found.labels[0]),
                "difference": float(found.errors[0]),
                "step": found.step,
                "steps": found.steps,
            }
            anyio.from_thread.run(partial(page.send, "latents.projected", **mark, **news))


ROUTES: list[Route] = [
    Route("/latents/runs", list_runs),
    Route("/latents/run", describe),
    Route("/latents/seeds", latents),
    Route("/latents/directions", axes),
    Route("/latents/path", path, methods=["POST"]),
    Route("/latents/nearest", nearest, methods=["POST"]),
    Route("/latents/image", take_image, methods=["POST"]),
]
HANDLERS: dict[str, Handler] = {
    "latents.grid": draw_grid,
    "latents.paint": draw_one,
    "latents.pins": draw_pins,
    "latents.steps": draw_steps,
    "latents.project": project,
    "latents.cancel": cancel,
}
WATCHERS: list[Watcher] = [watch]
