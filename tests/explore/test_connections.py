"""Limits of connections and pages: what is refused says why, and nothing stays open."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from ganvas.explore import connections
from ganvas.explore.connections import Limited
from ganvas.explore.folder import Folder
from ganvas.explore.server import application, listen

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
PATIENCE = 60


@pytest.fixture
def running() -> Iterator[Callable[[], socket.socket]]:
    """Opens connections to a server whose answer is `ok`."""
    with listen("127.0.0.1", 0) as listening, ExitStack() as opened:
        config = uvicorn.Config(PlainTextResponse("ok"), http=Limited, log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        address = listening.getsockname()
        yield lambda: opened.enter_context(socket.create_connection(address, PATIENCE))
        server.should_exit = True
        thread.join()


def read(line: socket.socket) -> str:
    """All that comes until the server closes."""
    text = b""
    while more := line.recv(1000):
        text += more
    return text.decode()


def answer(line: socket.socket) -> str:
    """The answer to a request, after which the connection stays open."""
    line.sendall(ASK + b"\r\n")
    text = b""
    while not text.endswith(b"ok"):
        text += line.recv(1000)
    return text.decode()


def test_too_many_connections_are_told_so(
    running: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST", 3)
    monkeypatch.setattr(connections, "REFUSED", 2)
    several = [running() for _ in range(3)]
    assert all(answer(line).startswith("HTTP/1.1 200") for line in several)
    more = [running() for _ in range(2)]
    with suppress(ConnectionError):  # beyond those that are answered
        assert running().recv(1) == b""
    for line, words in zip(more, (b"", UPGRADE), strict=True):
        line.sendall(ASK + words + b"\r\n")
        text = read(line)
        assert text.startswith("HTTP/1.1 503")
        assert text.endswith("there are too many connections: close some pages\n")
    for line in several:
        line.close()
    while "503" in (text := once(running())):  # until the server has seen that they are closed
        pass
    assert text.startswith("HTTP/1.1 200") and text.endswith("ok")


def once(line: socket.socket) -> str:
    line.sendall(ASK + b"Connection: close\r\n\r\n")
    return read(line)


def test_silent_connections_are_cut(running: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENT", 0)
    line = running()
    assert read(line) == ""
    half = running()
    half.sendall(ASK)
    assert read(half) == ""


@contextmanager
def page(client: TestClient) -> Iterator[None]:
    headers = {"cookie": "ganvas-80=secret", "origin": "http://localhost", "host": "localhost"}
    with client.websocket_connect("/live", headers=headers) as socket:
        socket.send_json({"op": "x", "id": 7})
        while socket.receive_json().get("id") != 7:
            pass
        yield


def test_too_many_pages_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_PAGES", 2)
    with TestClient(application(Folder(tmp_path), "secret")) as client:
        for _ in range(2):
            with page(client), page(client):
                with pytest.raises(WebSocketDisconnect) as refused, page(client):
                    pass
                assert refused.value.code == connections.TRY_LATER
                assert re.fullmatch("2 pages are open already: close one of them", refused.value.reason)
