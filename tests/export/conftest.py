"""A browser with WebGL."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browsers import WEBGL, launched, page, screenshot

__all__ = ["page", "screenshot"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with launched(*WEBGL) as browser:
        yield browser
