"""The checkpoints of a run: which are kept, which is the best, which are damaged."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.metrics import METRICS
from ganvas.recipes.train_settings import SCORE
from ganvas.runs import checkpoint
from ganvas.runs.checkpoint import Checkpoint, Damaged, Note
from ganvas.runs.writer import UNLIMITED, Writer


class Checkpoints:
    """The checkpoints in a folder, each named by the number of images seen.

    Regular checkpoints are written at the intervals of the recipe; others where a run was stopped, and the next
    checkpoint replaces them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def available(self) -> list[int]:
        """The images seen of every checkpoint, oldest first; some may turn out to be damaged."""
        return checkpoint.available(self.folder)

    def regular(self) -> list[int]:
        """The same for the regular checkpoints."""
        return [nimg for nimg, note in self._notes().items() if not note.stopped]

    def best(self) -> int | None:
        """The images seen of the checkpoint with the best score; only the newest checkpoint's kind of score counts."""
        scores = {nimg: (note.by, note.score) for nimg, note in self._notes().items() if note.score is not None}
        if not scores:
            return None
        by = scores[max(scores)][0]
        sign = -1 if by in METRICS and METRICS[by].better == "higher" else 1
        return min((nimg for nimg in scores if scores[nimg][0] == by), key=lambda nimg: sign * scores[nimg][1])

    def with_hash(self, sha256: str) -> int | None:
        """The images seen of the checkpoint with this hash, if it still exists."""
        return next((nimg for nimg, note in self._notes().items() if note.sha256 == sha256), None)

    def note(self, nimg: int) -> Note:
        """The note of a checkpoint; raises Damaged."""
        return checkpoint.note(self.folder, nimg)

    def _notes(self) -> dict[int, Note]:
        """The readable notes, by images seen."""
        found = {}
        for nimg in self.available():
            with suppress(Damaged):
                found[nimg] = checkpoint.note(self.folder, nimg)
        return found

    # -- reading ------------------------------------------------------------------------------------------------

    def load(self, nimg: int) -> Checkpoint:
        """Read and verify the checkpoint after `nimg` images; raises Damaged."""
        return checkpoint.load(self.folder, nimg)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest intact checkpoint, and a warning for every newer damaged one.

        Raises UserError if there are checkpoints, but all are damaged.
        """
        warnings: list[str] = []
        for nimg in reversed(self.available()):
            try:
                return self.load(nimg), warnings
            except Damaged as damage:
                warnings.append(f"checkpoint {damage}: using the one before")
        if warnings:
            raise UserError(f"every checkpoint in '{self.folder}' is damaged: use another --out, or delete it")
        return None, warnings

    # -- writing ------------------------------------------------------------------------------------------------

    def save(
        self,
        nimg: int,
        tensors: Mapping[str, Tensor],
        values: Mapping[str, Any],
        *,
        keep: int,
        score: float | None = None,
        by: str = SCORE,
        stopped: bool = False,
        horizon: int | None = None,
        writer: Writer = UNLIMITED,
    ) -> str:
        """Write a checkpoint, then delete all but the newest `keep`, the best, and those that the guard may need.

        `by` names the kind of `score`. `horizon` is the number of images seen before which no alarm can place the start
        of the trouble (None: there is no guard). Returns the sha256.
        """
        digest = checkpoint.save(self.folder, nimg, tensors, values, score=score, by=by, stopped=stopped, writer=writer)
        regular = self.regular()
        spared = {nimg, *regular[-keep:], self.best(), *_for_the_guard(regular, horizon)}
        for old in self.available():
            if old not in spared:
                self.remove(old)
        return digest

    def dispensable(self, horizon: int | None = None) -> list[int]:
        """The images seen of all checkpoints but the newest, in the order in which they may be deleted.

        The oldest come first, then those that the guard may need, and the best one last.
        """
        order = [*_for_the_guard(self.regular(), horizon), self.best()]
        older = self.available()[:-1]
        return sorted(older, key=lambda nimg: max((i for i, last in enumerate(order) if last == nimg), default=-1))

    def remove(self, nimg: int) -> None:
        checkpoint.remove(self.folder, nimg)

    def remove_after(self, nimg: int) -> None:
        """Delete the checkpoints after `nimg` images."""
        for later in self.available():
            if later > nimg:
                self.remove(later)

    def remove_unvouched(self) -> None:
        """Delete what a kill has left of checkpoints that were being written or deleted."""
        checkpoint.remove_unvouched(self.folder)

    def set_aside_after(self, nimg: int) -> None:
        """Rename the damaged checkpoints after `nimg` images, which would otherwise count as the newest."""
        for later in self.available():
            if later > nimg:
                checkpoint.set_aside(self.folder, later)


def _for_the_guard(regular: Sequence[int], horizon: int | None) -> list[int]:
    """The `regular` checkpoints that the guard may need, the less important first."""
    if horizon is None:
        return []
    later = [nimg for nimg in regular if nimg > horizon][:1]  # this one will be safe next: keep it until then
    return [*later, *[nimg for nimg in regular if nimg <= horizon][-1:]]
