// What is painted: a pixel network and a latent. Their short form is in the address; the choice of a network.

import { get } from "./api.js";
import { button, choice, el, say } from "./dom.js";

/**
 * A network, as the server takes it: of a run, or with random weights.
 * @typedef {{run?: string | null, checkpoint?: string, random?: string | null, std?: number | null, weights?: number, colour?: boolean, variations?: [number, number][]}} Network
 * A network with a latent, given by its numbers or by its seed.
 * @typedef {Network & {latent?: number[], seed?: number, label?: string}} Subject
 * @typedef {{runs: {name: string, checkpoints: number[]}[], palettes: string[], more: string[], films: string[]}} Choices
 */

const STD = { tanh: 0.45, softplus: 0.3, residual: 1 }; // of weights, for pictures that are neither flat nor noise
const SIZES = { tanh: ["4x32", "8x64", "12x64"], softplus: ["4x64", "4x128"], residual: ["8x6", "24x6"] };

/** @type {Promise<Choices> | null} */
let known = null;
/** What can be chosen. @returns {Promise<Choices>} */
export function choices() {
  known ??= get("/paint/choices").finally(() => setTimeout(() => (known = null), 5_000)); // new runs appear
  return /** @type {Promise<Choices>} */ (known);
}

/** @returns {Subject} */
export function firstSubject() {
  return { random: "tanh:8x64", std: 0.45, weights: 3, colour: false, seed: 3 };
}

/** The address of a subject. @param {Subject} subject @returns {Record<string, string | number | null>} */
export function toState(subject) {
  const random = subject.random ?? null;
  return {
    run: random ? null : (subject.run ?? null),
    checkpoint: random || subject.checkpoint === "last" ? null : (subject.checkpoint ?? null),
    random,
    std: random ? (subject.std ?? null) : null,
    weights: random ? (subject.weights ?? 0) : null,
    colour: random && subject.colour ? 1 : null,
    v: shortVariations(subject.variations ?? []) || null,
    z: subject.latent ? shortLatent(subject.latent) : null,
    seed: subject.latent ? null : (subject.seed ?? 0),
    label: subject.latent ? null : (subject.label ?? null),
  };
}

/** The subject in an address; null if there is none. @param {Record<string, string>} state @returns {Subject | null} */
export function fromState(state) {
  if (!state.run && !state.random) return null;
  /** @type {Subject} */
  const subject = state.random
    ? { random: state.random, std: state.std ? Number(state.std) : null, weights: whole(state.weights), colour: state.colour === "1" }
    : { run: state.run, checkpoint: state.checkpoint ?? "last" };
  subject.variations = longVariations(state.v ?? "");
  const latent = state.z ? longLatent(state.z) : null;
  if (latent) subject.latent = latent;
  else subject.seed = whole(state.seed);
  if (state.label && !latent) subject.label = state.label;
  return subject;
}

/** A genome as one word, for addresses with several. @param {Subject} subject */
export function toWord(subject) {
  return String(new URLSearchParams(Object.entries(toState(subject)).filter(([, value]) => value !== null).map(([key, value]) => [key, String(value)])));
}

/** @param {string} word */
export const fromWord = (word) => fromState(Object.fromEntries(new URLSearchParams(word)));

/** @param {Subject} subject @returns {Network} */
export function networkOf({ run, checkpoint, random, std, weights, colour, variations }) {
  return random ? { random, std, weights, colour, variations } : { run, checkpoint, variations };
}

/** In words. @param {Subject} subject */
export function nameOf(subject) {
  return subject.random ? `${subject.random}, weights ${subject.weights ?? 0}` : `${subject.run}`;
}

/** @param {[number, number][]} variations */
function shortVariations(variations) {
  return variations.map(([seed, amount]) => `${seed.toString(36)}.${Math.round(amount * 1e6).toString(36)}`).join("_");
}

/** @param {string} text @returns {[number, number][]} */
function longVariations(text) {
  const pairs = text.split("_").map((pair) => pair.split(".").map((word) => parseInt(word, 36)));
  return pairs.filter(([seed, amount]) => seed >= 0 && Number.isFinite(amount)).slice(0, 64)
    .map(([seed, amount]) => [seed, amount / 1e6]);
}

/** @param {number[]} latent */
function shortLatent(latent) {
  const bytes = new Uint8Array(new Float32Array(latent).buffer);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** @param {string} text @returns {number[] | null} */
function longLatent(text) {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const numbers = [...new Float32Array(bytes.buffer)];
    return numbers.length && numbers.every(Number.isFinite) ? numbers : null;
  } catch {
    return null;
  }
}

