"""The tab Latents: what its server side answers, and the tab as a person uses it."""

import io
import json
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from starlette.testclient import TestClient, WebSocketTestSession

from ganvas.core.images import save_png
from ganvas.explore import own_images
from ganvas.explore.folder import Folder
from ganvas.explore.server import application
from ganvas.runs.model import load
from tests.cli.test_cli import NO_FIGURES, TINY, ganvas

TOKEN = "secret"
browser_test = pytest.mark.browser


@pytest.fixture(scope="module")
def client(trained: Path) -> Iterator[TestClient]:
    with TestClient(application(Folder(trained), TOKEN, "cpu"), "http://localhost:8017") as client:
        client.get("/", params={"token": TOKEN})
        client.headers["origin"] = "http://localhost:8017"
        yield client


@pytest.fixture
def live(client: TestClient) -> Iterator[WebSocketTestSession]:
    with client.websocket_connect("ws://localhost:8017/live") as live:
        yield live


def picture(live: WebSocketTestSession, op: str, **fields: Any) -> tuple[dict[str, Any], np.ndarray]:
    """The facts and pixels [H, W, C] of an answer."""
    live.send_json({"op": f"latents.{op}", "slot": "here", **fields})
    data = live.receive_bytes()
    start = 4 + struct.unpack_from("<I", data)[0]
    facts = json.loads(data[4:start])
    return facts, np.frombuffer(data, np.uint8, offset=start).reshape(facts["height"], facts["width"], -1)


def refusal(live: WebSocketTestSession, op: str, **fields: Any) -> str:
    live.send_json({"op": f"latents.{op}", "slot": "here", **fields})
    answer = live.receive_json()
    assert answer["type"] == "error"
    return str(answer["error"])


# -- the server ---------------------------------------------------------------------------------------------------


def test_what_a_run_is(client: TestClient) -> None:
    assert client.get("/latents/runs").json() == {"runs": ["digits", "moves", "paints"]}
    digits, moves, paints = (
        client.get("/latents/run", params={"run": run}).json() for run in ("digits", "moves", "paints")
    )
    assert digits["classes"] == ["across", "down", "slanted"]
    assert (moves["classes"], moves["steps"], digits["steps"]) == ([], 3, 0)
    assert (paints["encoder"], paints["any_size"]) == (True, True)
    assert (digits["encoder"], digits["any_size"]) == (False, False)
    assert digits["checkpoints"][-1] == 240
    assert client.get("/latents/run", params={"run": "../digits"}).status_code == 400


