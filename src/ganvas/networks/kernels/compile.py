"""Compiles a kernel on first use, with the machine's compiler, and keeps it in the cache.

`library` never raises: if there is no compiler or it fails, the caller gets the reason and computes in PyTorch.
"""

import atexit
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

from ganvas.core import files
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError

SOURCES = Path(__file__).parent
COMMON = "common.h"  # included by the kernels
FUNCTIONS = ("network_forward", "network_backward", "evaluate", "lanes", "openmp")
COMPILERS = ("g++", "clang++", "c++")
# The parts of -ffast-math that the kernels need. The whole of it would hide weights that are NaN, and would disable
# denormal numbers for the whole process, because GCC then links code that does so.
MATH_FLAGS = ("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros")
FLAGS = ("-std=c++17", "-O3", *MATH_FLAGS, "-fPIC", "-shared")
# Tried in this order until one compiles: ARM's clang knows only -mcpu, Apple's has no OpenMP.
MACHINE_FLAGS = (
    ("-march=native", "-fopenmp"),
    ("-mcpu=native", "-fopenmp"),
    ("-march=native",),
    ("-mcpu=native",),
    (),
)
HASH = ".sha256"  # ends the name of the file with the hash of a compiled kernel
TIMEOUT_SECONDS = 120  # a compilation takes one or two seconds


class CannotBuild(Exception):
    """The reason why a kernel cannot be built, in one line."""


@functools.cache
def library(name: str, **macros: int) -> tuple[ctypes.CDLL | None, str]:
    """The kernel in `name`.cpp, and how it was compiled; or None and the reason."""
    try:
        compiler = _compiler()
        file = _cached(compiler, name, macros)
        try:
            loaded = ctypes.CDLL(str(file))
            for function in FUNCTIONS:
                getattr(loaded, function)
        except (OSError, AttributeError):
            file.unlink(missing_ok=True)  # so that the next process compiles it again
            raise
        return loaded, f"compiled with {Path(compiler[0]).name}"
    except (CannotBuild, UserError) as reason:
        return None, str(reason)
    except Exception as error:  # any trouble with compiler, linker or disk: PyTorch works without them
        return (
            None,
            f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason'}",
        )


def _compiler() -> list[str]:
    """The command that compiles C++: $CXX, or the first compiler on the path."""
    if own := shlex.split(os.environ.get("CXX", "")):
        if shutil.which(own[0]) is None:
            raise CannotBuild(f"there is no '{own[0]}', the compiler set in CXX")
        return own
    found = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if found is None:
        raise CannotBuild(f"there is no C++ compiler ({', '.join(COMPILERS)} or $CXX)")
    return [found]


def _cached(compiler: list[str], name: str, macros: dict[str, int]) -> Path:
    """The compiled kernel in the cache; compiled first, by one process at a time, if it is missing.

    A loaded kernel runs with the rights of this process. So a cache that others can write to is not used: the kernel is
    compiled into a folder that only this process uses.
    """
    sources = [(SOURCES / file).read_bytes() for file in (f"{name}.cpp", COMMON)]
    key = repr((sources, macros, compiler, FLAGS, MACHINE_FLAGS, _processor())).encode()
    folder = cache_dir() / "kernels"
    file = folder / f"{'-'.join([name, *map(str, macros.values())])}-{hashlib.sha256(key).hexdigest()[:16]}.so"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_private(folder) or (file.exists() and not _is_private(file)):
        file = Path(_own_folder()) / file.name
    if not _is_whole(file):
        with FileLock(file.with_suffix(".lock"), timeout=TIMEOUT_SECONDS):
            if not _is_whole(file):
                made = _compile(compiler, name, macros)
                files.write(file.with_suffix(HASH), hashlib.sha256(made).hexdigest().encode())
                files.write(file, made)
                file.chmod(0o700)
    return file


def _is_whole(file: Path) -> bool:
    """Whether a compiled kernel is there and undamaged. Loading a damaged one would crash the process."""
    try:
        return hashlib.sha256(files.read(file)).hexdigest().encode() == files.read(file.with_suffix(HASH))
    except OSError:
        return False


def _is_private(path: Path) -> bool:
    """Whether only this user can write there. A link counts as writable by all. Windows has caches per user."""
    if os.name != "posix":
        return True
    facts = path.lstat()
    return facts.st_uid == os.geteuid() and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@functools.cache
def _own_folder() -> str:
    """A folder that nobody else can read or write, removed when the process ends."""
    folder = tempfile.mkdtemp(prefix="ganvas-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _processor() -> str:
    """The processor and its features: a kernel compiled for another processor might crash the process."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        facts = {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))}
    except OSError:  # not Linux
        facts = {platform.processor()}
    return "\n".join([platform.system(), platform.machine(), *sorted(facts)])


def _compile(compiler: list[str], name: str, macros: dict[str, int]) -> bytes:
    """The shared library; raises CannotBuild with the compiler's first error."""
    source, defined = str(SOURCES / f"{name}.cpp"), [f"-D{macro}={value}" for macro, value in macros.items()]
    outputs = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kernel.so"
        for machine in MACHINE_FLAGS:
            command = [*compiler, *FLAGS, *machine, *defined, source, "-o", str(out)]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS)
            if done.returncode == 0 and out.is_file():
                return out.read_bytes()
            outputs.append(done.stderr or f"exit status {done.returncode}")
    lines = outputs[0].strip().splitlines()
    line = next((line for line in lines if "error" in line), lines[0])
    raise CannotBuild(f"{Path(compiler[0]).name} failed: {line.strip()}")
