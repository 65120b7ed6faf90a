"""The tab Paint: what the server paints and saves, and the tab as a person uses it."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from starlette.testclient import TestClient, WebSocketTestSession

from ganvas.core.errors import UserError
from ganvas.explore.folder import Folder
from ganvas.explore.jobs import MOST, Job, Jobs
from ganvas.explore.server import application
from ganvas.explore.subjects import MOST_VARIATIONS
from ganvas.networks.view import View
from ganvas.painting import video_files
from ganvas.painting.morph import load_morph
from ganvas.painting.paint import Painting, Progress, load_painting
from ganvas.painting.painter import random_network
from ganvas.painting.subjects import Subject, random_latent
from ganvas.painting.variations import MOST as MOST_OF_A_NETWORK
from tests.cli.test_cli import ganvas

LIVE = "ws://localhost/live"
SMALL = {"random": "tanh:2x8", "weights": 3, "std": 0.6, "variations": [[5, 0.25]]}


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A folder of its own with the pixel network."""
    shutil.copytree(trained / "paints", tmp_path / "paints")
    return tmp_path


@pytest.fixture
def client(trained: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A server of the runs, whose paintings go elsewhere."""
    app = application(Folder(trained), "secret", "cpu")
    app.app.state.jobs.place = lambda: tmp_path / "paintings"  # type: ignore[attr-defined]
    with TestClient(app, "http://localhost", headers={"origin": "http://localhost"}) as client:
        client.get("/?token=secret")
        yield client


def answer(socket: WebSocketTestSession, op: str, **fields: Any) -> tuple[dict[str, Any], np.ndarray | None]:
    """What the server answers to a message, and the pixels of an image."""
    socket.send_text(json.dumps({"op": op, "id": 7, **fields}))
    while True:
        message = socket.receive()
        if message.get("text") is not None:
            found = json.loads(message["text"])
            if found.get("id") == 7:
                return found, None
        else:
            data = message["bytes"]
            length = int.from_bytes(data[:4], "little")
            facts = json.loads(data[4 : 4 + length])
            shape = facts["height"], facts["width"], facts["channels"]
            return facts, np.frombuffer(data[4 + length :], np.uint8).reshape(shape)


def finished(client: TestClient, state: str = "finished") -> dict[str, Any]:
    """The facts of the newest file, once it is done."""
    while True:
        job: dict[str, Any] = client.app.app.state.jobs.facts()[-1]  # type: ignore[attr-defined]
        if job["state"] not in ("waiting", "painting"):
            assert job["state"] == state, job
            return job
        time.sleep(0.01)


def test_a_picture_is_the_one_of_paint(client: TestClient) -> None:
    painter = random_network("tanh:2x8", 3, 0.6, variations=[(5, 0.25)], device="cpu")
    view = View(20, 30, center=(1.0, -0.5), zoom=2.0, supersample=2)
    right = Painting([Subject(painter, random_latent(painter, 4), "")], view, "viridis")
    with client.websocket_connect(LIVE) as socket:
        asked = {**SMALL, "seed": 4, "width": 30, "height": 20, "x": 1.0, "y": -0.5, "zoom": 2.0, "supersample": 2}
        facts, pixels = answer(socket, "paint", **asked, palette="viridis", slot="s")
        assert (facts["slot"], facts["zoom"]) == ("s", 2.0)
        assert (pixels == np.concatenate(list(right.bands()))).all()
        found, _ = answer(socket, "describe", **SMALL, seed=4)
        assert found["latent"] == random_latent(painter, 4).tolist()
        first = np.array(found["directions"][0])
        change = painter.network.latent.weight.numpy() @ first
        assert np.linalg.norm(change) == pytest.approx(np.linalg.norm(painter.network.latent.weight.numpy(), 2))
        facts, again = answer(socket, "paint", **asked | {"latent": found["latent"]}, palette="viridis")
        assert again is not None and (again == pixels).all()


def test_a_run_paints_and_others_are_not_offered(client: TestClient) -> None:
    assert [run["name"] for run in client.get("/paint/choices").json()["runs"]] == ["paints"]
    with client.websocket_connect(LIVE) as socket:
        facts, _ = answer(socket, "describe", run="paints")
        assert facts["nimg"] == 60 and facts["channels"] == 1
        _, pixels = answer(socket, "paint", run="paints", variations=[[1, 0.5]], width=9, height=8)
        assert pixels is not None and pixels.shape == (8, 9, 1)
        for run in ("digits", "../paints", "/etc"):
            found, _ = answer(socket, "paint", run=run)
            assert found["type"] == "error" and ("network.name=cppn" in found["error"] or "no run" in found["error"])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"random": "tanh:400x400"}, "too many to be painted live"),
        ({"random": "tanh:9999x9999"}, "is too large"),
        ({"random": "relu:1x1"}, "cannot read the network"),
        ({"random": "tanh:2x8", "latent": [1.0] * 31}, "latents of 32 numbers, not 31"),
        ({"random": "tanh:2x8", "latent": [1.0] * 100_001}, "latent"),
        ({"random": "tanh:2x8", "width": 8000, "height": 8000}, "at most 4,194,304 samples"),
        ({"random": "tanh:2x8", "width": 10**6, "height": 1}, "width"),
        ({"random": "tanh:2x8", "supersample": 33}, "supersample"),
        ({"random": "tanh:2x8", "zoom": 1e18, "x": 1.0}, "beyond float64"),
        ({"random": "tanh:2x8", "palette": "<b>"}, "there is no palette '<b>'"),
        ({"random": "tanh:2x8", "variations": [[1, 0.1]] * 65}, "variations"),
        ({"random": "tanh:2x8", "variations": [[1, 0.9], [2, 0.9]]}, "a sum of at most 1"),
        ({"random": "tanh:2x8", "run": "paints"}, "choose a run, or a network with random weights"),
        ({}, "choose a run, or a network with random weights"),
        ({"random": "tanh:2x8", "more": 1}, "unknown setting"),
    ],
)
def test_what_is_not_painted(client: TestClient, fields: dict[str, Any], said: str) -> None:
    with client.websocket_connect(LIVE) as socket:
        found, _ = answer(socket, "paint", **fields)
        assert found["type"] == "error" and said in found["error"] and "\n" not in found["error"]
        assert answer(socket, "paint", random="tanh:1x4", width=4, height=4)[1] is not None  # it goes on


@pytest.mark.parametrize("ending", [".png", ".tif", ".webp", ".dzi"])
def test_a_saved_picture_is_painted_again_from_its_file(client: TestClient, tmp_path: Path, ending: str) -> None:
    fields = {**SMALL, "seed": 4, "width": 40, "height": 30, "zoom": 2.0, "palette": "chalk", "ending": ending}
    job = client.post("/paint/save", json=fields).json()
    file = tmp_path / "paintings" / finished(client)["name"]
    assert load_painting(file, device="cpu").view == View(30, 40, zoom=2.0)
    out = tmp_path / f"again{ending}"
    assert ganvas("paint", "--like", file, "--device", "cpu", "--out", out) == 0
    assert out.read_bytes() == file.read_bytes()
    given = client.get(f"/paint/jobs/{job['id']}/file")
    assert given.content == file.read_bytes() and "attachment" in given.headers["content-disposition"]


def test_a_film_through_keys_is_made_again_from_its_file(client: TestClient, tmp_path: Path) -> None:
    latents = [[0.1 * i] * 32 for i in range(3)]
    keys = [{"latent": z, "x": 0.5 * i, "y": 0.0, "zoom": 2.0**i} for i, z in enumerate(latents)]
    film = {**SMALL, "keys": keys, "width": 24, "height": 20, "frames": 5, "fps": 25, "ending": ".webp"}
    client.post("/paint/film", json=film).raise_for_status()
    file = tmp_path / "paintings" / finished(client)["name"]
    assert json.loads(video_files.read_recipe(file))["morph"]["places"][2] == {"center": [1.0, 0.0], "zoom": 4.0}
    load_morph(file, device="cpu").save(tmp_path / "again.webp")
    assert (tmp_path / "again.webp").read_bytes() == file.read_bytes()
    for change, said in (
        ({"keys": [{**keys[0], "latent": [1.0]}, keys[1]]}, "belongs to another network"),
        ({"frames": 2}, "too few frames"),
        ({"width": 8192, "height": 8192, "frames": 2000}, "too large"),
        ({"keys": [{**keys[0], "zoom": 1e17}, keys[1]]}, "beyond float64"),
        ({"palette": "inkk"}, "did you mean 'ink'"),
        ({"ending": "/../x.gif"}, "ending"),
    ):
        refused = client.post("/paint/film", json={**film, **change})
        assert refused.status_code == 400 and said in refused.json()["error"]


def test_what_is_not_saved(client: TestClient, tmp_path: Path) -> None:
    for change, said in (
        ({"width": 100_000, "height": 100_000}, "are too many: at most 4,294,967,296 samples"),
        ({"width": 200_001, "height": 1}, "width"),
        ({"width": 17_000, "height": 8, "ending": ".webp"}, "at most 16383 pixels"),
        ({"width": 9_000, "height": 9_000, "ending": ".webp"}, "does not fit into memory"),
        ({"bits": 16, "ending": ".dzi"}, "8 bits"),
        ({"ending": ".jpg"}, "ending"),
        ({"zoom": 1e17, "x": 1.0}, "beyond float64"),
    ):
        refused = client.post("/paint/save", json={**SMALL, "width": 8, "height": 8, **change})
        assert refused.status_code == 400 and said in refused.json()["error"]
    assert not (tmp_path / "paintings").exists()
    for path in ("../../run.json", "nothing", "%2e%2e"):
        assert client.get(f"/paint/jobs/{path}/file").status_code in (400, 404)


def test_a_cancelled_picture_leaves_no_file(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganvas.painting.painter.BAND", 50_000)  # so that it looks up often
    job = client.post("/paint/save", json={**SMALL, "width": 20_000, "height": 20_000}).json()
    while client.app.app.state.jobs.facts()[-1]["done"] == 0:  # type: ignore[attr-defined]
        time.sleep(0.01)
    client.post(f"/paint/jobs/{job['id']}/cancel").raise_for_status()
    assert finished(client, "cancelled")["error"] == ""
    assert not list((tmp_path / "paintings").iterdir())
    assert client.get(f"/paint/jobs/{job['id']}/file").status_code == 400


def test_jobs_wait_for_each_other_and_are_few(tmp_path: Path) -> None:
    jobs = Jobs(Folder(tmp_path))
    going: list[Path] = []

    def paint(file: Path, progress: Progress) -> None:
        going.append(file)
        while True:
            progress(1, 2)
            time.sleep(0.001)

    started = [jobs.start("../a b", ".png", paint) for _ in range(MOST)]
    with pytest.raises(UserError, match="let one finish, or cancel one"):
        jobs.start("b", ".png", paint)
    assert len({job.file for job in started}) == MOST
    assert all(job.file.parent == tmp_path / "paintings" and job.file.name.startswith("a-b-") for job in started)
    jobs.cancel(started[1].id)
    assert started[1].state == "cancelled" and len(going) <= 1
    jobs.start("b", ".png", paint)
    jobs.close()


def test_failures_are_one_line(tmp_path: Path) -> None:
    jobs = Jobs(Folder(tmp_path))

    def wait(job: Job) -> str:
        while job.open:
            time.sleep(0.001)
        return f"{job.state}: {job.error}"

    def fail(error: Exception) -> Callable[[Path, Progress], None]:
        def paint(file: Path, progress: Progress) -> None:
            raise error

        return paint

    assert wait(jobs.start("a", ".png", fail(UserError("choose another")))) == "failed: choose another"
    assert "No space left on device" in wait(jobs.start("a", ".png", fail(OSError(28, "No space left on device"))))
    assert "smaller size" in wait(jobs.start("a", ".png", fail(MemoryError())))
    jobs.close()


def test_nothing_is_painted_into_a_run(tmp_path: Path) -> None:
    run = tmp_path / "paintings"
    run.mkdir()
    (run / "run.json").touch()
    assert Jobs(Folder(tmp_path)).place() == tmp_path / "paintings-2"
    assert Jobs(Folder(run)).place() == tmp_path / "paintings-2"


def test_limits_agree() -> None:
    assert MOST_VARIATIONS == MOST_OF_A_NETWORK


# -- as a person uses it --------------------------------------------------------------------------------------------

QUICK = "#paint?random=tanh:2x8&std=0.6&weights=3&seed=3"


def open_tab(page: Page, address: str, tab: str = QUICK) -> None:
    page.goto(address)
    page.goto(address.split("?")[0] + tab)


def sees(page: Page, text: str) -> None:
    expect(page.locator(".where")).to_have_text(text)


def shown(page: Page) -> str:
    """The pixels of the picture, once it is as fine as it gets."""
    expect(page.locator("canvas.view[data-settled]")).to_be_visible()
    found: str = page.evaluate("() => document.querySelector('canvas.view').toDataURL()")
    return found


@pytest.mark.browser
def test_moving_by_pointer_wheel_and_keys(page: Page, served: str, screenshot: Callable[[str], None]) -> None:
    open_tab(page, served)
    sees(page, "1× at 0, 0")
    first = shown(page)
    canvas = page.locator("canvas.view")
    box = canvas.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] - 100, middle[1] + 50, steps=5)
    page.mouse.up()
    step = 16 / (min(box["width"], box["height"]) - 1)
    expect(page.locator(".where")).to_contain_text(f"at {100 * step:.4g}, {-50 * step:.4g}"[:7])
    assert shown(page) != first
    page.keyboard.press("0")
    sees(page, "1× at 0, 0")
    assert shown(page) == first
    page.mouse.wheel(0, -500)
    expect(page.locator(".where")).to_contain_text("1.822×")
    page.keyboard.press("0")
    canvas.dblclick()
    expect(page.locator(".where")).to_contain_text("2× at")
    page.keyboard.press("0")
    for key, text in (("+", "1.25× at 0, 0"), ("-", "1× at 0, 0"), ("ArrowRight", "1× at 1.6"), ("ArrowDown", ", 1.6")):
        page.keyboard.press(key)
        expect(page.locator(".where")).to_contain_text(text)
    screenshot("paint-moved")


@pytest.mark.browser
def test_the_address_brings_back_the_same_picture(page: Page, served: str) -> None:
    open_tab(page, served, f"{QUICK}&x=1.5&y=-0.5&zoom=3&palette=viridis")
    sees(page, "3× at 1.5, -0.5")
    page.get_by_label("Direction 1").fill("3")
    picture, address = shown(page), page.url
    assert "z=" in address and "seed" not in address
    page.goto("about:blank")
    page.goto(address)
    sees(page, "3× at 1.5, -0.5")
    assert shown(page) == picture
    page.get_by_role("button", name="Another one").click()
    expect(page.get_by_label("Seed")).not_to_have_value("")
    assert shown(page) != picture
    page.go_back()
    expect(page.get_by_label("Seed")).to_have_value("")
    assert shown(page) == picture


@pytest.mark.browser
def test_zooming_ends_where_float64_does(page: Page, served: str) -> None:
    open_tab(page, served, f"{QUICK}&x=1.5&zoom=1e11")
    sees(page, "1e+11× at 1.5, 0")
    shown(page)
    for _ in range(60):
        page.keyboard.press("+")
    expect(page.locator(".note")).to_contain_text("beyond float64")
    expect(page.locator(".where")).not_to_contain_text("6.5e+16")  # 1.25^60


@pytest.mark.browser
def test_a_picture_is_saved_and_downloaded(
    page: Page, serve: Callable[..., str], folder: Path, screenshot: Callable[[str], None], tmp_path: Path
) -> None:
    open_tab(page, serve(folder), "#paint?run=paints&seed=2&zoom=2")
    sees(page, "2× at 0, 0")
    save = page.locator("section", has=page.get_by_role("heading", name="Save", exact=True))
    save.get_by_label("Size").select_option("custom")
    save.get_by_label("Pixels").fill("60x40")
    save.get_by_label("Format").select_option(".tif")
    save.get_by_label("Bits").select_option("16")
    save.get_by_role("button", name="Save picture").click()
    with page.expect_download() as got:
        save.get_by_role("link").click()
    file = folder / "paintings" / got.value.suggested_filename
    assert got.value.path().read_bytes() == file.read_bytes()
    again = load_painting(file, device="cpu")
    assert (again.bits, again.view) == (16, View(40, 60, again.view.scale, zoom=2.0, supersample=2))
    assert again.subjects[0].source == "seed 2"
    screenshot("paint-saved")


@pytest.mark.browser
def test_a_timeline_is_played_and_filmed(
    page: Page, serve: Callable[..., str], folder: Path, screenshot: Callable[[str], None]
) -> None:
    open_tab(page, serve(folder))
    sees(page, "1× at 0, 0")
    shown(page)
    expect(page.get_by_role("button", name="Play")).to_be_disabled()
    page.keyboard.press("a")
    for _ in range(3):
        page.keyboard.press("+")
    sees(page, "1.953× at 0, 0")
    page.keyboard.press("n")
    expect(page.get_by_label("Seed")).not_to_have_value("3")
    shown(page)
    page.keyboard.press("a")
    keys = page.get_by_role("list", name="Key pictures").get_by_role("listitem")
    expect(keys).to_have_count(2)
    page.get_by_role("button", name="Move key 2 to the left").click()
    page.get_by_role("button", name="Show key 2").click()
    sees(page, "1× at 0, 0")
    page.get_by_label("Seconds a leg").fill("0.5")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    sees(page, "1× at 0, 0")  # where the last key is
    page.get_by_text("Save as a film").click()
    film = page.locator(".timeline form")
    film.get_by_label("Format").select_option(".gif")
    film.get_by_label("Speed").select_option("15")
    screenshot("paint-timeline")
    film.get_by_role("button", name="Save film").click()
    link = page.get_by_role("list", name="Files").get_by_role("link")
    expect(link).to_be_visible()
    file = folder / str(link.text_content())
    with Image.open(file) as frames:
        assert getattr(frames, "n_frames", 1) == 8
    morph = load_morph(file, device="cpu")
    assert morph.places is not None and [round(place.zoom, 3) for place in morph.places] == [1.953, 1.0]
    page.reload()
    expect(keys).to_have_count(2)
    page.get_by_role("button", name="Remove key 1").click()
    expect(keys).to_have_count(1)


@pytest.mark.browser
def test_fingers_pan_and_zoom(phone: Page, served: str) -> None:
    open_tab(phone, served)
    sees(phone, "1× at 0, 0")
    first = shown(phone)
    box = phone.locator("canvas.view").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = phone.context.new_cdp_session(phone)

    def fingers(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": middle[0] + x, "y": middle[1] + y, "id": i} for i, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", (-30, 0), (30, 0))
    for apart in (40, 50, 60):
        fingers("touchMove", (-apart, 0), (apart, 0))
    fingers("touchEnd")
    expect(phone.locator(".where")).to_contain_text("2× at")
    assert phone.evaluate("visualViewport.scale") == 1  # the picture was zoomed, not the page
    zoomed = shown(phone)
    assert zoomed != first
    scrolled = phone.evaluate("scrollY")
    fingers("touchStart", (0, 0))
    for far in (20, 40, 60):
        fingers("touchMove", (far, -far))
    fingers("touchEnd")
    step = 16 / 2 / (min(box["width"], box["height"]) - 1)
    expect(phone.locator(".where")).not_to_contain_text(re.compile(r" 0,| 0$"))
    there = [float(word) for word in str(phone.locator(".where").text_content()).split(" at ")[1].split(", ")]
    assert there == pytest.approx([-60 * step, 60 * step], abs=2 * step)
    assert shown(phone) != zoomed and phone.evaluate("scrollY") == scrolled
    phone.locator("canvas.view").tap()
    phone.get_by_role("button", name="Back to the whole picture").tap()
    sees(phone, "1× at 0, 0")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
