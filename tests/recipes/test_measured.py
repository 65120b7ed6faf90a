import json

import pytest

from ganvas.metrics import METRICS
from ganvas.recipes import library, measured
from ganvas.recipes.measured import Measured, expected_quality

ROW = {
    "machine": "a slide rule",
    "seeds": 3,
    "evaluator": "digits",
    "seconds": [30.4, 228.0],
    "images": [65_024, 390_016],  # whole batches
    "scores": {"fid": [7.94, 0.467], "kid": [0.4, 0.01], "label_accuracy": [0.9, 0.978]},
}
SAID = (
    "earlier runs on one core of a slide rule (medians of 3 runs, evaluator digits): "
    "FID 7.94, label accuracy 0.9 after 30 s"
)


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "table", lambda: {name: Measured(**ROW) for name in ("mnist-quick", "mnist-mlp-gan")})


def test_a_run_is_told_what_earlier_ones_reached_on_its_way() -> None:
    recipe = library.load("mnist-quick", {"train": {"seed": 7}})
    assert expected_quality(recipe, 390_000) == [f"{SAID}; FID 0.467, label accuracy 0.978 after 4 min"]
    assert expected_quality(library.load("mnist-mlp-gan", {"train": {"epochs": 2}}), 120_000) == [SAID]
    assert expected_quality(library.load("mnist-mlp-gan", {"train": {"epochs": 1}}), 60_000) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"method": {"lr": 1e-3}},
        {"data": {"name": "strokes"}},
        {"train": {"batch_size": 65}},
        {"train": {"images": 500_000}},  # its schedule ends with the run
        {"name": "mnist-cdcgan"},
    ],
)
def test_what_nobody_measured_is_not_promised(changes: dict[str, object]) -> None:
    assert expected_quality(library.load("mnist-quick", changes), 390_000) == []


def test_the_table_is_whole() -> None:
    values = json.loads((library.resources.files("ganvas.recipes") / measured.FILE).read_text(encoding="utf-8"))
    for name, row in values.items():
        known = Measured(**row)
        assert name in library.names()
        assert known.scores.keys() <= measured.TITLES.keys() & METRICS.keys()
        assert {len(known.seconds), *map(len, known.scores.values())} == {len(known.images)}
        assert list(known.images) == sorted(known.images)
