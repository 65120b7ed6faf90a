// Places in latent space, and their short form for the address bar.

import { get } from "./api.js";

/** @typedef {"f" | "p" | "r"} Kind  factorised, principal components, random */

/**
 * A place: a base, and offsets from it along the directions of a kind.
 * @typedef {object} Place
 * @property {string} base  a seed, or `z` and the packed latent of an image
 * @property {number} truncation  in percent; the base is multiplied by it
 * @property {number | null} label  number of the class
 * @property {Kind} kind
 * @property {number[]} offsets  in hundredths of a standard deviation
 */

/** @typedef {{vectors: number[][], stds: number[], shares: number[]}} Directions */

/** @type {Record<Kind, string>} */
export const KINDS = { f: "factorised", p: "principal", r: "random" };

/** @param {Place} place */
export function toText({ base, truncation, label, kind, offsets }) {
  const last = offsets.findLastIndex((offset) => offset !== 0);
  const words = offsets.slice(0, last + 1).map((offset) => `${offset < 0 ? "n" : "p"}${Math.abs(offset)}`);
  return [base, truncation, label ?? "", kind + words.join("")].join(".");
}

/**
 * The place in an address; null if it is none.
 * @param {string} text
 * @returns {Place | null}
 */
export function fromText(text) {
  const found = /^(\d{1,16}|z[\w*-]{6,}={0,2})\.(\d{1,3})\.(\d{0,5})\.([fpr])((?:[np]\d{1,4})*)$/.exec(text);
  if (!found) return null;
  const [, base, truncation, label, kind, offsets] = found;
  const numbers = [...offsets.matchAll(/([np])(\d+)/g)].map(([, sign, size]) => (sign === "n" ? -1 : 1) * Number(size));
  return {
    base,
    truncation: Math.min(200, Number(truncation)),
    label: label === "" ? null : Number(label),
    kind: /** @type {Kind} */ (kind),
    offsets: numbers.map((number) => number || 0),
  };
}

/**
 * A latent as text: one byte for each number, in units of the largest.
 * @param {number[]} z
 */
export function pack(z) {
  const scale = Math.max(1e-6, ...z.map(Math.abs));
  const bytes = new Uint8Array(4 + z.length);
  new DataView(bytes.buffer).setFloat32(0, scale, true);
  z.forEach((number, i) => {
    bytes[4 + i] = Math.round((number / scale) * 127) & 255;
  });
  const text = btoa(String.fromCharCode(...bytes));
  return `z${text.replaceAll("+", "-").replaceAll("/", "*").replaceAll("=", "")}`;
}

/** @param {string} text @returns {number[]} */
function unpack(text) {
  const bytes = Uint8Array.from(atob(text.slice(1).replaceAll("-", "+").replaceAll("*", "/")), (letter) => letter.charCodeAt(0));
  const scale = new DataView(bytes.buffer).getFloat32(0, true);
  return [...new Int8Array(bytes.buffer, 4)].map((number) => (number / 127) * scale);
}

/** The latents of places of one model. Everything from the server is kept. */
export class Space {
  /** @type {Map<string, Promise<number[]>>} */
  #bases = new Map();
  /** @type {Map<Kind, Promise<Directions>>} */
  #directions = new Map();

  /** @param {Record<string, any>} model  the run, checkpoint and weights, as the server wants them */
  constructor(model) {
    this.model = model;
  }

  /** @param {Kind} kind @returns {Promise<Directions>} */
  directions(kind) {
    let found = this.#directions.get(kind);
    if (!found) {
      found = get("/latents/directions", { ...this.model, kind: KINDS[kind] });
      this.#directions.set(kind, found);
      found.catch(() => this.#directions.delete(kind));
    }
    return found;
  }

  /** @param {string} base @returns {Promise<number[]>} */
  base(base) {
    let found = this.#bases.get(base);
    if (!found) {
      found = base.startsWith("z") ? Promise.resolve(unpack(base)) : get("/latents/seeds", { ...this.model, seed: base }).then(({ z }) => z[0]);
      this.#bases.set(base, found);
      found.catch(() => this.#bases.delete(base));
    }
    return found;
  }

  /** @param {Place} place @returns {Promise<number[]>} */
  async latent(place) {
    const moved = place.offsets.some((offset) => offset !== 0);
    const [base, directions] = await Promise.all([this.base(place.base), moved ? this.directions(place.kind) : null]);
    return shifted(base, place, directions);
  }
}

/**
 * The latent of a place, from its base and directions.
 * @param {number[]} base
 * @param {Place} place
 * @param {Directions | null} directions
 */
export function shifted(base, place, directions) {
  const z = base.map((number) => (number * place.truncation) / 100);
  if (!directions) return z;
  place.offsets.forEach((offset, i) => {
    const vector = directions.vectors[i];
    if (!offset || !vector) return;
    const step = (offset / 100) * directions.stds[i];
    for (let k = 0; k < z.length; k++) z[k] += step * vector[k];
  });
  return z;
}
