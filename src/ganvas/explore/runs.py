"""The tab `Runs`: all runs of the folder while they grow, and starting, continuing and stopping them.

A page sends `watch` with the runs it shows. It then gets

- `runs`: the summaries that changed, and the names of runs that are gone;
- `records`: the new records of a watched run, as columns from record number `start` on (0: forget all others), with
  `more` if further ones follow at once;
- `facts`: its guard events, sample sheets and evaluations, when they change;
- `trainings`: those that were started here and have not begun yet or have failed.
"""

from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.settings import parse
from ganvas.core.text import printable
from ganvas.explore import forms
from ganvas.explore.forms import Changes
from ganvas.explore.growth import Growth, Overview, columns, digest
from ganvas.explore.live import Connection, Handler, Watcher
from ganvas.explore.messages import Message, Name, body, query
from ganvas.explore.trainings import Trainings
from ganvas.metrics.table import METRICS
from ganvas.plotting.quantities import MONITORS, OTHERS, TOGETHER, metric_titles
from ganvas.recipes import library

POLL = 1.0  # seconds between two looks at the files
MOST_WATCHED = 12  # runs
MOST_RECORDS = 4_000  # in one message


class Watch(Message):
    """The runs that a page shows; `on` is false while it shows another tab."""

    on: bool = True
    runs: list[Name] = Field([], max_length=MOST_WATCHED)


class Sheet(Message):
    run: Name
    nimg: Annotated[int, Field(ge=0, lt=2**53)]


class OfRecipe(Message):
    """A recipe by its name, with changes that decide which settings it has."""

    recipe: Name
    network: Name | None = None
    method: Name | None = None


class Changed(Message):
    """A recipe with changed settings."""

    recipe: Name
    changes: Changes = Field({})


class New(Changed):
    """A training to start."""

    name: Name


class Continue(Message):
    run: Name
    images: Annotated[int, Field(gt=0, lt=2**53)] | None = None


class One(Message):
    run: Name


# -- live -------------------------------------------------------------------------------------------------------------


class _Page:
    """What a page watches, and what it knows already."""

    def __init__(self) -> None:
        self.watch = Watch(on=False)
        self.changed = anyio.Event()
        self.summaries: dict[str, str] = {}
        self.facts: dict[str, str] = {}
        self.records: dict[str, tuple[int, int]] = {}  # generation and number of the records that it has
        self.trainings = ""
        self.first = True

    def begin(self) -> None:
        """Forget what the page knows."""
        self.summaries, self.facts, self.records, self.trainings, self.first = {}, {}, {}, "", True


def _page(connection: Connection) -> _Page:
    page: _Page = connection.state.setdefault("runs", _Page())
    return page


async def _watch(connection: Connection, fields: dict[str, Any]) -> None:
    page, watch = _page(connection), parse(Watch, fields, "watch")
    if watch.on and not page.watch.on:  # the tab was opened: it has nothing yet
        page.begin()
    page.watch = watch
    for known in (page.facts, page.records):
        for name in known.keys() - set(watch.runs):
            known.pop(name)
    page.changed.set()


async def _follow(connection: Connection) -> None:
    """Send what has changed, for as long as the page is open."""
    page = _page(connection)
    app = connection.socket.app.state
    while True:
        while not page.watch.on:
            await page.changed.wait()
            page.changed = anyio.Event()
        for kind, message in await run_sync(_news, page, app.overview, app.trainings):
            await connection.send(kind, **message)
        with anyio.move_on_after(POLL):
            await page.changed.wait()
            page.changed = anyio.Event()


def _news(page: _Page, overview: Overview, trainings: Trainings) -> list[tuple[str, dict[str, Any]]]:
    """The messages that a page needs, from what it knows; remembers that they were sent."""
    messages: list[tuple[str, dict[str, Any]]] = []
    summaries = overview.summaries()
    texts = {name: digest(summary) for name, summary in summaries.items()}
    changed = [summaries[name] for name, text in texts.items() if page.summaries.get(name) != text]
    gone = [name for name in page.summaries if name not in texts]
    if changed or gone or page.first:
        messages.append(("runs", {"changed": changed, "gone": gone, "all": page.first}))
    page.summaries, page.first = texts, False
    news = trainings.news()
    if page.trainings != digest(news):
        page.trainings = digest(news)
        messages.append(("trainings", {"trainings": news}))
    for name in page.watch.runs:
        growth = overview.growth(name)
        if growth is not None:
            messages += _growth(page, growth)
    return messages


