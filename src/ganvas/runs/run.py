"""The run directory.

recipe.toml    all settings                              log.jsonl     one record per line
run.json       versions, machine, data, state            samples/      sample sheets by images seen
checkpoints/   newest and best, each with its sha256     sheet.png     one row of each sheet, 128 at most
evaluations/   scores of checkpoints, with provenance    guard.json    alarms of the guard, and removed records

A published model is a run directory too: with recipe.toml, run.json, one checkpoint without what only training needs,
evaluations, and for a run with an encoder latents.safetensors (`class_latents`). It is only read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.text import writable
from ganvas.recipes import library
from ganvas.recipes.library import length
from ganvas.runs import places
from ganvas.runs.guard_journal import GuardEvent, GuardJournal
from ganvas.runs.info import RunInfo
from ganvas.runs.log import Log, Record
from ganvas.runs.provenance import now
from ganvas.runs.writer import UNLIMITED, Writer

if TYPE_CHECKING:
    import filelock

    from ganvas.data import ImageSet
    from ganvas.recipes.recipe import Recipe
    from ganvas.runs.checkpoints import Checkpoints

IN_USE = "is being trained by another process"
LOCK_SECONDS = 0.5  # time to wait for the lock, as `ganvas runs` takes it for a moment


class Run:
    """A run directory and the paths in it. Reading needs no lock, writing does.

    `log`, `checkpoints` and `journal` read and write their own files.
    """

    def __init__(self, path: Path | str, name: str | None = None) -> None:
        """`name`: that of a published model which is not in a folder of the user; it is only read."""
        self.path = files.expanded(path)
        self.name = name or str(self.path)
        self.read_only = name is not None
        self.info_file = self.path / "run.json"
        self.recipe_file = self.path / "recipe.toml"
        self.samples = self.path / "samples"
        self.sheet_file = self.path / "sheet.png"
        self.evaluations = self.path / "evaluations"
        self.latents_file = self.path / "latents.safetensors"
        self.log = Log(self.path / "log.jsonl")
        self.journal = GuardJournal(self.path / "guard.json")

    @classmethod
    def existing(cls, path: Path | str) -> Run:
        """A run that exists, or a published model by its name (`places.find`); raises UserError otherwise."""
        place = places.find(path)
        run = cls(place, None if place == files.expanded(path) else str(path))
        if not run.is_run():
            what = "holds no run" if run.path.is_dir() else "does not exist"
            if similar := get_close_matches(str(path), places.names(), n=1):
                raise UserError(f"'{path}' {what}: did you mean the model '{similar[0]}'?")
            raise UserError(
                f"'{path}' {what}: name a folder that `ganvas train` has made (`ganvas runs` lists them), "
                "or a model (`ganvas models`)"
            )
        return run

    @cached_property
    def checkpoints(self) -> Checkpoints:
        from ganvas.runs.checkpoints import Checkpoints  # imported here as a list of runs does not need PyTorch

        return Checkpoints(self.path / "checkpoints")

    def is_run(self) -> bool:
        return self.info_file.is_file() and self.recipe_file.is_file()

    # -- the lock -----------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run for writing; raises UserError if another process has it. The lock ends with its process."""
        import filelock

        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"'{self.path}' is a file: give --out a folder")
        made = files.make_folders(self.path)
        lock = self._lock()
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except filelock.Timeout:
            raise UserError(f"'{self.path}' {IN_USE}: wait for it, or use another --out") from None
        try:
            if self.is_run():
                for folder in (self.path, self.checkpoints.folder, self.samples, self.evaluations):
                    files.remove_abandoned(folder, ".*.part")  # of earlier versions as well
                self.checkpoints.remove_unvouched()
            yield
        finally:
            if not self.is_run():  # the run did not start: leave nothing behind
                with suppress(OSError):
                    Path(lock.lock_file).unlink()
                    for folder in made:
                        folder.rmdir()
            lock.release()

    def in_use(self) -> bool:
        """Whether a process is training this run."""
        import filelock

        lock = self._lock()
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return True
        except OSError:  # no permission to lock: rely on the state in run.json
            return True
        lock.release()
        return False

    def _lock(self) -> filelock.BaseFileLock:
        import filelock

        return filelock.FileLock(self.path / ".lock", is_singleton=False)

    # -- recipe and facts ---------------------------------------------------------------------------------------

    def recipe(self) -> Recipe:
        from ganvas.recipes.recipe import from_dict

        return from_dict(library.read_toml(self.recipe_file))

    def write_recipe(self, recipe: Recipe, writer: Writer = UNLIMITED) -> None:
        writer.write(self.recipe_file, recipe.to_toml().encode())

    def info(self) -> RunInfo:
        """Read run.json; raises UserError if it is damaged."""
        try:
            return RunInfo.from_json(files.read(self.info_file), self.info_file)
        except OSError as error:
            raise UserError(f"cannot read '{self.info_file}': {error.strerror}") from None

    def write_info(self, info: RunInfo, writer: Writer = UNLIMITED) -> None:
        writer.write(self.info_file, (info.to_json(indent=1) + "\n").encode())

    def update_info(self, writer: Writer = UNLIMITED, **facts: Any) -> None:
        """Change some fields of run.json."""
        self.write_info(RunInfo.from_values({**self.info().model_dump(), **facts}, self.info_file), writer)

    def start(self, recipe: Recipe, data: ImageSet, place: Path | None = None, writer: Writer = UNLIMITED) -> None:
        """Write recipe.toml and run.json."""
        self.write_recipe(recipe, writer)
        before = self.info() if self.info_file.is_file() else None  # the run was killed before its first checkpoint
        facts = {
            "name": data.name,
            "images": len(data),
            "sha256": data.fingerprint,
            "spec": data.spec,
            "classes": data.classes,
            "skipped": data.skipped,
            "whites": dict(data.whites),
            "place": None if place is None else writable(place),
        }
        info = {
            "recipe": recipe.name,
            "seed": recipe.train.seed,
            "data": facts,
            "started": before.started if before else now(),
            "state": "running",
            "sessions": before.sessions if before else (),
            "evaluator": before.evaluator if before else None,
        }
        self.write_info(RunInfo.from_values(info, self.info_file), writer)

    def state(self) -> str:
        """One of: running, finished, stopped, failed: reason; or killed, if a running run has lost its process."""
        info = self.info()
        if info.state == "running" and not self.in_use():
            return "killed"
        return f"{info.state}: {info.reason}" if info.state == "failed" else info.state

    def total_images(self) -> int:
        """The length of the run in images seen, by its recipe; raises UserError if a file is damaged."""
        train = library.read_toml(self.recipe_file).get("train", {})  # not `recipe()`, which needs PyTorch
        try:
            return length(train.get("images"), train["epochs"], self.info().data.images)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            raise UserError(f"'{self.recipe_file}' does not say how long the run is") from None

    def paints(self) -> bool:
        """Whether it has a pixel network, which paints at any size; raises UserError if its recipe is damaged."""
        network = library.read_toml(self.recipe_file).get("network")
        return isinstance(network, dict) and network.get("name") == "cppn"

    def but_for_seed(self) -> dict[str, Any]:
        """What determines its training besides the seed: equal for the seeds of one recipe.

        Names, the place of the data and the length do not count. Raises UserError if a file is damaged.
        """
        settings = {key: value for key, value in library.read_toml(self.recipe_file).items() if key in library.SECTIONS}
        for section, free in (("data", {"name"}), ("train", {"seed", *library.FREE_TO_CHANGE})):
            if isinstance(values := settings.get(section), dict):
                settings[section] = {key: value for key, value in values.items() if key not in free}
        info = self.info()
        start = {"begun_from": info.begun_from.checkpoint} if info.begun_from else {}
        return {**settings, "images": info.data.sha256, **start}

    # -- what training writes -----------------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """All records of the log; raises UserError if it is damaged."""
        return self.log.read()

    def events(self) -> list[GuardEvent]:
        """The events of the guard, oldest first; raises UserError if its journal is damaged."""
        return self.journal.events()

    def sheet(self, nimg: int) -> Path:
        return self.samples / f"{nimg:09d}.png"

    def sheets(self) -> list[Path]:
        """The sample sheets of the run, oldest first; other files in the folder are ignored."""
        return sorted(file for file in self.samples.glob("?????????.png") if file.stem.isdecimal())

    def evaluation_files(self, nimg: int | None = None) -> list[Path]:
        """The evaluations of the checkpoint after `nimg` images, or of all checkpoints."""
        files = self.evaluations.glob("?????????-*.json" if nimg is None else f"{nimg:09d}-*.json")
        return sorted(file for file in files if file.stem[:9].isdecimal())

    def forget_after(self, nimg: int) -> None:
        """Delete checkpoints, evaluations, records and sheets of more than `nimg` images."""
        self.checkpoints.remove_after(nimg)
        self.log.rewind(nimg)
        for file in [*self.sheets(), *self.evaluation_files()]:
            if int(file.stem[:9]) > nimg:
                file.unlink()
