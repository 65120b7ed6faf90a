"""Where the server listens, and how it ends."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ganvas.core.errors import UserError
from ganvas.explore.server import LAST_PORT, PORT, TRIED, listen
from tests.explore.test_security import Address, frame, hear, hear_until, knock


def test_it_listens_on_the_first_free_port() -> None:
    with listen("127.0.0.1", None) as first, listen("127.0.0.1", None) as second:
        ports = [each.getsockname()[1] for each in (first, second)]
    assert ports[0] != ports[1]
    assert all(PORT <= port < PORT + TRIED or port > PORT + TRIED for port in ports)


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1 port {port}: .*; choose another"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("port", [-1, LAST_PORT + 1, 10**23])
def test_a_port_that_there_is_not_is_said(port: int) -> None:
    with pytest.raises(UserError, match=f"there is no port {port}: choose one from 0 to 65535"):
        listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["x" * 300, "a..b", "\udcff", "256.0.0.1.2.3", "[::1]", "a\0b"])
def test_a_host_that_there_is_not_is_said(host: str) -> None:
    with pytest.raises(UserError, match=r"cannot listen on|is not the name of a host"):
        listen(host, 0)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_ended_while_it_computes_it_says_nothing(trained: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "ganvas", "explore", str(trained), "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        parts = urlsplit(server.stdout.readline().split()[0])
        address = Address(parts.netloc, parts.port or 0, parse_qs(parts.query)["token"][0])
        picture = {"op": "paint", "slot": "a", "random": "tanh:24x256", "weights": 1, "seed": 1, "supersample": 1}
        place = {"width": 1000, "height": 1000, "x": 0, "y": 0, "zoom": 1}
        with knock(address, address.own) as (page, _), socket.create_connection(("127.0.0.1", address.port)) as line:
            page.sendall(frame(json.dumps(picture | place).encode()))
            line.sendall(f"GET /latents/seeds?run=digits&seed=0 HTTP/1.1\r\nHost: {address.host}\r\n".encode())
            line.sendall(f"Cookie: {address.cookie}\r\n\r\n".encode())
            for i in range(3):  # until it has read all that
                page.sendall(frame(json.dumps({"op": "x", "id": i}).encode()))
                hear_until(page, lambda message, i=i: message.get("id") == i)  # type: ignore[misc]
            server.send_signal(how)
            answer = b""
            while more := line.recv(1000):
                answer += more
            assert answer.startswith(b"HTTP/1.1 503") and answer.endswith(b"ganvas has been ended\n")
            while hear(page)[0] != 8:
                pass
        _, errors = server.communicate(timeout=600)
    assert errors == ""
    assert server.returncode in (0, 128 + how, -how)  # a server that was told to end has not failed: 0 is right as well
