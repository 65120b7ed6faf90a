// Draws the images of a generator that has one size: computed by network.js in a worker, enlarged by whole factors.

"use strict";

const ROWS = 6; // of the wall of samples
const COLUMNS = 8; // of it, unless it has one for each class
const MOST_COLUMNS = 12;
const SEAM = 2; // pixels between the samples in a file
const REACH = 6; // standard deviations from one side of the screen to the other

/** @typedef {{latent: number[], urgent: boolean, needed: () => boolean, done: (image: ImageData) => void}} Job */

// -- The worker, which computes one image after the other -----------------------------------------------------------

const script = new Blob([find("network", HTMLElement).textContent ?? ""], { type: "text/javascript" });
const worker = new Worker(URL.createObjectURL(script));
{
  const network = { layers: model.layers, matrices: numbers(model.weights), vectors: floats(model.vectors) };
  worker.postMessage(network, [network.matrices.buffer, network.vectors.buffer]);
}

/** @type {Job[]} */
let jobs = [];
/** @type {Job | null} */
let current = null;

/** @param {Job} job */
function order(job) {
  jobs = job.urgent ? [job, ...jobs.filter((other) => !other.urgent)] : [...jobs, job];
  next();
}

function next() {
  if (current) return;
  jobs = jobs.filter((job) => job.needed());
  current = jobs.shift() ?? null;
  if (current) worker.postMessage(Float32Array.from(current.latent));
}

/** @param {MessageEvent<Uint8ClampedArray<ArrayBuffer>>} message */
worker.onmessage = ({ data: pixels }) => {
  const job = /** @type {Job} */ (current);
  current = null;
  next();
  job.done(new ImageData(pixels, model.width, model.height));
};

/** @param {HTMLCanvasElement} on @param {ImageData} image */
function put(on, image) {
  [on.width, on.height] = [image.width, image.height];
  /** @type {CanvasRenderingContext2D} */ (on.getContext("2d")).putImageData(image, 0, 0);
}

/** @param {number[]} latent @returns {Promise<ImageData>} */
function draw(latent) {
  return new Promise((done) => order({ latent, urgent: false, needed: () => true, done }));
}

// -- The picture on the screen, and walks from it -------------------------------------------------------------------

document.body.classList.add("images");

function ask() {
  const latent = z;
  delete canvas.dataset.shown;
  const done = (/** @type {ImageData} */ image) => {
    put(canvas, image);
    if (latent === z) canvas.dataset.shown = "fine";
  };
  order({ latent, urgent: true, needed: () => true, done });
}

/** Where a walk is: at `z`, which is `from` moved along the two directions. */
const walk = { from: z, source, place: [0, 0], z };

/** Go on by standard deviations along the directions. @param {number} across @param {number} down */
function wander(across, down) {
  if (walk.z !== z) Object.assign(walk, { from: z, source, place: [0, 0] });
  stopMorph();
  walk.place = [walk.place[0] + across, walk.place[1] + down];
  note.textContent = "";
  const [x, y] = walk.place;
  walk.z = walk.from.map((value, i) => i < model.latent ? value + x * model.directions[0][i] + y * model.directions[1][i] : value);
  use(walk.z, walk.source);
}

/** Back to where the walk began. */
function turnBack() {
  if (walk.z === z) use(walk.from, walk.source);
}

/** @type {{id: number, x: number, y: number} | null} */
let finger = null;
canvas.addEventListener("pointerdown", ({ pointerId: id, clientX: x, clientY: y }) => {
  canvas.setPointerCapture(id);
  finger = { id, x, y };
});
canvas.addEventListener("pointermove", ({ pointerId: id, clientX: x, clientY: y }) => {
  if (finger?.id !== id) return;
  const unit = REACH / Math.min(innerWidth, innerHeight);
  wander((x - finger.x) * unit, (y - finger.y) * unit);
  finger = { id, x, y };
});
for (const kind of /** @type {const} */ (["pointerup", "pointercancel"])) canvas.addEventListener(kind, () => void (finger = null));

