"""The tab `Paint`: pictures of pixel networks that are painted while one moves over them, saved, and filmed."""

from __future__ import annotations

import shutil
import time
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal

import anyio
import anyio.to_thread
import numpy as np
from pydantic import Field
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ganvas.core.errors import UserError
from ganvas.core.settings import parse
from ganvas.explore.folder import Folder
from ganvas.explore.live import Connection, Frame, Handler, Watcher
from ganvas.explore.messages import MOST_LIVE, Latent, Message, body
from ganvas.explore.subjects import Ending, FilmEnding, OfNetwork, OfPicture, OfSubject

if TYPE_CHECKING:
    from ganvas.painting.palette import Palette

AT_ONCE = 2**17  # samples that are painted before looking whether the page still wants the rest
MOST_SAMPLES = 2**32  # of a saved image
MOST_SIDE = 200_000  # pixels of a saved image
MOST_IN_MEMORY = 2**26  # pixels of a WebP image, and of a frame of a film
MOST_FILM = 2**36  # samples of a film
FIRST = ["ink", "chalk", "viridis", "magma", "inferno", "cividis", "twilight", "cubehelix", "copper", "bone"]
FIRST += ["Spectral", "RdYlBu", "coolwarm", "terrain", "ocean", "gist_earth"]


class Save(OfPicture):
    """An image for a file."""

    width: Annotated[int, Field(ge=1, le=MOST_SIDE)]
    height: Annotated[int, Field(ge=1, le=MOST_SIDE)]
    ending: Ending = ".png"
    bits: Literal[8, 16] = 8


class Key(Message):
    """A picture that a film visits."""

    latent: Latent
    x: Annotated[float, Field(ge=-1e30, le=1e30)]
    y: Annotated[float, Field(ge=-1e30, le=1e30)]
    zoom: Annotated[float, Field(gt=0, le=1e30)]


class Film(OfNetwork):
    """A film through pictures of one network."""

    keys: Annotated[list[Key], Field(min_length=2, max_length=100)]
    width: Annotated[int, Field(ge=1, le=8192)]
    height: Annotated[int, Field(ge=1, le=8192)]
    frames: Annotated[int, Field(ge=2, le=20_000)]
    fps: Annotated[float, Field(ge=1, le=120)] = 30.0
    ease: Literal["linear", "sine"] = "linear"
    spherical: bool = False
    loop: bool = False
    supersample: Annotated[int, Field(ge=1, le=8)] = 1
    palette: Annotated[str, Field(max_length=60)] = "auto"
    ending: FilmEnding = ".webp"


# -- live -----------------------------------------------------------------------------------------------------------


async def describe(connection: Connection, fields: dict[str, Any]) -> dict[str, Any]:
    """What there is to know about a network, and the latent of a seed."""
    asked = parse(OfSubject, fields, "describe")
    return await connection.studio.compute(connection.painters.describe, asked)


async def paint(connection: Connection, fields: dict[str, Any]) -> Frame | dict[str, Any]:
    """A picture, or nothing if it was to be painted when idle and the page asked for another one meanwhile."""
    asked = parse(OfPicture, fields, "paint")
    samples = asked.width * asked.height * asked.supersample**2
    if samples > MOST_LIVE:
        raise UserError(f"a picture on the screen has at most {MOST_LIVE:,} samples, not {samples:,}: save it instead")
    compute = connection.studio.compute
    start = time.perf_counter()
    begun = await compute(_begin, connection, asked)
    parts = []
    seconds = 0.0
    while (part := await compute(next, begun, None)) is not None:
        band, took = part
        parts.append(band)
        seconds += took
        if asked.idle and connection.is_waited_for:
            return {}
    facts = {"x": asked.x, "y": asked.y, "zoom": asked.zoom, "supersample": asked.supersample}
    waited = time.perf_counter() - start - seconds
    return Frame(
        parts[0] if len(parts) == 1 else np.concatenate(parts), {**facts, "seconds": seconds, "waited": waited}
    )


