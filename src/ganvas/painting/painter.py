"""Painters: pixel networks of a trained run or with random weights, with their origin."""

import copy
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.compute.device import choose
from ganvas.core.errors import UserError
from ganvas.core.settings import parse
from ganvas.core.text import writable
from ganvas.networks.cppn import CPPN, MOST_LAYERS, PixelGenerator, PixelNetwork
from ganvas.networks.render import bands
from ganvas.networks.view import View
from ganvas.painting import variations as varying
from ganvas.painting.palette import Palette
from ganvas.painting.recipes import RandomOrigin, RunOrigin
from ganvas.painting.variations import Variation
from ganvas.runs import places
from ganvas.runs.model import LAST_SEED, Model
from ganvas.runs.model import load as load_run
from ganvas.runs.run import Run

COARSE = 8  # float32 is used if the distance between samples is at least this number of its rounding errors
FARTHEST = 1e30  # largest coordinate; beyond it, float32 overflows
RANDOM_LATENT = 32  # size of the latent of a random network
MOST_WEIGHTS = 100_000_000  # of a random network
BAND = 2**20  # samples that are painted between two writes to a file


class Painter:
    """A pixel network and its `origin`, from which it can be found again."""

    def __init__(self, network: PixelNetwork, origin: RunOrigin | RandomOrigin) -> None:
        self.network, self.origin = network, origin
        self.channels, self.latent_size = network.output.out_features, network.latent.in_features
        self.device = network.output.weight.device
        self._fine: PixelNetwork | None = None
        self.own_palette = "ink" if self.channels == 1 else "rgb"

    def bands(self, z: Tensor, view: View, rows: int) -> Iterator[Tensor]:
        """The image of z [latent_size], `rows` rows at a time from the top: [rows, width, channels] in (0, 1).

        Raises UserError as `precise` does.
        """
        network = self.precise(view)
        for band in bands(network, z[None].to(self.device, network.output.weight.dtype), view, rows):
            yield band[0]

    def film(self, path: Tensor, views: Sequence[View], colours: Palette) -> Iterator[np.ndarray]:
        """The frames of latents [N, latent_size], uint8 [height, width, channels of the palette]."""
        for z, view in zip(path, views, strict=True):
            yield np.concatenate([colours(band) for band in self.bands(z, view, rows_at_once(view))])

    def check(self, view: View) -> None:
        """Raise UserError as `precise` does."""
        self.precise(view)

    def precise(self, view: View) -> PixelNetwork:
        """The network in float32, or in float64 if float32 could not distinguish adjacent pixels.

        Raises UserError if float64 could not either, or if the device has no float64.
        """
        sides = zip(view.center, (view.width, view.height), strict=True)
        # At least 1, as the contribution of the latent does not shrink with the coordinates.
        reach = max(1.0, *(abs(middle) + view.step * side / 2 for middle, side in sides))
        finest = view.step / view.supersample / reach / COARSE
        if reach > FARTHEST:
            raise UserError(
                f"an image that reaches {reach:.0e} from 0,0 cannot be painted: zoom in, or lower the scale"
            )
        if finest > torch.finfo(torch.float32).eps:
            return self.network
        if finest < torch.finfo(torch.float64).eps:
            raise UserError(f"a zoom of {view.zoom:g} at {view.center[0]:g},{view.center[1]:g} is beyond float64")
        if self.device.type == "mps":
            raise UserError(f"a zoom of {view.zoom:g} needs float64, which this device lacks: use --device cpu")
        if self._fine is None:
            self._fine = copy.deepcopy(self.network).double()
        return self._fine


