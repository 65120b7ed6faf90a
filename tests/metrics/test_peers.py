"""The same numbers scored by independent code: torchmetrics, scipy, scikit-learn and plain restatements in numpy.

The tolerances are the agreement that ganvas states. Where a peer is not installed, its tests are skipped.
"""

import importlib
import warnings
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganvas import metrics
from ganvas.metrics import Moments

# Largest relative differences; precision, recall, density, coverage and the copy rate have to be the same but rounding.
FID, KID, INCEPTION_SCORE, VENDI, CLASS_KL, DISTANCE = 1e-6, 1e-9, 1e-9, 1e-7, 1e-9, 1e-5

SAMPLES, FEATURES, CLASSES = 1_000, 32, 10
BUFFER = "ignore:Metric .* will save all extracted features in buffer:UserWarning"  # torchmetrics, of its memory


def peer(module: str) -> ModuleType:
    """The module, or a skipped test; what a peer warns of while it is imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        pytest.importorskip(module, reason=f"compares with {module.partition('.')[0]}, which is not installed")
        return importlib.import_module(module)


def case(number: int) -> tuple[Tensor, Tensor]:
    """Samples and a reference: 0 much alike, 1 moved and widened, 2 with fewer dimensions."""
    random = torch.Generator().manual_seed(number)
    reference = torch.randn(SAMPLES, FEATURES, generator=random).relu()
    samples = torch.randn(SAMPLES, FEATURES, generator=random).relu()
    if number == 1:
        samples = 1.3 * samples + 0.2
    if number == 2:
        samples = samples[:, :8].repeat(1, FEATURES // 8) * 0.3 + 0.7 * samples
    return samples, reference


@pytest.fixture(params=range(3), ids=["alike", "moved", "poorer"])
def sets(request: pytest.FixtureRequest) -> Iterator[tuple[Tensor, Tensor]]:
    with torch.random.fork_rng(devices=[]):  # some peers draw from the global stream
        yield case(request.param)


class Identity(nn.Module):
    """Features in, features out: what is compared is the score alone."""

    num_features = FEATURES

    def forward(self, features: Tensor) -> Tensor:
        return features


# -- torchmetrics and scipy -------------------------------------------------------------------------------------------


def test_fid_of_torchmetrics(sets: tuple[Tensor, Tensor]) -> None:
    samples, reference = sets
    theirs = peer("torchmetrics.image.fid").FrechetInceptionDistance(feature=Identity())
    theirs.update(reference, real=True)
    theirs.update(samples, real=False)
    theirs.set_dtype(torch.float64)
    assert metrics.fid(samples, Moments.of(reference)).value == pytest.approx(theirs.compute().item(), rel=FID)


def test_fid_of_scipy(sets: tuple[Tensor, Tensor]) -> None:
    sqrtm = peer("scipy.linalg").sqrtm
    a, b = (part.double().numpy() for part in sets)
    covariances = np.cov(a.T), np.cov(b.T)
    mixed = sqrtm(covariances[0] @ covariances[1]).real
    theirs = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(covariances[0] + covariances[1] - 2 * mixed)
    assert metrics.fid(sets[0], Moments.of(sets[1])).value == pytest.approx(theirs, rel=FID)


def test_fid_infinity_of_scipy(sets: tuple[Tensor, Tensor]) -> None:
    """The line itself; which samples each point holds is our own choice, so they are drawn as ours are."""
    linregress = peer("scipy.stats").linregress
    samples, reference = sets
    random, counts, values = torch.Generator().manual_seed(5), np.linspace(100, 1_000, 15).astype(int), []
    for count in counts:
        chosen = samples[torch.randperm(SAMPLES, generator=random)[: int(count)]]
        values.append(metrics.frechet(Moments.of(chosen), Moments.of(reference)))
    line = linregress(1 / counts, values)
    ours = metrics.fid_infinity(samples, Moments.of(reference), seed=5)
    assert ours.value == pytest.approx(line.intercept, rel=FID)
    assert 0.5 < ours.error / line.intercept_stderr < 5  # of another kind: over the samples, not about the line


@pytest.mark.filterwarnings(BUFFER)
def test_kid_of_torchmetrics(sets: tuple[Tensor, Tensor]) -> None:
    """Its one subset is the whole of both sets, in another order."""
    samples, reference = sets
    theirs = peer("torchmetrics.image.kid").KernelInceptionDistance(
        feature=Identity(), subsets=1, subset_size=SAMPLES, degree=3, gamma=1 / FEATURES, coef=1.0
    )
    # In float64: sums of a million float32 numbers keep five digits, a difference of such sums fewer.
    theirs.update(reference.double(), real=True)
    theirs.update(samples.double(), real=False)
    value, _ = theirs.compute()
    assert metrics.kid(samples, reference).value == pytest.approx(value.item(), rel=KID)


@pytest.mark.filterwarnings(BUFFER)
def test_inception_score_of_torchmetrics(sets: tuple[Tensor, Tensor]) -> None:
    """It takes logits, shuffles them, and gives the standard deviation of a sample of splits, √(10 / 9) of ours."""
    logits = 3 * sets[0][:, :CLASSES].double()
    torch.manual_seed(7)
    theirs = peer("torchmetrics.image.inception").InceptionScore(feature=Identity(), splits=10)
    theirs.update(logits)
    torch.manual_seed(8)
    value, spread = theirs.compute()
    torch.manual_seed(8)
    shuffled = logits[torch.randperm(SAMPLES)]
    ours = metrics.inception_score(shuffled.softmax(1))
    assert ours.value == pytest.approx(value.item(), rel=INCEPTION_SCORE)
    assert ours.error == pytest.approx(spread.item() * np.sqrt(9 / 10), rel=INCEPTION_SCORE)
    assert ours.value > 1.5


def test_class_kl_of_scipy() -> None:
    entropy = peer("scipy.stats").entropy
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(CLASSES))
    predicted = rng.choice(CLASSES, 2_000, p=rng.dirichlet(np.ones(CLASSES)))
    theirs = entropy(np.bincount(predicted, minlength=CLASSES) / 2_000, shares)
    ours = metrics.class_kl(torch.from_numpy(predicted), torch.from_numpy(shares))
    assert ours.value == pytest.approx(theirs, rel=CLASS_KL)


# -- scikit-learn -----------------------------------------------------------------------------------------------------


def balls(points: np.ndarray, k: int) -> np.ndarray:
    """The radius of every point's neighbourhood: the (k + 1)-th nearest, as the nearest is the point itself."""
    neighbours = peer("sklearn.neighbors").NearestNeighbors(n_neighbors=k + 1, algorithm="kd_tree").fit(points)
    distances, _ = neighbours.kneighbors(points)
    radii: np.ndarray = distances[:, k]
    return radii


