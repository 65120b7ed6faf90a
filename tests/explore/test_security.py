"""Requests that no page of ours would send: none succeeds, and the server goes on."""

import base64
import gzip
import http.client
import json
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

import pytest

SECONDS = 60


class Address(NamedTuple):
    host: str  # with the port
    port: int
    token: str

    @property
    def cookie(self) -> str:
        return f"ganvas-{self.port}={self.token}"

    @property
    def own(self) -> dict[str, str]:
        """The headers of the server's own page."""
        return {"Host": self.host, "Origin": f"http://{self.host}", "Cookie": self.cookie}


@pytest.fixture(scope="module")
def address(serve: Callable[..., str], trained: Path) -> Iterator[Address]:
    """A server that is alive before and after all these requests."""
    parts = urlsplit(serve(trained))
    found = Address(parts.netloc, parts.port or 0, parse_qs(parts.query)["token"][0])
    assert ask(found, "GET", "/", found.own)[0] == 200
    yield found
    assert ask(found, "GET", "/", found.own)[0] == 200


def ask(
    address: Address, method: str, path: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send a request exactly as it is given; status, headers and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=SECONDS)
    connection._validate_path = lambda path: None  # type: ignore[attr-defined]
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if body is not None and "Content-Length" not in headers:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


@contextmanager
def knock(address: Address, headers: dict[str, str]) -> Iterator[tuple[socket.socket, bool]]:
    """Ask for a websocket: the connection, and whether it was opened."""
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13"}
    lines = ["GET /live HTTP/1.1", *(f"{name}: {value}" for name, value in {**headers, **upgrade}.items()), "", ""]
    with socket.create_connection(("127.0.0.1", address.port), timeout=SECONDS) as line:
        line.sendall("\r\n".join(lines).encode("latin-1"))
        answer = b""
        while b"\r\n\r\n" not in answer and (more := line.recv(1)):
            answer += more
        yield line, answer.startswith(b"HTTP/1.1 101 ")


def refused(address: Address, headers: dict[str, str]) -> bool:
    """Whether a websocket is not opened."""
    with knock(address, headers) as (_, opened):
        return not opened


def frame(payload: bytes, opcode: int = 1, masked: bool = True) -> bytes:
    """A websocket frame."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    else:
        length = struct.pack("!BH", 126, size) if size < 2**16 else struct.pack("!BQ", 127, size)
    first = bytes([0x80 | opcode]) + (bytes([length[0] | 0x80]) + length[1:] if masked else length)
    return first + (b"\0\0\0\0" + payload if masked else payload)


def hear(line: socket.socket) -> tuple[int, bytes]:
    """The next frame from the server: opcode and payload; opcode 8 also for a connection that was cut."""

    def take(count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = line.recv(count - len(data))
            if not more:
                raise ConnectionError
            data += more
        return data

    try:
        first, second = take(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(take(2 if size == 126 else 8), "big")
        return first & 0x0F, take(size)
    except ConnectionError:
        return 8, b""


def hear_until(line: socket.socket, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The next message that is wanted."""
    while True:
        opcode, payload = hear(line)
        if opcode == 9:  # a ping
            continue
        assert opcode == 1, "the connection has ended"
        message: dict[str, Any] = json.loads(payload)
        if wanted(message):
            return message


HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example:{port}",
    "localhost.evil.example",
    "192.168.1.5:{port}",
    "10.0.0.1",
    "0.0.0.0:{port}",
    "[2001:db8::1]:{port}",
    "",
    "127.0.0.1:{port}@evil.example",
    "evil@127.0.0.1:{port}",
    "127.0.0.1:{port}/evil",
    "127.0.0.1:99999",
    "127.0.0.1:x",
    "[::1",
    "2130706433:{port}",
    "0x7f.1:{port}",
    "localhost..:{port}",
    "{name}:{port}",
    "127.0.0.1.evil.com:{port}",
    "127.0.0.1.nip.io:{port}",  # names that anybody may let point to this machine
    "localtest.me:{port}",
    "[::]:{port}",
    "[::ffff:10.0.0.1]:{port}",
    "[fe80::1]:{port}",
    "[::1]evil.example:{port}",
    "127.1:{port}",
    "017700000001:{port}",
    "127.0.0.1:{port},evil.example",
    "127.0.0.1:{port} evil.example",
    "%6c%6fcalhost:{port}",
    "localhost%00.evil.example:{port}",
    "localhost:{port}#evil.example",
    "localhost:{port}?evil.example",
    "localhost:-{port}",
    "local\xadhost:{port}",
]
ORIGINS = [
    "http://evil.example",
    "http://evil.example:{port}",
    "null",
    "https://localhost.evil.example",
    "http://127.0.0.1",
    "http://localhost:{port}",
    "file://",
    "http://127.0.0.1:{port}.evil.example",
    "http://127.0.0.1:{port}@evil.example",
    "",
    "chrome-extension://abcdef",
    "http://[::1",
]
TOKENS = ["", "x", "{token}x", "x{token}", "{half}", "%00", "é", "a" * 10_000, "null", "undefined", "{token}&token=x"]
COOKIES = [
    "",
    "ganvas-{port}=",
    "ganvas-{port}=x",
    "ganvas-1={token}",
    "ganvas={token}",
    "token={token}",
    "ganvas-{port}={half}",
    '"',
    "a" * 4_000,
]


@pytest.mark.parametrize("host", HOSTS)
def test_other_names_are_refused(address: Address, host: str) -> None:
    host = host.format(port=address.port, name=socket.gethostname())
    assert ask(address, "GET", "/", {**address.own, "Host": host, "Origin": f"http://{host}"})[0] in (400, 403)
    assert refused(address, {**address.own, "Host": host, "Origin": f"http://{host}"})


def test_no_host_and_two_hosts_are_refused(address: Address) -> None:
    own = address.own
    del own["Host"]
    assert ask(address, "GET", "/", own)[0] in (400, 403)
    assert ask(address, "GET", "/", {**address.own, "host": "evil.example"})[0] in (400, 403)


@pytest.mark.parametrize("origin", ORIGINS)
def test_other_websites_are_refused(address: Address, origin: str) -> None:
    headers = {**address.own, "Origin": origin.format(port=address.port)}
    assert ask(address, "GET", "/", headers)[0] == 403
    assert ask(address, "POST", "/api/train", headers, b"{}")[0] == 403
    assert refused(address, headers)


def test_a_page_that_hides_its_origin_may_only_read(address: Address) -> None:
    headers = {"Host": address.host, "Cookie": address.cookie}
    assert ask(address, "POST", "/api/train", headers, b"{}")[0] == 403
    assert refused(address, headers)


@pytest.mark.parametrize("token", TOKENS)
def test_wrong_tokens_are_refused(address: Address, token: str) -> None:
    token = token.format(token=address.token, half=address.token[:10])
    status, _, body = ask(address, "GET", f"/?token={quote(token, safe='&=%')}", {"Host": address.host})
    assert status in (400, 403)
    assert address.token.encode() not in body


@pytest.mark.parametrize("cookie", COOKIES)
def test_wrong_cookies_are_refused(address: Address, cookie: str) -> None:
    cookie = cookie.format(port=address.port, token=address.token, half=address.token[:10])
    assert ask(address, "GET", "/", {**address.own, "Cookie": cookie})[0] in (400, 403)
    assert ask(address, "GET", "/page/app.js", {**address.own, "Cookie": cookie})[0] in (400, 403)
    assert refused(address, {**address.own, "Cookie": cookie})


def test_a_token_is_no_password_for_posts(address: Address) -> None:
    """Another website could know the address; only the cookie, which it cannot send, lets a request change things."""
    headers = {"Host": address.host, "Origin": f"http://{address.host}"}
    assert ask(address, "POST", f"/api/train?token={address.token}", headers, b"{}")[0] == 403


@pytest.mark.parametrize(
    "path",
    ["//evil.example/?token={token}", "/\\evil.example?token={token}", "///evil.example//?token={token}&x=http://evil"],
)
def test_the_token_leads_nowhere_else(address: Address, path: str) -> None:
    status, headers, _ = ask(address, "GET", path.format(token=address.token), {"Host": address.host})
    assert status in (303, 400, 404)
    assert not headers.get("location", "/").startswith(("//", "/\\", "http"))


