"""The command line: about ten lines per command; everything it does can be done from Python too."""

import json
import platform
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import numpy as np
import torch
from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from ganvas import device as devices
from ganvas import features, files, fused, images
from ganvas import paint as painting
from ganvas import recipe as recipes
from ganvas import report as reports
from ganvas import sample as sampling
from ganvas import sweep as sweeps
from ganvas.backbones import Backbone
from ganvas.backbones.cppn import CPPN, View
from ganvas.budget import room_for_figures
from ganvas.compare import compare as compare_runs
from ganvas.config import merge, parse, parse_assignments, typed
from ganvas.data import DataSettings
from ganvas.data import check as data_check
from ganvas.errors import UserError, out_of_memory
from ganvas.evaluate import FIRST_SEED
from ganvas.evaluate import evaluate as evaluate_run
from ganvas.images import ImageSpec
from ganvas.latents import Ease
from ganvas.metrics import METRICS
from ganvas.morph import Morph
from ganvas.neighbours import SHOWN
from ganvas.neighbours import find as find_neighbours
from ganvas.plot import draw_figures, draw_together
from ganvas.run import Record, Run
from ganvas.train import seconds_per_image
from ganvas.train import train as train_run
from ganvas.version import VERSION

app = App(
    name="ganvas",
    help="Train GANs on small sets of images, measure them, and paint from them.",
    help_format="plaintext",
)
data_app = App(name="data", help="Look at image data before training on it.")
app.command(data_app)
evaluator_app = App(name="evaluator", help="The networks that scores look through.")
app.command(evaluator_app)
LINES = 20  # of progress, where there is no terminal for a bar
PIXELS_TIMED_AT_ONCE = 128 * 64 * 64  # `data check` times a smaller batch of larger pictures

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Words = Annotated[list[str] | None, Parameter(name="--set", consume_multiple=True, negative=(), metavar="KEY=VALUE")]


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command line (`words`, or those of the process).

    A mistake becomes one line and exit code 2, never a traceback.
    """
    warnings.showwarning = lambda message, *_, **__: _say("[yellow]warning:[/]", str(message))
    try:
        code = app(
            sys.argv[1:] if words is None else words,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except UserError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except CycloptsError as error:
        _complain(" ".join(str(error).split()))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        _complain("out of memory: make what you ask for smaller")
        sys.exit(2)
    except OSError as error:  # a full disk, a folder that may not be written to
        where = f": '{error.filename}'" if error.filename else ""
        _complain(f"{error.strerror or error}{where}")
        sys.exit(2)
    sys.exit(code or 0)


def _complain(text: str) -> None:
    _say("[bold red]error:[/]", text)


def _line(text: str) -> None:
    """One line on stdout, however long, as it is."""
    out.print(text, soft_wrap=True, markup=False)


def _say(word: str, text: str) -> None:
    """One line on stderr; `text` may hold names with brackets, which are not markup."""
    err.print(word, end=" ")
    err.print(text, markup=False, soft_wrap=True)


@app.command
def train(
    recipe: str,
    *,
    data: str | None = None,
    data_dir: Path | None = None,
    out_dir: Annotated[Path | None, Parameter(name="--out")] = None,
    epochs: float | None = None,
    images: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    precision: devices.Precision | None = None,
    guard: Literal["rollback", "stop", "off"] | None = None,
    disk_budget: str | None = None,
    changes: Words = None,
) -> int:
    """Train a recipe, or go on with a run that was stopped: the same command with the same --out resumes.

    Parameters
    ----------
    recipe
        A name from `ganvas recipes`, or the path of a .toml file.
    data
        What to learn: a named set, a folder of images, a .parquet file, or a hub id (owner/name).
    data_dir
        Folder where named sets are looked for first.
    out_dir
        Folder of the run; runs/RECIPE when left out.
    epochs
        Length of the run, in passes over the data.
    images
        Length of the run, in images seen; overrides --epochs.
    seed
        Decides the initial weights, the order of the data and the noise (a whole number).
    device
        auto, cpu, cuda, cuda:N or mps.
    precision
        Number format inside the networks; auto = bf16 where it is fast, else fp32.
    guard
        When training collapses: rollback (to the last good checkpoint, and on with smaller steps), stop, or off.
    disk_budget
        What the folder of the run takes at most: 500MB, 1.5GiB, or none for no limit; 2GB when left out.
    changes
        Any other setting of the recipe, for example --set method.lr=1e-4 train.batch_size=64.
    """
    asked: dict[str, Any] = {
        "train": {
            **{"epochs": epochs, "images": images, "seed": seed, "precision": precision, "guard": guard},
            "disk_budget": disk_budget,
        },
        "data": {"name": data},
    }
    given = {section: {k: v for k, v in values.items() if v is not None} for section, values in asked.items()}
    if epochs is not None and images is None:
        given["train"]["images"] = None
    given = {section: values for section, values in given.items() if values}
    chosen = recipes.load(recipe, merge(parse_assignments(changes or []), given))
    run = Run(out_dir or Path("runs") / chosen.name)
    _say_if_slow(chosen.network, devices.choose(device).device)
    last: Record = {}
    with _progress() as progress:
        task = progress.add_task(chosen.name, total=None, losses="")
        for last in train_run(
            chosen,
            run.path,
            data_dir=data_dir,
            device=device,
            tick=lambda n, total: progress.update(task, completed=n, total=total),
            say=lambda text: err.print(text, markup=False, soft_wrap=True),
        ):
            progress.update(task, losses=_losses(last))
            if not progress.console.is_terminal:
                err.print(f"{last['nimg']:>10,} images  epoch {last['epoch']:.2f}  {_losses(last)}")
    return _report_end(run, bool(last))


def _report_end(run: Run, trained: bool) -> int:
    """Say what came of it and where the pictures are; the exit code."""
    info = run.info()
    nimg = max((record["nimg"] for record in run.records()), default=0)
    if info["state"] == "stopped":
        _line(f"Stopped after {nimg:,} images. The same command goes on from here.")
        return 130
    if not trained:
        out.print(
            f"'{run.path}' is finished already ({nimg:,} images): a larger --epochs goes on.",
            soft_wrap=True,
            markup=False,
        )
    figures = draw_figures(run) if room_for_figures(run) else []
    sheets = run.sheets()
    _line(f"Trained on {nimg:,} images. Pictures:")
    for file, what in [
        *[(sheet, "samples from fixed latents") for sheet in sheets[-1:]],
        (run.sheet_file, "the same latents, a row of each sheet"),
        *[(file, "figure") for file in figures if file.suffix == ".png"],
    ]:
        _line(f"  {file}  ({what})")
    if not figures:
        _line(f"The disk budget has no room for figures: `ganvas plot {run.path}` draws them nevertheless.")
    return 0


def _progress(unit: str = "images") -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
        console=err,
        transient=False,
        disable=not err.is_terminal,
    )


def _losses(record: Record) -> str:
    shown = {"d_loss": "D", "g_loss": "G", "score": "score", "fid": "FID", "kid": "KID"}
    parts = [f"{short} {record[name]:.3f}" for name, short in shown.items() if record.get(name) is not None]
    if "images_per_second" in record:
        parts.append(f"{record['images_per_second']:,.0f} images/s")
    return "  ".join(parts)


@app.command
def sample(
    run: Path,
    *,
    n: int = 64,
    label: str | None = None,
    seed: int = 0,
    steps: str | None = None,
    checkpoint: str = "last",
    device: str = "auto",
    out_path: Annotated[Path, Parameter(name="--out")] = Path("samples.png"),
) -> None:
    """Draw samples from a trained run: a grid, one file each, or arrays.

    Parameters
    ----------
    run
        Folder of the run.
    n
        How many samples.
    label
        Only this class (its name or number); classes take turns when left out.
    seed
        Seed of the first latent; the next sample has the next seed.
    steps
        Of cfg_gan: how many functional gradient steps, 0 for G alone; 0-15 draws a row for each number.
    checkpoint
        last, best, or the images seen of a checkpoint.
    device
        auto, cpu, cuda, cuda:N or mps.
    out_path
        grid.png, a folder/, or samples.npz (images uint8 NxHxWxC, labels).
    """
    model = sampling.load(run, checkpoint, device)
    counts = [] if steps is None else painting.read_numbers(steps, "steps")
    if len(counts) > 1:
        sampling.save_steps(model, counts, n, label, seed, out_path)
        _line(f"{n:,} samples after {model.nimg:,} images, a row for each of {steps} steps: {out_path}")
        return
    if counts:
        model.method.use_steps(counts[0])
    with err.status(f"drawing {n:,} samples"):
        files = sampling.save(model.sample(n, label, seed), out_path, model.provenance())
    where = files[0] if len(files) == 1 else out_path
    _line(f"{n:,} samples after {model.nimg:,} images: {where}")


@Parameter(name="*")
@dataclass(frozen=True)
class Subject:
    """What to paint, and with which network."""

    seeds: Annotated[str | None, Parameter(name=("--seed", "--seeds"))] = None
    """Seeds of the latents: 3, 1,5,9 or 0-15; 0 when left out."""
    labels: Annotated[str | None, Parameter(name=("--label", "--labels"))] = None
    """Classes, by name or number: a latent of each (with an encoder, that of a real picture; the seed says which)."""
    images: Annotated[
        list[Path] | None, Parameter(name=("--image", "--images"), consume_multiple=True, negative=())
    ] = None
    """Encode these pictures."""
    z: Path | None = None
    """Latents from a file: .npy, .npz, .json or .txt."""
    truncation: float | None = None
    """Draw latents of --seed and --label to their mean: 1 leaves them, 0 is the mean (of the class, with --label)."""
    invert: Annotated[bool, Parameter(negative=())] = False
    """Make the pictures of --image light on dark."""
    random: str | None = None
    """No run, but a network with random weights: tanh:8x64, softplus:4x128 or residual:24x6."""
    std: float | None = None
    """Standard deviation of the random weights: 0.30, 0.45 and 0.60 are calm to wild."""
    weights: int | None = None
    """Seed of the random weights; left out, that of the latent (in a film: 0)."""
    colour: Annotated[bool, Parameter(negative=())] = False
    """Random weights for three channels."""
    palette: str | None = None
    """ink (dark on light), chalk (light on dark), or a colour map of matplotlib; colour networks have their own."""
    size: str | None = None
    """Pixels: 1080, or 1920x1080 for width x height; 1080 when left out (270 each on a sheet, 512 in a film)."""
    scale: float | None = None
    """Where the coordinates end on the shorter side: twice the 8 of training shows twice as much."""
    center: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """What is in the middle, in coordinates: 0,0, or x (to the right),y (down)."""
    zoom: float | None = None
    """Look closer, as far as float64 can tell pixels apart."""
    supersample: int | None = None
    """Every pixel is the mean of so many times so many samples."""
    checkpoint: str | None = None
    """last, best, or the images seen of a checkpoint; last when left out."""
    data_dir: Path | None = None
    """Folder where named sets are looked for first, with --label."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""

    def pictures(self, run: Path | None, one_network: bool = False) -> list[painting.Picture]:
        """What is asked for; raises UserError unless it is of one kind. `one_network`: all have the same weights."""
        if (run is None) == (self.random is None):
            raise UserError("name the folder of a run, or --random tanh:8x64 for a network with random weights")
        seeds = painting.read_numbers("0" if self.seeds is None else self.seeds, "seeds")
        if self.random is not None:
            self._refuse("labels", "images", "z", "truncation", "invert", "checkpoint", why="with --random: use --seed")
            found = []
            for seed in seeds:
                weights = seed if self.weights is None and not one_network else self.weights or 0
                painter = painting.of_chance(self.random, weights, self.std, self.colour, self.device)
                found.append(painting.Picture(painter, painting.by_chance(painter, seed), f"seed {seed}"))
            return found
        self._refuse("std", "weights", "colour", why="without --random")
        if self.z is not None:
            self._refuse("seeds", "labels", "images", "truncation", why="with --z")
        if self.images is not None:
            self._refuse("seeds", "labels", "truncation", why="with --image")
        else:
            self._refuse("invert", why="without --image")
        assert run is not None
        model = sampling.load(run, self.checkpoint or "last", self.device)
        labels = [] if self.labels is None else [label.strip() for label in self.labels.split(",")]
        return painting.pictures(
            model,
            seeds,
            labels,
            self.images or [],
            self.z,
            truncation=1.0 if self.truncation is None else self.truncation,
            invert=self.invert,
            data_dir=self.data_dir,
        )

    def view(self, like: View) -> View:
        """`like`, with what is asked for in its place."""
        changes: dict[str, Any] = {}
        if self.size is not None:
            changes["height"], changes["width"] = painting.read_size(self.size)
        if self.center is not None:
            changes["center"] = painting.read_center(self.center)
        for name in ("scale", "zoom", "supersample"):
            if getattr(self, name) is not None:
                changes[name] = getattr(self, name)
        return replace(like, **changes)

    def refuse_all_but_the_view(self) -> None:
        """Raise UserError for any word on what to paint: `--like` has the answer."""
        of_what = ("seeds", "labels", "images", "z", "truncation", "invert", "checkpoint")
        of_chance = ("random", "std", "weights", "colour")
        self._refuse(*of_what, *of_chance, why="with --like: it paints what the file says")

    def _refuse(self, *names: str, why: str) -> None:
        words = {"seeds": "seed", "labels": "label", "images": "image"}
        for name in names:
            value = getattr(self, name)
            if value is not None and value is not False:  # 0 is a word too
                raise UserError(f"--{words.get(name, name)} does nothing {why}")


