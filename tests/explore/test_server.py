"""Where the server listens."""

import socket

import pytest

from ganvas.core.errors import UserError
from ganvas.explore.server import LAST_PORT, PORT, TRIED, listen


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