@pytest.mark.parametrize(
    "path",
    [
        "/page/../server.py",
        "/page/..%2fserver.py",
        "/page/%2e%2e/server.py",
        "/page/....//server.py",
        "/page/%5c..%5cserver.py",
        "/page//etc/passwd",
        "/page/%2fetc%2fpasswd",
        "/page/%00",
        "/page/app.js%00.css",
        "/page/",
        "/page",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/page/~root",
        "/page/CON",
        "/page/file:///etc/passwd",
        "/page/" + "a/" * 5_000,
        "/docs",
        "/openapi.json",
        "/page/%c0%ae%c0%ae/server.py",  # dots in UTF-8 that is too long
        "/page/%ef%bc%8e%ef%bc%8e/server.py",  # full-width dots
        "/page/%e2%80%a5/server.py",  # one letter of two dots
        "/page/app%e2%80%aesj.js",
        "/page/%ff%fe",
        "/page/%f0%9f%98%80",
        "/page/%252e%252e/server.py",
        "/page/..;/server.py",
        "/page/.\\..\\server.py",
        "/page/%0d%0aSet-Cookie:%20a=b",
        "/page/__pycache__",
    ],
)
def test_no_other_file_is_served(address: Address, path: str) -> None:
    status, _, body = ask(address, "GET", path, address.own)
    assert status in (307, 400, 404, 405, 414)
    assert b"root:" not in body and b"def serve" not in body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "GET\tX"])
def test_other_methods_are_refused(address: Address, method: str) -> None:
    with suppress(ValueError):  # Python itself does not send some
        assert ask(address, method, "/", address.own)[0] in (400, 403, 405)


@pytest.mark.parametrize(
    "path", ["/%0d%0aSet-Cookie:%20evil=1", "/%0aLocation:%20//evil.example", "/?x=%0d%0aEvil:%201"]
)
def test_nothing_is_put_into_the_headers(address: Address, path: str) -> None:
    joint = "&" if "?" in path else "?"
    status, headers, _ = ask(address, "GET", f"{path}{joint}token={address.token}", {"Host": address.host})
    assert status in (303, 400, 404)
    assert "evil" not in headers and "evil" not in headers.get("set-cookie", "").lower()
    assert headers.get("location", "/").startswith("/") and not headers.get("location", "/").startswith("//")


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=0-0",
        "bytes=-1",
        "bytes=9999999999999-",
        "bytes=5-1",
        "bytes=x",
        "bytes=" + ",".join(f"{i}-{i}" for i in range(0, 4_000, 2)),
        "bytes=" + "0-," * 10_000,
        "bytes=--1",
        "bytes=0-99999999999999999999999999",
        "lines=1-2",
    ],
)
def test_odd_ranges_of_a_file(address: Address, wanted: str) -> None:
    status, _, body = ask(address, "GET", "/page/app.js", {**address.own, "Range": wanted})
    assert status in (200, 206, 400, 416, 431)
    assert len(body) < 2**20


@pytest.mark.parametrize("length", [str(2**27), str(2**63), "-1", "x", "1, 2"])
def test_huge_requests_are_refused(address: Address, length: str) -> None:
    assert ask(address, "POST", "/api/train", {**address.own, "Content-Length": length}, b"")[0] in (400, 413)


def test_a_huge_request_of_unknown_length_is_cut(address: Address) -> None:
    own = "".join(f"{name}: {value}\r\n" for name, value in address.own.items())
    with socket.create_connection(("127.0.0.1", address.port), timeout=SECONDS) as line:
        line.sendall(f"POST /latents/image?run=digits HTTP/1.1\r\n{own}Transfer-Encoding: chunked\r\n\r\n".encode())
        with suppress(OSError):  # it may be cut at once
            for _ in range(70):
                line.sendall(b"100000\r\n" + b"x" * 2**20 + b"\r\n")
            line.sendall(b"0\r\n\r\n")
        with suppress(OSError):
            assert b" 413 " in line.recv(100)


