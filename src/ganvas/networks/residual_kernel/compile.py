"""Compile the kernel on first use, with the compiler that is there, and keep it in the cache.

Nothing here raises: where there is no compiler, or it fails, the caller learns the reason and goes another way.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

from ganvas.core import files
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError

SOURCE = Path(__file__).with_name("residual.cpp")
MAX_WIDTH = 32
COMPILERS = ("g++", "clang++", "c++")
# What the kernel needs of -ffast-math. All of it would let a weight that is not a number pass unnoticed, and switch
# denormal numbers off for the whole process: GCC links code that does so.
MATH_FLAGS = ("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros")
FLAGS = ("-std=c++17", "-O3", *MATH_FLAGS, "-fPIC", "-shared")
# Tried in turn until one compiles: ARM's clang knows -mcpu only, Apple's has no OpenMP.
MACHINE_FLAGS = (
    ("-march=native", "-fopenmp"),
    ("-mcpu=native", "-fopenmp"),
    ("-march=native",),
    ("-mcpu=native",),
    (),
)
TIMEOUT_SECONDS = 120  # a compilation takes one or two


class CannotBuild(Exception):
    """Why there is no kernel, in one line."""


@functools.cache
def library(width: int) -> tuple[ctypes.CDLL | None, str]:
    """The kernel for networks of `width` units and how it was made; or None and why not."""
    try:
        if width > MAX_WIDTH:
            raise CannotBuild(f"it is made for up to {MAX_WIDTH} units, not {width}")
        compiler = _compiler()
        file = _cached(compiler, width)
        try:
            loaded = ctypes.CDLL(str(file))
        except OSError:
            file.unlink(missing_ok=True)  # whatever is wrong with it, the next process starts afresh
            raise
        return loaded, f"compiled with {Path(compiler[0]).name}"
    except (CannotBuild, UserError) as reason:
        return None, str(reason)
    except Exception as error:  # somebody's compiler, disk or linker: no reason to fail, there is another way
        return (
            None,
            f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason'}",
        )


def _compiler() -> list[str]:
    """The command that compiles C++: $CXX, or the first compiler on the path."""
    if own := shlex.split(os.environ.get("CXX", "")):
        if shutil.which(own[0]) is None:
            raise CannotBuild(f"there is no '{own[0]}', which CXX asks for")
        return own
    found = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if found is None:
        raise CannotBuild(f"there is no C++ compiler ({', '.join(COMPILERS)} or $CXX)")
    return [found]


def _cached(compiler: list[str], width: int) -> Path:
    """The compiled kernel in the cache; compiled now, by one process at a time, if it is not there."""
    source = SOURCE.read_bytes()
    key = repr((source, width, compiler, FLAGS, MACHINE_FLAGS, _processor())).encode()
    folder = cache_dir() / "kernels"
    file = folder / f"residual-{width}-{hashlib.sha256(key).hexdigest()[:16]}.so"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock"), timeout=TIMEOUT_SECONDS):
            if not file.is_file():
                files.write(file, _compile(compiler, width))
    return file


def _processor() -> str:
    """The processor and what it can do: a kernel that was made for another one might stop the process."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        facts = {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))}
    except OSError:  # not Linux
        facts = {platform.processor()}
    return "\n".join([platform.system(), platform.machine(), *sorted(facts)])


def _compile(compiler: list[str], width: int) -> bytes:
    """The shared library; raises CannotBuild with the compiler's first complaint."""
    complaints = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kernel.so"
        for machine in MACHINE_FLAGS:
            command = [*compiler, *FLAGS, *machine, f"-DWIDTH={width}", str(SOURCE), "-o", str(out)]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS)
            if done.returncode == 0 and out.is_file():
                return out.read_bytes()
            complaints.append(done.stderr or f"exit status {done.returncode}")
    lines = complaints[0].strip().splitlines()
    line = next((line for line in lines if "error" in line), lines[0])
    raise CannotBuild(f"{Path(compiler[0]).name} failed: {line.strip()}")
