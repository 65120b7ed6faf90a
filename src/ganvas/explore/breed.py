"""The tab `Breed`: children of one or two pictures of pixel networks.

The page keeps all genomes itself: it sends the parents and gets their children, which depend on nothing else.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field
from starlette.routing import Route

from ganvas.core.settings import parse
from ganvas.explore.live import Connection, Handler, Watcher
from ganvas.explore.messages import Message, Seed
from ganvas.explore.subjects import OfSubject, Painters

MOST_CHILDREN = 9


class Breed(Message):
    """A request for children."""

    parents: Annotated[list[OfSubject], Field(min_length=1, max_length=2)]
    seed: Seed = 0
    strength: Annotated[float, Field(ge=0, le=math.pi / 2)] = 0.05
    count: Annotated[int, Field(ge=1, le=MOST_CHILDREN)] = MOST_CHILDREN


async def breed(connection: Connection, fields: dict[str, Any]) -> dict[str, Any]:
    """The genomes of the children."""
    asked = parse(Breed, fields, "breed")
    return {"children": await connection.studio.compute(_children, connection.painters, asked)}


def _children(painters: Painters, asked: Breed) -> list[dict[str, Any]]:
    from ganvas.painting import breeding

    parents = []
    for each in asked.parents:
        painter = painters.find(each)
        parents.append(breeding.Genome(painter.origin, tuple(painters.latent(each, painter).tolist())))
    children = []
    for child in breeding.breed(parents, asked.seed, asked.strength, asked.count):
        # A child has the network of one of its parents, with other variations.
        plain = child.origin.model_copy(update={"variations": ()})
        base = next(
            each
            for each, parent in zip(asked.parents, parents, strict=True)
            if parent.origin.model_copy(update={"variations": ()}) == plain
        )
        network = base.model_dump(include={"run", "checkpoint", "random", "std", "weights", "colour"})
        children.append({**network, "variations": child.origin.variations, "latent": child.latent})
    return children


ROUTES: list[Route] = []
HANDLERS: dict[str, Handler] = {"breed": breed}
WATCHERS: list[Watcher] = []
