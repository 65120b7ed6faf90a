"""Compiling the kernels: nothing can go wrong with it, and without a compiler everything works."""

import functools
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ganvas.networks import kernels
from ganvas.networks.cppn import CPPN
from ganvas.networks.kernels import SWITCH, compile, layered, native, residual
from ganvas.networks.view import View
from tests.networks.kernels.comparing import error

SOURCE = Path(kernels.__file__).parent
KINDS = ["residual", "tanh"]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As in a process that has loaded nothing yet, with an empty cache; the folder of the cache."""
    forget(monkeypatch)
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path / "cache"


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile, "library", functools.cache(compile.library.__wrapped__))
    for kernel in (residual, layered):
        monkeypatch.setattr(kernel, "load", functools.cache(kernel.load.__wrapped__))


def works(kind: str) -> None:
    """Networks of this kind are right, and so are their gradients."""
    torch.manual_seed(0)
    network = CPPN.model_validate({"kind": kind, "std": 0.3, "block_std": 0.5, "residual_std": 0.1}).network(3, 4)
    z, place = torch.randn(2, 4), View(7, 5).coordinates()

    def found(logits: torch.Tensor) -> list[torch.Tensor]:
        return [logits, *torch.autograd.grad(logits.square().sum(), [*network.parameters()])]

    plain = found(network.output(network.hidden(z, place)))
    assert all(error(a, b.double()) < 1e-4 for a, b in zip(found(network.logits(z, place)), plain, strict=True))


def falls_back(kind: str, reason: str) -> None:
    active, why = CPPN.model_validate({"kind": kind}).kernel()
    assert not active
    assert reason in why and "\n" not in why
    works(kind)


def compiler(folder: Path, script: str) -> Path:
    file = folder / "c++"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_switched_off(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "off")
    falls_back(kind, f"{SWITCH} is off")


@pytest.mark.parametrize("kind", KINDS)
def test_no_compiler(kind: str, fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    falls_back(kind, "there is no C++ compiler")


def test_the_compiler_asked_for_is_not_there(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O1")
    falls_back("residual", "'no-such-compiler', the compiler set in CXX")


@pytest.mark.skipif(os.name != "posix", reason="the broken compilers are shell scripts")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "echo 'note: x' >&2; echo 'a.cpp: error: what is this?' >&2; exit 1",
            "c++ failed: a.cpp: error: what is this?",
        ),
        ("exit 3", "c++ failed: exit status 3"),
        ("exit 0", "c++ failed"),
        ('while [ "$1" != -o ]; do shift; done; echo nonsense > "$2"', "OSError"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_compiler(
    kind: str, fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, reason: str
) -> None:
    monkeypatch.setenv("CXX", str(compiler(tmp_path, script)))
    falls_back(kind, reason)
    assert not list(fresh.rglob("*.so"))


def test_a_compiler_that_hangs(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compile, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setenv("CXX", str(compiler(tmp_path, "exec sleep 5")))
    falls_back("residual", "TimeoutExpired")


def test_no_place_for_the_cache(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "file"))
    falls_back("residual", "cannot create the cache folder")


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
@pytest.mark.parametrize("why_not", ["open folder", "open file", "of another user"])
def test_a_cache_that_others_can_write_to_is_not_used(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why_not: str
) -> None:
    log = tmp_path / "compilations"
    monkeypatch.setenv("CXX", str(compiler(tmp_path, f'echo x >> {log}; exec {real_compiler()} "$@"')))
    loaded, _ = compile.library("layered")
    assert loaded is not None
    (file,) = (fresh / "kernels").glob("*.so")
    assert file.stat().st_mode & 0o777 == file.parent.stat().st_mode & 0o777 == 0o700
    if why_not == "of another user":
        user = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    else:
        (file if why_not == "open file" else file.parent).chmod(0o777)
    file.write_bytes(b"what somebody else put there")
    compile.library.cache_clear()
    loaded, why = compile.library("layered")
    assert loaded is not None and why == "compiled with c++"
    assert file.read_bytes() == b"what somebody else put there"
    assert log.read_text() == "x\nx\n"


def test_a_damaged_kernel_is_compiled_again(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shorter file is loaded, and ends the process when it is used."""
    log = tmp_path / "compilations"
    monkeypatch.setenv("CXX", str(compiler(tmp_path, f'echo x >> {log}; exec {real_compiler()} "$@"')))
    for damage in (lambda whole: whole, lambda whole: whole, lambda whole: whole[: len(whole) // 2], lambda whole: b""):
        assert compile.library("layered")[1] == "compiled with c++"
        compile.library.cache_clear()
        (file,) = (fresh / "kernels").glob("*.so")
        whole = file.read_bytes()
        file.unlink()  # it is loaded here
        file.write_bytes(damage(whole))
        file.chmod(0o700)
    assert compile.library("layered")[1] == "compiled with c++"
    assert log.read_text() == "x\n" * 3


def test_a_library_of_something_else_is_not_used(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other.cpp"
    other.write_text('extern "C" int other() { return 1; }')
    script = f'while [ "$1" != -o ]; do shift; done; exec {real_compiler()} -shared -fPIC {other} -o "$2"'
    monkeypatch.setenv("CXX", str(compiler(tmp_path, script)))
    falls_back("residual", "AttributeError")


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_numbers_are_not_used(kind: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    active, why = CPPN.model_validate({"kind": kind}).kernel()
    if not active:
        pytest.skip(f"no kernel: {why}")
    right = getattr(native.Kernel, way)

    def wrong(*arguments: Any) -> Any:
        result = right(*arguments)
        tensor = result if way == "forward" else result[1].input
        tensor[..., -1] += 0.1  # one pixel of the last tile, or the gradient of a few weights
        return result

    monkeypatch.setattr(native.Kernel, way, wrong)
    forget(monkeypatch)
    falls_back(kind, "wrong numbers")


def real_compiler() -> str:
    try:
        return compile._compiler()[0]
    except compile.CannotBuild as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("kind", KINDS)
def test_without_openmp_it_has_one_thread(
    kind: str, fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refuse = 'for word; do [ "$word" = -fopenmp ] && echo "error: no OpenMP" >&2 && exit 1; done'
    monkeypatch.setenv("CXX", str(compiler(tmp_path, f'{refuse}; exec {real_compiler()} "$@"')))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    active, why = CPPN.model_validate({"kind": kind}).kernel()
    assert active and "OpenMP is missing" in why
    works(kind)


@pytest.mark.parametrize("machine", ["-mavx2 -mfma", "-mavx", "-msse2"])
@pytest.mark.parametrize("kind", KINDS)
def test_narrower_instructions(
    machine: str, kind: str, fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A processor without the instructions of this one."""
    if platform.machine() != "x86_64" or not runs(machine):
        pytest.skip("not for this processor")
    monkeypatch.setattr(compile, "MACHINE_FLAGS", ((*machine.split(), "-fopenmp"),))
    active, why = CPPN.model_validate({"kind": kind}).kernel()
    assert active and f"{4 if machine == '-msse2' else 8} pixels per instruction" in why
    works(kind)


def runs(machine: str) -> bool:
    """Whether this processor has these instructions."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return all(flag.removeprefix("-m") in flags for flag in machine.split())


def test_two_processes_compile_once(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "compilations"
    monkeypatch.setenv("CXX", str(compiler(tmp_path, f'echo x >> {log}; exec {real_compiler()} "$@"')))
    # The packages without their __init__.py, because importing PyTorch twice would take longer than the compilation.
    code = f"""if True:
        import sys, types
        for name, folder in (
            ("ganvas", {str(SOURCE.parents[1])!r}),
            ("ganvas.networks", {str(SOURCE.parent)!r}),
            ("ganvas.networks.kernels", {str(SOURCE)!r}),
        ):
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [folder]
        from ganvas.networks.kernels import compile
        print(compile.library("layered")[1])"""
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["compiled with c++\n"] * 2
    assert log.read_text() == "x\n"
    assert len(list(fresh.rglob("*.so"))) == 1
