"""The command `export`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ganvas.cli.common import app, line
from ganvas.cli.painting import SubjectOptions
from ganvas.core.errors import UserError

MOST_CLASSES = 30  # that a page shows by default


@app.command
def export(
    run: Path | None = None,
    *,
    subject: SubjectOptions = SubjectOptions(),  # noqa: B008
    to: Literal["html", "glsl"] = "html",
    title: str | None = None,
    out_path: Annotated[Path | None, Parameter(name="--out")] = None,
) -> None:
    """Write a pixel network as something that works without ganvas.

    Parameters
    ----------
    run
        Folder of the run.
    to
        html: one file under 200 kB that paints in any browser, without a network connection, at any zoom. glsl: a
        function for sites of shaders, with one latent.
    title
        Title of the page; default: the recipe of the run, or the kind of the random network.
    out_path
        The file; default: NAME.html or NAME.glsl.
    """
    from ganvas.core.files import say_size
    from ganvas.export import glsl, html
    from ganvas.painting.recipes import RunOrigin

    if run is not None and to == "html" and subject == SubjectOptions(device=subject.device):
        subject = _everything(run, subject)
    subjects = subject.choose(run, one_network=True)
    origin = subjects[0].painter.origin
    name = title or (origin.recipe if isinstance(origin, RunOrigin) else origin.random.replace(":", "-"))
    out = out_path or Path(f"{Path(name).name}.{to}")
    if to == "html":
        size = html.save(subjects, out, name)
    elif len(subjects) > 1:
        raise UserError(f"a shader has one latent, not {len(subjects)}: choose one --seed or --label")
    else:
        size = glsl.save(subjects[0], out)
    line(f"{out}  ({say_size(size)})")


def _everything(run: Path, subject: SubjectOptions) -> SubjectOptions:
    """What a page shows of a run by default: every class if there are not too many, else ten seeds."""
    from ganvas.runs.run import Run

    classes = Run.existing(run).info().data.classes
    if 0 < len(classes) <= MOST_CLASSES and not any("," in name for name in classes):
        return replace(subject, labels=",".join(classes))
    return replace(subject, seeds="0-9")
