"""The frame of the page: tabs, keys, the connection."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_the_token_leaves_the_address(page: Page, served: str) -> None:
    page.goto(served)
    expect(page).to_have_title("Runs · ganvas")
    assert "token" not in page.url


def test_tabs_by_keys_and_the_back_button(page: Page, served: str) -> None:
    page.goto(served)
    for key, title in (("2", "Latents"), ("3", "Paint"), ("4", "Breed"), ("1", "Runs")):
        page.keyboard.press(key)
        expect(page).to_have_title(f"{title} · ganvas")
        expect(page.locator("nav a[aria-current]")).to_have_text(title)
    page.go_back()
    expect(page).to_have_title("Breed · ganvas")


@pytest.mark.parametrize("tab", ["runs", "latents", "paint", "breed"])
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360)])
def test_it_fits(page: Page, served: str, screenshot: Callable[[str], None], tab: str, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(served)
    page.goto(re.sub(r"\?.*", f"#{tab}", served))
    expect(page).to_have_title(re.compile(tab, re.IGNORECASE))
    page.wait_for_load_state("networkidle")
    screenshot(f"{tab}-{scheme}-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_broken_connection_is_said(page: Page, serve: Callable[..., str], tmp_path: object) -> None:
    page.goto(serve(tmp_path))
    expect(page.locator("#connection")).to_be_empty()
