"""Scores: pure functions of features, probabilities, labels and pixels. METRICS says what each one means.

Features are float tensors [N, F] (on a device that has float64). Sums run in float64, and all pairs are compared block
by block, so memory grows with N x F and never with N x N. A score is a value with the uncertainty that comes from the
finite number of samples; `Score.error` is a standard error unless the function says otherwise.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganvas.core.errors import UserError

GROUPS, EXTRAPOLATED_GROUPS = 20, 10  # of the jackknife; an extrapolation costs many distances
FID_LEAST, FID_LEAST_PER_FEATURE = 2_000, 4
PRESENT = 0.1  # a class with less than this share of the samples it should have counts as lost
CLOSE, FAR = 0.01, 1.5  # of the copy rate: the share of real pictures, and the margin beyond it as a power
SURELY, MAYBE = 0.25, 0.5  # the same: the quotients below which a picture is a copy, and may be one, in any set
K_SUPPORT, K_DENSITY = 3, 5  # neighbours: of precision and recall, of density and coverage
BLOCK = 1_000  # rows compared with all others at once


class Metric(NamedTuple):
    title: str
    better: Literal["higher", "lower", ""]
    version: int  # of the definition: scores of unlike versions cannot be compared
    what: str


METRICS = {
    "fid": Metric("FID", "lower", 1, "Fréchet distance of Gaussians fitted to the features; biased by few samples"),
    "fid_infinity": Metric("FID∞", "lower", 1, "FID extrapolated to infinitely many samples"),
    "kid": Metric("KID", "lower", 1, "kernel distance between the features; unbiased at any number of samples"),
    "inception_score": Metric("IS", "higher", 1, "sure of each picture, many classes over all; ± over 10 splits"),
    "precision": Metric("precision", "higher", 1, "share of the samples that lie among real pictures (3 neighbours)"),
    "recall": Metric("recall", "higher", 1, "share of the real pictures that lie among samples (3 neighbours)"),
    "density": Metric("density", "higher", 1, "how many real neighbourhoods a sample lies in, of 5; 1 = as real ones"),
    "coverage": Metric("coverage", "higher", 1, "share of the real pictures with a sample in their neighbourhood (5)"),
    "vendi": Metric("Vendi", "higher", 1, "effective number of different pictures among the samples (cosine)"),
    "class_kl": Metric("class KL", "lower", 1, "from the classes of the samples to those of the data, in nats"),
    "classes_present": Metric("classes", "higher", 1, "classes with at least a tenth of the samples they should have"),
    "label_accuracy": Metric("label acc.", "higher", 1, "share of the samples that show the label they were asked for"),
    "redrawn_accuracy": Metric("redrawn acc.", "higher", 1, "share of redrawn real pictures that keep their label"),
    "copy_rate": Metric("copies", "lower", 2, "far nearer to a training picture than real pictures are; real: 0"),
}  # fmt: skip


class Score(NamedTuple):
    value: float
    error: float | None  # None: no uncertainty is known


# -- distances between distributions of features ---------------------------------------------------------------------


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of outer products of vectors: what is left of any number of them, in float64."""

    count: int
    total: Tensor  # [F]
    outer: Tensor  # [F, F]

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
        outer = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64, device=features.device)
        for part in features.split(BLOCK):
            total += part.double().sum(0)
            outer += part.double().T @ part.double()
        return cls(len(features), total, outer)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.outer + other.outer)

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(self.count - other.count, self.total - other.total, self.outer - other.outer)

    @property
    def mean(self) -> Tensor:
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        return (self.outer - torch.outer(self.total, self.mean)) / (self.count - 1)


def frechet(a: Moments, b: Moments) -> float:
    """Squared Fréchet distance between the Gaussians of both moments: |m - n|² + tr(A + B - 2 (A^½ B A^½)^½)."""
    return _frechet(_root(b.covariance), b, a)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


def _frechet(root: Tensor, b: Moments, a: Moments) -> float:
    """`frechet(a, b)` with the root of b's covariance known: it serves many `a`."""
    covariance = a.covariance
    mixed = torch.linalg.eigvalsh(root @ covariance @ root).clamp_min(0).sqrt().sum()
    traces = covariance.trace() + b.covariance.trace()
    distance = (a.mean - b.mean).square().sum() + traces - 2 * mixed
    return max(0.0, float(distance))