// -- Samples --------------------------------------------------------------------------------------------------------

const wall = find("samples", HTMLElement);
const kind = find("kind", HTMLSelectElement);
kind.append(...["all", ...model.classes].map((name, i) => new Option(name, String(i - 1))));
/** @type {HTMLElement} */ (kind.parentElement).hidden = !model.classes.length;
const several = model.classes.length > 1 && model.classes.length <= MOST_COLUMNS;
wall.style.setProperty("--columns", String(several ? model.classes.length : COLUMNS));
/** @type {Picture[]} */
let pictures = [];

/** A random latent. @param {number} label */
function random(label) {
  const numbers = Array.from({ length: model.latent }, model.prior === "normal" ? normal : () => 2 * Math.random() - 1);
  return [...numbers, ...model.classes.map((_, i) => Number(i === label))];
}

function others() {
  stopMorph();
  openWall(wall, "all");
  const count = ROWS * (several ? model.classes.length : COLUMNS);
  pictures = Array.from({ length: count }, (_, i) => {
    const label = Number(kind.value) < 0 ? i % model.classes.length : Number(kind.value);
    const name = model.classes.length ? `sample ${i + 1}, ${model.classes[label]}` : `sample ${i + 1}`;
    return { z: random(label), source: name, label: name };
  });
  hang(find("shown", HTMLElement), pictures, (picture) => {
    mark(-1);
    use(picture.z, picture.source);
    closeWall();
  });
}

kind.onchange = others;
find("new", HTMLButtonElement).onclick = others;
find("sheet", HTMLButtonElement).onclick = async () => download(await sheet());

/** All samples as a PNG file, enlarged by a whole factor. */
async function sheet() {
  const columns = pictures.length / ROWS;
  const [width, height] = [model.width + SEAM, model.height + SEAM];
  const whole = document.createElement("canvas");
  [whole.width, whole.height] = [columns * width + SEAM, ROWS * height + SEAM];
  const context = /** @type {CanvasRenderingContext2D} */ (whole.getContext("2d"));
  context.fillStyle = "white";
  context.fillRect(0, 0, whole.width, whole.height);
  const shown = pictures;
  for (const [i, picture] of shown.entries()) {
    context.putImageData(await draw(picture.z), SEAM + (i % columns) * width, SEAM + Math.floor(i / columns) * height);
  }
  const factor = Math.ceil(640 / Math.max(whole.width, whole.height));
  return png(enlarged(whole, factor), { ...model.recipe, latents: shown.map((picture) => picture.z) });
}

// -- The page -------------------------------------------------------------------------------------------------------

/** @param {HTMLCanvasElement} picture @param {number} factor */
function enlarged(picture, factor) {
  const large = document.createElement("canvas");
  [large.width, large.height] = [picture.width * factor, picture.height * factor];
  const context = /** @type {CanvasRenderingContext2D} */ (large.getContext("2d"));
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, 0, 0, large.width, large.height);
  return large;
}

const factors = [1, ...[256, 512, 1024, 2048].map((side) => Math.ceil(side / Math.max(model.width, model.height)))];
begin({
  show: ask,
  thumbnail(latent, thumbnail) {
    order({ latent, urgent: false, needed: () => thumbnail.isConnected, done: (image) => put(thumbnail, image) });
  },
  fixed: (latent) => latent.slice(model.latent),
  sizes: [...new Set(factors)].map((factor) => [String(factor), `${factor * model.width} × ${factor * model.height}`]),
  async file(size) {
    const latent = z;
    const picture = document.createElement("canvas");
    put(picture, await draw(latent));
    return png(enlarged(picture, Number(size)), { ...model.recipe, latents: [latent] });
  },
  actions: { home: turnBack, all: () => (wall.hidden ? others() : closeWall()) },
  keys: {
    ArrowLeft: () => wander(-0.3, 0), ArrowRight: () => wander(0.3, 0), ArrowUp: () => wander(0, -0.3), ArrowDown: () => wander(0, 0.3),
    Home: turnBack, a: () => (wall.hidden ? others() : closeWall()),
  },
});
others();
