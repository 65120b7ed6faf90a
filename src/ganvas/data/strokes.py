"""The generated data set: 28x28 digits 0-9 in pen strokes, drawn from a seed, so that no files are needed.

A skeleton is a few strokes through control points. For each image, the control points of one skeleton are moved at
random, the whole figure is bent, smooth curves are drawn through the points, the figure is scaled to the central 20x20
pixels, its mass is centred, and every pixel within the pen's radius of a curve is inked.
"""

from functools import cache

import numpy as np

VERSION = 1  # of the images: raise it with any change to the images of a seed
SIZE = 28  # side of an image, in pixels
BOX = 20  # side of the square that the ink is scaled to, in pixels
SAMPLES = 80  # points along the strokes of one figure, less than a pixel apart
CHUNK = 250  # images drawn from one random generator

# How people write each digit. Two digits are a control point: column and row on a grid of ten by ten, from the top
# left. Commas separate strokes. A point that occurs twice is one point, so strokes stay joined and loops stay closed.
SKELETONS: dict[int, tuple[str, str, str, str]] = {
    0: (
        "50 31 24 27 49 68 75 72 50",
        "50 21 14 17 49 78 85 82 50",
        "60 32 26 38 59 76 72 51",
        "32 14 27 49 78 85 62 41",
    ),
    1: (
        "50 54 59",
        "60 53 46 49",
        "32 50, 50 54 59",
        "32 41 50, 50 54 59, 29 59 89",
    ),
    2: (
        "12 30 60 73 56 19, 19 49 89",
        "11 40 71 64 19, 19 59 98",
        "12 30 60 73 56 38 19 08 27 58 89",
        "23 31 50 72 65 38 18 37 68 97",
    ),
    3: (
        "11 40 71 63 44, 44 75 87 69 39 17",
        "10 40 80, 80 44, 44 75 87 69 39 18",
        "12 30 60 72 54 44 65 77 59 28",
        "21 50 71 53, 53 75 77 59 29 08",
    ),
    4: (
        "20 13 15, 15 45 85, 71 64 59",
        "20 13 26 56 84, 80 74 69",
        "60 33 06, 06 46 96, 60 65 69",
        "50 33 15, 15 45 95, 72 65 59",
    ),
    5: (
        "70 30, 30 24, 24 53 76 68 39 18",
        "80 50 22 34 64 77 59 19",
        "31 24, 24 53 76 68 39 18, 31 51 90",
        "81 40, 40 24, 24 54 76 59 29 17",
    ),
    6: (
        "60 32 15 17 39 69 77 65 45 17",
        "50 32 26 28 49 78 75 54 26",
        "80 51 24 17 29 59 77 65 36 18",
        "40 33 26 28 49 67 65 45 27",
    ),
    7: (
        "11 41 81, 81 54 39",
        "11 41 81, 81 54 39, 25 55 85",
        "13 11, 11 41 80, 80 55 49",
        "11 40 81 64 49",
    ),
    8: (
        "71 50 21 23 54 76 68 49 28 26 54 73 71",
        "50 21 23 44 73 71 50, 44 16 18 49 78 76 44",
        "72 50 31 33 65 77 59 28 27 55 72 80",
        "54 32 30 60 72 54 36 28 49 78 76 54",
    ),
    9: (
        "72 50 21 23 45 64 72, 72 75 69",
        "72 50 22 24 45 64 72, 72 76 59 28",
        "71 40 22 24 55 73 71 75 59",
        "72 60 30 13 25 55 72, 72 64 49",
    ),
}

