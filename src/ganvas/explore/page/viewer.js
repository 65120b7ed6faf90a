// A canvas over an endless plane: drag, wheel, pinch, keys. The old picture moves at once, the new one follows.

import { live } from "./api.js";
import { toImageData } from "./pixels.js";

/** @typedef {import("./api.js").Frame} Frame */
/** @typedef {{x: number, y: number, zoom: number}} View  the center, and the magnification */

const MOST = 2 ** 22; // samples that the server paints at a time
const QUICK = 0.04; // seconds for a picture while something moves
const COARSEST = 8; // pixels of the screen a pixel of a coarse picture
const REST = 180; // milliseconds without motion before a picture is made smoother
const FURTHEST = 1e-6; // zoom

export class Viewer {
  /** @type {View} */
  view = { x: 0, y: 0, zoom: 1 };
  scale = 8;
  supersample = 1;
  palette = "auto";
  /** whether something moves by itself: only coarse pictures are asked for */
  playing = false;
  /** @type {{canvas: HTMLCanvasElement, view: View, exact: boolean} | null} the last picture */
  #picture = null;
  /** @type {{id: number, idle: boolean, sent: number, stamp: number, view: View, factor: number} | null} */
  #pending = null;
  #stamp = 0; // counts what is wanted
  #moved = 0; // time of the last motion
  #perSample = 0; // seconds, measured
  #drawing = 0;
  #timer = 0;
  /** @type {Map<number, {x: number, y: number}>} */
  #pointers = new Map();
  /** @type {(() => void)[]} */
  #stops = [];
  /** @type {View | null} the last view that could be painted */
  #good = null;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{fields: () => Record<string, any> | null, changed: (view: View) => void, refused: (error: string) => void, painted?: () => void}} page
   *   fields: what is painted, without the view; changed: the view was moved by hand
   */
  constructor(canvas, page) {
    this.canvas = canvas;
    this.page = page;
    this.slot = "paint";
    this.#stops.push(
      live.on(`paint:${this.slot}`, (frame) => this.#arrived(frame)),
      live.on(`error:${this.slot}`, (error) => this.#refused(error)),
      live.on("open", () => {
        this.#pending = null; // its answer is lost
        this.ask();
      }),
    );
    const watch = new ResizeObserver(() => this.#resize());
    watch.observe(canvas);
    this.#stops.push(() => watch.disconnect(), () => clearTimeout(this.#timer), () => cancelAnimationFrame(this.#drawing));
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.#pointers.delete(/** @type {PointerEvent} */ (event).pointerId));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 30 : 1;
      this.#zoomAt(this.#at(event), Math.exp(-Math.max(-300, Math.min(300, event.deltaY * lines)) * (event.ctrlKey ? 0.01 : 0.002)));
    }, { passive: false });
    canvas.addEventListener("dblclick", (event) => this.#zoomAt(this.#at(event), event.shiftKey ? 0.5 : 2));
    this.#resize();
  }

  stop() {
    for (const stop of this.#stops) stop();
  }

  /** The distance between pixels of a picture. @param {View} view @param {number} width @param {number} height */
  #step(view, width, height) {
    return (2 * this.scale) / view.zoom / Math.max(1, Math.min(width, height) - 1);
  }

  /** Something that is painted has changed: another latent, palette, or view. @param {View} [view] */
  ask(view) {
    if (view) this.view = { ...view };
    this.#stamp++;
    delete this.canvas.dataset.settled;
    this.#moved = performance.now();
    this.#redraw();
    this.#send();
  }

  /** Forget the picture of another network. */
  clear() {
    this.#picture = null;
    this.#good = null;
    this.#perSample = 0;
    this.#redraw();
  }

  /** Pan by a part of what is seen. @param {number} right @param {number} down */
  pan(right, down) {
    const side = Math.min(this.canvas.width, this.canvas.height);
    this.#shift(right * side, down * side);
  }

  /** Zoom at the center. @param {number} factor */
  zoom(factor) {
    this.#zoomAt({ x: (this.canvas.width - 1) / 2, y: (this.canvas.height - 1) / 2 }, factor);
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether it was a key of the viewer */
  key(event) {
    const pans = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const pan = pans[/** @type {keyof pans} */ (event.key)];
    if (pan) this.pan(pan[0] * 0.1, pan[1] * 0.1);
    else if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(0.8);
    else if (event.key === "0") this.#go({ x: 0, y: 0, zoom: 1 });
    else return false;
    event.preventDefault();
    return true;
  }

  /** @param {View} view */
  #go(view) {
    this.ask(view);
    this.page.changed(this.view);
  }

  /** @param {number} right pixels @param {number} down */
  #shift(right, down) {
    const step = this.#step(this.view, this.canvas.width, this.canvas.height);
    this.#go({ ...this.view, x: this.view.x + right * step, y: this.view.y + down * step });
  }

