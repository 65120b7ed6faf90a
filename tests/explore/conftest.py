"""A server with small trained runs."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browsers import browser, page, phone, screenshot
from tests.cli.test_cli import NO_FIGURES, PAINTS, TINY, ganvas

__all__ = ["browser", "page", "phone", "screenshot"]


@pytest.fixture(scope="session")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three runs: `digits` (a conditional GAN), `paints` (a pixel network) and `moves` (CFG-GAN)."""
    folder = tmp_path_factory.mktemp("explored")
    data = ["--data", pictures, "--device", "cpu", *NO_FIGURES, "--set"]
    assert ganvas("train", "strokes-cdcgan", "--out", folder / "digits", "--images", 240, *data, *TINY) == 0
    assert ganvas("train", "mnist-residual-cppn", "--out", folder / "paints", "--images", 60, *data, *PAINTS) == 0
    small = [
        *TINY,
        "data.size=16",
        "method.steps=3",
        "method.pool=20",
        "method.fit_epochs=1",
        "network.pointwise=false",
    ]
    assert ganvas("train", "mnist-cfg-dcgan", "--out", folder / "moves", "--images", 120, *data, *small) == 0
    return folder


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., str]]:
    """Serve a folder in a process of its own; the whole address, with the token."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path, *words: str) -> str:
        command = [sys.executable, "-m", "ganvas", "explore", str(folder), "--no-browser", "--port", "0", *words]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(server)
        assert server.stdout is not None
        found = re.match(r"http\S+", server.stdout.readline())
        assert found is not None, "it does not start"
        return found[0]

    yield start
    for server in started:
        server.terminate()
        server.wait(60)
        assert server.stdout is not None
        server.stdout.close()


@pytest.fixture(scope="session")
def served(serve: Callable[..., str], trained: Path) -> str:
    """The address of a server of the trained runs."""
    return serve(trained)
