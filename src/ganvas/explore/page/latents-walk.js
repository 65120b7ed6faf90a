// A walk from a sample: a plane under the pointer, and a slider for each direction.

import { live } from "./api.js";
import { button, choice, el, say, slider } from "./dom.js";
import { shifted, toText } from "./latents-place.js";
import { draw } from "./pixels.js";
import { write } from "./state.js";

/** @typedef {import("./latents-place.js").Place} Place */

const SLOT = "latents-walk";
const REACH = 300; // hundredths of a standard deviation from the middle of the plane to its edge
const FAR = 600; // the same for sliders
const QUICK = 256; // side in pixels of a picture that follows the pointer, for networks that paint at any size
const FINE = 512; // and of one that stays
const REST = 300; // milliseconds without a movement

const KINDS = /** @type {[string, string][]} */ ([["f", "what the network reacts to"], ["p", "how the training images differ"], ["r", "random"]]);
const HINTS = {
  f: "The directions that change the first layer of the network most (closed-form factorisation), strongest first.",
  p: "The directions in which the encoded training images differ most (principal components), strongest first.",
  r: "Random directions, to compare with.",
};

/**
 * @param {import("./latents.js").Studio} studio
 * @param {(place: Place, z: number[]) => void} rested
 */
export function walk(studio, rested) {
  const { facts, model, space } = studio;
  /** @type {Place} */
  let place = { base: "0", truncation: 100, label: null, kind: "f", offsets: [] };
  /** @type {number[] | null} */
  let base = null;
  /** @type {import("./latents-place.js").Directions | null} */
  let directions = null;
  /** @type {[number, number] | null} */
  let over = null; // the offsets under a pointer that only looks
  let timer = 0;
  let turn = 0;
  let ended = false;

  const canvas = el("canvas", { class: facts.any_size ? "" : "pixelated", width: facts.width, height: facts.height, "aria-hidden": "true" });
  const mark = el("span", { class: "mark" });
  const plane = el("div", {
    class: "plane", tabIndex: 0, role: "application", "aria-label": "Picture: arrow keys walk along the first two directions, Shift for larger steps, Home for the start",
    "aria-describedby": "latents-where",
  }, canvas, mark);
  plane.style.setProperty("aspect-ratio", `${facts.width} / ${facts.height}`);
  const where = el("p", { class: "faint", id: "latents-where", role: "status" });
  const sliders = el("div", { class: "sliders" });
  const hint = el("p", { class: "faint" });
  const kinds = choice("Directions", KINDS.filter(([kind]) => kind !== "p" || facts.encoder), "f", (kind) => {
    go({ ...place, kind: /** @type {Place["kind"]} */ (kind), offsets: [] });
  });
  const root = el("section", { class: "panel walk", "aria-label": "Walk" },
    el("h2", {}, "Walk"),
    el("div", { class: "stage" },
      el("div", {},
        plane,
        el("p", { class: "faint" }, "Move over the picture to look around, press to stay there. Arrow keys do the same."),
        where,
      ),
      el("div", { class: "controls" },
        kinds, hint, sliders,
        el("div", { class: "row" },
          button("Reset", () => go({ ...place, offsets: [] }), { title: "back to the sample that the walk began at" }),
          button("Pin", () => studio.pin(toText(place)), { class: "primary", title: "keep this picture, for a morph" }),
        ),
      ),
    ),
  );

  /** @returns {Place} */
  function shown() {
    if (!over) return place;
    const offsets = [...place.offsets];
    offsets[0] = over[0];
    offsets[1] = over[1];
    return { ...place, offsets: Array.from(offsets, (offset) => offset ?? 0) };
  }

  /** @param {boolean} fine */
  function paint(fine) {
    if (!base) return;
    ask({ z: shifted(base, shown(), directions), label: place.label }, fine);
  }

  /** @param {{z: number[], label: number | null}} point @param {boolean} fine */
  function ask({ z, label }, fine) {
    live.send("latents.paint", { slot: SLOT, ...model, z: z.map((number) => Math.round(number * 1e5) / 1e5), label, size: facts.any_size ? (fine ? FINE : QUICK) : undefined });
  }

  function moved() {
    paint(false);
    place_mark();
    clearTimeout(timer);
    timer = setTimeout(rest, REST);
  }

  function rest() {
    if (ended || !base) return;
    if (facts.any_size) paint(true);
    if (over) return; // a look is no step
    write({ walk: toText(place) });
    rested(place, shifted(base, place, directions));
  }

  function place_mark() {
    const [x = 0, y = 0] = shown().offsets;
    mark.hidden = false;
    mark.style.left = `${50 + (50 * Math.max(-REACH, Math.min(REACH, x))) / REACH}%`;
    mark.style.top = `${50 + (50 * Math.max(-REACH, Math.min(REACH, y))) / REACH}%`;
    const named = place.base.startsWith("z") ? "your image" : `seed ${place.base}`;
    const of = place.label === null || !facts.classes[place.label] ? "" : `, ${facts.classes[place.label]}`;
    where.textContent = `${named}${of}: ${(x / 100).toFixed(2)} along the first direction, ${(y / 100).toFixed(2)} along the second`;
  }

  /** @param {number[]} offsets */
  function hold(offsets) {
    place = { ...place, offsets };
    for (const [i, each] of sliderList.entries()) each.value = (offsets[i] ?? 0) / 100;
    moved();
  }

  /** @type {ReturnType<typeof slider>[]} */
  let sliderList = [];
  function makeSliders() {
    sliderList = (directions?.vectors ?? []).map((_, i) => slider(`Direction ${i + 1}`, { min: -FAR / 100, max: FAR / 100, step: 0.05, value: (place.offsets[i] ?? 0) / 100, title: `${(100 * (directions?.shares[i] ?? 0)).toFixed(1)} % of the change; in standard deviations` }, (value) => {
      const offsets = Array.from({ length: Math.max(place.offsets.length, i + 1) }, (_, k) => place.offsets[k] ?? 0);
      offsets[i] = Math.round(value * 100);
      place = { ...place, offsets };
      moved();
    }));
    sliders.replaceChildren(...sliderList);
  }

  /**
   * Walk from a place. `quiet`: it is in the address already.
   * @param {Place} next
   * @param {{quiet?: boolean}} [options]
   */
  async function go(next, { quiet = false } = {}) {
    const mine = ++turn;
    if (facts.classes.length && (next.label === null || next.label >= facts.classes.length)) next = { ...next, label: 0 };
    if (!quiet) write({ walk: toText(next) }, { push: true });
    let found;
    try {
      const start = await space.base(next.base);
      if (start.length !== facts.latent) throw new Error("This image was encoded for another run: choose it again.");
      try {
        found = await space.directions(next.kind);
      } catch (error) {
        say(/** @type {Error} */ (error).message, "error");
        next = { ...next, kind: "f", offsets: [] };
        found = await space.directions("f");
      }
      if (ended || mine !== turn) return;
      const same = found === directions && sliderList.length > 0;
      [place, base, directions, over] = [next, start, found, null];
      kinds.value = place.kind;
      hint.textContent = HINTS[place.kind];
      if (!same) makeSliders();
      hold(place.offsets);
    } catch (error) {
      if (!ended && mine === turn) say(/** @type {Error} */ (error).message, "error");
    }
  }

  /** @param {PointerEvent} event @returns {[number, number]} */
  function under(event) {
    const box = plane.getBoundingClientRect();
    const share = (/** @type {number} */ at, /** @type {number} */ low, /** @type {number} */ size) => Math.max(-1, Math.min(1, (2 * (at - low)) / size - 1));
    return [Math.round(REACH * share(event.clientX, box.left, box.width)), Math.round(REACH * share(event.clientY, box.top, box.height))];
  }
  plane.addEventListener("pointermove", (event) => {
    if (!base || (event.pointerType !== "mouse" && !event.buttons)) return;
    over = under(event);
    moved();
  });
  plane.addEventListener("pointerdown", (event) => {
    if (!base || event.button) return;
    plane.setPointerCapture(event.pointerId);
    over = under(event);
    moved();
  });
  plane.addEventListener("pointerup", (event) => {
    if (!base || event.button) return;
    over = under(event);
    const { offsets } = shown();
    over = null;
    hold(offsets);
  });
  for (const kind of /** @type {const} */ (["pointerleave", "pointercancel"])) {
    plane.addEventListener(kind, () => {
      if (!over) return;
      over = null;
      moved();
    });
  }
  plane.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 50 : 10;
    const [x, y] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] ?? [0, 0];
    if (event.key === "Home") hold([]);
    else if (x || y) hold([limited((place.offsets[0] ?? 0) + x), limited((place.offsets[1] ?? 0) + y), ...place.offsets.slice(2)]);
    else return;
    event.preventDefault();
  });

  studio.atEnd(live.on(`latents.paint:${SLOT}`, (frame) => draw(canvas, frame)));
  studio.atEnd(live.on(`error:${SLOT}`, ({ error }) => say(error, "error")));
  studio.atEnd(() => {
    ended = true;
    clearTimeout(timer);
  });
  return {
    root, go,
    /** @param {number} percent */
    truncate(percent) {
      if (place.base.startsWith("z")) return;
      place = { ...place, truncation: percent };
      moved();
    },
    /** @param {{z: number[], label: number | null}} point @param {string} text  what it is */
    show(point, text) {
      clearTimeout(timer);
      mark.hidden = true;
      where.textContent = text;
      ask(point, false);
    },
  };
}

/** @param {number} offset */
function limited(offset) {
  return Math.max(-FAR, Math.min(FAR, offset));
}
