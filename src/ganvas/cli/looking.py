"""Commands that show figures, runs, recipes, this machine and data."""

from __future__ import annotations

import platform
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.table import Column, Table

from ganvas.cli.common import (
    DataDir,
    Device,
    Json,
    RecipeName,
    RunFolders,
    Words,
    app,
    cell,
    data_app,
    err,
    line,
    out,
    print_json,
    section,
)
from ganvas.cli.values import read_numbers
from ganvas.core.errors import UserError
from ganvas.core.version import VERSION

if TYPE_CHECKING:
    from ganvas.runs.run import Run

PIXELS_TIMED_AT_ONCE = 128 * 64 * 64  # `data check` measures time with smaller batches for larger images


@app.command
def plot(
    *runs: RunFolders,
    at: str | None = None,
    out_dir: Annotated[Path | None, Parameter(name="--out")] = None,
) -> None:
    """Draw the figures of a run, as PNG and SVG: losses, score, samples by epoch, ...; or of several runs together.

    Parameters
    ----------
    runs
        Folder of a run, whose figures are written to its sub-folder figures/; or the folders of several runs, to draw
        the balance of their losses, every recorded quantity, and their samples together. Runs that differ only in
        their seed are drawn as a mean with a band.
    at
        For several runs: the numbers of images seen whose samples are shown, for example 10000,60000; the nearest sheet
        of each run is used. By default five, from beginning to end.
    out_dir
        For several runs: folder for the figures; default: figures/ in the folder that contains the runs.
    """
    from ganvas.plotting.figures import draw_figures, draw_together

    if not runs:
        raise UserError("nothing to draw: name the folder of a run, or of several")
    if len(runs) == 1 and (at is not None or out_dir is not None):
        raise UserError("--at and --out are for the figures of several runs: name more, or leave them out")
    numbers = [] if at is None else read_numbers(at, "images seen")
    for file in draw_figures(runs[0]) if len(runs) == 1 else draw_together(runs, numbers, out_dir):
        line(str(file))


@app.command
def runs(folder: Path = Path("runs"), *, as_json: Json = False) -> None:
    """List the runs in a folder and its sub-folders.

    Parameters
    ----------
    folder
        The folder that contains the runs.
    """
    from ganvas.runs.run import Run

    if not folder.is_dir():
        raise UserError(f"there is no folder '{folder}': name the one that contains your runs")
    found = [run for file in sorted(folder.rglob("run.json")) if (run := Run(file.parent)).is_run()]
    if as_json:
        print_json("runs", [{"run": str(run.path), **_facts(run)} for run in found])
        return
    columns = ("recipe", "data", "images seen", "age", "score", "state")
    table = Table(Column("run", overflow="fold"), *columns, box=None, header_style="bold", pad_edge=False)
    for run in found:
        table.add_row(*map(cell, (str(run.path), *_row(_facts(run)))))
    if table.rows:
        out.print(table)
    else:
        line(f"no runs in '{folder}' yet: `ganvas train strokes-cdcgan` makes one")


def _facts(run: Run) -> dict[str, Any]:
    """What the table of runs says of one, after its path."""
    try:
        info, records, state = run.info(), run.records(), run.state()
    except UserError:  # a damaged run must not hide the others
        return {**dict.fromkeys(("recipe", "data", "images_seen", "started", "score")), "state": "damaged"}
    scores = [record["score"] for record in records if record.get("score") is not None]
    return {
        "recipe": info.recipe,
        "data": info.data.name,
        "images_seen": records[-1]["nimg"] if records else 0,
        "started": info.started,
        "score": scores[-1] if scores else None,
        "state": state.partition(":")[0],
    }


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    """The cells of these facts."""
    if facts["started"] is None:
        return (*["-"] * 5, facts["state"])
    score = "-" if facts["score"] is None else f"{facts['score']:.4f}"
    return (
        facts["recipe"],
        facts["data"],
        f"{facts['images_seen']:,}",
        _age(facts["started"]),
        score,
        facts["state"],
    )


def _age(since: datetime) -> str:
    seconds = (datetime.now(UTC) - since).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