def fid_refusal(samples: int, reference: int, features: int) -> str | None:
    """Why so many pictures are too few for FID, None if they are enough."""
    least = max(FID_LEAST, FID_LEAST_PER_FEATURE * features)
    if min(samples, reference) >= least:
        return None
    few = f"{samples:,} samples" if samples < least else f"{reference:,} real pictures"
    return f"FID needs {least:,} pictures on both sides for {features} features, not {few}; KID has no such bias"


def fid(features: Tensor, reference: Moments) -> Score:
    """Fréchet inception distance (Heusel et al., 2017) of samples to the moments of real features.

    The error is a delete-a-group jackknife over the samples; it does not tell the bias, which grows as samples shrink.
    """
    parts = [Moments.of(part) for part in features.tensor_split(GROUPS)]
    whole, root = _sum(parts), _root(reference.covariance)
    value = _frechet(root, reference, whole)
    return Score(value, _jackknife([_frechet(root, reference, whole - part) for part in parts]))


def fid_infinity(features: Tensor, reference: Moments, points: int = 15, seed: int = 0) -> Score:
    """FID extrapolated to infinitely many samples (Chong & Forsyth, 2020).

    FID at `points` sample counts from a tenth of the samples to all, each a random subset, is nearly linear in
    1 / count: the score is the intercept of that line. The error is a delete-a-group jackknife over the samples.
    """
    root, generator = _root(reference.covariance), torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(features), generator=generator) for _ in range(points)]

    def extrapolated(kept: Tensor) -> float:
        counts, values = np.linspace(int(kept.sum()) / 10, int(kept.sum()), points).astype(int), []
        for count, order in zip(counts, orders, strict=True):
            chosen = order[kept[order]][: int(count)].to(features.device)
            values.append(_frechet(root, reference, Moments.of(features[chosen])))
        return float(np.polyfit(1 / counts, values, 1)[1])

    every = torch.ones(len(features), dtype=torch.bool)
    without = [
        every.index_fill(0, part, False) for part in torch.arange(len(features)).tensor_split(EXTRAPOLATED_GROUPS)
    ]
    return Score(extrapolated(every), _jackknife([extrapolated(kept) for kept in without]))


def kid(features: Tensor, reference: Tensor) -> Score:
    """Kernel inception distance (Bińkowski et al., 2018): unbiased MMD² under the kernel (x·y / F + 1)³.

    Over all pairs rather than over random subsets; negative values happen and are right. The error is a
    delete-a-group jackknife over the samples and over the reference.
    """
    x, y = features.double().tensor_split(GROUPS), reference.double().tensor_split(GROUPS)
    xx, yy, xy = _kernel_sums(x), _kernel_sums(y), _kernel_sums(x, y)
    own_x, own_y = (torch.stack([_own_kernel(part).sum() for part in parts]).cpu() for parts in (x, y))
    n, m = (torch.tensor([float(len(part)) for part in parts], dtype=torch.float64) for parts in (x, y))

    def mmd(keep_x: Tensor, keep_y: Tensor) -> float:
        a, b = (n * keep_x).sum(), (m * keep_y).sum()
        within_x = keep_x @ xx @ keep_x - (own_x * keep_x).sum()
        within_y = keep_y @ yy @ keep_y - (own_y * keep_y).sum()
        return (within_x / (a * (a - 1)) + within_y / (b * (b - 1)) - 2 * (keep_x @ xy @ keep_y) / (a * b)).item()

    everything = torch.ones(GROUPS, dtype=torch.float64)
    without = 1 - torch.eye(GROUPS, dtype=torch.float64)
    over_x = _jackknife([mmd(row, everything) for row in without])
    over_y = _jackknife([mmd(everything, row) for row in without])
    return Score(mmd(everything, everything), math.hypot(over_x, over_y))


def _root_kernel(a: Tensor, b: Tensor) -> Tensor:
    """The cube root of the kernel of every pair, float64 [len(a), len(b)]."""
    return torch.addmm(torch.ones((), dtype=torch.float64, device=a.device), a, b.T, alpha=1 / a.shape[1])


def _own_kernel(a: Tensor) -> Tensor:
    """The kernel of every vector with itself, float64 [len(a)]."""
    return (a.square().sum(1) / a.shape[1] + 1) ** 3


