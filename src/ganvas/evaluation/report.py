"""What a comparison looks like: terminal, CSV, Markdown, JSON, curves, and one HTML page."""

import base64
import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from ganvas.core.images import load_png
from ganvas.evaluation.compare import REFERENCES, Comparison, Evaluation, Row, Table, count, describe, metric_of
from ganvas.metrics import Score
from ganvas.plotting.style import COLOURS, RULE, STYLES
from ganvas.runs.run import Run

CURVES = ("fid", "kid", "inception_score", "precision", "recall", "coverage", "vendi", "class_kl", "classes_present")
ARROWS = {"lower": " ↓", "higher": " ↑", "": ""}
LOG_FROM = 20  # largest / smallest score from which a curve needs a logarithmic scale
EXPLAINED_WIDTH = 150  # of a terminal that has room for what each score means
NAME_WIDTH = 40  # characters of a run's name before the terminal table folds it
SHEET_WIDTH = 320  # CSS pixels that a sample sheet is enlarged to, by a whole factor
CSV_COLUMNS = ("protocol", "kind", "run", "recipe", "seed", "nimg", "seconds", "metric", "value", "error", "error_kind")
LEGEND = (
    "↓ lower is better, ↑ higher is better. After ±: for one run the uncertainty from the finite number of samples (it "
    "says nothing about other seeds; of IS, as is customary, the standard deviation over ten parts of them), for "
    "several seeds the standard deviation over them. Bold: the best run, and every run whose distance to it is within "
    "the uncertainty of both. Real images are the ceiling that a score can be read against, noise and the mean image "
    "the floor."
)


# -- cells, which all the outputs share -------------------------------------------------------------------------------


class Cell(NamedTuple):
    text: str
    best: bool = False


def _cells(table: Table) -> tuple[list[str], list[list[Cell]]]:
    """Headings, and one list of cells per row; the references come last."""
    header = ["run", "images seen", "seconds", *(_heading(name) for name in table.metrics)]
    body = []
    for row in (*table.rows, *table.references):
        rough = row.kind in ("noise", "mean")  # they are there for their size alone
        scores = [
            Cell(number(row.scores[name], rough) if name in row.scores else "-", (row.name, name) in table.best)
            for name in table.metrics
        ]
        body.append([Cell(row.name), Cell(_span(row.nimg)), Cell(_span(row.seconds)), *scores])
    return header, body


def _heading(metric: str) -> str:
    return metric_of(metric).title + ARROWS[metric_of(metric).better]


def _span(values: Sequence[float]) -> str:
    ends = [count(value) for value in (min(values), max(values))] if values else []
    return "–".join(dict.fromkeys(ends))


def number(score: Score, rough: bool = False) -> str:
    """`3.21 ± 0.05`: the error to one digit, to two if the first is a 1, and the value to as many decimals.

    `rough` leaves out the error.
    """
    if rough or score.error is None or score.error < 5e-7:
        text = f"{score.value:.4g}" if abs(score.value) < 1000 else f"{score.value:,.0f}"
        return text if rough or score.error is None else f"{text} ± 0"
    leading = f"{score.error:.1e}"  # d.de-xx, rounded
    decimals = max(0, -int(leading[4:]) + (leading[0] == "1"))
    return f"{score.value:,.{decimals}f} ± {score.error:,.{decimals}f}"


def _title(table: Table) -> str:
    """A heading: the scores of one table share these."""
    raw = table.evaluations[0].raw
    return f"{raw['data_name']}: {raw['protocol']['n']:,} samples, evaluator {raw['protocol']['evaluator']['name']}"


def _budget(comparison: Comparison) -> str:
    limits = []
    if comparison.at_images is not None:
        limits.append(f"{comparison.at_images:,} images seen")
    if comparison.at_seconds is not None:
        limits.append(f"{count(comparison.at_seconds)} seconds of training")
    return f"Equal budget: the last evaluation within {' and '.join(limits)}." if limits else ""


# -- terminal, CSV, Markdown, JSON ------------------------------------------------------------------------------------


