"""Figures of runs: pure functions from records and sheets to matplotlib, and the commands that write them."""

import logging
import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.images import GAP, load_png
from ganvas.metrics import METRICS
from ganvas.runs.guard_journal import GuardEvent
from ganvas.runs.log import Record
from ganvas.runs.run import Run

logger = logging.getLogger("ganvas")

REAL, FAKE, THIRD, RULE = "#1b7f5c", "#c2410c", "#3b5ba5", "#6b7280"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito, 2008
STYLES = ("-", "-.", ":")  # a second and third round through the colours
METRIC_COLUMNS = 4
MONITORS = {
    "score": "score (sliced Wasserstein)",
    "d_loss": "loss of D",
    "g_loss": "loss of G",
    "d_real": "D(real)",  # a probability, or what a critic answers
    "d_fake": "D(fake)",
    "augment_p": "probability of augmentation",
    "gradient_penalty": "gradient penalty",
    "approximation": "error of the approximation",
    "update_size": "size of an image's update",
    "eta": "length of a step, η",
    "rise": "rise of D, of what is promised",
    "d_grad_norm": "gradient norm of D",
    "g_grad_norm": "gradient norm of G",
    "d_norm": "weight norm of D",
    "g_norm": "weight norm of G",
    "e_grad_norm": "gradient norm of the encoder",
    "e_norm": "weight norm of the encoder",
    "diversity": "diversity of samples",
    "classes": "classes of samples",
    "movement": "movement of samples",
}
SHEET_EPOCHS = (0, 1, 5, 10, 15, 20, 25, 50, 75, 100)
SHEETS_ACROSS = 5  # of each run, where nobody says which


def draw_figures(run: Run | str | Path) -> list[Path]:
    """Write every figure that the run's log allows into `figures/`, as PNG and SVG; returns the files.

    Raises UserError when the run has no record yet.
    """
    run = _existing(run)
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
        epochs = [int(file.stem) / info.data.images for file in sheets]
        height = info.data.spec.height + GAP
        figures["epochs"] = epochs_sheet([load_png(file)[0][:height] for file in sheets], epochs)
    return save(figures, run.path / "figures")


def draw_together(paths: Sequence[Run | str | Path], at: Sequence[int] = (), out: Path | None = None) -> list[Path]:
    """Write figures that show several runs, as PNG and SVG: their balance, and their samples; returns the files.

    `at` names images seen whose samples are shown; left out, those at even distances in the longest run. The files go
    to `out`, or to `figures/` in the innermost folder that holds all the runs. Warns of what a run lacks.

    Raises UserError for a path that is no run, and when no run has anything to show.
    """
    runs = list({run.path.resolve(): run for run in map(_existing, paths)}.values())
    names = [run.path.name for run in runs]
    names = [str(run.path) if names.count(run.path.name) > 1 else run.path.name for run in runs]
    curves = [(name, run.records()) for name, run in zip(names, runs, strict=True)]
    sheets = [(name, {int(file.stem): file for file in run.sheets()}) for name, run in zip(names, runs, strict=True)]
    figures = {}
    if any(log_ratios(records) for _, records in curves):
        figures["balance"] = balance(curves, [run.info().data.images for run in runs])
    else:
        logger.warning("no figure of the balance: no run has records whose two losses are positive")
    for name, found in sheets:
        if not found:
            logger.warning(f"'{name}' has no sample sheet yet, and no row in the figure of samples")
    if sheets := [(name, found) for name, found in sheets if found]:
        longest = sorted(max((found for _, found in sheets), key=max))
        steps = np.linspace(0, len(longest) - 1, SHEETS_ACROSS).round().astype(int)
        figures["sheets"] = sheets_of(sheets, at or [longest[i] for i in dict.fromkeys(steps)])
    if not figures:
        raise UserError("nothing to draw: train the runs a little longer")
    return save(figures, out or Path(os.path.commonpath([run.path.resolve().parent for run in runs])) / "figures")