  /** Zoom around a pixel, which stays where it is. @param {{x: number, y: number}} at @param {number} factor */
  #zoomAt(at, factor) {
    const { width, height } = this.canvas;
    const zoom = Math.max(FURTHEST, this.view.zoom * factor);
    const before = this.#step(this.view, width, height);
    const after = this.#step({ ...this.view, zoom }, width, height);
    const [right, down] = [at.x - (width - 1) / 2, at.y - (height - 1) / 2];
    this.#go({ x: this.view.x + right * (before - after), y: this.view.y + down * (before - after), zoom });
  }

  /** The pixel under the pointer. @param {MouseEvent} event */
  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / box.width;
    return { x: (event.clientX - box.left) * ratio, y: (event.clientY - box.top) * ratio };
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button > 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#at(event));
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#at(event);
    this.#pointers.set(event.pointerId, now);
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) {
      this.#shift(before.x - now.x, before.y - now.y);
      return;
    }
    // Two fingers: the point between them moves along, and their distance is the zoom.
    const distance = (/** @type {{x: number, y: number}} */ p) => Math.hypot(p.x - other.x, p.y - other.y) || 1;
    this.#shift((before.x - now.x) / 2, (before.y - now.y) / 2);
    this.#zoomAt({ x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 }, distance(now) / distance(before));
  }

  #resize() {
    const box = this.canvas.getBoundingClientRect();
    if (!box.width || !box.height) return;
    const ratio = Math.min(devicePixelRatio || 1, Math.sqrt(MOST / (box.width * box.height)) * 0.999);
    const [width, height] = [box.width, box.height].map((side) => Math.max(1, Math.round(side * ratio)));
    if (width === this.canvas.width && height === this.canvas.height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.ask();
  }

  #redraw() {
    this.#drawing ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.#drawing);
    this.#drawing = 0;
    const context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d", { alpha: false }));
    const { width, height } = this.canvas;
    context.fillStyle = "#808080";
    context.fillRect(0, 0, width, height);
    if (!this.#picture) return;
    const { canvas, view } = this.#picture;
    const step = this.#step(this.view, width, height);
    const larger = this.#step(view, canvas.width, canvas.height) / step;
    const left = (width - 1) / 2 + (view.x - this.view.x) / step + 0.5 - (larger * canvas.width) / 2;
    const top = (height - 1) / 2 + (view.y - this.view.y) / step + 0.5 - (larger * canvas.height) / 2;
    context.imageSmoothingEnabled = Math.abs(larger - 1) > 1e-9 || !this.#picture.exact;
    context.drawImage(canvas, left, top, larger * canvas.width, larger * canvas.height);
  }

  /** Ask for the best picture that there is time for, unless one is on its way. */
  #send() {
    clearTimeout(this.#timer);
    const fields = this.page.fields();
    const { width, height } = this.canvas;
    if (!fields || width < 2 || (this.#pending && !this.#pending.idle)) return;
    const still = !this.playing && performance.now() - this.#moved > REST;
    const quick = this.#perSample ? Math.ceil(Math.sqrt((width * height * this.#perSample) / QUICK)) : 4;
    let [factor, supersample] = [Math.max(1, Math.min(COARSEST, quick)), 1];
    const shown = this.#shown;
    if (shown.stamp === this.#stamp) {
      // What is wanted is there, but coarse: when nothing moves, it is painted finer.
      const most = Math.floor(Math.sqrt(MOST / (width * height)));
      const finest = this.playing ? 1 : Math.max(1, Math.min(this.supersample, most));
      if (shown.factor === 1 && shown.supersample >= finest) {
        this.canvas.dataset.settled = "true";
        return;
      }
      if (!still) {
        this.#timer = setTimeout(() => this.#send(), REST + 10 - Math.min(REST, performance.now() - this.#moved));
        return;
      }
      [factor, supersample] = shown.factor > 1 ? [1, 1] : [1, finest];
    }
    const idle = shown.stamp === this.#stamp;
    if (this.#pending?.idle && this.#pending.stamp === this.#stamp) return;
    const message = {
      ...fields, ...this.view, palette: this.palette, slot: this.slot, idle, supersample,
      width: Math.max(1, Math.ceil(width / factor)), height: Math.max(1, Math.ceil(height / factor)),
    };
    const sent = performance.now();
    this.#pending = { id: live.send("paint", message), idle, sent, stamp: this.#stamp, view: { ...this.view }, factor };
  }

  #shown = { stamp: -1, factor: 0, supersample: 0 };

  /** @param {Frame} frame */
  #arrived(frame) {
    const pending = this.#pending;
    if (!pending || frame.id !== pending.id) return; // given up
    this.#pending = null;
    if (!frame.pixels) { // given up for something else
      this.#send();
      return;
    }
    const samples = frame.width * frame.height * frame.supersample ** 2;
    const each = frame.seconds / samples;
    if (samples > 4_000) this.#perSample = this.#perSample ? 0.7 * this.#perSample + 0.3 * each : each;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [frame.width, frame.height];
    /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(toImageData(frame), 0, 0);
    this.#picture = { canvas, view: pending.view, exact: pending.factor === 1 };
    this.#good = pending.view;
    this.#shown = { stamp: pending.stamp, factor: pending.factor, supersample: frame.supersample };
    this.#draw();
    const detail = { milliseconds: performance.now() - pending.sent, painting: 1000 * frame.seconds, waiting: 1000 * frame.waited,
      width: frame.width, height: frame.height, factor: pending.factor, supersample: frame.supersample };
    this.canvas.dispatchEvent(new CustomEvent("painted", { detail }));
    this.page.painted?.();
    this.#send();
  }

  /** @param {{id?: number, error?: string}} message */
  #refused(message) {
    if (message.id !== this.#pending?.id) return;
    const { stamp } = /** @type {{stamp: number}} */ (this.#pending);
    this.#pending = null;
    this.page.refused(message.error ?? "");
    if (this.#good && stamp === this.#stamp && (this.#good.zoom !== this.view.zoom || this.#good.x !== this.view.x || this.#good.y !== this.view.y)) {
      this.#go(this.#good); // as far as it goes
    } else if (stamp !== this.#stamp) this.#send();
  }

  /** The picture as it is shown, small. @param {number} side pixels */
  thumbnail(side) {
    const canvas = document.createElement("canvas");
    const { width, height } = this.canvas;
    const square = Math.min(width, height);
    canvas.width = canvas.height = side;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.drawImage(this.canvas, (width - square) / 2, (height - square) / 2, square, square, 0, 0, side, side);
    return canvas.toDataURL("image/webp", 0.8);
  }
}
