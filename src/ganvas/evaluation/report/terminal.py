"""Comparisons and evaluations in the terminal."""

from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from ganvas.core.text import printable
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

EXPLAINED_WIDTH = 150  # characters; from this width on, the meaning of each score is shown


def _text(text: str = "", style: str = "") -> Text:
    """Text as it is, whoever wrote it; on one line."""
    return Text(printable(text), style)


def rich_tables(comparison: Comparison, width: int = 120) -> list[RenderableType]:
    """A comparison for the terminal. Tables wider than `width` characters continue below, with the same rows."""
    parts: list[RenderableType] = [_text(budget_line(comparison)), _text()] if budget_line(comparison) else []
    for table in comparison.tables:
        why = [_text(table.why, style="yellow")] if table.why else []
        parts += [_text(table_title(table), style="bold"), _text(table.about), *why, _text()]
        header, body = table_cells(table)
        for columns in column_groups(header, body, width):
            shown = RichTable(box=None, header_style="bold", pad_edge=False)
            shown.add_column("run", max_width=NAME_WIDTH, overflow="fold")
            for j in columns:
                shown.add_column(_text(header[j]), justify="right", no_wrap=True)
            for cells, row in zip(body, (*table.rows, *table.references), strict=True):
                texts = [_text(cells[j].text, style="bold green" if cells[j].best else "") for j in columns]
                shown.add_row(_text(cells[0].text), *texts, style="" if row.members else "dim")
            parts += [shown, _text()]
        parts += [_text(note, style="dim") for note in table.notes] + [_text()]
    return [*parts, *(_text(line, style="yellow") for line in comparison.missing), _text(LEGEND, style="dim")]


def rich_evaluation(evaluation: Evaluation, width: int = 120) -> list[RenderableType]:
    """An evaluation for the terminal: a line per score, next to those of the reference rows.

    If `width` is large enough, each line ends with the meaning of the score.
    """
    references = {kind: evaluation.references[kind] for kind in REFERENCES if kind in evaluation.references}
    shown = RichTable(box=None, header_style="bold", pad_edge=False)
    shown.add_column("", no_wrap=True)
    for column in ("samples", *(REFERENCES[kind] for kind in references)):
        shown.add_column(column, justify="right", no_wrap=True)
    if width >= EXPLAINED_WIDTH:
        shown.add_column("", style="dim", no_wrap=True)

    def cell(score: Score | None, style: str, rough: bool = False) -> Text:
        return _text(number(score, rough) if score else "-", style=style)

    for name, score in evaluation.scores.items():
        others = [cell(row.scores.get(name), "dim", kind != "real") for kind, row in references.items()]
        what = [_text(metric_of(name).what)] if width >= EXPLAINED_WIDTH else []
        shown.add_row(_text(metric_heading(name)), cell(score, "bold"), *others, *what)
    parts: list[RenderableType] = [_text(evaluation.about()), _text(), shown, _text()]
    parts += [_text(f"{metric_of(name).title}: {why}", style="yellow") for name, why in evaluation.refused.items()]
    parts += [_text(f"The run was {evaluation.unfit}", style="yellow")] if evaluation.unfit else []
    notes = [f"{REFERENCES[kind]}: {row.what}" for kind, row in references.items()]
    if evaluation.why_evaluator:
        notes.append(f"evaluator '{evaluation.protocol.evaluator.name}': {evaluation.why_evaluator}")
    if evaluation.counts:
        counts = ", ".join(f"{n:,}" for n in evaluation.counts)
        notes.append(f"samples per class: {counts} ({', '.join(evaluation.classes)})")
    return [*parts, *(_text(line, style="dim") for line in notes)]
