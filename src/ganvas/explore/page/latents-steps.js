// The steps of CFG-GAN: the picture after each, its update as a heat map, and the score of its discriminator.

import { live } from "./api.js";
import { choice, el, say, slider } from "./dom.js";
import { toImageData } from "./pixels.js";
import { read, write } from "./state.js";

const SLOT = "latents-steps";
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 190, LEFT = 34, RIGHT = 56, TOP = 14, FOOT = 32;

/** @param {import("./latents.js").Studio} studio */
export function steps(studio) {
  const { facts, model } = studio;
  /** @type {import("./api.js").Frame | null} */
  let frame = null;
  const WIDTH = Math.max(280, Math.min(560, innerWidth - 50));
  const given = Number(read().state.step ?? facts.steps);
  let step = Number.isInteger(given) && given >= 0 && given <= facts.steps ? given : facts.steps;
  let kind = /** @type {"signed" | "magnitude"} */ ("signed");

  const picture = el("canvas", { class: "pixelated", role: "img" });
  const heat = el("canvas", { class: "pixelated", role: "img" });
  const legend = el("canvas", { class: "scale", width: 256, height: 1, "aria-hidden": "true" });
  const low = el("span", {}), high = el("span", {});
  const score = el("p", { role: "status" }, "Computing the steps…");
  const chart = document.createElementNS(SVG, "svg");
  chart.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", "Log-odds that the discriminator of each step gives the picture, before and after the step");
  const at = slider("Step", { min: 0, max: facts.steps, step: 1, value: step }, (value) => {
    step = value;
    write({ step: step === facts.steps ? null : step });
    show();
  });
  const root = el("section", { class: "panel steps", "aria-label": "Steps" },
    el("h2", {}, "Steps of the functional gradient"),
    el("p", { class: "faint" }, "The picture starts as the generator draws it. In each step a discriminator says how every pixel should change to look more real, and the picture follows."),
    at,
    el("div", { class: "pair" },
      el("figure", {}, picture, el("figcaption", {}, "after the step")),
      el("figure", {}, heat, el("figcaption", {}, "what the step changed"), el("div", { class: "legend" }, low, legend, high)),
    ),
    choice("Show the change", [["signed", "blue darker, red brighter"], ["magnitude", "by its size"]], kind, (next) => {
      kind = /** @type {"signed" | "magnitude"} */ (next);
      show();
    }),
    score, chart,
  );

  function show() {
    if (!frame) return;
    const [height, width] = frame.cell;
    const image = toImageData(frame);
    cut(picture, image, step * width, 0, width, height);
    picture.setAttribute("aria-label", `picture after step ${step}`);
    const scale = frame[kind];
    const row = kind === "signed" ? 1 : 2;
    cut(heat, image, step * width, row * height, width, height, kind === "signed" ? diverging : glowing);
    heat.setAttribute("aria-label", step ? `change of step ${step}` : "no change yet");
    const ramp = new ImageData(256, 1);
    for (let i = 0; i < 256; i++) ramp.data.set([...(kind === "signed" ? diverging : glowing)(i), 255], 4 * i);
    legend.getContext("2d")?.putImageData(ramp, 0, 0);
    low.textContent = kind === "signed" ? `−${scale.toPrecision(2)}` : "0";
    high.textContent = kind === "signed" ? `+${scale.toPrecision(2)}` : scale.toPrecision(2);
    const steps = frame.before.length;
    if (!steps) score.textContent = "This checkpoint has no steps yet.";
    else if (!step) score.textContent = "Before the first step.";
    else {
      const [before, after] = [frame.before[step - 1], frame.after[step - 1]];
      score.textContent = `Discriminator ${step}: log-odds of being real ${signed(before)} before the step, ${signed(after)} after it (${chance(before)} → ${chance(after)}).`;
    }
    plot(frame.before, frame.after);
  }

  /** @param {number[]} before @param {number[]} after */
  function plot(before, after) {
    chart.replaceChildren();
    if (!before.length) return;
    const all = [...before, ...after, 0];
    const margin = 0.08 * (Math.max(...all) - Math.min(...all)) || 1;
    const [least, most] = [Math.min(...all) - margin, Math.max(...all) + margin];
    const x = (/** @type {number} */ t) => LEFT + ((WIDTH - LEFT - RIGHT) * (t + 0.5)) / before.length;
    const y = (/** @type {number} */ value) => TOP + ((HEIGHT - TOP - FOOT) * (most - value)) / (most - least);
    for (const value of ticks(least, most)) {
      line(LEFT, y(value), WIDTH - RIGHT, y(value), value === 0 ? "zero" : "rule");
      text(LEFT - 6, y(value) + 4, String(value), "end");
      text(WIDTH - RIGHT + 6, y(value) + 4, chance(value), "start");
    }
    text(0, HEIGHT - 4, "log-odds", "start");
    text(WIDTH, HEIGHT - 4, "probability", "end");
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "step", "middle");
    before.forEach((value, t) => {
      const chosen = t + 1 === step ? " chosen" : "";
      line(x(t), y(value), x(t), y(after[t]), `move${chosen}`);
      dot(x(t), y(value), `before${chosen}`);
      dot(x(t), y(after[t]), `after${chosen}`);
      if (before.length <= 20 || t % 5 === 4) text(x(t), HEIGHT - FOOT + 14, String(t + 1), "middle");
    });
  }

  /** @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 @param {string} kind */
  function line(x1, y1, x2, y2, kind) {
    add("line", { x1, y1, x2, y2, class: kind });
  }

  /** @param {number} cx @param {number} cy @param {string} kind */
  function dot(cx, cy, kind) {
    add("circle", { cx, cy, r: kind.includes("chosen") ? 5 : 3.5, class: kind });
  }

  /** @param {number} x @param {number} y @param {string} words @param {string} anchor */
  function text(x, y, words, anchor) {
    add("text", { x, y, "text-anchor": anchor }).textContent = words;
  }

  /** @param {string} name @param {Record<string, any>} attributes */
  function add(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
    return chart.appendChild(element);
  }

  studio.onRest((place, z) => void live.send("latents.steps", { slot: SLOT, ...model, z, label: place.label }));
  studio.atEnd(live.on(`latents.steps:${SLOT}`, (next) => {
    frame = next;
    show();
  }));
  studio.atEnd(live.on(`error:${SLOT}`, ({ error }) => say(error, "error")));
  return root;
}

