"""The exported page, in a real browser: the same pixels as ganvas, and every control."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from ganvas.core.errors import UserError
from ganvas.core.images import enlarge, grid, load_png
from ganvas.export import glsl, html
from ganvas.networks.cppn import CPPN
from ganvas.networks.view import View
from ganvas.painting.paint import Painting, load_painting
from ganvas.painting.painter import Painter, random_network
from ganvas.painting.recipes import RandomOrigin
from ganvas.painting.subjects import Subject, choose_latents, random_latent
from ganvas.runs.model import load
from ganvas.runs.samples import SampleRecipe

KINDS = ["residual:6x6", "softplus:3x12", "tanh:4x10"]  # small, as the browser has no GPU here
SIDE = 512


def subjects(painter: Painter, count: int = 3) -> list[Subject]:
    return [Subject(painter, random_latent(painter, seed), f"seed {seed}") for seed in range(count)]


def lively(kind: str, colour: bool) -> Painter:
    """A painter whose images have all shades; new networks of these kinds paint one grey."""
    painter = random_network(kind, *((5, 0.8) if kind.startswith("softplus") else (3, None)), colour, "cpu")
    if kind.startswith("residual"):
        with torch.no_grad():
            for parameter in painter.network.parameters():
                parameter.mul_(0.6)
            painter.network.place.weight.mul_(10)
            painter.network.output.weight.mul_(60)
    return painter


def _model(page: str) -> dict[str, Any]:
    """The data in a page."""
    found: dict[str, Any] = json.loads(page.split('id="model">')[1].split("</script>")[0])
    return found


def pixels(page: Page, side: int, folder: Path) -> np.ndarray:
    """What folder/page.html saves as a PNG of side × side, without supersampling."""
    page.set_viewport_size({"width": 64, "height": 64})  # what it shows meanwhile takes time too
    page.goto((folder / "page.html").as_uri())
    script = """async (side) => {
      const file = new Uint8Array(await (await painting(side, side, 1, () => {})).arrayBuffer());
      return btoa(Array.from(file, (byte) => String.fromCharCode(byte)).join(""));
    }"""
    (folder / "page.png").write_bytes(base64.b64decode(page.evaluate(script, side)))
    with Image.open(folder / "page.png") as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.browser
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_paints_what_ganvas_paints(page: Page, tmp_path: Path, kind: str, colour: bool) -> None:
    painter = lively(kind, colour)
    html.save(subjects(painter), tmp_path / "page.html", "test")
    found = pixels(page, SIDE, tmp_path)
    work = Painting(subjects(painter)[:1], View(SIDE, SIDE, painter.network.scale))
    expected = np.concatenate(list(work.bands())).astype(int)
    assert expected.std() > 5, "one grey shows nothing"
    assert np.abs(found - expected).max() <= 1


@pytest.mark.browser
def test_relu_and_16_bits(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = CPPN.model_validate({"kind": "relu", "width": 12, "layers": 5}).network(1, 8).requires_grad_(False)
    painter = Painter(network, RandomOrigin(random="tanh:5x12", weights=0))  # its origin is not what is tested
    monkeypatch.setattr(html, "MOST_BYTES", len(html.render(subjects(painter), "test")) - 1)
    text = html.render(subjects(painter), "test")
    assert list(_model(text)["weights"]) == ["integers", "bits", "scales"]
    (tmp_path / "page.html").write_text(text)
    found = pixels(page, SIDE, tmp_path)
    expected = np.concatenate(list(Painting(subjects(painter)[:1], View(SIDE, SIDE)).bands())).astype(int)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.browser
def test_a_person_uses_it(page: Page, tmp_path: Path, screenshot: Callable[[str], None]) -> None:
    painter = random_network("tanh:3x8", 3, device="cpu")
    html.save(subjects(painter), tmp_path / "page.html", "test")
    page.set_viewport_size({"width": 360, "height": 360})
    page.goto((tmp_path / "page.html").as_uri())
    expect(page.locator("#picture[data-shown=fine]")).to_be_visible()
    screenshot("export-html")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("look.zoom") == pytest.approx(1.25)
    assert page.evaluate("look.x") > 0
    page.keyboard.press("Home")
    assert page.evaluate("[look.x, look.y, look.zoom]") == [0, 0, 1]
    page.keyboard.press("2")
    expect(page.get_by_role("button", name="seed 2")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Palette").select_option("magma")
    page.keyboard.press("b")
    page.get_by_role("button", name="child 1").click()
    assert page.evaluate("source") == "bred"
    screenshot("export-html-breed")
    page.get_by_role("button", name="Back one generation").click()
    assert page.evaluate("source") == "seed 2"
    page.keyboard.press("Escape")
    expect(page.get_by_label("Breed: choose the picture that goes on")).to_be_hidden()
    page.get_by_role("button", name="Morph").click()
    while " to " not in page.evaluate("source"):
        page.wait_for_timeout(10)
    page.get_by_role("button", name="Morph").click()
    page.get_by_role("button", name="Save").click()
    page.get_by_label("Size").select_option("512")
    with page.expect_download() as download:
        page.locator("#saving").get_by_role("button", name="Save").click()
    download.value.save_as(tmp_path / "saved.png")
    recipe = load_png(tmp_path / "saved.png")[1]["painting"]
    assert (recipe["palette"], recipe["view"]["width"], recipe["view"]["supersample"]) == ("magma", 512, 3)
    again = np.concatenate(list(load_painting(tmp_path / "saved.png").bands())).astype(int)
    with Image.open(tmp_path / "saved.png") as image:  # its colour map has 256 steps, that of ganvas more
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - again).max() <= 3


@pytest.mark.browser
def test_a_person_uses_the_page_of_a_convolutional_generator(
    page: Page, tmp_path: Path, screenshot: Callable[[str], None]
) -> None:
    model = load("mnist-quick", device="cpu")
    html.save_images(model, choose_latents(model, labels=model.classes), tmp_path / "page.html", "test")
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto((tmp_path / "page.html").as_uri())
    samples = page.get_by_label("Samples: choose one to walk from")
    expect(samples.get_by_role("button", name="sample 60, 9")).to_be_visible()
    expect(page.locator("#picture[data-shown=fine]")).to_be_visible()
    screenshot("export-html-samples")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    samples.get_by_label("Class").select_option("3")
    samples.get_by_role("button", name="sample 8, 3").click()
    expect(samples).to_be_hidden()
    assert page.evaluate("z.slice(-10).indexOf(1)") == 3
    first = page.evaluate("z")
    page.keyboard.press("ArrowRight")
    page.mouse.move(100, 300)
    page.mouse.down()
    page.mouse.move(100, 390)
    page.mouse.up()
    across, down = np.array(page.evaluate("model.directions"))
    moved = np.array(page.evaluate("z")) - first
    np.testing.assert_allclose(moved[:-10], 0.3 * across + 90 * 6 / 360 * down, atol=1e-5)
    assert not moved[-10:].any(), "the class stays"
    expect(page.locator("#picture[data-shown=fine]")).to_be_visible()
    screenshot("export-html-picture")
    page.keyboard.press("Home")
    assert page.evaluate("z") == first

    page.keyboard.press("p")
    page.keyboard.press("7")
    expect(page.get_by_role("button", name="7", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Pin", exact=True).click()
    page.get_by_role("button", name="Morph").click()
    while not re.match("pin . to pin .", page.evaluate("source")):
        page.wait_for_timeout(10)
    page.get_by_role("button", name="Morph").click()
    page.keyboard.press("7")
    page.keyboard.press("b")
    page.get_by_role("button", name="child 1").click()
    bred = np.array(page.evaluate("z"))
    assert bred[-10:].tolist() == [0] * 7 + [1, 0, 0]
    page.keyboard.press("Escape")

    with page.expect_download() as download:
        page.keyboard.press("s")
        page.get_by_label("Size").select_option("280 × 280")
        page.locator("#saving").get_by_role("button", name="Save").click()
    download.value.save_as(tmp_path / "one.png")
    with page.expect_download() as download:
        page.keyboard.press("a")
        samples.get_by_role("button", name="Save all").click()
    download.value.save_as(tmp_path / "all.png")
    image, values = load_png(tmp_path / "one.png")
    recipe = SampleRecipe.from_json(json.dumps(values), "one.png")
    assert (recipe.checkpoint, recipe.latents) == (model.sha256, [bred.tolist()])
    again = model.draw(torch.tensor(recipe.latents)).images[0].repeat(10, 0).repeat(10, 1)
    assert np.abs(image[..., :1].astype(int) - again).max() <= 1
    image, values = load_png(tmp_path / "all.png")
    recipe = SampleRecipe.from_json(json.dumps(values), "all.png")
    sheet = enlarge(grid(model.draw(torch.tensor(recipe.latents)).images, 10))
    assert image.shape == (*sheet.shape[:2], 4)
    assert np.abs(image[..., :1].astype(int) - sheet).max() <= 1


@pytest.mark.browser
def test_the_shader_for_sites_compiles(page: Page) -> None:
    painter = random_network("residual:24x6", 3, device="cpu")
    text = glsl.render(subjects(painter)[0])
    script = """(text) => {
      const gl = document.createElement("canvas").getContext("webgl2");
      const head = "#version 300 es\\nprecision highp float;\\nuniform vec3 iResolution;\\nout vec4 c;\\n";
      const shader = gl.createShader(gl.FRAGMENT_SHADER);
      gl.shaderSource(shader, head + text + "void main() { mainImage(c, gl_FragCoord.xy); }");
      gl.compileShader(shader);
      return gl.getShaderInfoLog(shader).replace(/\\0/g, "");
    }"""
    assert page.evaluate(script, text) == ""


def test_pages_stay_small() -> None:
    for kind in ("residual:24x6", "tanh:8x64", "softplus:4x128"):
        for colour in (False, True):
            page = html.render(subjects(random_network(kind, 0, colour=colour, device="cpu"), 10), "test")
            assert len(page.encode()) < html.MOST_BYTES


def test_titles_and_names_are_text(tmp_path: Path) -> None:
    painter = random_network("tanh:2x4", 0, device="cpu")
    name = "</script><script>alert(1)</script>"
    page = html.render([Subject(painter, random_latent(painter, 0), name)], name)
    assert "alert(1)</script>" not in page
    assert _model(page)["subjects"][0]["name"] == name


@pytest.mark.parametrize(("kind", "match"), [("tanh:2x300", "too wide"), ("tanh:9x128", "200 kB")])
def test_large_networks_are_refused(tmp_path: Path, kind: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        html.save(subjects(random_network(kind, 0, device="cpu")), tmp_path / "page.html", "test")
    assert not list(tmp_path.iterdir())
