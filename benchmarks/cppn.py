"""The kernels of pixel networks against plain modules, in one process.

    python benchmarks/cppn.py [--parts paint train ...] [--ways kernel torch] [--rounds 5] [--threads 2]

The residual network (24 blocks, 6 units):

- paint: 1080×1080 pixels; the plain modules take the whole picture at once, and in tiles
- large: 3240×3240 pixels; the plain modules take it in tiles
- train: 100 images of 28×28 pixels forward and backward, with the gradients of all weights and of the latents
- memory: what the training step adds to the peak of a process of its own
- exact: how far 1080×1080 pixels, and the gradients of a training step, are from those of the plain modules in float64
- files: a painting from the run to the PNG file, of 28, 1080, 3240 and 32768 pixels square, each in its own process

Layered networks; the plain modules take everything at once:

- layered: tanh:8x64 and softplus:4x128 of 512×512 and 1080×1080 pixels, and a batch of the recipe mnist-cppn-vae-gan
  (500 images of 26×26 pixels) forward and backward
- step: a step of that recipe, with all the updates that it may make

`kernel` is what ganvas does where there is a compiler, `torch` what it does elsewhere. Sides take turns and the fastest
turn of each counts, because only noise makes one slower. On a machine that others use, `--clock cpu --threads 1` counts
the work of this process alone.
"""

import argparse
import copy
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ganvas.compute.device import choose
from ganvas.core.images import ImageSpec
from ganvas.data import Batch
from ganvas.methods.cppn_vae_gan import CPPNVAEGAN
from ganvas.networks import kernels
from ganvas.networks.cppn import CPPN, PixelNetwork, ResidualNetwork
from ganvas.networks.render import render
from ganvas.networks.view import View
from ganvas.painting.paint import Painting
from ganvas.painting.painter import Painter
from ganvas.painting.recipes import RandomOrigin
from ganvas.painting.subjects import Subject, random_latent
from ganvas.recipes import library

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
        os.environ[kernels.SWITCH] = "on" if way == "kernel" else "off"
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
        return render(G, z, View(side, side)).view(1, -1, 1).add(1).div(2)

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
        print(f"{title:14} {name:13} best {1e3 * min(times):9.1f} ms, differs by {difference:.0e}{ratios}", flush=True)


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


def exact(ways: list[str]) -> None:
    G, z = network(), torch.randn(1, LATENT)
    view = View(1080, 1080)
    with torch.no_grad():
        parts = [copy.deepcopy(G).double().plain(z.double(), p.double()) for p in view.coordinates().split(TILE)]
        truth, plain = torch.cat(parts, 1), torch.cat([G.plain(z, p) for p in view.coordinates().split(TILE)], 1)
    found = {"plain": plain} | {way: by(way, lambda: render(G, z, view).view(1, -1, 1).add(1).div(2))() for way in ways}
    for way, pixels in found.items():
        print(f"exact  {way:13} differs by {(pixels - truth).abs().max().item():.1e} from float64, at most")

    z, place, noise = torch.randn(10, LATENT), View(28, 28).coordinates(), torch.randn(10, 784, 1)

    def gradients(net: ResidualNetwork, plain: bool = False) -> Tensor:
        """Of all weights and latents, in a row."""
        kind = next(net.parameters()).dtype
        inputs = z.detach().to(kind).requires_grad_()
        pixels = (net.plain if plain else net)(inputs, place.to(kind))
        weights = [*net.parameters(), inputs]
        return torch.cat([g.flatten() for g in torch.autograd.grad(pixels, weights, noise.to(kind))]).double()

    true_gradients = gradients(copy.deepcopy(G).double(), plain=True)
    for way in ("plain", *ways):
        off = by(way, lambda way=way: gradients(G, plain=way == "plain"))() - true_gradients  # type: ignore[misc]
        share = (off.norm() / true_gradients.norm()).item()
        print(f"exact  {way:13} gradients differ by {share:.1e} of their norm from float64")


def whole(network: PixelNetwork, z: Tensor, place: Tensor) -> Tensor:
    """The logits by plain modules, everything at once."""
    logits: Tensor = network.output(network.hidden(z, place))
    return logits


