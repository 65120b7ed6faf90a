from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from ganvas.core.errors import UserError
from ganvas.core.images import save_png
from ganvas.plotting import figures, one_run, several_runs, sheets, style
from ganvas.plotting.several_runs import Curve
from ganvas.recipes.library import load
from ganvas.recipes.recipe import Recipe
from ganvas.runs.run import Run
from ganvas.training.train import train
from tests.conftest import warned
from tests.evaluated import make_run

RECORDS = [
    {"nimg": n, "d_loss": 1.4, "d_real": 0.9 - n / 1000, "d_fake_validation": n / 1000, "score": 3.0 - n / 200}
    for n in range(0, 400, 4)
]


def test_confidence_shows_both_curves_and_one_half() -> None:
    left, right = one_run.confidence(RECORDS).axes
    for axes, name in ((left, "d_fake_validation"), (right, "d_real")):
        faint, smooth, half = axes.lines
        assert np.allclose(faint.get_ydata(), [record[name] for record in RECORDS])
        assert np.abs(np.subtract(smooth.get_ydata(), faint.get_ydata())).max() < 0.02
        assert list(half.get_ydata()) == [0.5, 0.5]
        assert axes.get_xlabel() == "images seen"


LEARNING = [
    {"nimg": n, "d_loss": 1, "g_loss": 2, "vae_loss": 3, "kl": 4, "g_steps": 16, "d_steps": n / 10}
    | {"accuracy_real": 0.9, "accuracy_generated": 0.8, "accuracy_detected": 0.1}
    for n in range(0, 40, 10)
]


@pytest.mark.parametrize(
    ("draw", "names"),
    [
        (one_run.losses, {"discriminator": "d_loss", "generator": "g_loss", "autoencoder": "vae_loss"}),
        (
            one_run.accuracies,
            {
                "real images recognised": "accuracy_real",
                "generated images that pass": "accuracy_generated",
                "generated images detected": "accuracy_detected",
            },
        ),
        (one_run.steps, {"generator": "g_steps", "discriminator": "d_steps"}),
    ],
)
def test_curves_are_what_their_labels_say(
    draw: Callable[[list[dict[str, float]]], Figure], names: dict[str, str]
) -> None:
    (axes,) = draw(LEARNING).axes
    shown = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert shown == {label: [record[name] for record in LEARNING] for label, name in names.items()}


def test_the_curve_of_the_latents_needs_no_legend() -> None:
    (axes,) = one_run.latent_kl(LEARNING).axes
    assert list(axes.lines[0].get_ydata()) == [4] * 4
    assert axes.get_legend() is None


def test_score_marks_the_best() -> None:
    (axes,) = one_run.score(RECORDS).axes
    assert axes.lines[-1].get_xydata().tolist() == [[396, min(record["score"] for record in RECORDS)]]


def test_sheet_of_epochs_shows_all_of_few_and_some_of_many() -> None:
    rows = [np.full((18, 182, 1), i, np.uint8) for i in range(60)]
    few = sheets.epochs_sheet(rows[:4], range(4))
    assert [axes.get_ylabel() for axes in few.axes] == ["0", "1", "2", "3"]
    many = sheets.epochs_sheet(rows, range(60))
    assert [axes.get_ylabel() for axes in many.axes] == ["0", "1", "5", "10", "15", "20", "25", "50", "59"]


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (500, "500"), (60_000, "60k"), (1_500_000, "1.5M")])
def test_ticks_are_short(value: float, text: str) -> None:
    assert style.short_number(value) == text


