// Pinned pictures, and morphs between them.

import { live, post } from "./api.js";
import { button, checkbox, el, say } from "./dom.js";
import { fromText } from "./latents-place.js";
import { toImageData } from "./pixels.js";
import { read, write } from "./state.js";

const SLOT = "latents-pins";
const MOST = 24; // pins
const PER_LEG = 60; // frames between two pins
const LEG_SECONDS = 2;

/**
 * @param {import("./latents.js").Studio} studio
 * @param {string} given  the pins in the address
 */
export function morph(studio, given) {
  const { model, space } = studio;
  let texts = given.split("_").filter((text) => fromText(text)).slice(0, MOST);
  /** @type {number[][]} */
  let path = [];
  /** @type {(number | null)[]} */
  let labels = [];
  let turn = 0;
  let playing = 0;
  let ended = false;

  const strip = el("ol", { class: "pins" });
  const time = el("input", { type: "range", min: "0", max: "1", step: "1", value: "0", "aria-label": "Place along the morph", oninput: () => {
    stop();
    show();
  } });
  const play = button("Play", () => (playing ? stop() : start()));
  const spherical = checkbox("Turn instead of cut across", read().state.path !== "straight", (on) => {
    write({ path: on ? null : "straight" });
    find();
  });
  spherical.title = "spherical: the direction turns evenly and the length stays; otherwise a straight line";
  const controls = el("div", { class: "row play" }, play, time, spherical);
  const empty = el("p", { class: "faint" }, "Pin two pictures or more, and morph from one to the next.");
  const root = el("section", { class: "panel morph", "aria-label": "Morph" }, el("h2", {}, "Morph"), empty, strip, controls);

  async function fill() {
    const mine = ++turn;
    stop();
    empty.hidden = texts.length > 1;
    controls.hidden = texts.length < 2;
    const places = texts.map((text) => /** @type {import("./latents-place.js").Place} */ (fromText(text)));
    const canvases = places.map((place, i) => {
      const canvas = el("canvas", { class: studio.facts.any_size ? "" : "pixelated", width: studio.facts.width, height: studio.facts.height });
      strip.children[i]?.remove();
      const name = place.base.startsWith("z") ? "your image" : `seed ${place.base}`;
      const item = el("li", {},
        button("", () => {
          studio.look();
          studio.go(place);
        }, { class: "thumb", title: `walk from ${name}`, "aria-label": `Pin ${i + 1}, ${name}: walk from it` }),
        button("×", () => change(texts.filter((_, k) => k !== i)), { class: "remove", "aria-label": `Remove pin ${i + 1}`, title: "remove" }),
      );
      item.firstElementChild?.append(canvas);
      strip.insertBefore(item, strip.children[i] ?? null);
      return canvas;
    });
    while (strip.childElementCount > places.length) strip.lastElementChild?.remove();
    if (!places.length) return;
    try {
      const latents = await Promise.all(places.map((place) => space.latent(place)));
      if (ended || mine !== turn) return;
      labels = places.map((place) => place.label);
      anchors = latents;
      painted = (frame) => {
        const sheet = new OffscreenCanvas(frame.width, frame.height);
        /** @type {any} */ (sheet.getContext("2d")).putImageData(toImageData(frame), 0, 0);
        const [height, width] = frame.cell;
        canvases.forEach((canvas, i) => canvas.getContext("2d")?.drawImage(sheet, i * width, 0, width, height, 0, 0, width, height));
      };
      live.send("latents.pins", { slot: SLOT, ...model, points: latents.map((z, i) => ({ z: z.map(short), label: labels[i] })) });
      await find();
    } catch (error) {
      if (!ended && mine === turn) say(/** @type {Error} */ (error).message, "error");
    }
  }
  /** @type {number[][]} */
  let anchors = [];
  /** @type {(frame: import("./api.js").Frame) => void} */
  let painted = () => {};

  async function find() {
    const mine = turn;
    if (anchors.length < 2) return;
    const frames = 1 + PER_LEG * (anchors.length - 1);
    const round = /** @type {HTMLInputElement} */ (spherical.firstElementChild).checked;
    const { z } = await post("/latents/path", { ...model, points: anchors.map((row) => row.map(short)), frames, spherical: round });
    if (ended || mine !== turn) return;
    path = z;
    time.max = String(path.length - 1);
  }

  function show() {
    const at = time.valueAsNumber;
    if (!path[at]) return;
    // A class cannot be mixed: each picture has that of the nearer pin.
    studio.show(
      { z: path[at], label: labels[Math.min(labels.length - 1, Math.round(at / PER_LEG))] },
      `morph: ${at} of ${path.length - 1}`,
    );
  }

  function start() {
    if (path.length < 2) return;
    play.textContent = "Pause";
    let from = time.valueAsNumber >= path.length - 1 ? 0 : time.valueAsNumber;
    /** @type {number | null} */
    let began = null;
    let last = -1;
    const next = (/** @type {number} */ now) => {
      began ??= now;
      const at = Math.floor(from + (((now - began) / 1000) * PER_LEG) / LEG_SECONDS);
      if (at >= path.length) {
        [from, began] = [0, now];
      } else if (at !== last) {
        last = at;
        time.valueAsNumber = at;
        show();
      }
      playing = requestAnimationFrame(next);
    };
    playing = requestAnimationFrame(next);
  }

  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = "Play";
  }

  /** @param {string[]} next */
  function change(next) {
    texts = next;
    write({ pins: texts.join("_") || null }, { push: true });
    fill();
  }

  studio.atEnd(live.on(`latents.pins:${SLOT}`, (frame) => painted(frame)));
  studio.atEnd(live.on(`error:${SLOT}`, ({ error }) => say(error, "error")));
  studio.atEnd(() => {
    ended = true;
    stop();
  });
  return {
    root, fill,
    /** @param {string} text */
    add(text) {
      if (texts.includes(text)) say("This picture is pinned already.");
      else if (texts.length >= MOST) say(`There is room for ${MOST} pins.`);
      else change([...texts, text]);
    },
  };
}

/** @param {number} number */
function short(number) {
  return Math.round(number * 1e5) / 1e5;
}