def rich_tables(comparison: Comparison, width: int = 120) -> list[RenderableType]:
    """What the terminal shows. A table wider than `width` characters goes on below itself, with the same rows."""
    parts: list[RenderableType] = [Text(_budget(comparison) + "\n")] if _budget(comparison) else []
    for table in comparison.tables:
        why = [Text(table.why, style="yellow")] if table.why else []
        parts += [Text(_title(table), style="bold"), Text(table.about), *why, Text()]
        header, body = _cells(table)
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


def rich_evaluation(raw: Mapping[str, Any], width: int = 120) -> list[RenderableType]:
    """One evaluation (the content of its file) for the terminal: a line per score, beside the reference rows.

    What each score means stands at its end where `width` has the room.
    """
    references = {kind: raw["references"][kind] for kind in REFERENCES if kind in raw["references"]}
    shown = RichTable(box=None, header_style="bold", pad_edge=False)
    shown.add_column("", no_wrap=True)
    for heading in ("samples", *(REFERENCES[kind] for kind in references)):
        shown.add_column(heading, justify="right", no_wrap=True)
    if width >= EXPLAINED_WIDTH:
        shown.add_column("", style="dim", no_wrap=True)

    def cell(score: Mapping[str, Any] | None, style: str, rough: bool = False) -> Text:
        return Text(number(Score(**score), rough) if score else "-", style=style)

    for name, score in raw["scores"].items():
        others = [cell(row["scores"].get(name), "dim", kind != "real") for kind, row in references.items()]
        what = [Text(metric_of(name).what)] if width >= EXPLAINED_WIDTH else []
        shown.add_row(Text(_heading(name)), cell(score, "bold"), *others, *what)
    parts: list[RenderableType] = [Text(describe(raw)), Text(), shown, Text()]
    parts += [Text(f"{metric_of(name).title}: {reason}", style="yellow") for name, reason in raw["refused"].items()]
    notes = [f"{REFERENCES[kind]}: {row['what']}" for kind, row in references.items()]
    if raw["counts"]:
        notes.append(f"samples per class: {', '.join(f'{n:,}' for n in raw['counts'])} ({', '.join(raw['classes'])})")
    return [*parts, *(Text(line, style="dim") for line in notes)]


def column_groups(header: Sequence[str], body: Sequence[Sequence[Cell]], width: int) -> list[list[int]]:
    """The columns after the first, in groups that fit beside it."""
    needs = [max(len(text), *(len(cells[j].text) for cells in body)) + 2 for j, text in enumerate(header)]
    groups, left = [[1]], width - min(needs[0], NAME_WIDTH + 2) - needs[1]
    for j in range(2, len(header)):
        if needs[j] > left:
            groups.append([])
            left = width - min(needs[0], NAME_WIDTH + 2)
        groups[-1].append(j)
        left -= needs[j]
    return groups


