"""Comparisons of made-up runs: what shares a table, which evaluation counts, and what is said about it."""

import re
from pathlib import Path
from typing import Any

import pytest

from ganvas.core.errors import UserError
from ganvas.evaluation.compare import compare, read
from ganvas.metrics import Score
from ganvas.runs.run import Run
from tests.conftest import warned
from tests.evaluated import REFERENCES, evaluate, make_run


def test_seeds_become_their_mean_and_standard_deviation(evaluated: list[Path]) -> None:
    table = compare(evaluated[:3]).tables[0]
    (row,) = table.rows
    assert (row.name, row.kind, row.nimg) == ("mnist-cdcgan (3 seeds)", "seeds", [120_000] * 3)
    assert row.scores["fid"] == Score(4.0, 1.0)  # of 3, 4, 5
    assert row.scores["classes_present"] == Score(10, 0)
    assert any("seed1 (seed 1)" in note for note in table.notes)


def test_a_metric_that_one_seed_lacks_has_no_mean(tmp_path: Path) -> None:
    for seed, scores in enumerate(({"fid": (3.0, 0.1), "kid": (0.1, 0.1)}, {"kid": (0.3, 0.1)})):
        evaluate(make_run(tmp_path / f"{seed}"), 100, scores, seed=seed, identity="same")  # type: ignore[arg-type]
    (row,) = compare([tmp_path / "0", tmp_path / "1"]).tables[0].rows
    assert list(row.scores) == ["kid"]


def test_seeds_that_saw_unlike_numbers_of_images_are_not_averaged(evaluated: list[Path]) -> None:
    (evaluated[2] / "evaluations" / "000120000-a1b2c3d4e5f6.json").unlink()
    table = compare(evaluated[:3]).tables[0]
    assert [(row.name.partition(" ")[2], row.nimg) for row in table.rows] == [
        ("(2 seeds)", [120_000] * 2),
        ("", [60_000]),
    ]
    assert any("3 seeds are not averaged" in note and "use --at-images 60000" in note for note in table.notes)
    assert [row.kind for row in compare(evaluated[:3], at_images=60_000).tables[0].rows] == ["seeds"]
    assert [row.kind for row in compare(evaluated[:3], at_seconds=5_000).tables[0].rows] == ["seeds"]


def test_a_run_that_trained_on_the_features_is_not_ranked_by_them(tmp_path: Path) -> None:
    for name, fid, unfit in (("flattered", 1.0, ("digits",)), ("better", 3.0, ("cifar10",)), ("worse", 9.0, ())):
        evaluate(make_run(tmp_path / name), 100, {"fid": (fid, 0.1)}, unfit=unfit)
    table = compare([tmp_path / name for name in ("flattered", "better", "worse")]).tables[0]
    assert table.best == {(str(tmp_path / "better"), "fid")}
    assert [row.scores["fid"].value for row in table.rows] == [1.0, 3.0, 9.0]
    (note,) = [note for note in table.notes if "trained on the features" in note]
    assert note.startswith(
        f"{tmp_path / 'flattered'} was trained on the features of 'digits', so that this does not rank"
    )


def test_a_longer_run_of_a_seed_has_a_row_of_its_own(evaluated: list[Path], tmp_path: Path) -> None:
    long = make_run(tmp_path / "long")
    evaluate(long, 600_000, {"fid": (2.0, 0.1)}, seed=0, identity="same")
    table = compare([*evaluated[:3], long.path]).tables[0]
    assert [row.kind for row in table.rows] == ["seeds", "run"]
    assert not any("not averaged" in note for note in table.notes)


def test_a_repeated_seed_is_no_third_seed_and_a_path_counts_once(evaluated: list[Path], tmp_path: Path) -> None:
    again = make_run(tmp_path / "again")
    evaluate(again, 120_000, {"fid": (9.0, 0.1)}, seed=1, identity="same")
    paths = [*evaluated[:3], again.path, evaluated[0], tmp_path / "other" / ".." / "seed0"]
    table = compare(paths).tables[0]
    assert [row.name for row in table.rows] == ["mnist-cdcgan (3 seeds)", str(again.path)]
    assert any("again repeats seed 1" in note for note in table.notes)


