// What all pages have in common: what is shown, morphs, breeding, saving, buttons and keys. What draws the pictures, a
// `Painter`, is in the script after it: pixels.js for pixel networks, images.js for all others.

"use strict";

/**
 * @typedef {{name: string, z: number[]}} Subject
 * @typedef {{integers: string, scales: string, bits: 8 | 16} | {floats: string}} Numbers
 * @typedef {{name: string, subjects: Subject[], weights: Numbers, recipe: any, recipeKey: string}} Common
 * @typedef {Common & {
 *   source: string, lanes: number, width: number, channels: 1 | 3, scale: number, latentScale: number, latent: string,
 *   bias: string, palettes: Record<string, string>, palette: string,
 * }} PixelModel
 * @typedef {Common & {
 *   layers: Layer[], vectors: string, height: number, width: number, latent: number,
 *   prior: "normal" | "uniform", classes: string[], directions: number[][],
 * }} ImageModel
 */

/**
 * What draws the pictures of a kind of network.
 * @typedef {object} Painter
 * @property {() => void} show  draw `z` on the screen
 * @property {(latent: number[], canvas: HTMLCanvasElement) => void} thumbnail
 * @property {(latent: number[]) => number[]} fixed  the numbers of a latent that breeding keeps, from its end
 * @property {[name: string, text: string][]} sizes  of a file; the third is chosen at first
 * @property {(size: string, progress: (share: number) => void) => Promise<Blob>} file  the present picture
 * @property {Record<string, () => void>} actions  of further buttons, by id
 * @property {Record<string, () => void>} keys
 */

const BLOCK = 256; // numbers that share a scale, if weights are stored as integers

/** @template {HTMLElement} T @param {string} id @param {new () => T} kind @returns {T} */
function find(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`#${id} is missing`);
  return element;
}

const canvas = find("picture", HTMLCanvasElement);
const note = find("note", HTMLElement);

// -- The model ------------------------------------------------------------------------------------------------------

/** @type {PixelModel & ImageModel} one of both, as the script of the painter knows */
const model = JSON.parse(find("model", HTMLElement).textContent ?? "");

/** @param {string} text base64 */
function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** @param {string} text @returns {Float32Array<ArrayBuffer>} */
function floats(text) {
  return new Float32Array(bytes(text).buffer);
}

/** @param {Numbers} stored @returns {Float32Array<ArrayBuffer>} */
function numbers(stored) {
  if ("floats" in stored) return floats(stored.floats);
  const raw = bytes(stored.integers).buffer;
  const integers = stored.bits === 16 ? new Int16Array(raw) : new Int8Array(raw);
  const scales = floats(stored.scales);
  const values = new Float32Array(integers.length);
  for (let i = 0; i < values.length; i++) values[i] = integers[i] * scales[Math.floor(i / BLOCK)];
  return values;
}

// -- What is shown --------------------------------------------------------------------------------------------------

/** @type {Painter} */
let painter;
let z = model.subjects[0].z;
let source = model.subjects[0].name;
let chosen = 0; // among the subjects

/** @param {number[]} latent @param {string} name */
function use(latent, name) {
  z = latent;
  source = name;
  painter.show();
}

/** @type {HTMLButtonElement[]} */
const chips = [];

/** @param {Subject} subject */
function addChip(subject) {
  const chip = document.createElement("button");
  const index = chips.length;
  chip.textContent = subject.name.replace(/(.) seed 0$/, "$1");
  chip.onclick = () => choose(index);
  chip.onkeydown = (event) => event.key.startsWith("Arrow") && event.stopPropagation();
  chips.push(chip);
  find("subjects", HTMLElement).append(chip);
}

/** @param {number} index */
function choose(index) {
  stopMorph();
  mark(index);
  use(model.subjects[index].z, model.subjects[index].name);
}

/** @param {number} index  of the chip that looks pressed */
function mark(index) {
  chosen = index;
  chips.forEach((chip, i) => chip.setAttribute("aria-pressed", String(i === index)));
}