def to_csv(comparison: Comparison) -> str:
    """One line per protocol, run and metric; runs that a mean was taken over have lines of their own as well."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in comparison.tables:
        for row in (*table.rows, *_singles(table), *table.references):
            recipe = row.members[0].recipe if row.members else ""
            seeds = " ".join(str(e.seed) for e in row.members)
            budget = [mean(values) if values else "" for values in (row.nimg, row.seconds)]
            kind = "standard deviation over seeds" if row.kind == "seeds" else "finite number of samples"
            for name in (name for name in table.metrics if name in row.scores):
                value, error = row.scores[name]
                given = ("", "") if error is None else (error, kind)
                writer.writerow([table.key, row.kind, row.name, recipe, seeds, *budget, name, value, *given])
    return text.getvalue()


def _singles(table: Table) -> list[Row]:
    """The runs behind the means."""
    return [Row(e.name, "run", (e,), e.scores) for row in table.rows if row.kind == "seeds" for e in row.members]


def to_markdown(comparison: Comparison) -> str:
    """The tables for a README or a pull request."""
    lines = [_budget(comparison), ""] if _budget(comparison) else []
    for table in comparison.tables:
        header, body = _cells(table)
        lines += [f"### {_plain(_title(table))}", "", _plain(table.about), ""]
        lines += [_plain(table.why), ""] if table.why else []
        lines += [f"| {' | '.join(map(_plain, header))} |", f"| --- |{' ---: |' * (len(header) - 1)}"]
        for cells in body:
            texts = [f"**{_plain(cell.text)}**" if cell.best else _plain(cell.text) for cell in cells]
            lines.append(f"| {' | '.join(texts)} |")
        lines += ["", *(f"* {_plain(note)}" for note in table.notes), ""]
    lines += [f"* {_plain(line)}" for line in comparison.missing]
    return "\n".join([*lines, "", LEGEND, ""])


def _plain(text: str) -> str:
    """Characters that Markdown would take for its own are kept as they are."""
    return re.sub(r"([\\`*<|])", r"\\\1", text)


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
            "evaluations": [{"run": e.name, "file": e.file.name, "content": e.raw} for e in table.evaluations],
        }
        for table in comparison.tables
    ]
    budget = {"at_images": comparison.at_images, "at_seconds": comparison.at_seconds}
    return json.dumps({"format": 1, **budget, "missing": comparison.missing, "tables": tables}, indent=1) + "\n"


# -- curves -----------------------------------------------------------------------------------------------------------


class Curve(NamedTuple):
    key: str  # of the protocol
    metric: str
    figure: Figure


def curves(comparison: Comparison) -> list[Curve]:
    """Scores over images seen and over seconds of training, where some run was evaluated more than once."""
    return [
        Curve(table.key, metric, _curve(comparison, table, metric))
        for table in comparison.tables
        for metric in CURVES
        if any(len(points) > 1 for points in _lines(table, metric).values())
    ]


def _lines(table: Table, metric: str) -> dict[Run, list[Evaluation]]:
    """The evaluations that have the metric, by images seen, of every run in the table."""
    lines: dict[Run, list[Evaluation]] = {}
    runs = {e.run for row in table.rows for e in row.members}
    for evaluation in sorted(table.evaluations, key=lambda e: e.nimg):
        if evaluation.run in runs and metric in evaluation.scores:
            lines.setdefault(evaluation.run, []).append(evaluation)
    return lines


def _curve(comparison: Comparison, table: Table, metric: str) -> Figure:
    """One colour per row of the table; the seeds of a mean are lines of one colour."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    lines, legend = _lines(table, metric), {}
    values = np.array([p.scores[metric].value for points in lines.values() for p in points])
    log = values.min() > 0 and values.max() > LOG_FROM * values.min()
    for i, row in enumerate(table.rows):
        look = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i // len(COLOURS) % len(STYLES)]}
        for points in (lines[e.run] for e in row.members if e.run in lines):
            y = np.array([p.scores[metric].value for p in points])
            error = np.array([p.scores[metric].error or 0 for p in points])
            low = np.maximum(y - error, values.min() / 2) if log else y - error
            for axes, x in ((left, [p.nimg for p in points]), (right, [p.seconds for p in points])):
                (legend[row.name],) = axes.plot(x, y, marker=".", **look)
                axes.fill_between(x, low, y + error, color=look["color"], alpha=0.15, linewidth=0)
    real = [row.scores[metric].value for row in table.references if row.kind == "real" and metric in row.scores]
    for axes, label, budget in (
        (left, "images seen", comparison.at_images),
        (right, "seconds of training", comparison.at_seconds),
    ):
        if real and _fits(real[0], values, log):
            legend["real images"] = axes.axhline(real[0], color=RULE, linestyle="--", linewidth=1)
        if budget is not None:
            legend["budget"] = axes.axvline(budget, color=RULE, linewidth=1)
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.grid(alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
    if log:
        left.set_yscale("log")
    left.set_ylabel(_heading(metric))
    figure.suptitle(f"{_heading(metric)}   ({_title(table)})").set_parse_math(False)
    shown = figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=3, frameon=False)
    for text in shown.get_texts():  # a path may hold dollar signs
        text.set_parse_math(False)
    return figure


