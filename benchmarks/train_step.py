"""One training step of the same conditional-free DCGAN: a plain textbook loop against ganvas, in turn, in one process.

    python benchmarks/train_step.py [--side 32] [--base 64] [--batch 128] [--rounds 10] [--device auto]

The textbook loop is the one of the common tutorials: float32, default layout, a DataLoader over a dataset of single
images, unfused Adam, discriminator gradients computed and thrown away in G's step. Both loops read the same images and
train networks of the same shapes. The fastest step of each counts, because only noise makes a step slower.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ganvas.compute.device import Compute, choose, fast_paths, keep_freed_memory
from ganvas.data import Batches, ImageSet
from ganvas.recipes.recipe import from_dict


class SingleImages(Dataset[Tensor]):
    """What a tutorial's dataset does: one image at a time, converted on the way."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return (torch.from_numpy(self.images[index]).float() / 255 - 0.5) / 0.5


def textbook_networks(channels: int, side: int, base: int) -> tuple[nn.Module, nn.Module]:
    """The generator and the discriminator, written out plainly: 5x5 kernels, three levels for 32x32."""
    levels = 0
    while side > 7:
        side, levels = side // 2, levels + 1
    filters = [channels, *(base << level for level in range(levels))]
    g: list[nn.Module] = [
        nn.Linear(100, filters[-1] * side * side, bias=False),
        nn.Unflatten(1, (filters[-1], side, side)),
    ]
    d: list[nn.Module] = []
    for level in range(levels):
        inner, outer = filters[levels - level], filters[levels - level - 1]
        g += [nn.BatchNorm2d(inner), nn.ReLU(), nn.ConvTranspose2d(inner, outer, 5, 2, 2, 1, bias=outer == channels)]
        d += [nn.Conv2d(filters[level], filters[level + 1], 5, 2, 2, bias=level == 0)]
        d += [nn.BatchNorm2d(filters[level + 1]), nn.LeakyReLU(0.2)] if level else [nn.LeakyReLU(0.2)]
    return nn.Sequential(*g, nn.Tanh()), nn.Sequential(*d, nn.Flatten(), nn.Linear(filters[-1] * side * side, 1))


def textbook(data: ImageSet, base: int, batch: int, device: torch.device) -> Callable[[], None]:
    networks = textbook_networks(data.spec.channels, data.spec.height, base)
    G, D = (network.to(device) for network in networks)
    g_adam, d_adam = (torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999)) for network in (G, D))
    criterion = nn.BCEWithLogitsLoss()
    loader = DataLoader(SingleImages(data.images), batch, shuffle=True, drop_last=True)

    def endless() -> Iterator[Tensor]:
        while True:
            yield from loader

    batches = endless()

    def step() -> None:
        real = next(batches).to(device)
        fake = G(torch.randn(batch, 100, device=device))
        D.zero_grad()
        real_out, fake_out = D(real), D(fake.detach())
        d_loss = criterion(real_out, torch.ones_like(real_out)) + criterion(fake_out, torch.zeros_like(fake_out))
        d_loss.backward()
        d_adam.step()
        G.zero_grad()
        out = D(fake)
        criterion(out, torch.ones_like(out)).backward()
        g_adam.step()

    return step


def ganvas(data: ImageSet, base: int, batch: int, compute: Compute) -> Callable[[], None]:
    recipe = from_dict({"network": {"name": "dcgan", "base": base}, "method": {"name": "gan"}})
    method = recipe.build(data.spec, compute)
    batches = Batches(data, batch, seed=0, device=compute.device)
    return lambda: (method.step(batches), None)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--base", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    compute = choose(args.device)
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (4096, args.channels, args.side, args.side), dtype=np.uint8)
    data = ImageSet("noise", pixels)
    for name, active, why in fast_paths(compute):
        print(f"{'on ' if active else 'off'} {name}: {why}")
    steps = {
        "textbook": textbook(data, args.base, args.batch, compute.device),
        "ganvas": ganvas(data, args.base, args.batch, compute),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(args.rounds + 2):
        for name, step in steps.items():
            if compute.device.type == "cpu":
                keep_freed_memory(name == "ganvas")
            step()  # one step to settle in after the other loop's turn
            _wait(compute)
            start = time.perf_counter()
            step()
            _wait(compute)
            if round_ >= 2:
                seconds[name].append(time.perf_counter() - start)
    best = {name: min(times) for name, times in seconds.items()}
    for name, times in seconds.items():
        print(f"{name:9} best {1e3 * min(times):7.1f} ms, median {1e3 * float(np.median(times)):7.1f} ms a step")
    print(f"ratio {best['textbook'] / best['ganvas']:.2f} (textbook / ganvas, best steps)")


def _wait(compute: Compute) -> None:
    if compute.device.type == "cuda":
        torch.cuda.synchronize(compute.device)


if __name__ == "__main__":
    main()
