// Saving pictures and films as files: the form, and the list of files that are being painted.

import { address, live, post } from "./api.js";
import { button, choice, el, say } from "./dom.js";

/** @type {[string, string][]} */
const SIZES = [
  ["screen", "this screen"], ["1080x1080", "1080 × 1080"], ["3240x3240", "3240 × 3240"],
  ["2480x3508", "A4, 300 dpi"], ["3508x2480", "A4 across, 300 dpi"], ["3508x4961", "A3, 300 dpi"], ["4961x3508", "A3 across, 300 dpi"],
  ["custom", "another size"],
];
/** @type {[string, string][]} */
const FORMATS = [[".png", "PNG"], [".tif", "TIFF"], [".webp", "WebP"], [".dzi", "Deep Zoom (the largest)"]];

/**
 * The form that saves a picture.
 * @param {() => Record<string, any> | null} fields  what is painted, with the view and the size of the screen
 */
export function savingForm(fields) {
  const custom = el("input", { type: "text", value: "6000x4000", pattern: "\\s*\\d+(\\s*[x×]\\s*\\d+)?\\s*", size: 12, title: "width x height, in pixels" });
  const customLabel = el("label", { class: "choice", hidden: true }, el("span", {}, "Pixels"), custom);
  const size = choice("Size", SIZES, "1080x1080", (value) => (customLabel.hidden = value !== "custom"));
  const format = choice("Format", FORMATS, ".png", (value) => {
    bits.querySelector("select")?.toggleAttribute("disabled", value === ".webp" || value === ".dzi");
  });
  const bits = choice("Bits", ["8", "16"], "8", () => {});
  const samples = choice("Smoothness", [["1", "1 sample"], ["2", "2×2 samples"], ["3", "3×3 samples"], ["4", "4×4 samples"]], "2", () => {});

  async function start() {
    const what = fields();
    if (!what) return;
    const chosen = size.value === "custom" ? custom.value : size.value;
    const [width, height = width] = chosen === "screen" ? [what.width, what.height] : chosen.split(/[x×]/).map(Number);
    const ending = format.value;
    const deep = ending === ".png" || ending === ".tif";
    await begin("/paint/save", { ...what, width, height, ending, bits: deep ? Number(bits.value) : 8, supersample: Number(samples.value) });
  }
  return el("form", { class: "form", onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); start(); } },
    size, customLabel, format, bits, samples, el("button", { type: "submit" }, "Save picture"));
}

/** Start a job on the server. @param {string} path @param {Record<string, any>} fields */
export async function begin(path, fields) {
  try {
    const job = await post(path, fields);
    say(`Painting ${job.place}/${job.name}`);
  } catch (error) {
    say(/** @type {Error} */ (error).message, "error");
  }
}

/** The list of files, which follows the server. */
export function savedFiles() {
  const list = el("ul", { class: "files", "aria-label": "Files" });
  const stop = live.on("jobs", ({ jobs }) => {
    latest = jobs;
    list.replaceChildren(...jobs.toReversed().map(row));
  });
  list.replaceChildren(...latest.toReversed().map(row));
  return { list, stop };
}

/** @type {any[]} as the server last said, for the next time that the tab is opened */
let latest = [];
live.on("jobs", ({ jobs }) => (latest = jobs));

/** @param {any} job */
function row(job) {
  const name = `${job.place}/${job.name}`;
  if (job.state === "waiting" || job.state === "painting") {
    const part = job.done / Math.max(1, job.total);
    return el("li", {}, el("span", { class: "name" }, job.name),
      el("progress", { max: 1, value: part, "aria-label": `${job.name}: ${Math.round(100 * part)} %` }),
      button("Cancel", () => post(`/paint/jobs/${job.id}/cancel`, {}).catch(() => {}), { "aria-label": `Cancel ${job.name}` }));
  }
  if (job.state === "finished" && !job.name.endsWith(".dzi")) {
    return el("li", {}, el("a", { href: address(`/paint/jobs/${job.id}/file`), download: job.name, class: "name" }, name), el("span", { class: "faint" }, `${job.seconds} s`));
  }
  const said = { finished: "painted", cancelled: "cancelled", failed: job.error }[/** @type {string} */ (job.state)];
  return el("li", { class: job.state }, el("span", { class: "name" }, name), el("span", { class: "faint" }, said ?? ""));
}
