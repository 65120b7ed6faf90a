"""A server with small trained runs, and a real browser that opens its page."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.cli.test_cli import NO_FIGURES, PAINTS, TINY, ganvas

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WORDS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
WORDS += ["--disable-component-update", "--disable-sync"]
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PATIENCE = 120_000  # milliseconds for what happens at once unless the machine is busy


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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window; what needs it is skipped where there is none."""
    program = os.environ.get("GANVAS_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no browser: install Chromium, or name one in GANVAS_BROWSER")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=WORDS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own. An error in its console fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors


@pytest.fixture
def screenshot(page: Page) -> Callable[[str], None]:
    """Keep a picture of the page, as build/screenshots/NAME.png."""

    def take(name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    return take
