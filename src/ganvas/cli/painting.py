"""Commands for samples, paintings and films of a run, and for encoding images as latents."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ganvas.cli.common import Checkpoint, Device, MaybeRun, RunFolder, app, err, line, progress, say_if_slow
from ganvas.cli.values import read_center, read_length, read_numbers, read_paper, read_place, read_size
from ganvas.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.networks.view import View
    from ganvas.painting.formats.printing import Print
    from ganvas.painting.morph import Morph
    from ganvas.painting.subjects import Subject
    from ganvas.painting.training_film import TrainingFilm
    from ganvas.runs.model import Model


@app.command
def sample(
    run: RunFolder,
    *,
    n: int | None = None,
    label: str | None = None,
    seed: int | None = None,
    steps: str | None = None,
    z: Path | None = None,
    checkpoint: Checkpoint = "last",
    device: Device = "auto",
    out_path: Annotated[Path, Parameter(name="--out")] = Path("samples.png"),
) -> None:
    """Draw samples from a trained run: a grid, one file each, or arrays.

    Parameters
    ----------
    n
        Number of samples; default: 64.
    label
        Only this class (its name or number); by default samples alternate between the classes.
    seed
        Seed of the first latent; the next sample has the next seed. Default: 0.
    steps
        For cfg_gan: the number of functional gradient steps, 0 for G alone; a range such as 0-15 draws a row for each.
    z
        Latents from a file instead, as `ganvas encode` writes them: .npz, .npy, .json or .txt.
    out_path
        grid.png, a folder/, or samples.npz (images uint8 NxHxWxC, labels).
    """
    from ganvas.painting.subjects import read_latents
    from ganvas.runs import model as sampling
    from ganvas.runs import samples

    if z is not None and any(value is not None for value in (n, label, seed)):
        raise UserError("--n, --label and --seed do nothing with --z, which has a latent for each sample")
    model = sampling.load(run, checkpoint, device)
    counts = [] if steps is None else read_numbers(steps, "steps")
    n, seed = 64 if n is None else n, seed or 0
    if len(counts) > 1:
        if z is not None:
            raise UserError("--z draws one image for each latent: give one number of --steps")
        samples.save_steps(model, counts, n, label, seed, out_path)
        line(f"{n:,} samples after {model.nimg:,} images, a row for each of {steps} steps: {out_path}")
        return
    if counts:
        model.method.use_steps(counts[0])
    with err.status("drawing samples"):
        drawn = model.sample(n, label, seed) if z is None else model.draw(read_latents(model, z))
        files = samples.save(drawn, out_path, model.provenance())
    where = files[0] if len(files) == 1 else out_path
    line(f"{len(drawn.images):,} samples after {model.nimg:,} images: {where}")


OF_WHAT = (  # options on what is painted, but for the view
    *("seeds", "labels", "images", "z", "truncation", "invert"),
    *("random", "std", "weights", "colour", "checkpoint", "data_dir"),
)


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
    """Paint the latents of these image files (needs an encoder; without one, use `ganvas encode`, then --z)."""
    z: Path | None = None
    """Latents from a file: .npz as `ganvas encode` writes it, .npy, .json or .txt."""
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
    tile: Annotated[bool, Parameter(negative=())] = False
    """Make opposite edges meet, for patterns that repeat: coordinates on a torus, so the picture is another one."""
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

        self.refuse_conflicts(run)
        if run is None:
            found = []
            for seed in read_numbers("0" if self.seeds is None else self.seeds, "seeds"):
                weights = seed if self.weights is None and not one_network else self.weights or 0
                painter = random_network(str(self.random), weights, self.std, self.colour, self.device)
                found.append(Subject(painter, random_latent(painter, seed), f"seed {seed}"))
            return found
        model = sampling.load(run, self.checkpoint or "last", self.device)
        return choose_subjects(model, **self._chosen())

    def latents(self, model: Model) -> list[tuple[Tensor, str]]:
        """The latents of a run of any method, with their sources; raises UserError for options that conflict."""
        from ganvas.painting.subjects import choose_latents

        self.refuse_conflicts(model.run.path)
        return choose_latents(model, **self._chosen())

    def _chosen(self) -> dict[str, Any]:
        """The options of `choose_latents`."""
        return {
            "seeds": read_numbers("0" if self.seeds is None else self.seeds, "seeds"),
            "labels": [] if self.labels is None else [label.strip() for label in self.labels.split(",")],
            "images": self.images or [],
            "z": self.z,
            "truncation": 1.0 if self.truncation is None else self.truncation,
            "invert": self.invert,
            "data_dir": self.data_dir,
        }

    def refuse_conflicts(self, run: Path | None) -> None:
        """Raise UserError for options that conflict."""
        if (run is None) == (self.random is None):
            raise UserError("name the folder of a run, or --random tanh:8x64 for a network with random weights")
        if self.random is not None:
            of_a_run = ("labels", "images", "z", "truncation", "invert", "checkpoint", "data_dir")
            self.refuse(*of_a_run, why="with --random: use --seed")
            return
        self.refuse("std", "weights", "colour", why="without --random")
        if self.z is not None:
            self.refuse("seeds", "labels", "images", "truncation", why="with --z")
        if self.images is not None:
            self.refuse("seeds", "labels", "truncation", why="with --image")
        else:
            self.refuse("invert", why="without --image")
        if self.labels is None:
            self.refuse("data_dir", why="without --label")

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
        if self.tile:
            changes["tile"] = True
        return replace(like, **changes)

    def refuse_all_but_the_view(self) -> None:
        """Raise UserError for any option on what to paint, which `--like` determines."""
        self.refuse(*OF_WHAT, why="with --like, which paints what is in the file")

    def refuse_all(self, why: str) -> None:
        """Raise UserError for any option but the device."""
        self.refuse(*OF_WHAT, "palette", "size", "scale", "center", "zoom", "supersample", "tile", why=why)

    def refuse(self, *names: str, why: str) -> None:
        """Raise UserError for any of these options that is given."""
        words = {"seeds": "seed", "labels": "label", "images": "image", "data_dir": "data-dir"}
        refuse_given({words.get(name, name): getattr(self, name) for name in names}, why)


def refuse_given(options: dict[str, Any], why: str) -> None:
    """Raise UserError for any of these options, by name, that has a value."""
    for name, value in options.items():
        if value is not None and value is not False:  # 0 is a given value
            raise UserError(f"--{name} does nothing {why}")


@app.command
def paint(
    run: MaybeRun = None,
    *,
    subject: SubjectOptions = SubjectOptions(),
    like: Path | None = None,
    sheet: Annotated[bool, Parameter(negative=())] = False,
    columns: int | None = None,
    bits: Literal[8, 16] | None = None,
    paper: Annotated[str | None, Parameter(name="--print")] = None,
    dpi: float | None = None,
    bleed: str | None = None,
    out_path: Annotated[Path, Parameter(name="--out")] = Path("painting.png"),
) -> None:
    """Paint images of any size from a run with a pixel network (network.name=cppn), or from random weights.

    Parameters
    ----------
    run
        Folder of the run.
    like
        Paint this image again, from the recipe in its file; --size, --scale, --center, --zoom, --supersample, --tile,
        --palette and --bits change it.
    sheet
        Put several images side by side in one file; otherwise --out names a folder for them.
    columns
        Columns of the sheet; by default one row per label, or as square as possible.
    bits
        8 or 16 per channel (PNG, TIFF, PDF).
    paper
        Paint for this paper, into a PDF, TIFF or PNG file that has the size: A0 to A6, letter, A3-landscape, or
        300x400mm.
    dpi
        Pixels per inch of the paper; default: 300.
    bleed
        Paint this much beyond each edge of the paper, for example 3mm; a PDF then has marks where to cut it.
    out_path
        .png, .tif, .pdf, .webp, or .dzi (Deep Zoom, for the largest); a folder for several images.
    """
    from ganvas.core import images
    from ganvas.networks.view import View
    from ganvas.painting import paint as painting
    from ganvas.painting.formats.printing import DPI, Print

    if columns is not None and columns < 1:
        raise UserError(f"a sheet of {columns} columns cannot be painted: it has 1 or more")
    if paper is None and (dpi, bleed) != (None, None):
        raise UserError("--dpi and --bleed do nothing without --print")
    if paper is not None and (sheet or subject.size is not None):
        raise UserError("--print paints one image and has the size of the paper: leave out --sheet and --size")
    page = None if paper is None else Print(*read_paper(paper), dpi or DPI, read_length(bleed or "0mm"))
    if page and page.bleed and subject.tile:
        raise UserError("a tile has no bleed, as its edges meet: leave out --bleed")
    if like is not None:
        subject.refuse_all_but_the_view()
        if sheet or columns:
            raise UserError("--sheet and --columns do nothing with --like, which paints what is in the file")
        old = painting.load_painting(like, run, subject.device)
        if page and len(old.subjects) > 1:
            raise UserError(f"--print paints one image, and '{like}' has {len(old.subjects)}: leave it out")
        page = page or (old.print if subject.size is None else None)
        if page == old.print and subject.scale is None:
            view = subject.view(old.view)
        else:
            scale = old.view.scale / (old.print.scaled(1.0) if old.print else 1.0)
            view = _printed(subject.view(replace(old.view, scale=scale)), page)
        changes: dict[str, Any] = {"palette": subject.palette or old.palette, "bits": bits or old.bits}
        works = {out_path: replace(old, view=view, print=page, **changes)}
    else:
        if columns and not sheet:
            raise UserError("--columns does nothing without --sheet")
        subjects = subject.choose(run)
        side = painting.SHEET_SIDE if sheet else painting.POSTER_SIDE
        view = _printed(subject.view(View(side, side, subjects[0].painter.network.scale)), page)
        classes = len(subject.labels.split(",")) if subject.labels else 0
        in_rows = len(subjects) // classes if classes else 1  # a row for each class, if there are several of each
        columns = columns or (in_rows if in_rows > 1 else images.square_columns(len(subjects)))
        make = partial(painting.Painting, view=view, palette=subject.palette or "auto", bits=bits or 8, print=page)
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


def _printed(view: View, page: Print | None) -> View:
    """The view with the pixels of a page, and its scale within the bleed."""
    if page is None:
        return view
    height, width = page.pixels
    return replace(view, height=height, width=width, scale=page.scaled(view.scale))


@app.command
def morph(
    run: MaybeRun = None,
    *,
    subject: SubjectOptions = SubjectOptions(),
    training: Annotated[bool, Parameter(negative=())] = False,
    like: Path | None = None,
    frames: int | None = None,
    fps: float | None = None,
    ease: Literal["linear", "sine"] | None = None,
    spherical: Annotated[bool, Parameter(negative=())] = False,
    loop: Annotated[bool, Parameter(negative=())] = False,
    zoom_from: float | None = None,
    zoom_to: float | None = None,
    views: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    steps: int | None = None,
    out_path: Annotated[Path, Parameter(name="--out")] = Path("morph.gif"),
) -> None:
    """Make a film that moves from one latent to the next, that zooms into an image, or that shows a training.

    Runs of all methods have films. Those without a pixel network (network.name=cppn) show whole images only, at their
    own size, or with --size at a whole multiple of it (pixels are repeated).

    Parameters
    ----------
    run
        Folder of the run.
    training
        Show the training instead: the sample sheets of the run, one after the other. With --frames only so many.
    like
        Make this film again, from the recipe in its file; --size, --scale, --center, --zoom, --supersample, --tile
        and --palette change it.
    frames
        Number of frames of the film; default: 120.
    fps
        Frames per second; default: 30 (with --training 2 to 12, so that the film takes about ten seconds).
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
    steps
        For cfg_gan: the number of functional gradient steps, 0 for G alone; default: all.
    out_path
        .mp4 or .webm (extra `video`), .gif or .webp.
    """
    import torch

    from ganvas.networks.view import View
    from ganvas.painting import paint as painting
    from ganvas.painting.morph import Morph, Place, load_morph
    from ganvas.painting.painter import Painter
    from ganvas.painting.sized import SizedPainter, film_painter
    from ganvas.painting.training_film import training_film
    from ganvas.runs import model as sampling
    from ganvas.runs.run import Run

    paths = {"ease": ease, "spherical": spherical or None, "zoom-from": zoom_from, "zoom-to": zoom_to, "views": views}
    if training:
        refuse_given({"like": like, "steps": steps, **paths}, "with --training, which shows the run's sample sheets")
        subject.refuse_all("with --training, which shows the run's sample sheets")
        if run is None:
            raise UserError("name the folder of the run whose training to show")
        _save_film(training_film(Run.existing(run), frames, fps, loop), out_path)
        return
    if like is not None:
        subject.refuse_all_but_the_view()
        if any(value is not None for value in (frames, fps, steps, *paths.values())) or loop:
            raise UserError(
                "only --size, --scale, --center, --zoom, --supersample, --tile and --palette change a film --like"
            )
        old = load_morph(like, run, subject.device)
        if old.places is not None and (subject.center is not None or subject.zoom is not None):
            raise UserError(f"--center and --zoom do nothing with '{like}', which has a view for each latent")
        film = replace(old, view=subject.view(old.view), palette=subject.palette or old.palette)
    else:
        painter: Painter | SizedPainter
        if run is None:
            refuse_given({"steps": steps}, "with --random")
            subjects = subject.choose(run, one_network=True)
            painter, chosen = subjects[0].painter, [(each.z, each.source) for each in subjects]
        else:
            model = sampling.load(run, subject.checkpoint or "last", subject.device)
            if steps is not None:
                model.method.use_steps(steps)
            painter, chosen = film_painter(model), subject.latents(model)
        if isinstance(painter, SizedPainter):
            given = {"zoom-from": zoom_from, "zoom-to": zoom_to, "views": views}
            why = f"for '{run}', which has no pixel network (network.name=cppn): its images have one size"
            refuse_given(given, why)
            subject.refuse("scale", "center", "zoom", "supersample", why=why)
            view = painter.native()
        else:
            view = View(painting.FILM_SIDE, painting.FILM_SIDE, painter.network.scale)
        if zoom_from is not None and subject.zoom is not None:
            raise UserError("--zoom and --zoom-from mean the same for a film: choose one")
        if views is not None and any(x is not None for x in (subject.center, subject.zoom, zoom_from, zoom_to)):
            raise UserError("--views has the center and the zoom at each latent: leave out the other options for them")
        view = subject.view(view)
        film = Morph(
            painter,
            torch.stack([z for z, _ in chosen]),
            [source for _, source in chosen],
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
    if not isinstance(film.painter, SizedPainter):
        say_if_slow(film.painter.network.config, film.painter.device)
    _save_film(film, out_path)


def _save_film(film: Morph | TrainingFilm, out_path: Path) -> None:
    """Write a film, with a progress bar."""
    height, width, *_ = film.shape
    with progress("frames") as bar:
        task = bar.add_task(out_path.name, total=film.frames, losses="")
        film.save(out_path, lambda done, total: bar.update(task, completed=done))
    line(f"{out_path}  ({film.frames} frames of {width}x{height})")


@app.command
def encode(
    run: RunFolder,
    images: list[Path],
    *,
    label: str | None = None,
    search: int | None = None,
    invert: Annotated[bool, Parameter(negative=())] = False,
    checkpoint: Checkpoint = "last",
    device: Device = "auto",
    out_path: Annotated[Path, Parameter(name="--out")] = Path("latents.npz"),
) -> None:
    """Turn images into latents of a run: by its encoder, else by a search for the nearest images that it can draw.

    `ganvas sample`, `ganvas morph` and `ganvas paint` read them with --z.

    Parameters
    ----------
    images
        Image files.
    label
        The class of the images, for a conditional run; by default the search finds it.
    search
        Steps of the search; default: 200 for a run without encoder. With an encoder, search all the same.
    invert
        Invert the images: dark on light becomes light on dark.
    out_path
        An .npz file: z [N, latent_size], errors [N], files [N], and labels [N] of a conditional run. The picture
        NAME-redrawn.png shows each image beside what the run makes of its latent.
    """
    import numpy as np

    from ganvas.painting import encoding
    from ganvas.painting.subjects import open_files
    from ganvas.runs import model as sampling

    if search is not None and search < 1:
        raise UserError(f"a search of {search} steps finds nothing: ask for 1 or more")
    encoding.check(out_path, images)
    model = sampling.load(run, checkpoint, device)
    pixels = open_files(model, images, invert)
    with progress("steps") as bar:
        task = bar.add_task(f"{len(pixels)} images", total=None, losses="")
        found = encoding.encode(
            model,
            pixels,
            label,
            search,
            lambda done, total, error: bar.update(task, completed=done, total=total, losses=f"error {error:.3f}"),
        )
    encoding.save(found, out_path, images, model)
    for i, image in enumerate(images):
        which = "" if found.labels is None else f"  {model.classes[found.labels[i]]}"
        line(f"{image}{which}  error {found.errors[i]:.3f}")
    if len(images) > 1:
        line(f"mean error {np.mean(found.errors):.3f} (root mean square of pixels from 0 to 1)")
    line(f"{out_path}  ({len(images)} latents of {found.z.shape[1]} numbers)")
    line(f"{encoding.picture_of(out_path)}  (original | from its latent)")
