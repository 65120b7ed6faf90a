"""Precision, recall, density and coverage, from neighbourhoods of features; nearest neighbours."""

import math

import torch
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.metrics.table import Score
from ganvas.metrics.uncertainty import mean_with_error

K_SUPPORT, K_DENSITY = 3, 5  # neighbours for precision and recall, and for density and coverage
BLOCK = 1_000  # rows compared with all others at once


def manifold(features: Tensor, reference: Tensor, radii: Tensor | None = None) -> dict[str, Score]:
    """Precision and recall (Kynkäänniemi et al., 2019; 3 neighbours), density and coverage (Naeem et al., 2020; 5).

    The neighbourhood of an image is the ball that reaches to its k-th nearest neighbour in its own set. Each score is a
    mean over the images of one set, with the standard error of that mean; the error of the density covers both sets.
    `radii`: the `neighbour_distances` of the reference, if already known. Raises UserError for fewer than 6 images.
    """
    features, reference = features.double(), reference.double()
    radii_real = neighbour_distances(reference) if radii is None else radii
    radii_fake = neighbour_distances(features)[:, 0]
    inside = torch.zeros(len(features), dtype=torch.bool, device=features.device)
    balls = torch.zeros(len(features), dtype=torch.float64, device=features.device)
    recalled, held = [], []
    for rows, radii in zip(reference.split(BLOCK), radii_real.split(BLOCK), strict=True):
        distances = squared_distances(rows, features)  # [B, samples]
        inside |= (distances <= radii[:, :1]).any(0)
        within = distances < radii[:, 1:]
        balls += within.sum(0)
        held.append(within.sum(1))
        recalled.append((distances <= radii_fake).any(1))
    samples_in_each = torch.cat(held)
    density, over_real = (
        mean_with_error(balls / K_DENSITY),
        mean_with_error(samples_in_each * len(reference) / len(features) / K_DENSITY),
    )
    return {
        "precision": mean_with_error(inside),
        "recall": mean_with_error(torch.cat(recalled)),
        "density": Score(density.value, math.hypot(density.error or 0, over_real.error or 0)),
        "coverage": mean_with_error(samples_in_each > 0),
    }


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances, float64 [len(a), len(b)]."""
    a, b = a.double(), b.double()
    return torch.addmm(a.square().sum(1)[:, None] + b.square().sum(1), a, b.T, alpha=-2).clamp_min_(0)


def neighbour_distances(points: Tensor) -> Tensor:
    """Squared distances from every point to its 3rd and 5th nearest neighbours, float64 [N, 2]."""
    if len(points) <= K_DENSITY:
        raise UserError(f"neighbourhoods of {K_DENSITY} need more than {len(points)} images")
    # The first neighbour is the point itself, or a duplicate, also at distance 0.
    rows = [squared_distances(part, points).topk(K_DENSITY + 1, largest=False).values for part in points.split(BLOCK)]
    return torch.cat(rows)[:, [K_SUPPORT, K_DENSITY]]


def nearest(points: Tensor, others: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Distance from every point [N, F] to the nearest of the others [M, F], float32 [N], and its index, int64 [N].

    `own`: the index of each point among the others, int64 [N]; a point is not its own neighbour.
    """
    best = torch.full((len(points),), math.inf, device=points.device)
    which = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    for i, block in enumerate(points.split(BLOCK)):
        here = slice(i * BLOCK, i * BLOCK + len(block))
        rows = block.float()
        norms = rows.square().sum(1)[:, None]
        for j, part in enumerate(others.split(8 * BLOCK)):
            there = part.float()
            distances = torch.addmm(norms + there.square().sum(1), rows, there.T, alpha=-2)
            if own is not None:
                at = own[here] - j * 8 * BLOCK
                inside = ((at >= 0) & (at < len(there))).nonzero()[:, 0]
                distances[inside, at[inside]] = math.inf
            least, index = distances.min(1)
            nearer = least < best[here]
            which[here] = torch.where(nearer, index + j * 8 * BLOCK, which[here])
            best[here] = torch.where(nearer, least, best[here])
    return best.clamp_min(0).sqrt(), which


def nearest_distances(points: Tensor, others: Tensor, leave_out_self: bool = False) -> Tensor:
    """The distances of `nearest`; with `leave_out_self`, the points are the first of `others`."""
    own = torch.arange(len(points), device=points.device) if leave_out_self else None
    return nearest(points, others, own)[0]
