"""A recipe with other settings, run by run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Column, Table

from ganvas.cli.common import Words, app, err, line, out, say
from ganvas.core.errors import UserError

if TYPE_CHECKING:
    from ganvas import sweeps


@app.command
def sweep(
    recipe: str,
    *,
    grid: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=(), metavar="KEY=V1,V2")] = None,
    search: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=(), metavar="KEY=LOW..HIGH")] = None,
    trials: int | None = None,
    by: str = "kid",
    seeds: int = 1,
    jobs: int = 1,
    on: Literal["here", "ray"] = "here",
    samples: int = 10_000,
    data: str | None = None,
    data_dir: Path | None = None,
    out_dir: Annotated[Path | None, Parameter(name="--out")] = None,
    epochs: float | None = None,
    images: int | None = None,
    device: str = "auto",
    retry: Annotated[bool, Parameter(negative=())] = False,
    changes: Words = None,
) -> int:
    """Train and score a recipe with other settings, run by run; the same command goes on with a sweep that was stopped.

    With more values, seeds or trials it extends the sweep. It ends with a table (table.md, sweep.csv) and a figure.

    Parameters
    ----------
    recipe
        A name from `ganvas recipes`, or the path of a .toml file.
    grid
        Settings and their values, in all combinations: --grid method.g_steps=1,2,4 network.base=32,64.
    search
        Instead of --grid: ranges and lists to search for the best values: --search method.lr=1e-5..1e-3
        network.base=16,32 (by TPE; positive numbers over a factor of 10 or more are searched on a log scale).
    trials
        Number of points that --search tries; 20 by default.
    by
        The metric that judges a run.
    seeds
        Number of seeds for each point, starting from the recipe's seed.
    jobs
        Number of runs at a time; they share the cores (or OMP_NUM_THREADS, if that is set).
    on
        here: processes on this machine; ray: tasks of the cluster that RAY_ADDRESS names, or of a local one. --out and
        the data have to be on a disk that all its nodes see, under the same path; with --device cuda each run takes a
        GPU.
    samples
        Number of samples that score a run; FID wants 2,000 or more.
    data
        What to learn: a named set, a folder of images, a .parquet file, or a hub id (owner/name).
    data_dir
        Folder where named sets are looked for first.
    out_dir
        Folder of the sweep, with a run directory for each run; sweeps/RECIPE when left out.
    epochs
        Length of each run, in passes over the data.
    images
        Length of each run, in images seen; overrides --epochs.
    device
        auto, cpu, cuda, cuda:N or mps.
    retry
        Run the failed runs again.
    changes
        Any other settings, the same for all runs, for example --set train.batch_size=64.
    """
    from ganvas import sweeps
    from ganvas.core.settings import merge, parse_assignments
    from ganvas.recipes import library

    if (grid is None) == (search is None):
        raise UserError("say what to vary: either --grid method.g_steps=1,2,4 or --search method.lr=1e-5..1e-3")
    if search is None and trials is not None:
        raise UserError("--trials does nothing with --grid, which has all its points: leave it out")
    asked: dict[str, Any] = {"train": {"epochs": epochs, "images": images}, "data": {"name": data}}
    given = {part: {k: v for k, v in values.items() if v is not None} for part, values in asked.items()}
    given = {part: values for part, values in given.items() if values}
    plan = sweeps.Plan(
        library.load(recipe, merge(parse_assignments(changes or []), given)),
        sweeps.read_varied(grid or search or [], ranges=search is not None),
        trials=20 if search and trials is None else trials,
        seeds=seeds,
        by=by,
        samples=samples,
    )
    folder = out_dir or Path("sweeps") / plan.recipe.name
    sweeping = sweeps.Sweep(plan, folder, jobs=jobs, data_dir=data_dir, device=device, on=on, retry=retry)
    found = _watch(sweeping, plan)
    if sweeping.stop:
        line(f"Stopped after {sum(trial.done for trial in found)} whole runs. The same command goes on from here.")
        return 130
    return _report_sweep(plan, found, folder)


def _watch(sweeping: sweeps.Sweep, plan: sweeps.Plan) -> list[sweeps.Trial]:
    """Run a sweep to its end: a table that lives, or on no terminal a line for each run that ends."""
    from rich.live import Live

    found: list[sweeps.Trial] = []
    said: set[str] | None = None
    live = Live(console=err, auto_refresh=False, transient=True)
    with live if err.is_terminal else nullcontext():
        for found in sweeping.go():
            done = {trial.name: trial for trial in found if trial.done}
            if said is None:
                said = set(done)
                if done:
                    say("[bold]going on:[/]", f"{len(done)} runs are done already")
            if err.is_terminal:
                live.update(_trials(found, plan), refresh=True)
            else:
                for trial in (done[name] for name in done if name not in said):
                    err.print("  ".join(_cells(trial, plan)), markup=False, soft_wrap=True)
            said |= set(done)
    return found


def _trials(found: Sequence[sweeps.Trial], plan: sweeps.Plan) -> Table:
    """The trials of a sweep: those that run, those that are done, newest first, and those that wait."""
    states = ["training", "scoring", "stopping", "finished", "failed", "waiting"]
    count = {state: sum(trial.state == state for trial in found) for state in states}
    said = ", ".join(f"{n} {state}" for state, n in count.items() if n)
    columns = (Column("run", overflow="fold"), "state", "images", "losses", "score", "seconds")
    table = Table(*columns, box=None, header_style="bold", pad_edge=False, title=f"{len(found)} runs: {said}")
    active, done = [t for t in found if t.active], [t for t in found if t.done]
    for trial in [*active, *reversed(done), *(t for t in found if t.state == "waiting")]:
        table.add_row(*(escape(cell) for cell in _cells(trial, plan)))
    return table


def _cells(trial: sweeps.Trial, plan: sweeps.Plan) -> tuple[str, ...]:
    """The cells of a run in the table of a sweep."""
    from ganvas.evaluation.report.cells import number
    from ganvas.metrics import METRICS

    last = trial.last
    losses = {"D": last.get("d_loss"), "G": last.get("g_loss")}
    score = trial.scores.get(plan.by)
    return (
        trial.name,
        trial.state,
        f"{last.get('nimg', 0):,} / {trial.total:,}",
        " ".join(f"{side} {loss:.3f}" for side, loss in losses.items() if loss is not None),
        f"{METRICS[plan.by].title} {number(score)}" if score else trial.reason or "-",
        f"{last.get('seconds', 0):.0f} s",
    )


def _report_sweep(plan: sweeps.Plan, found: Sequence[sweeps.Trial], folder: Path) -> int:
    """Say what came of a sweep and where it is; the exit code, which is 1 when no run came to its end."""
    from ganvas import sweeps
    from ganvas.evaluation.report.cells import Cell, column_groups

    header, body = sweeps.table(plan, found)
    for columns in column_groups(header, [[Cell(text) for text in row] for row in body], out.width):
        table = Table(Column(header[0], overflow="fold"), box=None, header_style="bold", pad_edge=False)
        for j in columns:
            table.add_column(header[j], justify="right", no_wrap=True)
        for row in body:
            table.add_row(*(escape(row[j]) for j in (0, *columns)))
        out.print(table)
        out.print()
    failed = [trial for trial in found if trial.state == "failed"]
    for trial in failed:
        say("[yellow]failed:[/]", f"{trial.name}: {trial.reason}")
    for name, what in {"table.md": "this table", "sweep.csv": "a line per run", "sweep.png": "figure"}.items():
        if (folder / name).is_file():
            line(f"  {folder / name}  ({what})")
    return 1 if len(failed) == len(found) else 0
