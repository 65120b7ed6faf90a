"""The style of all figures: colours, lines with their moving average, bands over seeds, and the files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from ganvas.core import files
from ganvas.runs.log import Record

REAL, FAKE, THIRD, RULE = "#1b7f5c", "#c2410c", "#3b5ba5", "#6b7280"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito, 2008
STYLES = ("-", "-.", ":")  # a second and third round through the colours
COLUMNS = 4  # small plots in a row
WINDOWS = 40  # the window of a moving average is the number of records divided by this
BAND_ALPHA = 0.2


def save(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write figures by name into a folder, as PNG and SVG, the same bytes each time; returns the files."""
    saved = []
    for name, figure in figures.items():
        for ending, metadata in (("png", None), ("svg", {"Date": None})):
            saved.append(folder / f"{name}.{ending}")
            # Without a salt, the names inside an SVG are random.
            with files.atomic(saved[-1]) as file, matplotlib.rc_context({"svg.hashsalt": "ganvas"}):
                figure.savefig(file, format=ending, dpi=150, metadata=metadata)
    return saved


def look(i: int) -> tuple[str, str]:
    """Colour and style of the i-th of several lines."""
    return COLOURS[i % len(COLOURS)], STYLES[i // len(COLOURS) % len(STYLES)]


def legend_beside(figure: Figure, lines: Mapping[str, Artist]) -> None:
    """Add a legend beside the axes, where there is room for many names."""
    shown = figure.legend(lines.values(), lines.keys(), loc="outside right upper", frameon=False, fontsize=9)
    for text in shown.get_texts():  # a path may contain dollar signs
        text.set_parse_math(False)


def small_plots(
    count: int, height: float = 2.2, columns: int = COLUMNS, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of `count` small plots; unused places are hidden."""
    rows = -(-count // columns)
    figure = Figure(figsize=(2.7 * columns, height * rows), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).flat)
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, grid[:count]


def curve(
    axes: Axes, records: Sequence[Record], name: str, colour: str, label: str | None = None, smooth: bool = True
) -> None:
    """Draw one quantity against images seen: all records faintly, under their moving average."""
    nimg, values = points(records, name)
    if len(nimg):
        line(axes, nimg, values, colour, label=label, smooth=smooth)
        label_images_seen(axes)


def points(records: Sequence[Record], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images seen and values of a quantity, for the records that have it."""
    found = [(record["nimg"], record[name]) for record in records if record.get(name) is not None]
    nimg, values = np.array(found, dtype=float).reshape(-1, 2).T
    return nimg, values


def label_images_seen(axes: Axes) -> None:
    axes.set_xlabel("images seen")
    axes.xaxis.set_major_formatter(FuncFormatter(short_number))


def line(
    axes: Axes,
    x: np.ndarray,
    values: np.ndarray,
    colour: str,
    style: str = "-",
    label: str | None = None,
    smooth: bool = True,
) -> Line2D:
    """Draw all values faintly, under their moving average; returns the line of the moving average."""
    if smooth and window(values) > 1:
        axes.plot(x, values, color=colour, alpha=0.25, linewidth=0.8)
        values = moving_average(values)
    marker = "" if smooth else "."
    (drawn,) = axes.plot(x, values, color=colour, linestyle=style, linewidth=1.8, label=label, marker=marker)
    plain_axes(axes)
    return drawn


def band(
    axes: Axes, seeds: Sequence[tuple[np.ndarray, np.ndarray]], colour: str, style: str = "-", smooth: bool = True
) -> Line2D:
    """Draw the mean over seeds, each (x, values), with a band from the lowest to the highest; returns the mean's line.

    With `smooth`, these are of the moving averages. Seeds are interpolated linearly between their records; where a seed
    has no records, mean and band are those of the others.
    """
    x = np.unique(np.concatenate([x for x, _ in seeds]))
    values = np.stack(
        [np.interp(x, at, moving_average(y) if smooth else y, left=np.nan, right=np.nan) for at, y in seeds]
    )
    axes.fill_between(x, np.nanmin(values, 0), np.nanmax(values, 0), color=colour, alpha=BAND_ALPHA, linewidth=0)
    (drawn,) = axes.plot(x, np.nanmean(values, 0), color=colour, linestyle=style, linewidth=1.8)
    plain_axes(axes)
    return drawn


def window(values: np.ndarray) -> int:
    """The window of a moving average, in records."""
    return max(1, len(values) // WINDOWS)


def moving_average(values: np.ndarray) -> np.ndarray:
    """The mean over a window of values, which is cut off at both ends."""
    kernel = np.ones(window(values))
    means: np.ndarray = np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
    return means


def plain_axes(axes: Axes) -> None:
    axes.set_xlim(left=0)
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)


def short_number(value: float, _: object = None) -> str:
    """Format a number: 1500000 -> 1.5M, 60000 -> 60k."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
