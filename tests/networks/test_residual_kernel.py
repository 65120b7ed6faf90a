"""The kernel and the way without it against plain PyTorch in float64; and that nothing can go wrong with compiling."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.networks import residual_kernel
from ganvas.networks.residual_kernel import SWITCH, Weights, compile, fallback, native

WIDTHS = [1, 4, 6, 7, 32]
SOURCE = Path(residual_kernel.__file__).parent


def made(width: int) -> native.Kernel:
    found, why = native.load(width)
    if found is None:
        pytest.skip(f"no kernel: {why}")
    return found


def example(
    width: int, blocks: int = 24, channels: int = 1, images: int = 2, pixels: int = 131, depth: int = 5
) -> tuple[Tensor, Tensor, Weights]:
    """v, coordinates and weights, damped (half as strong as what keeps a signal its size, and a tenth behind it): with
    larger ones the network is chaotic, and float32 itself, by whatever way, is wrong altogether."""
    generator = torch.Generator().manual_seed(width + blocks)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    weight = normal(blocks, depth, width, width) * (6 / width) ** 0.5 * 0.5
    weight[:, -1] *= 0.2
    place = normal(pixels, 3) * 4
    place[:, 2] = place[:, :2].norm(dim=1)
    weights = Weights(
        normal(width, 3) * 0.3, weight, normal(blocks, depth, width) * 0.1, normal(channels, width), normal(channels)
    )
    return normal(images, width), place, weights


def plain(v: Tensor, place: Tensor, weights: Weights) -> Tensor:
    h = (v[:, None] + F.linear(place, weights.input)).tanh()
    for products, biases in zip(weights.weight, weights.bias, strict=True):
        k = h
        for i in range(len(products) - 1):
            k = F.linear(k, products[i], biases[i]).relu()
        h = h + F.linear(k, products[-1], biases[-1]).tanh()
    return F.linear(h, weights.out_weight, weights.out_bias)


def double(v: Tensor, place: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Weights]:
    return v.double(), place.double(), Weights(*(weight.double() for weight in weights))


def gradients(
    function: Callable[[Tensor, Tensor, Weights], Tensor], v: Tensor, place: Tensor, weights: Weights
) -> list[Tensor]:
    """Of v and all weights, under fixed random gradients of the logits."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in (v, *weights)]
    logits = function(leaves[0], place, Weights(*leaves[1:]))
    outer = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    return list(torch.autograd.grad(logits, leaves, outer.to(logits.dtype), materialize_grads=True))


def error(found: Tensor, expected: Tensor) -> float:
    """Relative to the norm of what was expected."""
    return ((found.double() - expected).norm() / expected.norm().clamp_min(1e-30)).item()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("blocks", [0, 1, 24])
@pytest.mark.parametrize("channels", [1, 3])
def test_logits(width: int, blocks: int, channels: int) -> None:
    arguments = example(width, blocks, channels)
    expected = plain(*double(*arguments))
    own = error(plain(*arguments), expected)
    for found in (made(width).forward(*arguments), fallback.forward(*arguments), fallback.differentiable(*arguments)):
        assert found.shape == (2, 131, channels)
        assert error(found, expected) < 3 * own + 1e-6


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_shallow_blocks(width: int, depth: int) -> None:
    arguments = example(width, blocks=2, depth=depth)
    expected = plain(*arguments)
    for found in (made(width).forward(*arguments), fallback.forward(*arguments), residual_kernel.residual(*arguments)):
        torch.testing.assert_close(found, expected, atol=5e-5, rtol=0)
    for a, b in zip(gradients(residual_kernel.residual, *arguments), gradients(plain, *arguments), strict=True):
        assert error(a, b.double()) < 1e-4


@pytest.mark.parametrize("pixels", [1, 15, 16, 17, 63, 64, 65, 784])
@pytest.mark.parametrize("images", [1, 3])
def test_any_number_of_pixels(pixels: int, images: int) -> None:
    arguments = example(6, blocks=2, channels=3, images=images, pixels=pixels)
    expected = plain(*arguments)
    torch.testing.assert_close(made(6).forward(*arguments), expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(fallback.forward(*arguments), expected, atol=2e-5, rtol=0)


def test_tiles_of_pixels_and_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = example(6, blocks=2, channels=3, images=5, pixels=30)
    expected = plain(*arguments)
    for tile in (1, 7, 30, 64, 1000):
        monkeypatch.setattr(fallback, "TILE", tile)
        torch.testing.assert_close(fallback.forward(*arguments), expected, atol=2e-5, rtol=0)


def test_a_pixel_does_not_depend_on_its_neighbours() -> None:
    v, place, weights = example(6, pixels=200)
    whole = made(6).forward(v, place, weights)
    parts = [made(6).forward(v, part, weights) for part in place.split(37)]
    assert torch.equal(torch.cat(parts, dim=1), whole)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("blocks", "channels"), [(0, 1), (1, 3), (24, 1)])