def layered(ways: list[str], rounds: int, clock: Callable[[], float]) -> None:
    for kind, layers, width in (("tanh", 8, 64), ("softplus", 4, 128)):
        torch.manual_seed(0)
        G, z = CPPN(kind=kind, layers=layers, width=width, std=0.1).network(1, LATENT), torch.randn(1, LATENT)
        for side in (512, 1080):
            view = View(side, side)
            plain = torch.no_grad()(lambda: whole(G, z, view.coordinates()).sigmoid())  # noqa: B023
            ours = {way: by(way, lambda: render(G, z, view).view(1, -1, 1).add(1).div(2)) for way in ways}  # noqa: B023
            compare(f"{kind} {side}²", {"plain": plain} | ours, rounds, clock)

    zs, place = torch.randn(500, LATENT, requires_grad=True), View(26, 26).coordinates()
    gradient = torch.randn(len(zs), len(place), 1)

    def batch(logits: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        G.zero_grad()
        found = logits(zs, place)
        found.backward(gradient)
        return found.detach()

    sides = {"plain": lambda: batch(partial(whole, G))} | {way: by(way, lambda: batch(G.logits)) for way in ways}
    compare("batch", sides, rounds, clock)


class Noise:
    """A batch of the recipe, the same every time."""

    def __init__(self, count: int, spec: ImageSpec) -> None:
        self.images = torch.rand(count, *spec[:3]) * 2 - 1

    def next(self) -> Batch:
        return Batch(self.images, None)


def steps(ways: list[str], rounds: int, clock: Callable[[], float]) -> None:
    always = {"g_stop": 0.0, "d_above": 0.0, "d_unless_g": 99.0}
    recipe = library.load("mnist-cppn-vae-gan", {"method": always})
    spec = ImageSpec(1, 26, 26, 0)
    batches = Noise(recipe.train.batch_size, spec)

    def step(way: str) -> Side:
        method = recipe.build(spec, choose("cpu", "fp32"))
        assert isinstance(method, CPPNVAEGAN)
        if way == "plain":
            method.G.pixels.logits = partial(whole, method.G.pixels)  # type: ignore[method-assign]
        return by(way, lambda: method.step(batches)["vae_loss"])

    compare("step", {way: step(way) for way in ("plain", *ways)}, rounds, clock)


def paint_file(side: int) -> tuple[float, float, float]:
    """Seconds to the file, peak memory and size of the file in MB."""
    painter = Painter(network(), RandomOrigin(random="residual", weights=0))
    with tempfile.TemporaryDirectory() as folder:
        for size in (28, side):  # libraries set themselves up
            file = Path(folder) / f"{size}.png"
            start = time.perf_counter()
            picture = Subject(painter, random_latent(painter, 0), "seed 0")
            Painting([picture], View(size, size)).save(file)
            seconds = time.perf_counter() - start
        return seconds, peak_megabytes(), file.stat().st_size / 1e6


def files(threads: int) -> None:
    for side in (28, 1080, 3240, 32768):
        words = [sys.executable, __file__, "--threads", str(threads), "--file-of", str(side)]
        done = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
        seconds, peak, size = map(float, done)
        print(f"files  {side:5}² {seconds:8.2f} s, peak {peak:4.0f} MB, file {size:.1f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["paint", "large", "train", "memory", "exact", "files", "layered", "step"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--ways", nargs="+", choices=["kernel", "torch"], default=["kernel", "torch"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--file-of", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory_of:
        print(extra_megabytes(args.memory_of))
        return
    if args.file_of:
        print(*paint_file(args.file_of))
        return
    for name, kernel in (("residual", kernels.residual), ("layered", kernels.layered)):
        active, why = kernel.status()
        print(f"{name} kernel {'on' if active else 'off'}: {why}; {args.threads} threads, {args.clock} clock")
    clock = time.process_time if args.clock == "cpu" else time.perf_counter
    if "paint" in args.parts:
        compare("paint", painting(1080, args.ways, whole=True), args.rounds, clock)
    if "large" in args.parts:
        compare("large", painting(3240, args.ways, whole=False), args.rounds, clock)
    if "train" in args.parts:
        compare("train", training(args.ways), args.rounds, clock)
    if "memory" in args.parts:
        memory(args.ways, args.threads)
    if "exact" in args.parts:
        exact(args.ways)
    if "files" in args.parts:
        files(args.threads)
    if "layered" in args.parts:
        layered(args.ways, args.rounds, clock)
    if "step" in args.parts:
        steps(args.ways, args.rounds, clock)


if __name__ == "__main__":
    main()
