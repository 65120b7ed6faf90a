"""Images of one's own in the tab `Latents`: encoded where the run has an encoder, else projected."""

from __future__ import annotations

import io
import secrets
import threading
import time
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any

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
from ganvas.explore.drawing import Class, address_of, decode, facts_of
from ganvas.explore.live import Connection, Handler, Watcher
from ganvas.explore.messages import Message, Name, OfRun, query

if TYPE_CHECKING:
    from ganvas.runs.run import Run

MOST_FILE = 32 * 2**20  # bytes of an image file
MOST_PIXELS = 50_000_000  # of an image file
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
KEPT = 16  # images in memory
NEWS_SECONDS = 0.15  # between two messages about a projection


class Own(OfRun):
    """An image that was sent before, to be projected."""

    image: Name
    label: Class | None = None
    steps: int = Field(200, ge=1, le=2_000)


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
    answer: dict[str, Any] = {"image": key, "picture": address_of(np.moveaxis(pixels[0], -1, 0)), "z": None}

    def encode() -> dict[str, Any]:
        model = studio.model(asked)
        z = model.encode(pixels)
        drawn = decode(model, z, None)
        error = np.sqrt(np.square((drawn - pixels.astype(float)) / 255).mean())
        return {"z": z[0].tolist(), "difference": float(error)}

    facts = await anyio.to_thread.run_sync(facts_of, run)
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
    data = run.info().data
    images = load_opened([opened], ["the image"], run.recipe().data, data.spec, data.whites)
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


ROUTES: list[Route] = [Route("/latents/image", take_image, methods=["POST"])]
HANDLERS: dict[str, Handler] = {"latents.project": project, "latents.cancel": cancel}
WATCHERS: list[Watcher] = [watch]
