"""Writing files atomically; parsing and formatting file sizes."""

import errno
import io
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from ganvas.core.errors import UserError

PART = ".ganvas.part"  # ends the names of half-written files: they must not be mistaken for those of other programs

_tidied: set[Path] = set()  # folders that this process has already cleaned up


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Write to a temporary file that replaces `path` once all of it is on the disk, so no partial file is ever seen.

    Raises OSError when the disk is full; the old file then stays as it was. Pipes and devices are not replaced either,
    nor folders.
    """
    refuse_pipes(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    make_folders(path.parent)
    if path.parent not in _tidied:
        _tidied.add(path.parent)
        remove_abandoned(path.parent)
    part = _part_of(path)
    try:
        with held(part) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the rename must also reach the disk
        with suppress(OSError):  # some network file systems refuse this; the file is in place anyway
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def make_folders(path: Path) -> list[Path]:
    """Create a folder and those above it that are missing; returns these, the innermost first.

    Unlike `Path.mkdir` it takes any number of them: that one calls itself for each.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
    if not missing and not path.is_dir():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    return missing


@contextmanager
def held(path: Path) -> Iterator[IO[bytes]]:
    """Create a file for writing, locked until it is closed, which shows that its process is alive."""
    with ExitStack() as opened:
        while True:
            file = opened.enter_context(path.open("wb"))
            try:
                _lock(file)
                same = os.path.samestat(path.stat(), os.fstat(file.fileno()))
            except FileNotFoundError:
                same = False
            except OSError:  # a file system without locks
                same = True
            if same:  # no other process removed it as abandoned before it was locked
                break
            file.close()
        yield file


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """An empty folder beside `path`, in which it is prepared; removed at the end, with all that is still in it."""
    make_folders(path.parent)
    remove_abandoned(path.parent)
    part = _part_of(path)
    with held(part):  # first, so that the folder of a killed process is known by a free lock
        folder = _folder_of(part)
        try:
            shutil.rmtree(folder, ignore_errors=True)  # left by a process with the same id
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            part.unlink(missing_ok=True)


def remove_abandoned(folder: Path, pattern: str = f".*{PART}") -> None:
    """Remove what killed processes have left half-written: files whose locks are free, and their `scratch` folders."""
    for part in folder.glob(pattern):
        with suppress(OSError), part.open("rb") as file:
            _lock(file)  # raises OSError while its process is alive
            shutil.rmtree(_folder_of(part), ignore_errors=True)
            part.unlink()


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}{PART}")


def _folder_of(part: Path) -> Path:
    return part.with_name(f"{part.name}s")


def _lock(file: IO[bytes]) -> None:
    """Lock an open file until it is closed; raises OSError if another process has locked it."""
    with suppress(ModuleNotFoundError):  # Windows, which does not remove open files
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def expanded(path: Path | str) -> Path:
    """`path` with a leading `~` or `~user` replaced by the home folder; as in a shell, unchanged if there is none."""
    path = Path(path)
    with suppress(RuntimeError):
        return path.expanduser()
    return path


def write(path: Path, data: bytes) -> None:
    """Write `data` to the file `path`, atomically."""
    with atomic(path) as file:
        file.write(data)


def refuse_pipes(path: Path) -> None:
    """Raise OSError for a pipe, a socket or a device, which might block forever. A missing file is accepted."""
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # reading a folder raises its own error
            raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))


def check_output(path: Path) -> None:
    """Raise UserError if no file can be written there, for what can be known before any work is done."""
    if path.is_dir():
        raise UserError(f"'{path}' is a folder: give the name of a file")
    above = next((folder for folder in path.parents if folder.exists()), None)
    if above is not None and not above.is_dir():
        raise UserError(f"'{path}' cannot be written: '{above}' is a file")
    refuse_pipes(path)


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file for reading; raises OSError if it is not a regular file."""
    refuse_pipes(path)
    return path.open("rb")


def read(path: Path) -> bytes:
    """Read a file; raises OSError if it is not a regular file."""
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
    if size >= 1e18:
        return "over 1,000,000 TB"
    if size >= 1e15:
        return f"{size / 1000**4:,.0f} TB"
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 0.9995 * 1000**power:
            return f"{size / 1000**power:.3g} {unit}"
    return f"{size:.0f} bytes"
