// The tab Latents: samples of a run, walks from them, morphs, steps of CFG-GAN, nearest training images, own images.

import { get, live } from "./api.js";
import { checkbox, choice, el, say, slider } from "./dom.js";
import { samples } from "./latents-grid.js";
import { morph } from "./latents-morph.js";
import { neighbours } from "./latents-neighbours.js";
import { ownImage } from "./latents-own.js";
import { fromText, Space, toText } from "./latents-place.js";
import { steps } from "./latents-steps.js";
import { walk } from "./latents-walk.js";
import { read, write } from "./state.js";

export const title = "Latents";

/**
 * What the server says of a run.
 * @typedef {{classes: string[], latent: number, height: number, width: number, channels: number, any_size: boolean, averaged: boolean, encoder: boolean, steps: number, small: boolean, images: number, checkpoints: number[], best: number | null, recipe: string}} Facts
 */

/**
 * What the parts of the tab share.
 * @typedef {object} Studio
 * @property {Facts} facts
 * @property {Record<string, any>} model  run, checkpoint and weights, as the server wants them
 * @property {Space} space
 * @property {(place: import("./latents-place.js").Place) => void} go  walk from a place
 * @property {() => void} look  bring the large picture into view
 * @property {(text: string) => void} pin
 * @property {(point: {z: number[], label: number | null}, text: string) => void} show  show a latent in the large picture, for a while
 * @property {(listener: (place: import("./latents-place.js").Place, z: number[]) => void) => void} onRest  called when a walk rests
 * @property {(end: () => void) => void} atEnd  called when the run, checkpoint or tab is left
 */

/** @type {import("./app.js").Tab["mount"]} */
export function mount(root, state) {
  /** @type {string[]} */
  let runs = [];
  /** @type {(() => void)[]} */
  let ends = [];
  let gone = false;
  let built = false; // whether there was an answer
  let turn = 0; // counts how often all was built; whatever comes late for an earlier one is dropped

  const bar = el("section", { class: "panel row choices", "aria-label": "Model" });
  const content = el("div", {}, el("p", { class: "panel empty", role: "status" }, "Loading… ", el("progress", {})));
  bar.hidden = true;
  root.append(bar, content);

  function end() {
    for (const each of ends) each();
    ends = [];
  }

  /** @param {import("./state.js").State} state */
  async function build(state) {
    const mine = ++turn;
    end();
    try {
      ({ runs } = await get("/latents/runs"));
      if (gone || mine !== turn) return;
      if (!runs.length) {
        bar.hidden = true;
        content.replaceChildren(
          el("div", { class: "panel empty" },
            el("h2", {}, "Nothing to explore yet"),
            el("p", {}, "A run appears here as soon as its training has saved a checkpoint. Start one in the tab Runs."),
          ),
        );
        return;
      }
      const run = runs.includes(state.run) ? state.run : runs[0];
      /** @type {Facts} */
      const facts = await get("/latents/run", { run });
      if (gone || mine !== turn) return;
      if (state.run && state.run !== run) {
        // What else is in the address belongs to the other run.
        write({ run, ck: null, class: null, walk: null, pins: null, step: null });
        state = read().state;
        say(`There is no run '${state.run}' with a checkpoint here: this is '${run}'.`);
      }
      fill(state, run, facts);
    } catch (error) {
      if (!gone && mine === turn) content.replaceChildren(el("p", { class: "panel problem", role: "alert" }, /** @type {Error} */ (error).message));
    } finally {
      built = true;
    }
  }

  /** @param {import("./state.js").State} state @param {string} run @param {Facts} facts */
  function fill(state, run, facts) {
    const known = ["last", "best", ...facts.checkpoints.map(String)];
    const checkpoint = known.includes(state.ck) ? state.ck : "last";
    const averaged = state.raw !== "1";
    const label = facts.classes.length && /^\d+$/.test(state.class ?? "") && Number(state.class) < facts.classes.length ? Number(state.class) : null;
    const truncation = Math.min(200, Math.max(0, Math.round(Number(state.t ?? 100)) || 0));
    const model = { run, checkpoint, averaged };

    /** @param {Record<string, any>} changes */
    const again = (changes) => {
      write(changes, { push: true });
      build(read().state);
    };
    const checkpoints = facts.checkpoints.map((nimg) => /** @type {[string, string]} */ ([String(nimg), `${nimg.toLocaleString("en")} images`]));
    bar.hidden = false;
    bar.replaceChildren(
      choice("Run", runs, run, (next) => again({ run: next, ck: null, class: null, seed: null, walk: null, pins: null, step: null })),
      choice(
        "Checkpoint",
        [["last", "last"], ...(facts.best === null ? [] : [/** @type {[string, string]} */ (["best", `best (${facts.best.toLocaleString("en")} images)`])]), ...checkpoints.reverse()],
        checkpoint,
        (next) => again({ ck: next === "last" ? null : next }),
      ),
    );
    if (facts.classes.length) {
      bar.append(choice("Class", [["", "all in turn"], ...facts.classes.map((name, i) => /** @type {[string, string]} */ ([String(i), name]))], label === null ? "" : String(label), (next) => {
        const place = fromText(read().state.walk ?? "");
        again({ class: next === "" ? null : next, walk: place && next !== "" ? toText({ ...place, label: Number(next) }) : undefined });
      }));
    }
    if (facts.averaged) {
      const box = checkbox("Averaged weights", averaged, (on) => again({ raw: on ? null : 1 }));
      box.title = "The average of the weights over the last steps of training (EMA): usually smoother pictures";
      bar.append(box);
    }

    /** @type {((place: import("./latents-place.js").Place, z: number[]) => void)[]} */
    const resting = [];
    /** @type {Studio} */
    const studio = {
      facts, model, space: new Space(model),
      go: (place) => walking.go(place),
      look: () => walking.root.querySelector(".plane")?.scrollIntoView({ block: "nearest", behavior: "smooth" }),
      pin: (text) => morphing.add(text),
      show: (point, text) => walking.show(point, text),
      onRest: (listener) => void resting.push(listener),
      atEnd: (each) => void ends.push(each),
    };
    const grid = samples(studio, { seed: Number(state.seed) || 0, label, truncation });
    const walking = walk(studio, (place, z) => {
      for (const each of resting) each(place, z);
    });
    const morphing = morph(studio, state.pins ?? "");
    const variety = slider("Truncation", { min: 0, max: 1.5, step: 0.05, value: truncation / 100, title: "0 is the mean picture, 1 is as trained; lower is safer and less varied" }, (value) => {
      const percent = Math.round(value * 100);
      write({ t: percent === 100 ? null : percent });
      grid.truncate(percent);
      walking.truncate(percent);
    });
    bar.append(variety);
    content.className = "studio";
    content.replaceChildren(
      el("div", { class: "first" }, grid.root, ownImage(studio, label)),
      el("div", { class: "second" }, walking.root, morphing.root, facts.steps ? steps(studio) : null, neighbours(studio)),
    );
    const place = fromText(state.walk ?? "");
    walking.go(place ?? { base: String(grid.seed), truncation, label: grid.labelOf(grid.seed), kind: "f", offsets: [] }, { quiet: true });
    morphing.fill();
  }

  const reopened = live.on("open", () => {
    if (built) build(read().state);
  });
  build(state);
  return {
    update: (next) => void build(next),
    unmount: () => {
      gone = true;
      reopened();
      end();
    },
  };
}
