"""The window in a real browser: from the pointer to the picture, page load, memory, and what it costs a training.

python benchmarks/explore.py [--pictures 60] [--minutes 0] [--rounds 3]

- *Pointer to picture*: from sending a request for a picture of a residual CPPN (24 blocks of width 6) until it is on
  the canvas, in Chromium on this machine: median and 95th percentile, and the share of painting.
- *A step in the tab Paint*, as a person takes it: from a key until the first picture, which is coarse where a fine one
  would take too long, and until the fine one, for which the tab waits until nothing moves for 180 ms.
- *Page load*: until the first tab is there, with an empty cache.
- *Memory* (with --minutes): of the server while a script clicks through the tabs for that long.
- *Training*: images per second with the page open at the running training, and without the page, in turns; their ratio.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

PROGRAM = "chromium"
WORDS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SIDES = (512, 1080)
AIMS = {512: 60, 1080: 120}  # milliseconds, at the 95th percentile
TRAINING = "strokes-cdcgan --images 12800 --device cpu --set network.base=16"

MEASURE = """async ([side, count]) => {
  const { live } = await import("/page/api.js");
  const { draw } = await import("/page/pixels.js");
  const canvas = document.createElement("canvas");
  document.body.append(canvas);
  const found = [];
  for (let i = 0; i < count + 3; i++) {
    const begun = performance.now();
    const frame = await new Promise((resolve, reject) => {
      const stop = [live.on("paint:bench", done), live.on("error:bench", (error) => reject(new Error(error.error)))];
      function done(frame) { stop.forEach((each) => each()); resolve(frame); }
      live.send("paint", { slot: "bench", random: "residual:24x6", weights: 1, seed: 1, width: side, height: side,
        x: i / 50, y: 0, zoom: 1, supersample: 1 });
    });
    draw(canvas, frame);
    await new Promise(requestAnimationFrame); // the browser has shown it
    if (i >= 3) found.push([performance.now() - begun, 1000 * frame.seconds]);
  }
  canvas.remove();
  return found;
}"""

STEP = """async (count) => {
  const canvas = document.querySelector("canvas.view");
  const found = [];
  for (let i = 0; i < count + 3; i++) {
    const begun = performance.now();
    let first = 0;
    await new Promise((done) => {
      const painted = ({ detail }) => {
        first ||= performance.now() - begun;
        if (detail.factor > 1) return;
        canvas.removeEventListener("painted", painted);
        done();
      };
      canvas.addEventListener("painted", painted);
      canvas.dispatchEvent(new KeyboardEvent("keydown", { key: i % 2 ? "ArrowLeft" : "ArrowRight", bubbles: true }));
    });
    if (i >= 3) found.push([first, performance.now() - begun]);
    await new Promise((done) => setTimeout(done, 300));
  }
  return found;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=60, help="pictures of each size")
    parser.add_argument("--minutes", type=float, default=0, help="of clicking, for the memory of the server")
    parser.add_argument("--rounds", type=int, default=3, help="trainings with and without the page; 0: none")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=f"/usr/bin/{PROGRAM}", args=WORDS)
        ganvas(f"train strokes-cdcgan --images 640 --device cpu --set network.base=8 --out {folder}/digits")
        ganvas(f"train mnist-residual-cppn --data strokes --images 500 --device cpu --out {folder}/paints")
        with served(folder) as (server, address):
            page = opened(browser, address)
            print(f"page load {loading(page):.0f} ms")
            for side in SIDES:
                report(side, page.evaluate(MEASURE, [side, asked.pictures]))
            report_steps(page, address, asked.pictures)
            if asked.minutes:
                click(page, address, server, 60 * asked.minutes)
        if asked.rounds:
            print_training(browser, folder, asked.rounds)
        browser.close()