def _kernel_sums(a: tuple[Tensor, ...], b: tuple[Tensor, ...] | None = None) -> Tensor:
    """The sum of the kernel over each pair of groups (of `a` with itself without `b`), float64 [groups, groups]."""
    sums = torch.zeros(len(a), len(b or a), dtype=torch.float64)
    for i, left in enumerate(a):
        for j, right in enumerate(b or a):
            if b is not None or j >= i:
                root = _root_kernel(left, right).flatten()
                sums[i, j] = torch.dot(root.square(), root)
    return sums if b is not None else sums.triu() + sums.triu(1).T


def sliced_wasserstein(a: Tensor, b: Tensor, projections: int = 256, seed: int = 0) -> float:
    """Sliced Wasserstein-2 distance between two equally large sets of vectors [N, F]; 0 = same distribution.

    The root of the mean squared difference between the sorted projections of both sets on random unit vectors
    (Rabin et al., 2011), times sqrt(F): moving every vector by c gives the length of c. It needs no trained network and
    ranks the checkpoints of one run; it says little between data sets.
    """
    if a.shape != b.shape:
        raise ValueError(f"two sets of one shape are needed, not {tuple(a.shape)} and {tuple(b.shape)}")
    features = a.shape[1]
    directions = torch.randn(features, projections, generator=torch.Generator().manual_seed(seed)).to(a)
    directions /= directions.norm(dim=0)
    difference = (a @ directions).sort(dim=0).values - (b @ directions).sort(dim=0).values
    return (difference.double().square().mean() * features).sqrt().item()


# -- neighbourhoods ---------------------------------------------------------------------------------------------------


def manifold(features: Tensor, reference: Tensor, radii: Tensor | None = None) -> dict[str, Score]:
    """Precision and recall (Kynkäänniemi et al., 2019; 3 neighbours), density and coverage (Naeem et al., 2020; 5).

    The neighbourhood of a picture is the ball that reaches to its k-th nearest neighbour in its own set. Each is a mean
    over pictures of one set, and its error is that mean's; the density's is that over both sets.
    `radii`: the `neighbour_distances` of the reference, where they are known already.
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
    density, over_real = _mean(balls / K_DENSITY), _mean(samples_in_each * len(reference) / len(features) / K_DENSITY)
    return {
        "precision": _mean(inside),
        "recall": _mean(torch.cat(recalled)),
        "density": Score(density.value, math.hypot(density.error or 0, over_real.error or 0)),
        "coverage": _mean(samples_in_each > 0),
    }


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances, float64 [len(a), len(b)]."""
    a, b = a.double(), b.double()
    return torch.addmm(a.square().sum(1)[:, None] + b.square().sum(1), a, b.T, alpha=-2).clamp_min_(0)


def neighbour_distances(points: Tensor) -> Tensor:
    """Squared distances of every point to its 3rd and its 5th nearest other one, float64 [N, 2]."""
    if len(points) <= K_DENSITY:
        raise UserError(f"neighbourhoods of {K_DENSITY} need more than {len(points)} pictures")
    # The nearest of all is the point itself (or its twin, which is as near).
    rows = [squared_distances(part, points).topk(K_DENSITY + 1, largest=False).values for part in points.split(BLOCK)]
    return torch.cat(rows)[:, [K_SUPPORT, K_DENSITY]]