def _growth(page: _Page, growth: Growth) -> list[tuple[str, dict[str, Any]]]:
    messages: list[tuple[str, dict[str, Any]]] = []
    name, records = growth.name, growth.records
    facts = growth.facts()
    facts["error"] = growth.error() or facts.get("error")
    if page.facts.get(name) != digest(facts):
        page.facts[name] = digest(facts)
        messages.append(("facts", {"run": name, **facts}))
    generation, count = page.records.get(name, (-1, 0))
    start = count if generation == records.generation else 0
    for first in range(start, len(records.records), MOST_RECORDS):
        part = records.records[first : first + MOST_RECORDS]
        more = first + len(part) < len(records.records)
        messages.append(("records", {"run": name, "start": first, "columns": columns(part), "more": more}))
    if generation != records.generation and not records.records:
        messages.append(("records", {"run": name, "start": 0, "columns": {}, "more": False}))
    page.records[name] = records.generation, len(records.records)
    return messages


# -- requests ---------------------------------------------------------------------------------------------------------


async def _quantities(request: Request) -> Response:
    """The titles of all quantities, and which share a chart."""
    titles, metrics = MONITORS | OTHERS | metric_titles(), {name: metric.what for name, metric in METRICS.items()}
    return JSONResponse({"titles": titles, "together": TOGETHER, "metrics": metrics})


async def _sheet(request: Request) -> Response:
    """A sample sheet of a run, as PNG."""
    asked = query(request, Sheet)
    run = request.app.state.folder.run(asked.run)

    def read() -> bytes:
        file = run.sheet(asked.nimg)
        if file not in run.sheets() or not file.resolve().is_relative_to(run.path.resolve()):
            raise UserError(f"there is no sheet of '{asked.run}' after {asked.nimg:,} images")
        try:
            return files.read(file)
        except OSError as error:
            raise UserError(f"cannot read the sheet after {asked.nimg:,} images: {error.strerror}") from None

    return Response(await run_sync(read), media_type="image/png")


async def _recipes(request: Request) -> Response:
    return JSONResponse(await run_sync(library.descriptions))


async def _form(request: Request) -> Response:
    """The settings of a recipe as a form."""
    asked = query(request, OfRecipe)
    _refuse_files(asked.recipe)
    chosen = {"network": asked.network, "method": asked.method}
    words = forms.assignments({f"{section}.name": name for section, name in chosen.items() if name is not None})
    return JSONResponse(await run_sync(lambda: forms.form(forms.changed(asked.recipe, words))))


async def _start(request: Request) -> Response:
    """Start a training."""
    asked = await body(request, New)
    _refuse_files(asked.recipe)
    words = forms.assignments(asked.changes)
    await run_sync(request.app.state.trainings.start, asked.name, asked.recipe, words)
    return JSONResponse({})


async def _check(request: Request) -> Response:
    """What is wrong with the changes of a recipe, as one line; none: nothing."""
    asked = await body(request, Changed)
    try:
        _refuse_files(asked.recipe)
        await run_sync(forms.changed, asked.recipe, forms.assignments(asked.changes))
    except UserError as error:
        return JSONResponse({"error": printable(str(error))})
    return JSONResponse({"error": None})


def _refuse_files(recipe: str) -> None:
    """A page names built-in recipes, never files."""
    if recipe not in library.names():
        raise UserError(f"there is no recipe '{recipe}'")


async def _continue(request: Request) -> Response:
    asked = await body(request, Continue)
    await run_sync(request.app.state.trainings.resume, asked.run, asked.images)
    return JSONResponse({})


async def _stop(request: Request) -> Response:
    asked = await body(request, One)
    await run_sync(request.app.state.trainings.stop, asked.run)
    return JSONResponse({})


async def _dismiss(request: Request) -> Response:
    asked = await body(request, One)
    await run_sync(request.app.state.trainings.dismiss, asked.run)
    return JSONResponse({})


ROUTES: list[Route] = [
    Route("/runs/quantities", _quantities),
    Route("/runs/sheet", _sheet),
    Route("/recipes", _recipes),
    Route("/recipes/form", _form),
    Route("/recipes/check", _check, methods=["POST"]),
    Route("/trainings/start", _start, methods=["POST"]),
    Route("/trainings/continue", _continue, methods=["POST"]),
    Route("/trainings/stop", _stop, methods=["POST"]),
    Route("/trainings/dismiss", _dismiss, methods=["POST"]),
]
HANDLERS: dict[str, Handler] = {"watch": _watch}
WATCHERS: list[Watcher] = [_follow]