@app.command
def paint(
    run: Path | None = None,
    *,
    subject: Subject = Subject(),
    like: Path | None = None,
    sheet: Annotated[bool, Parameter(negative=())] = False,
    columns: int | None = None,
    bits: Literal[8, 16] | None = None,
    out_path: Annotated[Path, Parameter(name="--out")] = Path("painting.png"),
) -> None:
    """Paint pictures of any size from a run with a pixel network (network.name=cppn), or from random weights.

    Parameters
    ----------
    run
        Folder of the run.
    like
        Paint what this file holds the recipe of, exactly; --size, --scale, --center, --zoom, --supersample, --palette
        and --bits change it.
    sheet
        Several pictures in one file; otherwise --out names a folder for them.
    columns
        Columns of the sheet; when left out, a row for each of several labels, or as square as can be.
    bits
        8 or 16 per channel (PNG, TIFF).
    out_path
        .png, .tif, .webp, or .dzi (Deep Zoom, for the largest); a folder for several pictures.
    """
    if columns is not None and columns < 1:
        raise UserError(f"a sheet of {columns} columns cannot be painted: it has 1 or more")
    if like is not None:
        subject.refuse_all_but_the_view()
        if sheet or columns:
            raise UserError("--sheet and --columns do nothing with --like: it paints what the file says")
        old = painting.again(like, run, subject.device)
        view = subject.view(old.view)
        works = {out_path: replace(old, view=view, palette=subject.palette or old.palette, bits=bits or old.bits)}
    else:
        pictures = subject.pictures(run)
        side = painting.SHEET_SIDE if sheet else painting.POSTER_SIDE
        view = subject.view(View(side, side, pictures[0].painter.network.scale))
        classes = len(subject.labels.split(",")) if subject.labels else 0
        in_rows = len(pictures) // classes if classes else 1  # a row for each class, if there are several of each
        columns = columns or (in_rows if in_rows > 1 else images.square_columns(len(pictures)))
        make = partial(painting.Painting, view=view, palette=subject.palette or "auto", bits=bits or 8)
        if sheet or len(pictures) == 1:
            works = {out_path: make(pictures, columns=columns)}
        elif out_path.suffix:
            raise UserError(
                f"{len(pictures)} pictures do not fit into '{out_path}': use --sheet, or --out with a folder"
            )
        else:
            names = [re.sub(r"[^\w.-]+", "-", picture.source) for picture in pictures]
            works = {out_path / f"{i:03d}-{name}.png": make([pictures[i]]) for i, name in enumerate(names)}
    painter = next(iter(works.values())).pictures[0].painter
    _say_if_slow(painter.network.config, painter.device)
    with _progress("rows") as progress:
        for file, work in works.items():
            task = progress.add_task(file.name, total=work.height, losses="")
            work.save(file, lambda done, _, task=task: progress.update(task, completed=done))  # type: ignore[misc]
            _line(f"{file}  ({work.width}x{work.height})")


