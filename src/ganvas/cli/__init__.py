"""The command line. Every command is a few lines; the same can be done from Python."""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from cyclopts import CycloptsError

from ganvas.cli import exploring, exporting, looking, painting, publishing, scoring, sweeping, training
from ganvas.cli.common import app, complain, say
from ganvas.core.errors import UserError, out_of_memory

__all__ = [
    "app",
    "exploring",
    "exporting",
    "looking",
    "main",
    "painting",
    "publishing",
    "scoring",
    "sweeping",
    "training",
]


class _Warnings(logging.Handler):
    """Prints each warning of ganvas as one line."""

    def emit(self, record: logging.LogRecord) -> None:
        say("[yellow]warning:[/]", record.getMessage())


_WARNINGS = _Warnings(logging.WARNING)


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command line with the arguments `words` (default: those of the process).

    A user's mistake is reported in one line, with exit code 2 and no traceback.
    """
    if threading.current_thread() is threading.main_thread():  # so that half-written files are removed on SIGTERM
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):  # file names may not be valid text
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # no lines for each retry: the last error is told in one
    logging.getLogger("ganvas").addHandler(_WARNINGS)
    warnings.showwarning = lambda message, *_, **__: say("[yellow]warning:[/]", str(message))
    try:
        code = app(
            sys.argv[1:] if words is None else words,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except UserError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except CycloptsError as error:
        complain(" ".join(str(error).split()))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        complain("out of memory: choose a smaller size or number")
        sys.exit(2)
    except OSError as error:  # a full disk, a folder without write permission
        where = f": '{error.filename}'" if error.filename else ""
        complain(f"{error.strerror or error}{where}")
        sys.exit(2)
    sys.exit(code or 0)