def test_a_run_of_two_epochs_in_colour_and_without_records(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = tiny(data={"channels": 3}, method={"conditional": False}, train={"images": 120})
    list(train(recipe, tmp_path / "run", device="cpu"))
    drawn = {file: file.read_bytes() for file in figures.draw_figures(tmp_path / "run")}
    assert len(drawn) == 10
    assert {file: file.read_bytes() for file in figures.draw_figures(tmp_path / "run")} == drawn
    Run(tmp_path / "run").log.file.unlink()
    with pytest.raises(UserError, match="no record yet"):
        figures.draw_figures(tmp_path / "run")


def test_scores_of_evaluations_get_a_figure() -> None:
    records = [
        {"nimg": 100 * i, "d_loss": 1.0, **({"kid": 5.0 - i, "recall": 0.1 * i} if i % 2 == 0 else {})}
        for i in range(1, 7)
    ]
    figure = one_run.metrics(records)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["KID ↓", "recall ↑"]
    assert shown[0].lines[0].get_xydata().tolist() == [[200, 3.0], [400, 1.0], [600, -1.0]]


# -- several runs -----------------------------------------------------------------------------------------------------


def losses(g: float, d: float, count: int = 4) -> list[dict[str, float]]:
    return [{"nimg": 100 * i, "g_loss": g, "d_loss": d} for i in range(1, count + 1)]


def test_balance_is_the_logarithm_of_the_ratio_against_epochs() -> None:
    drawn = several_runs.balance([Curve("even", losses(1, 1), 50), Curve("g", losses(2, 1), 10)])
    (axes,) = drawn.axes
    rule, *curves = axes.lines
    assert list(rule.get_ydata()) == [0, 0]
    assert [list(line.get_xdata()) for line in curves] == [[2, 4, 6, 8], [10, 20, 30, 40]]
    assert np.allclose([line.get_ydata() for line in curves], [[0] * 4, [np.log(2)] * 4])
    assert len({line.get_color() for line in curves}) == 2
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["even", "g"]


def test_balance_of_long_runs_has_a_running_mean() -> None:
    records = [{"nimg": i, "g_loss": np.exp((-1) ** i), "d_loss": 1.0} for i in range(1, 201)]
    _, faint, mean = several_runs.balance([Curve("a", records, 1)]).axes[0].lines
    assert np.allclose(np.abs(faint.get_ydata()), 1)
    assert np.allclose(mean.get_ydata()[10], sum((-1) ** i for i in range(9, 14)) / 5)


def test_seeds_of_a_recipe_become_a_mean_with_a_band() -> None:
    seeds = [Curve("g", losses(2, 1, 4), 100), Curve("g", losses(8, 1, 4), 100), Curve("g", losses(4, 1, 2), 100)]
    drawn = several_runs.balance([*seeds, Curve("alone", losses(1, 1), 100)])
    (axes,) = drawn.axes
    _, mean, alone = axes.lines
    (band,) = axes.collections
    assert list(mean.get_xdata()) == [1, 2, 3, 4]
    assert np.allclose(mean.get_ydata(), np.log([4, 4, 4, 4]))  # the third seed, in the middle, ends before the others
    heights = band.get_paths()[0].vertices[:, 1]
    assert np.allclose([heights.min(), heights.max()], np.log([2, 8]))
    assert np.allclose(alone.get_ydata(), 0)
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert legend == ["g, mean of 3 seeds", "alone", several_runs.BAND]


def test_a_band_is_between_the_lowest_and_the_highest_seed_at_each_place() -> None:
    axes = Figure().subplots()
    one, two = (np.array([0.0, 2.0]), np.array([0.0, 2.0])), (np.array([1.0, 3.0]), np.array([5.0, 7.0]))
    mean = style.band(axes, [one, two], "red")
    assert mean.get_xydata().tolist() == [[0, 0], [1, 3], [2, 4], [3, 7]]
    edges = {tuple(point) for point in axes.collections[0].get_paths()[0].vertices.tolist()}
    assert edges == {(0, 0), (1, 1), (1, 5), (2, 2), (2, 6), (3, 7)}


def test_everything_that_was_recorded_has_a_small_plot() -> None:
    curves = [
        Curve("a", [{"nimg": 1, "d_loss": 3.0, "kid": None}, {"nimg": 2, "d_loss": 4.0, "kid": 1.0}], 1),
        Curve("b", [{"nimg": 1, "d_loss": 5.0, "seconds": 9}], 1),
    ]
    drawn = several_runs.quantities(curves)
    loss, kid = [axes for axes in drawn.axes if axes.get_visible()]
    assert (loss.get_title(), kid.get_title()) == ("loss of D", "KID ↓")
    assert [line.get_xydata().tolist() for line in loss.lines] == [[[1, 3], [2, 4]], [[1, 5]]]
    assert [line.get_xydata().tolist() for line in kid.lines] == [[[2, 1]]]
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["a", "b"]


def test_runs_that_differ_only_in_their_seed_share_a_name(tmp_path: Path) -> None:
    for name, seed, lr in (
        ("x-seed-0", 0, 1e-4),
        ("x-seed-1", 1, 1e-4),
        ("y,seed=3", 3, 2e-4),
        ("p", 5, 3e-4),
        ("q", 6, 3e-4),
    ):
        recipe = load("strokes-cdcgan", {"train": {"seed": seed}, "method": {"lr": lr}})
        make_run(tmp_path / name).write_recipe(recipe)
    runs = [Run(path) for path in sorted(tmp_path.iterdir())]
    names = [run.path.name for run in runs]
    assert names == ["p", "q", "x-seed-0", "x-seed-1", "y,seed=3"]
    assert figures._names_of_recipes(runs, names) == ["p", "p", "x", "x", "y,seed=3"]


def test_losses_that_have_no_ratio_are_left_out_and_counted() -> None:
    records = [*losses(1, 2, 2), {"nimg": 300, "g_loss": -1, "d_loss": 2}, {"nimg": 400, "g_loss": 0.0, "d_loss": 2}]
    assert several_runs.log_ratios([*records, {"nimg": 500, "g_loss": 1}]) == [(100, -np.log(2)), (200, -np.log(2))]
    curves = [("a", losses(1, 1)), ("critic", records), ("none", losses(-1, 1, 3))]
    drawn = several_runs.balance([Curve(name, found, 100) for name, found in curves])
    assert drawn._supxlabel.get_text() == "Records left out because a loss is not positive: 2 of critic, 3 of none."
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["a", "critic"]


def test_sheets_are_the_nearest_ones(tmp_path: Path) -> None:
    found_sheets: list[tuple[str, dict[int, Path]]] = []
    for name, seen in (("one", (0, 100, 200)), ("two", (0, 90, 300))):
        found = {nimg: tmp_path / f"{name}{nimg}.png" for nimg in seen}
        for nimg, file in found.items():
            save_png(file, np.full((20, 30, 1), nimg // 2, np.uint8), {})
        found_sheets.append((name, found))
    drawn = sheets.sheets_of(found_sheets, [100, 400])
    shown = [[int(axes.images[0].get_array()[0, 0]) for axes in row] for row in np.reshape(drawn.axes, (2, 2))]
    assert shown == [[50, 100], [45, 150]]
    assert [axes.get_title() for axes in drawn.axes] == ["100", "400", "", ""]
    assert [axes.get_xlabel() for axes in drawn.axes] == ["", "200", "90", "300"]
    assert [axes.get_ylabel() for axes in drawn.axes] == ["one", "", "two", ""]
    found_sheets[0][1][100].write_bytes(b"damaged")
    assert not sheets.sheets_of(found_sheets, [100]).axes[0].images


def test_scores_by_numbers_and_by_names() -> None:
    points = [({"lr": 1e-5, "net": "a"}, 3.0), ({"lr": 1e-3, "net": "b"}, 1.0)]
    rate, net = several_runs.scores_by_setting(points, "KID").axes
    assert rate.lines[0].get_xydata().tolist() == [[1e-5, 3], [1e-3, 1]]
    assert (rate.get_xscale(), rate.get_ylabel()) == ("log", "KID")
    assert [label.get_text() for label in net.get_xticklabels()] == ["a", "b"]


def test_runs_together_need_runs_with_something_to_show(tmp_path: Path) -> None:
    for name, g in (("a", 1.0), ("b", 3.0)):
        run = make_run(tmp_path / "runs" / name)
        for record in losses(g, 1):
            run.log.append(record)
        save_png(run.sheet(100), np.zeros((20, 20, 1), np.uint8), {})
    made = figures.draw_together([tmp_path / "runs" / "a", tmp_path / "runs" / "b", tmp_path / "runs" / "a"])
    assert [str(file.relative_to(tmp_path / "runs")) for file in made[::2]] == [
        "figures/balance.png",
        "figures/quantities.png",
        "figures/sheets.png",
    ]
    empty = [make_run(tmp_path / "empty" / name).path for name in "ab"]
    with (
        warned(match="no figure of the balance|has no sample sheet"),
        pytest.raises(UserError, match="nothing to draw"),
    ):
        figures.draw_together(empty)
