"""Failures of a run: kept in run.json, and in one line where the user can put them right."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ganvas.core.errors import RunFailed, UserError, out_of_memory
from ganvas.runs.run import Run


@contextmanager
def failures_noted(run: Run) -> Iterator[None]:
    """A full disk becomes one clear line; every failure is kept in run.json, if it can be written."""
    try:
        yield
    except RunFailed as failure:
        _note(run, str(failure))
        raise
    except UserError:
        raise  # nothing ran
    except Exception as error:
        reason = _in_one_line(error, run)
        _note(run, reason or f"{type(error).__name__}: {error}")
        if reason is None:
            raise
        raise RunFailed(reason) from None


def _in_one_line(error: Exception, run: Run) -> str | None:
    """What a full disk or a full memory means to the user; None for what should never have happened."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space left for '{run.path}': free some, then run the same command; the last checkpoint is whole"
    if isinstance(error, ValueError) and "more than 1 value per channel" in str(error):  # torch, of batch norm
        return "batch norm needs more than one image: raise train.batch_size, or leave it out (network.d_norm=none)"
    if out_of_memory(error):
        return "out of memory: lower train.batch_size, network.base or data.size; the last checkpoint is whole"
    return None


def _note(run: Run, reason: str) -> None:
    if run.is_run():
        with suppress(OSError, UserError):
            run.update_info(state="failed", reason=reason)