def test_gradients(width: int, blocks: int, channels: int) -> None:
    made(width)
    arguments = example(width, blocks, channels)
    expected = gradients(plain, *double(*arguments))
    own = [error(*pair) for pair in zip(gradients(plain, *arguments), expected, strict=True)]
    for function in (residual_kernel.residual, fallback.differentiable):
        found = [error(*pair) for pair in zip(gradients(function, *arguments), expected, strict=True)]
        assert all(mine < 5 * plains + 2e-5 for mine, plains in zip(found, own, strict=True)), (found, own)


def test_gradients_are_slopes() -> None:
    """Against finite differences, which know nothing of derivatives; smooth, because without relus (depth 1)."""
    v, place, weights = example(4, blocks=2, images=1, pixels=5, depth=1)
    found = gradients(residual_kernel.residual, v, place, weights)
    v64, place64, weights64 = double(v, place, weights)
    outer = torch.randn(1, 5, 1, generator=torch.Generator().manual_seed(1)).double()
    for i, tensor in enumerate((v64, *weights64)):
        slopes = torch.empty_like(tensor).flatten()
        for j in range(tensor.numel()):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [t.clone() for t in (v64, *weights64)]
                moved[i].view(-1)[j] += step
                sides.append((plain(moved[0], place64, Weights(*moved[1:])) * outer).sum())
            slopes[j] = (sides[0] - sides[1]) / 2e-5
        assert error(found[i], slopes.view_as(tensor)) < 1e-5


def test_the_same_bits_every_time_with_any_number_of_threads() -> None:
    arguments = example(6, blocks=3, images=30, pixels=784)
    logits, slopes = made(6).forward(*arguments), gradients(residual_kernel.residual, *arguments)
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        try:
            assert torch.equal(made(6).forward(*arguments), logits)
            again = gradients(residual_kernel.residual, *arguments)
        finally:
            torch.set_num_threads(1)
        assert all(torch.equal(a, b) for a, b in zip(again, slopes, strict=True))
    assert all(error(a, b) < 1e-4 for a, b in zip(slopes, gradients(plain, *double(*arguments)), strict=True))


def test_tanh_of_the_kernel() -> None:
    x = torch.cat([torch.linspace(-12, 12, 400_001), torch.logspace(-30, 1, 100_001)])
    found, expected = made(6).tanh(x), x.double().tanh()
    assert ((found - expected).abs() / expected.abs().clamp_min(1e-30)).max() < 3e-7  # about 3 units in the last place
    assert found.abs().max() <= 1 + 1.2e-7
    special = made(6).tanh(torch.tensor([float("inf"), -float("inf"), float("nan"), 0.0]))
    torch.testing.assert_close(special, torch.tensor([1.0, -1.0, float("nan"), 0.0]), atol=2e-7, rtol=0, equal_nan=True)


@pytest.mark.parametrize("of", ["v", *Weights._fields])
def test_what_is_not_a_number_does_not_pass_unnoticed(of: str) -> None:
    v, place, weights = example(6)
    tensors = {"v": v, **weights._asdict()}
    tensors[of].view(-1)[0] = float("nan")
    assert made(6).forward(v, place, weights)[0].isnan().all()


def test_odd_layouts() -> None:
    v, place, weights = example(6)
    turned = Weights(*(w.movedim(0, -1).contiguous().movedim(-1, 0) for w in weights))
    expected = made(6).forward(v, place, weights)
    assert torch.equal(residual_kernel.residual_forward(v.T.contiguous().T, place.T.contiguous().T, turned), expected)
    a, b = gradients(residual_kernel.residual, v, place, weights), gradients(residual_kernel.residual, v, place, turned)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_graph_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    made(6)
    v, place, weights = example(6)
    logits = residual_kernel.residual(v.requires_grad_(), place, weights)
    assert logits.grad_fn is not None and logits.grad_fn.name() == "ResidualBackward"
    saved = sum(tensor.numel() for tensor in logits.grad_fn.saved_tensors)  # type: ignore[attr-defined]
    assert saved == sum(tensor.numel() for tensor in (v, place, *weights))
    with torch.no_grad():
        assert residual_kernel.residual(v, place, weights).grad_fn is None


def test_what_the_kernel_is_not_made_for() -> None:
    v, place, weights = example(6)
    assert residual_kernel.residual_forward(*double(v, place, weights)).dtype == torch.float64
    wide = example(33, blocks=1)
    torch.testing.assert_close(residual_kernel.residual_forward(*wide), plain(*wide), atol=1e-4, rtol=0)
    assert residual_kernel.status(33) == (False, "it supports up to 32 units, not 33")
    place.requires_grad_()
    residual_kernel.residual(v, place, weights).sum().backward()
    assert place.grad is not None
    with torch.autocast("cpu", torch.bfloat16):
        assert error(residual_kernel.residual(v.bfloat16(), place, weights), plain(*double(v, place, weights))) < 0.05
        assert fallback.forward(v, place.detach(), weights).dtype == torch.float32


