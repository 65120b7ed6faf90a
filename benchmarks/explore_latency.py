"""Time from a page's message to the picture on its canvas, in Chromium, for a random residual network.

    python benchmarks/explore_latency.py --network residual:24x6 --sides 512 1080 --pictures 100

`painting` is what the server computes, `drawing` what the page does with the pixels, and `sending` all the rest: both
ways through the socket, and waiting for threads and processes.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from playwright.sync_api import sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
MEASURE = """async ([network, side, pictures]) => {
    const { live } = await import("/page/api.js");
    const { draw } = await import("/page/pixels.js");
    const canvas = document.body.appendChild(document.createElement("canvas"));
    const times = [];
    for (let i = 0; i < pictures + 5; i++) {
        const sent = performance.now();
        live.send("paint", { random: network, std: 0.5, x: 0.01 * i, width: side, height: side, slot: "benchmark" });
        const frame = await new Promise((answered) => {
            const stop = live.on("paint:benchmark", (frame) => { stop(); answered(frame); });
        });
        const come = performance.now();
        draw(canvas, frame);
        canvas.getContext("2d").getImageData(0, 0, 1, 1); // waits until it is drawn
        const drawn = performance.now();
        const painting = 1000 * frame.seconds;
        if (i >= 5) times.push([drawn - sent, painting, come - sent - painting, drawn - come]);
    }
    return times;
}"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", default="residual:24x6")
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1080])
    parser.add_argument("--pictures", type=int, default=100)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ganvas", "explore", folder, "--no-browser", "--port", "0", "--device", "cpu"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
            assert server.stdout is not None
            address = re.match(r"http\S+", server.stdout.readline())
            assert address is not None
            program = os.environ.get("GANVAS_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)))
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page()
            page.goto(address[0])
            for side in asked.sides:
                times = np.array(page.evaluate(MEASURE, [asked.network, side, asked.pictures]))
                print(f"{asked.network} {side}x{side}, {len(times)} pictures, milliseconds")
                for name, column in zip(("whole", "painting", "sending", "drawing"), times.T, strict=True):
                    print(f"  {name:8} median {np.median(column):7.1f}   95 % {np.quantile(column, 0.95):7.1f}")
            browser.close()
            server.terminate()


if __name__ == "__main__":
    main()