# Bends a figure with coordinates in -1..1: from x, y, x*x, x*y, y*y (rows) to x, y (columns).
WARP_MEAN = np.array([[0.9, 0.0], [-0.15, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])  # most people lean to the right
WARP_SPREAD = np.array([[0.3, 0.15], [0.4, 0.1], [0.1, 0.1], [0.2, 0.15], [0.15, 0.15]])


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """images uint8 [count, 1, 28, 28], white ink (255) on black (0), and labels int64 [count] in 0..9.

    The same seed gives the same images; a larger count only adds to them. Every ten images contain each digit once.
    """
    images = np.empty((count, 1, SIZE, SIZE), np.uint8)
    labels = np.empty(count, np.int64)
    for start in range(0, count, CHUNK):
        part = slice(start, min(start + CHUNK, count))
        rng = np.random.default_rng([seed, start // CHUNK])
        digits = rng.permuted(np.tile(np.arange(10), (CHUNK // 10, 1)), axis=1).ravel()
        labels[part] = digits[: part.stop - start]
        images[part, 0] = _ink(_figures(digits, rng))[: part.stop - start]
    return images, labels


def _figures(digits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One handwritten figure per digit: float64 [N, SAMPLES, 3]; each point is x, y and the pen radius, in pixels."""
    count = len(digits)
    controls, curves = _skeletons()
    chosen = digits, rng.integers(controls.shape[1], size=count)

    care = rng.uniform(0.05, 0.14, (count, 1, 1))  # some hands are steadier than others
    hand = controls[chosen] + care * rng.uniform(-1, 1, (count, controls.shape[2], 2))
    pressure = rng.uniform(0.75, 1.25, (count, controls.shape[2], 1))
    points = curves[chosen] @ np.concatenate([hand, pressure], axis=2)

    x, y = points[:, :, 0], points[:, :, 1]
    warp = WARP_MEAN + WARP_SPREAD * rng.uniform(-1, 1, (count, *WARP_MEAN.shape))
    shape = np.stack([x, y, x * x, x * y, y * y], axis=2) @ warp
    radius = points[:, :, 2:] * rng.triangular(0.7, 1.1, 1.9, (count, 1, 1))

    extent = np.ptp(shape, axis=1).max(axis=1)[:, None, None]
    shape *= (BOX - 2 * radius.mean(axis=1, keepdims=True)) / extent
    margin = radius.max(axis=1, keepdims=True) + 0.5  # keeps a lopsided figure's ink off the border
    least, most = margin - shape.min(axis=1, keepdims=True), SIZE - 1 - margin - shape.max(axis=1, keepdims=True)
    shape += np.clip((SIZE - 1) / 2 - shape.mean(axis=1, keepdims=True), least, most)
    return np.concatenate([shape, radius], axis=2)


def _ink(figures: np.ndarray) -> np.ndarray:
    """Figures [N, P, 3] as images, uint8 [N, SIZE, SIZE].

    Uses only float32 sums, products, square roots and minima, which are rounded in the same way on every machine.
    """
    x, y, radius = np.ascontiguousarray(figures.T, np.float32)[:, :, None]  # each [P, 1, N]: numpy is fast on long rows
    grid = np.arange(SIZE, dtype=np.float32)[:, None]
    dx2 = (grid - x) ** 2
    dy2 = (grid - y) ** 2 - radius**2
    nearest = np.full((SIZE, SIZE, len(figures)), np.inf, np.float32)  # squared distance minus squared radius
    squared = np.empty_like(nearest)
    for point in range(len(x)):
        np.add(dy2[point, :, None], dx2[point, None], out=squared)
        np.minimum(nearest, squared, out=nearest)
    pen = radius.mean(axis=0)
    distance = np.sqrt(np.maximum(nearest + pen**2, 0))  # from the curve, for a pen of constant radius
    light = np.clip(pen + 0.5 - distance, 0, 1)  # the edge fades over one pixel
    images: np.ndarray = np.rint(255 * light).astype(np.uint8).transpose(2, 0, 1)
    return images


@cache
def _skeletons() -> tuple[np.ndarray, np.ndarray]:
    """The control points [10, V, K, 2] in -1..1 of all skeletons, and matrices [10, V, SAMPLES, K] from these to points
    along the curves. K is that of the longest skeleton; the others have unused control points without weight."""
    parsed = [[_parse(text) for text in SKELETONS[digit]] for digit in range(10)]
    longest = max(len(points) for variants in parsed for points, _ in variants)
    controls = np.zeros((10, len(parsed[0]), longest, 2))
    curves = np.zeros((10, len(parsed[0]), SAMPLES, longest))
    for digit, variants in enumerate(parsed):
        for variant, (points, strokes) in enumerate(variants):
            controls[digit, variant, : len(points)] = points
            curves[digit, variant, :, : len(points)] = _sample(points, strokes)
    return controls, curves


def _parse(text: str) -> tuple[np.ndarray, list[list[int]]]:
    """Parse a skeleton into its control points [K, 2] in -1..1 and its strokes, as indices into them."""
    strokes = [stroke.split() for stroke in text.split(",")]
    names = sorted({name for stroke in strokes for name in stroke})
    points = np.array([[int(name[0]), int(name[1])] for name in names]) / 4.5 - 1
    return points, [[names.index(name) for name in stroke] for stroke in strokes]


def _sample(points: np.ndarray, strokes: list[list[int]]) -> np.ndarray:
    """The matrix [SAMPLES, K] whose product with the control points is evenly spaced points along all strokes.

    A spline is linear in its control points, so a curve through unit vectors gives the weights for any points.
    """
    dense = [_catmull_rom(np.eye(len(points))[stroke]) for stroke in strokes]
    steps = [np.linalg.norm(np.diff(curve @ points, axis=0, prepend=(curve @ points)[:1]), axis=1) for curve in dense]
    length = np.cumsum(np.concatenate(steps))
    even = np.searchsorted(length, np.linspace(0, length[-1], SAMPLES))
    return np.concatenate(dense)[even]


def _catmull_rom(points: np.ndarray) -> np.ndarray:
    """A dense smooth curve [T, D] through points [K, D]; it closes smoothly if the last point is the first."""
    closed = (points[0] == points[-1]).all()
    before = points[-2] if closed else 2 * points[0] - points[1]
    after = points[1] if closed else 2 * points[-1] - points[-2]
    padded = np.vstack([before, points, after])
    t = np.linspace(0, 1, 100)[:, None]
    a, b, c, d = (padded[i : i + len(points) - 1, None] for i in range(4))  # segments b to c, their neighbours a and d
    return np.concatenate(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * b - a - 3 * c + d))))
