"""The socket of a page.

A page sends JSON objects with `op`, the name of a handler, and the fields of its message. An answer is a JSON object
with `type`, or an image: a binary frame of 4 bytes with the length of a JSON object, little-endian, that object, and
the pixels, row by row.

A message with a `slot` asks for an image. While one is computed, only the latest message of each slot is kept, so a
picture can follow the pointer however fast that moves.
"""

import json
import struct
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import anyio
import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from ganvas.core.errors import UserError
from ganvas.core.text import printable
from ganvas.explore.folder import Folder
from ganvas.explore.jobs import Jobs
from ganvas.explore.messages import as_object
from ganvas.explore.studio import Studio
from ganvas.explore.subjects import Painters

MOST_SLOTS = 16  # images that a page may wait for at the same time
MOST_TEXT = 2**20  # bytes of a message


class Frame(NamedTuple):
    """An image for a page, with further fields for it."""

    pixels: np.ndarray  # uint8 [height, width, 1, 3 or 4]
    facts: dict[str, Any]


Handler = Callable[["Connection", dict[str, Any]], Awaitable[Frame | dict[str, Any] | None]]
"""Called with the fields of a message; what it returns is sent back with the message's `id` and `slot`."""

Watcher = Callable[["Connection"], Coroutine[Any, Any, None]]


class _Asked(NamedTuple):
    """A message of a page."""

    op: Any
    mark: dict[str, Any]  # its `id` and `slot`, which the answer has too
    fields: dict[str, Any]


class Connection:
    """One page."""

    def __init__(self, socket: WebSocket, handlers: Mapping[str, Handler]) -> None:
        self.socket, self.handlers = socket, handlers
        self.studio: Studio = socket.app.state.studio
        self.folder: Folder = socket.app.state.folder
        self.painters: Painters = socket.app.state.painters
        self.jobs: Jobs = socket.app.state.jobs
        self.state: dict[str, Any] = {}
        """what handlers remember about this page"""
        self._waiting: dict[str, _Asked] = {}
        self._asked = anyio.Event()
        self._sending = anyio.Lock()

    async def serve(self, watchers: Sequence[Watcher]) -> None:
        """Answer until the page closes. `watchers` run beside it and send on their own accord."""
        await self.socket.accept()
        async with anyio.create_task_group() as tasks:
            for watcher in watchers:
                tasks.start_soon(watcher, self)
            tasks.start_soon(self._draw)
            try:
                while True:
                    await self._receive(await self.socket.receive_text())
            except (WebSocketDisconnect, KeyError):  # KeyError: a binary message, which pages never send
                tasks.cancel_scope.cancel()

    @property
    def is_waited_for(self) -> bool:
        """Whether the page waits for another image: one that takes long may be given up."""
        return bool(self._waiting)

    async def send(self, kind: str, **fields: Any) -> None:
        """Send a JSON object."""
        async with self._sending:
            with suppress(WebSocketDisconnect):  # the page was closed, which `serve` notices
                await self.socket.send_text(json.dumps({"type": kind, **fields}))

    async def _receive(self, text: str) -> None:
        """Answer a message, or let it wait in its slot."""
        try:
            fields = as_object(text)
        except UserError as error:
            await self.send("error", error=str(error))
            return
        asked = _Asked(fields.pop("op", None), {k: fields.pop(k) for k in ("id", "slot") if k in fields}, fields)
        slot = asked.mark.get("slot")
        if slot is None:
            await self._answer(asked)
        elif not isinstance(slot, str) or len(self._waiting.keys() | {slot}) > MOST_SLOTS:
            await self.send("error", error=f"a page can wait for {MOST_SLOTS} images at a time")
        else:
            self._waiting.pop(slot, None)
            self._waiting[slot] = asked
            self._asked.set()

    async def _draw(self) -> None:
        """Compute the images that are waited for, the longest wait first."""
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            while self._waiting:
                await self._answer(self._waiting.pop(next(iter(self._waiting))))

    async def _answer(self, asked: _Asked) -> None:
        """Send what the handler of a message returns, or the one line of its error."""
        handler = self.handlers.get(asked.op) if isinstance(asked.op, str) else None
        try:
            if handler is None:
                raise UserError("a message needs a known `op`")
            answer = await handler(self, asked.fields)
        except UserError as error:
            await self.send("error", **asked.mark, error=printable(str(error)))
            return
        if isinstance(answer, Frame):
            await self._send_frame(answer, {"type": asked.op, **asked.mark})
        elif answer is not None:
            await self.send(asked.op, **asked.mark, **answer)

    async def _send_frame(self, frame: Frame, mark: dict[str, Any]) -> None:
        from ganvas.core.images import straight  # imported here as it needs PyTorch, which pages without images do not

        pixels = straight(frame.pixels)
        height, width, channels = pixels.shape
        facts = {**mark, "width": width, "height": height, "channels": channels, **frame.facts}
        header = json.dumps(facts).encode()
        header += b" " * (-len(header) % 4)
        async with self._sending:
            with suppress(WebSocketDisconnect):
                await self.socket.send_bytes(struct.pack("<I", len(header)) + header + pixels.tobytes())
