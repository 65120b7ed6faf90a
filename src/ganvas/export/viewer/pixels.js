// Paints a pixel network: every pixel is computed by the GPU, by the shader that comes with the model.

"use strict";

/** @typedef {{x: number, y: number, zoom: number}} Look  center and magnification */

const TEXELS = 256; // across the texture of weights
const COARSE = 1 / 30; // seconds that a picture may take while it moves
const STRIP = 1 / 20; // and a strip of the fine picture
const LIMIT = 8 * 2 ** -23; // distance of two pixels, as a share of the coordinates, below which float32 blurs them
const THUMBNAIL = 192;

const latentWeight = floats(model.latent);
const latentBias = floats(model.bias);

/** What a latent adds to the first layer. @param {number[]} latent */
function start(latent) {
  const sums = new Float32Array(4 * model.lanes);
  for (let unit = 0; unit < model.width; unit++) {
    let sum = latentBias[unit];
    for (let i = 0; i < latent.length; i++) sum += latentWeight[unit * latent.length + i] * latent[i] * model.latentScale;
    sums[unit] = sum;
  }
  return sums;
}

// -- The GPU --------------------------------------------------------------------------------------------------------

const surface = document.createElement("canvas");
const gl = /** @type {WebGL2RenderingContext} */ (surface.getContext("webgl2", { antialias: false, alpha: false }));
if (!gl) note.textContent = "This browser has no WebGL2, which paints the picture. Another browser may have it.";

const program = build(`#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
uniform sampler2D weights, colours;
uniform vec4 beginning[${model.lanes}];
uniform vec2 size, origin, center;
uniform float pixel;
uniform int samples, palette;
out vec4 colour;
vec4 weight(int at) { return texelFetch(weights, ivec2(at % ${TEXELS}, at / ${TEXELS}), 0); }
vec4 start(int lane) { return beginning[lane]; }
${model.source}
void main() {
  vec2 here = vec2(gl_FragCoord.x, size.y - gl_FragCoord.y) - 0.5 + origin;
  vec3 sum = vec3(0.0);
  for (int i = 0; i < samples * samples; i++) {
    vec2 within = (vec2(i % samples, i / samples) + 0.5) / float(samples) - 0.5;
    sum += paint((here + within) * pixel + center).rgb;
  }
  vec3 value = sum / float(samples * samples);
  colour = vec4(value, 1.0);
  if (CHANNELS == 1) {
    colour.rgb = palette == 0 ? vec3(1.0 - value.x) : vec3(value.x);
    if (palette == 2) colour.rgb = texture(colours, vec2((value.x * 255.0 + 0.5) / 256.0, 0.5)).rgb;
  }
}`);

/** @param {string} fragment */
function build(fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of /** @type {const} */ ([
    [gl.VERTEX_SHADER, "#version 300 es\nvoid main() { gl_Position = vec4(4 * (gl_VertexID & 1) - 1, 2 * (gl_VertexID & 2) - 1, 0, 1); }"],
    [gl.FRAGMENT_SHADER, fragment],
  ])) {
    const shader = /** @type {WebGLShader} */ (gl.createShader(kind));
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) {
    note.textContent = "This GPU cannot run the picture's shader.";
    throw new Error(gl.getProgramInfoLog(made) ?? "");
  }
  gl.useProgram(made);
  return made;
}

/** @param {string} name */
const uniform = (name) => gl.getUniformLocation(program, name);
const places = Object.fromEntries(
  ["weights", "colours", "beginning", "size", "origin", "center", "pixel", "samples", "palette"].map((name) => [name, uniform(name)]),
);

/** @param {number} unit @param {number} filter */
function texture(unit, filter) {
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
}

{
  const values = numbers(model.weights);
  const rows = Math.ceil(values.length / 4 / TEXELS);
  const filled = new Float32Array(4 * TEXELS * rows);
  filled.set(values);
  texture(0, gl.NEAREST);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, TEXELS, rows, 0, gl.RGBA, gl.FLOAT, filled);
  gl.uniform1i(places.weights, 0);
  texture(1, gl.LINEAR);
  gl.uniform1i(places.colours, 1);
}

