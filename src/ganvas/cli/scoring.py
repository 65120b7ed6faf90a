"""Commands for scoring and comparing runs, and for evaluators."""

import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.table import Table

from ganvas.cli.common import (
    Checkpoint,
    DataDir,
    Device,
    EvaluatorName,
    Json,
    RunFolder,
    RunFolders,
    Words,
    app,
    cell,
    err,
    evaluator_app,
    line,
    note,
    out,
    print_json,
    progress,
    section,
)
from ganvas.core import files, seeds
from ganvas.core.errors import UserError

STDOUT = Path("-")
LINES, QUIET_SECONDS = 20, 10  # lines of progress in equal parts, and the longest time without one, if there is no bar


@app.command
def evaluate(
    run: RunFolder,
    *,
    checkpoint: Checkpoint = "best",
    n: int = 10_000,
    split: Literal["train", "test"] = "train",
    seed: int = seeds.EVALUATION.start,
    evaluator: EvaluatorName = None,
    fid_infinity: Annotated[bool, Parameter(negative=())] = False,
    data_dir: DataDir = None,
    device: Device = "auto",
    json_file: Annotated[Path | None, Parameter(name="--json", allow_leading_hyphen=True)] = None,
) -> None:
    """Score a run: FID, KID, inception score, precision, recall, diversity, classes, copies, each with its uncertainty.

    The result is stored in the run, with everything that affects its comparability; `ganvas compare` reads it.

    Parameters
    ----------
    n
        Number of samples to score; FID needs 2,000 or more.
    split
        The real images to compare with: those of the training set or of the test set.
    seed
        Seed of the first sample; the next sample has the next seed.
    fid_infinity
        Add FID extrapolated to infinitely many samples.
    json_file
        Also write the result to this file; -: print only that.
    """
    from ganvas.evaluation.document import to_file
    from ganvas.evaluation.evaluate import evaluate as evaluate_run
    from ganvas.evaluation.report.terminal import rich_evaluation

    if json_file and json_file != STDOUT:
        files.check_output(json_file)
    found = evaluate_run(
        run,
        checkpoint,
        n=n,
        split=split,
        seed=seed,
        evaluator=evaluator,
        infinity=fid_infinity,
        data_dir=data_dir,
        device=device,
    )
    if json_file == STDOUT:
        out.file.write(to_file(found).decode())
        return
    if json_file:
        files.write(json_file, to_file(found))
    for part in rich_evaluation(found, out.width):
        out.print(part)
    if found.cost:
        line(f"{found.cost.sampling_seconds:.0f} s for the samples, {found.cost.scoring_seconds:.0f} s for the scores")


@app.command
def neighbours(
    run: RunFolder,
    *,
    n: int = 1_000,
    seed: int = 0,
    checkpoint: Checkpoint = "last",
    evaluator: EvaluatorName = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    out_path: Annotated[Path, Parameter(name="--out")] = Path("neighbours.png"),
    as_json: Json = False,
) -> None:
    """Show samples next to the nearest training images, to see whether the run has memorised them.

    Each triple shows a sample, its nearest training image by pixels, and by features; likely copies come first.

    Parameters
    ----------
    n
        Number of samples to compare.
    seed
        Seed of the first sample; the next sample has the next seed.
    out_path
        The .png file of the sheet.
    """
    from ganvas.core import images
    from ganvas.evaluation.neighbours import SHOWN
    from ganvas.evaluation.neighbours import find as find_neighbours

    if out_path.suffix.lower() != ".png":
        raise UserError(f"cannot write the sheet as '{out_path}': name a .png file")
    files.check_output(out_path)
    with err.status(f"finding the neighbours of {n:,} samples"):
        found = find_neighbours(run, checkpoint, n=n, seed=seed, evaluator=evaluator, data_dir=data_dir, device=device)
        images.save_png(out_path, found.sheet(), found.recipe())
    if as_json:
        print_json("neighbours", [{**found.figures, "samples": len(found.samples.images), "sheet": str(out_path)}])
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, figure, what in found.rows():
        table.add_row(name, figure, cell(what))
    out.print(table)
    line(f"The {min(n, SHOWN):,} most copy-like samples: {out_path}")


