"""A browser with WebGL."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright

from tests.browsers import WEBGL, launched, page, screenshot

__all__ = ["page", "screenshot"]


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with launched(playwright, *WEBGL) as browser:
        yield browser