@app.command(name="recipes")
def list_recipes(name: RecipeName | None = None, *, as_json: Json = False) -> None:
    """List the recipes, or show all settings of one.

    Parameters
    ----------
    name
        The recipe whose settings to show.
    """
    from ganvas.recipes import library

    if name is None and as_json:
        print_json("recipes", [{"name": each, "description": text} for each, text in library.descriptions().items()])
        return
    if name is None:
        table = Table(box=None, show_header=False, pad_edge=False)
        for each, description in library.descriptions().items():
            table.add_row(cell(each, "bold"), cell(description))
        out.print(table)
        return

    from ganvas.core.settings import typed
    from ganvas.recipes.library import SECTIONS

    chosen = library.load(name)
    if as_json:
        parts = [(part, getattr(chosen, part)) for part in SECTIONS]
        rows = [
            {
                "setting": f"{part}.{key}",
                "value": settings.model_dump(mode="json")[key],
                "meaning": " ".join((field.description or "").split()),
            }
            for part, settings in parts
            for key, field in type(settings).model_fields.items()
        ]
        print_json("recipes", rows)
        return
    line(f"{chosen.name}: {chosen.description}")
    for part in SECTIONS:
        settings = getattr(chosen, part)
        table = Table(box=None, show_header=False, pad_edge=False)
        for key, field in type(settings).model_fields.items():
            value, what = getattr(settings, key), cell(" ".join((field.description or "").split()), "dim")
            if not isinstance(value, dict) or not value:
                table.add_row(f"  {part}.{key}", cell("" if value == {} else typed(value)), what)
            for name, rule in value.items() if isinstance(value, dict) else ():
                words = " ".join(f"{k}={typed(v)}" for k, v in rule.model_dump(exclude_defaults=True).items())
                table.add_row(f"  {part}.{key}.{name}", cell(words))
        out.print(table)


@app.command
def info(*, device: Device = "auto", as_json: Json = False) -> None:
    """Show versions, the device, the precision, and which fast paths are active and why."""
    import torch

    from ganvas.compute import device as devices
    from ganvas.networks.kernels import layered, residual

    compute = devices.choose(device)
    name = torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else ""
    facts = {
        "ganvas": VERSION,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "device": f"{compute.device} {name}".strip(),
        "precision": f"{compute.precision} ({compute.why})",
    }
    kernels = [
        (f"compiled {kind} network", *kernel.status())
        for kind, kernel in (("residual", residual), ("layered", layered))
    ]
    paths = [*devices.fast_paths(compute), *kernels]
    if as_json:
        rows: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in facts.items()]
        print_json("info", rows + [{"name": path, "value": active, "why": why} for path, active, why in paths])
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in facts.items():
        table.add_row(key, value)
    for path, active, why in paths:
        table.add_row(path, f"{'[green]on[/]' if active else '[yellow]off[/]'}  [dim]{why}[/]")
    out.print(table)


@data_app.command
def check(
    name: str,
    *,
    data_dir: DataDir = None,
    changes: Words = None,
    as_json: Json = False,
) -> None:
    """Report what is in a data set: counts, sizes, duplicates, unreadable files, memory, time.

    Parameters
    ----------
    name
        A named set, a folder of images, a .parquet file, or a hub id (owner/name).
    changes
        Settings of the data, for example --set size=64 fit=letterbox.
    """
    from ganvas.core.images import ImageSpec
    from ganvas.core.settings import parse
    from ganvas.data import DataSettings
    from ganvas.data import check as data_check
    from ganvas.recipes.recipe import from_dict
    from ganvas.training.timing import seconds_per_image

    settings = parse(DataSettings, {**_flat(changes or []), "name": name}, "data")
    report = data_check.check(settings, data_dir)
    if as_json:
        names = (
            "name",
            "count",
            "channels",
            "size",
            "classes",
            "transparent",
            "exact",
            "near",
            "skipped",
            "notes",
            "megabytes",
        )
        print_json("data check", [{key: getattr(report, key) for key in names}])
        return
    spec = ImageSpec(report.channels, *report.sides, 0)
    batch = max(8, min(128, PIXELS_TIMED_AT_ONCE // (spec.height * spec.width)))
    for text in report.lines():
        line(text)
    if not report.count:
        return
    with suppress(UserError):  # images may be too small for the network
        with err.status("timing a training step"):
            seconds = seconds_per_image(from_dict({"method": {"name": "gan"}, "train": {"batch_size": batch}}), spec)
        line(data_check.epoch_line(report.count, seconds))


def _flat(words: list[str]) -> dict[str, Any]:
    from ganvas.core.settings import parse_assignments

    values = parse_assignments(words)
    return {**section(values.pop("data", {}), "data"), **values}
