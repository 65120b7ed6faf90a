"""Shared parts of the commands: the app, options, output, and the progress bar.

The modules of the command line import heavy libraries inside functions, so that help and error messages are fast.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.text import Text

from ganvas.core.errors import UserError
from ganvas.core.text import printable
from ganvas.core.version import VERSION

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress

    from ganvas.networks import Networks
    from ganvas.networks.cppn import CPPN
    from ganvas.recipes.recipe import Recipe

app = App(
    name="ganvas",
    help="Train GANs on small sets of images, measure them, and paint from them.",
    help_format="plaintext",
)
data_app = App(name="data", help="Check image data before training on it.")
app.register_install_completion_command(
    help="Let the shell complete commands, options, recipes and runs with the Tab key (bash, zsh, fish, PowerShell)."
)
app.command(data_app)
evaluator_app = App(
    name="evaluator", help="Train and list evaluators, the networks whose features are compared by the scores."
)
app.command(evaluator_app)


def _recipes(_: object) -> list[str]:
    from ganvas.recipes import library

    return library.names()


def _runs(_: object) -> list[str]:
    """The runs where they are by default, and the models; the shell itself completes other folders."""
    from ganvas.runs import places

    found = (str(file.parent) for pattern in ("*", "*/*") for file in Path("runs").glob(f"{pattern}/run.json"))
    return [*sorted(found), *places.names()]


out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Device = Annotated[str, Parameter(help="auto, cpu, cuda, cuda:N or mps.")]
DataDir = Annotated[Path | None, Parameter(help="Folder in which named sets are looked for first.")]
RunFolder = Annotated[
    Path, Parameter(help="Folder of the run, or a model: `ganvas models` lists them.", completer=_runs)
]
MaybeRun = Annotated[Path | None, Parameter(completer=_runs)]
RunFolders = Annotated[Path, Parameter(completer=_runs)]
RecipeName = Annotated[str, Parameter(completer=_recipes)]
Json = Annotated[
    bool, Parameter(name="--json", negative=(), help="Print the table as JSON, and nothing else on standard output.")
]
Checkpoint = Annotated[str, Parameter(help="last, best, or the number of images seen of a checkpoint.")]
EvaluatorName = Annotated[
    str | None,
    Parameter(help="digits, cifar10, imagenet, inception, one of your own, or its file; default: chosen by the data."),
]
Words = Annotated[list[str] | None, Parameter(name="--set", consume_multiple=True, negative=(), metavar="KEY=VALUE")]


def load_recipe(name: str, changes: list[str] | None, options: dict[str, Any]) -> "Recipe":
    """The recipe `name` with the changes of --set and the `options` (`section.key` -> value) that are not None."""
    from ganvas.core.settings import merge, parse_assignments
    from ganvas.recipes import library

    given: dict[str, dict[str, Any]] = {}
    for place, value in options.items():
        if value is not None:
            part, _, key = place.partition(".")
            given.setdefault(part, {})[key] = value
    return library.load(name, merge(parse_assignments(changes or []), given))


def complain(text: str) -> None:
    """Print an error as one line on stderr."""
    say("[bold red]error:[/]", text)


def line(text: str) -> None:
    """Print one line on stdout, without wrapping or styles."""
    out.print(printable(text), soft_wrap=True, markup=False)


def say(word: str, text: str) -> None:
    """Print one line on stderr after a styled `word`; brackets in `text` are not markup."""
    with suppress(OSError):
        err.print(word, end=" ")
    note(text)


def note(text: str) -> None:
    """Print one line on stderr, without wrapping or styles. A stderr that cannot be written to stops nothing."""
    with suppress(OSError):
        err.print(printable(text), markup=False, soft_wrap=True)


def cell(text: str, style: str = "") -> Text:
    """A table cell with any text; brackets are not markup."""
    return Text(printable(text), style)


def say_if_slow(network: "Networks | CPPN", device: "torch.device") -> None:
    """Print a note on stderr if the compiled kernel would help but cannot be used."""
    from ganvas.networks.cppn import CPPN
    from ganvas.networks.kernels import layered

    # Wider networks are as fast in PyTorch.
    if isinstance(network, CPPN) and device.type == "cpu" and network.sizes()[0] <= layered.MAX_WIDTH:
        active, why = network.kernel()
        if not active:
            say("[yellow]note:[/]", f"several times slower without the compiled kernel: {why}")


def progress(unit: str = "images") -> "Progress":
    """A progress bar on stderr, shown if that is a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Description(ProgressColumn):
        """What is made; it may be a name that a stranger chose."""

        def render(self, task: Task) -> Text:
            return Text(printable(task.description))

    return Progress(
        Description(),
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


def print_json(command: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table as JSON: {"command": its command, "ganvas": version, "rows": one object for each row}.

    Numbers are numbers, dates are in ISO 8601, and what is not known is null.
    """
    document = {"command": command, "ganvas": VERSION, "rows": list(rows)}
    out.file.write(json.dumps(document, indent=2, allow_nan=False, default=datetime.isoformat) + "\n")


def section(values: Any, name: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise UserError(f"'{name}' is a section, not a value: write {name}.something={values}")
    return values
