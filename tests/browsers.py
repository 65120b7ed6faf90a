"""A real browser without a window, and its pages."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WORDS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"]
WORDS += ["--disable-component-update", "--disable-sync"]
WITHOUT_GPU = ["--disable-gpu"]
WEBGL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # in software, which slows down all else
SCREENSHOTS = Path(__file__).parents[1] / "build" / "screenshots"
PATIENCE = 120_000  # milliseconds for what happens at once unless the machine is busy


@contextmanager
def launched(playwright: Playwright, *words: str) -> Iterator[Browser]:
    """Chromium without a window; skips what needs it where there is none."""
    program = os.environ.get("GANVAS_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no browser: install Chromium, or name one in GANVAS_BROWSER")
    expect.set_options(timeout=PATIENCE)
    browser = playwright.chromium.launch(executable_path=program, args=[*WORDS, *words])
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with launched(playwright, *WITHOUT_GPU) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own."""
    with opened(browser, viewport={"width": 1280, "height": 900}) as page:
        yield page


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    """A page on a small screen that is touched."""
    with opened(browser, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True) as page:
        yield page


@contextmanager
def opened(browser: Browser, **screen: Any) -> Iterator[Page]:
    """A page of its own. An error in its console fails the test."""
    context = browser.new_context(**screen)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    errors: list[str] = []
    # What the server refuses is an error for the browser; the page says it in its own words.
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" and "status of 400" not in m.text else None)
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
