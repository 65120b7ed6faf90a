"""The run directory, which explains itself.

recipe.toml    every setting as it was resolved          log.jsonl     one record per line
run.json       versions, machine, data, state            samples/      sample sheets by images seen
checkpoints/   newest and best, each with its sha256     sheet.png     a row of each sheet, 128 at most
evaluations/   scores of checkpoints, with provenance    guard.json    when the guard stepped in, and what was lost
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import torch
from torch import Tensor

from ganvas.compute.device import Compute
from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.core.version import VERSION
from ganvas.data import ImageSet
from ganvas.methods import Method
from ganvas.metrics import METRICS
from ganvas.recipes import library
from ganvas.recipes.recipe import Recipe, from_dict
from ganvas.recipes.train_settings import SCORE
from ganvas.runs import checkpoint
from ganvas.runs.checkpoint import Damaged

Record = dict[str, Any]

LOCK_SECONDS = 0.5  # patience with `ganvas runs`, which tries the lock for a moment


class Run:
    """One run directory: what is written there and where. Reading needs no lock, writing does."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser()
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.evaluations = self.path / "evaluations"
        self.log_file = self.path / "log.jsonl"
        self.info_file = self.path / "run.json"
        self.recipe_file = self.path / "recipe.toml"
        self.sheet_file = self.path / "sheet.png"
        self.guard_file = self.path / "guard.json"
        self.room: Callable[[Path, int], None] = lambda file, size: None  # asked before so many bytes go into a file
        self.safe: int | None = None  # the guard may need the newest checkpoint of up to so many images

    @classmethod
    def existing(cls, path: Path | str) -> "Run":
        """A run that is there; raises UserError otherwise."""
        run = cls(path)
        if not run.is_run():
            what = "holds no run" if run.path.is_dir() else "does not exist"
            raise UserError(f"'{path}' {what}: name a folder that `ganvas train` has made (`ganvas runs` lists them)")
        return run

    def is_run(self) -> bool:
        return self.info_file.is_file() and self.recipe_file.is_file()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; raises UserError while another process holds it. The lock dies with its process."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"'{self.path}' is a file: give --out a folder")
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        lock = self._lock()
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except filelock.Timeout:
            raise UserError(
                f"'{self.path}' is being trained by another process: wait for it, or use another --out"
            ) from None
        try:
            if self.is_run():
                for folder in (self.path, self.checkpoints, self.samples, self.evaluations):
                    for part in folder.glob(".*.part"):  # left behind by a process that was killed
                        part.unlink(missing_ok=True)
            yield
        finally:
            if not self.is_run():  # nothing came of it: leave nothing behind
                with suppress(OSError):
                    Path(lock.lock_file).unlink()
                    for folder in made:
                        folder.rmdir()
            lock.release()

    def in_use(self) -> bool:
        """Whether a process is training this run now."""
        lock = self._lock()
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return True
        except OSError:  # a folder that only others may write to: believe what is written there
            return True
        lock.release()
        return False

    def _lock(self) -> filelock.BaseFileLock:
        return filelock.FileLock(self.path / ".lock", is_singleton=False)

    def write(self, file: Path, data: bytes) -> None:
        """Write a file of the run, whole or not at all, once there is room for it."""
        self.room(file, len(data))
        files.write(file, data)

    # -- recipe and facts ---------------------------------------------------------------------------------------

    def recipe(self) -> Recipe:
        return from_dict(library.read_toml(self.recipe_file))

    def write_recipe(self, recipe: Recipe) -> None:
        self.write(self.recipe_file, recipe.to_toml().encode())

    def info(self) -> dict[str, Any]:
        try:
            read: dict[str, Any] = json.loads(self.info_file.read_text())
            datetime.fromisoformat(read["started"])
            ImageSpec(**read["data"]["spec"])
            if not all(key in read["data"] for key in ("name", "sha256", "images", "classes")):
                raise KeyError("data")
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"'{self.info_file}' is damaged ({error!r})") from None
        return read

    def update_info(self, **facts: Any) -> None:
        old = self.info() if self.info_file.is_file() else {}
        self.write(self.info_file, (json.dumps({**old, **facts}, indent=1) + "\n").encode())

    def start(self, recipe: Recipe, data: ImageSet) -> None:
        """Write down what this run is."""
        self.write_recipe(recipe)
        killed = self.info_file.is_file()  # before its first checkpoint
        before = self.info() if killed else {}
        self.update_info(
            recipe=recipe.name,
            seed=recipe.train.seed,
            data={
                "name": data.name,
                "images": len(data),
                "sha256": data.fingerprint,
                "spec": data.spec._asdict(),
                "classes": list(data.classes),
                "skipped": list(data.skipped),
            },
            started=before.get("started", now()),
            state="running",
            sessions=before.get("sessions", []),
        )

    def state(self) -> str:
        """One of: running, finished, stopped, failed: reason; `killed` when a running run has lost its process."""
        info = self.info()
        state = str(info.get("state", "unknown"))
        if state == "running" and not self.in_use():
            return "killed"
        return f"{state}: {info['reason']}" if state == "failed" else state

    # -- log ----------------------------------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """Every whole line of the log."""
        if not self.log_file.is_file():
            return []
        found: list[Record] = []
        for line in self.log_file.read_text(errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:  # the line that a kill cut short
                break
            if not isinstance(record, dict) or "nimg" not in record:
                break
            found.append(record)
        return found

    # -- the guard ----------------------------------------------------------------------------------------------

    def events(self) -> list[dict[str, Any]]:
        """What the guard has seen and done, oldest first; each with the records that were lost by going back."""
        if not self.guard_file.is_file():
            return []
        try:
            found: list[dict[str, Any]] = json.loads(self.guard_file.read_text())
            return [event for event in found if event["nimg"] >= 0]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"'{self.guard_file}' is damaged ({error!r})") from None

    def write_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        self.write(self.guard_file, (json.dumps(events, indent=1) + "\n").encode())

    def go_back(self, event: Mapping[str, Any]) -> None:
        """Keep the event and take back what was written after its `back_to`; a kill on the way is made up for later."""
        before = self.events()
        self.write_events([*before, {**event, "done": False}])
        self._drop_after(event["back_to"])
        self.write_events([*before, {**event, "done": True}])

    def finish_going_back(self) -> None:
        """End what `go_back` was killed at."""
        events = self.events()
        if events and events[-1].get("done") is False:
            self._drop_after(events[-1]["back_to"])
            self.write_events([*events[:-1], {**events[-1], "done": True}])

    def _drop_after(self, nimg: int) -> None:
        """Delete checkpoints, evaluations, records and sheets of more than `nimg` images."""
        for later in checkpoint.available(self.checkpoints):
            if later > nimg:
                checkpoint.remove(self.checkpoints, later)
        self.rewind_log(nimg)
        for file in [*self.sheets(), *self.evaluation_files()]:
            if int(file.stem[:9]) > nimg:
                file.unlink()

    # -- sample sheets ------------------------------------------------------------------------------------------

    def sheet(self, nimg: int) -> Path:
        return self.samples / f"{nimg:09d}.png"

    def sheets(self) -> list[Path]:
        """The sheets of the run, oldest first; other files in the folder are none of its business."""
        return sorted(file for file in self.samples.glob("?????????.png") if file.stem.isdecimal())

    def log(self, record: Record) -> None:
        line = (json.dumps(record) + "\n").encode()
        self.room(self.log_file, len(line))
        with self.log_file.open("ab") as file:
            file.write(line)

    def rewind_log(self, nimg: int) -> None:
        """Drop the records after `nimg` images: a resumed run writes them again."""
        if self.log_file.is_file():
            self.rewrite_log(record for record in self.records() if record["nimg"] <= nimg)

    def rewrite_log(self, records: Iterable[Record]) -> None:
        """Put `records` in the place of the log. It only ever shrinks, and a budget keeps room for that."""
        files.write(self.log_file, "".join(json.dumps(record) + "\n" for record in records).encode())

    # -- evaluations --------------------------------------------------------------------------------------------

    def evaluation_files(self, nimg: int | None = None) -> list[Path]:
        """Those of the checkpoint after `nimg` images, or all."""
        files = self.evaluations.glob("?????????-*.json" if nimg is None else f"{nimg:09d}-*.json")
        return sorted(file for file in files if file.stem[:9].isdecimal())

    def write_evaluation(self, evaluation: Mapping[str, Any]) -> Path:
        """Keep an evaluation; one of the same checkpoint and protocol is replaced."""
        file = self.evaluations / f"{evaluation['checkpoint']['nimg']:09d}-{evaluation['key']}.json"
        self.write(file, (json.dumps(evaluation, indent=1) + "\n").encode())
        return file

    # -- checkpoints --------------------------------------------------------------------------------------------

    def save_checkpoint(
        self,
        method: Method,
        nimg: int,
        seconds: float,
        score: float | None,
        keep: int,
        by: str = SCORE,
        *,
        schedule: Mapping[str, Any] | None = None,
        safe: int | None = None,
        stopped: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None = None,
    ) -> str:
        """Write a checkpoint, then delete all but the newest `keep` and the best; returns its sha256.

        `by` names the kind of `score`; `schedule` is the state of the schedule. The newest one of up to `safe` images
        is spared too, as the guard may need it. One where a run was `stopped`, with the tensors and values of what was
        under way, goes with the next.
        """
        tensors, values = pack(method)
        values |= {"nimg": nimg, "seconds": seconds, "schedule": schedule}
        if stopped is not None:
            tensors, values = {**tensors, **stopped[0]}, {**values, "under_way": stopped[1]}
        note = {"score": score, "by": by} | ({"stopped": True} if stopped is not None else {})
        self.safe = safe
        digest = checkpoint.save(self.checkpoints, nimg, tensors, values, note, self.room)
        regular = self.regular_checkpoints()
        spared = {nimg, *regular[-keep:], self.best_checkpoint()}
        spared |= {*self._for_the_guard(regular)}
        for old in checkpoint.available(self.checkpoints):
            if old not in spared:
                checkpoint.remove(self.checkpoints, old)
        return digest

    def _for_the_guard(self, regular: Sequence[int]) -> list[int]:
        """Those of the `regular` checkpoints that the guard may need, the less urgent first."""
        if self.safe is None:
            return []
        later = [nimg for nimg in regular if nimg > self.safe][:1]  # the next one to be safe must live until it is
        return [*later, *[nimg for nimg in regular if nimg <= self.safe][-1:]]

    def dispensable(self) -> list[int]:
        """The images seen of all checkpoints but the newest, in the order in which they may go.

        Old ones go first, then those that the guard may need, and the best one last.
        """
        older, best = checkpoint.available(self.checkpoints)[:-1], self.best_checkpoint()
        order = [*self._for_the_guard(self.regular_checkpoints()), best]
        return sorted(older, key=lambda nimg: max((i for i, last in enumerate(order) if last == nimg), default=-1))

    def regular_checkpoints(self) -> list[int]:
        """The images seen of all checkpoints but those where the run was stopped, oldest first."""
        regular = []
        for nimg in checkpoint.available(self.checkpoints):
            with suppress(Damaged):
                if not checkpoint.note(self.checkpoints, nimg).get("stopped"):
                    regular.append(nimg)
        return regular

    def best_checkpoint(self) -> int | None:
        """Images seen at the checkpoint with the best score, by the kind of score that the newest one has."""
        scores: dict[int, tuple[str, float]] = {}
        for nimg in checkpoint.available(self.checkpoints):
            with suppress(Damaged):
                note = checkpoint.note(self.checkpoints, nimg)
                if note.get("score") is not None:
                    scores[nimg] = note.get("by", SCORE), note["score"]
        if not scores:
            return None
        by = scores[max(scores)][0]
        sign = -1 if by in METRICS and METRICS[by].better == "higher" else 1
        return min((nimg for nimg in scores if scores[nimg][0] == by), key=lambda nimg: sign * scores[nimg][1])

    def checkpoint_with(self, sha256: str) -> int | None:
        """Images seen at the checkpoint with this hash, if it is still there."""
        for nimg in checkpoint.available(self.checkpoints):
            with suppress(Damaged):
                if checkpoint.note(self.checkpoints, nimg).get("sha256") == sha256:
                    return nimg
        return None

    def newest_checkpoint(self) -> tuple[checkpoint.Checkpoint | None, list[str]]:
        """The newest checkpoint that is whole, and a warning for every newer one that is not.

        Raises UserError when there are checkpoints, but all are damaged.
        """
        warnings: list[str] = []
        for nimg in reversed(checkpoint.available(self.checkpoints)):
            try:
                return checkpoint.load(self.checkpoints, nimg), warnings
            except Damaged as damage:
                warnings.append(f"checkpoint {damage}: using the one before")
        if warnings:
            raise UserError(f"every checkpoint in '{self.checkpoints}' is damaged: use another --out, or delete it")
        return None, warnings

    def set_aside_after(self, nimg: int) -> None:
        """Take the damaged checkpoints after `nimg` images out of the count; they would pass for the newest."""
        for later in checkpoint.available(self.checkpoints):
            if later > nimg:
                checkpoint.set_aside(self.checkpoints, later)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def session_facts(compute: Compute, nimg: int) -> dict[str, Any]:
    """Versions and machine of one session of a run that starts (or resumes) at `nimg` images."""
    device = torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else platform.processor()
    return {
        "at": now(),
        "from_nimg": nimg,
        "ganvas": VERSION,
        "git": git_commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "device": f"{compute.device} {device}".strip(),
        "precision": compute.precision,
        "threads": torch.get_num_threads(),
        "command": sys.argv,
    }


