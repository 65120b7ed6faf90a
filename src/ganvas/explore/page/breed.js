// The tab Breed: nine pictures; one or two are chosen, and have children.
//
// The address holds the parents, the strength and a seed, from which the server makes the same nine pictures again. The
// pedigree, the generations that were seen, is kept for as long as the page is open.

import { live } from "./api.js";
import { button, choice, el, say, slider } from "./dom.js";
import { draw } from "./pixels.js";
import { begin } from "./saving.js";
import { href, read, write } from "./state.js";
import { anySeed, choices, firstSubject, fromState, fromWord, networkChoice, networkOf, toState, toWord, whole } from "./subject.js";

/** @typedef {import("./subject.js").Subject} Subject */
/** @typedef {{address: string, from: string | null, images: string[], number: number}} Generation  images: its parents, small */

export const title = "Breed";
const COUNT = 9;
const KEYS = ["KeyQ", "KeyW", "KeyE", "KeyA", "KeyS", "KeyD", "KeyZ", "KeyX", "KeyC"]; // as they lie on the keyboard
const SIDE = 240; // pixels of a picture
const KEPT = 60; // generations

/** @type {import("./app.js").Tab["mount"]} */
export function mount(root, state) {
  /** @type {Subject[]} */
  let parents = [];
  /** @type {Subject} */
  let start = { ...firstSubject(), seed: undefined };
  /** @type {Subject[]} */
  let children = [];
  /** @type {number[]} */
  let chosen = [];
  let seed = 0;
  let strength = 0.05;
  let palette = "auto";
  let asked = 0;
  const ids = Array(COUNT).fill(-1); // of the messages that ask for the pictures

  const cells = Array.from({ length: COUNT }, (_, i) => {
    const canvas = el("canvas", { width: SIDE, height: SIDE, "aria-hidden": "true" });
    const pick = button("", () => toggle(i), { class: "picture", "aria-pressed": "false", "aria-keyshortcuts": KEYS[i].slice(3).toLowerCase() });
    pick.append(canvas, el("span", { class: "mark", "aria-hidden": "true" }));
    const save = button("Save", () => begin("/paint/save", { ...children[i], palette, width: 1080, height: 1080, supersample: 2, ending: ".png" }), { "aria-label": `Save picture ${i + 1} as PNG of 1080 × 1080, with its recipe` });
    const paint = el("a", { href: "#paint", "aria-label": `Paint picture ${i + 1}` }, "Paint");
    return { canvas, pick, paint, save, root: el("li", {}, pick, el("div", { class: "row" }, el("kbd", { "aria-hidden": "true" }, KEYS[i].slice(3).toLowerCase()), paint, save)) };
  });
  const grid = el("ol", { class: "nine", "aria-label": "Nine pictures" }, ...cells.map((cell) => cell.root));
  const heading = el("p", { class: "heading", role: "status" }); // above the pictures, with what one does with them
  const go = button("Mutate", () => next(), { class: "primary", title: "key m", "aria-keyshortcuts": "m" });
  const network = networkChoice(start, (chosenNetwork) => {
    start = chosenNetwork;
    restart();
  }, { weights: false });
  // The slider is logarithmic: small strengths matter most.
  const amount = slider("Strength", {
    min: 1, max: 100, step: 1, value: toSlider(strength), title: "how much children differ from their parents", text: (value) => String(round(fromSlider(value), 2)),
  }, (value) => {
    strength = fromSlider(value);
  });
  const colours = choice("Colours", ["auto"], "auto", (value) => {
    palette = value;
    write({ palette: value === "auto" ? null : value }, { push: true });
    paint();
  });
  const tree = el("ol", { class: "pedigree", "aria-label": "Generations" });
  const again = button("Again", () => visit({ seed: anySeed() }), { title: "other children of the same parents: key r", "aria-keyshortcuts": "r" });

  root.append(
    el("div", { class: "controls" },
      el("section", { class: "panel form" }, el("h2", {}, "Breed"),
        el("p", { class: "faint" }, "Choose the picture that you like best, or two, and see their children. Go on until it is yours."),
        amount, colours),
      el("section", { class: "panel form" }, el("h2", {}, "Start"), network, button("Nine new pictures", () => restart(), { title: "key n", "aria-keyshortcuts": "n" })),
      el("section", { class: "panel" }, el("h2", {}, "Pedigree"), tree),
      el("section", { class: "panel faint keyshelp" }, el("h2", {}, "Keys"), el("p", {}, "q w e, a s d, z x c: choose. m: mutate or cross. r: again. n: nine new pictures."))),
    el("section", { class: "litter", "aria-label": "Pictures" }, el("div", { class: "row acts" }, heading, again, go), grid));

  choices().then(({ palettes, more }) => {
    const select = /** @type {HTMLSelectElement} */ (colours.querySelector("select"));
    select.replaceChildren(...["auto", ...palettes].map((name) => el("option", { value: name }, name)),
      el("optgroup", { label: "all others" }, ...more.map((name) => el("option", { value: name }, name))));
    select.value = palette;
  }, (error) => say(error.message, "error"));

  // -- going on

  /** @param {number} i */
  function toggle(i) {
    chosen = chosen.includes(i) ? chosen.filter((each) => each !== i) : [...chosen.slice(-1), i];
    mark();
  }

  function mark() {
    cells.forEach(({ pick }, i) => {
      pick.setAttribute("aria-pressed", String(chosen.includes(i)));
      pick.setAttribute("aria-label", `Picture ${i + 1}${chosen.includes(i) ? ", chosen" : ""}`);
    });
    go.disabled = !chosen.length;
    go.textContent = chosen.length === 2 ? "Cross the two" : "Mutate";
    again.disabled = !parents.length;
  }

  /** Children of what is chosen. */
  function next() {
    if (!chosen.length) return say("Choose one picture or two first.");
    const images = chosen.map((i) => small(cells[i].canvas));
    visit({ parents: chosen.map((i) => toWord(children[i])).join(" "), seed: anySeed() }, images);
  }

  function restart() {
    visit({ parents: null, ...toState(start), label: null, z: null, v: null, weights: null, seed: anySeed() });
  }

  /** Go to another generation, which the back button leaves again. @param {Record<string, any>} changes @param {string[]} [images] */
  function visit(changes, images) {
    const from = location.hash;
    write({ ...changes, strength: round(strength) }, { push: true });
    if (images) remember(from, images);
    follow(read().state);
  }

  /** Show what an address says. @param {Record<string, string>} now */
  function follow(now) {
    parents = (now.parents ?? "").split(" ").filter(Boolean).slice(0, 2).map(fromWord).filter((each) => each !== null);
    start = fromState({ ...now, z: "", v: "", label: "" }) ?? start;
    seed = whole(now.seed);
    strength = Math.min(1.5, Number(now.strength) > 0 ? Number(now.strength) : 0.05);
    palette = now.palette ?? "auto";
    amount.value = toSlider(strength);
    colours.value = palette;
    network.show(start);
    chosen = [];
    heading.textContent = parents.length === 2 ? "Children of two: the first is most like one of them, the last like the other" : parents.length ? "Children of one picture" : "Nine random pictures";
    mark();
    showTree();
    for (const { pick } of cells) pick.classList.add("coming");
    ids.fill(-1); // what the generation before asked for may still be on its way
    asked = -1;
    if (parents.length) {
      asked = live.send("breed", { parents, seed, strength });
    } else {
      // Random networks have other weights each; of a run, the latents differ.
      born(Array.from({ length: COUNT }, (_, i) => ({ ...networkOf(start), ...(start.random ? { weights: seed + i } : {}), variations: [], seed: seed + i })));
    }
  }

  /** @param {Subject[]} next */
  function born(next) {
    children = next;
    paint();
    cells.forEach(({ paint: link }, i) => (link.href = href("paint", { ...toState(children[i]), palette: palette === "auto" ? null : palette })));
  }

  function paint() {
    children.forEach((child, i) => {
      cells[i].pick.classList.add("coming");
      ids[i] = live.send("paint", { ...child, palette: palette === "auto" || child.colour ? "auto" : palette, width: SIDE, height: SIDE, slot: `child${i}` });
    });
  }

  // -- the pedigree

  /** @returns {Generation[]} */
  function pedigree() {
    try {
      return JSON.parse(sessionStorage.getItem("pedigree") ?? "[]");
    } catch {
      return [];
    }
  }

  /** @param {string} from @param {string[]} images */
  function remember(from, images) {
    const before = pedigree();
    const number = (before.find((each) => each.address === from)?.number ?? 0) + 1;
    const kept = [...before, { address: location.hash, from, images, number }].slice(-KEPT);
    try {
      sessionStorage.setItem("pedigree", JSON.stringify(kept));
    } catch { /* full, or not allowed: the back button still works */ }
  }

  function showTree() {
    const all = pedigree();
    tree.replaceChildren(...all.toReversed().map((each) => {
      const link = el("a", { href: each.address, "aria-label": `Generation ${each.number}`, "aria-current": each.address === location.hash ? "page" : null }, ...each.images.map((image) => el("img", { src: image, alt: "" })), el("span", {}, `Generation ${each.number}`));
      return el("li", {}, link, each.from ? el("a", { href: each.from, class: "faint", "aria-label": `What generation ${each.number} came from` }, "from") : null);
    }));
    if (!all.length) tree.append(el("li", { class: "faint" }, "Each step is kept here: choose one to go back to it."));
  }

  /** @param {KeyboardEvent} event */
  function key(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea")) return;
    const place = KEYS.indexOf(event.code);
    if (place >= 0) {
      toggle(place);
      cells[place].pick.focus();
    } else if (event.key === "m") next();
    else if (event.key === "r") again.click();
    else if (event.key === "n") restart();
  }

  const stops = [
    live.on("breed", (answer) => answer.id === asked && born(answer.children)),
    live.on("error", (error) => error.id === asked && say(error.error, "error")),
    live.on("open", () => follow(read().state)),
    ...cells.flatMap(({ canvas, pick }, i) => [
      live.on(`paint:child${i}`, (frame) => {
        if (frame.id !== ids[i]) return;
        draw(canvas, frame);
        pick.classList.remove("coming");
      }),
      live.on(`error:child${i}`, (error) => i === 0 && say(error.error, "error")),
    ]),
  ];
  addEventListener("keydown", key);
  if (!state.parents && !state.seed) write({ seed: 0, ...toState({ ...start, ...(fromState(state) ?? {}), seed: whole(state.seed) }), weights: null });
  follow(read().state);
  return {
    update: follow,
    unmount: () => {
      removeEventListener("keydown", key);
      for (const stop of stops) stop();
    },
  };
}

/** @param {HTMLCanvasElement} canvas */
function small(canvas) {
  const copy = el("canvas", { width: 64, height: 64 });
  /** @type {CanvasRenderingContext2D} */ (copy.getContext("2d")).drawImage(canvas, 0, 0, 64, 64);
  return copy.toDataURL("image/webp", 0.8);
}

/** From 1..100 to 0.005..1, and back. @param {number} value */
const fromSlider = (value) => 0.005 * 200 ** ((value - 1) / 99);
/** @param {number} strength */
const toSlider = (strength) => Math.round(1 + (99 * Math.log(Math.max(0.005, strength) / 0.005)) / Math.log(200));
/** @param {number} value @param {number} [digits] */
const round = (value, digits = 3) => Number(value.toPrecision(digits));