# ---- compiling ----


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As in a process that has loaded nothing yet, with an empty cache; the folder of the cache."""
    monkeypatch.setattr(compile, "library", functools.cache(compile.library.__wrapped__))
    monkeypatch.setattr(native, "load", functools.cache(native.load.__wrapped__))
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path / "cache"


def falls_back(reason: str) -> None:
    active, why = residual_kernel.status()
    assert not active
    assert reason in why and "\n" not in why
    arguments = example(6, blocks=1)
    torch.testing.assert_close(residual_kernel.residual_forward(*arguments), plain(*arguments), atol=1e-5, rtol=0)
    assert all(gradient.isfinite().all() for gradient in gradients(residual_kernel.residual, *arguments))


def compiler(folder: Path, script: str) -> Path:
    file = folder / "c++"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "off")
    falls_back(f"{SWITCH} is off")


def test_no_compiler(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    falls_back("there is no C++ compiler")


def test_the_compiler_asked_for_is_not_there(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O1")
    falls_back("'no-such-compiler', the compiler set in CXX")


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
def test_a_broken_compiler(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, reason: str
) -> None:
    monkeypatch.setenv("CXX", str(compiler(tmp_path, script)))
    falls_back(reason)
    assert not list(fresh.rglob("*.so"))


def test_a_compiler_that_hangs(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compile, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setenv("CXX", str(compiler(tmp_path, "exec sleep 5")))
    falls_back("TimeoutExpired")


def test_no_place_for_the_cache(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "file"))
    falls_back("cannot create the cache folder")


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
@pytest.mark.parametrize("open_to_all", ["folder", "file"])
def test_a_cache_that_others_can_write_to_is_not_used(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, open_to_all: str
) -> None:
    log = tmp_path / "compilations"
    monkeypatch.setenv("CXX", str(compiler(tmp_path, f'echo x >> {log}; exec {real_compiler()} "$@"')))
    loaded, _ = compile.library(6)
    assert loaded is not None
    (file,) = (fresh / "kernels").glob("*.so")
    assert file.stat().st_mode & 0o777 == file.parent.stat().st_mode & 0o777 == 0o700
    (file if open_to_all == "file" else file.parent).chmod(0o777)
    file.write_bytes(b"what somebody else put there")
    compile.library.cache_clear()
    loaded, why = compile.library(6)
    assert loaded is not None and why == "compiled with c++"
    assert file.read_bytes() == b"what somebody else put there"
    assert log.read_text() == "x\nx\n"


def test_a_library_of_something_else_is_not_used(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other.cpp"
    other.write_text('extern "C" int other() { return 1; }')
    script = f'while [ "$1" != -o ]; do shift; done; exec {real_compiler()} -shared -fPIC {other} -o "$2"'
    monkeypatch.setenv("CXX", str(compiler(tmp_path, script)))
    falls_back("AttributeError")


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_wrong_numbers_are_not_used(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made(6)
    right = getattr(native.Kernel, way)

    def wrong(*arguments: Any) -> Any:
        result = right(*arguments)
        tensor = result if way == "forward" else result[1].input
        tensor[..., -1] += 0.1  # one pixel of the last tile, or the gradient of a few weights
        return result

    monkeypatch.setattr(native.Kernel, way, wrong)
    monkeypatch.setattr(native, "load", functools.cache(native.load.__wrapped__))
    falls_back("wrong numbers")


def real_compiler() -> str:
    try:
        return compile._compiler()[0]
    except compile.CannotBuild as reason:
        pytest.skip(str(reason))


def test_without_openmp_it_has_one_thread(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refuse = 'for word; do [ "$word" = -fopenmp ] && echo "error: no OpenMP" >&2 && exit 1; done'
    monkeypatch.setenv("CXX", str(compiler(tmp_path, f'{refuse}; exec {real_compiler()} "$@"')))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    active, why = residual_kernel.status()
    assert active and "OpenMP is missing" in why
    arguments = example(6, blocks=1)
    torch.testing.assert_close(residual_kernel.residual_forward(*arguments), plain(*arguments), atol=1e-5, rtol=0)
    for a, b in zip(gradients(residual_kernel.residual, *arguments), gradients(plain, *arguments), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_two_processes_compile_once(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "compilations"
    monkeypatch.setenv("CXX", str(compiler(tmp_path, f'echo x >> {log}; exec {real_compiler()} "$@"')))
    # The packages without their __init__.py, because importing PyTorch twice would take longer than the compilation.
    code = f"""if True:
        import sys, types
        for name, folder in (
            ("ganvas", {str(SOURCE.parents[1])!r}),
            ("ganvas.networks", {str(SOURCE.parent)!r}),
            ("ganvas.networks.residual_kernel", {str(SOURCE)!r}),
        ):
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [folder]
        from ganvas.networks.residual_kernel import compile
        print(compile.library(6)[1])"""
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["compiled with c++\n"] * 2
    assert log.read_text() == "x\n"
    assert len(list(fresh.rglob("*.so"))) == 1
