"""Evaluations and comparisons as HTML for a notebook."""

from collections.abc import Sequence

from jinja2 import Environment

from ganvas.evaluation.compare import REFERENCES, Comparison, metric_of
from ganvas.evaluation.document import Evaluation
from ganvas.evaluation.report.cells import (
    LEGEND,
    Cell,
    budget_line,
    metric_heading,
    number,
    table_cells,
    table_title,
)

TABLE = """
<table>
<caption>{{ title }}</caption>
<tr>{% for cell in header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in body %}
<tr>{% for text, best in row %}<td>{% if best %}<b>{{ text }}</b>{% else %}{{ text }}{% endif %}</td>{% endfor %}</tr>
{% endfor %}
</table>
{% for note in notes %}<p>{{ note }}</p>
{% endfor %}
"""


def evaluation_html(evaluation: Evaluation) -> str:
    """A row for each score, beside those of the reference rows."""
    references = {kind: evaluation.references[kind] for kind in REFERENCES if kind in evaluation.references}
    body = []
    for name, score in evaluation.scores.items():
        others = [
            Cell(number(row.scores[name], rough=kind != "real") if name in row.scores else "–")
            for kind, row in references.items()
        ]
        body.append([Cell(metric_heading(name)), Cell(number(score)), *others, Cell(metric_of(name).what)])
    header = ["score", "samples", *(REFERENCES[kind] for kind in references), "what it is"]
    notes = [f"The run was {evaluation.unfit}"] if evaluation.unfit else []
    notes += [f"{metric_of(name).title}: {why}" for name, why in evaluation.refused.items()]
    return _table(evaluation.about(), header, body, notes)


def comparison_html(comparison: Comparison) -> str:
    """The tables of a comparison; `report.page` makes a whole page, with curves and samples."""
    parts = []
    for table in comparison.tables:
        notes = [table.about, *([table.why] if table.why else []), *table.notes]
        parts.append(_table(table_title(table), *table_cells(table), notes))
    return "\n".join([*parts, _table(budget_line(comparison), [], [], [*comparison.missing, LEGEND])])


def _table(title: str, header: Sequence[str], body: Sequence[Sequence[Cell]], notes: Sequence[str]) -> str:
    template = Environment(autoescape=True, trim_blocks=True).from_string(TABLE)
    return template.render(title=title, header=header, body=body, notes=notes)