@app.command
def compare(
    *runs: RunFolders,
    at_images: int | None = None,
    at_seconds: float | None = None,
    html: Path | None = None,
    csv: Path | None = None,
    markdown: Path | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json", allow_leading_hyphen=True)] = None,
) -> None:
    """Compare evaluated runs in a table (one per protocol, as other scores cannot be compared), or as a report.

    Parameters
    ----------
    runs
        Folders of runs that were scored by `ganvas evaluate`, or during training.
    at_images
        Compare at an equal budget: the last evaluation within this number of images seen.
    at_seconds
        Compare at an equal budget: the last evaluation within this number of seconds of training.
    html
        Write a report with tables, curves and samples, as a single HTML file.
    csv
        Write the table as CSV, one line per score.
    markdown
        Write the table as Markdown.
    json_file
        Write everything, with provenance, as JSON; -: print only that.
    """
    from ganvas.evaluation.compare import compare as compare_runs
    from ganvas.evaluation.report.export import to_csv, to_json, to_markdown
    from ganvas.evaluation.report.terminal import rich_tables

    for output in (html, csv, markdown, json_file):
        if output and output != STDOUT:
            files.check_output(output)
    compared = compare_runs(runs, at_images, at_seconds)
    for part in rich_tables(compared, out.width) if json_file != STDOUT else ():
        out.print(part)
    written = {csv: to_csv, markdown: to_markdown, json_file: to_json}
    if html:  # matplotlib takes a second
        from ganvas.evaluation.report.page import to_html

        written = {html: to_html, **written}
    for file, text in written.items():
        if file and file == json_file == STDOUT:
            out.file.write(text(compared))
        elif file:
            files.write(file, text(compared).encode())
            (line if json_file != STDOUT else note)(str(file))


@evaluator_app.command(name="train")
def train_evaluator(
    *,
    data: str,
    data_dir: DataDir = None,
    device: Device = "auto",
    out_file: Annotated[Path | None, Parameter(name="--out")] = None,
    changes: Words = None,
) -> None:
    """Train an evaluator for labelled images, by which runs on the same images are then scored.

    Parameters
    ----------
    data
        A named set, a folder with a sub-folder per class, a .parquet file, or a hub id (owner/name).
    out_file
        Write the evaluator to this .safetensors file; default: a file in the cache.
    changes
        Settings of the classifier or the data, for example --set epochs=10 data.size=64.
    """
    from ganvas.core.settings import parse, parse_assignments
    from ganvas.data import DataSettings
    from ganvas.evaluation import evaluators

    values = parse_assignments(changes or [])
    settings = parse(DataSettings, {**section(values.pop("data", {}), "data"), "name": data}, "data")
    trained = evaluators.Training(settings, values, data_dir=data_dir, device=device, out=out_file)
    with progress() as bar:
        task, parts, said = bar.add_task(f"evaluator for {data}", total=None, losses=""), 0, time.monotonic()
        for step in trained:
            bar.update(task, completed=step.nimg, total=step.total, losses=f"loss {step.loss:.3f}")
            now, done = time.monotonic(), LINES * step.nimg // step.total
            if not bar.console.is_terminal and (done > parts or now > said + QUIET_SECONDS):
                parts, said = done, now
                note(f"{step.nimg:>10,} of {step.total:,} images  loss {step.loss:.3f}")
    line(f"{trained.file}: {evaluators.describe(trained.file)}")


@evaluator_app.command(name="list")
def list_evaluators(*, as_json: Json = False) -> None:
    """List the available evaluators."""
    from ganvas.evaluation import evaluators

    if as_json:
        rows = [{"name": name, "description": what, "where": where} for name, what, where in evaluators.available()]
        print_json("evaluator list", rows)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, what, where in evaluators.available():
        table.add_row(cell(name, "bold"), cell(what), cell(where, "dim"))
    out.print(table)
