"""A comparison as a self-contained HTML page."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ganvas.core.files import read
from ganvas.core.images import load_png
from ganvas.evaluation.compare import Comparison, RunEvaluation, Table, metric_of
from ganvas.evaluation.report.cells import LEGEND, budget_line, metric_heading, table_cells, table_title
from ganvas.evaluation.report.curves import BANDS, Curve, curves

SHEET_WIDTH = 320  # CSS pixels to which sample sheets are enlarged, by an integer factor


def to_html(comparison: Comparison) -> str:
    """The tables, curves, samples and provenance of a comparison."""
    runs = dict.fromkeys(e.name for table in comparison.tables for e in _members(table))
    metrics = dict.fromkeys(name for table in comparison.tables for name in table.metrics)
    drawn, shown = curves(comparison), set[Path]()
    template = Environment(
        loader=PackageLoader("ganvas.evaluation.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    ).get_template("page.html.jinja")
    return template.render(
        heading=f"Comparison of {len(runs)} run{'s' * (len(runs) > 1)}",
        runs=list(runs),
        budget=budget_line(comparison),
        missing=comparison.missing,
        legend=LEGEND,
        bands=BANDS,
        meanings=[(metric_heading(name), metric_of(name).what) for name in metrics],
        tables=[
            _table(table, [curve for curve in drawn if curve.key == table.key], shown) for table in comparison.tables
        ],
    )


def _members(table: Table) -> list[RunEvaluation]:
    return [evaluation for row in table.rows for evaluation in row.members]


def _table(table: Table, drawn: list[Curve], shown: set[Path]) -> dict[str, Any]:
    header, body = table_cells(table)
    explained = ["", "", "seconds of training", *(metric_of(name).what for name in table.metrics)]
    styles = [""] * len(table.rows) + ["reference first", *["reference"] * len(table.references)]
    sheets = _sheets(table, shown)
    return {
        "title": table_title(table),
        "about": table.about,
        "why": table.why,
        "header": list(zip(header, explained, strict=True)),
        "body": [
            {"style": style, "name": cells[0].text, "cells": cells[1:]}
            for style, cells in zip(styles, body, strict=False)
        ],
        "notes": table.notes,
        "figures": [_svg(curve) for curve in drawn],
        "sheets": sheets,
        "unlike": len({sheet.seeds for sheet in sheets}) > 1,
        "provenance": _provenance(table),
    }


def _svg(curve: Curve) -> Markup:
    """A figure for embedding in the page: text as text, unique ids, no URLs."""
    own = escape(f"c{curve.key}-{curve.metric}")
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": own, "svg.fonttype": "none"}):
        curve.figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = re.sub(
        r'<metadata>.*?</metadata>|<style.*?</style>| xmlns(:\w+)?="[^"]*"', "", svg[svg.index("<svg") :], flags=re.S
    )
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{own}-", svg.replace("xlink:href", "href"))
    label = escape(f"{metric_heading(curve.metric)} over images seen and over seconds of training")
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


class Sheet(NamedTuple):
    name: str
    caption: str
    width: int
    png: str  # base64
    seeds: tuple[int, ...]


def _sheets(table: Table, shown: set[Path]) -> list[Sheet]:
    """The last sample sheet of every run up to the evaluated checkpoint, unless it has been `shown` already."""
    sheets = []
    for evaluation in _members(table):
        file = max((f for f in evaluation.run.sheets() if int(f.stem) <= evaluation.nimg), default=None)
        if file is None or file in shown:
            continue
        try:
            (image, recipe), png = load_png(file), read(file)
        except (OSError, ValueError, SyntaxError):  # a damaged sheet is left out
            continue
        shown.add(file)
        seeds = tuple((recipe or {}).get("seeds") or ())
        caption = f"{evaluation.name}, {int(file.stem):,} images seen, "
        caption += f"seeds {min(seeds)}–{max(seeds)}" if seeds else "seeds unknown"
        caption += ", a column per class" if (recipe or {}).get("labels") else ""
        width = image.shape[1] * max(1, SHEET_WIDTH // image.shape[1])
        sheets.append(Sheet(evaluation.name, caption, width, base64.b64encode(png).decode(), seeds))
    return sheets


def _provenance(table: Table) -> list[tuple[str, str]]:
    """The protocol, and the provenance of every score of the rows."""
    parts: list[tuple[str, Any]] = [("protocol", table.evaluations[0].document.protocol.model_dump())]
    for evaluation in _members(table):
        values = evaluation.document.model_dump(mode="json", exclude={"protocol"}, exclude_none=True)
        parts.append((str(evaluation.file), values))
    return [(name, json.dumps(value, indent=1)) for name, value in parts]
