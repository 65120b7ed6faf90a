"""Figures of a run: pure functions from records and sheets to matplotlib, and the command that writes them."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ganvas.errors import UserError
from ganvas.images import GAP, load_png
from ganvas.metrics import METRICS
from ganvas.run import Record, Run

Event = Mapping[str, Any]  # of the guard

REAL, FAKE, THIRD, RULE = "#1b7f5c", "#c2410c", "#3b5ba5", "#6b7280"
METRIC_COLUMNS = 4
MONITORS = {
    "score": "score (sliced Wasserstein)",
    "d_loss": "loss of D",
    "g_loss": "loss of G",
    "d_real": "D(real)",  # a probability, or what a critic answers
    "d_fake": "D(fake)",
    "gradient_penalty": "gradient penalty",
    "approximation": "error of the approximation",
    "update_size": "size of an image's update",
    "d_grad_norm": "gradient norm of D",
    "g_grad_norm": "gradient norm of G",
    "d_norm": "weight norm of D",
    "g_norm": "weight norm of G",
    "diversity": "diversity of samples",
    "movement": "movement of samples",
}
SHEET_EPOCHS = (0, 1, 5, 10, 15, 20, 25, 50, 75, 100)


def draw_figures(run: Run | str | Path) -> list[Path]:
    """Write every figure that the run's log allows into `figures/`, as PNG and SVG; returns the files.

    Raises UserError when the run has no record yet.
    """
    run = run if isinstance(run, Run) else Run.existing(run)
    records = run.records()
    if not records:
        raise UserError(f"'{run.path}' has no record yet: train it a little longer")
    events = run.events()
    figures = {"losses": losses(records)}
    if any(name in record for record in records for name in MONITORS):
        figures["monitors"] = monitors(records, events)
    if any("d_fake_validation" in record for record in records):
        figures["confidence"] = confidence(records)
    if any("accuracy_generated" in record for record in records):
        figures["accuracies"] = accuracies(records)
    if any("kl" in record for record in records):
        figures["kl"] = latent_kl(records)
    if any("g_steps" in record for record in records):
        figures["steps"] = steps(records)
    if events:
        figures["guard"] = guarded(records, events)
    if any("score" in record for record in records):
        figures["score"] = score(records)
    if any(name in record for record in records for name in METRICS):
        figures["metrics"] = metrics(records)
    if sheets := run.sheets():
        info = run.info()
        epochs = [int(file.stem) / info["data"]["images"] for file in sheets]
        height = info["data"]["spec"]["height"] + GAP
        figures["epochs"] = epochs_sheet([load_png(file)[0][:height] for file in sheets], epochs)
    files = []
    folder = run.path / "figures"
    folder.mkdir(exist_ok=True)
    for name, figure in figures.items():
        for ending in ("png", "svg"):
            files.append(folder / f"{name}.{ending}")
            figure.savefig(files[-1], dpi=150)
    return files


def confidence(records: Sequence[Record]) -> Figure:
    """D's confidence that an image is real, on generated and on real ones, against images seen."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _curve(left, records, "d_fake_validation", FAKE)
    left.set_title("on generated images (fixed latents)")
    _curve(right, records, "d_real", REAL)
    right.set_title("on real images")
    for axes in (left, right):
        axes.axhline(0.5, color=RULE, linestyle="--", linewidth=1)
        axes.set_ylim(0, 1)
        axes.annotate("1/2", (0.995, 0.5), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=RULE)
    left.set_ylabel("confidence that it is real")
    figure.suptitle("Confidence of the discriminator")
    return figure


def losses(records: Sequence[Record]) -> Figure:
    """The losses of the networks against images seen."""
    curves = (("d_loss", "discriminator", REAL), ("g_loss", "generator", FAKE), ("vae_loss", "autoencoder", THIRD))
    return _together(records, curves, "Losses", "loss")