@app.command
def morph(
    run: Path | None = None,
    *,
    subject: Subject = Subject(),
    frames: int = 120,
    fps: float = 30.0,
    ease: Ease = "linear",
    spherical: Annotated[bool, Parameter(negative=())] = False,
    loop: Annotated[bool, Parameter(negative=())] = False,
    zoom_from: float | None = None,
    zoom_to: float | None = None,
    out_path: Annotated[Path, Parameter(name="--out")] = Path("morph.gif"),
) -> None:
    """Film the way from one latent to the next, or into a picture.

    Parameters
    ----------
    run
        Folder of the run.
    frames
        Frames of the whole film.
    fps
        Frames per second.
    ease
        linear: at an even speed; sine: slowly near the latents.
    spherical
        Rotate latents into each other instead of passing in a straight line.
    loop
        Back to the first latent, for a film that repeats without a seam.
    zoom_from
        Zoom of the first frame.
    zoom_to
        Zoom of the last frame.
    out_path
        .mp4 or .webm (extra `video`), .gif or .webp.
    """
    pictures = subject.pictures(run, one_network=True)
    painter = pictures[0].painter
    if zoom_from is not None and subject.zoom is not None:
        raise UserError("--zoom and --zoom-from say the same of a film: choose one")
    view = subject.view(View(painting.FILM_SIDE, painting.FILM_SIDE, painter.network.scale))
    view = view if zoom_from is None else replace(view, zoom=zoom_from)
    film = Morph(
        painter,
        torch.stack([picture.z for picture in pictures]),
        [picture.source for picture in pictures],
        view,
        frames=frames,
        ease=ease,
        spherical=spherical,
        loop=loop,
        zoom_to=zoom_to,
        palette=subject.palette or "auto",
        fps=fps,
    )
    _say_if_slow(painter.network.config, painter.device)
    with _progress("frames") as progress:
        task = progress.add_task(out_path.name, total=frames, losses="")
        film.save(out_path, lambda done, total: progress.update(task, completed=done))
    _line(f"{out_path}  ({frames} frames of {view.width}x{view.height})")


