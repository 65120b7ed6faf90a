import platform

import pytest
import torch

from ganvas.compute import device
from ganvas.core.errors import UserError


def test_cpu_is_always_there() -> None:
    compute = device.choose("cpu", "fp32")
    assert compute.device.type == "cpu"
    assert compute.precision == "fp32"


@pytest.mark.parametrize("word", ["gpu", "cuda:99", "tpu"])
def test_a_device_that_is_not_here_is_one_line(word: str) -> None:
    with pytest.raises(UserError, match=word):
        device.choose(word)


@pytest.mark.parametrize(
    ("can", "precision"),
    [
        ({"amx_bf16": True, "avx512_bf16": True, "cpu_name": "Intel(R) Xeon(R)"}, "bf16"),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "Intel(R) Xeon(R)"}, "fp32"),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "AMD Ryzen 7"}, "bf16"),
        ({"avx512_bf16": False, "cpu_name": "AMD Ryzen 5"}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_bf16_on_a_cpu_needs_instructions_that_are_fast(
    monkeypatch: pytest.MonkeyPatch, can: dict[str, object], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    assert device.choose("cpu").precision == precision
    assert device.choose("cpu", "bf16").precision == "bf16"


def test_autocast_computes_in_the_chosen_format() -> None:
    a = torch.randn(4, 4)
    with device.choose("cpu", "bf16").autocast():
        assert (a @ a).dtype == torch.bfloat16
    with device.choose("cpu", "fp32").autocast():
        assert (a @ a).dtype == torch.float32


def test_freed_memory_is_kept_on_glibc_only() -> None:
    on_glibc = platform.libc_ver()[0] == "glibc"
    assert device.keep_freed_memory() == on_glibc
    assert device.keep_freed_memory(False) == on_glibc


def test_every_fast_path_says_why() -> None:
    paths = device.fast_paths(device.choose("cpu"))
    assert paths and all(name and why for name, _, why in paths)
