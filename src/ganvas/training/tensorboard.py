"""Writing the records of a run to TensorBoard, if it is installed, within the disk budget."""

import logging
import time
from importlib.util import find_spec
from typing import Any

from ganvas.core.text import printable
from ganvas.runs.log import Record
from ganvas.runs.run import Run
from ganvas.training import disk_budget

logger = logging.getLogger("ganvas")

HEADER_BYTES = 1_000  # maximum for an empty event file


class TensorBoard:
    """Writes records to TensorBoard's event files; does nothing if TensorBoard is not installed.

    When the files reach their share of the budget, they are rewritten from the log at half that size. Missing files are
    also written from the log.
    """

    def __init__(self, run: Run, nimg: int) -> None:
        self.run, self.folder = run, run.path / "tensorboard"
        self.writer: Any = None
        self.newest = nimg  # images seen at the last record
        limit = run.recipe().train.disk_limit()
        self.limit = float("inf") if limit is None else disk_budget.kept_free(limit)["tensorboard"]
        if find_spec("tensorboard") is None:
            return
        try:
            str(self.folder.resolve()).encode()
        except UnicodeEncodeError:
            logger.warning(
                "without TensorBoard: it needs a folder whose name is UTF-8, not '%s'", printable(str(run.path))
            )
            return
        if run.records() and not disk_budget.sizes(self.folder):
            self._rewrite()
        else:
            self._open(nimg + 1 if nimg else 0)

    def write(self, record: Record) -> None:
        """Write a record that is already in the log."""
        if self.writer is None:
            return
        gone_back = record["nimg"] <= self.newest
        if gone_back or self.taken + disk_budget.tensorboard_size(record) > self.limit:
            self._rewrite()
        else:
            self._add(record, time.time())

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def _open(self, nimg: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.taken = sum(disk_budget.sizes(self.folder).values()) + HEADER_BYTES
        self.writer = SummaryWriter(self.folder, purge_step=nimg)

    def _add(self, record: Record, at: float) -> None:
        self.taken += disk_budget.tensorboard_size(record)
        self.newest = record["nimg"]
        for name, value in record.items():
            if name != "nimg":
                self.writer.add_scalar(name, value, record["nimg"], at)

    def _rewrite(self) -> None:
        """Rewrite all files from the log, at half of their maximum size."""
        self.close()
        disk_budget.remove_events(self.run)
        records = self.run.records()
        while sum(disk_budget.tensorboard_size(record) for record in records) > self.limit / 2:
            fewer = disk_budget.fewer_records(records, least=4)
            records = fewer if len(fewer) < len(records) else records[len(records) // 2 + 1 :]
        self._open(0)
        now = time.time() - max((record["seconds"] for record in records), default=0)
        for record in records:
            self._add(record, now + record["seconds"])
