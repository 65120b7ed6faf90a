"""The disk budget: a run directory never exceeds it, including the file that is being written.

Nothing is deleted while there is room. Then files are deleted of the kind that exceeds its share most: sample sheets,
so that the remaining ones are spaced geometrically; every second of the older records; and likewise evaluations.
Checkpoints are deleted only for new checkpoints: the oldest first, then those that the guard may need, then the best,
never the newest.

Part of the budget is reserved for the log, which is rewritten when a run resumes, for TensorBoard files, for figures,
and for other files.
"""

import copy
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import log2
from pathlib import Path

import torch

from ganvas.core.errors import RunFailed, UserError
from ganvas.core.files import say_size
from ganvas.methods import Method
from ganvas.metrics import METRICS
from ganvas.recipes.train_settings import SCORE
from ganvas.runs import checkpoint
from ganvas.runs.log import Record
from ganvas.runs.run import Run
from ganvas.runs.state import optimizer_tensors, pack
from ganvas.runs.writer import Writer
from ganvas.training import guard

KINDS = {  # by the first part of the path; other files are never deleted
    "checkpoints": "checkpoints",
    "samples": "sample sheets",
    "sheet.png": "sample sheets",
    "log.jsonl": "records",
    "evaluations": "evaluations",
}
FIXED = "fixed"
SHARES = {"sample sheets": 0.45, "records": 0.4, "evaluations": 0.15}  # of the space besides checkpoints and FIXED
SPARE = 50  # 1 / SPARE of the budget is reserved for files of other commands, such as evaluations
MORE_THAN_KEPT = 4  # checkpoints beyond `train.keep`: the best, two for the guard, and the one being written

TENSORBOARD_BYTES = 64_000_000  # maximum, but no more than a tenth of the budget
FIGURES_BYTES = 8_000_000  # the same; 0 if a tenth of the budget is less than FIGURES_LEAST
FIGURES_LEAST, FIGURES_PER_RECORD = 2_500_000, 500  # curves of more records take more space

LEAST_SHEETS = 3
LEAST_RECORDS = 64
LEAST_EVALUATIONS = 4
RECORD_BYTES, EVALUATION_BYTES, SMALL_BYTES = 1_200, 10_000, 64_000  # maximum; usual sizes are half of these
HEADER_BYTES = 120  # in a checkpoint, for each tensor, besides its name


# -- what stays -------------------------------------------------------------------------------------------------------


def fewer_sheets(seen: Sequence[int], count: int) -> list[int]:
    """Choose at most `count` (3 or more) of the sheets after `seen` images (ascending), spaced geometrically.

    The first and the newest are kept. Every doubling of the images seen is divided into equal parts, and the first
    sheet of each part is kept. The number of parts is halved until few enough sheets are left; as parts are only ever
    merged, a later call never needs a sheet that an earlier call dropped.
    """
    parts = 1024.0
    while len(seen) > max(count, 3):
        cells: dict[int, int] = {}
        for nimg in seen[1:]:
            cells.setdefault(int(parts * log2((nimg - seen[0]) / (seen[1] - seen[0]))), nimg)
        if len({*cells.values(), seen[-1]}) < max(count, 3):
            return sorted({seen[0], seen[-1], *cells.values()})
        parts /= 2
    return list(seen)


