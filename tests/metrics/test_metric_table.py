"""The table of metrics, and how all scores together respond to damage."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ganvas import metrics
from ganvas.metrics import METRICS, Moments, moments, neighbourhoods
from tests.metrics.vectors import X, Y, modes, nearness, normal


def test_every_metric_is_described() -> None:
    for metric in METRICS.values():
        assert metric.version >= 1
        assert metric.title
        assert metric.what
    falling = {name for name, metric in METRICS.items() if metric.better == "lower"}
    assert falling == {"fid", "fid_infinity", "kid", "class_kl", "copy_rate"}
    assert {metric.better for metric in METRICS.values()} == {"lower", "higher"}


def test_a_metric_that_there_is_none_of() -> None:
    assert all(hasattr(metrics, name) for name in metrics.__all__)
    with pytest.raises(AttributeError, match=r"'ganvas\.metrics' has no attribute 'luck'"):
        _ = metrics.luck


SCORES: dict[str, Callable[[], object]] = {
    "moments": lambda: Moments.of(X).covariance.flatten().tolist(),
    "fid": lambda: metrics.fid(X, Moments.of(Y)),
    "fid_infinity": lambda: metrics.fid_infinity(X, Moments.of(Y)),
    "kid": lambda: metrics.kid(X, Y),
    "manifold": lambda: [part for score in metrics.manifold(X, Y[:300]).values() for part in score],
    "vendi": lambda: metrics.vendi(X),
    "nearest": lambda: metrics.nearest_distances(X.round(), Y.round()).tolist(),  # whole numbers: float32 is exact
}


@pytest.mark.parametrize("name", SCORES)
def test_no_score_depends_on_the_size_of_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = SCORES[name]()
    for block in (7, 64):
        monkeypatch.setattr(moments, "BLOCK", block)
        monkeypatch.setattr(neighbourhoods, "BLOCK", block)
        assert SCORES[name]() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def every_score(samples: Tensor, reference: Tensor) -> dict[str, float]:
    labels = samples.argmax(1)
    scores = {
        "fid": metrics.fid(samples, Moments.of(reference)),
        "kid": metrics.kid(samples, reference),
        "inception_score": metrics.inception_score(torch.softmax(2 * samples, 1)),
        **metrics.manifold(samples, reference),
        "vendi": metrics.vendi(samples),
        "class_kl": metrics.class_kl(labels, torch.full((10,), 0.1)),
        "classes_present": metrics.classes_present(labels, torch.full((10,), 0.1)),
    }
    return {name: score.value for name, score in scores.items()}


def noisy(level: float) -> Tensor:
    return modes(600, range(10), seed=1) + level * normal(600, 10, seed=2)


def fewer_modes(level: float) -> Tensor:
    return modes(600, range(10 - int(level)), seed=1)


def repeated(level: float) -> Tensor:
    return modes(600, range(10), seed=1)[: int(600 / level)].repeat(int(level), 1)


def shuffled(points: Tensor) -> Tensor:
    return points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize(
    ("damage", "levels", "rises", "falls"),
    [
        (noisy, (0, 0.3, 1, 3), ["fid", "kid"], ["precision", "density", "coverage"]),
        (
            fewer_modes,
            (0, 3, 6, 8),
            ["fid", "kid", "class_kl"],
            ["recall", "coverage", "vendi", "inception_score", "classes_present"],
        ),
        (repeated, (1, 2, 4), [], ["recall", "coverage"]),
    ],
)
def test_scores_respond_to_damage_in_order(
    damage: Callable[[float], Tensor], levels: tuple[float, ...], rises: list[str], falls: list[str]
) -> None:
    reference = modes(600, range(10), seed=0)
    found = [every_score(shuffled(damage(level)), reference) for level in levels]
    for name in rises + falls:
        values = [scores[name] * (1 if name in rises else -1) for scores in found]
        assert values == sorted(values), name
        assert values[0] < values[1], name  # the last ones may all be 0


def test_copies_deceive_every_score_but_the_copy_rate() -> None:
    """Why it is there: the training pictures themselves score better than unseen real ones."""
    train, unseen = modes(600, range(10), seed=0), modes(600, range(10), seed=1)
    copied, honest = every_score(train, train), every_score(unseen, train)
    assert all(copied[name] >= honest[name] for name in ("precision", "recall", "density", "coverage"))
    assert max(copied["fid"], copied["kid"]) < min(honest["fid"], 1e-6)
    real = nearness(unseen, train, unseen)
    assert metrics.copy_rate(nearness(train, train, unseen), real).value == 1