def test_neighbourhoods_of_scikit_learn(sets: tuple[Tensor, Tensor]) -> None:
    """Precision, recall, density and coverage as their papers have them, and to the last picture."""
    pairwise = peer("sklearn.metrics.pairwise").euclidean_distances
    samples, reference = (part.double().numpy()[:count] for part, count in zip(sets, (900, 1_000), strict=True))
    distances = pairwise(reference, samples)
    real3, real5, fake3 = balls(reference, 3), balls(reference, 5), balls(samples, 3)
    theirs = {
        "precision": (distances <= real3[:, None]).any(0).mean(),
        "recall": (distances <= fake3).any(1).mean(),
        "density": (distances < real5[:, None]).sum(0).mean() / 5,
        "coverage": (distances.min(1) < real5).mean(),
    }
    ours = {name: score.value for name, score in metrics.manifold(sets[0][:900], sets[1]).items()}
    assert ours == pytest.approx(theirs, rel=1e-12)
    assert all(0 < ours[name] < 1 for name in ("precision", "recall", "coverage"))


def test_copies_of_scikit_learn(sets: tuple[Tensor, Tensor]) -> None:
    """Quotients of the distances to training and to unseen pictures, for copies and others, and the rate."""
    neighbours = peer("sklearn.neighbors").NearestNeighbors
    train, unseen = sets[1][:500], sets[1][500:]
    samples = torch.cat([sets[0], train[:100] + 1e-3 * unseen[:100]])
    seen, others = (neighbours(algorithm="kd_tree").fit(part.double().numpy()) for part in (train, unseen))
    to_seen = [seen.kneighbors(part.double().numpy(), 1)[0][:, 0] for part in (samples, unseen)]
    to_others = [others.kneighbors(samples.double().numpy(), 1)[0][:, 0], others.kneighbors(n_neighbors=1)[0][:, 0]]
    near, real = (a / b for a, b in zip(to_seen, to_others, strict=True))
    ours = (
        metrics.nearest_distances(samples, train) / metrics.nearest_distances(samples, unseen),
        metrics.nearest_distances(unseen, train) / metrics.nearest_distances(unseen, unseen, leave_out_self=True),
    )
    apart = near > 0.1  # float32 keeps no digits of the distance to a near copy
    assert np.allclose(ours[0].double()[apart], near[apart], rtol=DISTANCE)
    assert np.allclose(ours[1].double(), real, rtol=DISTANCE)
    rate = metrics.copy_rate(*ours).value
    assert rate == pytest.approx((near < np.clip(np.quantile(real, 0.01) ** 1.5, 0.25, 0.5)).mean(), rel=1e-12)
    assert 100 <= round(1_100 * rate) <= 105


# -- restated in numpy ------------------------------------------------------------------------------------------------


def test_vendi_of_all_pairs(sets: tuple[Tensor, Tensor]) -> None:
    """The published form: the kernel of all pairs over N, which has the same eigenvalues and N - F zeros more."""
    features = sets[0].double().numpy()
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit @ unit.T / len(unit))
    values = values[values > 1e-12]
    theirs = np.exp(-(values * np.log(values)).sum())
    assert metrics.vendi(sets[0]).value == pytest.approx(theirs, rel=VENDI)
