from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from ganvas import plot
from ganvas.errors import UserError
from ganvas.recipe import Recipe
from ganvas.run import Run
from ganvas.train import train

RECORDS = [
    {"nimg": n, "d_loss": 1.4, "d_real": 0.9 - n / 1000, "d_fake_validation": n / 1000, "score": 3.0 - n / 200}
    for n in range(0, 400, 4)
]


def test_confidence_shows_both_curves_and_one_half() -> None:
    left, right = plot.confidence(RECORDS).axes
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
        (plot.losses, {"discriminator": "d_loss", "generator": "g_loss", "autoencoder": "vae_loss"}),
        (
            plot.accuracies,
            {
                "real images known": "accuracy_real",
                "generated images that pass": "accuracy_generated",
                "generated images found out": "accuracy_detected",
            },
        ),
        (plot.steps, {"generator": "g_steps", "discriminator": "d_steps"}),
    ],
)
def test_curves_are_what_their_labels_say(
    draw: Callable[[list[dict[str, float]]], Figure], names: dict[str, str]
) -> None:
    (axes,) = draw(LEARNING).axes
    shown = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert shown == {label: [record[name] for record in LEARNING] for label, name in names.items()}


def test_the_curve_of_the_latents_needs_no_legend() -> None:
    (axes,) = plot.latent_kl(LEARNING).axes
    assert list(axes.lines[0].get_ydata()) == [4] * 4
    assert axes.get_legend() is None


def test_score_marks_the_best() -> None:
    (axes,) = plot.score(RECORDS).axes
    assert axes.lines[-1].get_xydata().tolist() == [[396, min(record["score"] for record in RECORDS)]]


def test_sheet_of_epochs_shows_all_of_few_and_some_of_many() -> None:
    rows = [np.full((18, 182, 1), i, np.uint8) for i in range(60)]
    few = plot.epochs_sheet(rows[:4], range(4))
    assert [axes.get_ylabel() for axes in few.axes] == ["0", "1", "2", "3"]
    many = plot.epochs_sheet(rows, range(60))
    assert [axes.get_ylabel() for axes in many.axes] == ["0", "1", "5", "10", "15", "20", "25", "50", "59"]


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (500, "500"), (60_000, "60k"), (1_500_000, "1.5M")])
def test_ticks_are_short(value: float, text: str) -> None:
    assert plot._images(value) == text


def test_a_run_of_two_epochs_in_colour_and_without_records(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = tiny(data={"channels": 3}, method={"conditional": False}, train={"images": 120})
    list(train(recipe, tmp_path / "run", device="cpu"))
    assert len(plot.draw_figures(tmp_path / "run")) == 10
    Run(tmp_path / "run").log_file.unlink()
    with pytest.raises(UserError, match="no record yet"):
        plot.draw_figures(tmp_path / "run")


def test_scores_of_evaluations_get_a_figure() -> None:
    records = [
        {"nimg": 100 * i, "d_loss": 1.0, **({"kid": 5.0 - i, "recall": 0.1 * i} if i % 2 == 0 else {})}
        for i in range(1, 7)
    ]
    figure = plot.metrics(records)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["KID ↓", "recall ↑"]
    assert shown[0].lines[0].get_xydata().tolist() == [[200, 3.0], [400, 1.0], [600, -1.0]]