def accuracies(records: Sequence[Record]) -> Figure:
    """What the discriminator gets right, and what it lets pass, against images seen."""
    curves = (
        ("accuracy_real", "real images known", REAL),
        ("accuracy_generated", "generated images that pass", FAKE),
        ("accuracy_detected", "generated images found out", THIRD),
    )
    figure = _together(records, curves, "Accuracies", "share of the batch")
    figure.axes[0].set_ylim(0, 1)
    return figure


def latent_kl(records: Sequence[Record]) -> Figure:
    """How far the encoder's latents are from normal noise, against images seen."""
    return _together(records, (("kl", "", REAL),), "Distance of the latents from N(0, 1)", "KL per image (nats)")


def steps(records: Sequence[Record]) -> Figure:
    """How often each network learned per batch, against images seen."""
    curves = (("g_steps", "generator", FAKE), ("d_steps", "discriminator", REAL))
    figure = _together(records, curves, "Updates per batch", "updates (mean)")
    figure.axes[0].set_ylim(bottom=0)
    return figure


def _together(records: Sequence[Record], curves: Sequence[tuple[str, str, str]], title: str, unit: str) -> Figure:
    """Curves (name, label, colour) in one plot, those that the records have."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    for name, label, colour in curves:
        _curve(axes, records, name, colour, label)
    axes.set_title(title)
    axes.set_ylabel(unit)
    if any(line.get_label() and not str(line.get_label()).startswith("_") for line in axes.lines):
        axes.legend(frameon=False)
    return figure


def score(records: Sequence[Record]) -> Figure:
    """The score of every checkpoint against images seen; lower is better."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    scored = [record for record in records if record.get("score") is not None]
    _curve(axes, scored, "score", REAL, smooth=False)
    best = min(scored, key=lambda record: record["score"])
    axes.plot(best["nimg"], best["score"], "o", color=FAKE)
    axes.annotate(
        f"best: {best['score']:.4f}",
        (best["nimg"], best["score"]),
        textcoords="offset points",
        xytext=(0, 8),
        ha="right",
    )
    axes.set_ylim(bottom=0)
    axes.set_title("Score of the checkpoints (lower is better)")
    axes.set_ylabel("sliced Wasserstein distance")
    return figure


def metrics(records: Sequence[Record]) -> Figure:
    """Every score of the evaluations while training, against images seen."""
    arrows = {"lower": "↓", "higher": "↑", "": ""}
    titles = {name: f"{metric.title} {arrows[metric.better]}" for name, metric in METRICS.items()}
    return _small_multiples(records, titles, "Scores of the evaluations", smooth=False)


def monitors(records: Sequence[Record], events: Sequence[Event] = ()) -> Figure:
    """What was recorded while training, against images seen, and where the guard stepped in."""
    return _small_multiples(records, MONITORS, "Monitors", events=events)


def guarded(records: Sequence[Record], events: Sequence[Event]) -> Figure:
    """The losses with what was lost when the guard went back, and what it said."""
    figure = Figure(figsize=(9, 4.6 + 0.22 * len(events)), layout="constrained")
    axes = figure.subplots()
    _mark(axes, events, numbered=True)
    for name, label, colour in (("d_loss", "discriminator", REAL), ("g_loss", "generator", FAKE)):
        for event in events:
            points = [(r["nimg"], r[name]) for r in event["records"] if r.get(name) is not None]
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=":") if points else None
        _curve(axes, records, name, colour, label, smooth=False)
    positive = [r[name] for r in records for name in ("d_loss", "g_loss") if r.get(name) is not None]
    if positive and min(positive) > 0:
        axes.set_yscale("log")
    axes.set_title("Losses, and what the guard did (dotted: lost by going back)", pad=18)
    axes.set_ylabel("loss")
    if any(not str(line.get_label()).startswith("_") for line in axes.lines):
        axes.legend(frameon=False)
    said = [f"{i}. {event['said']}; {_done(event)}" for i, event in enumerate(events, 1)]
    figure.supxlabel("\n".join(textwrap.fill(line, 120) for line in said), fontsize=8, ha="left", x=0.02)
    return figure


