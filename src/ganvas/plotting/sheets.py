"""Figures of sample sheets: of one run by epochs, or of several runs by images seen."""

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ganvas.core.images import load_png, on_white

SHEET_EPOCHS = (0, 1, 5, 10, 15, 20, 25, 50, 75, 100)


def epochs_sheet(rows: Sequence[np.ndarray], epochs: Sequence[float]) -> Figure:
    """One row of samples per epoch, from fixed latents. Rows are uint8 [h, w, C]."""
    chosen = _spread(epochs)
    height, width = rows[0].shape[:2]
    figure = Figure(figsize=(0.9 + 6.6, 0.55 + 6.6 * height / width * len(chosen)), layout="constrained")
    for axes, index in zip(np.atleast_1d(figure.subplots(len(chosen), 1)), chosen, strict=True):
        _show(axes, rows[index])
        axes.set_ylabel(f"{round(epochs[index], 1):g}", rotation=0, ha="right", va="center")
    figure.supylabel("epoch")
    return figure


def sheets_of(sheets: Sequence[tuple[str, Mapping[int, Path]]], at: Sequence[int]) -> Figure:
    """Samples of several runs: a row per run, a column for each number of images seen in `at`.

    `sheets` are names and sample sheets by images seen. The nearest sheet is shown; if its number of images differs, it
    is labelled below. The place of a sheet that cannot be read stays empty.
    """
    chosen = [[min(found, key=lambda nimg: abs(nimg - n)) for n in at] for _, found in sheets]
    images = [[_read(found[nimg]) for nimg in row] for (_, found), row in zip(sheets, chosen, strict=True)]
    shapes = [next((image.shape[:2] for image in row if image is not None), (1, 1)) for row in images]
    heights = [min(1.0, height / width) for height, width in shapes]  # tall sheets, of few classes, are drawn smaller
    figure = Figure(figsize=(0.4 + 2.3 * len(at), 0.4 + 2.3 * sum(heights) + 0.25 * len(sheets)), layout="constrained")
    grid = figure.subplots(len(sheets), len(at), squeeze=False, height_ratios=heights)
    for i, (name, _) in enumerate(sheets):
        grid[i, 0].set_ylabel(textwrap.fill(name, max(12, round(30 * heights[i]))), fontsize=9).set_parse_math(False)
        for j, n in enumerate(at):
            _show(grid[i, j], images[i][j])
            if i == 0:
                grid[i, j].set_title(f"{n:,}", fontsize=10)
            if chosen[i][j] != n:
                grid[i, j].set_xlabel(f"{chosen[i][j]:,}", fontsize=8)
    figure.suptitle("Samples by images seen")
    return figure


def _spread(epochs: Sequence[float]) -> list[int]:
    """The indices of the rows to show: all if they are few, else those nearest to the usual epochs."""
    if len(epochs) <= len(SHEET_EPOCHS):
        return list(range(len(epochs)))
    distance = np.abs(np.subtract.outer(np.array(SHEET_EPOCHS), np.array(epochs)))
    near = {int(row.argmin()) for row in distance if row.min() < 0.5}
    return sorted(near | {len(epochs) - 1})


def _show(axes: Axes, image: np.ndarray | None) -> None:
    """Show an image, uint8 [h, w, C], without axes; None leaves its place empty."""
    if image is not None:
        image = on_white(image)
        axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _read(sheet: Path) -> np.ndarray | None:
    with suppress(OSError, ValueError, SyntaxError):  # a damaged file
        return load_png(sheet)[0]
    return None