/** @param {string | undefined} text */
export function whole(text) {
  const number = Number(text ?? 0);
  return Number.isSafeInteger(number) && number >= 0 ? number : 0;
}

/** A seed that nobody has chosen. */
export const anySeed = () => Math.floor(Math.random() * 1_000_000);

/**
 * The choice of a network: a run, or random weights.
 * @param {Subject} subject
 * @param {(network: Network) => void} changed
 * @param {{weights?: boolean}} [options]  weights: whether the seed of the weights is chosen
 * @returns {HTMLElement & {show: (subject: Subject) => void}}
 */
export function networkChoice(subject, changed, { weights = true } = {}) {
  let now = subject;
  const place = el("div", { class: "network" });
  /** @type {Choices} */
  let found = { runs: [], palettes: [], more: [], films: [] };

  /** @param {Choices} choices */
  const fill = ({ runs }) => {
    const kind = now.random ? now.random.split(":")[0] : "";
    /** @type {(string | [string, string])[]} */
    const networks = [["tanh", "Random: tanh"], ["softplus", "Random: softplus"], ["residual", "Random: residual"]];
    const known = runs.some((run) => run.name === now.run);
    if (now.run && !known) networks.unshift([`run:${now.run}`, now.run]);
    networks.unshift(...runs.map(({ name }) => /** @type {[string, string]} */ ([`run:${name}`, name === "." ? "this run" : name])));
    const network = choice("Network", networks, now.random ? kind : `run:${now.run}`, (value) => {
      if (value.startsWith("run:")) changed({ run: value.slice(4), checkpoint: "last" });
      else random({ random: `${value}:${SIZES[/** @type {keyof SIZES} */ (value)].at(value === "tanh" ? 1 : -1)}`, std: STD[/** @type {keyof STD} */ (value)] });
    });
    if (now.random) place.replaceChildren(network, ...randomParts(kind));
    else {
      const checkpoints = runs.find((run) => run.name === now.run)?.checkpoints ?? [];
      /** @type {[string, string][]} */
      const options = [["last", "last"], ...[...checkpoints].reverse().map((n) => /** @type {[string, string]} */ ([`${n}`, `${n.toLocaleString("en")} images`]))];
      const chosen = now.checkpoint ?? "last";
      if (!options.some(([value]) => value === chosen)) options.push([chosen, chosen]);
      place.replaceChildren(network, choice("Checkpoint", options, chosen, (checkpoint) => changed({ run: now.run, checkpoint })));
    }
  };

  /** @param {Partial<Network>} change */
  const random = (change) => {
    const { std = STD.tanh, weights: seed = 0, colour = false } = now.random ? now : {};
    changed({ random: now.random, std, weights: seed, colour, ...change });
  };

  /** @param {string} kind */
  const randomParts = (kind) => {
    const size = now.random?.split(":")[1] ?? "";
    const sizes = SIZES[/** @type {keyof SIZES} */ (kind)] ?? [];
    const std = now.std ?? STD[/** @type {keyof STD} */ (kind)] ?? 0.45;
    const number = el("input", {
      type: "number", min: 0, max: 2 ** 53 - 1, step: 1, value: now.weights ?? 0,
      onchange: () => number.validity.valid && number.value && random({ weights: number.valueAsNumber }),
    });
    const calm = el("input", { type: "number", min: 0, max: 100, step: "any", value: std, title: "0.3 is calm, 0.6 wild (for tanh)",
      onchange: () => calm.validity.valid && calm.value && random({ std: calm.valueAsNumber }) });
    const colour = el("input", { type: "checkbox", checked: Boolean(now.colour), onchange: () => random({ colour: colour.checked }) });
    return [
      choice("Size", sizes.includes(size) ? sizes : [size, ...sizes], size, (value) => random({ random: `${kind}:${value}` })),
      el("label", { class: "choice" }, el("span", {}, "Wildness"), calm),
      ...(weights ? [el("label", { class: "choice" }, el("span", {}, "Weights"), number, button("Other", () => random({ weights: anySeed() }), { title: "other random weights" }))] : []),
      el("label", { class: "checkbox" }, colour, el("span", {}, "In colour")),
    ];
  };

  /** @param {Subject} next */
  const show = (next) => {
    now = next;
    fill(found);
    choices().then((answer) => fill((found = answer)), (error) => say(error.message, "error"));
  };
  show(subject);
  return Object.assign(place, { show });
}
