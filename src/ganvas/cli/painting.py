"""Commands for samples, paintings and films of a run, and for encoding images as latents."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ganvas.cli.common import Checkpoint, Device, RunFolder, app, err, line, progress, say_if_slow
from ganvas.cli.values import read_center, read_numbers, read_place, read_size
from ganvas.core import files
from ganvas.core.errors import UserError

if TYPE_CHECKING:
    from ganvas.networks.view import View
    from ganvas.painting.subjects import Subject


@app.command
def sample(
    run: RunFolder,
    *,
    n: int = 64,
    label: str | None = None,
    seed: int = 0,
    steps: str | None = None,
    checkpoint: Checkpoint = "last",
    device: Device = "auto",
    out_path: Annotated[Path, Parameter(name="--out")] = Path("samples.png"),
) -> None:
    """Draw samples from a trained run: a grid, one file each, or arrays.

    Parameters
    ----------
    n
        Number of samples.
    label
        Only this class (its name or number); by default samples alternate between the classes.
    seed
        Seed of the first latent; the next sample has the next seed.
    steps
        For cfg_gan: the number of functional gradient steps, 0 for G alone; a range such as 0-15 draws a row for each.
    out_path
        grid.png, a folder/, or samples.npz (images uint8 NxHxWxC, labels).
    """
    from ganvas.runs import model as sampling
    from ganvas.runs import samples

    model = sampling.load(run, checkpoint, device)
    counts = [] if steps is None else read_numbers(steps, "steps")
    if len(counts) > 1:
        samples.save_steps(model, counts, n, label, seed, out_path)
        line(f"{n:,} samples after {model.nimg:,} images, a row for each of {steps} steps: {out_path}")
        return
    if counts:
        model.method.use_steps(counts[0])
    with err.status(f"drawing {n:,} samples"):
        files = samples.save(model.sample(n, label, seed), out_path, model.provenance())
    where = files[0] if len(files) == 1 else out_path
    line(f"{n:,} samples after {model.nimg:,} images: {where}")


@Parameter(name="*")
@dataclass(frozen=True)
class SubjectOptions:
    """What to paint, and with which network."""

    seeds: Annotated[str | None, Parameter(name=("--seed", "--seeds"))] = None
    """Seeds of the latents: 3, 1,5,9 or 0-15; default: 0."""
    labels: Annotated[str | None, Parameter(name=("--label", "--labels"))] = None
    """Classes by name or number, with a latent for each (with an encoder, of a training image chosen by the seed)."""
    images: Annotated[
        list[Path] | None, Parameter(name=("--image", "--images"), consume_multiple=True, negative=())
    ] = None
    """Paint the latents of these image files (needs an encoder)."""
    z: Path | None = None
    """Latents from a file: .npy, .npz, .json or .txt."""
    truncation: float | None = None
    """Pull latents of --seed and --label towards their mean: 1 keeps them, 0 is the mean (of the class)."""
    invert: Annotated[bool, Parameter(negative=())] = False
    """Invert the images of --image: dark on light becomes light on dark."""
    random: str | None = None
    """Instead of a run, a network with random weights: tanh:8x64, softplus:4x128 or residual:24x6."""
    std: float | None = None
    """Standard deviation of the random weights: from 0.30 (calm) to 0.60 (wild)."""
    weights: int | None = None
    """Seed of the random weights; default: that of the latent (for a film: 0)."""
    colour: Annotated[bool, Parameter(negative=())] = False
    """Use a random network that paints in colour."""
    palette: str | None = None
    """ink (dark on light), chalk (light on dark), or a matplotlib colour map; colour networks need none."""
    size: str | None = None
    """Pixels: 1080, or 1920x1080 for width x height. By default 1080 (270 each on a sheet, 512 in a film)."""
    scale: float | None = None
    """Largest coordinate on the shorter side: 16, twice the 8 of training, shows twice as much."""
    center: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Coordinates of the center of the image, x (to the right) and y (down); default: 0,0."""
    zoom: float | None = None
    """Magnification around the center, as far as float64 can distinguish pixels."""
    supersample: int | None = None
    """N: average a grid of N x N samples per pixel."""
    checkpoint: str | None = None
    """last, best, or the number of images seen of a checkpoint; default: last."""
    data_dir: Path | None = None
    """Folder in which named sets are looked for first, with --label."""
    device: Device = "auto"

    def choose(self, run: Path | None, one_network: bool = False) -> list[Subject]:
        """The subjects, with `one_network` all of the same network; raises UserError for options that conflict."""
        from ganvas.painting.painter import random_network
        from ganvas.painting.subjects import Subject, choose_subjects, random_latent
        from ganvas.runs import model as sampling

        if (run is None) == (self.random is None):
            raise UserError("name the folder of a run, or --random tanh:8x64 for a network with random weights")
        seeds = read_numbers("0" if self.seeds is None else self.seeds, "seeds")
        if self.random is not None:
            of_a_run = ("labels", "images", "z", "truncation", "invert", "checkpoint", "data_dir")
            self._refuse(*of_a_run, why="with --random: use --seed")
            found = []
            for seed in seeds:
                weights = seed if self.weights is None and not one_network else self.weights or 0
                painter = random_network(self.random, weights, self.std, self.colour, self.device)
                found.append(Subject(painter, random_latent(painter, seed), f"seed {seed}"))
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
        return choose_subjects(
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
        """The view `like`, changed by the given options."""
        changes: dict[str, Any] = {}
        if self.size is not None:
            changes["height"], changes["width"] = read_size(self.size)
        if self.center is not None:
            changes["center"] = read_center(self.center)
        for name in ("scale", "zoom", "supersample"):
            if getattr(self, name) is not None:
                changes[name] = getattr(self, name)
        return replace(like, **changes)

    def refuse_all_but_the_view(self) -> None:
        """Raise UserError for any option on what to paint, which `--like` determines."""
        of_what = ("seeds", "labels", "images", "z", "truncation", "invert", "checkpoint", "data_dir")
        of_random = ("random", "std", "weights", "colour")
        self._refuse(*of_what, *of_random, why="with --like, which paints what is in the file")

    def _refuse(self, *names: str, why: str) -> None:
        words = {"seeds": "seed", "labels": "label", "images": "image", "data_dir": "data-dir"}
        for name in names:
            value = getattr(self, name)
            if value is not None and value is not False:  # 0 is a given value
                raise UserError(f"--{words.get(name, name)} does nothing {why}")


@app.command
def paint(
    run: Path | None = None,
    *,
    subject: SubjectOptions = SubjectOptions(),
    like: Path | None = None,
    sheet: Annotated[bool, Parameter(negative=())] = False,
    columns: int | None = None,
    bits: Literal[8, 16] | None = None,
    out_path: Annotated[Path, Parameter(name="--out")] = Path("painting.png"),
) -> None:
    """Paint images of any size from a run with a pixel network (network.name=cppn), or from random weights.

    Parameters
    ----------
    run
        Folder of the run.
    like
        Paint this image again, from the recipe in its file; --size, --scale, --center, --zoom, --supersample, --palette
        and --bits change it.
    sheet
        Put several images side by side in one file; otherwise --out names a folder for them.
    columns
        Columns of the sheet; by default one row per label, or as square as possible.
    bits
        8 or 16 per channel (PNG, TIFF).
    out_path
        .png, .tif, .webp, or .dzi (Deep Zoom, for the largest); a folder for several images.
    """
    from ganvas.core import images
    from ganvas.networks.view import View
    from ganvas.painting import paint as painting

    if columns is not None and columns < 1:
        raise UserError(f"a sheet of {columns} columns cannot be painted: it has 1 or more")
    if like is not None:
        subject.refuse_all_but_the_view()
        if sheet or columns:
            raise UserError("--sheet and --columns do nothing with --like, which paints what is in the file")
        old = painting.load_painting(like, run, subject.device)
        view = subject.view(old.view)
        works = {out_path: replace(old, view=view, palette=subject.palette or old.palette, bits=bits or old.bits)}
    else:
        if columns and not sheet:
            raise UserError("--columns does nothing without --sheet")
        subjects = subject.choose(run)
        side = painting.SHEET_SIDE if sheet else painting.POSTER_SIDE
        view = subject.view(View(side, side, subjects[0].painter.network.scale))
        classes = len(subject.labels.split(",")) if subject.labels else 0
        in_rows = len(subjects) // classes if classes else 1  # a row for each class, if there are several of each
        columns = columns or (in_rows if in_rows > 1 else images.square_columns(len(subjects)))
        make = partial(painting.Painting, view=view, palette=subject.palette or "auto", bits=bits or 8)
        if sheet or len(subjects) == 1:
            works = {out_path: make(subjects, columns=min(columns, len(subjects)))}
        elif out_path.suffix:
            raise UserError(f"{len(subjects)} images do not fit into '{out_path}': use --sheet, or --out with a folder")
        else:
            names = [re.sub(r"[^\w.-]+", "-", each.source) for each in subjects]
            works = {out_path / f"{i:03d}-{name}.png": make([subjects[i]]) for i, name in enumerate(names)}
    painter = next(iter(works.values())).subjects[0].painter
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
    subject: SubjectOptions = SubjectOptions(),
    like: Path | None = None,
    frames: int | None = None,
    fps: float | None = None,
    ease: Literal["linear", "sine"] | None = None,
    spherical: Annotated[bool, Parameter(negative=())] = False,
    loop: Annotated[bool, Parameter(negative=())] = False,
    zoom_from: float | None = None,
    zoom_to: float | None = None,
    views: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    out_path: Annotated[Path, Parameter(name="--out")] = Path("morph.gif"),
) -> None:
    """Make a film that moves from one latent to the next, or that zooms into an image.

    Parameters
    ----------
    run
        Folder of the run.
    like
        Make this film again, from the recipe in its file; --size, --scale, --center, --zoom, --supersample and
        --palette change it.
    frames
        Number of frames of the film; default: 120.
    fps
        Frames per second; default: 30.
    ease
        linear (default): at constant speed; sine: slower near the latents.
    spherical
        Rotate from one latent to the next instead of moving in a straight line.
    loop
        Return to the first latent, for a film that repeats smoothly.
    zoom_from
        Zoom of the first frame.
    zoom_to
        Zoom of the last frame.
    views
        What the film shows at each latent: x,y of the center and the zoom, as in "0,0,1 1.5,-2,40".
    out_path
        .mp4 or .webm (extra `video`), .gif or .webp.
    """
    import torch

    from ganvas.networks.view import View
    from ganvas.painting import paint as painting
    from ganvas.painting.morph import Morph, Place, load_morph

    if like is not None:
        subject.refuse_all_but_the_view()
        if any(value is not None for value in (frames, fps, ease, zoom_from, zoom_to, views)) or spherical or loop:
            raise UserError("only --size, --scale, --center, --zoom, --supersample and --palette change a film --like")
        old = load_morph(like, run, subject.device)
        if old.places is not None and (subject.center is not None or subject.zoom is not None):
            raise UserError(f"--center and --zoom do nothing with '{like}', which has a view for each latent")
        film = replace(old, view=subject.view(old.view), palette=subject.palette or old.palette)
    else:
        subjects = subject.choose(run, one_network=True)
        painter = subjects[0].painter
        if zoom_from is not None and subject.zoom is not None:
            raise UserError("--zoom and --zoom-from mean the same for a film: choose one")
        if views is not None and any(x is not None for x in (subject.center, subject.zoom, zoom_from, zoom_to)):
            raise UserError("--views has the center and the zoom at each latent: leave out the other options for them")
        view = subject.view(View(painting.FILM_SIDE, painting.FILM_SIDE, painter.network.scale))
        film = Morph(
            painter,
            torch.stack([each.z for each in subjects]),
            [each.source for each in subjects],
            view if zoom_from is None else replace(view, zoom=zoom_from),
            frames=120 if frames is None else frames,
            ease=ease or "linear",
            spherical=spherical,
            loop=loop,
            zoom_to=zoom_to,
            places=None if views is None else [Place(*read_place(view)) for view in views.split()],
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
    run: RunFolder,
    images: list[Path],
    *,
    invert: Annotated[bool, Parameter(negative=())] = False,
    checkpoint: Checkpoint = "last",
    device: Device = "auto",
    out_path: Annotated[Path, Parameter(name="--out")] = Path("latents.npz"),
) -> None:
    """Turn images into latents with the encoder of a run; `ganvas paint --z` and `ganvas morph --z` read them.

    Parameters
    ----------
    images
        Image files.
    invert
        Invert the images: dark on light becomes light on dark.
    out_path
        An .npz file: z [N, latent_size], files [N].
    """
    import numpy as np

    from ganvas.painting.subjects import encode_files
    from ganvas.runs import model as sampling

    if out_path.suffix != ".npz":
        raise UserError(f"cannot write latents as '{out_path.suffix}': use an .npz file")
    files.check_output(out_path)
    model = sampling.load(run, checkpoint, device)
    z = encode_files(model, images, invert).cpu().numpy()
    with files.atomic(out_path) as file:
        np.savez(file, z=z, files=np.array([str(image) for image in images]))
    line(f"{len(z)} latents of {z.shape[1]} numbers: {out_path}")