@app.command
def encode(
    run: Path,
    images: list[Path],
    *,
    invert: Annotated[bool, Parameter(negative=())] = False,
    checkpoint: str = "last",
    device: str = "auto",
    out_path: Annotated[Path, Parameter(name="--out")] = Path("latents.npz"),
) -> None:
    """Turn pictures into latents with the encoder of a run; `ganvas paint --z` and `ganvas morph --z` read them.

    Parameters
    ----------
    run
        Folder of the run.
    images
        Picture files.
    invert
        Make them light on dark.
    checkpoint
        last, best, or the images seen of a checkpoint.
    device
        auto, cpu, cuda, cuda:N or mps.
    out_path
        An .npz file: z [N, latent_size], files [N].
    """
    if out_path.suffix != ".npz":
        raise UserError(f"cannot write latents as '{out_path.suffix}': use an .npz file")
    model = sampling.load(run, checkpoint, device)
    z = painting.encoded(model, images, invert).cpu().numpy()
    with files.atomic(out_path) as file:
        np.savez(file, z=z, files=np.array([str(image) for image in images]))
    _line(f"{len(z)} latents of {z.shape[1]} numbers: {out_path}")


def _say_if_slow(network: Backbone | CPPN, device: torch.device) -> None:
    """One line where the compiled kernel would serve, but is not there."""
    if isinstance(network, CPPN) and network.kind == "residual" and device.type == "cpu":
        active, why = fused.status(network.sizes()[0])
        if not active:
            _say("[yellow]note:[/]", f"without the compiled kernel, several times slower: {why}")


