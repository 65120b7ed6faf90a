"""The tab `Latents`: samples of a run, walks from them, morphs, and the steps of CFG-GAN.

A page keeps latents as plain lists of numbers and asks for their images through the socket. Whatever takes longer than
an image (training images, projections) has a thread of its own, so that pictures follow the pointer meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import anyio.to_thread
import numpy as np
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ganvas.core.errors import UserError
from ganvas.core.settings import parse
from ganvas.explore import own_images
from ganvas.explore.drawing import MOST_COMPARED, Class, address_of, decode, facts_of, labels_of, latents_of, sheet
from ganvas.explore.live import Connection, Frame, Handler, Watcher
from ganvas.explore.messages import MOST_LIVE, Latent, Message, OfRun, Seed, body, query

if TYPE_CHECKING:
    from ganvas.data import ImageSet
    from ganvas.runs.model import Model

MOST_SAMPLES = 100  # of a grid
MOST_POINTS = 24  # of a morph


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
    """the longer side in pixels"""


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


# -- what a run is ------------------------------------------------------------------------------------------------


async def list_runs(request: Request) -> Response:
    """The names of all runs that have a checkpoint."""

    def names() -> list[str]:
        return [name for name, run in request.app.state.folder.runs().items() if run.checkpoints.available()]

    return JSONResponse({"runs": await anyio.to_thread.run_sync(names)})


async def describe(request: Request) -> Response:
    """What the page has to know of a run."""
    asked = query(request, OfRun)
    return JSONResponse(await anyio.to_thread.run_sync(facts_of, request.app.state.folder.run(asked.run)))


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
        await studio.compute(lambda: _check_encoder(studio.model(asked)))
        data = await _training_images(request, asked)

    def find() -> directions.Directions:
        model = studio.model(asked)
        if data is not None:
            return directions.principal(model, data)
        return directions.random(model, 10) if asked.kind == "random" else directions.factorised(model)

    found = await studio.compute(find)
    return JSONResponse({name: rows.tolist() for name, rows in found._asdict().items()})


def _check_encoder(model: Model) -> None:
    """Raise UserError for a run without encoder, before its training images are read."""
    spec = model.method.spec
    model.encode(np.zeros((1, spec.height, spec.width, spec.channels), np.uint8))


async def path(request: Request) -> Response:
    """The latents of a morph."""
    asked, studio = await body(request, Morph), request.app.state.studio

    def find() -> list[list[float]]:
        from ganvas.painting import latents

        anchors = latents_of(studio.model(asked), asked.points)
        rows = latents.path(anchors, asked.frames, spherical=asked.spherical, loop=asked.loop)
        return [[round(number, 5) for number in row] for row in rows.tolist()]

    return JSONResponse({"z": await studio.compute(find)})


# -- pictures -----------------------------------------------------------------------------------------------------


async def draw_grid(page: Connection, fields: dict[str, Any]) -> Frame:
    """Samples as one image, row by row; a cell has no border."""
    asked = parse(Grid, fields, "message")

    def draw() -> np.ndarray:
        model = page.studio.model(asked)
        seeds = list(range(asked.seed, asked.seed + asked.count))
        label = [seed % max(1, len(model.classes)) if asked.label is None else asked.label for seed in seeds]
        return decode(model, model.method.latents(seeds) * asked.truncation, labels_of(model, [*label]))

    return sheet(await page.studio.compute(draw), asked.columns)


async def draw_one(page: Connection, fields: dict[str, Any]) -> Frame:
    """The image of a latent."""
    asked = parse(Sized, fields, "message")
    if asked.size is not None and asked.size**2 > MOST_LIVE:
        raise UserError("the image is too large to be painted live")

    def draw() -> np.ndarray:
        model = page.studio.model(asked)
        return decode(model, latents_of(model, [asked.z]), labels_of(model, [asked.label]), asked.size)

    return Frame((await page.studio.compute(draw))[0], {})


async def draw_pins(page: Connection, fields: dict[str, Any]) -> Frame:
    """The images of some latents, side by side."""
    asked = parse(Pins, fields, "message")

    def draw() -> np.ndarray:
        model = page.studio.model(asked)
        z = latents_of(model, [point.z for point in asked.points])
        return decode(model, z, labels_of(model, [point.label for point in asked.points]))

    return sheet(await page.studio.compute(draw), len(asked.points))


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
        z = latents_of(model, [asked.z])
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
        frame = sheet(to_uint8(torch.cat(images)), len(frames))
        return frame._replace(facts=facts | frame.facts)

    return await page.studio.compute(draw)


# -- training images ----------------------------------------------------------------------------------------------


async def _training_images(request: Request, asked: OfRun) -> ImageSet:
    """The training images of a run; raises UserError if they are missing or have changed."""
    studio = request.app.state.studio
    model: Model = await studio.compute(studio.model, asked)
    return await anyio.to_thread.run_sync(studio.training_images, model)


async def nearest(request: Request) -> Response:
    """The training images that are nearest to the image of a latent."""
    from ganvas.evaluation.neighbours import nearest_images

    asked, studio = await body(request, Point), request.app.state.studio
    facts = await anyio.to_thread.run_sync(facts_of, request.app.state.folder.run(asked.run))
    if not facts["small"]:
        raise UserError(f"neighbours are looked for among up to {MOST_COMPARED:,} training images only")
    data = await _training_images(request, asked)

    def draw() -> tuple[np.ndarray, bool]:
        model = studio.model(asked)
        image = decode(model, latents_of(model, [asked.z]), labels_of(model, [asked.label]))[0]
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
                    "picture": address_of(data.images[near.image, :, :, :: -1 if near.mirrored else 1]),
                }
                for near in found
            ]
        }
    )


ROUTES: list[Route] = [
    Route("/latents/runs", list_runs),
    Route("/latents/run", describe),
    Route("/latents/seeds", latents),
    Route("/latents/directions", axes),
    Route("/latents/path", path, methods=["POST"]),
    Route("/latents/nearest", nearest, methods=["POST"]),
    *own_images.ROUTES,
]
HANDLERS: dict[str, Handler] = {
    "latents.grid": draw_grid,
    "latents.paint": draw_one,
    "latents.pins": draw_pins,
    "latents.steps": draw_steps,
    **own_images.HANDLERS,
}
WATCHERS: list[Watcher] = own_images.WATCHERS
