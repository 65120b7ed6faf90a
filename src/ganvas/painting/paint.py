"""Pictures of any size, painted pixel by pixel and written as they are painted, so that memory does not grow with them.

A painter is a pixel network with its origin: a run, or random weights. A painting is one picture, or several side by
side, through one view and in one palette. Its recipe travels in the file, and `again` makes the same painting from it.
"""

import copy
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.compute.device import choose
from ganvas.core.errors import UserError
from ganvas.core.settings import parse
from ganvas.core.version import VERSION
from ganvas.data import ImageSet, load_files
from ganvas.networks.cppn import CPPN, PixelGenerator, PixelNetwork
from ganvas.networks.render import bands
from ganvas.networks.view import View
from ganvas.painting import image_files, latents, video_files
from ganvas.painting.palette import Bits, Palette
from ganvas.runs import model as sampling
from ganvas.runs.model import LAST_SEED, Model
from ganvas.runs.run import Run

BAND = 2**20  # samples that are painted between two visits to the file
GAP = 24  # between the pictures of a sheet lies one part in so many of their shorter side
COARSE = 8  # float32 will do as long as a step from sample to sample is so many of its roundings
ENCODED = 1_000  # pictures of a class, at most, that latents are taken from
POSTER_SIDE, SHEET_SIDE, FILM_SIDE = 1080, 270, 512  # pixels, of pictures whose size is left open
RANDOM_LATENT = 32  # numbers in the latent of a network with random weights
FARTHEST = 1e30  # coordinates; beyond, float32 overflows
MOST_SEEDS = 10_000

Tick = Callable[[int, int], object]