def _done(event: Event) -> str:
    if event["back_to"] is None:
        return "stopped"
    changes = ", ".join(f"{field} × {factor:g}" for field, factor in event["factors"].items())
    return f"back to {event['back_to']:,}" + (f" with {changes}" if changes else "")


def _mark(axes: Axes, events: Sequence[Event], numbered: bool = False) -> None:
    """A line where the guard stepped in."""
    for number, event in enumerate(events, 1):
        axes.axvline(event["nimg"], color=RULE, linestyle="--", linewidth=0.8)
        if numbered:
            axes.annotate(f"{number}", (event["nimg"], 1), xycoords=("data", "axes fraction"), va="bottom", ha="center")


def _small_multiples(
    records: Sequence[Record], titles: Mapping[str, str], title: str, smooth: bool = True, events: Sequence[Event] = ()
) -> Figure:
    """A small plot for each quantity (name -> title) that the records have."""
    names = [name for name in titles if any(record.get(name) is not None for record in records)]
    rows = -(-len(names) // METRIC_COLUMNS)
    figure = Figure(figsize=(2.7 * METRIC_COLUMNS, 2.2 * rows), layout="constrained")
    grid = list(figure.subplots(rows, METRIC_COLUMNS, squeeze=False).flat)
    for axes, name in zip(grid, names, strict=False):
        _mark(axes, events)
        _curve(axes, records, name, REAL, smooth=smooth)
        axes.set_title(titles[name], fontsize=10)
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    figure.suptitle(title)
    return figure


def epochs_sheet(rows: Sequence[np.ndarray], epochs: Sequence[float]) -> Figure:
    """One row of samples per epoch, from latents that never change. Rows are uint8 [h, w, C]."""
    chosen = _spread(epochs)
    height, width = rows[0].shape[:2]
    figure = Figure(figsize=(0.9 + 6.6, 0.55 + 6.6 * height / width * len(chosen)), layout="constrained")
    for axes, index in zip(np.atleast_1d(figure.subplots(len(chosen), 1)), chosen, strict=True):
        picture = rows[index]
        axes.imshow(picture[..., 0] if picture.shape[-1] == 1 else picture, cmap="gray", vmin=0, vmax=255)
        axes.set_ylabel(f"{round(epochs[index], 1):g}", rotation=0, ha="right", va="center")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
    figure.supylabel("epoch")
    return figure


def _spread(epochs: Sequence[float]) -> list[int]:
    """Which rows to show: all when they are few, else those nearest to the usual epochs."""
    if len(epochs) <= len(SHEET_EPOCHS):
        return list(range(len(epochs)))
    distance = np.abs(np.subtract.outer(np.array(SHEET_EPOCHS), np.array(epochs)))
    near = {int(row.argmin()) for row in distance if row.min() < 0.5}
    return sorted(near | {len(epochs) - 1})


def _curve(
    axes: Axes, records: Sequence[Record], name: str, colour: str, label: str | None = None, smooth: bool = True
) -> None:
    """One quantity against images seen: every record faintly, and their moving average, which the eye can follow."""
    points = [(record["nimg"], record[name]) for record in records if record.get(name) is not None]
    if not points:
        return
    nimg, values = np.array(points, dtype=float).T
    window = max(1, len(values) // 40) if smooth else 1
    if window > 1:
        axes.plot(nimg, values, color=colour, alpha=0.25, linewidth=0.8)
        kernel = np.ones(window)
        values = np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
    axes.plot(nimg, values, color=colour, linewidth=1.8, label=label, marker="" if smooth else ".")
    axes.set_xlabel("images seen")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(FuncFormatter(_images))
    axes.grid(alpha=0.2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _images(value: float, _: object = None) -> str:
    """1500000 -> 1.5M, 60000 -> 60k."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
