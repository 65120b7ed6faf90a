"""Choosing the device and the number format, and listing the fast paths in use, with reasons."""

import ctypes
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ganvas.core.errors import UserError

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class Compute:
    """Where a method runs and in which number format its networks compute (weights are always float32)."""

    device: torch.device
    dtype: torch.dtype = torch.float32
    why: str = ""

    def autocast(self) -> AbstractContextManager[object]:
        """A context in which networks compute in `dtype`; losses belong outside it, in float32."""
        return nullcontext() if self.dtype == torch.float32 else torch.autocast(self.device.type, self.dtype)

    @property
    def precision(self) -> Literal["fp32", "bf16"]:
        return "bf16" if self.dtype == torch.bfloat16 else "fp32"


def choose(device: str = "auto", precision: Precision = "auto") -> Compute:
    """The compute for a device (auto, cpu, cuda, cuda:1, mps); raises UserError if this machine does not have it."""
    chosen = _device(device)
    if precision != "auto":
        return Compute(chosen, torch.bfloat16 if precision == "bf16" else torch.float32, "asked for")
    fast, why = _bf16_is_fast(chosen)
    return Compute(chosen, torch.bfloat16 if fast else torch.float32, why)


def _device(word: str) -> torch.device:
    if word == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(word)
    except RuntimeError:
        raise UserError(f"unknown device '{word}': use auto, cpu, cuda, cuda:N or mps") from None
    here = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= here.get(device.type, 0):
        raise UserError(f"device '{word}' is not on this machine: use --device auto, or cpu")
    return device


def _bf16_is_fast(device: torch.device) -> tuple[bool, str]:
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        fast = major >= 8
        return fast, f"compute capability {major}.{minor}: {'has' if fast else 'no'} bf16 tensor cores"
    if device.type == "cpu":
        return _bf16_is_fast_on_cpu(torch.cpu.get_capabilities())
    return False, "bf16 is used on CUDA and on CPUs only"


def _bf16_is_fast_on_cpu(can: Mapping[str, Any]) -> tuple[bool, str]:
    """From measurements: having bf16 instructions says little, and without any, bf16 is 20 times slower than fp32."""
    if can.get("amx_bf16"):
        return True, "the processor has AMX"
    if can.get("avx512_bf16") and str(can.get("cpu_name", "")).startswith("AMD"):
        return True, "the processor has AVX-512 for bf16"  # 1.3 to 2.5 times faster than fp32; Intel's is no faster
    return False, "the processor has neither AMX nor AMD's AVX-512 for bf16, without which it is slower than fp32"


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a new CPU tensor to `device` without waiting for the work that is queued there.

    This is done on CUDA only, which reads pageable memory before it returns; elsewhere, an asynchronous copy might read
    memory that has been freed meanwhile.
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


@contextmanager
def deterministic() -> Iterator[None]:
    """A context in which a GPU gives reproducible bits: no algorithm is chosen by timing, and fp32 is not TF32."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = True, False, False, False
    # cuBLAS reads this at the first matrix product; without it, it may sum in another order on another stream.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before


def keep_freed_memory(keep: bool = True) -> bool:
    """Let the C allocator keep freed memory for the next step; returns whether that worked.

    glibc returns every large block to the system at once, so each step pays for new zeroed pages: 15 % of a DCGAN step
    on a CPU. The setting is process-wide; without glibc nothing happens.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    m_trim_threshold, m_mmap_max = -1, -4
    libc = ctypes.CDLL(None)
    settings = (
        {m_trim_threshold: 2**31 - 1, m_mmap_max: 0} if keep else {m_trim_threshold: 128 * 1024, m_mmap_max: 65536}
    )
    return all(libc.mallopt(option, value) == 1 for option, value in settings.items())


def fast_paths(compute: Compute) -> list[tuple[str, bool, str]]:
    """(name, active, reason) of everything that makes training faster than the textbook loop."""
    glibc = platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"
    on_cpu = compute.device.type == "cpu"
    return [
        ("bf16 autocast", compute.dtype == torch.bfloat16, compute.why),
        ("channels-last layout", True, "convolutions read whole pixels"),
        ("fused Adam", True, "one pass over the weights per update"),
        (
            "recorded steps",
            compute.device.type == "cuda",
            "methods gan, wgan_gp and cfg_gan: the GPU replays a recording"
            if compute.device.type == "cuda"
            else "CUDA only: Python keeps up with other devices",
        ),
        ("frozen discriminator in G's step", True, "unused gradients are not computed"),
        (
            "one gather per batch",
            True,
            "images stay decoded in memory" if on_cpu else "images stay decoded on the device",
        ),
        (
            "freed memory kept",
            glibc and on_cpu,
            "glibc allocator" if glibc and on_cpu else "for glibc on a CPU only",
        ),
    ]