class Painter:
    """A pixel network and its `origin`: JSON values that say where to find it again."""

    def __init__(self, network: PixelNetwork, origin: dict[str, Any]) -> None:
        self.network, self.origin = network, origin
        self.channels, self.latent_size = network.output.out_features, network.latent.in_features
        self.device = network.output.weight.device
        self._fine: PixelNetwork | None = None

    def bands(self, z: Tensor, view: View, rows: int) -> Iterator[Tensor]:
        """The picture of z [latent_size] from the top, `rows` rows at a time: [rows, width, channels] in (0, 1).

        `rows_at_once` says how many suit the memory. Raises what `precise` raises.
        """
        network = self.precise(view)
        for band in bands(network, z[None].to(self.device, network.output.weight.dtype), view, rows):
            yield band[0]

    def precise(self, view: View) -> PixelNetwork:
        """The network in float32, or in float64 where float32 would paint several pixels alike.

        Raises UserError where float64 would too, or the device has none.
        """
        sides = zip(view.center, (view.width, view.height), strict=True)
        # Not below 1: what the latent adds to the coordinates does not shrink with them.
        reach = max(1.0, *(abs(middle) + view.step * side / 2 for middle, side in sides))
        finest = view.step / view.supersample / reach / COARSE
        if reach > FARTHEST:
            raise UserError(
                f"a picture that reaches {reach:.0e} from 0,0 cannot be painted: zoom in, or lower the scale"
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


def of_run(model: Model) -> Painter:
    """The painter of a run; raises UserError for one whose network makes images of one size."""
    generator = model.method.for_decoding("G")
    spec = model.method.spec
    if not isinstance(generator, PixelGenerator):
        raise UserError(
            f"'{model.run.path}' makes images of {spec.width}x{spec.height} only: `ganvas sample` draws them; "
            "runs with network.name=cppn paint at any size, such as mnist-residual-cppn-tamed"
        )
    origin = {"run": str(model.run.path), **model.provenance()}
    return Painter(generator.pixels.eval().requires_grad_(False), origin)


def of_chance(what: str, seed: int, std: float | None = None, colour: bool = False, device: str = "auto") -> Painter:
    """A network with random weights: `tanh:8x64` has 8 layers of 64 units, `residual:24x6` blocks, `softplus:4x128`.

    Raises UserError for anything else.
    """
    named = re.fullmatch(r"(tanh|softplus|residual)(?::(\d{1,6})x(\d{1,6}))?", what)
    if named is None:
        raise UserError(f"cannot read the network '{what}': write it as tanh:8x64, softplus:4x128 or residual:24x6")
    if not 0 <= seed <= LAST_SEED:
        raise UserError(f"random weights of seed {seed} cannot be drawn: use 0 or more, below 2**63")
    kind, deep, width = named.groups()
    settings: dict[str, Any] = {"kind": kind, "std": std}
    if deep:
        settings |= {"width": int(width), "blocks" if kind == "residual" else "layers": int(deep)}
    config = parse(CPPN, settings, "random")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = config.network(3 if colour else 1, RANDOM_LATENT)
    origin = {"random": what, "std": std, "weights": seed, "colour": colour, "version": VERSION}
    return Painter(network.to(choose(device, "fp32").device).eval().requires_grad_(False), origin)


# -- latents ------------------------------------------------------------------------------------------------------


def by_chance(painter: Painter, seed: int) -> Tensor:
    """The latent of a seed for a network with random weights: [latent_size]."""
    return torch.randn(painter.latent_size, generator=torch.Generator().manual_seed(seed))


def seeded(model: Model, seed: int, label: str | None = None, truncation: float = 1.0) -> Tensor:
    """The latent of a seed, times `truncation`: [latent_size]. Without `label` the classes of a run take turns."""
    z, y = model.method.latents([seed]) * truncation, None
    if model.method.conditional:
        index = seed % len(model.classes) if label is None else model.class_index(label)
        y = torch.tensor([index], device=z.device)
    generator = model.method.for_decoding("G")
    assert isinstance(generator, PixelGenerator), "`of_run` refuses others"
    return generator.latent(z, y)[0]


def of_class(model: Model, label: str, data: ImageSet) -> Tensor:
    """Latents of training pictures (`Model.data`) of a class, in random order: [N, latent_size].

    Raises UserError for an unknown class, one without pictures, and a run without encoder.
    """
    index = model.class_index(label)
    assert data.labels is not None, "there are classes"
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(data.labels == index))[:ENCODED]
    if not len(chosen):
        raise UserError(f"the run has seen no picture of '{label}': choose another label")
    return model.encode(np.moveaxis(data.images[chosen], 1, -1))


def encoded(model: Model, files: Sequence[Path], invert: bool = False) -> Tensor:
    """Latents of picture files: [N, latent_size]. `invert` makes dark on light light on dark.

    Raises UserError for a file that is not a picture, and for a run without encoder.
    """
    pictures = load_files(files, model.run.recipe().data, model.method.spec)
    return model.encode(np.moveaxis(255 - pictures if invert else pictures, 1, -1))


@dataclass(frozen=True)
class Picture:
    """A painter and what it paints."""

    painter: Painter
    z: Tensor  # [latent_size]
    source: str  # where the latent comes from, for people


def pictures(
    model: Model,
    seeds: Sequence[int] = (0,),
    labels: Sequence[str] = (),
    images: Sequence[Path] = (),
    z: Path | None = None,
    *,
    truncation: float = 1.0,
    invert: bool = False,
    data_dir: Path | None = None,
) -> list[Picture]:
    """What a run is asked to paint: latents of `images`, those in the file `z`, or of `seeds` (for each of `labels`).

    For a run with an encoder, the latents of a label are those of training pictures, the seed says which. `truncation`
    draws latents to the mean of their class (of all: 0): 0 is the mean itself. Raises UserError for what cannot be had.
    """
    painter = of_run(model)
    if not math.isfinite(truncation):
        raise UserError(f"a truncation of {truncation} cannot be painted: 1 leaves latents, 0 is their mean")
    data = model.data(data_dir) if labels and not model.method.conditional else None
    found: list[tuple[Tensor, str]] = []
    if images:
        found += zip(encoded(model, images, invert), (f"image {file.name}" for file in images), strict=True)
    elif z is not None:
        found += ((each, f"{z.name} {i}") for i, each in enumerate(latents.read(z, painter.latent_size)))
    elif not labels:
        found += ((seeded(model, seed, None, truncation), f"seed {seed}") for seed in seeds)
    for label in labels:
        if data is None:
            zs = [seeded(model, seed, label, truncation) for seed in seeds]
        else:
            those = of_class(model, label, data)
            zs = [latents.truncated(those[seed % len(those)], those.mean(0), truncation) for seed in seeds]
        found += ((each, f"{label} seed {seed}") for each, seed in zip(zs, seeds, strict=True))
    return [Picture(painter, each, name) for each, name in found]


