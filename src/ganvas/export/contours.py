"""Contours of a field as Bézier curves that are within a tolerance of them.

Contours are found on a grid. Their points are moved to where the field has exactly the level, and joined by cubic
curves whose ends have the direction of the contour. A curve that leaves the contour is halved. Whether it does is seen
from the field itself: if it is above the level at one place and below it at another, a contour runs between.

Lengths are in any unit, here millimetres.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Field = Callable[[np.ndarray], np.ndarray]  # places [..., 2] (x, y) -> values [...], also beyond the borders

LONGEST = 64  # points of a contour that one curve replaces
ROUNDS = 8  # to find a root
CHECKS = 8  # points of a curve that must be within the tolerance
MEASURES = 17  # points of a curve whose distance is measured in the end, others than those
DIGITS = 3  # of the curves' numbers after the decimal point
FURTHER = 1.1  # the factor between distances that are tried


class Contour(NamedTuple):
    """A line where a field has this level."""

    level: float
    curves: np.ndarray
    """a chain of cubic Bézier curves: [curves, 4, 2]"""


def find(
    grid: np.ndarray, step: tuple[float, float], field: Field, levels: Sequence[float], tolerance: float
) -> list[Contour]:
    """The contours of a field whose values on a grid are `grid` [rows, columns], with the distances `step` (x, y).

    The grid begins at 0,0. What is smaller than its cells may be missing: islands, and tips of bays. A line is in two
    pieces where such a part of it is missing.
    """
    from contourpy import contour_generator

    rows, columns = grid.shape
    generator = contour_generator(np.arange(columns) * step[0], np.arange(rows) * step[1], grid)
    reach = max(step)
    found = [(level, _thinned(np.asarray(line), reach / 2)) for level in levels for line in generator.lines(level)]
    lines = [(level, line) for level, line in found if len(line) > 2]
    if not lines:
        return []
    ends = np.cumsum([len(line) for _, line in lines])
    level = np.repeat([level for level, _ in lines], [len(line) for _, line in lines])
    points = _settled(np.concatenate([line for _, line in lines]), level, field, step)
    tangents = _tangents(points, field, tolerance)  # what float32 rounds is small beside what changes over this
    for (_, line), end in zip(lines, ends, strict=True):
        first, last = end - len(line), end - 1
        if (line[0] == line[-1]).all():  # a closed line stays closed
            points[last] = points[first]
        ahead = np.gradient(points[first:end], axis=0)
        tangents[first:end] *= np.where((ahead * tangents[first:end]).sum(1) < 0, -1, 1)[:, None]
        if (line[0] == line[-1]).all():
            tangents[last] = tangents[first]
    spans = np.array([
        (start, min(start + LONGEST, end - 1))
        for (_, line), end in zip(lines, ends, strict=True)
        for start in range(end - len(line), end - 1, LONGEST)
    ])  # fmt: skip
    kept, curves = _fitted(spans, points, tangents, level, field, reach, tolerance)
    cuts = 1 + np.flatnonzero(kept[1:, 0] != kept[:-1, 1])
    chains = zip(np.split(kept, cuts), np.split(curves, cuts), strict=True)
    return [Contour(float(level[part[0, 0]]), chain) for part, chain in chains if len(part)]


def deviation(contours: Sequence[Contour], field: Field, tolerance: float) -> float:
    """A distance within which every measured point of the curves has its contour: `tolerance`, or more if need be."""
    if not contours:
        return 0.0
    times = np.arange(MEASURES) / (MEASURES - 1)
    points = np.concatenate([at(each.curves, times).reshape(-1, 2) for each in contours])
    normals = np.concatenate([_normals(each.curves, times).reshape(-1, 2) for each in contours])
    level = np.repeat([each.level for each in contours], [len(each.curves) * MEASURES for each in contours])
    distance = tolerance
    while distance < 1024 * tolerance:
        apart = ~_near(field, points, normals, level, distance)
        if not apart.any():
            return distance
        points, normals, level = points[apart], normals[apart], level[apart]
        distance *= FURTHER
    return float("inf")


def at(curves: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The points of curves [N, 4, 2] at `times` [T] from 0 to 1: [N, T, 2]."""
    points: np.ndarray = np.einsum("tk,nkc->ntc", _bernstein(times), curves)
    return points


def lengths(curves: np.ndarray) -> np.ndarray:
    """The length of each curve [N, 4, 2], but for a thousandth: [N]."""
    steps = np.diff(at(curves, np.linspace(0, 1, 17)), axis=1)
    found: np.ndarray = np.hypot(steps[..., 0], steps[..., 1]).sum(1)
    return found


def _thinned(line: np.ndarray, step: float) -> np.ndarray:
    """A line [N, 2] without points that are nearer than `step` to the one before; its ends stay."""
    along = np.concatenate([[0.0], np.hypot(*np.diff(line, axis=0).T).cumsum()])
    kept = np.diff((along / step).astype(int), prepend=-1) > 0
    kept[along > along[-1] - step] = False
    kept[[0, -1]] = True
    return line[kept]


def _settled(points: np.ndarray, level: np.ndarray, field: Field, step: tuple[float, float]) -> np.ndarray:
    """Points on edges of the grid, as contourpy interpolates them, moved along their edge to where the field has their
    level (by the Illinois method)."""
    steps = np.array(step)
    cells = points / steps
    axis = np.abs(cells - np.round(cells)).argmax(1)[:, None] == (0, 1)  # of the edge
    ends = np.stack([np.where(axis, np.floor(cells), np.round(cells)), np.where(axis, np.ceil(cells), np.round(cells))])
    low, high = ends * steps
    at_low, at_high = field(low) - level, field(high) - level
    crosses = at_low * at_high < 0  # rounding errors may have changed a sign
    for _ in range(ROUNDS):
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(crosses, at_low / (at_low - at_high), 0.5)
        found = low + np.clip(share, 0, 1)[:, None] * (high - low)
        value = field(found) - level
        lower = value * at_low > 0
        low, high = np.where(lower[:, None], found, low), np.where(lower[:, None], high, found)
        at_low, at_high = np.where(lower, value, at_low / 2), np.where(lower, at_high / 2, value)
    return np.where(crosses[:, None], found, points)


