"""From a run back to pictures: samples, paintings, films; and from pictures to latents."""

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from cyclopts import Parameter

from ganvas.cli.common import app, err, line, progress, say_if_slow
from ganvas.core import files, images
from ganvas.core.errors import UserError
from ganvas.networks.view import View
from ganvas.painting import paint as painting
from ganvas.painting.latents import Ease
from ganvas.painting.morph import Morph, again
from ganvas.runs import model as sampling


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
        line(f"{n:,} samples after {model.nimg:,} images, a row for each of {steps} steps: {out_path}")
        return
    if counts:
        model.method.use_steps(counts[0])
    with err.status(f"drawing {n:,} samples"):
        files = sampling.save(model.sample(n, label, seed), out_path, model.provenance())
    where = files[0] if len(files) == 1 else out_path
    line(f"{n:,} samples after {model.nimg:,} images: {where}")


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
            of_a_run = ("labels", "images", "z", "truncation", "invert", "checkpoint", "data_dir")
            self._refuse(*of_a_run, why="with --random: use --seed")
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
        if self.labels is None:
            self._refuse("data_dir", why="without --label")
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
        of_what = ("seeds", "labels", "images", "z", "truncation", "invert", "checkpoint", "data_dir")
        of_chance = ("random", "std", "weights", "colour")
        self._refuse(*of_what, *of_chance, why="with --like: it paints what the file says")

    def _refuse(self, *names: str, why: str) -> None:
        words = {"seeds": "seed", "labels": "label", "images": "image", "data_dir": "data-dir"}
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
        if columns and not sheet:
            raise UserError("--columns does nothing without --sheet")
        pictures = subject.pictures(run)
        side = painting.SHEET_SIDE if sheet else painting.POSTER_SIDE
        view = subject.view(View(side, side, pictures[0].painter.network.scale))
        classes = len(subject.labels.split(",")) if subject.labels else 0
        in_rows = len(pictures) // classes if classes else 1  # a row for each class, if there are several of each
        columns = columns or (in_rows if in_rows > 1 else images.square_columns(len(pictures)))
        make = partial(painting.Painting, view=view, palette=subject.palette or "auto", bits=bits or 8)
        if sheet or len(pictures) == 1:
            works = {out_path: make(pictures, columns=min(columns, len(pictures)))}
        elif out_path.suffix:
            raise UserError(
                f"{len(pictures)} pictures do not fit into '{out_path}': use --sheet, or --out with a folder"
            )
        else:
            names = [re.sub(r"[^\w.-]+", "-", picture.source) for picture in pictures]
            works = {out_path / f"{i:03d}-{name}.png": make([pictures[i]]) for i, name in enumerate(names)}
    painter = next(iter(works.values())).pictures[0].painter
    say_if_slow(painter.network.config, painter.device)
    with progress("rows") as bar:
        for file, work in works.items():
            task = bar.add_task(file.name, total=work.height, losses="")
            work.save(file, lambda done, _, task=task: bar.update(task, completed=done))  # type: ignore[misc]
            line(f"{file}  ({work.width}x{work.height})")


@app.command
def morph(
    run: Path | None = None,
    *,
    subject: Subject = Subject(),
    like: Path | None = None,
    frames: int | None = None,
    fps: float | None = None,
    ease: Ease | None = None,
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
    like
        Film what this file holds the recipe of; --size, --scale, --center, --zoom, --supersample and --palette change
        it.
    frames
        Frames of the whole film; 120 when left out.
    fps
        Frames per second; 30 when left out.
    ease
        linear: at an even speed, as when left out; sine: slowly near the latents.
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
    if like is not None:
        subject.refuse_all_but_the_view()
        if any(value is not None for value in (frames, fps, ease, zoom_from, zoom_to)) or spherical or loop:
            raise UserError("only --size, --scale, --center, --zoom, --supersample and --palette change a film --like")
        old = again(like, run, subject.device)
        film = replace(old, view=subject.view(old.view), palette=subject.palette or old.palette)
    else:
        pictures = subject.pictures(run, one_network=True)
        painter = pictures[0].painter
        if zoom_from is not None and subject.zoom is not None:
            raise UserError("--zoom and --zoom-from say the same of a film: choose one")
        view = subject.view(View(painting.FILM_SIDE, painting.FILM_SIDE, painter.network.scale))
        film = Morph(
            painter,
            torch.stack([picture.z for picture in pictures]),
            [picture.source for picture in pictures],
            view if zoom_from is None else replace(view, zoom=zoom_from),
            frames=120 if frames is None else frames,
            ease=ease or "linear",
            spherical=spherical,
            loop=loop,
            zoom_to=zoom_to,
            palette=subject.palette or "auto",
            fps=30.0 if fps is None else fps,
        )
    say_if_slow(film.painter.network.config, film.painter.device)
    with progress("frames") as bar:
        task = bar.add_task(out_path.name, total=film.frames, losses="")
        film.save(out_path, lambda done, total: bar.update(task, completed=done))
    line(f"{out_path}  ({film.frames} frames of {film.view.width}x{film.view.height})")


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
    line(f"{len(z)} latents of {z.shape[1]} numbers: {out_path}")
