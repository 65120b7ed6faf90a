"""The command `export`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ganvas.cli.common import MaybeRun, app, err, line, say_if_slow
from ganvas.cli.painting import SubjectOptions, refuse_given
from ganvas.cli.values import read_length, read_paper
from ganvas.core.errors import UserError

if TYPE_CHECKING:
    from ganvas.export.svg import Sheet

MOST_CLASSES = 30  # that a page shows by default
MOST_LETTERS = 100  # of a name of a file
SHOWN = ("palette", "size", "scale", "center", "zoom", "supersample")  # how something is shown, not what


@app.command
def export(
    run: MaybeRun = None,
    *,
    subject: SubjectOptions = SubjectOptions(),  # noqa: B008
    to: Literal["html", "glsl", "svg", "onnx"] = "html",
    title: str | None = None,
    levels: int | None = None,
    pen: str | None = None,
    hatch: float | None = None,
    out_path: Annotated[Path | None, Parameter(name="--out")] = None,
) -> None:
    """Write a trained network as something that works without ganvas.

    Parameters
    ----------
    run
        Folder of the run.
    to
        html: one file that draws in any browser, without a network connection: a pixel network at any zoom (under
        200 kB), another generator at its own size (under 10 MB). glsl: a function for sites of shaders, with one
        latent. svg: one latent as lines for pen plotters, on a sheet of --size: A4, A4-landscape, 200mm or 200x300mm
        (default: 200mm). These two need a pixel network. onnx: latents in, images out, for programs and pages of your
        own (any run; extra `onnx`).
    title
        Title of the page; default: the recipe of the run, or the kind of the random network.
    levels
        svg: number of grey levels whose contours are drawn, 0 for none; default: 8.
    pen
        svg: width of the pen's line; default: 0.3mm. Contours are drawn at most about a tenth of it beside their place.
    hatch
        svg: shade by parallel lines at this angle in degrees, for example 45.
    out_path
        The file; default: NAME.html, NAME.glsl, NAME.svg or NAME.onnx.
    """
    from ganvas.core.files import check_output, say_size
    from ganvas.export import glsl, html, svg
    from ganvas.networks.view import View
    from ganvas.painting.recipes import RunOrigin
    from ganvas.runs.run import Run

    if to != "svg" and (levels, pen, hatch) != (None, None, None):
        raise UserError(f"--levels, --pen and --hatch do nothing with --to {to}: use --to svg")
    if subject.tile:
        raise UserError("--tile is for `ganvas paint` and `ganvas morph`: leave it out")
    sheet = _sheet(subject.size, levels, pen, hatch) if to == "svg" else None
    if to == "onnx":
        _export_onnx(run, subject, title, out_path)
        return
    if to in ("html", "glsl"):
        subject.refuse(*SHOWN, why=f"with --to {to}, where whoever looks chooses them")
    if run is not None and to == "html" and subject == SubjectOptions(device=subject.device):
        subject = _everything(run, subject)
    if run is not None and not Run.existing(run).paints():
        if to != "html":
            raise UserError(f"'{run}' has no pixel network (network.name=cppn), which --to {to} needs: use --to onnx")
        _export_images(run, subject, title, out_path)
        return
    subjects = subject.choose(run, one_network=True)
    painter = subjects[0].painter
    origin = painter.origin
    name = title or (origin.recipe if isinstance(origin, RunOrigin) else origin.random.replace(":", "-"))
    out = out_path or _file_for(name, to)
    check_output(out)
    if to != "html" and len(subjects) > 1:
        what = "a drawing" if to == "svg" else "a shader"
        raise UserError(f"{what} has one latent, not {len(subjects)}: choose one --seed or --label")
    if sheet:
        say_if_slow(painter.network.config, painter.device)
        with err.status("drawing"):
            view = replace(subject, size=None).view(View(1, 1, painter.network.scale))
            drawing = svg.save(subjects[0], view, sheet, out)
        line(f"{out}  ({drawing.facts()})")
        return
    size = html.save(subjects, out, name) if to == "html" else glsl.save(subjects[0], out)
    line(f"{out}  ({say_size(size)})")


def _file_for(name: str, to: str) -> Path:
    """The file in the current folder that is named after a title or a recipe."""
    stem = re.sub(r"[^\w.-]+", "-", name)[:MOST_LETTERS].strip("-.")
    return Path(f"{stem or 'untitled'}.{to}")


def _sheet(size: str | None, levels: int | None, pen: str | None, hatch: float | None) -> Sheet:
    from ganvas.export.svg import Sheet

    width, height = read_paper("200mm" if size is None else size)
    given = {"levels": levels, "pen": None if pen is None else read_length(pen), "hatch": hatch}
    return Sheet(width, height, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _export_onnx(run: Path | None, subject: SubjectOptions, title: str | None, out_path: Path | None) -> None:
    from ganvas.core.files import check_output, say_size
    from ganvas.export import onnx
    from ganvas.painting.painter import random_network
    from ganvas.runs import model as sampling

    refuse_given({"title": title}, "with --to onnx")
    chosen = ("seeds", "labels", "images", "z", "truncation", "invert", "data_dir")
    subject.refuse(*chosen, *SHOWN, why="with --to onnx, whose latents are an input")
    subject.refuse_conflicts(run)
    if run is None:
        kind = str(subject.random)
        out = out_path or Path(f"{kind.replace(':', '-')}.onnx")
        check_output(out)
        painter = random_network(kind, subject.weights or 0, subject.std, subject.colour, "cpu")
        size = onnx.save_pixels(painter, out)
    else:
        model = sampling.load(run, subject.checkpoint or "last", "cpu")
        out = out_path or _file_for(model.run.recipe().name, to="onnx")
        check_output(out)
        with err.status("writing the network as a graph"):
            size = onnx.save(model, out)
    line(f"{out}  ({say_size(size)})")


def _export_images(run: Path, subject: SubjectOptions, title: str | None, out_path: Path | None) -> None:
    """The page of a run without a pixel network."""
    from ganvas.core.files import check_output, say_size
    from ganvas.export import html
    from ganvas.runs import model as sampling

    model = sampling.load(run, subject.checkpoint or "last", subject.device)
    name = title or model.run.recipe().name
    out = out_path or _file_for(name, to="html")
    check_output(out)
    with err.status("writing the network"):
        page = html.save_images(model, subject.latents(model), out, name)
    size = say_size(len(page.text.encode()))
    line(f"{out}  ({size}, weights of {page.bits} bits: pixels within {page.largest}/255 of those of ganvas)")


def _everything(run: Path, subject: SubjectOptions) -> SubjectOptions:
    """What a page shows of a run by default: every class if there are not too many, else ten seeds."""
    from ganvas.runs.run import Run

    classes = Run.existing(run).info().data.classes
    if 0 < len(classes) <= MOST_CLASSES and not any("," in name for name in classes):
        return replace(subject, labels=",".join(classes))
    return replace(subject, seeds="0-9")
