"""Who may talk to the server: only pages that know its token, from its own address.

The token is random and part of the address that `ganvas explore` prints. The first request brings it along and gets a
cookie in return, so that it does not stay in the address bar. Other websites that are open in the same browser can
neither read nor send anything: the cookie is not sent for them, and `Origin` and `Host` are checked, also against
names that are made to point to this machine (DNS rebinding).
"""

import asyncio
import hmac
import ipaddress
import re
import socket
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

MOST_BODY = 64 * 2**20  # bytes of a request
HOST = r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?"  # a name or an address, and a port
REFUSED = 1008  # websocket code: policy violation
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class TooLarge(Exception):
    """A request whose body is larger than MOST_BODY."""


class Guarded:
    """An ASGI application behind the checks of this module. `loopback`: whether only this machine can reach it."""

    def __init__(self, app: ASGIApp, token: str, loopback: bool = True) -> None:
        self.app, self.token, self.loopback = app, token, loopback
        own = socket.gethostname().lower()
        self.names = {"localhost"} if loopback else {"localhost", own, f"{own}.local"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        answer = self.refusal(scope)
        if answer is None:
            try:
                await self._serve(scope, receive, send)
            except asyncio.CancelledError:  # the server is being ended; a websocket has been told already
                with suppress(RuntimeError):  # an answer has begun
                    if scope["type"] == "http":
                        await PlainTextResponse("ganvas has been ended\n", 503)(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await WebSocketClose(REFUSED)(scope, receive, send)
        else:
            await answer(scope, receive, _with_headers(send))

    def refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that is not let through; None for one that is."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if headers.getlist("host") != [host] or not self.is_own(host):
            return PlainTextResponse("this address is not the server's own: open the one that it printed\n", 403)
        safe = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        origin = headers.get("origin")
        if (origin is None and not safe) or (origin is not None and _netloc(origin) != host):
            return PlainTextResponse("requests from other websites are refused\n", 403)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if len(given) == 1 and self.is_token(given[0]) and safe:
            return self._welcome(scope, host)
        if not self.is_token(self._cookie(headers, host)):
            return PlainTextResponse("the token is missing: open the address that `ganvas explore` printed\n", 403)
        return None

    def is_own(self, host: str) -> bool:
        """Whether a Host header names this server: an address, or this machine's own name."""
        if not re.fullmatch(HOST, host, re.IGNORECASE) or _netloc(f"//{host}") != host:
            return False
        name = urlsplit(f"//{host}").hostname or ""
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return address.is_loopback or not self.loopback

    def is_token(self, word: str) -> bool:
        return hmac.compare_digest(word.encode(), self.token.encode())

    def _cookie(self, headers: Headers, host: str) -> str:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(host))
        except CookieError:
            return ""
        return cookie.value if cookie else ""

    def _welcome(self, scope: Scope, host: str) -> Response:
        """To the same address without the token, which goes into a cookie."""
        rest = [(k, v) for k, values in parse_qs(scope["query_string"].decode("latin-1")).items() for v in values]
        query = urlencode([(key, value) for key, value in rest if key != "token"])
        answer = RedirectResponse(f"{'/' + scope['path'].lstrip('/')}{'?' + query if query else ''}", 303)
        answer.set_cookie(_cookie_name(host), self.token, httponly=True, samesite="strict")
        return answer

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BODY:
            answer = PlainTextResponse(f"a request may have {MOST_BODY // 2**20} MB\n", 413)
            await answer(scope, receive, _with_headers(send))
            return
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST_BODY:
                raise TooLarge
            return message

        await self.app(scope, limited, _with_headers(send))


def _netloc(address: str) -> str:
    """The host and port of an address; nothing if it has none that could be real."""
    try:
        parts = urlsplit(address)
        return parts.netloc if parts.port != 0 else ""  # reading the port raises ValueError for one that cannot be
    except ValueError:
        return ""


def _cookie_name(host: str) -> str:
    """Of its own for each port, as cookies are shared between the ports of a machine."""
    return f"ganvas-{urlsplit(f'//{host}').port or 80}"


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sent
