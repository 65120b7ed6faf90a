"""The residual pixel network (24 blocks, 6 units) through `ganvas.fused` against plain modules, in one process.

    python benchmarks/cppn.py [--parts paint large train memory] [--ways kernel torch] [--rounds 5] [--threads 2]

- paint: 1080×1080 pixels; the plain modules take the whole picture at once, and in tiles
- large: 3240×3240 pixels; the plain modules take it in tiles
- train: 100 images of 28×28 pixels forward and backward, with the gradients of all weights and of the latents
- memory: what the training step adds to the peak of a process of its own

`kernel` is what ganvas does where there is a compiler, `torch` what it does elsewhere. Sides take turns and the fastest
turn of each counts, because only noise makes one slower. On a machine that others use, `--clock cpu --threads 1` counts
the work of this process alone.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ganvas import fused
from ganvas.backbones.cppn import CPPN, ResidualNetwork, View, pictures

LATENT = 32
TILE = 2**15  # pixels; the fastest for the plain modules among powers of two

Side = Callable[[], Tensor]


def network() -> ResidualNetwork:
    """Weights so small that rounding errors do not grow from block to block: results can be compared."""
    torch.manual_seed(0)
    built = CPPN(std=0.3, block_std=0.5, residual_std=0.1).network(1, LATENT)
    assert isinstance(built, ResidualNetwork)
    return built


def by(way: str, side: Side) -> Side:
    """`side` with the kernel, or without."""

    def run() -> Tensor:
        os.environ[fused.SWITCH] = "on" if way == "kernel" else "off"
        return side()

    return run


def painting(side: int, ways: list[str], whole: bool) -> dict[str, Side]:
    G, z = network(), torch.randn(1, LATENT)
    place = View(side, side).coordinates()

    def plain_whole() -> Tensor:
        return G.plain(z, place)

    def plain_tiled() -> Tensor:
        return torch.cat([G.plain(z, part) for part in place.split(TILE)], dim=1)

    def painted() -> Tensor:
        return pictures(G, z, View(side, side)).view(1, -1, 1).add(1).div(2)

    sides: dict[str, Side] = {"plain, whole": plain_whole} if whole else {}
    return {key: torch.no_grad()(run) for key, run in (sides | {"plain, tiled": plain_tiled}).items()} | {
        way: by(way, painted) for way in ways
    }


def training(ways: list[str], images: int = 100) -> dict[str, Side]:
    G, z, place = network(), torch.randn(images, LATENT, requires_grad=True), View(28, 28).coordinates()
    gradient = torch.randn(images, len(place), 1)

    def step(forward: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        G.zero_grad()
        pixels = forward(z, place)
        pixels.backward(gradient)
        return pixels.detach()

    return {"plain": lambda: step(G.plain)} | {way: by(way, lambda: step(G)) for way in ways}


def compare(title: str, sides: dict[str, Side], rounds: int, clock: Callable[[], float]) -> None:
    results = {name: side() for name, side in sides.items()}  # the first turn is a warm-up, and compiles
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            start = clock()
            side()
            seconds[name].append(clock() - start)
    first = next(iter(results.values()))
    plain = {name: min(times) for name, times in seconds.items() if name.startswith("plain")}
    for name, times in seconds.items():
        ratios = "".join(f", {best / min(times):6.1f} × {other}" for other, best in plain.items() if name not in plain)
        difference = (results[name] - first).abs().max().item()
        print(f"{title:6} {name:13} best {1e3 * min(times):9.1f} ms, differs by {difference:.0e}{ratios}", flush=True)


def extra_megabytes(way: str) -> float:
    """What one training step adds to the peak memory of this process."""
    ways = [] if way == "plain" else [way]
    training(ways, images=1)[way]()  # libraries set themselves up
    step = training(ways)[way]
    before = peak_megabytes()
    step()
    return peak_megabytes() - before


def peak_megabytes() -> float:
    """The most memory that this process has had so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # unlike the other source, its peak is not handed down by the process that started this one
        kilobytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(kilobytes) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def memory(ways: list[str], threads: int) -> None:
    words = [sys.executable, __file__, "--threads", str(threads), "--memory-of"]
    extra = {
        way: float(subprocess.run([*words, way], check=True, capture_output=True, text=True).stdout)
        for way in ("plain", *ways)
    }
    for way, megabytes in extra.items():
        share = f", 1/{extra['plain'] / max(megabytes, 0.1):.1f} of plain" if way != "plain" else ""
        print(f"memory {way:13} {megabytes:6.1f} MB{share}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["paint", "large", "train", "memory"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--ways", nargs="+", choices=["kernel", "torch"], default=["kernel", "torch"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory_of:
        print(extra_megabytes(args.memory_of))
        return
    active, why = fused.status()
    print(f"kernel {'on' if active else 'off'}: {why}; {args.threads} threads, {args.clock} clock")
    clock = time.process_time if args.clock == "cpu" else time.perf_counter
    if "paint" in args.parts:
        compare("paint", painting(1080, args.ways, whole=True), args.rounds, clock)
    if "large" in args.parts:
        compare("large", painting(3240, args.ways, whole=False), args.rounds, clock)
    if "train" in args.parts:
        compare("train", training(args.ways), args.rounds, clock)
    if "memory" in args.parts:
        memory(args.ways, args.threads)


if __name__ == "__main__":
    main()