# -- paintings ----------------------------------------------------------------------------------------------------


def rows_at_once(view: View) -> int:
    """Rows of a picture that are painted between two visits to its file."""
    return max(1, BAND // (view.width * view.supersample**2))


@dataclass(frozen=True)
class Painting:
    """Pictures through one view, row by row in so many columns. `view` is that of each picture."""

    pictures: Sequence[Picture]
    view: View
    palette: str = "auto"
    bits: Bits = 8
    columns: int = 1

    @cached_property
    def colours(self) -> Palette:
        return Palette(self.palette, self.pictures[0].painter.channels, self.bits)

    @property
    def gap(self) -> int:
        """Pixels around every picture of a sheet; a single picture has none."""
        return max(1, min(self.view.height, self.view.width) // GAP) if len(self.pictures) > 1 else 0

    @property
    def height(self) -> int:
        rows = -(-len(self.pictures) // self.columns)
        return rows * (self.view.height + self.gap) + self.gap

    @property
    def width(self) -> int:
        return self.columns * (self.view.width + self.gap) + self.gap

    def bands(self) -> Iterator[np.ndarray]:
        """The painting from the top: uint8 or uint16 [rows, width, 1 or 3], as many rows at a time as suits memory."""
        view, gap, colours = self.view, self.gap, self.colours
        rows = max(1, rows_at_once(view) // self.columns)
        for first in range(0, len(self.pictures), self.columns):
            if gap:
                yield self._paper(gap)
            chosen = self.pictures[first : first + self.columns]
            for parts in zip(*(each.painter.bands(each.z, view, rows) for each in chosen), strict=True):
                band = self._paper(len(parts[0]))
                for column, part in enumerate(parts):
                    left = gap + column * (view.width + gap)
                    band[:, left : left + view.width] = colours(part)
                yield band
        if gap:
            yield self._paper(gap)

    def _paper(self, rows: int) -> np.ndarray:
        paper = self.colours.paper
        return np.broadcast_to(paper, (rows, self.width, len(paper))).copy()

    def recipe(self) -> dict[str, Any]:
        """JSON values from which `again` makes the same painting."""
        return {
            "version": VERSION,
            "painting": {
                "pictures": [
                    {"from": each.source, "origin": each.painter.origin, "latent": each.z.tolist()}
                    for each in self.pictures
                ],
                "view": asdict(self.view),
                "palette": self.palette,
                "bits": self.bits,
                "columns": self.columns,
            },
        }

    def save(self, out: Path, tick: Tick = lambda done, total: None) -> None:
        """Paint into a file (or a Deep Zoom folder): PNG, TIFF, WebP or DZI by its ending, whole or not at all.

        `tick` is called with the rows that are painted and all rows. Raises UserError for what the format cannot hold.
        """
        image_files.check(out, self.height, self.width, self.bits)

        def told() -> Iterator[np.ndarray]:
            done = 0
            for band in self.bands():
                yield band
                done += len(band)
                tick(done, self.height)

        image_files.save(out, told(), self.height, self.width, self.colours.channels, self.bits, self.recipe())


def again(file: Path, run: Path | None = None, device: str = "auto") -> Painting:
    """The painting that a file holds the recipe of; `run` is where its run lies now, if that has moved.

    Raises UserError when the file has no recipe, or the checkpoint that painted it is gone.
    """
    if video_files.is_film(file):
        raise UserError(f"'{file}' is a film: `ganvas morph --like` makes it again")
    recipe = image_files.read_recipe(file)
    try:
        painting = recipe["painting"]
        view = View(**{**painting["view"], "center": tuple(painting["view"]["center"])})
        origins = [picture["origin"] for picture in painting["pictures"]]
        zs = [torch.tensor(picture["latent"], dtype=torch.float32) for picture in painting["pictures"]]
        sources = [picture["from"] for picture in painting["pictures"]]
        rest = {key: painting[key] for key in ("palette", "bits", "columns")}
        whole = [rest["columns"], view.supersample, len(zs)]  # a recipe can be edited
        if rest["bits"] not in (8, 16) or not all(isinstance(number, int) and number > 0 for number in whole):
            raise ValueError("no painting has these")
        painters: list[Painter] = []
        for origin in origins:  # one painter for all pictures of the same origin
            known = next((painter for painter, other in zip(painters, origins, strict=False) if other == origin), None)
            painters.append(known or of_origin(origin, file, run, device))
        if any(z.shape != (painter.latent_size,) for z, painter in zip(zs, painters, strict=True)):
            raise ValueError("latents of another network")
    except (KeyError, TypeError, ValueError):
        raise UserError(f"'{file}' holds no recipe of a painting: it was made by something else") from None
    each = zip(painters, zs, sources, strict=True)
    return Painting([Picture(*parts) for parts in each], view, **rest)


def of_origin(origin: Mapping[str, Any], file: Path, run: Path | None = None, device: str = "auto") -> Painter:
    """The painter that made `file`, from `Painter.origin`; raises UserError when its checkpoint is gone."""
    if "random" in origin:
        if run is not None:
            raise UserError(f"'{file}' is of a random network, which needs no run: leave out '{run}'")
        return of_chance(origin["random"], origin["weights"], origin["std"], origin["colour"], device)
    if run is None and not Run(origin["run"]).is_run():
        raise UserError(
            f"the run that painted '{file}' is not in '{origin['run']}': say where, `ganvas paint RUN --like FILE`"
        )
    place = Run.existing(run or origin["run"])
    nimg = place.checkpoint_with(origin["checkpoint"])
    if nimg is None:
        raise UserError(
            f"the checkpoint that painted '{file}' (after {origin['nimg']:,} images) is no longer in '{place.path}'"
        )
    return of_run(sampling.load(place.path, nimg, device))


# -- words --------------------------------------------------------------------------------------------------------


def read_size(text: str) -> tuple[int, int]:
    """`1080` or `1920x1080` (width x height) -> (height, width); raises UserError."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
    if found is None:
        raise UserError(f"cannot read the size '{text}': write 1080, or 1920x1080 for width x height")
    return int(found[2] or found[1]), int(found[1])


def read_numbers(text: str, what: str) -> list[int]:
    """`0-15`, `1,5,9` or both -> numbers; raises UserError, which calls them `what`."""
    numbers: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first:
            raise UserError(f"cannot read the {what} '{text}': write them as 0-15 or 1,5,9")
        if last > LAST_SEED or last - first >= MOST_SEEDS:
            raise UserError(f"the {what} '{text}' are too large or too many: below 2**63, at most {MOST_SEEDS:,}")
        numbers += range(first, last + 1)
    return numbers


def read_center(text: str) -> tuple[float, float]:
    """`1.5,-2` -> (x, y), with a minus in front of x as well; raises UserError."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"cannot read the center '{text}': write x,y, for example 1.5,-2") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise UserError(f"cannot paint around '{text}': both numbers are finite")
    return x, y