/** @param {string} name ink, chalk, or a colour map */
function usePalette(name) {
  gl.uniform1i(places.palette, name === "ink" ? 0 : name === "chalk" ? 1 : 2);
  if (name in model.palettes) {
    gl.activeTexture(gl.TEXTURE1);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, 256, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, bytes(model.palettes[name]));
  }
}

/** The distance between two pixels of a picture. @param {number} zoom @param {number} width @param {number} height */
function step(zoom, width, height) {
  return (2 * model.scale) / zoom / Math.max(1, Math.min(width, height) - 1);
}

/**
 * Paint a part of a picture on `surface`, whose size becomes that of the part.
 * @param {number[]} latent
 * @param {Look} at
 * @param {number} width  of the whole picture, in pixels
 * @param {number} height
 * @param {number} top  first row of the part
 * @param {number} rows
 * @param {number} samples  per side of a pixel
 */
function paint(latent, at, width, height, top = 0, rows = height, samples = 1) {
  surface.width = width;
  surface.height = rows;
  gl.viewport(0, 0, width, rows);
  gl.uniform4fv(places.beginning, start(latent));
  gl.uniform2f(places.size, width, rows);
  gl.uniform2f(places.origin, -(width - 1) / 2, top - (height - 1) / 2);
  gl.uniform2f(places.center, at.x, at.y);
  gl.uniform1f(places.pixel, step(at.zoom, width, height));
  gl.uniform1i(places.samples, samples);
  gl.drawArrays(gl.TRIANGLES, 0, 3);
}

/** Wait until the GPU has painted. */
function finish() {
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
}

// -- The picture on the screen --------------------------------------------------------------------------------------

const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
/** @type {Look} */
const look = { x: 0, y: 0, zoom: 1 };
let perPixel = 1e-6; // seconds, measured again with every picture
let generation = 0; // of what is shown: a fine picture is given up when it changes
let frame = 0;

/** Show the present state: at once with fewer pixels, then finely. */
function show() {
  generation++;
  delete canvas.dataset.shown;
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    coarse();
    void fine(generation);
  });
}

/** The size of the canvas in pixels of the screen. */
function sides() {
  const ratio = devicePixelRatio || 1;
  return [Math.max(1, Math.round(innerWidth * ratio)), Math.max(1, Math.round(innerHeight * ratio))];
}

function coarse() {
  const [width, height] = sides();
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const shrink = Math.max(1, Math.sqrt((width * height * perPixel) / COARSE));
  const [w, h] = [Math.max(1, Math.round(width / shrink)), Math.max(1, Math.round(height / shrink))];
  const begun = performance.now();
  paint(z, look, w, h);
  finish();
  learn(begun, w * h);
  context.drawImage(surface, 0, 0, width, height);
  const reach = Math.max(1, Math.abs(look.x), Math.abs(look.y));
  note.textContent = step(look.zoom, width, height) < LIMIT * reach ? "Here float32 ends, with which GPUs compute: ganvas paint zooms in further." : "";
}

/** @param {number} mine */
async function fine(mine) {
  const [width, height] = sides();
  for (const samples of [1, 3]) {
    await new Promise((resolve) => setTimeout(resolve, samples === 1 ? 60 : 300));
    const rows = Math.max(1, Math.min(height, Math.floor(STRIP / (perPixel * width * samples * samples))));
    for (let top = 0; top < height; top += rows) {
      if (mine !== generation) return;
      const part = Math.min(rows, height - top);
      const begun = performance.now();
      paint(z, look, width, height, top, part, samples);
      finish();
      learn(begun, width * part * samples * samples);
      context.drawImage(surface, 0, top);
      if (top + part < height) await new Promise(requestAnimationFrame);
    }
  }
  canvas.dataset.shown = "fine";
}

/** @param {number} begun @param {number} pixels */
function learn(begun, pixels) {
  if (pixels > 4096) perPixel = Math.max(1e-10, (performance.now() - begun) / 1000 / pixels);
}

// -- Moving ---------------------------------------------------------------------------------------------------------

/** @type {Map<number, {x: number, y: number}>} */
const fingers = new Map();

/** Move by pixels of the page. @param {number} dx @param {number} dy */
function pan(dx, dy) {
  const unit = step(look.zoom, innerWidth, innerHeight);
  look.x -= dx * unit;
  look.y -= dy * unit;
  show();
}

