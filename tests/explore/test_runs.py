"""The tab Runs: what the server sends while runs grow, and the page as a person uses it."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect
from starlette.testclient import TestClient, WebSocketTestSession

from ganvas.core.images import save_png
from ganvas.explore import runs as module
from ganvas.explore.folder import Folder
from ganvas.explore.server import application
from ganvas.runs.run import Run
from tests.cli.test_cli import TINY
from tests.evaluated import evaluate, make_run
from tests.processes import wait_for

TOKEN = "of the tests"
OWN = {"Origin": "http://localhost"}


# -- the server -------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of a server of `tmp_path`, which looks at the files all the time."""
    monkeypatch.setattr(module, "POLL", 0.02)
    monkeypatch.setattr("ganvas.explore.growth.FRESH", -1.0)
    monkeypatch.setattr("ganvas.explore.folder.FRESH", -1.0)
    with TestClient(application(Folder(tmp_path), TOKEN, "cpu"), "http://localhost", headers=OWN) as client:
        client.get("/", params={"token": TOKEN})
        yield client


def next_of(socket: WebSocketTestSession, *kinds: str) -> dict[str, Any]:
    """The next message of one of these kinds."""
    while True:
        message: dict[str, Any] = json.loads(socket.receive_text())
        assert message["type"] != "error", message
        if message["type"] in kinds:
            return message


def test_a_page_hears_of_runs_as_they_come_grow_and_go(client: TestClient, tmp_path: Path) -> None:
    first = make_run(tmp_path / "first")
    first.log.append({"nimg": 10, "d_loss": 1.0})
    with client.websocket_connect("ws://localhost/live") as socket:
        socket.send_json({"op": "watch", "runs": ["first", "absent"]})
        said = next_of(socket, "runs")
        assert [run["name"] for run in said["changed"]] == ["first"] and said["all"]
        assert next_of(socket, "records")["columns"] == {"nimg": [10], "d_loss": [1.0]}

        first.log.append({"nimg": 20, "d_loss": 0.5, "score": 3.0})
        said = next_of(socket, "records")
        assert (said["run"], said["start"]) == ("first", 1)
        assert said["columns"] == {"nimg": [20], "d_loss": [0.5], "score": [3.0]}

        make_run(tmp_path / "second")
        said = next_of(socket, "runs")
        while [run["name"] for run in said["changed"]] != ["second"]:
            said = next_of(socket, "runs")
        assert not said["all"]

        first.log.rewind(10)
        said = next_of(socket, "records")
        assert (said["start"], said["columns"]["nimg"]) == (0, [10])

        first.samples.mkdir()
        (first.samples / "000000010.png").touch()
        assert next_of(socket, "facts")["sheets"] == [10]

        shutil.rmtree(tmp_path / "first")
        said = next_of(socket, "runs")
        while not said["gone"]:
            said = next_of(socket, "runs")
        assert said["gone"] == ["first"]