def rows_at_once(view: View) -> int:
    """The number of rows of an image that are painted between two writes to its file."""
    return max(1, BAND // (view.width * view.supersample**2))


def trained_network(model: Model, variations: Sequence[Variation] = ()) -> Painter:
    """The painter of a run; raises UserError if its network makes images of one size only.

    `variations` are seeds and amounts of random weights that are added to those of the run.
    """
    generator = model.method.for_decoding("G")
    spec = model.method.spec
    if not isinstance(generator, PixelGenerator):
        raise UserError(
            f"'{model.run.name}' makes images of {spec.width}x{spec.height} only: use `ganvas sample`, or a run with "
            "network.name=cppn (such as mnist-residual-cppn-tamed), which paints at any size"
        )
    origin = run_origin(model).model_copy(update={"variations": tuple(variations)})
    return Painter(varying.of_trained(generator.pixels.eval().requires_grad_(False), variations), origin)


def run_origin(model: Model) -> RunOrigin:
    """Where a model can be found again."""
    recipe = model.run.recipe().name
    place = writable(model.run.name)
    steps = model.method.steps_used
    return RunOrigin(run=place, recipe=recipe, checkpoint=model.sha256, nimg=model.nimg, steps=steps)


def random_network(
    kind: str,
    seed: int,
    std: float | None = None,
    colour: bool = False,
    device: str = "auto",
    variations: Sequence[Variation] = (),
) -> Painter:
    """A network with random weights: `tanh:8x64` or `softplus:4x128` (layers x units), `residual:24x6` (blocks).

    `std` is the standard deviation of the weights (default: that of the kind); `colour` gives three channels;
    `variations` are seeds and amounts of other random weights that are mixed in. Raises UserError for another kind, for
    a network that is too large, and for amounts whose squares have a sum above 1.
    """
    config = random_config(kind, std)
    if not 0 <= seed <= LAST_SEED:
        raise UserError(f"random weights of seed {seed} cannot be drawn: use 0 or more, below 2**63")

    def draw(seed: int) -> PixelNetwork:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return config.network(3 if colour else 1, RANDOM_LATENT)

    network = varying.of_random(draw, seed, variations)
    origin = RandomOrigin(random=kind, std=std, weights=seed, colour=colour, variations=tuple(variations))
    return Painter(network.to(choose(device, "fp32").device).eval().requires_grad_(False), origin)


def random_config(kind: str, std: float | None = None) -> CPPN:
    """The settings of a random network, written as for `random_network`; raises UserError as it does."""
    named = re.fullmatch(r"(tanh|softplus|residual)(?::(\d{1,6})x(\d{1,6}))?", kind)
    if named is None:
        raise UserError(f"cannot read the network '{kind}': write it as tanh:8x64, softplus:4x128 or residual:24x6")
    family, layers, width = named.groups()
    settings: dict[str, Any] = {"kind": family, "std": std}
    if layers:
        settings |= {"width": int(width), "blocks" if family == "residual" else "layers": int(layers)}
    config = parse(CPPN, settings, "random")
    count, weights = size_of(config)
    if count > MOST_LAYERS or weights > MOST_WEIGHTS:
        raise UserError(
            f"a random network of {count:,} layers and about {weights:,} weights is too large: "
            f"at most {MOST_LAYERS:,} layers and {MOST_WEIGHTS:,} weights"
        )
    return config


def size_of(config: CPPN) -> tuple[int, int]:
    """The number of layers of a random network, and about that of its weights."""
    width, layers, _ = config.sizes()
    if config.kind == "residual":
        layers *= config.blocks
    return layers, width * (RANDOM_LATENT + layers * (width + 1))


def find_painter(
    origin: RunOrigin | RandomOrigin, file: Path, run: Path | None = None, device: str = "auto"
) -> Painter:
    """The painter of `file`, from its origin; `run` is the new place of its run, if that has moved.

    A model of the hub has to be named as `run`, since no file of a stranger should cause a download.

    Raises UserError if its checkpoint no longer exists.
    """
    if isinstance(origin, RandomOrigin):
        if run is not None:
            raise UserError(f"'{file}' was painted by a random network, which needs no run: leave out '{run}'")
        return random_network(origin.random, origin.weights, origin.std, origin.colour, device, origin.variations)
    return trained_network(find_model(origin, file, run, device), origin.variations)


def find_model(origin: RunOrigin, file: Path, run: Path | None = None, device: str = "auto") -> Model:
    """The model of `file`, as `find_painter` finds it."""
    if run is None and not _is_run(origin.run):
        raise UserError(
            f"the run that painted '{file}' is not in '{origin.run}': name it, as in `ganvas paint RUN --like FILE`"
        )
    place = Run.existing(run or origin.run)
    nimg = place.checkpoints.with_hash(origin.checkpoint)
    if nimg is None:
        raise UserError(
            f"the checkpoint that painted '{file}' (after {origin.nimg:,} images) is no longer in '{place.path}'"
        )
    model = load_run(run or origin.run, nimg, device)
    if origin.steps is not None:
        model.method.use_steps(origin.steps)
    return model


def _is_run(path: str) -> bool:
    with suppress(OSError, ValueError):  # an edited recipe may contain anything
        return not places.is_on_hub(path) and Run(places.find(path)).is_run()
    return False
