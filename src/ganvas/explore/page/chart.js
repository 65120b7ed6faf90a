// A line chart on a canvas: crisp on any screen, thousands of points, values and zoom by pointer, fingers and keyboard.

import { el } from "./dom.js";

/**
 * Values, sorted by x.
 * @typedef {{x: number[], y: number[]}} Points
 * A curve; with several `runs`, their mean and a band from the lowest to the highest. `colour` is a variable of style.css,
 * `dash` the kind of line. `dots` draws single points, as for evaluations, which lie far apart.
 * @typedef {{name: string, colour: string, dash?: number, dots?: boolean, runs: Points[]}} Series
 * @typedef {Points & {low?: number[], high?: number[]}} Curve
 * @typedef {{x: number, colour: string, text: string}} Mark
 * @typedef {{series: Series[], marks?: Mark[], xName: string, xText: (x: number) => string, xTick?: (x: number) => string,
 *   log?: boolean, smooth?: number, bounds?: [number, number], range: [number, number], whole: [number, number]}} Data
 *   range: what is seen of the whole
 */

const HEIGHT = 190; // CSS pixels
const EDGE = { left: 52, right: 10, top: 8, bottom: 22 };
const TICKS_X = 70; // CSS pixels between two labels, at least
const TICKS_Y = 34;
const DRAGGED = 6; // CSS pixels from which on a press is the choice of a range
const SMALLEST = 1e-4; // part of the whole that can be seen alone
const DASHES = [[], [6, 4], [2, 3]];
const LINES = ["", "dash", "dot"]; // the same in style.css

export class Chart {
  /** @type {Data} */
  #data = { series: [], xName: "", xText: String, range: [0, 1], whole: [0, 1] };
  /** @type {Curve[]} what is drawn of each series: smoothed, without what a log scale lacks */
  #curves = [];
  #x = [0, 1];
  #y = [0, 1];
  #width = 0;
  /** @type {number | null} */
  #cursor = null;
  #pending = false;
  #stale = true; // whether the curves have to be drawn again, or only what lies at the cursor
  /** @type {Map<number, {at: number, x: number}>} fingers, or a pressed mouse: where they are in CSS pixels, and the x that they hold */
  #pressed = new Map();
  /** @type {number | null} where the choice of a range began */
  #from = null;

