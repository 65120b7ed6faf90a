"""The tab Breed: children on the server, and the tab as a person uses it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from starlette.testclient import TestClient

from ganvas.networks.view import View
from ganvas.painting import breeding
from ganvas.painting.paint import Painting, load_painting
from tests.explore.test_paint_tab import LIVE, answer, client, folder, open_tab

__all__ = ["client", "folder"]

A, B = ({"random": "tanh:2x8", "std": 0.6, "weights": seed, "seed": seed} for seed in (1, 2))


def test_children_are_those_of_breed(client: TestClient) -> None:
    a, b = (breeding.random_genome("tanh:2x8", seed, 0.6) for seed in (1, 2))
    right = breeding.breed([a, b], 5, 0.1)
    with client.websocket_connect(LIVE) as socket:
        found, _ = answer(socket, "breed", parents=[A, B], seed=5, strength=0.1)
        assert [tuple(child["latent"]) for child in found["children"]] == [child.latent for child in right]
        fourth = found["children"][4]
        _, pixels = answer(socket, "paint", **fourth, width=20, height=20)
        art = Painting([right[4].subject("cpu")], View(20, 20))
        assert (pixels == np.concatenate(list(art.bands()))).all()
        again, _ = answer(socket, "breed", parents=[fourth], seed=1)  # children have children
        assert len(again["children"][0]["variations"]) == len(fourth["variations"]) + 1
        mixed, _ = answer(socket, "breed", parents=[fourth, {"run": "paints"}], seed=1)
        assert [child["run"] for child in mixed["children"]] == [None] * 5 + ["paints"] * 4
        assert answer(socket, "paint", **mixed["children"][8], width=8, height=8)[1] is not None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"parents": []}, "parents"),
        ({"parents": [A, B, A]}, "parents"),
        ({"parents": [A], "strength": 9}, "strength"),
        ({"parents": [A], "count": 1000}, "count"),
        ({"parents": [{"run": "digits"}]}, "network.name=cppn"),
        ({"parents": [{"random": "tanh:300x300"}]}, "too many to be painted live"),
    ],
)
def test_what_is_not_bred(client: TestClient, fields: dict[str, object], said: str) -> None:
    with client.websocket_connect(LIVE) as socket:
        found, _ = answer(socket, "breed", **fields)
        assert found["type"] == "error" and said in found["error"] and "\n" not in found["error"]


# -- as a person uses it --------------------------------------------------------------------------------------------

QUICK = "#breed?random=tanh:2x8&std=0.6&seed=1"


def images(page: Page) -> list[str]:
    """The nine pictures, once all are there."""
    expect(page.locator(".nine .picture:not(.coming)")).to_have_count(9)
    found: list[str] = page.evaluate("() => [...document.querySelectorAll('.nine canvas')].map(c => c.toDataURL())")
    return found


@pytest.mark.browser
def test_breeding_by_keys_and_going_back(page: Page, served: str, screenshot: Callable[[str], None]) -> None:
    open_tab(page, served, QUICK)
    expect(page.locator(".heading")).to_have_text("Nine random pictures")
    first = images(page)
    assert len(set(first)) == 9
    page.keyboard.press("w")
    expect(page.get_by_role("button", name="Picture 2, chosen")).to_be_focused()
    page.keyboard.press("m")
    expect(page.locator(".heading")).to_have_text("Children of one picture")
    second = images(page)
    assert not set(first) & set(second)
    page.keyboard.press("q")
    page.get_by_role("button", name="Picture 9", exact=True).press("Enter")
    page.get_by_role("button", name="Cross the two").click()
    expect(page.locator(".heading")).to_contain_text("Children of two")
    third = images(page)
    pedigree = page.get_by_role("list", name="Generations").get_by_role("listitem")
    expect(pedigree).to_have_count(2)
    screenshot("breed-generations")
    page.get_by_role("link", name="Generation 1", exact=True).click()
    expect(page.locator(".heading")).to_have_text("Children of one picture")
    assert images(page) == second
    page.go_back()
    expect(page.locator(".heading")).to_contain_text("Children of two")
    assert images(page) == third
    page.go_back()
    page.go_back()
    expect(page.locator(".heading")).to_have_text("Nine random pictures")
    assert images(page) == first
    page.keyboard.press("n")
    expect(page).not_to_have_url(page.url + "x")
    assert not set(images(page)) & set(first)


@pytest.mark.browser
def test_an_address_is_enough_for_the_same_nine(page: Page, served: str) -> None:
    open_tab(page, served, QUICK)
    images(page)
    page.keyboard.press("s")
    page.keyboard.press("m")
    expect(page.locator(".heading")).to_have_text("Children of one picture")
    children, address = images(page), page.url
    page.evaluate("() => sessionStorage.clear()")
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator(".heading")).to_have_text("Children of one picture")
    assert images(page) == children


@pytest.mark.browser
def test_a_bred_picture_is_painted_and_saved(page: Page, serve: Callable[..., str], folder: Path) -> None:
    open_tab(page, serve(folder), QUICK)
    images(page)
    page.keyboard.press("q")
    page.keyboard.press("m")
    expect(page.locator(".heading")).to_have_text("Children of one picture")
    images(page)
    page.get_by_role("button", name="Save picture 3").click()
    page.get_by_role("link", name="Paint picture 3").click()
    link = page.get_by_role("list", name="Files").get_by_role("link")
    expect(link).to_be_visible()
    saved = load_painting(folder / str(link.text_content()), device="cpu")
    assert len(saved.subjects[0].painter.origin.variations) == 1
    expect(page.locator(".where")).to_have_text("1× at 0, 0")
    page.get_by_role("link", name="Breed from this picture").click()
    expect(page.locator(".heading")).to_have_text("Children of one picture")
    images(page)


@pytest.mark.browser
def test_it_fits_a_phone(page: Page, served: str, screenshot: Callable[[str], None]) -> None:
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 740})
    open_tab(page, served, QUICK)
    images(page)
    page.get_by_role("button", name="Picture 5", exact=True).click()
    screenshot("breed-phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
