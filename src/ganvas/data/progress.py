"""A progress bar for work that takes a while: on a terminal only, and only after the first second."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

DELAY_SECONDS = 1.0


@contextmanager
def progress(text: str, total: float | None, *columns: ProgressColumn) -> Iterator[Callable[[float], None]]:
    """Gives a function that moves the bar on stderr by an amount; `columns` say how far it is (default: 3/10)."""
    console = Console(stderr=True)
    amounts = columns or (MofNCompleteColumn(),)
    words = TextColumn("{task.description}", markup=False)
    bar = Progress(words, BarColumn(), *amounts, TimeRemainingColumn(), console=console, transient=True)
    task = bar.add_task(text, total=total)
    due = time.monotonic() + DELAY_SECONDS

    def advance(amount: float) -> None:
        bar.advance(task, amount)
        if console.is_terminal and not bar.live.is_started and time.monotonic() > due:
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