def _fits(reference: float, values: np.ndarray, log: bool) -> bool:
    """Whether a line at `reference` takes no more room than the curves themselves."""
    if log and reference <= 0:
        return False
    low, high, at = np.log([values.min(), values.max(), reference]) if log else (values.min(), values.max(), reference)
    return bool(2 * low - high <= at <= 2 * high - low)


# -- the page ---------------------------------------------------------------------------------------------------------

CSS = """
:root { color-scheme: light dark; --ink: #1f2328; --faint: #59636e; --paper: #fff; --line: #d1d9e0; --best: #14613f;
        --note: #fff6d6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --faint: #9aa4ae; --paper: #14171b; --line: #353b43; --best: #6fd3a4; --note: #332c12; } }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 76rem; background: var(--paper); color: var(--ink);
       font: 16px/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.8rem; margin: 0 0 .5rem; } h2 { font-size: 1.25rem; margin: 3rem 0 .25rem; }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; } p { max-width: 48rem; margin: .4rem 0; }
.faint, .notes, .e, figcaption, caption { color: var(--faint); } .notes { font-size: .875rem; padding-left: 1.1rem; }
.why { background: var(--note); padding: .5rem .75rem; border-radius: 6px; }
.scroll { overflow-x: auto; margin: 1rem 0 .5rem; border-block: 1px solid var(--line); }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .4rem .8rem; text-align: right; } thead th { border-bottom: 1px solid var(--line); }
th:first-child { position: sticky; left: 0; background: var(--paper); text-align: left; padding-left: 0;
                 white-space: normal; min-width: 9rem; max-width: 18rem; overflow-wrap: anywhere; }
tbody th { font-weight: 500; } strong { color: var(--best); } .e { font-weight: 400; }
tr.first td, tr.first th { border-top: 1px solid var(--line); }
tr.reference td, tr.reference th { color: var(--faint); }
abbr { text-decoration: underline dotted var(--faint); text-underline-offset: .2em; cursor: help; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 6px; padding: .5rem; margin: .75rem 0; }
.card svg { display: block; width: 100%; height: auto; } .card svg * { stroke-linejoin: round; stroke-linecap: butt; }
.sheets { display: flex; flex-wrap: wrap; gap: 1.25rem; } figure { margin: 0; }
.sheets img { image-rendering: pixelated; display: block; max-width: 100%; height: auto; }
figcaption { font-size: .8rem; margin-top: .3rem; max-width: 20rem; }
dt { font-weight: 600; margin-top: .5rem; } dd { margin: 0; }
details { margin: .75rem 0; } summary { cursor: pointer; }
pre { overflow-x: auto; font-size: .8rem; line-height: 1.4; border-left: 2px solid var(--line); padding-left: .75rem; }
"""


def to_html(comparison: Comparison) -> str:
    """One page that needs nothing but itself: tables, curves, sample sheets, provenance. Same input, same text."""
    runs = dict.fromkeys(e.name for table in comparison.tables for row in table.rows for e in row.members)
    heading = f"Comparison of {len(runs)} run{'s' * (len(runs) > 1)}"
    metrics = dict.fromkeys(name for table in comparison.tables for name in table.metrics)
    drawn = curves(comparison)
    shown: set[Path] = set()  # a sheet appears once
    what = "".join(f"<dt>{escape(_heading(name))}</dt><dd>{escape(metric_of(name).what)}</dd>" for name in metrics)
    body = [
        f"<h1>{heading}</h1>",
        f"<p>{escape(_budget(comparison))}</p>" if _budget(comparison) else "",
        *(f'<p class="why">{escape(line)}</p>' for line in comparison.missing),
        f'<p class="faint">{escape(LEGEND)}</p>',
        f"<details><summary>What the scores mean</summary><dl>{what}</dl></details>",
    ]
    for table in comparison.tables:
        figures = [_svg(curve) for curve in drawn if curve.key == table.key]
        body += [
            f"<section><h2>{escape(_title(table))}</h2>",
            f"<p>{escape(table.about)}</p>",
            f'<p class="why">{escape(table.why)}</p>' if table.why else "",
            _html_table(table),
            f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in table.notes)}</ul>',
            "<h3>While training</h3>" if figures else "",
            *(f'<div class="card">{figure}</div>' for figure in figures),
            _sheets(table, shown),
            _provenance(table),
            "</section>",
        ]
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    title = f"<title>{heading}: {escape(', '.join(runs))}</title>"
    head = f'<!DOCTYPE html>\n<html lang="en"><head>{meta}{title}<style>{CSS}</style></head>\n<body>'
    return "\n".join([head, *filter(None, body), "</body></html>\n"])