def test_two_settings_of_one_recipe_have_two_names(tmp_path: Path) -> None:
    for i, identity in enumerate("aabb"):
        evaluate(make_run(tmp_path / f"{i}"), 100, {"fid": (3.0, 0.1)}, seed=i, identity=identity)
    names = [row.name for row in compare(tmp_path / f"{i}" for i in range(4)).tables[0].rows]
    assert names == ["mnist-cdcgan (2 seeds)", f"mnist-cdcgan (2 seeds, {tmp_path / '2'} ...)"]


# -- which scores, and what is said about them ------------------------------------------------------------------------


def test_the_last_evaluation_within_the_budget(evaluated: list[Path]) -> None:
    def last(**budget: Any) -> dict[str, list[int]]:
        return {Path(row.name).name: row.nimg for row in compare(evaluated[2:4], **budget).tables[0].rows}

    assert last() == {"seed2": [120_000], "other": [180_000]}
    assert last(at_images=120_000) == {"seed2": [120_000], "other": [60_000]}
    assert last(at_images=119_990) == {"seed2": [120_000], "other": [60_000]}  # checkpoints come at whole batches
    assert last(at_images=118_000) == {"seed2": [60_000], "other": [60_000]}
    assert last(at_seconds=1_800) == {"seed2": [120_000], "other": [180_000]}
    assert last(at_images=180_000, at_seconds=1_700) == {"seed2": [120_000], "other": [60_000]}


def test_budgets_that_were_not_used_are_named(evaluated: list[Path]) -> None:
    notes = compare(evaluated[3:4], at_images=120_000).tables[0].notes
    assert any("60,000 images, less than the budget of 120,000" in note for note in notes)


def test_runs_without_an_evaluation_are_named(evaluated: list[Path], tmp_path: Path) -> None:
    bare = make_run(tmp_path / "bare run")
    (line,) = compare([*evaluated, bare.path]).missing
    assert line == f"'{bare.path}' has no evaluation: run `ganvas evaluate '{bare.path}'`"
    other = make_run(tmp_path / "also bare")
    with pytest.raises(UserError, match=r"has no evaluation: .* \(none of the 2 runs has one\)"):
        compare([bare.path, other.path])
    evaluate(bare, 90_000, {"fid": (3.0, 0.1)})
    (line,) = compare([*evaluated, bare.path], at_images=60_000).missing
    assert "no evaluation within the budget: its first is at 90,000 images" in line