def _existing(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else Run.existing(run)


def save(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write figures by name into a folder, as PNG and SVG; returns the files."""
    saved = []
    for name, figure in figures.items():
        for ending in ("png", "svg"):
            saved.append(folder / f"{name}.{ending}")
            with files.atomic(saved[-1]) as file:
                figure.savefig(file, format=ending, dpi=150)
    return saved


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


def monitors(records: Sequence[Record], events: Sequence[GuardEvent] = ()) -> Figure:
    """What was recorded while training, against images seen, and where the guard stepped in."""
    return _small_multiples(records, MONITORS, "Monitors", events=events)


def guarded(records: Sequence[Record], events: Sequence[GuardEvent]) -> Figure:
    """The losses with what was lost when the guard went back, and what it said."""
    figure = Figure(figsize=(9, 4.6 + 0.22 * len(events)), layout="constrained")
    axes = figure.subplots()
    _mark(axes, events, numbered=True)
    for name, label, colour in (("d_loss", "discriminator", REAL), ("g_loss", "generator", FAKE)):
        for event in events:
            points = [(r["nimg"], r[name]) for r in event.records if r.get(name) is not None]
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=":") if points else None
        _curve(axes, records, name, colour, label, smooth=False)
    positive = [r[name] for r in records for name in ("d_loss", "g_loss") if r.get(name) is not None]
    if positive and min(positive) > 0:
        axes.set_yscale("log")
    axes.set_title("Losses, and what the guard did (dotted: lost by going back)", pad=18)
    axes.set_ylabel("loss")
    if any(not str(line.get_label()).startswith("_") for line in axes.lines):
        axes.legend(frameon=False)
    said = [f"{i}. {event.said}; {_done(event)}" for i, event in enumerate(events, 1)]
    figure.supxlabel("\n".join(textwrap.fill(line, 120) for line in said), fontsize=8, ha="left", x=0.02)
    return figure


def _done(event: GuardEvent) -> str:
    if event.back_to is None:
        return "stopped"
    changes = ", ".join(f"{field} × {factor:g}" for field, factor in event.factors.items())
    return f"back to {event.back_to:,}" + (f" with {changes}" if changes else "")


def _mark(axes: Axes, events: Sequence[GuardEvent], numbered: bool = False) -> None:
    """A line where the guard stepped in."""
    for number, event in enumerate(events, 1):
        axes.axvline(event.nimg, color=RULE, linestyle="--", linewidth=0.8)
        if numbered:
            axes.annotate(f"{number}", (event.nimg, 1), xycoords=("data", "axes fraction"), va="bottom", ha="center")


def _small_multiples(
    records: Sequence[Record],
    titles: Mapping[str, str],
    title: str,
    smooth: bool = True,
    events: Sequence[GuardEvent] = (),
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
        _show(axes, rows[index])
        axes.set_ylabel(f"{round(epochs[index], 1):g}", rotation=0, ha="right", va="center")
    figure.supylabel("epoch")
    return figure


def _show(axes: Axes, picture: np.ndarray | None) -> None:
    """A picture, uint8 [h, w, C], without a frame; None leaves its place empty."""
    if picture is not None:
        axes.imshow(picture[..., 0] if picture.shape[-1] == 1 else picture, cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _spread(epochs: Sequence[float]) -> list[int]:
    """Which rows to show: all when they are few, else those nearest to the usual epochs."""
    if len(epochs) <= len(SHEET_EPOCHS):
        return list(range(len(epochs)))
    distance = np.abs(np.subtract.outer(np.array(SHEET_EPOCHS), np.array(epochs)))
    near = {int(row.argmin()) for row in distance if row.min() < 0.5}
    return sorted(near | {len(epochs) - 1})


# -- several runs -----------------------------------------------------------------------------------------------------


def log_ratios(records: Sequence[Record]) -> list[tuple[int, float]]:
    """(images seen, ln(loss of G / loss of D)) of every record whose losses are both positive: only these have one."""
    both = [(r["nimg"], r["g_loss"], r["d_loss"]) for r in records if _has_losses(r)]
    return [(nimg, math.log(g / d)) for nimg, g, d in both if g > 0 and d > 0]


def _has_losses(record: Record) -> bool:
    return record.get("g_loss") is not None and record.get("d_loss") is not None


def balance(curves: Sequence[tuple[str, Sequence[Record]]], data_sizes: Sequence[int]) -> Figure:
    """ln(loss of G : loss of D) against epochs, a curve per run, and a rule at 0, where they are equal.

    `curves` are names and records; those that share a name (seeds, say) share a colour. `data_sizes` has the images of
    each run's epoch. Records with a loss that is not positive, as those of a critic may be, have no such ratio: they
    are left out, and the figure says how many. Where the loss of D is a sum over real and generated images, as that of
    the plain GAN, a D that can only guess is at -ln 2.
    """
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color=RULE, linestyle="--", linewidth=1)
    for text, y in (("loss of G is larger", 1), ("loss of D is larger", 0)):
        axes.annotate(text, (0.995, y), xycoords="axes fraction", ha="right", va="top" if y else "bottom", color=RULE)
    names = list(dict.fromkeys(name for name, _ in curves))
    legend, lost = {}, dict.fromkeys(names, 0)
    for (name, records), size in zip(curves, data_sizes, strict=True):
        points = log_ratios(records)
        lost[name] += sum(map(_has_losses, records)) - len(points)
        if points:
            nimg, ratios = np.array(points).T
            legend[name] = _line(axes, nimg / size, ratios, *_look(names.index(name)))
    axes.set_xlabel("epoch")
    axes.set_ylabel("ln(loss of G : loss of D)")
    axes.set_title("Balance of the losses")
    _legend(figure, legend)
    if any(lost.values()):
        said = ", ".join(f"{count:,} of {name}" for name, count in lost.items() if count)
        note = textwrap.fill(f"Left out, as a loss is not positive: records {said}.", 110)
        figure.supxlabel(note, fontsize=8, ha="left", x=0.02).set_parse_math(False)
    return figure


def sheets_of(sheets: Sequence[tuple[str, Mapping[int, Path]]], at: Sequence[int]) -> Figure:
    """Samples of several runs: a row per run, a column for each number of images seen in `at`.

    `sheets` are names and sample sheets by images seen, of which the nearest is shown; where it is another number, that
    stands below. A sheet that cannot be read leaves its place empty.
    """
    chosen = [[min(found, key=lambda nimg: abs(nimg - n)) for n in at] for _, found in sheets]
    pictures = [[_read(found[nimg]) for nimg in row] for (_, found), row in zip(sheets, chosen, strict=True)]
    shapes = [next((p.shape[:2] for p in row if p is not None), (1, 1)) for row in pictures]
    heights = [min(1.0, height / width) for height, width in shapes]  # tall ones, of few classes, become smaller
    figure = Figure(figsize=(0.4 + 2.3 * len(at), 0.4 + 2.3 * sum(heights) + 0.25 * len(sheets)), layout="constrained")
    grid = figure.subplots(len(sheets), len(at), squeeze=False, height_ratios=heights)
    for i, (name, _) in enumerate(sheets):
        grid[i, 0].set_ylabel(textwrap.fill(name, max(12, round(30 * heights[i]))), fontsize=9).set_parse_math(False)
        for j, n in enumerate(at):
            _show(grid[i, j], pictures[i][j])
            if i == 0:
                grid[i, j].set_title(f"{n:,}", fontsize=10)
            if chosen[i][j] != n:
                grid[i, j].set_xlabel(f"{chosen[i][j]:,}", fontsize=8)
    figure.suptitle("Samples by images seen")
    return figure


def _read(sheet: Path) -> np.ndarray | None:
    with suppress(OSError, ValueError, SyntaxError):  # somebody damaged it
        return load_png(sheet)[0]
    return None


def scores_by_setting(points: Sequence[tuple[Mapping[str, object], float]], what: str) -> Figure:
    """A score (`what`) against each setting, a small plot per setting; a dot for each of `points` (settings, score).

    Settings that are not numbers, or that have a list, are categories in the order in which they come.
    """
    keys = list(dict.fromkeys(key for settings, _ in points for key in settings))
    rows = -(-len(keys) // METRIC_COLUMNS)
    columns = min(METRIC_COLUMNS, len(keys))
    figure = Figure(figsize=(max(5.0, 2.7 * columns), 3.0 * rows), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for axes, key in zip(grid, keys, strict=False):
        values = [settings[key] for settings, _ in points]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        x = numbers if len(numbers) == len(values) else [str(value) for value in values]
        axes.plot(x, [score for _, score in points], "o", color=REAL, alpha=0.7)
        if x is numbers and min(numbers) > 0 and max(numbers) >= 10 * min(numbers):
            axes.set_xscale("log")
        axes.set_xlabel(key)
        axes.grid(alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(keys) :]:
        axes.set_visible(False)
    for axes in grid[::columns]:
        axes.set_ylabel(what)
    return figure


def _look(i: int) -> tuple[str, str]:
    """Colour and style of the i-th of several lines."""
    return COLOURS[i % len(COLOURS)], STYLES[i // len(COLOURS) % len(STYLES)]


def _legend(figure: Figure, lines: Mapping[str, Line2D]) -> None:
    """Beside the axes, where many names have room."""
    shown = figure.legend(lines.values(), lines.keys(), loc="outside right upper", frameon=False, fontsize=9)
    for text in shown.get_texts():  # a path may hold dollar signs
        text.set_parse_math(False)


# -- lines ------------------------------------------------------------------------------------------------------------


def _curve(
    axes: Axes, records: Sequence[Record], name: str, colour: str, label: str | None = None, smooth: bool = True
) -> None:
    """One quantity against images seen: every record faintly, and their moving average, which the eye can follow."""
    points = [(record["nimg"], record[name]) for record in records if record.get(name) is not None]
    if not points:
        return
    nimg, values = np.array(points, dtype=float).T
    _line(axes, nimg, values, colour, label=label, smooth=smooth)
    axes.set_xlabel("images seen")
    axes.xaxis.set_major_formatter(FuncFormatter(_images))


def _line(
    axes: Axes,
    x: np.ndarray,
    values: np.ndarray,
    colour: str,
    style: str = "-",
    label: str | None = None,
    smooth: bool = True,
) -> Line2D:
    """Every value faintly, and their moving average, which is returned."""
    window = max(1, len(values) // 40) if smooth else 1
    if window > 1:
        axes.plot(x, values, color=colour, alpha=0.25, linewidth=0.8)
        kernel = np.ones(window)
        values = np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
    marker = "" if smooth else "."
    (line,) = axes.plot(x, values, color=colour, linestyle=style, linewidth=1.8, label=label, marker=marker)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    return line


def _images(value: float, _: object = None) -> str:
    """1500000 -> 1.5M, 60000 -> 60k."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