  /**
   * @param {string} title
   * @param {string} help  what the quantity means
   * @param {(x: number | null) => void} moved  called when the reader points at another x
   * @param {(range: [number, number] | null) => void} zoomed  called when the reader chooses a part of x; null: the whole
   */
  constructor(title, help, moved, zoomed) {
    this.moved = moved;
    this.zoomed = zoomed;
    this.canvas = el("canvas", {}); // axes and curves
    this.top = el("canvas", {}); // the cursor
    this.probe = el("span", { hidden: true });
    this.plot = el("div", { class: "plot", tabIndex: 0, role: "slider", "aria-label": title, "aria-orientation": "horizontal" }, this.canvas, this.top, this.probe);
    this.legend = el("ul", { class: "legend" });
    this.note = el("p", { class: "faint at" });
    this.root = el("figure", { class: "chart panel" }, el("figcaption", { title: help }, el("h3", {}, title), this.note), this.plot, this.legend);
    this.plot.addEventListener("pointermove", (event) => this.#move(event));
    this.plot.addEventListener("pointerdown", (event) => this.#press(event));
    this.plot.addEventListener("pointerup", (event) => this.#release(event, true));
    this.plot.addEventListener("pointercancel", (event) => this.#release(event, false));
    this.plot.addEventListener("pointerleave", () => moved(null));
    this.plot.addEventListener("dblclick", () => zoomed(null));
    this.plot.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return; // two fingers on a touch pad; anything else scrolls the page
      event.preventDefault();
      this.#zoom(this.#at(this.#offset(event)), Math.exp(event.deltaY * 0.01));
    }, { passive: false });
    this.plot.addEventListener("keydown", (event) => this.#key(event));
    this.plot.addEventListener("blur", () => moved(null));
    this.resized = new ResizeObserver(() => {
      this.#width = this.plot.clientWidth;
      this.#stale = true;
      this.#soon();
    });
    this.resized.observe(this.plot);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => {
      this.#stale = true;
      this.#soon();
    };
    this.scheme.addEventListener("change", this.repaint);
  }

  close() {
    this.scheme.removeEventListener("change", this.repaint);
    this.resized.disconnect();
  }

  /** @param {Data} data */
  set(data) {
    this.#data = data;
    this.#curves = data.series.map((series) => together(series.runs.map((run) => prepared(run, data.log ?? false, series.dots ? 0 : data.smooth ?? 0))));
    this.#x = data.range;
    const [low, high] = data.range;
    const seen = range(data.series.flatMap(({ runs }) => runs.map(({ x, y }) => y.filter((value, i) => x[i] >= low && x[i] <= high && (value > 0 || !data.log)))));
    this.#y = data.log ? logged(seen) : padded(seen, data.bounds);
    this.legend.replaceChildren(...data.series.map((series) => el("li", { class: LINES[(series.dash ?? 0) % LINES.length], "--c": `var(${series.colour})` },
      el("span", { class: "name" }, series.name), el("output", {}))));
    this.#read();
    this.#stale = true;
    this.#soon();
  }

  /** Show the values at x, or the last ones. @param {number | null} x */
  point(x) {
    if (x === this.#cursor) return;
    this.#cursor = x;
    this.#read();
    this.#soon();
  }

  /** The values at the cursor, or the last ones, as text. */
  #read() {
    const { series, xText, marks = [] } = this.#data;
    const x = this.#cursor ?? this.#x[1];
    const values = this.#curves.map((curve) => {
      const i = nearest(curve.x, x);
      if (i < 0 || (this.#cursor !== null && beyond(curve.x, x))) return null;
      const [low, high] = [curve.low?.[i] ?? curve.y[i], curve.high?.[i] ?? curve.y[i]];
      return low < high ? `${brief(curve.y[i])} (${brief(low)} to ${brief(high)})` : brief(curve.y[i]);
    });
    [...this.legend.querySelectorAll("output")].forEach((output, i) => {
      output.textContent = values[i] ?? "–";
    });
    const near = this.#cursor === null ? undefined : marks.find((mark) => Math.abs(this.#px(mark.x) - this.#px(x)) < 6);
    this.note.textContent = this.#cursor === null ? "" : near ? near.text : xText(x);
    this.plot.setAttribute("aria-valuemin", String(this.#x[0]));
    this.plot.setAttribute("aria-valuemax", String(this.#x[1]));
    this.plot.setAttribute("aria-valuenow", String(x));
    const said = series.map((each, i) => `${each.name} ${values[i] ?? "none"}`);
    this.plot.setAttribute("aria-valuetext", `${near ? `${near.text}, ` : ""}${xText(x)}: ${said.join(", ")}`);
  }

  /** @param {MouseEvent} event  @returns {number} CSS pixels from the left */
  #offset(event) {
    return event.clientX - this.plot.getBoundingClientRect().left;
  }

  /** The x that is seen at some pixels from the left. @param {number} pixels */
  #at(pixels) {
    const share = (pixels - EDGE.left) / (this.#width - EDGE.left - EDGE.right);
    return this.#x[0] + Math.min(1, Math.max(0, share)) * (this.#x[1] - this.#x[0]);
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button) return;
    this.#pressed.set(event.pointerId, { at: this.#offset(event), x: 0 });
    for (const finger of this.#pressed.values()) finger.x = this.#at(finger.at);
    this.#from = event.pointerType === "touch" ? null : this.#offset(event);
    if (this.#from !== null) this.plot.setPointerCapture(event.pointerId);
    this.moved(this.#snapped(this.#at(this.#offset(event))));
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const now = this.#offset(event);
    const finger = this.#pressed.get(event.pointerId);
    if (finger) finger.at = now;
    const [one, other] = this.#pressed.values();
    if (!finger || !other) {
      this.moved(this.#snapped(this.#at(now)));
      if (this.#from !== null) this.#soon();
      return;
    }
    // Two fingers: each keeps hold of its x.
    const pixel = (other.x - one.x) / (other.at - one.at);
    if (pixel > 0 && Number.isFinite(pixel)) this.#show(one.x + (EDGE.left - one.at) * pixel, one.x + (this.#width - EDGE.right - one.at) * pixel);
  }

  /** @param {PointerEvent} event @param {boolean} chosen */
  #release(event, chosen) {
    this.#pressed.delete(event.pointerId);
    const from = this.#from;
    this.#from = null;
    if (chosen && from !== null && Math.abs(this.#offset(event) - from) >= DRAGGED) {
      const [a, b] = [this.#at(from), this.#at(this.#offset(event))];
      this.#show(Math.min(a, b), Math.max(a, b));
    }
    this.#soon();
  }

  /** Show a part of x, as far as there is something. @param {number} low @param {number} high */
  #show(low, high) {
    const [first, last] = this.#data.whole;
    const least = SMALLEST * (last - first);
    low = Math.max(first, Math.min(low, last - least));
    high = Math.min(last, Math.max(high, low + least));
    this.zoomed(low <= first && high >= last ? null : [low, high]);
  }

  /** @param {number} x  what stays where it is @param {number} factor  of the range that is seen */
  #zoom(x, factor) {
    this.#show(x - (x - this.#x[0]) * factor, x + (this.#x[1] - x) * factor);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const factor = { "+": 0.5, "=": 0.5, "-": 2 }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (factor) this.#zoom(this.#cursor ?? (this.#x[0] + this.#x[1]) / 2, factor);
    if (event.key === "0") this.zoomed(null);
    const [low, high] = this.#x;
    const all = [...new Set(this.#curves.flatMap((curve) => curve.x))].filter((x) => x >= low && x <= high).sort((a, b) => a - b);
    if (!all.length) return;
    const at = this.#cursor === null ? all.length - 1 : nearest(all, this.#cursor);
    const far = Math.max(1, Math.round(all.length / 20));
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: far, PageDown: -far, Home: -all.length, End: all.length }[event.key];
    if (event.key === "Escape") this.moved(null);
    if (step === undefined) return;
    event.preventDefault();
    this.moved(all[Math.min(all.length - 1, Math.max(0, at + step))]);
  }

  /** The x of the point that lies nearest. @param {number} x */
  #snapped(x) {
    let best = x, distance = Infinity;
    for (const curve of this.#curves) {
      const i = nearest(curve.x, x);
      if (i >= 0 && Math.abs(curve.x[i] - x) < distance) [best, distance] = [curve.x[i], Math.abs(curve.x[i] - x)];
    }
    return best;
  }

  #soon() {
    if (this.#pending) return;
    this.#pending = true;
    requestAnimationFrame(() => {
      this.#pending = false;
      this.#draw();
    });
  }

  /** @param {number} x */
  #px(x) {
    return EDGE.left + ((x - this.#x[0]) / (this.#x[1] - this.#x[0] || 1)) * (this.#width - EDGE.left - EDGE.right);
  }

  /** @param {number} y */
  #py(y) {
    const [low, high] = this.#y;
    const share = this.#data.log ? Math.log(y / low) / Math.log(high / low) : (y - low) / (high - low);
    return HEIGHT - EDGE.bottom - share * (HEIGHT - EDGE.top - EDGE.bottom);
  }

  #draw() {
    if (!this.#width) return;
    if (this.#stale) this.#drawCurves();
    this.#stale = false;
    const pen = this.#pen(this.top);
    const pointer = [...this.#pressed.values()][0]?.at;
    if (this.#from !== null && Math.abs(pointer - this.#from) >= DRAGGED) {
      pen.fillStyle = this.#colour("--accent");
      pen.globalAlpha = 0.2;
      const [a, b] = [this.#from, pointer].map((at) => Math.max(EDGE.left, Math.min(this.#width - EDGE.right, at)));
      pen.fillRect(a, EDGE.top, b - a, HEIGHT - EDGE.top - EDGE.bottom);
      pen.globalAlpha = 1;
    }
    if (this.#cursor === null) return;
    const x = this.#cursor;
    this.#rule(pen, x, this.#colour("--ink"), []);
    this.#curves.forEach((curve, i) => {
      const at = nearest(curve.x, x);
      if (at < 0 || beyond(curve.x, x)) return;
      pen.fillStyle = this.#colour(this.#data.series[i].colour);
      dot(pen, this.#px(curve.x[at]), this.#py(curve.y[at]), 4);
    });
  }

  #drawCurves() {
    const pen = this.#pen(this.canvas);
    pen.font = `12px ${getComputedStyle(this.plot).fontFamily}`;
    pen.lineWidth = 1;
    this.#axes(pen, this.#colour("--line"), this.#colour("--faint"));
    pen.beginPath();
    pen.rect(EDGE.left - 3, EDGE.top - 4, this.#width - EDGE.left - EDGE.right + 6, HEIGHT - EDGE.top - EDGE.bottom + 8);
    pen.clip();
    for (const mark of this.#data.marks ?? []) this.#rule(pen, mark.x, this.#colour(mark.colour), [3, 3]);
    this.#data.series.forEach((series, i) => {
      pen.strokeStyle = pen.fillStyle = this.#colour(series.colour);
      pen.setLineDash(DASHES[(series.dash ?? 0) % DASHES.length]);
      pen.globalAlpha = 0.25;
      if (this.#curves[i].low) this.#band(pen, this.#curves[i], series.dots || this.#curves[i].x.length === 1);
      else if (this.#data.smooth && !series.dots) this.#curve(pen, prepared(series.runs[0], this.#data.log ?? false, 0), 1);
      pen.globalAlpha = 1;
      this.#curve(pen, this.#curves[i], 1.75, series.dots);
      pen.setLineDash([]);
    });
  }

  /** A pen for an emptied canvas, whose units are CSS pixels. @param {HTMLCanvasElement} canvas */
  #pen(canvas) {
    const scale = devicePixelRatio || 1;
    canvas.width = Math.round(this.#width * scale);
    canvas.height = Math.round(HEIGHT * scale);
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.scale(scale, scale);
    return pen;
  }

  /** A variable of style.css as a colour, as a canvas knows no variables. @param {string} name */
  #colour(name) {
    this.probe.style.color = `var(${name})`;
    return getComputedStyle(this.probe).color;
  }

  /** @param {CanvasRenderingContext2D} pen @param {string} line @param {string} ink */
  #axes(pen, line, ink) {
    pen.fillStyle = ink;
    pen.strokeStyle = line;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const rows = Math.floor((HEIGHT - EDGE.top - EDGE.bottom) / TICKS_Y);
    const ticks = this.#data.log ? logTicks(this.#y[0], this.#y[1], rows) : niceTicks(this.#y[0], this.#y[1], rows);
    for (const tick of ticks) {
      const y = Math.round(this.#py(tick)) + 0.5;
      pen.beginPath();
      pen.moveTo(EDGE.left, y);
      pen.lineTo(this.#width - EDGE.right, y);
      pen.stroke();
      pen.fillText(brief(tick), EDGE.left - 6, y);
    }
    pen.textBaseline = "alphabetic";
    const columns = Math.max(1, Math.floor((this.#width - EDGE.left - EDGE.right) / TICKS_X));
    const xTick = this.#data.xTick ?? ((x) => brief(x));
    for (const tick of niceTicks(this.#x[0], this.#x[1], columns)) {
      const text = xTick(tick);
      const x = this.#px(tick), half = pen.measureText(text).width / 2;
      pen.textAlign = x + half > this.#width ? "right" : "center";
      pen.fillText(text, pen.textAlign === "right" ? this.#width : Math.max(x, half), HEIGHT - 5);
    }
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} x @param {string} ink @param {number[]} dash */
  #rule(pen, x, ink, dash) {
    pen.strokeStyle = ink;
    pen.lineWidth = 1;
    pen.setLineDash(dash);
    pen.beginPath();
    pen.moveTo(this.#px(x), EDGE.top);
    pen.lineTo(this.#px(x), HEIGHT - EDGE.bottom);
    pen.stroke();
    pen.setLineDash([]);
  }

  /** The range of several runs: an area, or for single points a bar at each. @param {CanvasRenderingContext2D} pen @param {Curve} curve @param {boolean} [dots] */
  #band(pen, { x, low = [], high = [] }, dots = false) {
    if (dots) {
      x.forEach((at, i) => pen.fillRect(this.#px(at) - 2, this.#py(high[i]), 4, this.#py(low[i]) - this.#py(high[i])));
      return;
    }
    pen.beginPath();
    x.forEach((at, i) => pen.lineTo(this.#px(at), this.#py(high[i])));
    for (let i = x.length - 1; i >= 0; i--) pen.lineTo(this.#px(x[i]), this.#py(low[i]));
    pen.fill();
  }

  /**
   * Draw a curve. Of many points in one column of pixels only the first, lowest, highest and last are drawn.
   * @param {CanvasRenderingContext2D} pen @param {{x: number[], y: number[]}} curve @param {number} width @param {boolean} [dots]
   */
  #curve(pen, { x, y }, width, dots = false) {
    pen.lineWidth = width;
    pen.lineJoin = "round";
    pen.beginPath();
    for (let i = 0; i < x.length;) {
      const column = Math.round(this.#px(x[i]));
      let low = y[i], high = y[i], last = y[i];
      const first = i, px = this.#px(x[i]);
      for (; i < x.length && Math.round(this.#px(x[i])) === column; i++) {
        last = y[i];
        if (last < low) low = last;
        if (last > high) high = last;
      }
      if (first === 0) pen.moveTo(px, this.#py(y[first]));
      else pen.lineTo(px, this.#py(y[first]));
      if (i - first > 1) for (const value of [low, high, last]) pen.lineTo(px, this.#py(value));
    }
    if (!dots || x.length > 1) pen.stroke();
    if (dots || x.length === 1) for (let i = 0; i < x.length; i++) dot(pen, this.#px(x[i]), this.#py(y[i]), 3);
  }
}

/** @param {CanvasRenderingContext2D} pen @param {number} x @param {number} y @param {number} r */
function dot(pen, x, y, r) {
  pen.beginPath();
  pen.arc(x, y, r, 0, 2 * Math.PI);
  pen.fill();
}

/**
 * The points that can be drawn, as their moving average.
 * @param {Points} run @param {boolean} log @param {number} smooth  weight of the past, 0 to 1
 */
function prepared(run, log, smooth) {
  const x = /** @type {number[]} */ ([]), y = /** @type {number[]} */ ([]);
  let mean = 0, weight = 0;
  for (let i = 0; i < run.x.length; i++) {
    if (log && run.y[i] <= 0) continue;
    mean = smooth * mean + (1 - smooth) * run.y[i];
    weight = smooth * weight + (1 - smooth);
    x.push(run.x[i]);
    y.push(mean / weight);
  }
  return { x, y };
}

/**
 * The mean of several runs and their range. Between its points a run is interpolated; where one has none, these are of
 * the others.
 * @param {Points[]} runs @returns {Curve}
 */
function together(runs) {
  if (runs.length < 2) return runs[0] ?? { x: [], y: [] };
  const x = [...new Set(runs.flatMap((run) => run.x))].sort((a, b) => a - b);
  const places = runs.map(() => 0); // the last point of each that is not behind x
  const low = /** @type {number[]} */ ([]), high = /** @type {number[]} */ ([]), y = /** @type {number[]} */ ([]);
  for (const at of x) {
    const values = runs.flatMap((run, k) => {
      if (!run.x.length || at < run.x[0] || at > run.x[run.x.length - 1]) return [];
      while (places[k] + 1 < run.x.length && run.x[places[k] + 1] <= at) places[k]++;
      const i = places[k], share = run.x[i] === at ? 0 : (at - run.x[i]) / (run.x[i + 1] - run.x[i]);
      return [share ? run.y[i] + share * (run.y[i + 1] - run.y[i]) : run.y[i]];
    });
    low.push(Math.min(...values));
    high.push(Math.max(...values));
    y.push(values.reduce((sum, value) => sum + value, 0) / values.length);
  }
  return { x, y, low, high };
}

/** The smallest and the largest number of some lists. @param {number[][]} lists @returns {[number, number] | null} */
export function range(lists) {
  let low = Infinity, high = -Infinity;
  for (const list of lists) for (const value of list) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

/** @param {[number, number] | null} found @param {[number, number]} [bounds] @returns {[number, number]} */
function padded(found, bounds) {
  if (bounds) return [Math.min(bounds[0], found?.[0] ?? bounds[0]), Math.max(bounds[1], found?.[1] ?? bounds[1])];
  if (!found) return [0, 1];
  const [low, high] = found;
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low >= 0 && low <= 0.4 * high ? 0 : low - room, high + room];
}

/** @param {[number, number] | null} found @returns {[number, number]} */
function logged(found) {
  if (!found) return [0.1, 1];
  const room = Math.max(1.05, (found[1] / found[0]) ** 0.06);
  return [found[0] / room, found[1] * room];
}

/** Round numbers between low and high. @param {number} low @param {number} high @param {number} count  at most */
export function niceTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0) || !Number.isFinite(rough)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = (/** @type {number} */ ([1, 2, 5, 10].find((n) => n * power >= rough * 0.999))) * power;
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.min(50, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Powers of ten, or round numbers where there are few. @param {number} low @param {number} high @param {number} count */
function logTicks(low, high, count) {
  const decades = Math.log10(high / low);
  if (decades < 1) return niceTicks(low, high, count).filter((tick) => tick > 0);
  const every = Math.ceil(decades / count);
  const ticks = [];
  for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high); power++) {
    if (power % every === 0) ticks.push(10 ** power);
  }
  return ticks;
}

/** The index of the number nearest to x in a sorted list; -1 if it is empty. @param {number[]} list @param {number} x */
function nearest(list, x) {
  let low = 0, high = list.length - 1;
  if (high < 0) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (list[middle] <= x) low = middle;
    else high = middle;
  }
  return Math.abs(list[low] - x) <= Math.abs(list[high] - x) ? low : high;
}

/** Whether x lies clearly outside the points, so that a curve has no value there. @param {number[]} list @param {number} x */
function beyond(list, x) {
  const slack = list.length > 1 ? (list[list.length - 1] - list[0]) / (list.length - 1) : 0;
  return x > list[list.length - 1] + slack || x < list[0] - slack;
}

/** A number in at most five characters or so. @param {number} value */
export function brief(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e9 || size < 1e-3) return value.toExponential(1).replace("e+", "e");
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return String(Number(value.toPrecision(size >= 1000 ? 4 : 3)));
}
