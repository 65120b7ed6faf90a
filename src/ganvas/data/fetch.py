"""One file from the web into the cache: with a progress bar, checked, and continued where a cut connection left it."""

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.progress import DownloadColumn, TransferSpeedColumn

from ganvas.core.errors import UserError
from ganvas.core.progress import progress

ATTEMPTS = 4  # each one goes on where the last was cut off
TIMEOUT_SECONDS = 30.0
BLOCK_BYTES = 2**18


class Unreachable(Exception):
    """The server cannot be reached, or keeps cutting the connection; says why."""


def fetch(url: str, path: Path, checksum: str | None = None) -> Path:
    """`url` as the file `path`, fetched unless it is there; until it is whole and right it is called `path`.part.

    checksum: "sha256:<hex>" or "md5:<hex>"; without it, the sha256 that the Hugging Face hub sends along is checked.
    Raises Unreachable, and UserError for a refusal by the server or a wrong checksum (the part is then deleted).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with FileLock(f"{path}.lock"):
        if path.exists():
            return path
        for attempt in range(1, ATTEMPTS + 1):
            try:
                sent = _continue(url, part)
                break
            except (OSError, ValueError, http.client.HTTPException) as error:
                if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                    raise UserError(f"{url}: the server answers '{error.code} {error.reason}'") from None
                if attempt == ATTEMPTS or isinstance(getattr(error, "reason", None), OSError):  # no connection at all
                    raise Unreachable(str(getattr(error, "reason", error)) or type(error).__name__) from None
        _check(part, checksum or sent)
        part.replace(path)
    return path


def _continue(url: str, part: Path) -> str | None:
    """Append to `part` what it lacks of `url`. Returns the checksum that the server sent, if any.

    Raises OSError or HTTPException for every fault of the connection; what came so far stays in `part`.
    """
    have = part.stat().st_size if part.exists() else 0
    with _request(url, have) as (response, sent):
        if response.status != 206:
            have = 0  # the server sends the whole file again
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with (
            part.open("ab" if have else "wb") as file,
            progress(f"fetching {part.stem}", total, DownloadColumn(), TransferSpeedColumn()) as advance,
        ):
            advance(have)
            while block := response.read(BLOCK_BYTES):
                file.write(block)
                advance(len(block))
                have += len(block)
    if total is not None and have < total:
        raise ConnectionError(f"the connection was cut after {have:,} of {total:,} bytes")
    return sent


@contextmanager
def _request(url: str, start: int) -> Iterator[tuple[http.client.HTTPResponse, str | None]]:
    """The open answer, from byte `start` on, and the checksum in it or in the redirects that led to it."""
    redirects = _KeepHash()
    request = urllib.request.Request(url, headers={"User-Agent": "ganvas", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    opener = urllib.request.build_opener(redirects)
    try:
        response = opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        response = opener.open(url, timeout=TIMEOUT_SECONDS)  # nothing left to send, or another file by now
    with response:
        yield response, redirects.checksum or _hub_checksum(response.headers)


class _KeepHash(urllib.request.HTTPRedirectHandler):
    """Follows redirects and keeps the hash that the hub sends with the first one, before its storage takes over."""

    checksum: str | None = None

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        self.checksum = self.checksum or _hub_checksum(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _hub_checksum(headers: http.client.HTTPMessage) -> str | None:
    """The sha256 in the header that the hub sends for large files."""
    tag = (headers.get("X-Linked-ETag") or "").strip('"')
    return f"sha256:{tag}" if re.fullmatch(r"[0-9a-f]{64}", tag) else None


def _check(part: Path, checksum: str | None) -> None:
    if not checksum:
        return
    algorithm, _, wanted = checksum.partition(":")
    with part.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != wanted:
        part.unlink()
        raise UserError(f"{part.stem} came damaged ({algorithm} {found}, not {wanted}) and was deleted: try again")
