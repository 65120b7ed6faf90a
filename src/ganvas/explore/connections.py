"""How many connections there may be: in total, and pages of one client. One too many gets an answer that says so.

A process has a limited number of open files. Without these limits, a program that opens connections and keeps them
would use them up, and then nobody could be answered, nor could a file be read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 200  # open connections; a browser has up to 6, and one for each page
REFUSED = 50  # further ones that are answered; those after them are cut
MOST_PAGES = 30  # of one client, which is known by its address
SILENT = 10  # seconds that a connection may be open without having sent a whole request
TRY_LATER = 1013  # websocket code

BUSY = PlainTextResponse("there are too many connections: close some pages\n", 503, {"Connection": "close"})


class Limited(H11Protocol):
    """A connection of uvicorn's, within these limits."""

    refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST + REFUSED:
            transport.abort()
            return
        self.loop.call_later(SILENT, self._cut_if_silent)
        if len(self.connections) > MOST:
            self.refused, self.app = True, BUSY

    def _should_upgrade(self) -> bool:
        return not self.refused and super()._should_upgrade()

    def _cut_if_silent(self) -> None:
        if self.cycle is None and self.transport.get_protocol() is self:  # else it has become a websocket
            self.transport.close()


class Pages:
    """The number of open pages of each client."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @asynccontextmanager
    async def admitted(self, websocket: WebSocket) -> AsyncIterator[bool]:
        """Whether a page may be served, which counts as open within this context; else it has been told why not."""
        client = websocket.client.host if websocket.client else ""
        if self._open[client] >= MOST_PAGES:
            await websocket.accept()
            await websocket.close(TRY_LATER, f"{MOST_PAGES} pages are open already: close one of them")
            yield False
            return
        self._open[client] += 1
        try:
            yield True
        finally:
            self._open[client] -= 1
            self._open += Counter()  # without those that have none
