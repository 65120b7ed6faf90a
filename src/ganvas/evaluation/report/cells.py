"""The texts that all reports share: the cells of a table, its headings and titles."""

from collections.abc import Sequence
from typing import NamedTuple

from ganvas.evaluation.compare import Comparison, Table, count, metric_of
from ganvas.metrics import Score

ARROWS = {"lower": " ↓", "higher": " ↑", "": ""}
NAME_WIDTH = 40  # maximum width of a run's name in the terminal, in characters
LEGEND = (
    "↓ lower is better, ↑ higher is better. ±: for one run, the uncertainty from the finite number of samples (not the "
    "variation between seeds; for IS, as is usual, the standard deviation over ten parts of the samples); for several "
    "seeds, the standard deviation over seeds. Bold: the best run, and every run that differs from it by no more than "
    "the uncertainty of both. Real images show the best score that can be expected, noise and the mean image the worst."
)


class Cell(NamedTuple):
    text: str
    best: bool = False


def table_cells(table: Table) -> tuple[list[str], list[list[Cell]]]:
    """The headings, and a list of cells for each row; references come last."""
    header = ["run", "images seen", "seconds", *(metric_heading(name) for name in table.metrics)]
    body = []
    for row in (*table.rows, *table.references):
        rough = row.kind in ("noise", "mean")  # only their magnitude matters
        scores = [
            Cell(number(row.scores[name], rough) if name in row.scores else "-", (row.name, name) in table.best)
            for name in table.metrics
        ]
        body.append([Cell(row.name), Cell(_span(row.nimg)), Cell(_span(row.seconds)), *scores])
    return header, body


def metric_heading(metric: str) -> str:
    return metric_of(metric).title + ARROWS[metric_of(metric).better]


def _span(values: Sequence[float]) -> str:
    ends = [count(value) for value in (min(values), max(values))] if values else []
    return "–".join(dict.fromkeys(ends))


def number(score: Score, rough: bool = False) -> str:
    """Format a score: `3.21 ± 0.05`. The error has one digit, or two if the first is a 1; the value as many decimals.

    `rough` omits the error.
    """
    if rough or score.error is None or score.error < 5e-7:
        text = f"{score.value:.4g}" if abs(score.value) < 1000 else f"{score.value:,.0f}"
        return text if rough or score.error is None else f"{text} ± 0"
    leading = f"{score.error:.1e}"  # d.de-xx, rounded
    decimals = max(0, -int(leading[4:]) + (leading[0] == "1"))
    return f"{score.value:,.{decimals}f} ± {score.error:,.{decimals}f}"


def table_title(table: Table) -> str:
    """The heading of a table: its data, number of samples and evaluator."""
    shared = table.evaluations[0].document
    return f"{shared.data_name}: {shared.protocol.n:,} samples, evaluator {shared.protocol.evaluator.name}"


def budget_line(comparison: Comparison) -> str:
    limits = []
    if comparison.at_images is not None:
        limits.append(f"{comparison.at_images:,} images seen")
    if comparison.at_seconds is not None:
        limits.append(f"{count(comparison.at_seconds)} seconds of training")
    return f"Equal budget: the last evaluation within {' and '.join(limits)}." if limits else ""


def column_groups(header: Sequence[str], body: Sequence[Sequence[Cell]], width: int) -> list[list[int]]:
    """The columns after the first, in groups that fit next to it."""
    needs = [max(len(text), *(len(cells[j].text) for cells in body)) + 2 for j, text in enumerate(header)]
    groups, left = [[1]], width - min(needs[0], NAME_WIDTH + 2) - needs[1]
    for j in range(2, len(header)):
        if needs[j] > left:
            groups.append([])
            left = width - min(needs[0], NAME_WIDTH + 2)
        groups[-1].append(j)
        left -= needs[j]
    return groups
