"""Writing files atomically; parsing and formatting file sizes."""

import errno
import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Write to a temporary file that replaces `path` once all of it is on the disk, so no partial file is ever seen.

    Raises OSError when the disk is full; the old file then stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the rename itself has to reach the disk as well
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write(path: Path, data: bytes) -> None:
    """Write `data` to the file `path`, atomically."""
    with atomic(path) as file:
        file.write(data)


def refuse_pipes(path: Path) -> None:
    """Raise OSError for a pipe, a socket or a device: reading it may never end. A file that is missing passes."""
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # to read a folder raises an error of its own
            raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))


def open_regular(path: Path) -> io.BufferedReader:
    """A file, opened to be read; raises OSError for what is none."""
    refuse_pipes(path)
    return path.open("rb")


def read(path: Path) -> bytes:
    """The content of a file; raises OSError for what is none."""
    with open_regular(path) as file:
        return file.read()


def read_size(text: str) -> int:
    """Parse a size in bytes: "2GB", "500 MB", "1.5GiB" or a number of bytes; raises ValueError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", text.strip(), re.IGNORECASE)
    if found:
        number, letter, binary = found.groups()
        size = int(float(number) * (1024 if binary else 1000) ** " kmgt".index((letter or " ").lower()))
    if not found or not size:
        raise ValueError("write a size, such as 500MB, 2GB or 1.5GiB")
    return size


def say_size(size: float) -> str:
    """Format a number of bytes: 2 GB, 14.2 MB."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 0.9995 * 1000**power:
            return f"{size / 1000**power:.3g} {unit}"
    return f"{size:.0f} bytes"
