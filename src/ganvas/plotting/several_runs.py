"""Figures that compare several runs."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ganvas.metrics import METRICS
from ganvas.plotting.quantities import MONITORS, metric_titles
from ganvas.plotting.style import (
    BAND_ALPHA,
    COLUMNS,
    REAL,
    RULE,
    band,
    label_images_seen,
    legend_beside,
    line,
    look,
    points,
    small_plots,
)
from ganvas.runs.log import Record

BAND = "band: lowest to highest seed,\nwhere two or more have records"

Points = tuple[np.ndarray, np.ndarray]  # x, values


class Curve(NamedTuple):
    """The records of a run. Runs with the same `name` are seeds of one recipe, drawn as a mean with a band."""

    name: str
    records: Sequence[Record]
    batch_size: int


def log_ratios(records: Sequence[Record]) -> list[tuple[int, float]]:
    """(images seen, ln(loss of G / loss of D)) for every record whose losses are both positive."""
    both = [(r["nimg"], r["g_loss"], r["d_loss"]) for r in records if _has_losses(r)]
    return [(nimg, math.log(g / d)) for nimg, g, d in both if g > 0 and d > 0]


def _has_losses(record: Record) -> bool:
    return record.get("g_loss") is not None and record.get("d_loss") is not None


def balance(curves: Sequence[Curve]) -> Figure:
    """ln(loss of G / loss of D) against iterations, with a line for each name, and a dashed line at 0, equal losses.

    An iteration is one batch seen. Records are drawn faintly, under their moving average; for several seeds, the mean
    of the moving averages is drawn, with a band from the lowest to the highest. Records with a loss that is not
    positive, which happens with critics, have no such ratio; they are left out, and the figure says how many. With a D
    that only guesses, the ratio is -ln 2 if D's loss is a sum over real and generated images, as in the plain GAN.
    """
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color=RULE, linestyle="--", linewidth=1)
    for text, y in (("loss of G is larger", 1), ("loss of D is larger", 0)):
        axes.annotate(text, (0.995, y), xycoords="axes fraction", ha="right", va="top" if y else "bottom", color=RULE)
    seeds: dict[str, list[Points]] = {curve.name: [] for curve in curves}
    lost = dict.fromkeys(seeds, 0)
    for name, records, batch_size in curves:
        ratios = log_ratios(records)
        lost[name] += sum(map(_has_losses, records)) - len(ratios)
        if ratios:
            nimg, values = np.array(ratios).T
            seeds[name].append((nimg / batch_size, values))
    legend_beside(figure, _draw(axes, seeds))
    axes.set_xlabel("iterations (batches seen)")
    axes.set_ylabel("ln(loss of G / loss of D)")
    axes.set_title("Balance of the losses")
    if any(lost.values()):
        said = ", ".join(f"{count:,} of {name}" for name, count in lost.items() if count)
        note = textwrap.fill(f"Records left out because a loss is not positive: {said}.", 110)
        figure.supxlabel(note, fontsize=8, ha="left", x=0.02).set_parse_math(False)
    return figure


def quantities(curves: Sequence[Curve]) -> Figure:
    """All recorded quantities against images seen: a small plot for each quantity, a line for each name."""
    keys, metrics = recorded(curves), metric_titles()
    titles = MONITORS | metrics
    figure, grid = small_plots(len(keys))
    legend: dict[str, Artist] = {}
    for axes, key in zip(grid, keys, strict=True):
        seeds: dict[str, list[Points]] = {curve.name: [] for curve in curves}
        for curve in curves:
            found = points(curve.records, key)
            if len(found[0]):
                seeds[curve.name].append(found)
        legend |= _draw(axes, seeds, smooth=key not in metrics and key != "score")
        label_images_seen(axes)
        axes.set_title(titles[key], fontsize=10)
    if BAND in legend:
        legend[BAND] = legend.pop(BAND)  # last
    legend_beside(figure, legend)
    return figure


def recorded(curves: Sequence[Curve]) -> list[str]:
    """The names of the quantities that at least one run has recorded."""
    found = {key for curve in curves for record in curve.records for key, value in record.items() if value is not None}
    return [key for key in (*MONITORS, *METRICS) if key in found]


def _draw(axes: Axes, seeds: Mapping[str, Sequence[Points]], smooth: bool = True) -> dict[str, Artist]:
    """Draw a line for each name, or a mean with a band for several seeds; returns the entries of the legend."""
    legend: dict[str, Artist] = {}
    for i, (name, found) in enumerate(seeds.items()):
        if len(found) > 1:
            legend[f"{name}, mean of {len(found)} seeds"] = band(axes, found, *look(i), smooth=smooth)
        elif found:
            legend[name] = line(axes, *found[0], *look(i), smooth=smooth)
    if any(len(found) > 1 for found in seeds.values()):
        legend[BAND] = Patch(color=RULE, alpha=BAND_ALPHA, linewidth=0)
    return legend


def scores_by_setting(points: Sequence[tuple[Mapping[str, object], float]], title: str) -> Figure:
    """A score (`title`) against each setting: a small plot per setting, with a dot for each of `points`.

    A point is (settings, score). Values that are not numbers are categories in order of appearance.
    """
    keys = list(dict.fromkeys(key for settings, _ in points for key in settings))
    columns = min(COLUMNS, len(keys))
    figure, grid = small_plots(len(keys), 3.0, columns, sharey=True)
    figure.set_figwidth(max(5.0, figure.get_figwidth()))
    for axes, key in zip(grid, keys, strict=True):
        values = [settings[key] for settings, _ in points]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        x = numbers if len(numbers) == len(values) else [str(value) for value in values]
        axes.plot(x, [score for _, score in points], "o", color=REAL, alpha=0.7)
        if x is numbers and min(numbers) > 0 and max(numbers) >= 10 * min(numbers):
            axes.set_xscale("log")
        axes.set_xlabel(key)
        axes.grid(alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[::columns]:
        axes.set_ylabel(title)
    return figure