/** Magnify; the place under (x, y) of the page stays. @param {number} factor @param {number} x @param {number} y */
function magnify(factor, x = innerWidth / 2, y = innerHeight / 2) {
  const before = step(look.zoom, innerWidth, innerHeight);
  look.zoom = Math.min(1e9, Math.max(1e-4, look.zoom * factor));
  const change = before - step(look.zoom, innerWidth, innerHeight);
  look.x += (x - innerWidth / 2) * change;
  look.y += (y - innerHeight / 2) * change;
  show();
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
});
canvas.addEventListener("pointermove", (event) => {
  const finger = fingers.get(event.pointerId);
  if (!finger) return;
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  const { clientX: x, clientY: y } = event;
  if (other) {
    const [before, after] = [Math.hypot(finger.x - other.x, finger.y - other.y), Math.hypot(x - other.x, y - other.y)];
    pan((x - finger.x) / 2, (y - finger.y) / 2);
    if (before > 0) magnify(after / before, (x + other.x) / 2, (y + other.y) / 2);
  } else pan(x - finger.x, y - finger.y);
  fingers.set(event.pointerId, { x, y });
});
for (const kind of /** @type {const} */ (["pointerup", "pointercancel"])) {
  canvas.addEventListener(kind, (event) => void fingers.delete(event.pointerId));
}
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  magnify(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX, event.clientY);
}, { passive: false });
canvas.addEventListener("dblclick", (event) => magnify(2, event.clientX, event.clientY));
addEventListener("resize", show);

// -- The page -------------------------------------------------------------------------------------------------------

const palettes = find("palette", HTMLSelectElement);
palettes.append(...(model.channels === 3 ? ["rgb"] : ["ink", "chalk", ...Object.keys(model.palettes)]).map((name) => new Option(name)));
palettes.value = model.palette;
palettes.onchange = () => {
  usePalette(palettes.value);
  show();
};
usePalette(model.palette);

/** @param {number[]} latent @param {HTMLCanvasElement} thumbnail */
function small(latent, thumbnail) {
  thumbnail.width = thumbnail.height = THUMBNAIL;
  paint(latent, { x: 0, y: 0, zoom: 1 }, THUMBNAIL, THUMBNAIL);
  /** @type {CanvasRenderingContext2D} */ (thumbnail.getContext("2d")).drawImage(surface, 0, 0);
}

/**
 * The present picture as a PNG file with its recipe.
 * @param {number} width
 * @param {number} height
 * @param {number} samples
 * @param {(share: number) => void} progress
 */
async function painting(width, height, samples, progress) {
  const whole = document.createElement("canvas");
  [whole.width, whole.height] = [width, height];
  const target = /** @type {CanvasRenderingContext2D} */ (whole.getContext("2d"));
  const [latent, here, name] = [z, { ...look }, source];
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP / (perPixel * width * samples * samples))));
  for (let top = 0; top < height; top += rows) {
    paint(latent, here, width, height, top, Math.min(rows, height - top), samples);
    target.drawImage(surface, 0, top);
    progress(top / height);
    await new Promise((resolve) => setTimeout(resolve));
  }
  const recipe = structuredClone(model.recipe);
  Object.assign(recipe.painting.subjects[0], { latent, source: name });
  Object.assign(recipe.painting.view, { width, height, center: [here.x, here.y], zoom: here.zoom, supersample: samples });
  recipe.painting.palette = palettes.value;
  return png(whole, recipe);
}

function home() {
  Object.assign(look, { x: 0, y: 0, zoom: 1 });
  show();
}

begin({
  show,
  thumbnail: small,
  fixed: () => [],
  sizes: [["screen", "as on the screen"], ...[512, 1080, 2160, 4096].map((side) => /** @type {[string, string]} */ ([String(side), `${side} × ${side}`]))],
  file(size, progress) {
    const [width, height] = size === "screen" ? sides() : [Number(size), Number(size)];
    return painting(width, height, width * height > 2 ** 22 ? 2 : 3, progress);
  },
  actions: { home },
  keys: {
    ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
    "+": () => magnify(1.25), "=": () => magnify(1.25), "-": () => magnify(0.8), Home: home,
  },
});
