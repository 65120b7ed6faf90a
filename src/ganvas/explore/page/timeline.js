// A row of key pictures, latents with their views: played live, and filmed.

import { button, choice, el, say, slider } from "./dom.js";
import { begin } from "./saving.js";

/** @typedef {import("./viewer.js").View} View */
/** @typedef {View & {latent: number[], image: string}} Key */

/**
 * From a to b, as `between` in painting/morph.py: on the screen, magnification around one point, or a pan.
 * @param {View} a @param {View} b @param {number} time  0 to 1
 * @returns {View}
 */
export function between(a, b, time) {
  const growth = Math.log(b.zoom / a.zoom);
  const moved = Math.abs(growth) < 1e-9 ? time : Math.expm1(-growth * time) / Math.expm1(-growth);
  return { x: a.x + (b.x - a.x) * moved, y: a.y + (b.y - a.y) * moved, zoom: a.zoom * (b.zoom / a.zoom) ** time };
}

/**
 * @param {{present: () => Key | null, show: (latent: number[], view: View, playing: boolean) => void, film: () => Record<string, any> | null, films: () => Promise<string[]>}} page
 *   present: the picture that is shown; show: show another; film: the network, palette, and size of a film
 */
export function timeline(page) {
  /** @type {Key[]} */
  let keys = [];
  let place = ""; // where they are kept while the page is open
  let playing = 0;
  const row = el("ol", { class: "keys", "aria-label": "Key pictures" });
  const seconds = slider("Seconds a leg", { min: 0.5, max: 20, step: 0.5, value: 3 }, () => {});
  const ease = choice("Motion", [["sine", "slower at the pictures"], ["linear", "steady"]], "sine", () => {});
  const loop = el("input", { type: "checkbox" });
  const play = button("Play", () => (playing ? stop() : start()), { title: "key p", "aria-keyshortcuts": "p" });
  const size = choice("Size", [["512x512", "512 × 512"], ["1080x1080", "1080 × 1080"], ["1280x720", "1280 × 720"], ["1920x1080", "1920 × 1080"], ["1080x1920", "1080 × 1920"], ["3840x2160", "3840 × 2160"]], "512x512", () => {});
  const format = choice("Format", [[".webp", "WebP"], [".gif", "GIF"]], ".webp", () => {});
  const smooth = choice("Smoothness", [["1", "1 sample"], ["2", "2×2 samples"], ["3", "3×3 samples"]], "1", () => {});
  const fps = choice("Speed", [["15", "15 frames a second"], ["25", "25"], ["30", "30"], ["60", "60"]], "30", () => {});
  const film = el("form", { class: "form", onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); record(); } },
    size, format, fps, smooth, el("button", { type: "submit" }, "Save film"));
  const empty = el("p", { class: "faint" }, "Add two or more pictures: play moves from one to the next, and a film can be saved.");
  page.films().then((endings) => {
    const select = format.querySelector("select");
    const names = { ".mp4": "MP4", ".webm": "WebM", ".webp": "WebP", ".gif": "GIF" };
    select?.replaceChildren(...endings.map((ending) => el("option", { value: ending }, names[/** @type {keyof names} */ (ending)])));
    format.value = endings.includes(".mp4") ? ".mp4" : endings[0];
  }, () => {});

  function add() {
    const key = page.present();
    if (key) change([...keys, key]);
  }

  /** @param {Key[]} next */
  function change(next) {
    keys = next;
    try {
      sessionStorage.setItem(place, JSON.stringify(keys));
    } catch { /* full, or not allowed: they stay until the page is left */ }
    show();
  }

  function show() {
    row.replaceChildren(...keys.map((key, i) => {
      const name = `key ${i + 1}`;
      return el("li", {},
        button("", () => page.show(key.latent, key, false), { class: "picture", "aria-label": `Show ${name}` }),
        el("span", { class: "row" },
          button("◀", () => move(i, i - 1), { disabled: i === 0, "aria-label": `Move ${name} to the left` }),
          button("▶", () => move(i, i + 1), { disabled: i === keys.length - 1, "aria-label": `Move ${name} to the right` }),
          button("✕", () => change(keys.filter((_, j) => j !== i)), { "aria-label": `Remove ${name}` })));
    }));
    row.querySelectorAll(".picture").forEach((place, i) => place.append(el("img", { src: keys[i].image, alt: "" })));
    empty.hidden = keys.length > 1;
    play.disabled = keys.length < 2;
    film.querySelectorAll("button, select").forEach((part) => part.toggleAttribute("disabled", keys.length < 2));
  }

  /** @param {number} from @param {number} to */
  function move(from, to) {
    const next = [...keys];
    next.splice(to, 0, ...next.splice(from, 1));
    change(next);
    row.querySelectorAll("li")[to]?.querySelector("button")?.focus();
  }

  const legs = () => (loop.checked ? keys.length : keys.length - 1);

  function start() {
    const begun = performance.now();
    play.textContent = "Stop";
    const tick = () => {
      const time = (performance.now() - begun) / 1000 / seconds.value;
      const done = time >= legs() && !loop.checked;
      const leg = done ? legs() - 1 : Math.floor(time) % legs();
      const linear = done ? 1 : time % 1;
      const t = ease.value === "sine" ? (1 - Math.cos(Math.PI * linear)) / 2 : linear;
      const [a, b] = [keys[leg], keys[(leg + 1) % keys.length]];
      page.show(a.latent.map((value, i) => value + (b.latent[i] - value) * t), between(a, b, t), !done);
      if (done) stop();
      else playing = requestAnimationFrame(tick);
    };
    playing = requestAnimationFrame(tick);
  }

  function stop() {
    if (!playing) return;
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = "Play";
    const key = page.present();
    if (key) page.show(key.latent, key, false);
  }

  async function record() {
    const what = page.film();
    if (!what) return;
    const [width, height] = size.value.split("x").map(Number);
    const frames = Math.max(2, Math.round(legs() * seconds.value * Number(fps.value)));
    if (frames > 20_000) say("This film is too long: at most 20,000 frames.", "error");
    else await begin("/paint/film", {
      ...what, width, height, frames, fps: Number(fps.value), ending: format.value, ease: ease.value, loop: loop.checked,
      supersample: Number(smooth.value), keys: keys.map(({ latent, x, y, zoom }) => ({ latent, x, y, zoom })),
    });
  }

  const root = el("section", { class: "timeline panel", "aria-label": "Timeline" },
    el("div", { class: "row" }, el("h2", {}, "Timeline"), button("Add this picture", add, { title: "key a", "aria-keyshortcuts": "a" }), play, seconds, ease,
      el("label", { class: "checkbox" }, loop, el("span", {}, "Back to the first"))),
    empty, row, el("details", {}, el("summary", {}, "Save as a film"), film));
  show();
  return {
    root, add, stop,
    toggle: () => !play.disabled && play.click(),
    get playing() {
      return playing !== 0;
    },
    /** Show the keys of a network. @param {string} network */
    use(network) {
      if (place === `keys:${network}`) return;
      stop();
      place = `keys:${network}`;
      try {
        keys = JSON.parse(sessionStorage.getItem(place) ?? "[]");
      } catch {
        keys = [];
      }
      show();
    },
  };
}