/**
 * Show a part of an image; `colour` turns its red channel into a colour.
 * @param {HTMLCanvasElement} canvas
 * @param {ImageData} image
 * @param {number} left @param {number} top @param {number} width @param {number} height
 * @param {(value: number) => number[]} [colour]
 */
function cut(canvas, image, left, top, width, height, colour) {
  const part = new ImageData(width, height);
  for (let row = 0; row < height; row++) {
    const start = 4 * ((top + row) * image.width + left);
    part.data.set(image.data.subarray(start, start + 4 * width), 4 * row * width);
  }
  if (colour) for (let i = 0; i < part.data.length; i += 4) part.data.set(colour(part.data[i]), i);
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d")?.putImageData(part, 0, 0);
}

/** Blue for darker, white for no change, red for brighter. @param {number} value */
function diverging(value) {
  const share = Math.max(-1, Math.min(1, (value - 128) / 127));
  const [r, g, b] = share < 0 ? [33, 102, 172] : [178, 24, 43];
  const mix = Math.abs(share) ** 0.7;
  return [r, g, b].map((part) => Math.round(247 + (part - 247) * mix));
}

/** From black over red to white. @param {number} value */
function glowing(value) {
  const share = value / 255;
  return [3 * share, 3 * share - 1, 3 * share - 2].map((part) => Math.round(255 * Math.max(0, Math.min(1, part))));
}

/** @param {number} value */
function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

/** @param {number} logit */
function chance(logit) {
  const percent = 100 / (1 + Math.exp(-logit));
  if (percent < 0.1) return "<0.1 %";
  if (percent > 99.9) return ">99.9 %";
  return `${percent.toFixed(percent < 10 || percent > 90 ? 1 : 0)} %`;
}

/** About five round numbers. @param {number} least @param {number} most */
function ticks(least, most) {
  const rough = (most - least) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [5, 2, 1].map((factor) => factor * unit).find((each) => each <= rough) ?? rough;
  const found = [];
  for (let k = Math.ceil(least / step); k * step <= most; k++) found.push(Number((k * step).toPrecision(6)));
  return found;
}