def _begin(connection: Connection, asked: OfPicture) -> Any:
    """An iterator over the bands of a picture, and the seconds that each took."""
    from ganvas.networks.view import View

    painter = connection.painters.find(asked)
    z = connection.painters.latent(asked, painter)
    palette = _palette(asked.palette, painter.channels)
    n = asked.supersample
    view = View(asked.height, asked.width, painter.network.scale, (asked.x, asked.y), asked.zoom, n)
    bands = painter.bands(z, view, max(1, AT_ONCE // (view.width * n**2)))

    def timed() -> Any:
        start = time.perf_counter()
        for band in bands:
            painted = palette(band)
            yield painted, time.perf_counter() - start
            start = time.perf_counter()

    return timed()


@lru_cache(32)
def _palette(name: str, channels: int) -> Palette:
    from ganvas.painting.palette import Palette

    return Palette(name, channels)


# -- what can be chosen ---------------------------------------------------------------------------------------------


async def choices(request: Request) -> Response:
    """Runs with a pixel network, palettes, and formats of films."""
    runs = await anyio.to_thread.run_sync(pixel_runs, request.app.state.folder)
    films = [".webp", ".gif"] + ([".mp4", ".webm"] if find_spec("av") else [])
    more = await anyio.to_thread.run_sync(_more_palettes)
    return JSONResponse({"runs": runs, "palettes": FIRST, "more": more, "films": films})


def pixel_runs(folder: Folder) -> list[dict[str, Any]]:
    """The runs that paint at any size, with their checkpoints."""
    found = []
    for name, run in folder.runs().items():
        try:
            if run.recipe().network.name == "cppn" and (checkpoints := run.checkpoints.available()):
                found.append({"name": name, "checkpoints": checkpoints})
        except (UserError, OSError):  # a damaged run
            continue
    return found


def _more_palettes() -> list[str]:
    import matplotlib

    return sorted(name for name in matplotlib.colormaps if name not in FIRST and not name.endswith("_r"))


# -- files ----------------------------------------------------------------------------------------------------------


async def save(request: Request) -> Response:
    """Begin to paint an image into a file."""
    from ganvas.networks.view import View
    from ganvas.painting.paint import Painting
    from ganvas.painting.subjects import Subject

    asked = await body(request, Save)
    samples = asked.width * asked.height * asked.supersample**2
    if samples > MOST_SAMPLES:
        raise UserError(
            f"{asked.width}x{asked.height} pixels of {asked.supersample**2} samples are too many: at most "
            f"{MOST_SAMPLES:,} samples; choose a smaller size or less supersampling"
        )
    if asked.ending == ".webp" and asked.width * asked.height > MOST_IN_MEMORY:
        raise UserError(f"a WebP image of more than {MOST_IN_MEMORY:,} pixels does not fit into memory: choose PNG")
    state = request.app.state

    def prepare() -> Painting:
        painter = state.painters.find(asked)
        z = state.painters.latent(asked, painter)
        centre = (asked.x, asked.y)
        view = View(asked.height, asked.width, painter.network.scale, centre, asked.zoom, asked.supersample)
        painting = Painting([Subject(painter, z, _source(asked))], view, asked.palette, asked.bits)
        painter.precise(view)
        _check_disk(state.folder, asked.width * asked.height * painting.colours.channels * asked.bits // 8)
        return painting

    painting = await state.studio.compute(prepare)
    return await _started(request, asked, asked.ending, painting, painting.height, painting.width, asked.bits)


async def film(request: Request) -> Response:
    """Begin to paint a film into a file."""
    import torch

    from ganvas.networks.view import View
    from ganvas.painting.morph import Morph, Place
    from ganvas.painting.palette import Palette

    asked = await body(request, Film)
    pixels = asked.width * asked.height
    if pixels > MOST_IN_MEMORY or pixels * asked.supersample**2 * asked.frames > MOST_FILM:
        raise UserError("the film is too large: choose a smaller size, fewer frames or less supersampling")
    state = request.app.state

    def prepare() -> Morph:
        painter = state.painters.find(asked)
        for key in asked.keys:
            if len(key.latent) != painter.latent_size:
                raise UserError("a picture of the film belongs to another network: remove it from the timeline")
        Palette(asked.palette, painter.channels)
        view = View(asked.height, asked.width, painter.network.scale, supersample=asked.supersample)
        places = [Place((key.x, key.y), key.zoom) for key in asked.keys]
        anchors = torch.tensor([key.latent for key in asked.keys])
        names = [f"key {i}" for i in range(1, len(places) + 1)]
        rest = {name: getattr(asked, name) for name in ("frames", "ease", "spherical", "loop", "palette", "fps")}
        morph = Morph(painter, anchors, names, view, places=places, **rest)
        morph.check(state.jobs.place() / f"film{asked.ending}")
        return morph

    morph = await state.studio.compute(prepare)
    job = state.jobs.start(f"{_name(asked)}-film", asked.ending, morph.save)
    return JSONResponse(job.facts())


async def _started(
    request: Request, asked: OfNetwork, ending: str, work: Any, height: int, width: int, bits: Any
) -> Response:
    from ganvas.painting import image_files

    jobs = request.app.state.jobs
    image_files.check(jobs.place() / f"painting{ending}", height, width, bits)
    return JSONResponse(jobs.start(_name(asked), ending, work.save).facts())


def _check_disk(folder: Folder, size: int) -> None:
    free = shutil.disk_usage(folder.outputs).free
    if size > free:
        raise UserError(f"the image needs up to {size / 1e9:.1f} GB, but the disk has {free / 1e9:.1f} GB left")


def _name(asked: OfNetwork) -> str:
    """What the names of its files begin with."""
    return asked.run if asked.run not in (None, ".") else asked.random or "painting"


def _source(asked: OfSubject) -> str:
    return "chosen in a page" if asked.latent is not None else f"seed {asked.seed}"


async def cancel(request: Request) -> Response:
    """Give up a file."""
    request.app.state.jobs.cancel(request.path_params["id"])
    return JSONResponse({})


async def download(request: Request) -> Response:
    """A file that was painted here."""
    file = await anyio.to_thread.run_sync(partial(request.app.state.jobs.file, request.path_params["id"]))
    return FileResponse(file, filename=file.name)


async def watch(connection: Connection) -> None:
    """Tell the page about its files whenever something about them changes."""
    told: list[dict[str, Any]] = []
    while True:
        now = connection.jobs.facts()
        if now != told:
            await connection.send("jobs", jobs=now)
            told = now
        await anyio.sleep(0.25)


ROUTES: list[Route] = [
    Route("/paint/choices", choices),
    Route("/paint/save", save, methods=["POST"]),
    Route("/paint/film", film, methods=["POST"]),
    Route("/paint/jobs/{id}/cancel", cancel, methods=["POST"]),
    Route("/paint/jobs/{id}/file", download),
]
HANDLERS: dict[str, Handler] = {"describe": describe, "paint": paint}
WATCHERS: list[Watcher] = [watch]