def nearest(points: Tensor, others: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Distance of every point [N, F] to the nearest of the others [M, F], float32 [N], and which that is, int64 [N].

    `own`: where each point is among the others, int64 [N]; it is not its own neighbour.
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
    """The distances of `nearest`; with `leave_out_self` the points are the first of the others."""
    own = torch.arange(len(points), device=points.device) if leave_out_self else None
    return nearest(points, others, own)[0]


def copy_rate(samples: Tensor, real: Tensor) -> Score:
    """Share of the samples that are far nearer to the training pictures than unseen real pictures are.

    samples, real: the distance of each to the nearest training picture over that to the nearest unseen picture (other
    than itself). The quotient, unlike the distance alone, does not take plain pictures, which are near to everything,
    for copies (Meehan et al., 2020, compare the same two distances). A copy's is below q^1.5, q being what 1 % of the
    real pictures stay below: the margin is for pictures that are plainer than any real one. But few real pictures tell
    little about q, and near twins among them nothing: at more than half the distance a picture is never a copy, at a
    quarter it always is.
    """
    q = real.double().quantile(CLOSE).clamp_max(1)
    return _mean(samples < (q**FAR).clamp(SURELY, MAYBE))


# -- variety ----------------------------------------------------------------------------------------------------------


def mean_distance(pictures: np.ndarray) -> float:
    """The mean distance between two different pictures of uint8 [N, ...], in grey levels per pixel value (RMS)."""
    flat = torch.from_numpy(pictures).flatten(1).float()
    return float(torch.pdist(flat).mean()) / flat.shape[1] ** 0.5 if len(flat) > 1 else 0.0


def vendi(features: Tensor) -> Score:
    """Vendi score (Friedman & Dieng, 2023) with the cosine kernel: exp of the entropy of the kernel's eigenvalues.

    They are those of the second moment of the normalised features, so no N x N matrix is needed.
    """
    unit = features.double()
    unit = (unit / unit.norm(dim=1, keepdim=True).clamp_min(1e-12)).float()

    def effective(moments: Moments) -> float:
        return _effective_number(torch.linalg.eigvalsh(moments.outer / moments.count))

    parts = [Moments.of(part) for part in unit.tensor_split(GROUPS)]
    whole = _sum(parts)
    return Score(effective(whole), _jackknife([effective(whole - part) for part in parts]))


def _effective_number(shares: Tensor) -> float:
    shares = shares.clamp_min(0) / shares.clamp_min(0).sum()
    return math.exp(-torch.special.xlogy(shares, shares).sum().item())


# -- classes ----------------------------------------------------------------------------------------------------------


def inception_score(probabilities: Tensor, splits: int = 10) -> Score:
    """exp of the mean KL from each picture's classes to their mean (Salimans et al., 2016).

    The mean over `splits` parts in order; the error is their standard deviation, as the paper has it.
    """
    values = []
    for part in probabilities.double().tensor_split(splits):
        divergence = torch.special.xlogy(part, part).sum(1) - torch.special.xlogy(part, part.mean(0)).sum(1)
        values.append(math.exp(divergence.mean().item()))
    return Score(float(np.mean(values)), float(np.std(values)))


def class_kl(predicted: Tensor, shares: Tensor) -> Score:
    """KL in nats from the classes of the samples, int64 [N], to the `shares` of the data, [classes].

    The error is a delete-a-group jackknife over the samples.
    """
    counts = torch.stack([torch.bincount(part, minlength=len(shares)) for part in predicted.tensor_split(GROUPS)])
    whole = counts.sum(0)

    def divergence(count: Tensor) -> float:
        share = count.double() / count.sum()
        return float(torch.special.xlogy(share, share / shares.double().clamp_min(1e-12)).sum())

    return Score(divergence(whole), _jackknife([divergence(whole - part) for part in counts]))


def classes_present(predicted: Tensor, shares: Tensor) -> Score:
    """How many classes get at least a tenth of the samples that their share of the data asks for."""
    counts = torch.bincount(predicted, minlength=len(shares))
    return Score(float(((counts >= PRESENT * shares * len(predicted)) & (shares > 0)).sum()), None)


def effective_classes(predicted: Tensor) -> float:
    """How many equally frequent classes would be as mixed as these, int64 [N]: e to the entropy of their shares."""
    shares = torch.bincount(predicted).double() / len(predicted)
    return math.exp(-torch.special.xlogy(shares, shares).sum().item())


def label_accuracy(predicted: Tensor, labels: Tensor) -> Score:
    """Share of the samples whose most likely class is the one that was asked for."""
    return _mean(predicted == labels)


# -- uncertainty ------------------------------------------------------------------------------------------------------


def _mean(values: Tensor) -> Score:
    """The mean of independent values with its standard error."""
    values = values.double()
    return Score(values.mean().item(), (values.std() / math.sqrt(len(values))).item() if len(values) > 1 else None)


def _jackknife(without_each: list[float]) -> float:
    """The standard error from the values of a score with each group left out in turn (Efron & Tibshirani, ch. 11)."""
    values = np.array(without_each)
    return float(np.sqrt((len(values) - 1) / len(values) * np.square(values - values.mean()).sum()))


def _sum(parts: list[Moments]) -> Moments:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    return whole
