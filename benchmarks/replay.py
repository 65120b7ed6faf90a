"""Images a second of recipes on a GPU: steps replayed from a recording beside steps asked for one by one, in turn.

    python benchmarks/replay.py [--recipes mnist-gan-dcgan,cifar10-wgan-gp-resnet] [--seconds 3]

Both have the networks and settings of the recipe; the images are noise, as their content costs nothing. The faster of
two turns counts.
"""

import argparse
import time

import numpy as np

from ganvas.compute.device import choose, deterministic
from ganvas.core.spec import Sides
from ganvas.data import Batches, ImageSet
from ganvas.recipes import library

RECIPES = (
    "mnist-gan-dcgan,mnist-wgan-gp-dcgan,mnist-cfg-dcgan,cifar10-gan-dcgan,cifar10-wgan-gp-dcgan,cifar10-cfg-dcgan,"
    "cifar10-gan-resnet,cifar10-wgan-gp-resnet,cifar10-cfg-resnet,cifar10-wgan-gp-resnet-2017,small-dcgan,"
    "small-dcgan-plus,strokes-cdcgan"
)


def noise_like(name: str, sides: Sides | None) -> ImageSet:
    """Images of the size and number of classes of a data set, which need not be here."""
    channels, side = (1, 28) if name in ("mnist", "strokes") else (3, 32)
    height, width = sides or (side, side)
    pixels = np.random.default_rng(0).integers(0, 256, (2048, channels, height, width), dtype=np.uint8)
    return ImageSet("noise", pixels, np.arange(2048) % 10, tuple(map(str, range(10))))


@deterministic()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipes", default=RECIPES)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    print(f"{'recipe':30} {'one by one':>12} {'replayed':>12}  ratio   (images/s)")
    for name in args.recipes.split(","):
        recipe = library.load(name)
        compute = choose(args.device, recipe.train.precision)
        data = noise_like(recipe.data.name, recipe.data.sides)
        speeds = {False: 0.0, True: 0.0}
        for replay in (False, True, False, True):
            method = recipe.build(data.spec, compute)
            method.replay.active &= replay
            batches = Batches(data, recipe.train.batch_size, 0, compute.device)
            steps = 0
            while True:
                before = batches.nimg
                scalars = method.step(batches)
                method.update_averages(batches.nimg - before, batches.nimg)
                steps += 1
                if steps % 5 == 0:
                    next(iter(scalars.values())).item()  # wait for the device
                    now = time.perf_counter()
                    if steps == 5:
                        start, first = now, batches.nimg
                    elif now - start > args.seconds:
                        break
            speeds[replay] = max(speeds[replay], (batches.nimg - first) / (now - start))
            del method, batches
        print(
            f"{name:30} {speeds[False]:12,.0f} {speeds[True]:12,.0f} {speeds[True] / speeds[False]:6.2f}"
            f"   {compute.device.type}, {compute.precision}",
            flush=True,
        )


if __name__ == "__main__":
    main()
