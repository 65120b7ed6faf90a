"""What the commands share: the program, its output, and its progress bar.

The modules of the command line import heavy libraries inside functions: help and mistakes answer at once.
"""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.text import Text

from ganvas.core.errors import UserError
from ganvas.core.text import printable

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress

    from ganvas.networks import Networks
    from ganvas.networks.cppn import CPPN

app = App(
    name="ganvas",
    help="Train GANs on small sets of images, measure them, and paint from them.",
    help_format="plaintext",
)
data_app = App(name="data", help="Check image data before training on it.")
app.command(data_app)
evaluator_app = App(name="evaluator", help="Train and list evaluators: the networks whose features the scores compare.")
app.command(evaluator_app)

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Words = Annotated[list[str] | None, Parameter(name="--set", consume_multiple=True, negative=(), metavar="KEY=VALUE")]


def complain(text: str) -> None:
    """An error, as one line on stderr."""
    say("[bold red]error:[/]", text)


def line(text: str) -> None:
    """One line on stdout, neither wrapped nor styled."""
    out.print(printable(text), soft_wrap=True, markup=False)


def say(word: str, text: str) -> None:
    """One line on stderr after a styled `word`; brackets in `text` are no markup."""
    err.print(word, end=" ")
    note(text)


def note(text: str) -> None:
    """One line on stderr, neither wrapped nor styled."""
    err.print(printable(text), markup=False, soft_wrap=True)


def cell(text: str, style: str = "") -> Text:
    """A cell of a table as it is, whoever wrote it: brackets are no markup."""
    return Text(printable(text), style)


def say_if_slow(network: "Networks | CPPN", device: "torch.device") -> None:
    """Note on stderr when the compiled kernel would help but cannot be used."""
    from ganvas.networks import residual_kernel
    from ganvas.networks.cppn import CPPN

    if isinstance(network, CPPN) and network.kind == "residual" and device.type == "cpu":
        active, why = residual_kernel.status(network.sizes()[0])
        if not active:
            say("[yellow]note:[/]", f"without the compiled kernel, several times slower: {why}")


def progress(unit: str = "images") -> "Progress":
    """A bar on stderr, where that is a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}", markup=False),
        console=err,
        transient=False,
        disable=not err.is_terminal,
    )


def section(values: Any, name: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise UserError(f"'{name}' is a section, not a value: write {name}.something={values}")
    return values