@app.command
def evaluate(
    run: Path,
    *,
    checkpoint: str = "best",
    n: int = 10_000,
    split: Literal["train", "test"] = "train",
    seed: int = FIRST_SEED,
    evaluator: str | None = None,
    fid_infinity: Annotated[bool, Parameter(negative=())] = False,
    data_dir: Path | None = None,
    device: str = "auto",
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Score a run: FID, KID, inception score, precision, recall, diversity, classes, copies, each with its uncertainty.

    The result stays in the run, with everything that decides whether it may be compared; `ganvas compare` reads it.

    Parameters
    ----------
    run
        Folder of the run.
    checkpoint
        best, last, or the images seen of a checkpoint.
    n
        How many samples to score; FID wants 2,000 or more.
    split
        The real pictures to compare with: those it was trained on, or the test pictures.
    seed
        Seed of the first sample; the next sample has the next seed.
    evaluator
        digits, cifar10, inception, one that you trained, or its file; chosen by the data when left out.
    fid_infinity
        Add FID extrapolated to infinitely many samples.
    data_dir
        Folder where named sets are looked for first.
    device
        auto, cpu, cuda, cuda:N or mps.
    json_file
        Write the result to this file as well.
    """
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
    if json_file:
        files.write(json_file, (json.dumps(found, indent=1) + "\n").encode())
    for part in reports.rich_evaluation(found, out.width):
        out.print(part)
    cost = found["cost"]
    _line(f"{cost['sampling_seconds']:.0f} s for the samples, {cost['scoring_seconds']:.0f} s for the scores")


@app.command
def neighbours(
    run: Path,
    *,
    n: int = 1_000,
    seed: int = 0,
    checkpoint: str = "last",
    evaluator: str | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    out_path: Annotated[Path, Parameter(name="--out")] = Path("neighbours.png"),
) -> None:
    """Show samples beside the training pictures nearest to them: has the run learned its pictures by heart?

    In every triple: a sample, the picture nearest to it by pixels, the one nearest by features; likely copies first.

    Parameters
    ----------
    run
        Folder of the run.
    n
        How many samples to look at.
    seed
        Seed of the first sample; the next sample has the next seed.
    checkpoint
        last, best, or the images seen of a checkpoint.
    evaluator
        digits, cifar10, inception, one that you trained, or its file; chosen by the data when left out.
    data_dir
        Folder where named sets are looked for first.
    device
        auto, cpu, cuda, cuda:N or mps.
    out_path
        The sheet, a .png file.
    """
    if out_path.suffix.lower() != ".png":
        raise UserError(f"cannot write the sheet as '{out_path}': name a .png file")
    with err.status(f"looking for the neighbours of {n:,} samples"):
        found = find_neighbours(run, checkpoint, n=n, seed=seed, evaluator=evaluator, data_dir=data_dir, device=device)
        images.save_png(out_path, found.sheet(), found.recipe())
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, figure, what in found.rows():
        table.add_row(name, figure, escape(what))
    out.print(table)
    _line(f"The {min(n, SHOWN):,} samples most like a copy: {out_path}")


@app.command
def compare(
    *runs: Path,
    at_images: int | None = None,
    at_seconds: float | None = None,
    html: Path | None = None,
    csv: Path | None = None,
    markdown: Path | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Compare evaluated runs in one table (one per protocol: unlike scores never share a column), or as a report.

    Parameters
    ----------
    runs
        Folders of runs that `ganvas evaluate` has scored, or that were evaluated while they trained.
    at_images
        Compare at an equal budget: the last evaluation after at most so many images seen.
    at_seconds
        Compare at an equal budget: the last evaluation after at most so many seconds of training.
    html
        Write a report with tables, curves and samples: one file that opens from disk.
    csv
        Write the table as CSV, a line per score.
    markdown
        Write the table as Markdown.
    json_file
        Write everything, with provenance, as JSON.
    """
    compared = compare_runs(runs, at_images, at_seconds)
    for part in reports.rich_tables(compared, out.width):
        out.print(part)
    for file, text in (
        (html, reports.to_html),
        (csv, reports.to_csv),
        (markdown, reports.to_markdown),
        (json_file, reports.to_json),
    ):
        if file:
            files.write(file, text(compared).encode())
            _line(str(file))


@evaluator_app.command(name="train")
def train_evaluator(
    *,
    data: str,
    data_dir: Path | None = None,
    device: str = "auto",
    out_file: Annotated[Path | None, Parameter(name="--out")] = None,
    changes: Words = None,
) -> None:
    """Train an evaluator for labelled pictures; runs on the same pictures are then scored with it.

    Parameters
    ----------
    data
        A named set, a folder with a sub-folder per class, a .parquet file, or a hub id (owner/name).
    data_dir
        Folder where named sets are looked for first.
    device
        auto, cpu, cuda, cuda:N or mps.
    out_file
        Write it to this .safetensors file; into the cache when left out.
    changes
        Settings of the classifier or the data, for example --set epochs=10 data.size=64.
    """
    values = parse_assignments(changes or [])
    settings = parse(DataSettings, {**_section(values.pop("data", {}), "data"), "name": data}, "data")
    trained = features.Training(settings, values, data_dir=data_dir, device=device, out=out_file)
    with _progress() as progress:
        task, parts = progress.add_task(f"evaluator for {data}", total=None, losses=""), 0
        for step in trained:
            progress.update(task, completed=step.nimg, total=step.total, losses=f"loss {step.loss:.3f}")
            if not progress.console.is_terminal and LINES * step.nimg // step.total > parts:
                parts = LINES * step.nimg // step.total
                err.print(f"{step.nimg:>10,} of {step.total:,} images  loss {step.loss:.3f}")
    _line(f"{trained.file}: {features.describe(trained.file)}")


@evaluator_app.command(name="average")
def average_evaluators(
    *parents: Path,
    data: str,
    out_file: Annotated[Path, Parameter(name="--out")],
    data_dir: Path | None = None,
    device: str = "auto",
) -> None:
    """Average the weights of evaluators that went on from one state in different ways: often better than each.

    Parameters
    ----------
    parents
        Their .safetensors files, two or more.
    data
        The pictures that they were trained on.
    out_file
        Write it to this .safetensors file.
    data_dir
        Folder where named sets are looked for first.
    device
        auto, cpu, cuda, cuda:N or mps.
    """
    if len(parents) < 2:
        raise UserError("name two evaluators or more")
    settings = parse(DataSettings, {"name": data}, "data")
    learned = features.load(str(parents[0]), device).facts["settings"]
    trained = features.Training(settings, learned, data_dir=data_dir, device=device, out=out_file)
    with err.status("averaging"):
        trained.average(parents)
    _line(f"{trained.file}: {features.describe(trained.file)}")


@evaluator_app.command(name="list")
def list_evaluators() -> None:
    """List the evaluators that can be used now."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, what, where in features.available():
        table.add_row(f"[bold]{escape(name)}[/]", escape(what), f"[dim]{escape(where)}[/]")
    out.print(table)


@app.command
def plot(
    *runs: Path,
    at: str | None = None,
    out_dir: Annotated[Path | None, Parameter(name="--out")] = None,
) -> None:
    """Draw the figures of a run, as PNG and SVG: losses, score, samples by epoch, ...; or of several: balance, samples.

    Parameters
    ----------
    runs
        Folder of the run, whose figures go to its sub-folder figures/; or the folders of several, to draw together:
        the balance of their losses, and their samples, a row per run.
    at
        Of several: a column for the samples after so many images seen, for example 10000,60000 (an iteration sees a
        batch of them); the nearest sheet that a run has is shown. Five from beginning to end when left out.
    out_dir
        Of several: folder for the figures; figures/ in the folder that holds the runs when left out.
    """
    if not runs:
        raise UserError("nothing to draw: name the folder of a run, or of several")
    if len(runs) == 1 and (at is not None or out_dir is not None):
        raise UserError("--at and --out are for the figures of several runs: name more, or leave them out")
    numbers = [] if at is None else painting.read_numbers(at, "images seen")
    for file in draw_figures(runs[0]) if len(runs) == 1 else draw_together(runs, numbers, out_dir):
        _line(str(file))


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
        Settings and their values, every one with every other: --grid method.g_steps=1,2,4 network.base=32,64.
    search
        Instead of --grid: ranges and lists in which to look for the best: --search method.lr=1e-5..1e-3
        network.base=16,32 (TPE; a range of positive numbers over a factor of 10 or more is searched in its logarithm).
    trials
        Points that --search tries; 20 when left out.
    by
        The metric that judges a run.
    seeds
        Runs of each point, from the seed of the recipe on.
    jobs
        Runs side by side; they share the cores (OMP_NUM_THREADS, if that is set).
    on
        here: processes on this machine; ray: tasks of the cluster that RAY_ADDRESS names, or of a local one. --out and
        the data have to be on a disk that all its nodes see, under the same path; with --device cuda each run takes a
        GPU.
    samples
        How many samples score a run; FID wants 2,000 or more.
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
        Take up the runs that failed as well.
    changes
        Any other setting that all runs share, for example --set train.batch_size=64.
    """
    if (grid is None) == (search is None):
        raise UserError("say what to vary: either --grid method.g_steps=1,2,4 or --search method.lr=1e-5..1e-3")
    if search is None and trials is not None:
        raise UserError("--trials does nothing with --grid, which has all its points: leave it out")
    given: dict[str, Any] = {"train": {}, "data": {} if data is None else {"name": data}}
    if epochs is not None or images is not None:
        given["train"] = {"images": images} | ({} if epochs is None else {"epochs": epochs})
    given = {section: values for section, values in given.items() if values}
    plan = sweeps.Plan(
        recipes.load(recipe, merge(parse_assignments(changes or []), given)),
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
        _line(f"Stopped after {sum(trial.done for trial in found)} whole runs. The same command goes on from here.")
        return 130
    return _report_sweep(plan, found, folder)


def _watch(sweeping: sweeps.Sweep, plan: sweeps.Plan) -> list[sweeps.Trial]:
    """Run a sweep to its end: a table that lives, or on no terminal a line for each run that ends."""
    found: list[sweeps.Trial] = []
    said: set[str] | None = None
    live = Live(console=err, auto_refresh=False, transient=True)
    with live if err.is_terminal else nullcontext():
        for found in sweeping.go():
            done = {trial.name: trial for trial in found if trial.done}
            if said is None:
                said = set(done)
                if done:
                    _say("[bold]going on:[/]", f"{len(done)} runs are done already")
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
    last = trial.last
    losses = {"D": last.get("d_loss"), "G": last.get("g_loss")}
    score = trial.scores.get(plan.by)
    return (
        trial.name,
        trial.state,
        f"{last.get('nimg', 0):,} / {trial.total:,}",
        " ".join(f"{side} {loss:.3f}" for side, loss in losses.items() if loss is not None),
        f"{METRICS[plan.by].title} {reports.number(score)}" if score else trial.reason or "-",
        f"{last.get('seconds', 0):.0f} s",
    )


def _report_sweep(plan: sweeps.Plan, found: Sequence[sweeps.Trial], folder: Path) -> int:
    """Say what came of a sweep and where it is; the exit code, which is 1 when no run came to its end."""
    header, body = sweeps.table(plan, found)
    for columns in reports.column_groups(header, [[reports.Cell(text) for text in row] for row in body], out.width):
        table = Table(Column(header[0], overflow="fold"), box=None, header_style="bold", pad_edge=False)
        for j in columns:
            table.add_column(header[j], justify="right", no_wrap=True)
        for row in body:
            table.add_row(*(escape(row[j]) for j in (0, *columns)))
        out.print(table)
        out.print()
    failed = [trial for trial in found if trial.state == "failed"]
    for trial in failed:
        _say("[yellow]failed:[/]", f"{trial.name}: {trial.reason}")
    for name, what in {"table.md": "this table", "sweep.csv": "a line per run", "sweep.png": "figure"}.items():
        if (folder / name).is_file():
            _line(f"  {folder / name}  ({what})")
    return 1 if len(failed) == len(found) else 0


@app.command
def runs(folder: Path = Path("runs")) -> None:
    """List the runs below a folder.

    Parameters
    ----------
    folder
        Where to look.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder '{folder}': name the one that holds your runs")
    found = [Run(file.parent) for file in sorted(folder.rglob("run.json"))]
    columns = ("recipe", "data", "images seen", "age", "score", "state")
    table = Table(Column("run", overflow="fold"), *columns, box=None, header_style="bold", pad_edge=False)
    for run in (run for run in found if run.is_run()):
        table.add_row(*(escape(cell) for cell in (str(run.path), *_row(run))))
    out.print(table if table.rows else f"no runs in '{folder}' yet: `ganvas train strokes-cdcgan` makes one")


def _row(run: Run) -> tuple[str, ...]:
    """The cells of a run in the table of runs, after its path."""
    try:
        info, records, state = run.info(), run.records(), run.state()
        recipe, data, age = info["recipe"], info["data"]["name"], _age(info["started"])
    except (UserError, KeyError):
        return (*["-"] * 5, "run.json is damaged")
    scores = [record["score"] for record in records if record.get("score") is not None]
    nimg = f"{records[-1]['nimg']:,}" if records else "0"
    return recipe, data, nimg, age, f"{scores[-1]:.4f}" if scores else "-", state.partition(":")[0]


def _age(since: str) -> str:
    seconds = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


@app.command(name="recipes")
def list_recipes(name: str | None = None) -> None:
    """List the recipes, or show one with every setting it leaves at its default.

    Parameters
    ----------
    name
        Show this recipe in full.
    """
    if name is None:
        table = Table(box=None, show_header=False, pad_edge=False)
        for each in recipes.names():
            table.add_row(f"[bold]{each}[/]", recipes.load(each).description)
        out.print(table)
        return
    chosen = recipes.load(name)
    out.print(f"{chosen.name}: {chosen.description}", soft_wrap=True)
    for section in recipes.SECTIONS:
        settings = getattr(chosen, section)
        table = Table(box=None, show_header=False, pad_edge=False)
        for key, field in type(settings).model_fields.items():
            value, what = getattr(settings, key), f"[dim]{field.description or ''}[/]"
            if not isinstance(value, dict) or not value:
                table.add_row(f"  {section}.{key}", "" if value == {} else typed(value), what)
            for name, rule in value.items() if isinstance(value, dict) else ():
                words = " ".join(f"{k}={typed(v)}" for k, v in rule.model_dump(exclude_defaults=True).items())
                table.add_row(f"  {section}.{key}.{name}", words)
        out.print(table)


@app.command
def info(*, device: str = "auto") -> None:
    """Show versions, the device, the precision, and which fast paths are active and why.

    Parameters
    ----------
    device
        auto, cpu, cuda, cuda:N or mps.
    """
    compute = devices.choose(device)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("ganvas", VERSION)
    table.add_row("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    table.add_row("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")
    name = torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else ""
    table.add_row("device", f"{compute.device} {name}".strip())
    table.add_row("precision", f"{compute.precision} ({compute.why})")
    for path, active, why in [*devices.fast_paths(compute), ("compiled pixel network", *fused.status())]:
        table.add_row(path, f"{'[green]on[/]' if active else '[yellow]off[/]'}  [dim]{why}[/]")
    out.print(table)


@data_app.command
def check(
    name: str,
    *,
    data_dir: Path | None = None,
    changes: Words = None,
) -> None:
    """Report what is in a data set: counts, sizes, duplicates, unreadable files, memory.

    Parameters
    ----------
    name
        A named set, a folder of images, a .parquet file, or a hub id (owner/name).
    data_dir
        Folder where named sets are looked for first.
    changes
        Settings of the data, for example --set size=64 fit=letterbox.
    """
    settings = parse(DataSettings, {**_flat(changes or []), "name": name}, "data")
    report = data_check.check(settings, data_dir)
    spec = ImageSpec(report.channels, report.size, report.size, len(report.classes))
    batch = max(8, min(128, PIXELS_TIMED_AT_ONCE // (spec.height * spec.width)))
    usual = {"method": {"name": "gan", "conditional": bool(report.classes)}, "train": {"batch_size": batch}}
    with suppress(UserError), err.status("timing a training step"):  # pictures too small for the network have no time
        report = replace(report, seconds_per_image=seconds_per_image(recipes.from_dict(usual), spec))
    for line in report.lines():
        _line(line)
    if report.seconds_per_image:
        out.print("(the time is that of a DCGAN with 64 base filters on this machine)")


def _flat(words: list[str]) -> dict[str, Any]:
    values = parse_assignments(words)
    return {**_section(values.pop("data", {}), "data"), **values}


def _section(values: Any, name: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise UserError(f"'{name}' is a section, not a value: write {name}.something={values}")
    return values
