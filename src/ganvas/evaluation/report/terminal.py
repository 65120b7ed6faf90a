"""Comparisons and evaluations in the terminal."""

from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from ganvas.evaluation.compare import REFERENCES, Comparison, metric_of
from ganvas.evaluation.document import Evaluation
from ganvas.evaluation.report.cells import (
    LEGEND,
    NAME_WIDTH,
    budget_line,
    column_groups,
    metric_heading,
    number,
    table_cells,
    table_title,
)
from ganvas.metrics import Score

EXPLAINED_WIDTH = 150  # of a terminal that has room for what each score means


def rich_tables(comparison: Comparison, width: int = 120) -> list[RenderableType]:
    """A comparison for the terminal. A table wider than `width` characters continues below, with the same rows."""
    parts: list[RenderableType] = [Text(budget_line(comparison) + "\n")] if budget_line(comparison) else []
    for table in comparison.tables:
        why = [Text(table.why, style="yellow")] if table.why else []
        parts += [Text(table_title(table), style="bold"), Text(table.about), *why, Text()]
        header, body = table_cells(table)
        for columns in column_groups(header, body, width):
            shown = RichTable(box=None, header_style="bold", pad_edge=False)
            shown.add_column("run", max_width=NAME_WIDTH, overflow="fold")
            for j in columns:
                shown.add_column(Text(header[j]), justify="right", no_wrap=True)
            for cells, row in zip(body, (*table.rows, *table.references), strict=True):
                texts = [Text(cells[j].text, style="bold green" if cells[j].best else "") for j in columns]
                shown.add_row(Text(cells[0].text), *texts, style="" if row.members else "dim")
            parts += [shown, Text()]
        parts += [Text(note, style="dim") for note in table.notes] + [Text()]
    return [*parts, *(Text(line, style="yellow") for line in comparison.missing), Text(LEGEND, style="dim")]


def rich_evaluation(evaluation: Evaluation, width: int = 120) -> list[RenderableType]:
    """One evaluation for the terminal: a line per score, beside the reference rows.

    If `width` has room for it, each line ends with what the score means.
    """
    references = {kind: evaluation.references[kind] for kind in REFERENCES if kind in evaluation.references}
    shown = RichTable(box=None, header_style="bold", pad_edge=False)
    shown.add_column("", no_wrap=True)
    for column in ("samples", *(REFERENCES[kind] for kind in references)):
        shown.add_column(column, justify="right", no_wrap=True)
    if width >= EXPLAINED_WIDTH:
        shown.add_column("", style="dim", no_wrap=True)

    def cell(score: Score | None, style: str, rough: bool = False) -> Text:
        return Text(number(score, rough) if score else "-", style=style)

    for name, score in evaluation.scores.items():
        others = [cell(row.scores.get(name), "dim", kind != "real") for kind, row in references.items()]
        what = [Text(metric_of(name).what)] if width >= EXPLAINED_WIDTH else []
        shown.add_row(Text(metric_heading(name)), cell(score, "bold"), *others, *what)
    parts: list[RenderableType] = [Text(evaluation.about()), Text(), shown, Text()]
    parts += [Text(f"{metric_of(name).title}: {why}", style="yellow") for name, why in evaluation.refused.items()]
    notes = [f"{REFERENCES[kind]}: {row.what}" for kind, row in references.items()]
    if evaluation.counts:
        counts = ", ".join(f"{n:,}" for n in evaluation.counts)
        notes.append(f"samples per class: {counts} ({', '.join(evaluation.classes)})")
    return [*parts, *(Text(line, style="dim") for line in notes)]