@pytest.mark.parametrize(
    "more", ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5\r\nTransfer-Encoding: chunked"]
)
def test_two_lengths_are_not_two_requests(address: Address, more: str) -> None:
    own = "".join(f"{name}: {value}\r\n" for name, value in address.own.items())
    hidden = f"GET /latents/runs HTTP/1.1\r\n{own}\r\n"
    with socket.create_connection(("127.0.0.1", address.port), timeout=SECONDS) as line:
        line.sendall(f"POST /recipes/check HTTP/1.1\r\n{own}{more}\r\n\r\n0\r\n\r\n{hidden}".encode())
        line.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(OSError):
            while part := line.recv(4096):
                answer += part
    assert b'"runs"' not in answer or answer.count(b"HTTP/1.1 ") == 2  # pipelined, each checked by itself


def bomb() -> dict[str, bytes]:
    """Files that grow when they are opened, and files that only seem to be images."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def png(width: int, height: int, *more: bytes) -> bytes:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        rows = zlib.compress(bytes(min(2**26, height * (width // 8 + 2))))
        return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")

    text = chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(2**28)))
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><image href="file:///etc/passwd"/></svg>'
    return {
        "side": png(60_000, 60_000),
        "line": png(2**31 - 1, 1),
        "nothing": png(0, 0),
        "text": png(8, 8, text),
        "texts": png(8, 8, *[chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(2**20 - 9)))] * 100),
        "profile": png(8, 8, chunk(b"iCCP", b"bomb\0\0" + zlib.compress(bytes(2**28)))),
        "svg": svg,
        "svg in gz": gzip.compress(svg),
        "entities": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><svg>&b;</svg>',
        "html": b"<html><script>alert(1)</script>",
        "bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0),
        "gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0\x08\xff;",
        "tiff that loops": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "ps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
        "archive": b"PK\x03\x04" + bytes(100),
    }


@pytest.mark.parametrize("name", bomb())
def test_bombs_are_no_images(address: Address, name: str) -> None:
    status, _, body = ask(address, "POST", "/latents/image?run=digits", address.own, bomb()[name])
    assert status == 400
    error = json.loads(body)["error"]
    assert "\n" not in error and "root:" not in error and "Traceback" not in error


def test_a_file_as_large_as_allowed_that_is_no_image(address: Address) -> None:
    for size in (32 * 2**20, 33 * 2**20):
        assert ask(address, "POST", "/latents/image?run=digits", address.own, b"\xff" * size)[0] == 400


def test_answers_forbid_what_they_can(address: Address) -> None:
    for path in ("/", "/page/app.js", "/nothing"):
        headers = ask(address, "GET", path, address.own)[1]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"x",
        b"[]",
        b"null",
        b"7",
        b'"x"',
        b"[" * 100_000,
        b"9" * 10_000,
        b"{}",
        b'{"op": null}',
        b'{"op": []}',
        b'{"op": {}}',
        b'{"op": "__class__"}',
        b'{"op": "x", "slot": 7}',
        b'{"op": "x", "slot": []}',
        b'{"op": "<script>alert(1)</script>"}',
        b'{"op": "watch", "runs": 7}',
        json.dumps({"op": "paint", "slot": "a", "view": {"width": 10**6, "height": 10**6}}).encode(),
        json.dumps({"op": "paint", "slot": "a" * 10_000}).encode(),
    ],
)
def test_odd_messages_get_one_line(address: Address, text: bytes) -> None:
    with knock(address, address.own) as (line, opened):
        assert opened
        line.sendall(frame(text))
        error = hear_until(line, lambda message: message["type"] == "error")["error"]
    assert "\n" not in error and "Traceback" not in error


def test_runs_outside_the_folder_are_not_watched(address: Address) -> None:
    with knock(address, address.own) as (line, _):
        line.sendall(frame(b'{"op": "watch", "runs": ["../..", "/", "digits/../..", "~root"]}'))
        runs = hear_until(line, lambda message: message["type"] == "runs")["changed"]
        assert sorted(run["name"] for run in runs) == ["digits", "moves", "paints"]
        line.sendall(frame(b'{"op": "x", "id": 7}'))
        assert hear_until(line, lambda message: message.get("id") == 7 or "records" in message)["type"] == "error"


@pytest.mark.parametrize(
    "data",
    [
        frame(b"\xff\xfe"),
        frame(b"x", opcode=2),
        frame(b"x", opcode=3),
        frame(b"x", opcode=15),
        frame(b"{}", masked=False),
        frame(b"x" * (2**20 + 1)),
        b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xff" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xc1" + frame(zlib.compress(bytes(2**26)))[1:],  # compressed, though that was not agreed
        b"\x01" + frame(b"x" * 2**19)[1:] + (b"\x00" + frame(b"x" * 2**19)[1:]) * 3,  # parts that never end
        b"\x00" + frame(b"x")[1:],  # a part of nothing
        frame(b"x" * 126, opcode=9),  # a ping that is too long
        frame(b"\x03\xe7", opcode=8),
        frame(b"x", opcode=8),
    ],
)
def test_broken_frames_end_their_own_connection_only(address: Address, data: bytes) -> None:
    with knock(address, address.own) as (line, opened):
        assert opened
        line.sendall(data)
        with suppress(OSError):  # the server may have closed it already
            line.shutdown(socket.SHUT_WR)
        while hear(line)[0] != 8:
            pass


def test_a_page_cannot_wait_for_any_number_of_images(address: Address) -> None:
    with knock(address, address.own) as (line, _):
        line.sendall(b"".join(frame(json.dumps({"op": "x", "slot": f"{i}"}).encode()) for i in range(2_000)))
        line.sendall(frame(b'{"op": "x", "id": 7}'))
        assert hear_until(line, lambda message: message.get("id") == 7)["type"] == "error"


def test_an_address_for_other_machines(serve: Callable[..., str], tmp_path: Path) -> None:
    """`--host 0.0.0.0`: addresses and the machine's own name are accepted, other names are not."""
    parts = urlsplit(serve(tmp_path, "--host", "0.0.0.0"))
    assert parts.hostname != "0.0.0.0"  # which no other machine could open
    address = Address(parts.netloc, parts.port or 0, parse_qs(parts.query)["token"][0])
    for host, status in (
        (f"192.168.1.5:{address.port}", 200),
        (address.host, 200),
        (f"{socket.gethostname()}.local:{address.port}", 200),
        (f"evil.example:{address.port}", 403),
    ):
        headers = {"Host": host, "Cookie": address.cookie}
        assert ask(address, "GET", "/", headers)[0] == status


