"""The command `sweep`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.table import Column, Table

from ganvas.cli.common import (
    DataDir,
    Device,
    Json,
    RecipeName,
    Words,
    app,
    cell,
    err,
    line,
    load_recipe,
    note,
    out,
    print_json,
    say,
)
from ganvas.core.errors import UserError

if TYPE_CHECKING:
    from ganvas import sweeps


@app.command
def sweep(
    recipe: RecipeName,
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
    data_dir: DataDir = None,
    out_dir: Annotated[Path | None, Parameter(name="--out")] = None,
    epochs: float | None = None,
    images: int | None = None,
    device: Device = "auto",
    retry: Annotated[bool, Parameter(negative=())] = False,
    as_json: Json = False,
    changes: Words = None,
) -> int:
    """Train and score a recipe with different settings, run by run.

    The same command continues a sweep that was stopped; with more values, seeds or trials it extends the sweep. At the
    end it writes a table (table.md, sweep.csv) and a figure.

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
        The metric that --search optimises.
    seeds
        Number of seeds for each point, starting from the recipe's seed.
    jobs
        Number of runs at a time; they share the cores (or OMP_NUM_THREADS threads, if that is set).
    on
        here: processes on this machine; ray: tasks on the cluster at RAY_ADDRESS, or on a local one. All nodes must see
        --out and the data under the same path; with --device cuda each run takes one GPU.
    samples
        Number of samples that each run is scored on; FID needs 2,000 or more.
    data
        The data: a named set, a folder of images, a .parquet file, or a hub id (owner/name).
    out_dir
        Folder of the sweep, with a run directory for each run; default: sweeps/RECIPE.
    epochs
        Length of each run in passes over the data.
    images
        Length of each run in images seen; overrides --epochs.
    retry
        Run the failed runs again.
    changes
        Any other settings, the same for all runs, for example --set train.batch_size=64.
    """
    from ganvas import sweeps

    if (grid is None) == (search is None):
        raise UserError("say what to vary: either --grid method.g_steps=1,2,4 or --search method.lr=1e-5..1e-3")
    if search is None and trials is not None:
        raise UserError("--trials is for --search; a grid runs all its points: leave it out")
    plan = sweeps.Plan(
        load_recipe(recipe, changes, {"data.name": data, "train.epochs": epochs, "train.images": images}),
        sweeps.read_varied(grid or search or [], ranges=search is not None),
        trials=20 if search and trials is None else trials,
        seeds=seeds,
        by=by,
        samples=samples,
    )
    folder = out_dir or plan.recipe.folder("sweeps")
    running = sweeps.Sweep(plan, folder, jobs=jobs, data_dir=data_dir, device=device, on=on, retry=retry)
    trials_now = _watch(running, plan)
    if running.stop:
        said = f"Stopped after {sum(trial.done for trial in trials_now)} runs. The same command continues from here."
        (note if as_json else line)(said)
        return 130
    failed = [trial for trial in trials_now if trial.state == "failed"]
    if as_json:
        print_json("sweep", sweeps.rows(plan, trials_now))
    else:
        _print(plan, trials_now)
    for trial in failed:
        say("[yellow]failed:[/]", f"{trial.name}: {trial.reason}")
    for name, what in {"table.md": "this table", "sweep.csv": "one line per run", "sweep.png": "figure"}.items():
        if (folder / name).is_file():
            (note if as_json else line)(f"  {folder / name}  ({what})")
    return 1 if len(failed) == len(trials_now) else 0  # if every run failed


def _watch(running: sweeps.Sweep, plan: sweeps.Plan) -> list[sweeps.Trial]:
    """Run a sweep, with a live table or, without a terminal, a line as each run starts and ends; returns its trials."""
    from rich.live import Live

    trials: list[sweeps.Trial] = []
    started: set[str] = set()  # names of the trials that had their line
    ended: set[str] | None = None
    live = Live(console=err, auto_refresh=False, transient=True)
    with live if err.is_terminal else nullcontext():
        for trials in running.run():
            done = {trial.name: trial for trial in trials if trial.done}
            if ended is None:
                ended = set(done)
                if done:
                    say("[bold]resuming:[/]", f"{len(done)} runs are already done")
            if err.is_terminal:
                live.update(_trials(trials, plan), refresh=True)
                continue
            begun = [trial for trial in trials if trial.active or (trial.done and trial.name not in ended)]
            for trial in (each for each in begun if each.name not in started):
                note(f"{trial.name}  starts: {trial.last.get('nimg', 0):,} / {trial.total:,}")
            for trial in (done[name] for name in done if name not in ended):
                note("  ".join(_cells(trial, plan)))
            started |= {trial.name for trial in begun}
            ended |= set(done)
    return trials


def _trials(trials: Sequence[sweeps.Trial], plan: sweeps.Plan) -> Table:
    """A table of the trials: first those that run, then those that have ended, latest first, then those that wait."""
    states = ["training", "scoring", "stopping", "finished", "failed", "waiting"]
    count = {state: sum(trial.state == state for trial in trials) for state in states}
    counts = ", ".join(f"{n} {state}" for state, n in count.items() if n)
    columns = (Column("run", overflow="fold"), "state", "images", "losses", "score", "seconds")
    table = Table(*columns, box=None, header_style="bold", pad_edge=False, title=f"{len(trials)} runs: {counts}")
    active, done = [t for t in trials if t.active], [t for t in trials if t.done]
    for trial in [*active, *reversed(done), *(t for t in trials if t.state == "waiting")]:
        table.add_row(*map(cell, _cells(trial, plan)))
    return table


def _cells(trial: sweeps.Trial, plan: sweeps.Plan) -> tuple[str, ...]:
    """The cells of a trial in that table."""
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


def _print(plan: sweeps.Plan, trials: Sequence[sweeps.Trial]) -> None:
    """Print the table of a sweep."""
    from ganvas import sweeps
    from ganvas.evaluation.report.cells import Cell, column_groups

    header, body = sweeps.table(plan, trials)
    for columns in column_groups(header, [[Cell(text) for text in row] for row in body], out.width):
        table = Table(Column(header[0], overflow="fold"), box=None, header_style="bold", pad_edge=False)
        for j in columns:
            table.add_column(header[j], justify="right", no_wrap=True)
        for row in body:
            table.add_row(*(cell(row[j]) for j in (0, *columns)))
        out.print(table)
        out.print()
