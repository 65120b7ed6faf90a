"""A progress bar for slow work, shown after one second; without a terminal, one line after ten seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from ganvas.core.text import printable

DELAY_SECONDS = 1.0
LINE_SECONDS = 10.0

_said: set[str] = set()  # texts that already have a line in the log


@contextmanager
def progress(text: str, total: float | None, *columns: ProgressColumn) -> Iterator[Callable[[float], None]]:
    """Gives a function that advances the bar on stderr; `columns` show how far it is (default: 3/10)."""
    console = Console(stderr=True)
    amounts = columns or (MofNCompleteColumn(),)
    words = TextColumn("{task.description}", markup=False)
    bar = Progress(words, BarColumn(), *amounts, TimeRemainingColumn(), console=console, transient=True)
    text = printable(text)
    task = bar.add_task(text, total=total)
    due = time.monotonic() + (DELAY_SECONDS if console.is_terminal else LINE_SECONDS)

    def advance(amount: float) -> None:
        bar.advance(task, amount)
        if time.monotonic() < due:
            return
        if console.is_terminal and not bar.live.is_started:
            bar.start()
        elif not console.is_terminal and text not in _said:
            _said.add(text)
            so_far = f", {bar.tasks[0].completed / total:.0%} so far" if total else ""
            print(f"{text} ...{so_far}", file=sys.stderr, flush=True)

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
