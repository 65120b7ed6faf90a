"""Commands for published models: those that come with ganvas, and publishing one's own."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from cyclopts import Parameter
from rich.prompt import Prompt
from rich.table import Column, Table
from rich.text import Text

from ganvas.cli.common import Checkpoint, DataDir, Device, Json, RunFolder, app, cell, err, line, out, print_json
from ganvas.core import files
from ganvas.core.errors import UserError, nearest

LISTED = ("fid", "label_accuracy", "redrawn_accuracy")  # the scores that the list shows


def _models(_: object) -> list[str]:
    from ganvas.runs import places

    return places.names()


@app.command
def models(name: Annotated[str | None, Parameter(completer=_models)] = None, *, as_json: Json = False) -> None:
    """List the trained models that come with ganvas, or show the card of one. Their names work wherever a run does.

    Parameters
    ----------
    name
        The model whose card to show.
    """
    from ganvas.evaluation.report.cells import metric_heading, number
    from ganvas.runs import places

    if name is not None:
        if name not in places.names():
            raise UserError(f"there is no model '{name}': {nearest(name, places.names())}")
        out.print((places.built_in(name) / "README.md").read_text("utf-8"), markup=False, soft_wrap=True)
        return
    found = [_facts(each) for each in places.names()]
    if as_json:
        rows = [
            {**facts, "scores": {key: value._asdict() for key, value in facts["scores"].items()}} for facts in found
        ]
        print_json("models", rows)
        return
    longest = max(len(facts["model"]) for facts in found)  # a name that is cut short cannot be used
    columns = ("scores", "size", "licence")
    table = Table(Column("model", min_width=longest), *columns, box=None, header_style="bold", pad_edge=False)
    for facts in found:
        listed = {key: facts["scores"][key] for key in LISTED if key in facts["scores"]}
        scores = Text("\n".join(f"{metric_heading(key)[:-2]} {number(score)}" for key, score in listed.items()))
        size, licence = files.say_size(facts["bytes"]), facts["licence"] or "-"
        table.add_row(cell(facts["model"], "bold"), scores, cell(size), cell(licence))
    out.print(table)
    line("ganvas models NAME shows the card of one: its images, settings and limits.")


def _facts(name: str) -> dict[str, Any]:
    """What the list says of a model."""
    from ganvas.evaluation import document
    from ganvas.runs import places
    from ganvas.runs.run import Run

    run = Run.existing(places.built_in(name))
    info, nimg = run.info(), run.checkpoints.available()[-1]
    scores = [document.read(file).scores for file in run.evaluation_files(nimg)]
    return {
        "model": name,
        "recipe": info.recipe,
        "data": info.data.name,
        "nimg": nimg,
        "scores": scores[0] if scores else {},
        "bytes": sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file()),
        "sha256": run.checkpoints.note(nimg).sha256,
        "licence": info.licence,
    }


@app.command
def push(
    run: RunFolder,
    repo: str | None = None,
    *,
    licence: Annotated[str | None, Parameter(name=("--licence", "--license"))] = None,
    name: str | None = None,
    half: Annotated[bool, Parameter(negative=())] = False,
    private: Annotated[bool, Parameter(negative=())] = False,
    checkpoint: Checkpoint = "last",
    data_dir: DataDir = None,
    device: Device = "auto",
    out_dir: Annotated[Path | None, Parameter(name="--out")] = None,
) -> None:
    """Publish a run on the Hugging Face hub (log in with `hf auth login`), or write it into a folder ready to publish.

    Published are the recipe, the weights that draw samples, scores, samples, and a model card; no training images, and
    no names of your folders or machines. hub:OWNER/NAME then works wherever a run does.

    Parameters
    ----------
    repo
        OWNER/NAME on the hub; may be left out with --out.
    licence
        Licence of the weights, for example cc-by-4.0; you are asked for it in a terminal. Mind that of your images.
    name
        Heading of the model card; default: NAME, or the name of the recipe.
    half
        Store the weights in half precision.
    private
        Create a private repository.
    out_dir
        Write the published model into this new folder, to look at it before; without a repository, do no more.
    """
    from ganvas.publishing import hub
    from ganvas.publishing.folder import publish
    from ganvas.runs import model as sampling
    from ganvas.runs import places

    if repo is None and out_dir is None:
        raise UserError("nowhere to publish: name OWNER/NAME on the hub, or --out FOLDER")
    if repo is not None:
        given = repo
        repo, revision = places.repo(repo)  # without hub:
        if revision:
            raise UserError(f"cannot upload to a revision: write {repo} instead of '{given}'")
    if licence is None:
        if not (sys.stdin.isatty() and err.is_terminal):
            raise UserError("under which licence may others use it? Name one: --licence cc-by-4.0, say")
        licence = Prompt.ask("Licence of the weights (for example cc-by-4.0)", console=err).strip()
    if not licence.strip() or not licence.isprintable():
        raise UserError("a published model needs a licence: --licence cc-by-4.0, say")
    model = sampling.load(run, checkpoint, device)
    with ExitStack() as stack:
        folder = out_dir or Path(stack.enter_context(TemporaryDirectory(prefix="ganvas-"))) / "model"
        with err.status("packing the model"):
            published = publish(
                model,
                folder,
                licence.strip(),
                name=name or (repo.partition("/")[2] if repo else None),
                half=half,
                data_dir=data_dir,
            )
        if out_dir is not None:
            size = sum(file.stat().st_size for file in published.path.rglob("*") if file.is_file())
            line(f"{folder}  ({files.say_size(size)})")
        if repo is not None:
            with err.status(f"uploading to {repo}"):
                address = hub.upload(folder, repo, private)
            line(f"{address}: others use it as hub:{repo}")
