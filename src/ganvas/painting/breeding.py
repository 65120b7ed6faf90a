"""Breeding pictures: children that look like one or two parents, from pixel networks with random or trained weights.

A genome is what a picture is painted from: a network with its variations, and a latent. It is also what the recipe of a
painting contains, so every picture can be painted again with `ganvas paint --like`.

    parent = breeding.random_genome("tanh:8x64", seed=3)
    children = breeding.breed([parent], seed=1)
    Painting([children[0].subject()], View(270, 270)).save(Path("child.png"))
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.painting import latents, variations
from ganvas.painting.painter import find_painter, random_network
from ganvas.painting.recipes import RandomOrigin, RunOrigin
from ganvas.painting.subjects import Subject, random_latent
from ganvas.painting.variations import Variation

STRENGTH = 0.05  # of a mutation, in radians: deep networks of tanh are sensitive
LITTER = 9  # children
DIGITS = 6  # of amounts, so that recipes stay short
CROSSED = 0.4  # of the strength: how much the children of two parents are mutated as well, so that they differ


@dataclass(frozen=True)
class Genome:
    """A network and a latent. Two genomes that are equal paint the same picture, bit for bit."""

    origin: RandomOrigin | RunOrigin
    latent: tuple[float, ...]  # float32 numbers

    @property
    def z(self) -> Tensor:
        """[latent_size]"""
        return torch.tensor(self.latent)

    def subject(self, device: str = "auto", source: str = "bred") -> Subject:
        """What `Painting` takes. Raises UserError if the checkpoint of a run no longer exists."""
        return Subject(find_painter(self.origin, Path(source), device=device), self.z, source)


def random_genome(kind: str, seed: int, std: float | None = None, colour: bool = False) -> Genome:
    """The random network and the random latent of a seed. Raises UserError as `random_network` does."""
    painter = random_network(kind, seed, std, colour, "cpu")
    return Genome(painter.origin, tuple(random_latent(painter, seed).tolist()))


def breed(parents: Sequence[Genome], seed: int, strength: float = STRENGTH, count: int = LITTER) -> list[Genome]:
    """`count` children of one or two parents: mutations of it, or crossings that resemble the first parent, then both,
    then the second.

    `strength` is from 0, where children of one parent are its copies, to π/2, where nothing of it is left. The same
    parents, seed and strength have the same children. Raises UserError for other numbers.
    """
    if not 1 <= len(parents) <= 2:
        raise UserError(f"a picture has one or two parents, not {len(parents)}")
    if not 0 <= strength <= math.pi / 2:
        raise UserError(f"a strength of {strength:g} cannot be bred with: it is from 0 to 1.57")
    if count < 1:
        raise UserError(f"cannot breed {count} children: ask for 1 or more")
    seeds = torch.randint(2**32, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
    if len(parents) == 1:
        return [mutate(parents[0], each, strength) for each in seeds]
    shares = [(i + 1) / (count + 1) for i in range(count)]
    crossed = [cross(parents[0], parents[1], share) for share in shares]
    return [mutate(child, each, CROSSED * strength) for child, each in zip(crossed, seeds, strict=True)]


def mutate(genome: Genome, seed: int, strength: float = STRENGTH) -> Genome:
    """Weights and latent turned by the angle `strength` towards the random ones of `seed`.

    The weights of a trained network are not turned, as others have learned nothing: random ones are added to them.
    """
    kept, new = math.cos(strength), math.sin(strength)
    factor = kept if isinstance(genome.origin, RandomOrigin) else 1.0
    amounts = {other: factor * amount for other, amount in genome.origin.variations}
    amounts[seed] = amounts.get(seed, 0.0) + new
    return Genome(_with(genome.origin, amounts, seed), _turned(genome.z, seed, strength))


def cross(a: Genome, b: Genome, share: float = 0.5) -> Genome:
    """A child that has the `share` (0 to 1) of b and the rest of a.

    The weights of two random networks of one kind are added so that their standard deviation stays, those of two
    variations of one trained network are averaged. If the networks are of different kinds, the child has that of the
    parent with the larger share; if their latents differ in size, it has that parent's latent too.
    """
    main = a if share <= 0.5 else b
    latent = main.latent
    if len(a.latent) == len(b.latent):
        latent = _between(a.z, b.z, share)
    origin = _added(a.origin, b.origin, share) if _same_base(a.origin, b.origin) else main.origin
    return Genome(origin, latent)


def _same_base(a: RandomOrigin | RunOrigin, b: RandomOrigin | RunOrigin) -> bool:
    """Whether the weights of two networks can be mixed."""
    if isinstance(a, RandomOrigin) and isinstance(b, RandomOrigin):
        return (a.random, a.std, a.colour) == (b.random, b.std, b.colour)
    return isinstance(a, RunOrigin) and isinstance(b, RunOrigin) and a.checkpoint == b.checkpoint


def _added(a: RandomOrigin | RunOrigin, b: RandomOrigin | RunOrigin, share: float) -> RandomOrigin | RunOrigin:
    """The origin of a with the variations of both."""
    if isinstance(a, RandomOrigin) and isinstance(b, RandomOrigin):
        of_a, of_b = ({x.weights: variations.share_of_first(x.variations)} for x in (a, b))
    else:
        of_a, of_b = {}, {}
    for amounts, origin in ((of_a, a), (of_b, b)):
        for seed, amount in origin.variations:
            amounts[seed] = amounts.get(seed, 0.0) + amount
    both = {seed: (1 - share) * of_a.get(seed, 0.0) + share * of_b.get(seed, 0.0) for seed in of_a | of_b}
    if isinstance(a, RandomOrigin):
        length = math.sqrt(math.fsum(amount**2 for amount in both.values()))
        both = {seed: amount / length for seed, amount in both.items()} if length else {}
        both.pop(a.weights, None)  # what the others leave is its amount
    return _with(a, both)


def _with(
    origin: RandomOrigin | RunOrigin, amounts: dict[int, float], newest: int | None = None
) -> RandomOrigin | RunOrigin:
    """The origin with these variations; of more than `variations.MOST`, the smallest are left out, never `newest`."""
    rounded = [(seed, round(max(-1.0, min(1.0, amount)), DIGITS)) for seed, amount in amounts.items()]
    largest = sorted(rounded, key=lambda each: (each[0] != newest, -abs(each[1])))[: variations.MOST]
    kept: tuple[Variation, ...] = tuple(each for each in rounded if each in largest and each[1])
    return origin.model_copy(update={"variations": kept})


def _turned(z: Tensor, seed: int, angle: float) -> tuple[float, ...]:
    """z rotated by `angle` towards a random latent, with the same length."""
    towards = torch.randn(len(z), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    start = z.double()
    length = start.norm()
    towards = towards - start * (towards @ start) / length**2 if length else towards
    if not length or not towards.norm():
        return tuple(z.tolist())
    turned = math.cos(angle) * start + math.sin(angle) * length * towards / towards.norm()
    return tuple(turned.float().tolist())


def _between(a: Tensor, b: Tensor, share: float) -> tuple[float, ...]:
    """The latent at `share` of the way from a to b, rotated at constant speed."""
    time = torch.tensor([[share]], dtype=torch.float64)
    return tuple(latents.rotated(a[None].double(), b[None].double(), time)[0].float().tolist())
