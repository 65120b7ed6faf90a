"""The command `explore`."""

from __future__ import annotations

from pathlib import Path

from ganvas.cli.common import Device, app, line
from ganvas.core.errors import UserError


@app.command
def explore(
    folder: Path = Path("runs"),
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    device: Device = "auto",
) -> None:
    """Open a page in the browser to watch runs, walk through latents, paint and breed. Ctrl-C ends it.

    Parameters
    ----------
    folder
        A run, a folder with runs, or a model (`ganvas models`). The page sees nothing else.
    host
        Address to listen on. 127.0.0.1: only this machine. 0.0.0.0: every machine of your network can use the page with
        its whole address, and nothing that is sent is encrypted; the page can start trainings on this machine.
    port
        Port to listen on; default: the first free one from 8017 on.
    browser
        Whether to open the page in the browser.
    """
    try:
        from ganvas.explore.server import serve
    except ModuleNotFoundError as error:
        raise UserError(f"`ganvas explore` needs '{error.name}': pip install 'ganvas[explore]'") from None

    serve(folder, host, port, device, browser, lambda address: line(f"{address}  (Ctrl-C ends it)"))
