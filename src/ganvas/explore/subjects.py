"""What a page wants painted: a pixel network, trained or random, with a latent. Used by the tabs Paint and Breed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ganvas.core.errors import UserError
from ganvas.explore.messages import Latent, Message, Name, OfRun, Seed
from ganvas.explore.studio import Studio

if TYPE_CHECKING:
    import torch

    from ganvas.painting.painter import Painter

KEPT = 32  # painters in memory
MOST_LAYERS, MOST_WEIGHTS = 400, 300_000  # of a random network that is painted while one waits
DIRECTIONS = 6
MOST_VARIATIONS = 64  # as in `painting.variations`, which takes seconds to import

Variation = tuple[Seed, Annotated[float, Field(ge=-1, le=1)]]


class OfNetwork(Message):
    """A request about a pixel network: that of a run, or one with random weights."""

    run: Name | None = None
    checkpoint: Annotated[str, Field(max_length=20)] = "last"
    """of the run: last, best, or the number of images seen"""
    random: Annotated[str, Field(max_length=30)] | None = None
    """kind and size of random weights: tanh:8x64"""
    std: Annotated[float, Field(ge=0, le=100)] | None = None
    weights: Seed = 0
    """seed of the random weights"""
    colour: bool = False
    variations: Annotated[tuple[Variation, ...], Field(max_length=MOST_VARIATIONS)] = ()


class OfSubject(OfNetwork):
    """A request about a picture."""

    latent: Latent | None = None
    seed: Seed = 0
    """of the latent, if that is not given"""
    label: Name | None = None
    """class of the latent of the seed"""


class Painters:
    """Painters, made when asked for; the most recently used ones are kept. To be used in the thread that computes."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._kept: OrderedDict[object, Painter] = OrderedDict()

    def find(self, asked: OfNetwork) -> Painter:
        """Raises UserError for a run without pixel network, and for a random one that is too large for a page."""
        from ganvas.painting.painter import random_config, random_network, size_of, trained_network

        if (asked.run is None) == (asked.random is None):
            raise UserError("choose a run, or a network with random weights")
        variations = asked.variations
        make: Callable[[], Painter]
        key: object
        if asked.run is not None:
            model = self.studio.model(OfRun(run=asked.run, checkpoint=asked.checkpoint))
            key, make = (model.sha256, variations), lambda: trained_network(model, variations)
        else:
            kind = str(asked.random)
            layers, weights = size_of(random_config(kind, asked.std))
            if layers > MOST_LAYERS or weights > MOST_WEIGHTS:
                raise UserError(
                    f"'{kind}' has {layers:,} layers and about {weights:,} weights, too many to be painted live: "
                    f"at most {MOST_LAYERS} and {MOST_WEIGHTS:,} (`ganvas paint --random` takes larger ones)"
                )
            key = kind, asked.std, asked.weights, asked.colour, variations
            make = lambda: random_network(  # noqa: E731
                kind, asked.weights, asked.std, asked.colour, self.studio.device, variations
            )
        if key not in self._kept:
            self._kept[key] = make()
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def latent(self, asked: OfSubject, painter: Painter) -> torch.Tensor:
        """[latent_size]; raises UserError for an unknown class, and for a latent of another size."""
        import torch

        from ganvas.painting.subjects import random_latent, seed_latent

        if asked.latent is not None:
            if len(asked.latent) != painter.latent_size:
                raise UserError(f"this network has latents of {painter.latent_size} numbers, not {len(asked.latent)}")
            return torch.tensor(asked.latent)
        if asked.run is None:
            return random_latent(painter, asked.seed)
        return seed_latent(
            self.studio.model(OfRun(run=asked.run, checkpoint=asked.checkpoint)), asked.seed, asked.label
        )

    def describe(self, asked: OfSubject) -> dict[str, Any]:
        """What a page needs to know about a network: its latent, and the directions that change the picture most."""
        from ganvas.runs.directions import strongest

        painter = self.find(asked)
        weights = painter.network.latent.weight.detach().cpu().double()
        directions, _ = strongest(weights.T @ weights, DIRECTIONS)
        facts = {
            "latent": self.latent(asked, painter).tolist(),
            "directions": directions.tolist(),
            "channels": painter.channels,
            "scale": painter.network.scale,
        }
        if asked.run is not None:
            model = self.studio.model(OfRun(run=asked.run, checkpoint=asked.checkpoint))
            facts |= {"nimg": model.nimg, "classes": list(model.classes) if model.method.conditional else []}
        return facts


class OfPicture(OfSubject):
    """A picture on the screen."""

    width: Annotated[int, Field(ge=1, le=8192)] = 256
    height: Annotated[int, Field(ge=1, le=8192)] = 256
    x: Annotated[float, Field(ge=-1e30, le=1e30)] = 0.0
    y: Annotated[float, Field(ge=-1e30, le=1e30)] = 0.0
    zoom: Annotated[float, Field(gt=0, le=1e30)] = 1.0
    supersample: Annotated[int, Field(ge=1, le=8)] = 1
    palette: Annotated[str, Field(max_length=60)] = "auto"
    idle: bool = False
    """whether it is given up as soon as the page asks for something else"""


Ending = Literal[".png", ".tif", ".webp", ".dzi"]
FilmEnding = Literal[".mp4", ".webm", ".gif", ".webp"]