def _html_table(table: Table) -> str:
    header, body = _cells(table)
    explained = ["", "", "seconds of training", *(metric_of(name).what for name in table.metrics)]
    heads = [
        f'<th scope="col">{f"""<abbr title="{escape(why)}">{escape(text)}</abbr>""" if why else escape(text)}</th>'
        for text, why in zip(header, explained, strict=True)
    ]
    lines = []
    for i, cells in enumerate(body):
        place = i - len(table.rows)
        style = "" if place < 0 else ' class="reference first"' if place == 0 else ' class="reference"'
        texts = [re.sub(r" (± .*)", r' <span class="e">\1</span>', escape(cell.text)) for cell in cells[1:]]
        values = [f"<strong>{t}</strong>" if cell.best else t for t, cell in zip(texts, cells[1:], strict=True)]
        row = "".join(f"<td>{value}</td>" for value in values)
        lines.append(f'<tr{style}><th scope="row">{escape(cells[0].text)}</th>{row}</tr>')
    inner = f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class="scroll" role="region" aria-label="scores" tabindex="0"><table>{inner}</table></div>'


def _svg(curve: Curve) -> str:
    """A figure that can stand inside a page: text as text, ids of its own, no address of any kind."""
    own = f"c{curve.key}-{curve.metric}"
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": own, "svg.fonttype": "none"}):
        curve.figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = re.sub(
        r'<metadata>.*?</metadata>|<style.*?</style>| xmlns(:\w+)?="[^"]*"', "", svg[svg.index("<svg") :], flags=re.S
    )
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{escape(own)}-", svg.replace("xlink:href", "href"))
    label = f"{_heading(curve.metric)} over images seen and over seconds of training"
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)


def _sheets(table: Table, shown: set[Path]) -> str:
    """The stored samples of every run at, or last before, the evaluated checkpoint; all runs use the same seeds."""
    figures, seeds = [], set()
    for evaluation in (e for row in table.rows for e in row.members):
        file = max((f for f in evaluation.run.sheets() if int(f.stem) <= evaluation.nimg), default=None)
        if file is None or file in shown:
            continue
        try:
            (picture, recipe), png = load_png(file), file.read_bytes()
        except (OSError, ValueError, SyntaxError):  # a sheet that somebody damaged costs itself
            continue
        shown.add(file)
        recipe = recipe or {}
        seeds.add(tuple(recipe.get("seeds") or ()))
        ends = "–".join(str(f(recipe["seeds"])) for f in (min, max)) if recipe.get("seeds") else "unknown"
        caption = f"{evaluation.name}, {int(file.stem):,} images seen, seeds {ends}"
        caption += ", a column per class" if recipe.get("labels") else ""
        width = picture.shape[1] * max(1, SHEET_WIDTH // picture.shape[1])
        source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        figures.append(
            f'<figure><img width="{width}" alt="samples of {escape(evaluation.name)}" src="{source}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    unlike = '<p class="why">These sheets are not all from the same seeds.</p>' if len(seeds) > 1 else ""
    return f'<h3>Samples</h3>{unlike}<div class="sheets">{"".join(figures)}</div>' if figures else ""


def _provenance(table: Table) -> str:
    """The protocol, and where every score of the rows comes from."""
    parts = [("protocol", table.evaluations[0].raw["protocol"])]
    for evaluation in (e for row in table.rows for e in row.members):
        parts.append((str(evaluation.file), {k: v for k, v in evaluation.raw.items() if k != "protocol"}))
    texts = (f"<p>{escape(name)}</p><pre>{escape(json.dumps(value, indent=1))}</pre>" for name, value in parts)
    return f"<details><summary>Protocol and provenance</summary>{''.join(texts)}</details>"