def test_many_records_come_in_parts(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RECORDS", 2)
    run = make_run(tmp_path / "run")
    run.log.replace({"nimg": nimg} for nimg in range(5))
    with client.websocket_connect("ws://localhost/live") as socket:
        socket.send_json({"op": "watch", "runs": ["run"]})
        parts = [next_of(socket, "records") for _ in range(3)]
    assert [(part["start"], part["columns"]["nimg"]) for part in parts] == [(0, [0, 1]), (2, [2, 3]), (4, [4])]


def test_a_page_that_shows_another_tab_hears_nothing_and_then_all(client: TestClient, tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    with client.websocket_connect("ws://localhost/live") as socket:
        for _ in range(2):
            socket.send_json({"op": "watch", "runs": []})
            assert next_of(socket, "runs")["all"]
            socket.send_json({"op": "watch", "on": False})


@pytest.mark.parametrize(
    "fields", [{"runs": ["x"] * 13}, {"runs": "x"}, {"runs": [1]}, {"on": "maybe"}, {"more": 1}, {"runs": ["x" * 1001]}]
)
def test_bad_messages_get_one_line(client: TestClient, fields: dict[str, Any]) -> None:
    with client.websocket_connect("ws://localhost/live") as socket:
        socket.send_json({"op": "watch", "id": 7, **fields})
        answer = json.loads(socket.receive_text())
        assert (answer["type"], answer["id"]) == ("error", 7)
        assert "\n" not in answer["error"]


def test_only_sheets_of_runs_are_served(client: TestClient, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.samples.mkdir()
    save_png(run.sheet(5), np.zeros((4, 4, 1), np.uint8))
    (tmp_path / "secret.png").write_text("secret")
    run.sheet(6).symlink_to(tmp_path / "secret.png")
    answer = client.get("/runs/sheet", params={"run": "run", "nimg": 5})
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == run.sheet(5).read_bytes()
    for asked in (
        {"run": "run", "nimg": 6},  # a link that leads out
        {"run": "run", "nimg": 7},
        {"run": "run", "nimg": -1},
        {"run": "run", "nimg": "../5"},
        {"run": "run", "nimg": "9" * 400},
        {"run": "../run", "nimg": 5},
        {"run": str(tmp_path / "run"), "nimg": 5},
        {"run": "run", "nimg": 5, "more": 1},
        {"run": "run"},
    ):
        answer = client.get("/runs/sheet", params=asked)
        assert answer.status_code == 400
        assert "secret" not in answer.text and "\n" not in answer.json()["error"]


def test_links_out_of_the_folder_tell_nothing(client: TestClient, tmp_path: Path) -> None:
    """Whoever gave us a run may have put links into it."""
    outside = tmp_path.parent / "outside"
    run = make_run(outside / "elsewhere")
    run.log.append({"nimg": 10, "d_loss": 1.0})
    secret = outside / "secret"
    secret.write_text("root:secret\n")
    save_png(outside / "000000005.png", np.zeros((4, 4, 1), np.uint8))
    inside = make_run(tmp_path / "run")
    for link, target in (
        (inside.log.file, secret),
        (inside.journal.file, secret),
        (inside.samples, outside),
        (inside.path / "checkpoints", outside),
        (tmp_path / "linked", outside / "elsewhere"),
    ):
        link.symlink_to(target)
    for name, file in (("of-info", "run.json"), ("of-recipe", "recipe.toml")):
        file_ = make_run(tmp_path / name).path / file
        file_.unlink()
        file_.symlink_to(secret)
    with client.websocket_connect("ws://localhost/live") as socket:
        socket.send_json({"op": "watch", "runs": ["run", "linked", "of-info", "of-recipe", "linked/elsewhere"]})
        heard = [socket.receive_text() for _ in range(4)]
    assert "secret" not in "".join(heard).replace('"name": "secret"', "")
    assert sorted(run["name"] for run in json.loads(heard[0])["changed"]) == ["of-info", "of-recipe", "run"]
    assert client.get("/runs/sheet", params={"run": "run", "nimg": 5}).status_code == 400
    assert client.get("/latents/run", params={"run": "linked"}).status_code == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("start", {"name": "x", "recipe": "/etc/passwd.toml"}),
        ("start", {"name": "x", "recipe": "../x.toml"}),
        ("start", {"name": "../x", "recipe": "strokes-cdcgan"}),
        ("start", {"name": "x", "recipe": "strokes-cdcgan", "changes": {"train.images": -1}}),
        ("start", {"name": "x", "recipe": "strokes-cdcgan", "changes": {"--out": "/tmp"}}),
        ("start", {"recipe": "strokes-cdcgan"}),
        ("continue", {"run": "../x"}),
        ("continue", {"run": "x", "images": -5}),
        ("continue", {"run": "x", "images": 10**30}),
        ("stop", {"run": "x"}),
        ("stop", {"run": ["x"]}),
    ],
)
def test_bad_requests_start_nothing(client: TestClient, tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    answer = client.post(f"/trainings/{path}", json=body)
    assert answer.status_code == 400
    assert "\n" not in answer.json()["error"]
    assert list(tmp_path.iterdir()) == []


def test_a_link_alone_starts_nothing(client: TestClient) -> None:
    for path in ("start", "continue", "stop", "dismiss"):
        assert client.get(f"/trainings/{path}", params={"run": "x"}).status_code == 405


def test_recipes_and_their_forms(client: TestClient) -> None:
    assert "strokes-cdcgan" in client.get("/recipes").json()
    form = client.get("/recipes/form", params={"recipe": "strokes-cdcgan", "network": "mlp"}).json()
    assert [section["title"] for section in form["sections"]] == ["Data", "Network", "Method", "Training"]
    assert any(field["key"] == "network.hidden" for field in form["sections"][1]["fields"])
    assert client.get("/recipes/form", params={"recipe": "/etc/passwd.toml"}).status_code == 400
    checked = {"recipe": "strokes-cdcgan", "changes": {"method.lr": -1}}
    assert "method.lr" in client.post("/recipes/check", json=checked).json()["error"]
    assert client.post("/recipes/check", json={"recipe": "strokes-cdcgan"}).json() == {"error": None}


# -- the page ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """A folder with the trained runs, a damaged one, one with a hostile name, and 30 others."""
    folder = tmp_path_factory.mktemp("crowd")
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    for i in range(30):
        run = make_run(folder / f"other-{i:02d}")
        run.update_info(state="finished")
        run.log.replace({"nimg": 1000 * n, "seconds": 10.0 * n, "d_loss": 1 / n, "score": 5.0 / n} for n in range(1, 9))
    make_run(folder / "broken").info_file.write_text("{")
    make_run(folder / "'\"`&,=#?%2e$(id)\n").update_info(state="stopped")
    make_run(folder / '<img src=x onerror="alert(1)">').update_info(state="failed", reason="<b>non-finite</b>")
    run = make_run(folder / f"{'a-very-long-name-' * 6}end")
    event = {"nimg": 3000, "kind": "collapse", "said": "the samples are all alike", "back_to": 2000, "seconds": 31.0}
    run.journal.file.write_text(json.dumps([{**event, "factors": {"lr": 0.5}}]))
    run.log.replace({"nimg": 1000 * n, "seconds": 10.0 * n, "d_loss": 1 / n, "g_loss": n, "kl": n} for n in range(1, 9))
    run.samples.mkdir()
    for n in range(1, 9):
        save_png(run.sheet(1000 * n), np.full((20, 30, 1), 30 * n, np.uint8))
    return folder


@pytest.fixture(scope="module")
def crowded(serve: Callable[..., str], crowd: Path) -> str:
    return serve(crowd)


def open_tab(page: Page, address: str, state: str = "") -> None:
    """Open the tab Runs in a state."""
    page.goto(address)
    page.goto(re.sub(r"\?.*", f"#runs{'?' + state if state else ''}", address))
    page.reload()
    expect(page.locator("ul.runs li").first).to_be_visible()


LONG = f"{'a-very-long-name-' * 6}end"


@pytest.mark.browser
def test_many_runs_are_filtered_selected_and_overlaid(
    page: Page, crowded: str, screenshot: Callable[[str], None]
) -> None:
    open_tab(page, crowded)
    expect(page.locator("ul.runs li")).to_have_count(37)
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_label("Filter the runs").fill("digits")
    expect(page.locator("ul.runs li")).to_have_count(1)
    page.locator("button.run").click()
    expect(page.locator(".card h2")).to_have_text("digits")
    expect(page.locator(".card .badge")).to_have_text("finished")
    expect(page.locator(".card .sheet img")).to_be_visible()
    expect(page.get_by_role("slider", name="Losses")).to_have_attribute(
        "aria-valuetext", re.compile(r"^240 images: D [\d.]+, G [\d.]+$")
    )
    page.get_by_label("Filter the runs").fill("")
    page.get_by_label("Overlay moves").check()
    expect(page.locator(".card")).to_have_count(2)
    expect(page.get_by_role("slider", name="Losses")).to_have_attribute("aria-valuetext", re.compile("moves: D"))
    screenshot("runs-overlaid")
    page.go_back()
    expect(page.locator(".card")).to_have_count(1)
    page.go_forward()
    page.reload()
    expect(page.locator(".card h2")).to_have_text(["digits", "moves"])


@pytest.mark.browser
def test_damaged_and_hostile_runs_are_only_text(page: Page, crowded: str, screenshot: Callable[[str], None]) -> None:
    open_tab(page, crowded)
    broken = page.locator("ul.runs li", has=page.get_by_text("broken", exact=True))
    expect(broken.locator(".badge")).to_have_text("damaged")
    broken.locator("button.run").click()
    expect(page.locator(".card .bad")).to_contain_text("run.json")
    page.get_by_label("Filter the runs").fill("onerror")
    page.locator("button.run").click()
    expect(page.locator(".card h2")).to_have_text('<img src=x onerror="alert(1)">')
    expect(page.locator(".card .bad")).to_have_text("<b>non-finite</b>")
    page.reload()
    expect(page.locator(".card h2")).to_have_text('<img src=x onerror="alert(1)">')
    screenshot("runs-hostile")
    page.get_by_label("Filter the runs").fill("$(id)")
    page.locator("button.run").click()
    expect(page.locator(".card h2")).to_have_text("'\"`&,=#?%2e$(id) ")
    page.reload()
    expect(page.locator(".card .badge")).to_have_text("stopped")
    expect(page.locator(".card h2")).to_have_text("'\"`&,=#?%2e$(id) ")


@pytest.mark.browser
def test_values_film_and_guard_by_keyboard_alone(page: Page, crowded: str, screenshot: Callable[[str], None]) -> None:
    open_tab(page, crowded, f"run={LONG}")
    chart = page.get_by_role("slider", name="Losses")
    chart.focus()
    chart.press("Home")
    expect(chart).to_have_attribute("aria-valuetext", "1,000 images: D 1, G 1")
    chart.press("ArrowRight")
    expect(chart).to_have_attribute("aria-valuetext", "2,000 images: D 0.5, G 2")
    chart.press("ArrowRight")
    expect(chart).to_have_attribute("aria-valuetext", re.compile("^guard: collapse at 3,000 images, 3,000 images: D"))
    expect(page.locator(".guard li")).to_contain_text("all alike; back to 2,000 with lr × 0.5")
    screenshot("runs-guard")

    film = page.get_by_role("slider", name="Samples")
    film.focus()
    expect(film).to_have_attribute("aria-valuetext", "8,000 images, the newest")
    film.press("Home")
    expect(page.get_by_alt_text("after 1,000 images")).to_be_visible()
    film.press("ArrowRight")
    expect(page.get_by_alt_text("after 2,000 images")).to_be_visible()
    assert "at=2000" in page.url
    page.reload()
    expect(page.get_by_alt_text("after 2,000 images")).to_be_visible()
    page.get_by_role("button", name="Play").press("Enter")
    expect(page.get_by_alt_text("after 8,000 images")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    assert "at=" not in page.url

    page.locator(".tools select").first.select_option("seconds")
    page.get_by_label("Log scale").press("Space")
    page.get_by_role("button", name="More charts").press("Enter")
    expect(page.get_by_role("slider", name="KL")).to_be_visible()
    page.reload()
    expect(page.get_by_role("slider", name="KL")).to_have_attribute("aria-valuetext", re.compile("^1 min"))
    expect(page.get_by_label("Log scale")).to_be_checked()

    rows = page.locator("button.run")
    rows.first.focus()
    page.keyboard.press("ArrowDown")
    expect(rows.nth(1)).to_be_focused()


@pytest.mark.browser
def test_a_part_of_the_charts_is_seen_larger(page: Page, crowded: str, screenshot: Callable[[str], None]) -> None:
    open_tab(page, crowded, f"run={LONG}")
    chart = page.get_by_role("slider", name="Losses")
    expect(chart).to_have_attribute("aria-valuemin", "0")
    expect(chart).to_have_attribute("aria-valuemax", "8000")
    box = chart.bounding_box()
    assert box is not None
    left, width, y = box["x"] + 52, box["width"] - 62, box["y"] + 60
    page.mouse.move(left + width / 4, y)
    page.mouse.down()
    page.mouse.move(left + width * 3 / 4, y, steps=4)
    screenshot("runs-zoom-drag")
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"from=(19|20)\d\d&to=(59|60)\d\d"))
    page.mouse.move(5, 5)
    page.get_by_role("button", name="More charts").click()
    low = float(page.get_by_role("slider", name="KL").get_attribute("aria-valuemin") or 0)
    assert 1900 < low < 2100
    chart.focus()
    page.keyboard.press("Home")
    expect(chart).to_have_attribute("aria-valuetext", re.compile("^[23],000 images"))
    screenshot("runs-zoomed")
    page.reload()
    expect(chart).to_have_attribute("aria-valuemin", str(int(low)))
    page.get_by_role("button", name="Whole run").click()
    expect(chart).to_have_attribute("aria-valuemin", "0")
    expect(page.get_by_role("button", name="Whole run")).to_be_hidden()
    assert "from" not in page.url
    chart.press("+")
    expect(chart).to_have_attribute("aria-valuemax", "6000")
    page.locator(".tools select").first.select_option("seconds")
    expect(chart).to_have_attribute("aria-valuemin", "0")
    chart.press("+")
    expect(page).to_have_url(re.compile("from=20&to=60"))  # seconds
    chart.press("0")
    expect(page).not_to_have_url(re.compile("from="))
    chart.press("+")
    chart.dblclick()
    expect(page).not_to_have_url(re.compile("from="))


def pinch(page: Page, chart: Locator, before: tuple[float, float], after: tuple[float, float]) -> None:
    """Put two fingers on an element at these parts of its width, and move them."""
    box = chart.bounding_box()
    assert box is not None
    touch = page.context.new_cdp_session(page)

    def points(parts: tuple[float, float]) -> list[dict[str, float]]:
        return [{"x": box["x"] + part * box["width"], "y": box["y"] + 60, "id": i} for i, part in enumerate(parts)]

    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points(before)})
    for k in range(1, 6):
        a, b = (x + (y - x) * k / 5 for x, y in zip(before, after, strict=True))
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points((a, b))})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.browser
def test_two_fingers_on_a_chart(phone: Page, crowded: str) -> None:
    open_tab(phone, crowded, f"run={LONG}")
    chart = phone.get_by_role("slider", name="Losses")
    chart.scroll_into_view_if_needed()
    pinch(phone, chart, (0.4, 0.6), (0.2, 0.8))
    expect(phone).to_have_url(re.compile(r"from=\d+&to=\d+"))
    low, high = (float(chart.get_attribute(f"aria-value{end}") or 0) for end in ("min", "max"))
    assert 2000 < high - low < 3500  # a third of the distance between the fingers is a third of the range
    phone.get_by_role("button", name="Whole run").tap()
    expect(chart).to_have_attribute("aria-valuemax", "8000")


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A folder with three seeds of one recipe, one run of another, and evaluations."""
    for seed in range(3):
        run = make_run(tmp_path / f"mine-s{seed}")
        run.recipe_file.write_text(f'name = "mine"\n[train]\nseed = {seed}\nimages = {100 + seed}\n')
        run.log.replace({"nimg": 100 * n, "seconds": n, "d_loss": seed + 1} for n in range(1, 5))
        run.update_info(state="finished")
        evaluate(run, 400, {"fid": (10.0 * (seed + 1), 0.1)})
    run = make_run(tmp_path / "other")
    run.recipe_file.write_text('name = "mine"\n[method]\nlr = 1.0\n[train]\nseed = 1\n')
    run.log.replace({"nimg": 100 * n, "seconds": n, "d_loss": 0.5} for n in range(1, 5))
    run.update_info(state="stopped")
    for n in (1, 2):
        evaluate(run, 200 * n, {"fid": (5.0 * n, 0.1), "kid": (0.1, 0.01)})
    return tmp_path


@pytest.mark.browser
def test_seeds_are_a_band(
    page: Page, serve: Callable[..., str], seeds: Path, screenshot: Callable[[str], None]
) -> None:
    open_tab(page, serve(seeds), "run=mine-s0,mine-s1,mine-s2")
    losses = page.locator(".chart", has=page.get_by_role("slider", name="Losses")).locator(".legend li")
    expect(losses).to_have_text(["D2 (1 to 3)"])
    page.get_by_label("Overlay other").check()
    expect(losses).to_have_text(["mine, 3 seeds2 (1 to 3)", "other0.5"])
    screenshot("runs-band")
    page.get_by_label("Seeds as a band").uncheck()
    expect(losses).to_have_text(["mine-s01", "mine-s12", "mine-s23", "other0.5"])
    page.reload()
    expect(losses).to_have_count(4)
    page.get_by_label("Overlay mine-s0").uncheck()
    page.get_by_label("Overlay mine-s1").uncheck()
    expect(losses).to_have_count(2)
    expect(page.get_by_label("Seeds as a band")).to_be_hidden()


@pytest.mark.browser
def test_single_scores_are_a_table(page: Page, serve: Callable[..., str], seeds: Path) -> None:
    open_tab(page, serve(seeds), "run=mine-s0,mine-s1")
    table = page.get_by_role("region", name="Scores").get_by_role("row")
    expect(table).to_have_text([re.compile("^runimages seenFID"), "mine-s040010", "mine-s140020"])
    open_tab(page, page.url, "run=other")
    expect(page.get_by_role("slider", name="FID")).to_be_visible()  # two values: a curve
    expect(page.get_by_role("slider", name="KID")).to_be_visible()
    expect(page.get_by_role("region", name="Scores")).to_be_hidden()
    expect(page.locator(".card .empty")).to_have_text("it ended without samples")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_on_a_phone(page: Page, crowded: str, screenshot: Callable[[str], None], scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": 360, "height": 700})
    open_tab(page, crowded, f"run={LONG},digits&more=1")
    expect(page.locator(".card .sheet img")).to_have_count(2)
    screenshot(f"runs-phone-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="New training").click()
    expect(page.get_by_label("batch size")).to_be_visible()
    screenshot(f"runs-form-phone-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.browser
def test_an_empty_folder_says_what_to_do(
    page: Page, serve: Callable[..., str], tmp_path: Path, screenshot: Callable[[str], None]
) -> None:
    page.goto(serve(tmp_path))
    expect(page.get_by_role("heading", name="No runs in this folder yet")).to_be_visible()
    screenshot("runs-empty")
    make_run(tmp_path / "new")  # as if by another program
    expect(page.locator(".card h2")).to_have_text("new")
    shutil.rmtree(tmp_path / "new")
    expect(page.get_by_role("heading", name="No runs in this folder yet")).to_be_visible()


def fill(page: Page, pictures: Path, images: int) -> None:
    """Change the recipe in the open form so that it trains on a few pictures."""
    page.get_by_label("images", exact=True).fill(str(pictures))
    page.get_by_label("length in images").fill(str(images))
    for word in TINY:
        key, _, value = word.partition("=")
        field = page.locator(f'[data-key="{key}"] input')
        if not field.is_visible():
            page.locator("details", has=field).locator("summary").click()
        field.fill(value)


@pytest.mark.browser
def test_a_training_from_the_form_to_its_end(
    page: Page, serve: Callable[..., str], pictures: Path, tmp_path: Path, screenshot: Callable[[str], None]
) -> None:
    page.goto(serve(tmp_path, "--device", "cpu"))
    page.get_by_role("button", name="New training").click()
    page.get_by_label("recipe", exact=True).select_option("strokes-cdcgan")
    page.get_by_label("name of the run").fill("mine")
    fill(page, pictures, 10_000_000)
    rate = page.get_by_label("learning rate", exact=True)
    rate.fill("-1")
    expect(page.locator('[data-key="method.lr"] .bad')).to_have_text("input should be greater than 0")
    screenshot("runs-form")
    rate.fill("0.001")
    expect(page.locator('[data-key="method.lr"] .bad')).to_be_empty()
    page.get_by_role("button", name="recipe: 64").click()  # back to the recipe's batch size, and again
    page.get_by_label("batch size").fill("20")
    page.get_by_role("button", name="Start training").click()

    card = page.locator(".card")
    expect(card.locator(".badge")).to_have_text("training")
    expect(card.locator(".line")).to_contain_text("left")
    expect(page.get_by_role("slider", name="Losses")).to_be_visible()
    screenshot("runs-training")
    card.get_by_role("button", name="Stop mine").click()
    expect(card.locator(".badge")).to_have_text("stopped")

    run = Run(tmp_path / "mine")
    assert (run.recipe().method.model_dump()["lr"], run.recipe().train.batch_size) == (0.001, 20)
    seen = run.records()[-1]["nimg"]
    card.get_by_role("button", name="Continue mine").click()
    page.get_by_label("until it has seen").fill(str(seen + 40))
    page.keyboard.press("Enter")
    expect(card.locator(".badge")).to_have_text("finished")
    expect(card.locator(".line")).to_contain_text(f"{seen + 40:,} images")


@pytest.mark.browser
def test_a_training_that_fails_at_once(
    page: Page, serve: Callable[..., str], pictures: Path, tmp_path: Path, screenshot: Callable[[str], None]
) -> None:
    page.goto(serve(tmp_path, "--device", "cpu"))
    page.keyboard.press("Tab")
    page.get_by_role("button", name="New training").press("Enter")
    page.get_by_label("recipe", exact=True).select_option("strokes-cdcgan")
    fill(page, pictures / "across", 240)
    page.get_by_role("button", name="Start training").press("Enter")
    expect(page.get_by_text("method.conditional needs labelled data")).to_be_visible()
    screenshot("runs-failed")
    page.get_by_role("button", name="Dismiss").press("Enter")
    expect(page.get_by_text("method.conditional needs labelled data")).to_have_count(0)
    wait_for(lambda: not (tmp_path / "strokes-cdcgan").exists())