def _tangents(points: np.ndarray, field: Field, delta: float) -> np.ndarray:
    """The direction of the contour through each point, from differences of the field over `delta`: [N, 2]."""
    offsets = delta * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    right, left, below, above = np.moveaxis(field(points[:, None] + offsets), -1, 0)
    along = np.stack([above - below, right - left], 1)
    tangents: np.ndarray = along / np.maximum(np.hypot(*along.T), 1e-100)[:, None]
    return tangents


def _fitted(
    spans: np.ndarray,
    points: np.ndarray,
    tangents: np.ndarray,
    level: np.ndarray,
    field: Field,
    reach: float,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The spans of all curves, in order, and the curves [N, 4, 2].

    A span [2] has the indices of the first and the last of the points that a curve replaces; it is halved until the
    curve is good enough. A curve between adjacent points that is not is left out: there the grid is too coarse.
    """
    times = (np.arange(CHECKS) + 0.5) / CHECKS
    kept, found = [], []
    while len(spans):
        curves, apart = _curves(spans, points, tangents)
        places, normals = at(curves, times).reshape(-1, 2), _normals(curves, times).reshape(-1, 2)
        near = _near(field, places, normals, np.repeat(level[spans[:, 0]], CHECKS), tolerance)
        good = near.reshape(-1, CHECKS).all(1) & (apart < reach)
        kept.append(spans[good])
        found.append(curves[good])
        first, last = spans[~good & (spans[:, 1] - spans[:, 0] > 1)].T
        middle = (first + last) // 2
        spans = np.concatenate([np.stack([first, middle], 1), np.stack([middle, last], 1)])
    order = np.argsort(np.concatenate(kept)[:, 0])
    return np.concatenate(kept)[order], np.concatenate(found)[order]


def _curves(spans: np.ndarray, points: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each span the curve with the tangents of its ends that is nearest to its points, and how far it is from them.

    The lengths of its two handles minimise the sum of the squared distances to some of the points, each compared with
    the point of the curve at the same share of the way (Schneider, Graphics Gems, 1990, without new shares).
    """
    a, b = spans.T
    inner = a[:, None] + np.round(np.linspace(0, 1, CHECKS + 2) * (b - a)[:, None]).astype(int)
    line = points[inner]
    steps = np.hypot(*np.moveaxis(np.diff(line, axis=1), -1, 0))
    along = np.concatenate([np.zeros((len(spans), 1)), steps.cumsum(1)], 1)
    length = np.maximum(along[:, -1], 1e-12)
    weights = _bernstein(along / length[:, None])
    ends, start, stop = points[spans], tangents[a], -tangents[b]
    fixed = weights[..., 0, None] * ends[:, None, 0] + weights[..., 1, None] * ends[:, None, 0]
    fixed += weights[..., 2, None] * ends[:, None, 1] + weights[..., 3, None] * ends[:, None, 1]
    one, two = weights[..., 1, None] * start[:, None], weights[..., 2, None] * stop[:, None]
    rest = line - fixed
    aa, ab, bb = ((p * q).sum((1, 2)) for p, q in ((one, one), (one, two), (two, two)))
    x, y = (one * rest).sum((1, 2)), (two * rest).sum((1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        determinant = aa * bb - ab**2
        handles = np.stack([(x * bb - y * ab) / determinant, (y * aa - x * ab) / determinant], 1)
    # A third of the length is right for an arc of few degrees, and where the equations have no good solution.
    third = length[:, None] / 3
    sound = (b - a > 1) & np.isfinite(handles).all(1) & (handles > third / 5).all(1) & (handles < 3 * third).all(1)
    handles = np.where(sound[:, None], handles, third)
    controls = [ends[:, 0], ends[:, 0] + handles[:, :1] * start, ends[:, 1] + handles[:, 1:] * stop, ends[:, 1]]
    curves = np.stack(controls, 1).round(DIGITS)
    apart = np.hypot(*np.moveaxis(np.einsum("ntk,nkc->ntc", weights, curves) - line, -1, 0)).max(1)
    return curves, apart


def _near(field: Field, points: np.ndarray, normals: np.ndarray, level: np.ndarray, distance: float) -> np.ndarray:
    """Whether the field passes its level between each point and one of the places at this distance on both sides."""
    places = np.stack([points, points + distance * normals, points - distance * normals], 1)
    above = field(places) >= level[:, None]
    near: np.ndarray = (above[:, 1:] != above[:, :1]).any(1)
    return near


def _normals(curves: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The directions across curves [N, 4, 2] at `times`: [N, T, 2], of length 1."""
    controls = np.diff(curves, axis=1)
    weights = np.stack([(1 - times) ** 2, 2 * times * (1 - times), times**2], -1)
    along = np.einsum("tk,nkc->ntc", weights, controls)
    across = np.stack([-along[..., 1], along[..., 0]], -1)
    normals: np.ndarray = across / np.maximum(np.hypot(across[..., 0], across[..., 1]), 1e-100)[..., None]
    return normals


def _bernstein(t: np.ndarray) -> np.ndarray:
    """The weights [..., 4] of the four points of a cubic curve at t [...]."""
    return np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], -1)