def test_frames_are_not_compressed(address: Address) -> None:
    headers = {**address.own, "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    with knock(address, headers) as (line, opened):
        assert opened
        line.sendall(frame(b'{"op": "x", "id": 7}'))
        hear_until(line, lambda message: message.get("id") == 7)  # which reads it as it is


def test_many_pings_are_answered_or_cut(address: Address) -> None:
    with knock(address, address.own) as (line, _):
        line.sendall(frame(b"p", opcode=9) * 5_000)
        line.sendall(frame(b'{"op": "x", "id": 7}'))
        while (heard := hear(line))[0] != 8 and b'"id": 7' not in heard[1]:
            pass


def test_a_request_letter_by_letter(address: Address) -> None:
    with socket.create_connection(("127.0.0.1", address.port), timeout=SECONDS) as line:
        for letter in f"GET / HTTP/1.1\r\nHost: {address.host}\r\nX: {'y' * 500}".encode():
            line.sendall(bytes([letter]))
        assert ask(address, "GET", "/", address.own)[0] == 200


def test_an_unfinished_request_holds_up_nobody(address: Address) -> None:
    with ExitStack() as waiting:
        for _ in range(100):  # half of the connections that the server keeps open
            line = waiting.enter_context(socket.create_connection(("127.0.0.1", address.port), timeout=SECONDS))
            line.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert ask(address, "GET", "/", address.own)[0] == 200