const given = model.subjects.length; // subjects that came with the page; those that are pinned follow

/** Keep what is shown as a further subject; a morph goes through these if there are two or more. */
function pin() {
  stopMorph();
  const subject = { name: `pin ${model.subjects.length - given + 1}`, z };
  model.subjects.push(subject);
  addChip(subject);
  mark(model.subjects.length - 1);
}

let morphing = 0;
const SECONDS = 3; // from one subject to the next

function morph() {
  if (morphing) return stopMorph();
  const begun = performance.now();
  const all = model.subjects;
  const visited = all.length - given > 1 ? all.slice(given) : all;
  const first = Math.max(0, visited.indexOf(all[chosen]));
  find("morph", HTMLButtonElement).setAttribute("aria-pressed", "true");
  const move = (/** @type {number} */ now) => {
    const time = (now - begun) / 1000 / SECONDS;
    const [a, b] = [0, 1].map((i) => visited[(first + Math.floor(time) + i) % visited.length]);
    const share = (1 - Math.cos(Math.PI * (time % 1))) / 2;
    use(a.z.map((value, i) => value + share * (b.z[i] - value)), `${a.name} to ${b.name}, ${share.toFixed(3)}`);
    mark(all.indexOf(a));
    morphing = requestAnimationFrame(move);
  };
  morphing = requestAnimationFrame(move);
}

function stopMorph() {
  cancelAnimationFrame(morphing);
  morphing = 0;
  find("morph", HTMLButtonElement).setAttribute("aria-pressed", "false");
}

// -- Walls of pictures ----------------------------------------------------------------------------------------------

/** @typedef {{z: number[], source: string, label: string}} Picture */

/** @param {HTMLElement} wall @param {Picture[]} pictures @param {(picture: Picture) => void} onChoice */
function hang(wall, pictures, onChoice) {
  const canvases = pictures.map(() => document.createElement("canvas"));
  wall.replaceChildren(...pictures.map((picture, i) => {
    const button = document.createElement("button");
    button.append(canvases[i]);
    button.setAttribute("aria-label", picture.label);
    button.onclick = () => onChoice(picture);
    return button;
  }));
  pictures.forEach((picture, i) => painter.thumbnail(picture.z, canvases[i]));
}

/** A number from N(0, 1). */
function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

const nine = find("nine", HTMLElement);
const children = find("children", HTMLElement);
const strength = find("strength", HTMLInputElement);
/** @type {{z: number[], source: string}[]} */
const ancestors = [];

/** A latent of the same length, turned by an angle towards a random one. @param {number[]} latent @param {number} angle */
function mutated(latent, angle) {
  const fixed = painter.fixed(latent);
  const free = latent.slice(0, latent.length - fixed.length);
  const length = Math.hypot(...free) || 1;
  const noise = free.map(normal);
  const along = noise.reduce((sum, value, i) => sum + value * free[i], 0) / length ** 2;
  const across = noise.map((value, i) => value - along * free[i]);
  const scale = length / (Math.hypot(...across) || 1);
  return [...free.map((value, i) => Math.cos(angle) * value + Math.sin(angle) * scale * across[i]), ...fixed];
}

function litter() {
  stopMorph();
  openWall(nine, "breed");
  const parent = { z, source };
  const family = Array.from({ length: 9 }, (_, i) => i === 4
    ? { ...parent, label: "the parent" }
    : { z: mutated(z, strength.valueAsNumber), source: "bred", label: `child ${i < 4 ? i + 1 : i}` });
  hang(children, family, (picture) => {
    ancestors.push(parent);
    use(picture.z, picture.source);
    litter();
  });
}

find("again", HTMLButtonElement).onclick = litter;
strength.onchange = litter;
find("back", HTMLButtonElement).onclick = () => {
  const parent = ancestors.pop();
  if (parent) use(parent.z, parent.source);
  litter();
};

