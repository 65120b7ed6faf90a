"""Failures of a run: recorded in run.json, and reported in one line if the user can solve them."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ganvas.core.errors import RunFailed, UserError, out_of_memory
from ganvas.runs.run import Run


@contextmanager
def failures_noted(run: Run) -> Iterator[None]:
    """Record failures in run.json, and turn those that the user can solve, such as a full disk, into RunFailed."""
    try:
        yield
    except RunFailed as failure:
        _note(run, str(failure))
        raise
    except UserError:
        raise  # the run has not started
    except Exception as error:
        reason = _in_one_line(error, run)
        _note(run, reason or f"{type(error).__name__}: {error}")
        if reason is None:
            raise
        raise RunFailed(reason) from None


def _in_one_line(error: Exception, run: Run) -> str | None:
    """A message for failures that the user can solve, such as a full disk; None for unexpected errors."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space left for '{run.path}': free some, then run the same command{_intact(run)}"
    if isinstance(error, ValueError) and "more than 1 value per channel" in str(error):  # PyTorch's batch norm
        return "batch norm needs more than one image: raise train.batch_size, or turn it off (network.d_norm=none)"
    if out_of_memory(error):
        return f"out of memory: lower train.batch_size, network.base or data.size{_intact(run)}"
    return None


def _intact(run: Run) -> str:
    return "; the last checkpoint is intact" if run.checkpoints.available() else ""


def _note(run: Run, reason: str) -> None:
    if run.is_run():
        with suppress(OSError, UserError):
            run.update_info(state="failed", reason=reason)
