"""The application, and running it."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib import resources
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from ganvas.core.errors import UserError
from ganvas.core.text import printable
from ganvas.core.threads import wait_politely
from ganvas.explore import breed, latents, paint, runs
from ganvas.explore.connections import Limited, Pages
from ganvas.explore.folder import Folder
from ganvas.explore.growth import Overview
from ganvas.explore.jobs import Jobs
from ganvas.explore.live import MOST_TEXT, Connection
from ganvas.explore.security import Guarded, TooLarge
from ganvas.explore.studio import Studio
from ganvas.explore.subjects import Painters
from ganvas.explore.trainings import Trainings

PORT = 8017  # the first that is tried
TRIED = 20  # ports
LAST_PORT = 65_535
PAGE = str(resources.files("ganvas.explore") / "page")
TABS = (runs, latents, paint, breed)
HANDLERS = {op: handler for tab in TABS for op, handler in tab.HANDLERS.items()}


def application(folder: Folder, token: str, device: str = "auto", loopback: bool = True) -> ASGIApp:
    """The server of the runs in a folder, as an ASGI application."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.studio.warm_up()
        yield
        app.state.jobs.close()
        app.state.studio.close()

    app = Starlette(
        routes=[
            Route("/", _index),
            *(route for tab in TABS for route in tab.ROUTES),
            WebSocketRoute("/live", _live),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        exception_handlers={UserError: _refuse, TooLarge: _too_large},
        lifespan=lifespan,
    )
    app.state.pages = Pages()
    app.state.folder, app.state.studio = folder, Studio(folder, device)
    app.state.painters, app.state.jobs = Painters(app.state.studio), Jobs(folder)
    app.state.overview, app.state.trainings = Overview(folder), Trainings(folder, device)
    return Guarded(app, token, loopback)


async def _index(request: Request) -> Response:
    return Response((Path(PAGE) / "index.html").read_bytes(), media_type="text/html")


async def _live(websocket: WebSocket) -> None:
    pages: Pages = websocket.app.state.pages
    async with pages.admitted(websocket) as admitted:
        if admitted:
            await Connection(websocket, HANDLERS).serve([watcher for tab in TABS for watcher in tab.WATCHERS])


async def _refuse(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": printable(str(error))}, 400)


async def _too_large(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the request is too large"}, 413)


def serve(
    root: Path,
    host: str = "127.0.0.1",
    port: int | None = None,
    device: str = "auto",
    browser: bool = True,
    said: Callable[[str], object] = print,
) -> None:
    """Serve the runs in a folder until interrupted. `said` is called with the address once it can be opened.

    Raises UserError if the folder is missing or the port is taken.
    """
    wait_politely()  # a training may run beside this
    folder, token = Folder(root), secrets.token_urlsafe(24)
    listening = listen(host, port)
    app = application(folder, token, device, _is_loopback(listening))
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=Limited,
        ws="websockets-sansio",
        ws_max_size=MOST_TEXT,
        ws_per_message_deflate=False,  # which takes longer than the way to this machine's own browser
        timeout_graceful_shutdown=2,
    )
    address = f"http://{_name(host)}:{listening.getsockname()[1]}/?token={token}"

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            said(address)
            if browser:
                webbrowser.open(address)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for task in self.server_state.tasks:  # whoever waits for a picture is told so, and not kept waiting
                task.cancel()
            await super().shutdown(sockets)

    Server(config).run([listening])


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens on `port`, or on the first free one; raises UserError if there is none."""
    if port is not None and not 0 <= port <= LAST_PORT:
        raise UserError(f"there is no port {port}: choose one from 0 to {LAST_PORT}")
    if not _may_be_a_host(host):
        raise UserError(f"'{host}' is not the name of a host: choose another --host")
    for tried in [port] if port is not None else [*range(PORT, PORT + TRIED), 0]:
        try:
            return socket.create_server((host, tried), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            reason = error.strerror or str(error)
    raise UserError(f"cannot listen on {host} port {tried}: {reason}; choose another --host or --port")


def _may_be_a_host(name: str) -> bool:
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return name.isprintable()


def _is_loopback(listening: socket.socket) -> bool:
    address: str = listening.getsockname()[0]
    return address.startswith("127.") or address == "::1"


def _name(host: str) -> str:
    """The host as part of an address that a browser can open, on this machine or on another that may reach it."""
    if host not in ("0.0.0.0", "::", ""):
        return f"[{host}]" if ":" in host else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked, suppress(OSError):
        asked.connect(("192.0.2.1", 9))  # sends nothing, but chooses the address that other machines see
        return str(asked.getsockname()[0])
    return socket.gethostname()
