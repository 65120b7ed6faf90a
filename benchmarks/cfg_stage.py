"""Seconds of one xICFG stage: ganvas beside a plain restatement of the published loop, in turn, in one process.

    python benchmarks/cfg_stage.py --data-dir DATA [--recipe mnist-cfg-dcgan] [--rounds 2] [--set network.base=16]

The restatement draws fresh fakes for every update of the discriminator and moves them one small batch at a time, reads
real images and regression targets item by item through a DataLoader, and computes in float32 with the default layout.
Both have networks of the same shapes and the same settings: steps, updates, latents, passes, batch; the line search and
the penalty are what only ganvas has, on top. The fastest stage of each counts, because only noise makes one slower.
"""

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ganvas.compute.device import choose, keep_freed_memory
from ganvas.core.images import from_uint8
from ganvas.core.settings import merge, parse_assignments
from ganvas.data import Batches, ImageSet, load
from ganvas.methods.cfg_gan import CFGGAN, CFGGANSettings
from ganvas.networks.image_convolutions import FromImage, ToImage
from ganvas.recipes import library
from ganvas.recipes.recipe import Recipe, from_dict


def plain(network: nn.Module) -> nn.Module:
    """The network with PyTorch's own convolutions next to the image."""
    for module in network.modules():
        for ours, theirs in ((FromImage, nn.Conv2d), (ToImage, nn.ConvTranspose2d)):
            if isinstance(module, ours):
                module.__class__ = theirs  # type: ignore[assignment]
    return network


def published(recipe: Recipe, data: ImageSet, device: torch.device) -> Callable[[], None]:
    """A stage as the authors' program goes about it."""
    s = recipe.method
    assert isinstance(s, CFGGANSettings)
    G = plain(recipe.network.generator(data.spec._replace(num_classes=0), s.latent_size)).to(device)
    D = plain(recipe.network.discriminator(data.spec._replace(num_classes=0))).to(device)
    stored = [copy.deepcopy(D).requires_grad_(False) for _ in range(s.steps)]
    d_optimizer = torch.optim.RMSprop(D.parameters(), s.d_lr, s.alpha, 1e-18, foreach=False)
    images = from_uint8(torch.from_numpy(data.images))
    loader = DataLoader(TensorDataset(images), recipe.train.batch_size, shuffle=True, drop_last=True)

    def endless() -> Iterator[Tensor]:
        while True:
            for (batch,) in loader:
                yield batch.to(device)

    reals = endless()

    def generate(z: Tensor, steps: int) -> Tensor:
        G.eval()
        with torch.no_grad():
            x: Tensor = G(z)
        G.train()
        for d in stored[:steps]:
            x = x.detach().requires_grad_()
            out = d(x)
            out.backward(torch.ones_like(out))
            assert x.grad is not None
            x = x.data + s.eta * x.grad
        return x

    def latents(count: int) -> Tensor:
        return torch.randn(count, s.latent_size, device=device)

    def stage() -> None:
        for t in range(s.steps):
            for _ in range(s.d_steps):
                real = next(reals)
                fake = generate(latents(len(real)), t)
                d_optimizer.zero_grad()
                (torch.log(1 + torch.exp(-D(real))) + torch.log(1 + torch.exp(D(fake)))).mean().backward()
                d_optimizer.step()
            stored[t].load_state_dict(D.state_dict())
        parts = latents(s.pool).split(s.fit_batch)
        targets = torch.cat([generate(z, s.steps) for z in parts]).cpu()
        pool = TensorDataset(torch.cat(parts).cpu(), targets)
        optimizer = torch.optim.RMSprop(G.parameters(), s.g_lr, s.alpha, 1e-18, foreach=False)
        for _ in range(s.fit_epochs):
            for z, target in DataLoader(pool, s.fit_batch, shuffle=True):
                optimizer.zero_grad()
                loss = (G(z.to(device)) - target.to(device)).square().sum() / 2 / len(z)
                loss.item()
                loss.backward()
                optimizer.step()

    return stage


def ours(recipe: Recipe, data: ImageSet, device: str, **settings: object) -> Callable[[], None]:
    compute = choose(device, recipe.train.precision)
    recipe = from_dict(merge(recipe.as_dict(), {"method": settings}))
    method = recipe.build(data.spec, compute)
    assert isinstance(method, CFGGAN)
    batches = Batches(data, recipe.train.batch_size, 0, compute.device)

    def stage() -> None:
        scalars = method.step(batches)
        scalars["d_loss"].item()  # wait for the device

    return stage


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="mnist-cfg-dcgan")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    recipe = library.load(args.recipe, merge({"method": {"eta": 0.5}}, parse_assignments(args.set)))
    data, compute = load(recipe.data, data_dir=args.data_dir), choose(args.device, recipe.train.precision)
    if compute.device.type == "cpu":
        keep_freed_memory()
    ways = {"published loop": published(recipe, data, compute.device)}
    own: dict[str, object] = {"rise": "none", "penalty": 0}
    ways["ours, fresh"] = ours(recipe, data, args.device, **own, fakes="fresh")
    ways["ours, pool"] = ours(recipe, data, args.device, **own, fakes="pool")
    ways["ours, pool, line search"] = ours(recipe, data, args.device, fakes="pool", rise=0.5, penalty=0)
    ways["... and penalty"] = ours(recipe, data, args.device, fakes="pool", rise=0.5, penalty=1)
    best = dict.fromkeys(ways, float("inf"))
    for round_ in range(args.rounds + 1):  # the first one warms up
        for name, stage in ways.items():
            start = time.perf_counter()
            stage()
            if round_:
                best[name] = min(best[name], time.perf_counter() - start)
    print(f"{recipe.name}, {compute.device}, {compute.precision}, {torch.get_num_threads()} threads")
    for name, seconds in best.items():
        print(f"{name:<23} {seconds:7.2f} s a stage, {best['published loop'] / seconds:5.2f} × the published loop")


if __name__ == "__main__":
    main()