/** @type {[wall: HTMLElement, button: string] | null} */
let opened = null;

/** Show a wall over the picture. @param {HTMLElement} wall @param {string} button  that opened it */
function openWall(wall, button) {
  if (opened && opened[0] !== wall) closeWall();
  opened = [wall, button];
  wall.hidden = false;
  find(button, HTMLButtonElement).setAttribute("aria-pressed", "true");
}

/** Close the wall, if one is open. */
function closeWall() {
  if (!opened) return;
  const [wall, button] = opened;
  opened = null;
  wall.hidden = true;
  find(button, HTMLButtonElement).setAttribute("aria-pressed", "false");
  canvas.focus();
}
for (const button of document.querySelectorAll("button.done")) button.addEventListener("click", closeWall);

// -- Saving ---------------------------------------------------------------------------------------------------------

const saving = find("saving", HTMLDialogElement);
const sizes = find("size", HTMLSelectElement);
saving.onclose = async () => {
  if (saving.returnValue !== "save") return;
  download(await painter.file(sizes.value, (share) => {
    note.textContent = `Painting: ${Math.round(100 * share)} %`;
  }));
  note.textContent = "";
};

/** @param {Blob} file */
function download(file) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = `${model.name}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A PNG file with a recipe. @param {HTMLCanvasElement} picture @param {any} recipe */
async function png(picture, recipe) {
  /** @type {Blob | null} */
  const blob = await new Promise((resolve) => picture.toBlob(resolve, "image/png"));
  if (!blob) throw new Error("this browser cannot save a picture of that size");
  return withText(await blob.arrayBuffer(), model.recipeKey, JSON.stringify(recipe));
}

/** A PNG file with a text in it, behind its first chunk. @param {ArrayBuffer} file @param {string} key @param {string} text */
function withText(file, key, text) {
  const ascii = text.replace(/[^\x20-\x7e]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const body = new TextEncoder().encode(`tEXt${key}\0${ascii}`);
  const chunk = new DataView(new ArrayBuffer(body.length + 8));
  chunk.setUint32(0, body.length - 4);
  new Uint8Array(chunk.buffer).set(body, 4);
  chunk.setUint32(4 + body.length, checksum(body));
  const head = 8 + 25; // the signature and IHDR
  return new Blob([file.slice(0, head), chunk.buffer, file.slice(head)], { type: "image/png" });
}

/** The CRC-32 of PNG. @param {Uint8Array} data */
function checksum(data) {
  let crc = ~0;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

// -- Buttons and keys -----------------------------------------------------------------------------------------------

let quiet = 0;
function wake() {
  document.body.classList.remove("quiet");
  clearTimeout(quiet);
  quiet = setTimeout(() => document.body.classList.add("quiet"), 4000);
}
for (const kind of ["pointermove", "pointerdown", "keydown"]) addEventListener(kind, wake);

function fullScreen() {
  void (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
}

/** Begin to show the first subject. @param {Painter} made */
function begin(made) {
  painter = made;
  /** @type {Record<string, () => void>} */
  const actions = {
    morph, pin, breed: () => (nine.hidden ? litter() : closeWall()), save: () => saving.showModal(), full: fullScreen,
    ...painter.actions,
  };
  for (const [id, action] of Object.entries(actions)) find(id, HTMLButtonElement).onclick = action;
  /** @type {Record<string, () => void>} */
  const keys = { m: morph, p: pin, b: actions.breed, s: actions.save, f: fullScreen, Escape: closeWall, ...painter.keys };
  addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.closest("select, input, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^\d$/.test(event.key) && Number(event.key) < model.subjects.length) choose(Number(event.key));
    else if (event.key in keys) keys[event.key]();
    else return;
    event.preventDefault();
  });
  for (const [name, text] of painter.sizes) sizes.append(new Option(text, name));
  sizes.selectedIndex = Math.min(2, painter.sizes.length - 1);
  for (const subject of model.subjects) addChip(subject);
  choose(0);
  wake();
}