def git_commit() -> str | None:
    """The commit of the checkout that ganvas runs from, `+` when it is changed; None for an installed package."""
    here = Path(__file__).parent
    try:
        git = ["git", "-C", str(here)]
        tracked = [*git, "ls-files", "--error-unmatch", Path(__file__).name]  # not: installed in somebody's checkout
        subprocess.run(tracked, capture_output=True, check=True)
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "--", str(here)], capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")


# -- the whole state of a method, as tensors and plain values -------------------------------------------------------


def pack(method: Method) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Everything that the next step depends on, less the position in the data, which is the images seen."""
    tensors: dict[str, Tensor] = {}
    for kind, modules in (("module", method.modules), ("average", method.averages)):
        for name, module in modules.items():
            tensors |= {f"{kind}/{name}/{key}": value for key, value in module.state_dict().items()}
    for name, optimizer in method.optimizers.items():
        tensors |= {f"optimizer/{name}/{key}": value for key, value in checkpoint.optimizer_tensors(optimizer).items()}
    tensors |= {f"extra/{key}": value for key, value in method.extra_state().items()}
    tensors["random/method"] = method.noise.get_state()
    tensors["random/torch"] = torch.get_rng_state()
    if method.compute.device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(method.compute.device)
    elif method.compute.device.type == "mps":
        tensors["random/mps"] = torch.mps.get_rng_state()
    groups = {name: checkpoint.optimizer_groups(optimizer) for name, optimizer in method.optimizers.items()}
    return tensors, {"optimizers": groups, "changed": dict(method.changed)}


def unpack(method: Method, tensors: Mapping[str, Tensor], values: Mapping[str, Any], training: bool = True) -> None:
    """Put back what `pack` returned; with `training` false, only what sampling needs."""
    method.change_back(values.get("changed", {}))
    for kind, modules in (("module", method.modules), ("average", method.averages)):
        for name, module in modules.items():
            module.load_state_dict(checkpoint.below(f"{kind}/{name}/", tensors))
    method.load_extra_state(checkpoint.below("extra/", tensors))
    if not training:
        return
    for name, optimizer in method.optimizers.items():
        checkpoint.restore_optimizer(
            optimizer, checkpoint.below(f"optimizer/{name}/", tensors), values["optimizers"][name]
        )
    method.noise.set_state(tensors["random/method"])
    torch.set_rng_state(tensors["random/torch"])
    if method.compute.device.type == "cuda" and "random/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random/cuda"], method.compute.device)
    elif method.compute.device.type == "mps" and "random/mps" in tensors:
        torch.mps.set_rng_state(tensors["random/mps"])


def first_non_finite(method: Method) -> str | None:
    """The name of something in the state that is no longer a finite number, if there is: a weight, a mean of Adam's."""
    for key, value in pack(method)[0].items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            return key.removeprefix("module/").replace("/", ".")
    return None
