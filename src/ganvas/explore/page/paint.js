// The tab Paint: a picture of a pixel network that one moves over, saves, and films.

import { live } from "./api.js";
import { button, choice, el, say, slider } from "./dom.js";
import { savedFiles, savingForm } from "./saving.js";
import { href, write } from "./state.js";
import { anySeed, choices, firstSubject, fromState, networkChoice, networkOf, toState, toWord } from "./subject.js";
import { timeline } from "./timeline.js";
import { Viewer } from "./viewer.js";

/** @typedef {import("./subject.js").Subject} Subject */

export const title = "Paint";
const DEFAULTS = { x: 0, y: 0, zoom: 1 };

/** @type {import("./app.js").Tab["mount"]} */
export function mount(root, state) {
  /** @type {Subject} */
  let subject = fromState(state) ?? firstSubject();
  /** @type {{latent: number[], directions: number[][], channels: number, scale: number, classes?: string[], nimg?: number} | null} */
  let facts = null;
  let asked = 0; // the id of the last question about a network
  let writing = 0;

  const canvas = el("canvas", { tabIndex: 0, role: "img", class: "view" });
  const note = el("p", { class: "note", role: "status" });
  const where = el("p", { class: "where" });
  const viewer = new Viewer(canvas, {
    fields: () => (facts ? { ...networkOf(subject), latent: facts.latent } : null),
    changed: () => {
      tape.stop();
      note.textContent = "";
      said();
    },
    refused: (error) => (note.textContent = error),
    painted: () => said(),
  });

  // -- the controls

  const network = networkChoice(subject, (next) => choose({ ...next, seed: next.random ? (subject.seed ?? anySeed()) : (subject.seed ?? 0) }, true));
  const seed = el("input", {
    type: "number", min: 0, max: 2 ** 53 - 1, step: 1,
    onchange: () => seed.validity.valid && seed.value && choose({ ...subject, latent: undefined, seed: seed.valueAsNumber }),
  });
  const other = button("Another one", () => choose({ ...subject, latent: undefined, seed: anySeed() }), { title: "key n", "aria-keyshortcuts": "n" });
  const label = el("div", {});
  const sliders = el("div", { class: "sliders" });
  const palette = choice("Colours", ["auto"], "auto", (value) => {
    viewer.palette = value;
    write({ palette: value === "auto" ? null : value }, { push: true });
    viewer.ask();
  });
  const smooth = choice("Smoothness", [["1", "1 sample a pixel"], ["2", "2×2"], ["3", "3×3"], ["4", "4×4"]], "1", (value) => {
    viewer.supersample = Number(value);
    write({ ss: value === "1" ? null : value }, { push: true });
    viewer.ask();
  });
  const files = savedFiles();
  const tape = timeline({
    present: () => (facts ? { latent: facts.latent, ...viewer.view, image: viewer.thumbnail(96) } : null),
    show: (latent, view, playing) => {
      viewer.playing = playing;
      if (!facts) return;
      facts.latent = latent;
      viewer.ask({ x: view.x, y: view.y, zoom: view.zoom });
      if (!playing) {
        subject = { ...subject, latent, seed: undefined, label: undefined };
        showLatent();
        said();
      }
    },
    film: () => (facts ? { ...networkOf(subject), palette: viewer.palette } : null),
    films: () => choices().then((found) => found.films),
  });
  const saving = savingForm(() => (facts ? {
    ...networkOf(subject), ...(subject.latent ? { latent: subject.latent } : { seed: subject.seed, label: subject.label }), ...viewer.view,
    palette: viewer.palette, width: canvas.width, height: canvas.height,
  } : null));
  const breed = el("a", { href: "#breed", class: "button" }, "Breed from this picture");

  const hide = button("Hide controls", () => {
    const hidden = root.classList.toggle("alone");
    hide.textContent = hidden ? "Show controls" : "Hide controls";
  }, { title: "key h", "aria-keyshortcuts": "h", class: "hide" });

  root.append(
    el("div", { class: "controls" },
      el("section", { class: "panel form" }, el("h2", {}, "Network"), network),
      el("section", { class: "panel form" }, el("h2", {}, "Picture"),
        el("label", { class: "choice" }, el("span", {}, "Seed"), seed, other), label, sliders, palette, smooth, breed),
      el("section", { class: "panel" }, el("h2", {}, "Save"), saving, files.list),
      el("section", { class: "panel faint keyshelp" }, el("h2", {}, "Keys"),
        el("p", {}, "Drag or arrows: move. Wheel, pinch, double click, + and −: zoom. 0: back. n: another picture. a: add to the timeline. p: play. h: hide the controls."))),
    el("div", { class: "stage" },
      el("div", { class: "frame" }, canvas,
        el("div", { class: "buttons", role: "group", "aria-label": "Zoom" },
          button("+", () => viewer.zoom(1.5), { "aria-label": "Zoom in" }), button("−", () => viewer.zoom(1 / 1.5), { "aria-label": "Zoom out" }),
          button("0", () => viewer.key(new KeyboardEvent("keydown", { key: "0" })), { "aria-label": "Back to the whole picture" })),
        hide, note, where),
      tape.root));

  choices().then(({ palettes, more }) => {
    const select = /** @type {HTMLSelectElement} */ (palette.querySelector("select"));
    select.replaceChildren(el("option", { value: "auto" }, "auto"),
      ...palettes.map((name) => el("option", { value: name }, name)),
      el("optgroup", { label: "all others" }, ...more.map((name) => el("option", { value: name }, name))));
    select.value = viewer.palette;
  }, (error) => say(error.message, "error"));

  // -- what is painted

  /** Paint something else. @param {Subject} next @param {boolean} [fresh]  another network */
  function choose(next, fresh = false) {
    subject = next;
    if (fresh) viewer.view = { ...DEFAULTS };
    write({ ...toState(subject), ...place() }, { push: true });
    learn();
  }

  /** Ask about the network, then paint. */
  function learn() {
    note.textContent = "Loading the network …";
    network.show(subject);
    asked = live.send("describe", { ...networkOf(subject), ...(subject.latent ? { latent: subject.latent } : { seed: subject.seed ?? 0, label: subject.label }) });
  }

  /** @param {any} answer */
  function learned(answer) {
    if (answer.id !== asked) return;
    note.textContent = "";
    const changed = JSON.stringify(answer.directions) !== JSON.stringify(facts?.directions);
    facts = answer;
    if (subject.run && (subject.checkpoint ?? "last") === "last") subject.checkpoint = String(answer.nimg); // for a lasting address
    viewer.scale = answer.scale;
    if (changed) viewer.clear();
    const select = /** @type {HTMLSelectElement} */ (palette.querySelector("select"));
    select.disabled = answer.channels === 3;
    if (answer.channels === 3 && viewer.palette !== "auto") palette.value = viewer.palette = "auto";
    label.replaceChildren(...(answer.classes?.length && !subject.latent ? [choice("Class", [["", "by the seed"], ...answer.classes.map((/** @type {string} */ name) => [name, name])], subject.label ?? "", (value) => choose({ ...subject, label: value || undefined }))] : []));
    tape.use(toWord({ ...networkOf(subject), seed: 0 }));
    showLatent();
    viewer.ask();
    said();
  }

  /** The latent in the controls: its seed, and where it is along the main directions. */
  function showLatent() {
    if (!facts) return;
    seed.value = subject.latent ? "" : String(subject.seed ?? 0);
    seed.placeholder = subject.latent ? "changed" : "";
    const parts = facts.directions.map((direction, i) => {
      const along = dot(direction, /** @type {number[]} */ (facts?.latent));
      const part = slider(`Direction ${i + 1}`, { min: -6, max: 6, step: 0.01, value: Math.max(-6, Math.min(6, along)) }, (value) => {
        if (!facts) return;
        tape.stop();
        const more = value - dot(direction, facts.latent);
        const moved = new Float32Array(facts.latent.map((number, j) => number + more * direction[j]));
        facts.latent = [...moved];
        subject = { ...subject, latent: facts.latent, seed: undefined, label: undefined };
        seed.value = "";
        seed.placeholder = "changed";
        label.replaceChildren();
        viewer.ask();
        said();
      });
      return part;
    });
    sliders.replaceChildren(...parts);
  }

  /** The view in the address. */
  function place() {
    const { x, y, zoom } = viewer.view;
    return { x: x || null, y: y || null, zoom: zoom === 1 ? null : zoom };
  }

  /** Say where we are, in the address too, but not at every move of the pointer. */
  function said() {
    const { x, y, zoom } = viewer.view;
    where.textContent = `${short(zoom)}× at ${short(x)}, ${short(y)}`;
    const what = subject.random ?? subject.run ?? "";
    canvas.setAttribute("aria-label", `Painting of ${what}, zoom ${short(zoom)}. Arrow keys move, plus and minus zoom.`);
    if (writing || tape.playing) return;
    writing = setTimeout(() => {
      writing = 0;
      write({ ...toState(subject), ...place() });
      breed.href = href("breed", { parents: toWord(subject), palette: viewer.palette === "auto" ? null : viewer.palette });
    }, 200);
  }

  /** @param {import("./state.js").State} next */
  function read(next) {
    viewer.palette = next.palette ?? "auto";
    palette.value = viewer.palette;
    viewer.supersample = Math.max(1, Math.min(4, Number(next.ss) || 1));
    smooth.value = String(viewer.supersample);
    const zoom = Number(next.zoom);
    viewer.view = { x: Number(next.x) || 0, y: Number(next.y) || 0, zoom: zoom > 0 ? zoom : 1 };
  }

  /** @param {KeyboardEvent} event */
  function key(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea")) return;
    if (viewer.key(event)) return;
    if (event.key === "n") other.click();
    else if (event.key === "a") tape.add();
    else if (event.key === "p") tape.toggle();
    else if (event.key === "h") hide.click();
  }

  const stops = [
    live.on("describe", learned),
    live.on("error", (error) => {
      if (error.id === asked) note.textContent = error.error;
    }),
    live.on("open", learn),
    files.stop,
    () => viewer.stop(),
    () => tape.stop(),
    () => clearTimeout(writing),
  ];
  addEventListener("keydown", key);
  read(state);
  learn();
  return {
    update: (next) => {
      subject = fromState(next) ?? firstSubject();
      clearTimeout(writing);
      writing = 0;
      read(next);
      learn();
    },
    unmount: () => {
      removeEventListener("keydown", key);
      root.classList.remove("alone");
      for (const stop of stops) stop();
    },
  };
}

/** @param {number[]} a @param {number[]} b */
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

/** @param {number} value */
function short(value) {
  const rounded = Number(value.toPrecision(4));
  const long = rounded !== 0 && (Math.abs(rounded) >= 1e6 || Math.abs(rounded) < 1e-4);
  return long ? rounded.toExponential() : rounded.toString();
}