def test_nothing_to_compare(evaluated: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ganvas evaluate"):
        compare([make_run(tmp_path / "bare").path])
    with pytest.raises(UserError, match=r"within the budget.*5 runs"):
        compare(evaluated, at_images=10)
    with pytest.raises(UserError, match="name the folders"):
        compare([])
    with pytest.raises(UserError, match="does not exist"):
        compare([tmp_path / "nowhere"])


def test_unlike_protocols_do_not_share_a_column_and_it_says_why(evaluated: list[Path]) -> None:
    digits, small = compare(evaluated).tables
    assert digits.why == ""
    assert digits.about == (
        "10,000 samples (seeds from 1,000,000) against 60,000 train images of mnist, "
        "by evaluator 'digits' (sha 1a2b3c4d, 28x28)"
    )
    assert small.why == "Not comparable with the first table: n is 500, not 10,000."
    assert [Path(row.name).name for row in small.rows] == ["small"]
    assert any(note.startswith("Not evaluated like this:") and "seed0" in note for note in small.notes)


def test_every_difference_is_named_but_labels_are_none(evaluated: list[Path]) -> None:
    other = {"name": "cifar10", "sha256": "9f8e7d6c5b4a", "size": 32, "resize": "none"}
    data = {"sha256": "77" * 32, "trained_on": "88" * 32, "images": 60_000, "channels": 1, "height": 28, "width": 28}
    changes = {"evaluator": other, "data": data, "split": "test", "metrics": {"fid": 2, "vendi": 1}, "labels": "none"}
    evaluate(Run(evaluated[4]), 60_000, {"fid": (7.0, 0.1)}, key="c" * 12, n=9_000, **changes)
    (_, second, _) = compare(evaluated).tables
    assert second.why == (
        "Not comparable with the first table: the evaluator is cifar10 (9f8e7d6c), not digits (1a2b3c4d); "
        "evaluator.size is 32, not 28; "
        "the data is mnist (77777777), not mnist (d1d2d3d4); the training set is 88888888, not absent; "
        "split is test, not train; n is 9,000, not 10,000; "
        "FID is defined by version 2, not 1; Vendi is measured only here; KID is measured only there."
    )


def test_conditional_and_other_runs_share_a_table(evaluated: list[Path]) -> None:
    evaluate(Run(evaluated[3]), 180_000, {"fid": (3.5, 0.1)}, labels="none")
    (table,) = compare(evaluated[:4]).tables
    assert any(re.search(r"as in the data \(.*seed0.*\), none \(.*other\)", note) for note in table.notes)


def test_references_come_last(evaluated: list[Path]) -> None:
    table = compare(evaluated).tables[0]
    assert [row.name for row in table.references] == ["real images", "noise", "mean image"]
    assert "real images: 10,000 test images." in table.notes
    assert not any("images and not" in note for note in table.notes)
    fewer = REFERENCES | {"real": REFERENCES["real"] | {"n": 2_000, "refused": {"kid": "too few"}}}
    evaluate(Run(evaluated[3]), 180_000, {"fid": (3.5, 0.1)}, references=fewer)
    notes = compare(evaluated[3:4]).tables[0].notes
    assert any("2,000 images and not 10,000" in note for note in notes)
    assert "- for the real images under KID: too few" in notes


def test_best_is_all_that_is_within_the_uncertainty(tmp_path: Path) -> None:
    values = {"a": (3.0, 0.3), "b": (4.0, 0.4), "c": (4.2, 0.4), "d": (2.99, None)}  # 2 sqrt(0.3² + 0.4²) = 1
    for name, score in values.items():
        evaluate(make_run(tmp_path / name), 100, {"fid": score, "precision": score, "new": score})

    def best(names: str) -> set[tuple[str, str]]:
        return {(Path(row).name, metric) for row, metric in compare(tmp_path / name for name in names).tables[0].best}

    assert best("abc") == {("a", "fid"), ("b", "fid")} | {(name, "precision") for name in "bc"}
    assert ("a", "fid") in best("ad")
    assert best("a") == set()


def test_unlike_machines_make_seconds_incomparable(tmp_path: Path) -> None:
    for name, device in (("a", "cpu"), ("b", "cuda NVIDIA H100")):
        evaluate(make_run(tmp_path / name, device), 100, {"fid": (3.0, 0.1)})
    notes = compare([tmp_path / "a", tmp_path / "b"]).tables[0].notes
    assert any("different machines" in note and "NVIDIA H100" in note for note in notes)
    assert not any("different machines" in note for note in compare([tmp_path / "a"]).tables[0].notes)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"format": 2}', '{"format": 1, "key": "x"}', '{"format": 1, "protocol": null}', b"\xff\xfe"],
)
def test_a_damaged_file_is_skipped_with_a_warning(evaluated: list[Path], content: str | bytes) -> None:
    file = evaluated[0] / "evaluations" / "000000001-ffffffffffff.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with warned(match=f"skipped an evaluation: '{file}'") as messages:
        assert len(read(Run(evaluated[0]))) == 2
    assert all("\n" not in text for text in messages)


def test_scores_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    evaluate(run, 100, {"fid": (float("nan"), None), "kid": (0.1, None)})
    assert list(read(run)[0].scores) == ["kid"]


@pytest.mark.parametrize(
    "budget", [{"at_seconds": 1e300}, {"at_images": 10**400}, {"at_seconds": -1.0}, {"at_seconds": float("nan")}]
)
def test_budgets_out_of_range_are_refused_in_few_words(evaluated: list[Path], budget: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^--at-(seconds|images) is out of range: give a number from 0 to 1,000,000"):
        compare(evaluated, **budget)
