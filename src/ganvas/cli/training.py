"""The command `train`."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ganvas.cli.common import DataDir, Device, RecipeName, Words, app, line, load_recipe, note, progress, say_if_slow
from ganvas.core.text import duration

if TYPE_CHECKING:
    from ganvas.runs.log import Record
    from ganvas.runs.run import Run


@app.command
def train(
    recipe: RecipeName,
    *,
    data: str | None = None,
    data_dir: DataDir = None,
    out_dir: Annotated[Path | None, Parameter(name="--out")] = None,
    begin_from: Annotated[Path | None, Parameter(name="--from")] = None,
    epochs: float | None = None,
    images: int | None = None,
    seed: int | None = None,
    device: Device = "auto",
    precision: Literal["auto", "fp32", "bf16"] | None = None,
    guard: Literal["rollback", "stop", "off"] | None = None,
    disk_budget: str | None = None,
    changes: Words = None,
) -> int:
    """Train a recipe, or resume a run that was stopped, with the same command and the same --out.

    Parameters
    ----------
    recipe
        A name from `ganvas recipes`, or the path of a .toml file.
    data
        The data: a named set, a folder of images, a .parquet file, or a hub id (owner/name).
    out_dir
        Folder of the run; default: runs/RECIPE.
    begin_from
        A run, a model of `ganvas models`, or hub:owner/name, whose weights a new run begins with; it needs the same
        network and size of images. Resuming does not need it.
    epochs
        Length of the run in passes over the data.
    images
        Length of the run in images seen; overrides --epochs.
    seed
        Seed of the initial weights, the data order and the noise.
    precision
        Number format inside the networks; auto: bf16 if it is faster, else fp32.
    guard
        What to do when training collapses: rollback (return to the last good checkpoint and continue with smaller
        steps), stop, or off.
    disk_budget
        Maximum size of the run's folder: 500MB, 1.5GiB, or none for no limit; default: 2GB.
    changes
        Any other setting of the recipe, for example --set method.lr=1e-4 train.batch_size=64.
    """
    from ganvas.compute.device import choose
    from ganvas.runs.run import Run
    from ganvas.training.train import train as train_run

    options = {"data.name": data, "train.epochs": epochs, "train.images": images, "train.seed": seed}
    options |= {"train.precision": precision, "train.guard": guard, "train.disk_budget": disk_budget}
    chosen = load_recipe(recipe, changes, options)
    run = Run(out_dir or chosen.folder("runs"))
    say_if_slow(chosen.network, choose(device).device)
    last: Record = {}
    with progress() as bar, _stop_on_signals() as stop:
        task = bar.add_task(chosen.name, total=None, losses="")
        forecast = _Forecast()

        def tick(nimg: int, total: int) -> None:
            stop.training = True
            bar.update(task, completed=nimg, total=total)
            if not bar.console.is_terminal and (left := forecast(nimg, total)):
                note(left)

        for last in train_run(
            chosen,
            run.path,
            begin_from=begin_from,
            data_dir=data_dir,
            device=device,
            tick=tick,
            stop=lambda: stop.asked,
            say=note,
        ):
            bar.update(task, losses=_losses(last))
            if not bar.console.is_terminal:
                note(f"{last['nimg']:>10,} images  epoch {last['epoch']:.2f}  {_losses(last)}")
    return _report_end(run, bool(last))


class _Forecast:
    """Says once how long training will take, after its first seconds; a terminal shows that all the time."""

    SETTLED, MEASURED = 2.0, 5.0  # seconds until the speed is steady, and until it is known

    def __init__(self) -> None:
        self.begun: float | None = None
        self.since: tuple[int, float] | None = None
        self.said = False

    def __call__(self, nimg: int, total: int) -> str | None:
        now = time.monotonic()
        self.begun = now if self.begun is None else self.begun
        if self.since is None:
            if now - self.begun >= self.SETTLED:
                self.since = nimg, now
            return None
        seen, seconds = nimg - self.since[0], now - self.since[1]
        if self.said or seconds < self.MEASURED or seen <= 0 or nimg >= total:
            return None
        self.said = True
        return f"{total - nimg:,} images to go: about {duration((total - nimg) * seconds / seen)} on this machine"


class _Stop:
    """Handles Ctrl-C and SIGTERM: the first one stops training after the current step, with a checkpoint.

    Before training begins, and for a second Ctrl-C, the process is interrupted at once.
    """

    def __init__(self) -> None:
        self.training = self.asked = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and (self.asked or not self.training):
            raise KeyboardInterrupt
        if not self.training:
            sys.exit(128 + number)
        self.asked = True


@contextmanager
def _stop_on_signals() -> Iterator[_Stop]:
    """A context in which a `_Stop` handles signals; in a thread, which gets no signals, it does nothing."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.signal(number, stop.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def _report_end(run: Run, trained: bool) -> int:
    """Print the result and the files of a run; returns the exit code."""
    from ganvas.plotting.figures import draw_figures
    from ganvas.training.disk_budget import room_for_figures

    info = run.info()
    nimg = max((record["nimg"] for record in run.records()), default=0)
    if info.state == "stopped":
        line(f"Stopped after {nimg:,} images. The same command continues from here.")
        return 130
    if not trained:
        line(f"'{run.path}' is already finished ({nimg:,} images): to continue, give a larger --epochs or --images.")
    figures, missing = [], "the disk budget has no room for them"
    if room_for_figures(run):
        try:
            figures = draw_figures(run)
        except OSError as error:
            missing = error.strerror or str(error)
    sheets = run.sheets()
    line(f"Trained on {nimg:,} images. Files:")
    for file, what in [
        *[(sheet, "samples from fixed latents") for sheet in sheets[-1:]],
        (run.sheet_file, "the same latents, one row of each sheet"),
        *[(file, "figure") for file in figures if file.suffix == ".png"],
    ]:
        line(f"  {file}  ({what})")
    if not figures:
        line(f"The run is complete, but not its figures ({missing}): `ganvas plot {run.path}` draws them.")
    return 0


def _losses(record: Record) -> str:
    shown = {"d_loss": "D", "g_loss": "G", "score": "score", "fid": "FID", "kid": "KID"}
    parts = [f"{short} {record[name]:.3f}" for name, short in shown.items() if record.get(name) is not None]
    if "images_per_second" in record:
        parts.append(f"{record['images_per_second']:,.0f} images/s")
    return "  ".join(parts)
