// The grid of samples.

import { live } from "./api.js";
import { button, el, say } from "./dom.js";
import { draw } from "./pixels.js";
import { write } from "./state.js";

const SLOT = "latents-grid";

/**
 * @param {import("./latents.js").Studio} studio
 * @param {{seed: number, label: number | null, truncation: number}} options  label: null for all classes in turn
 */
export function samples(studio, { seed, label, truncation }) {
  const { facts, model } = studio;
  const narrow = innerWidth < 480;
  const columns = narrow ? 4 : 6;
  const count = columns * (narrow ? 4 : 6);
  const labelOf = (/** @type {number} */ seed) => (facts.classes.length ? label ?? seed % facts.classes.length : null);
  const name = (/** @type {number} */ seed) => {
    const given = labelOf(seed);
    return given === null ? `seed ${seed}` : `seed ${seed}, ${facts.classes[given]}`;
  };

  const canvas = el("canvas", { class: "pixelated", "aria-hidden": "true" });
  const cells = el("div", { class: "cells", "--columns": String(columns) });
  const pictures = el("div", { class: "pictures", role: "group", "aria-label": "Samples: arrow keys to move, Enter to walk from one" }, canvas, cells);
  pictures.style.setProperty("aspect-ratio", `${columns * facts.width} / ${(count / columns) * facts.height}`);
  const field = el("input", { type: "number", min: "0", max: "9007199254740000", step: "1", value: String(seed), onchange: () => move(Math.max(0, Math.floor(field.valueAsNumber) || 0)) });
  const earlier = button("Back", () => move(Math.max(0, seed - count)));
  const root = el("section", { class: "panel samples", "aria-label": "Samples" },
    el("h2", {}, "Samples"),
    el("p", { class: "faint" }, "Each picture comes from a random latent: a list of ", `${facts.latent} numbers. Choose one to walk from it.`),
    pictures,
    el("div", { class: "row" }, el("label", { class: "choice" }, el("span", {}, "First seed"), field), earlier, button("More", () => move(seed + count))),
  );

  for (let i = 0; i < count; i++) {
    cells.append(el("button", { type: "button", class: "cell", tabIndex: i ? -1 : 0, onclick: () => choose(i) }));
  }
  const buttons = /** @type {HTMLButtonElement[]} */ ([...cells.children]);
  cells.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const next = event.key === "Home" ? 0 : event.key === "End" ? count - 1 : at + (step ?? NaN);
    if (at < 0 || !(next >= 0 && next < count)) return;
    event.preventDefault();
    focusable(next);
    buttons[next].focus();
  });

  /** @param {number} i */
  function focusable(i) {
    for (const [k, each] of buttons.entries()) each.tabIndex = k === i ? 0 : -1;
  }

  /** @param {number} i */
  function choose(i) {
    focusable(i);
    studio.look();
    studio.go({ base: String(seed + i), truncation, label: labelOf(seed + i), kind: "f", offsets: [] });
  }

  /** @param {number} next */
  function move(next) {
    seed = next;
    field.value = String(seed);
    write({ seed: seed || null }, { push: true });
    ask();
  }

  function ask() {
    earlier.disabled = seed === 0;
    for (const [i, each] of buttons.entries()) {
      each.setAttribute("aria-label", name(seed + i));
      each.title = name(seed + i);
    }
    pictures.setAttribute("aria-busy", "true");
    live.send("latents.grid", { slot: SLOT, ...model, seed, count, columns, label, truncation: truncation / 100 });
  }

  studio.atEnd(live.on(`latents.grid:${SLOT}`, (frame) => {
    draw(canvas, frame);
    pictures.removeAttribute("aria-busy");
  }));
  studio.atEnd(live.on(`error:${SLOT}`, ({ error }) => say(error, "error")));
  ask();
  return {
    root, labelOf,
    get seed() {
      return seed;
    },
    /** @param {number} percent */
    truncate(percent) {
      truncation = percent;
      ask();
    },
  };
}
