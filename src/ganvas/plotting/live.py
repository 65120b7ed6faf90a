"""The curves of a run in a notebook, drawn again and again while it trains."""

import io
import sys
import time
from collections.abc import Iterable, Iterator

from matplotlib.figure import Figure

from ganvas.plotting import one_run
from ganvas.runs.log import Record

EVERY = 2.0  # seconds between two drawings


def watch(records: Iterable[Record], every: float = EVERY) -> Iterator[Record]:
    """Yield the `records` of `ganvas.train`, and draw the losses below the cell of a notebook while they come.

    They are drawn at most every `every` seconds, and once more at the end. Outside of a notebook nothing is drawn.
    Closing the iterator closes `records`.
    """
    seen: list[Record] = []
    figure = _Figure() if _in_notebook() else None
    drawn = float("-inf")
    try:
        for record in records:
            seen.append(record)
            if figure is not None and time.monotonic() - drawn >= every:
                figure.show(one_run.losses(seen))
                drawn = time.monotonic()
            yield record
    finally:
        if figure is not None and seen:
            figure.show(one_run.losses(seen))
        if close := getattr(records, "close", None):
            close()


class _Figure:
    """A place below the cell; what is shown there replaces what was."""

    def __init__(self) -> None:
        self.handle = None

    def show(self, figure: Figure) -> None:
        from IPython.display import Image, display

        file = io.BytesIO()
        figure.savefig(file, format="png")
        image = Image(file.getvalue(), format="png")  # type: ignore[no-untyped-call]
        if self.handle is None:
            self.handle = display(image, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self.handle.update(image)


def _in_notebook() -> bool:
    """Whether this is a Jupyter kernel, which has loaded IPython."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
