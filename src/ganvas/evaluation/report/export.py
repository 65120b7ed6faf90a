"""Comparisons for other programs: CSV, Markdown and JSON."""

import csv
import io
import json
from statistics import mean
from typing import Any

from ganvas.core.text import plain_cell, plain_markdown
from ganvas.evaluation.compare import Comparison, Row, Table, metric_of
from ganvas.evaluation.report.cells import LEGEND, budget_line, table_cells, table_title

CSV_COLUMNS = ("protocol", "kind", "run", "recipe", "seed", "nimg", "seconds", "metric", "value", "error", "error_kind")


def to_csv(comparison: Comparison) -> str:
    """One line per protocol, run and metric; the runs behind a mean also have lines of their own."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in comparison.tables:
        for row in (*table.rows, *_singles(table), *table.references):
            recipe = plain_cell(row.members[0].recipe if row.members else "")
            seeds = " ".join(str(e.seed) for e in row.members)
            budget = [mean(values) if values else "" for values in (row.nimg, row.seconds)]
            kind = "standard deviation over seeds" if row.kind == "seeds" else "finite number of samples"
            for name in (name for name in table.metrics if name in row.scores):
                value, error = row.scores[name]
                given = ("", "") if error is None else (error, kind)
                writer.writerow(
                    [table.key, row.kind, plain_cell(row.name), recipe, seeds, *budget, plain_cell(name), value, *given]
                )
    return text.getvalue()


def _singles(table: Table) -> list[Row]:
    """The runs behind the means."""
    return [Row(e.name, "run", (e,), e.scores) for row in table.rows if row.kind == "seeds" for e in row.members]


def to_markdown(comparison: Comparison) -> str:
    """The tables for a README or a pull request."""
    lines = [budget_line(comparison), ""] if budget_line(comparison) else []
    for table in comparison.tables:
        header, body = table_cells(table)
        lines += [f"### {plain_markdown(table_title(table))}", "", plain_markdown(table.about), ""]
        lines += [plain_markdown(table.why), ""] if table.why else []
        lines += [f"| {' | '.join(map(plain_markdown, header))} |", f"| --- |{' ---: |' * (len(header) - 1)}"]
        for cells in body:
            texts = [f"**{plain_markdown(cell.text)}**" if cell.best else plain_markdown(cell.text) for cell in cells]
            lines.append(f"| {' | '.join(texts)} |")
        lines += ["", *(f"* {plain_markdown(note)}" for note in table.notes), ""]
    lines += [f"* {plain_markdown(line)}" for line in comparison.missing]
    return "\n".join([*lines, "", LEGEND, ""])


def to_json(comparison: Comparison) -> str:
    """Everything: tables, rows, the runs behind the means, and every evaluation file with its provenance."""

    def row_dict(row: Row, table: Table) -> dict[str, Any]:
        return {
            "name": row.name,
            "kind": row.kind,
            "runs": [{"path": e.name, "recipe": e.recipe, "seed": e.seed, "file": e.file.name} for e in row.members],
            "nimg": row.nimg,
            "seconds": row.seconds,
            "scores": {name: score._asdict() for name, score in row.scores.items()},
            "best": [name for name in table.metrics if (row.name, name) in table.best],
        }

    tables = [
        {
            "protocol": table.key,
            "about": table.about,
            "why_apart": table.why,
            "metrics": {name: metric_of(name)._asdict() for name in table.metrics},
            "rows": [row_dict(row, table) for row in (*table.rows, *table.references)],
            "single_runs": [row_dict(row, table) for row in _singles(table)],
            "notes": table.notes,
            "evaluations": [
                {"run": e.name, "file": e.file.name, "content": e.document.model_dump(mode="json", exclude_none=True)}
                for e in table.evaluations
            ],
        }
        for table in comparison.tables
    ]
    budget = {"at_images": comparison.at_images, "at_seconds": comparison.at_seconds}
    return json.dumps({"format": 1, **budget, "missing": comparison.missing, "tables": tables}, indent=1) + "\n"