def fewer_records(records: Sequence[Record], least: int = LEAST_RECORDS) -> list[Record]:
    """Drop every second record of the older half; those with scores only when there are few others.

    The first record, those that the guard needs and the newer half are kept. Fewer than `least` records are all kept.
    """
    if len(records) < least:
        return list(records)
    needed = guard.remembered(records)
    older = [i for i in range(1, len(records) // 2) if i not in needed]
    plain = [i for i in older if not any(name in records[i] for name in (SCORE, *METRICS))]
    gone = {*(plain if 2 * len(plain) >= len(older) else older)[::2]}
    return [record for i, record in enumerate(records) if i not in gone]


def fewer_evaluations(files: Sequence[Path], best: int | None) -> list[Path]:
    """Drop every second of the older evaluations of the protocol with the most `files` (NIMG-KEY.json).

    The first one and that of the checkpoint after `best` images are kept.
    """
    protocols = Counter(file.stem[10:] for file in files)
    most = max(protocols, key=lambda key: protocols[key], default="")
    if protocols[most] <= LEAST_EVALUATIONS:
        return list(files)
    of_it = sorted(file for file in files if file.stem[10:] == most)
    older = [file for file in of_it[1 : len(of_it) // 2 + 1] if file.stem[:9] != f"{best or 0:09d}"]
    return [file for file in files if file not in older[::2]]


# -- sizes ------------------------------------------------------------------------------------------------------------


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file in a folder and of each sub-folder; files that disappear meanwhile are not counted."""
    found: dict[str, int] = {}
    try:
        with os.scandir(folder) as there:
            entries = list(there)
    except OSError:
        return found
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            found[entry.name] = sum(sizes(Path(entry.path)).values())
        else:
            try:
                found[entry.name] = entry.stat(follow_symlinks=False).st_size
            except OSError:
                continue
    return found


def checkpoint_size(method: Method) -> int:
    """Bytes of a checkpoint of `method`, including the state of its optimisers after the first step."""
    tensors, values = pack(method)
    for name, optimizer in method.optimizers.items():
        if not optimizer.state:
            tried = copy.deepcopy(optimizer)
            tried._warned_capturable_if_run_uncaptured = True  # PyTorch warns otherwise: a copy loses this attribute
            for weight in (weight for group in tried.param_groups for weight in group["params"]):
                weight.grad = torch.zeros_like(weight)
            tried.step()
            tensors |= {f"{name}/{key}": value for key, value in optimizer_tensors(tried).items()}
    header = sum(HEADER_BYTES + len(name) for name in tensors) + len(json.dumps(values))
    return sum(tensor.nbytes for tensor in tensors.values()) + header + checkpoint.NOTE_BYTES


def tensorboard_size(record: Mapping[str, object]) -> int:
    """Maximum bytes of a record in TensorBoard's files, which have an event for each number."""
    return sum(64 + len(name.encode()) for name in record)


def figures_size(records: int) -> int:
    """Maximum bytes of the figures of a run."""
    return min(FIGURES_LEAST + FIGURES_PER_RECORD * records, FIGURES_BYTES)


def expected_size(checkpoint: int, sheet: int, *, checkpoints: int, sheets: int, records: int, evaluations: int) -> int:
    """Approximate bytes of a finished run directory; `checkpoint` and `sheet` are the bytes of one."""
    images = sheets * sheet * 9 // 8  # the first row of every sheet is in sheet.png as well
    rows = records * RECORD_BYTES // 2 * 3  # TensorBoard takes more than twice as much as the log
    rest = figures_size(records) // 2 + evaluations * EVALUATION_BYTES // 2
    return checkpoints * checkpoint + images + rows + rest


def kept_free(limit: int) -> dict[str, int]:
    """Bytes of a budget that are reserved, by folder; "" is for any other place."""
    return {
        "tensorboard": min(limit // 10, TENSORBOARD_BYTES),
        "figures": min(limit // 10, FIGURES_BYTES) if limit // 10 >= FIGURES_LEAST else 0,
        "": limit // SPARE,
    }


def by_kind(found: Mapping[str, int], limit: int) -> dict[str, int]:
    """Bytes of each kind, given the result of `sizes`; FIXED has files that are never deleted, and reserved space."""
    taken = dict.fromkeys((FIXED, "checkpoints", *SHARES), 0)
    for name, size in found.items():
        taken[KINDS.get(name, FIXED)] += size
    taken["records"] *= 2  # room to rewrite the log
    taken[FIXED] += sum(max(0, free - found.get(name, 0)) for name, free in kept_free(limit).items())
    return taken


def shares(limit: int, fixed: int, checkpoint: int, keep: int, least: int) -> dict[str, int]:
    """Bytes of `limit` that each kind may use, when `fixed` bytes are taken.

    There is room for all the checkpoints that a run keeps if this leaves a quarter of the budget (and `least`) for the
    rest, and always for the newest one and the one being written.
    """
    places = (limit - fixed - max(limit // 4, least)) // checkpoint
    all_checkpoints = min(max(places, 2), keep + MORE_THAN_KEPT) * checkpoint
    rest = limit - fixed - all_checkpoints
    return {"checkpoints": all_checkpoints} | {kind: max(1, int(share * rest)) for kind, share in SHARES.items()}


def room_for_figures(run: Run) -> bool:
    """Whether the figures of a run fit into its budget."""
    limit, found = run.recipe().train.disk_limit(), sizes(run.path)
    others = sum(found.values()) - found.get("figures", 0)
    return limit is None or others + figures_size(len(run.records())) <= limit


# -- making room ------------------------------------------------------------------------------------------------------


class Budget(Writer):
    """Keeps a run within `limit` bytes, by making room before anything is written.

    `checkpoint` and `sheet` are the bytes of one, `keep` is `train.keep`, and `horizon` returns the images seen before
    which the guard may need a checkpoint. Raises UserError if the budget cannot hold two checkpoints and the small
    files; nothing is deleted until `begin`.
    """

    def __init__(
        self,
        run: Run,
        limit: int,
        *,
        checkpoint: int,
        sheet: int,
        keep: int,
        horizon: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.run, self.limit, self.checkpoint, self.keep, self.horizon = run, limit, checkpoint, keep, horizon
        small = LEAST_SHEETS * sheet + 2 * sheet + 2 * LEAST_RECORDS * RECORD_BYTES + SMALL_BYTES
        self.least = small + (LEAST_EVALUATIONS + 1) * EVALUATION_BYTES
        self.dropped: Counter[str] = Counter()
        enough, found = limit, sizes(run.path)
        while 2 * checkpoint + self.least + by_kind(found, enough)[FIXED] > enough:
            enough += 1 + enough // 50
        if enough > limit:
            raise UserError(
                f"a disk budget of {say_size(limit)} is too small: two checkpoints of {say_size(checkpoint)} and the "
                f"small files need {-(-enough // 100_000) / 10:g} MB: raise --disk-budget, or choose a smaller network"
            )

    def begin(self) -> None:
        """Delete what exceeds the budget; `dropped` counts the deleted files and records. Call this before writing."""
        if sizes(self.run.path).get("tensorboard", 0) > kept_free(self.limit)["tensorboard"]:
            self.dropped["TensorBoard files"] += remove_events(self.run)  # the log has the same records
        self._make_room(None, 0)
        if self.dropped["sample sheets"]:
            self.run.sheet_file.unlink(missing_ok=True)  # it has rows of the deleted sheets, and is written again

    def reserve(self, file: Path, size: int) -> None:
        """Make room for `size` more bytes in `file`; raises RunFailed if nothing more can be deleted."""
        kind = KINDS.get(file.relative_to(self.run.path).parts[0], FIXED)
        more = 2 * size if kind == "records" else size  # the log is rewritten when a run resumes
        if kind == "checkpoints":
            self.checkpoint = max(self.checkpoint, size)
        if kind == "checkpoints" or self.held + more > self.limit:  # other commands may have written files as well
            self._make_room(kind, more)
        self.held += more  # an upper bound until the next count, as replaced files are not subtracted

    def _make_room(self, kind: str | None, more: int) -> None:
        fewer: dict[str, Callable[[], int]] = {
            "checkpoints": self._fewer_checkpoints,
            "sample sheets": self._fewer_sheets,
            "records": self._fewer_records,
            "evaluations": self._fewer_evaluations,
        }
        if kind not in ("checkpoints", None):
            del fewer["checkpoints"]
        while True:
            taken = by_kind(sizes(self.run.path), self.limit)
            self.held = sum(taken.values())
            if self.held + more <= self.limit:
                return
            share = shares(self.limit, taken[FIXED], self.checkpoint, self.keep, self.least)
            over = {name: (taken[name] + (more if name == kind else 0)) / share[name] for name in fewer}
            for name in sorted(over, key=lambda name: over[name], reverse=True):
                if gone := fewer[name]():
                    self.dropped[name] += gone
                    break
            else:
                raise RunFailed(
                    f"'{self.run.path}' cannot stay within its disk budget of {say_size(self.limit)}: remove files of "
                    "your own from it, or raise --disk-budget; the last checkpoint is intact"
                )

    # -- each of these deletes some files or records of a kind and returns their number; 0: nothing can be deleted

    def _fewer_checkpoints(self) -> int:
        if strays := checkpoint.strays(self.run.checkpoints.folder):
            strays[0].unlink()
        elif older := self.run.checkpoints.dispensable(self.horizon()):
            self.run.checkpoints.remove(older[0])
        else:
            return 0
        return 1

    def _fewer_sheets(self) -> int:
        sheets = {int(file.stem): file for file in self.run.sheets()}
        if len(sheets) <= LEAST_SHEETS:
            return 0
        stay = fewer_sheets(list(sheets), len(sheets) - 1)
        gone = sheets.keys() - stay
        for nimg in gone:
            sheets[nimg].unlink(missing_ok=True)
        return len(gone)

    def _fewer_records(self) -> int:
        records = self.run.records()
        stay = fewer_records(records)
        if len(stay) < len(records):
            self.run.log.replace(stay)
        return len(records) - len(stay)

    def _fewer_evaluations(self) -> int:
        files = self.run.evaluation_files()
        gone = set(files) - set(fewer_evaluations(files, self.run.checkpoints.best()))
        for file in gone:
            file.unlink(missing_ok=True)
        return len(gone)


def remove_events(run: Run) -> int:
    """Delete the TensorBoard files of a run; returns their number."""
    files = list((run.path / "tensorboard").glob("events.out.tfevents.*"))
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)