def ganvas(words: str) -> None:
    subprocess.run([sys.executable, "-m", "ganvas", *words.split()], check=True, capture_output=True)


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, str]]:
    """A server of a folder: its process, and its address with the token."""
    words = [sys.executable, "-m", "ganvas", "explore", str(folder), "--no-browser", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.pid, server.stdout.readline().split()[0]
        server.terminate()


def opened(browser: Browser, address: str) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.wait_for_load_state("networkidle")
    return page


def loading(page: Page) -> float:
    """Milliseconds until everything that the page needs at first was there."""
    return float(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))


def report(side: int, found: list[list[float]]) -> None:
    whole, painting = ([each[i] for each in found] for i in (0, 1))
    late = statistics.quantiles(whole, n=20)[-1]
    print(
        f"pointer to picture at {side}²: median {statistics.median(whole):.0f} ms, 95 % {late:.0f} ms "
        f"(at most {AIMS[side]}); painting takes {statistics.median(painting):.0f} ms of it",
        flush=True,
    )


def report_steps(page: Page, address: str, count: int) -> None:
    page.set_viewport_size({"width": 1080, "height": 1133})  # 53 pixels of it are the tabs
    page.goto(re.sub(r"\?.*", "#paint?random=residual:24x6&weights=1&seed=1", address))
    page.locator("canvas.view[data-settled]").wait_for()
    page.keyboard.press("h")
    page.locator("canvas.view[data-settled]").wait_for()
    size = page.evaluate("(({width, height}) => `${width}x${height}`)(document.querySelector('canvas.view'))")
    found = page.evaluate(STEP, count)
    for i, name in enumerate(("first picture", "fine picture")):
        times = [each[i] for each in found]
        late = statistics.quantiles(times, n=20)[-1]
        print(
            f"a step in Paint, {size}: {name} after {statistics.median(times):.0f} ms, 95 % {late:.0f} ms", flush=True
        )
    page.set_viewport_size({"width": 1280, "height": 900})


def click(page: Page, address: str, server: int, seconds: float) -> None:
    """Click through the tabs; the memory of the server at the start, in the middle and at the end."""
    end = time.monotonic() + seconds
    rounds, shown = 0, 0.0
    while time.monotonic() < end:
        for key in "1234":
            page.keyboard.press(key)
            page.wait_for_load_state("networkidle")
            for _ in range(5):
                page.mouse.move(300 + rounds * 7 % 600, 300 + rounds * 13 % 400)
                page.mouse.click(300 + rounds * 7 % 600, 300 + rounds * 13 % 400)
                page.mouse.wheel(0, 60 if rounds % 2 else -60)
                page.keyboard.press("ArrowRight")
                page.wait_for_timeout(200)
        page.goto(re.sub(r"\?.*", "#runs", address))
        rounds += 1
        if rounds in (1, 10) or time.monotonic() - shown > seconds / 10 or time.monotonic() > end:
            shown = time.monotonic()
            print(f"server after {rounds} rounds, {seconds - (end - shown):.0f} s: {memory(server):.0f} MB", flush=True)


def memory(process: int) -> float:
    """Resident memory in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1000


def print_training(browser: Browser, folder: Path, rounds: int) -> None:
    """Processor seconds would not show waiting, so these are images per second, in turns."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    for number in range(rounds):
        for watched in (False, True):
            run = f"training-{number}-{watched}"
            if watched:
                with served(folder) as (_, address):
                    page = opened(browser, address)
                    page.goto(re.sub(r"\?.*", f"#runs?runs={run}", address))
                    rates[watched].append(train(folder / run))
                    page.close()
            else:
                rates[watched].append(train(folder / run))
    best = {watched: max(found) for watched, found in rates.items()}
    print(f"training: {best[False]:.0f} images/s alone, {best[True]:.0f} watched; ratio {best[True] / best[False]:.3f}")


def train(run: Path) -> float:
    """Images per second of a short training."""
    from ganvas.runs.run import Run

    ganvas(f"train {TRAINING} --out {run}")
    last = Run(run).records()[-1]
    return float(last["nimg"] / last["seconds"])


if __name__ == "__main__":
    main()