def test_a_grid_is_the_samples_of_the_run(trained: Path, live: WebSocketTestSession) -> None:
    facts, pixels = picture(live, "grid", run="digits", seed=5, count=6, columns=3)
    assert (facts["columns"], facts["rows"], facts["cell"]) == (3, 2, [16, 16])
    model = load(trained / "digits", device="cpu")
    for i in range(6):  # seed 5 has the class 5 mod 3
        y, x = 16 * (i // 3), 16 * (i % 3)
        expected = model.sample(1, label=(5 + i) % 3, seed=5 + i).images[0]
        assert np.abs(pixels[y : y + 16, x : x + 16].astype(int) - expected).max() <= 1
    _, same = picture(live, "grid", run="digits", seed=5, count=3, columns=3, label=1, truncation=0)
    assert np.abs(same[:, :16].astype(int) - same[:, 16:32]).max() <= 1


def test_a_latent_is_painted_at_any_size_by_pixel_networks(client: TestClient, live: WebSocketTestSession) -> None:
    (z,) = client.get("/latents/seeds", params={"run": "paints", "seed": 7}).json()["z"]
    _, grid = picture(live, "grid", run="paints", seed=7, count=1, columns=1)
    _, own = picture(live, "paint", run="paints", z=z)
    assert np.abs(own.astype(int) - grid).max() <= 1
    _, large = picture(live, "paint", run="paints", z=z, size=96)
    assert large.shape[:2] == (96, 96)
    (z,) = client.get("/latents/seeds", params={"run": "digits", "seed": 7}).json()["z"]
    assert picture(live, "paint", run="digits", z=z, size=96, label=1)[1].shape[:2] == (16, 16)
    _, strip = picture(live, "pins", run="digits", points=[{"z": z, "label": label} for label in (0, 1)])
    assert strip.shape[:2] == (16, 32)


def test_latents_that_are_refused(client: TestClient, live: WebSocketTestSession) -> None:
    (z,) = client.get("/latents/seeds", params={"run": "digits", "seed": 7}).json()["z"]
    assert f"have {len(z)} numbers" in refusal(live, "paint", run="digits", z=z[:-1])
    assert "3 classes" in refusal(live, "paint", run="digits", z=z, label=3)
    for wrong in ([float("inf")] * len(z), ["1"] * 0, [1e9] * len(z), "z", None):
        assert "z" in refusal(live, "paint", run="digits", z=wrong)
    assert "size" in refusal(live, "paint", run="paints", z=z, size=10**6)
    assert "count" in refusal(live, "grid", run="digits", count=10**6)
    assert "no run" in refusal(live, "grid", run="../digits")
    assert "only runs of cfg_gan" in refusal(live, "steps", run="digits", z=z)


def test_directions_of_each_kind(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for run, kind, count in (("digits", "factorised", 10), ("paints", "principal", 10), ("moves", "random", 10)):
        found = client.get("/latents/directions", params={"run": run, "kind": kind}).json()
        vectors = np.array(found["vectors"])
        assert len(vectors) == len(found["stds"]) == len(found["shares"]) == count
        np.testing.assert_allclose(vectors @ vectors.T, np.eye(count), atol=1e-5)
    refused = client.get("/latents/directions", params={"run": "digits", "kind": "principal"})
    assert refused.status_code == 400 and "no encoder" in refused.json()["error"]


def test_a_morph_meets_its_pins(client: TestClient) -> None:
    rows = client.get("/latents/seeds", params={"run": "moves", "seed": [1, 2, 3]}).json()["z"]
    path = client.post("/latents/path", json={"run": "moves", "points": rows, "frames": 21, "spherical": True}).json()[
        "z"
    ]
    np.testing.assert_allclose([path[0], path[10], path[20]], rows, atol=1e-5)
    assert client.post("/latents/path", json={"run": "moves", "points": rows, "frames": 10**9}).status_code == 400


def test_the_steps_of_cfg_gan(client: TestClient, live: WebSocketTestSession) -> None:
    (z,) = client.get("/latents/seeds", params={"run": "moves", "seed": 2}).json()["z"]
    facts, pixels = picture(live, "steps", run="moves", z=z)
    assert pixels.shape[:2] == (3 * 16, 4 * 16)
    assert len(facts["before"]) == len(facts["after"]) == 3
    _, last = picture(live, "paint", run="moves", z=z)
    assert np.abs(pixels[:16, -16:].astype(int) - last).max() <= 1
    changes = (pixels[16:32].astype(float) - 128) / 127 * facts["signed"]  # back from the heat map
    for step in (1, 2, 3):
        before, after = (pixels[:16, 16 * k : 16 * k + 16] for k in (step - 1, step))
        inside = (after > 0) & (after < 255) & (before > 0) & (before < 255)
        moved = (after.astype(float) - before) / 127.5
        np.testing.assert_allclose(changes[:, 16 * step : 16 * step + 16][inside], moved[inside], atol=0.02)
    assert pixels[32:, :16].max() == 0


@pytest.fixture(scope="module")
def colourful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `moves`, a CFG-GAN that draws in colour."""
    folder, rng = tmp_path_factory.mktemp("colourful"), np.random.default_rng(0)
    for i in range(24):
        save_png(folder / "images" / f"{i}.png", rng.integers(0, 256, (16, 16, 3), np.uint8))
    small = [*TINY, "method.steps=2", "method.pool=12", "method.fit_epochs=1", "network.pointwise=false"]
    words = ["--images", 48, "--data", folder / "images", "--device", "cpu", *NO_FIGURES, "--set", *small]
    assert ganvas("train", "mnist-cfg-dcgan", "--out", folder / "runs" / "moves", *words, "data.size=16") == 0
    return folder / "runs"


def test_a_change_in_colour_is_its_mean_and_its_length(colourful: Path) -> None:
    with TestClient(application(Folder(colourful), TOKEN, "cpu"), "http://localhost:8017") as client:
        client.get("/", params={"token": TOKEN})
        client.headers["origin"] = "http://localhost:8017"
        (z,) = client.get("/latents/seeds", params={"run": "moves", "seed": 1}).json()["z"]
        with client.websocket_connect("ws://localhost:8017/live") as live:
            facts, pixels = picture(live, "steps", run="moves", z=z)
    assert pixels.shape == (3 * 16, 3 * 16, 3)
    images = [pixels[:16, 16 * k : 16 * k + 16] for k in range(3)]
    maps = pixels[16:].astype(float)
    assert (maps == maps[..., :1]).all()  # what the page turns into colours has none
    for step in (1, 2):
        before, after = images[step - 1], images[step]
        inside = ((after > 0) & (after < 255) & (before > 0) & (before < 255)).all(-1)
        assert inside.any()
        moved = (after.astype(float) - before) / 127.5
        signed, size = maps[:16, 16 * step : 16 * step + 16, 0], maps[16:, 16 * step : 16 * step + 16, 0]
        np.testing.assert_allclose((signed - 128)[inside] / 127 * facts["signed"], moved.mean(-1)[inside], atol=0.02)
        length = np.linalg.norm(moved, axis=-1)
        np.testing.assert_allclose(size[inside] / 255 * facts["magnitude"], length[inside], atol=0.03)


@pytest.fixture
def bereft(trained: Path, tmp_path: Path) -> Path:
    """A folder with `paints`, whose training images are gone."""
    shutil.copytree(trained / "paints", tmp_path / "paints")
    file = tmp_path / "paints" / "run.json"
    info = json.loads(file.read_text())
    recipe, before = tmp_path / "paints" / "recipe.toml", info["data"]["place"]
    info["data"]["place"] = str(tmp_path / "gone")
    file.write_text(json.dumps(info))
    assert before in recipe.read_text()
    recipe.write_text(recipe.read_text().replace(before, str(tmp_path / "gone")))
    return tmp_path


def test_principal_components_without_the_training_images(bereft: Path) -> None:
    with TestClient(application(Folder(bereft), TOKEN, "cpu"), "http://localhost:8017") as client:
        client.get("/", params={"token": TOKEN})
        refused = client.get("/latents/directions", params={"run": "paints", "kind": "principal"})
        assert refused.status_code == 400
        assert "gone" in refused.json()["error"] and "\n" not in refused.json()["error"]
        assert client.get("/latents/directions", params={"run": "paints"}).status_code == 200
        client.headers["origin"] = "http://localhost:8017"
        (z,) = client.get("/latents/seeds", params={"run": "paints", "seed": 0}).json()["z"]
        assert client.post("/latents/nearest", json={"run": "paints", "z": z}).status_code == 400


def test_the_nearest_training_images(client: TestClient) -> None:
    (z,) = client.get("/latents/seeds", params={"run": "digits", "seed": 0}).json()["z"]
    near = client.post("/latents/nearest", json={"run": "digits", "z": z, "label": 0}).json()["images"]
    assert len(near) == 4
    assert [one["distance"] for one in near] == sorted(one["distance"] for one in near)
    assert {"number", "label", "mirrored", "quotient"} < near[0].keys()
    assert near[0]["picture"].startswith("data:image/png;base64,")


def image_file(width: int = 40, height: int = 30, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def test_an_own_image_is_encoded_where_there_is_an_encoder(client: TestClient, live: WebSocketTestSession) -> None:
    answer = client.post("/latents/image", params={"run": "paints"}, content=image_file()).json()
    assert 0 < answer["difference"] < 1
    _, drawn = picture(live, "paint", run="paints", z=answer["z"])
    assert drawn.shape[0] == 16 or drawn.shape[0] == 26
    assert client.post("/latents/image", params={"run": "digits"}, content=image_file(kind="JPEG")).json()["z"] is None


def test_an_own_image_is_projected(client: TestClient, live: WebSocketTestSession) -> None:
    key = client.post("/latents/image", params={"run": "digits"}, content=image_file()).json()["image"]
    live.send_json({"op": "latents.project", "run": "digits", "image": key, "steps": 6})
    while (news := live.receive_json())["step"] < 6:
        assert news["type"] == "latents.projected" and news["image"] == key
    assert (news["steps"], news["label"] in (0, 1, 2), 0 < news["difference"] < 1) == (6, True, True)
    _, drawn = picture(live, "paint", run="digits", z=news["z"], label=news["label"])
    assert drawn.shape[:2] == (16, 16)

    live.send_json({"op": "latents.project", "run": "digits", "image": key, "steps": 2_000})
    assert live.receive_json()["steps"] == 2_000
    live.send_json({"op": "latents.cancel"})
    live.send_json({"op": "latents.project", "run": "digits", "image": "gone", "steps": 2})
    while "error" not in (news := live.receive_json()):
        assert news["step"] < 2_000
    assert "choose it again" in news["error"]


def test_files_that_are_no_images(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def post(content: bytes) -> str:
        answer = client.post("/latents/image", params={"run": "digits"}, content=content)
        assert answer.status_code == 400
        return str(answer.json()["error"])

    assert "not an image" in post(b"")
    assert "not an image" in post(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert "cannot read" in post(image_file()[:200])
    monkeypatch.setattr(own_images, "MOST_PIXELS", 1_000)
    assert "too large" in post(image_file())
    monkeypatch.setattr(own_images, "MOST_FILE", 1_000)
    assert "may have" in post(image_file())


# -- the tab ------------------------------------------------------------------------------------------------------


def open_tab(page: Page, served: str, state: str) -> None:
    page.goto(served)
    page.goto(re.sub(r"\?.*", f"#latents?{state}", served))
    expect(page.locator(".pictures:not([aria-busy])")).to_be_visible()
    expect(page.locator("#latents-where")).not_to_be_empty()


def content(page: Page, canvas: str) -> str:
    """The pixels of a canvas, as text."""
    return str(page.evaluate("query => document.querySelector(query).toDataURL()", canvas))


def wait_for(page: Page, condition: str, *values: str) -> None:
    """Until a JavaScript condition of `values` holds (the page forbids `wait_for_function`, which needs eval)."""
    again = f"const look = () => ({condition})(...values) ? done() : setTimeout(look, 20)"
    page.evaluate(f"values => new Promise(done => {{ {again}; look(); }})", list(values))


def until(page: Page, canvas: str, pixels: str) -> None:
    """Wait until a canvas shows these pixels."""
    wait_for(page, "(query, pixels) => document.querySelector(query).toDataURL() === pixels", canvas, pixels)


def until_other(page: Page, canvas: str, before: str) -> str:
    """The pixels of a canvas once they are others than `before`."""
    wait_for(page, "(query, before) => document.querySelector(query).toDataURL() !== before", canvas, before)
    return content(page, canvas)


@browser_test
def test_a_walk_by_pointer_and_keys(page: Page, served: str, screenshot: Callable[[str], None]) -> None:
    open_tab(page, served, "run=digits")
    picture, where = ".plane canvas", page.locator("#latents-where")
    blank = page.evaluate("document.createElement('canvas').toDataURL()")
    start = until_other(page, picture, blank)
    page.get_by_role("button", name="seed 7, down").click()
    expect(where).to_have_text(re.compile("seed 7, down: 0.00"))
    sample = until_other(page, picture, start)

    box = page.locator(".plane").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.3 * box["height"])
    expect(where).to_have_text(re.compile(r"1\.8\d along the first direction, -1\.2\d along the second"))
    looked = until_other(page, picture, sample)
    page.mouse.move(5, 5)
    expect(where).to_have_text(re.compile("seed 7, down: 0.00"))
    assert until_other(page, picture, looked) == sample
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.move(5, 5)
    expect(where).to_have_text(re.compile(r"1\.8\d along"))
    screenshot("latents-walk")

    page.locator(".plane").focus()
    page.keyboard.press("Home")
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp"):
        page.keyboard.press(key)
    expect(where).to_have_text(re.compile(r"0\.20 along the first direction, -0\.50 along the second"))
    expect(page).to_have_url(re.compile("fp20n50"))
    walked = content(page, picture)
    page.reload()
    expect(where).to_have_text(re.compile(r"seed 7, down: 0\.20 along the first direction, -0\.50"))
    until(page, picture, walked)
    page.get_by_role("button", name="Reset").click()
    expect(where).to_have_text(re.compile("0.00 along the first direction, 0.00"))


@browser_test
def test_samples_by_keys_and_the_address(page: Page, served: str) -> None:
    open_tab(page, served, "run=digits&seed=36")
    page.get_by_role("button", name="seed 36, across").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="seed 43, down")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#latents-where")).to_have_text(re.compile("seed 43, down"))
    page.get_by_role("button", name="More").click()
    expect(page.get_by_label("First seed")).to_have_value("72")
    page.get_by_label("Class").select_option("slanted")
    expect(page.get_by_role("button", name="seed 72, slanted")).to_be_visible()
    assert "class=2" in page.url and "seed=72" in page.url
    page.go_back()
    expect(page.get_by_role("button", name="seed 73, down")).to_be_visible()


@browser_test
def test_pins_and_a_morph(page: Page, served: str, screenshot: Callable[[str], None]) -> None:
    open_tab(page, served, "run=paints")
    blank = page.evaluate("document.createElement('canvas').toDataURL()")
    for seed in (1, 2, 3):
        page.get_by_role("button", name=f"seed {seed}", exact=True).click()
        expect(page.locator("#latents-where")).to_have_text(re.compile(f"seed {seed}:"))
        page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.locator(".pins li")).to_have_count(3)
    assert "pins=1.100..f_2.100..f_3.100..f" in page.url
    until_other(page, ".plane canvas", blank)
    slider = page.get_by_label("Place along the morph")
    expect(slider).to_have_attribute("max", "120")
    before = content(page, ".plane canvas")
    slider.fill("30")
    between = until_other(page, ".plane canvas", before)
    page.get_by_role("button", name="Play").click()
    until_other(page, ".plane canvas", between)
    page.get_by_role("button", name="Pause").click()
    screenshot("latents-morph")
    page.reload()
    expect(page.locator(".pins li")).to_have_count(3)
    page.get_by_role("button", name="Remove pin 2").click()
    expect(page.locator(".pins li")).to_have_count(2)
    assert "pins=1.100..f_3.100..f" in page.url


@browser_test
def test_the_steps_are_shown(page: Page, served: str, screenshot: Callable[[str], None]) -> None:
    open_tab(page, served, "run=moves&step=1")
    steps = page.get_by_role("region", name="Steps")
    expect(steps.get_by_role("status").last).to_have_text(re.compile("^Discriminator 1: log-odds of being real"))
    assert steps.locator("circle").count() == 6
    first = content(page, ".steps .pair canvas")
    steps.get_by_label("Step").first.fill("3")
    expect(steps.get_by_role("status").last).to_have_text(re.compile("^Discriminator 3"))
    assert content(page, ".steps .pair canvas") != first
    steps.get_by_label("Show the change").select_option("by its size")
    screenshot("latents-steps")


@browser_test
def test_neighbours_beside_a_sample(page: Page, served: str, screenshot: Callable[[str], None]) -> None:
    open_tab(page, served, "run=digits")
    page.get_by_role("button", name="Show the nearest training images").click()
    expect(page.locator(".near figure")).to_have_count(4)
    expect(page.locator(".near figure").first).to_contain_text("differs by")
    screenshot("latents-neighbours")


@browser_test
@pytest.mark.parametrize("run", ["paints", "digits"])
def test_an_own_image_becomes_a_walk(
    page: Page, served: str, screenshot: Callable[[str], None], pictures: Path, run: str
) -> None:
    open_tab(page, served, f"run={run}")
    page.get_by_label("Choose an image file").set_input_files(pictures / "down" / "00.png")
    own = page.locator(".own")
    expect(own).to_contain_text("differs by")
    expect(page.locator("#latents-where")).to_have_text(re.compile("your image"))
    expect(page).to_have_url(re.compile("walk=z"))
    page.get_by_role("button", name="Search for a nearer one").click()
    expect(own).to_contain_text("Found: the picture differs by")
    screenshot(f"latents-own-{run}")
    page.reload()
    expect(page.locator("#latents-where")).to_have_text(re.compile("your image"))


@browser_test
def test_an_image_is_dropped(page: Page, served: str, pictures: Path) -> None:
    open_tab(page, served, "run=paints")
    drop = page.get_by_role("region", name="Your own image")
    box = drop.bounding_box()
    assert box is not None
    place = {"x": box["x"] + 20, "y": box["y"] + 20}
    data = {"items": [], "files": [str(pictures / "down" / "00.png")], "dragOperationsMask": 1}
    drag = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver"):
        drag.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})
    expect(drop).to_have_class(re.compile("over"))
    drag.send("Input.dispatchDragEvent", {"type": "drop", "data": data, **place})
    expect(drop).not_to_have_class(re.compile("over"))
    expect(drop).to_contain_text("Encoded: the picture differs by")
    expect(page).to_have_url(re.compile("walk=z"))


@browser_test
def test_a_file_dropped_elsewhere_does_not_leave_the_page(page: Page, served: str, pictures: Path) -> None:
    open_tab(page, served, "run=paints")
    data = {"items": [], "files": [str(pictures / "down" / "00.png")], "dragOperationsMask": 1}
    drag = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        drag.send("Input.dispatchDragEvent", {"type": kind, "data": data, "x": 640, "y": 20})
    expect(page.get_by_role("region", name="Your own image")).to_contain_text("Encoded")


@browser_test
def test_an_image_is_pasted(page: Page, served: str) -> None:
    open_tab(page, served, "run=paints")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("""async () => {
        const canvas = new OffscreenCanvas(40, 30);
        canvas.getContext("2d").fillRect(9, 9, 20, 9);
        await navigator.clipboard.write([new ClipboardItem({ "image/png": await canvas.convertToBlob() })]);
    }""")
    page.keyboard.press("Control+v")
    own = page.get_by_role("region", name="Your own image")
    expect(own).to_contain_text("Encoded: the picture differs by")
    walked = page.url
    page.evaluate("navigator.clipboard.writeText('words')")
    page.keyboard.press("Control+v")  # words are no image: nothing happens
    page.get_by_label("First seed").focus()
    assert page.url == walked


@browser_test
def test_a_walk_by_finger(phone: Page, served: str, screenshot: Callable[[str], None]) -> None:
    open_tab(phone, served, "run=digits")
    where, plane = phone.locator("#latents-where"), phone.locator(".plane")
    phone.get_by_role("button", name="seed 7, down").tap()
    expect(where).to_have_text(re.compile("seed 7, down: 0.00"))
    expect(plane).to_be_in_viewport(ratio=0.9)  # it was below the samples
    wait_for(phone, "query => document.querySelector(query).getBoundingClientRect().bottom <= innerHeight", ".plane")
    box = plane.bounding_box()
    assert box is not None
    touch = phone.context.new_cdp_session(phone)

    def finger(kind: str, *place: float) -> None:
        points = [{"x": box["x"] + place[0] * box["width"], "y": box["y"] + place[1] * box["height"]}] if place else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    scrolled = phone.evaluate("scrollY")
    finger("touchStart", 0.5, 0.5)
    for step in range(1, 6):
        finger("touchMove", 0.5 + 0.06 * step, 0.5 - 0.04 * step)
    expect(where).to_have_text(re.compile(r"1\.[78]\d along the first direction, -1\.[12]\d along the second"))
    finger("touchEnd")
    expect(where).to_have_text(re.compile(r"1\.[78]\d along the first direction, -1\.[12]\d along the second"))
    expect(phone).to_have_url(re.compile(r"walk=7\.100\.1\.fp1[78]\dn1[12]\d"))
    assert phone.evaluate("scrollY") == scrolled  # the page did not move along


@browser_test
def test_directions_of_training_images_that_are_gone(page: Page, serve: Callable[..., str], bereft: Path) -> None:
    open_tab(page, serve(bereft), "run=paints")
    kinds = page.locator(".walk select")
    kinds.select_option("how the training images differ")
    expect(page.locator("#messages .error")).to_contain_text("gone")
    expect(kinds).to_have_value("f")  # and the walk goes on
    page.locator(".plane").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#latents-where")).to_have_text(re.compile("0.10 along the first"))


@browser_test
def test_a_search_is_cancelled(page: Page, served: str, pictures: Path) -> None:
    open_tab(page, served, "run=moves")
    page.get_by_label("Choose an image file").set_input_files(pictures / "down" / "00.png")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".own")).to_contain_text("Cancelled")


@browser_test
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_reads_in_the_dark(page: Page, served: str, screenshot: Callable[[str], None], width: int) -> None:
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": width, "height": 800})
    open_tab(page, served, "run=moves&pins=1.100..f_2.100..f")
    expect(page.locator(".steps circle").first).to_be_visible()
    page.get_by_role("button", name="Show the nearest training images").click()
    expect(page.locator(".near figure")).to_have_count(4)
    screenshot(f"latents-dark-{width}-full")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@browser_test
def test_a_run_that_is_gone(page: Page, served: str) -> None:
    open_tab(page, served, "run=gone&walk=3.100..fp20&pins=1.100..f")
    expect(page).to_have_url(re.compile("#latents[?]run=digits"))
    expect(page.locator(".pins li")).to_have_count(0)


@browser_test
def test_a_folder_without_runs(page: Page, serve: Callable[..., str], tmp_path: Path) -> None:
    page.goto(serve(tmp_path))
    page.goto(f"{page.url}#latents")
    expect(page.locator(".empty")).to_contain_text("Nothing to explore yet")
