// The tab Runs: a list of all runs, and of the selected ones their state, samples, charts and guard events.

import { address, get, live, post } from "./api.js";
import { Chart, brief, range } from "./chart.js";
import { button, checkbox, choice, el, say } from "./dom.js";
import { continueTraining, startTraining } from "./form.js";
import { href, read, write } from "./state.js";

/**
 * What the list shows of a run. Times are in seconds since 1970, `seconds` is training time.
 * @typedef {{name: string, recipe: string, data: string, state: string, reason: string | null, stop: string | null,
 *   started: number, active: number, nimg: number, seconds?: number, images_per_second?: number, total: number,
 *   score: number | null, sheet: number | null, paints?: boolean, group?: string | null}} Summary
 * @typedef {{nimg: number, seconds: number, kind: string, said: string, response: string}} GuardEvent
 * @typedef {{nimg: number, seconds: number, scores: Record<string, number>}} Evaluation
 * @typedef {{events: GuardEvent[], evaluations: Evaluation[], sheets: number[], error: string | null}} Facts
 * @typedef {Record<string, (number | null)[]>} Columns
 * @typedef {{name: string, state: "starting" | "failed", reason?: string, log: string}} Training
 * @typedef {{titles: Record<string, string>, together: Record<string, Record<string, string>>, metrics: Record<string, string>}} Quantities
 */

export const title = "Runs";

const MOST_SELECTED = 6; // as many colours as style.css has for curves
const SAYS = { training: "training", finished: "finished", stopped: "stopped", killed: "killed", failed: "failed", damaged: "damaged" };
const MAIN = ["Losses", "Confidence of D"]; // charts that are always shown, as are all scores
const HIDDEN = ["nimg", "epoch", "seconds"];
const FRAME = 140; // milliseconds between two sheets of the film
const KEPT = 300; // sheets in memory
const RECENT = 10; // records from which the speed is measured

/** @type {import("./app.js").Tab["mount"]} */
export function mount(root, state) {
  /** @type {Map<string, Summary>} */
  const runs = new Map();
  /** @type {Training[]} */
  let trainings = [];
  /** @type {Map<string, Columns>} */
  const records = new Map();
  /** @type {Map<string, Facts>} */
  const facts = new Map();
  /** @type {Quantities | null} */
  let quantities = null;
  let heard = false; // whether the server has said which runs there are
  /** @type {Map<string, number>} the place of each selected run in the row of colours */
  const colours = new Map();
  /** @type {number | null} */
  let cursor = null;
  let playing = 0;

  // -- the list -----------------------------------------------------------------------------------------------------

  const filter = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the runs by text", value: state.q ?? "", oninput: () => {
    write({ q: filter.value });
    list();
  } });
  const rows = el("ul", { class: "runs", "aria-label": "Runs", onkeydown: (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const focused = document.activeElement;
    if (!step || !(focused instanceof HTMLElement)) return;
    const kind = focused.matches("input") ? "input" : "button.run";
    const all = /** @type {HTMLElement[]} */ ([...rows.querySelectorAll(kind)]);
    const next = all[all.indexOf(focused) + step];
    event.preventDefault();
    next?.focus();
  } });
  const nothing = el("p", { class: "faint" });
  const count = el("p", { class: "faint", role: "status" });
  /** @type {Map<string, ReturnType<typeof row>>} */
  const made = new Map();

  /** @param {string} name */
  function row(name) {
    const box = el("input", { type: "checkbox", "aria-label": `Overlay ${name}`, title: "overlay this run", onchange: () => toggle(name) });
    const badge = el("span", { class: "badge" });
    const line = el("span", { class: "faint" });
    const bar = el("progress", { max: 1, "aria-label": `Progress of ${name}` });
    const main = el("button", { type: "button", class: "run", onclick: () => select([name]) },
      el("span", { class: "top" }, el("strong", {}, name), badge), line, bar);
    const item = el("li", {}, box, main);
    /** @param {Summary} run */
    const update = (run) => {
      setBadge(badge, run.state);
      line.textContent = run.state === "damaged" ? run.reason : [run.recipe, brush(run.data), `${run.nimg.toLocaleString("en")} images`,
        run.score === null ? "" : `score ${brief(run.score)}`, ago(run.started)].filter(Boolean).join(" · ");
      bar.hidden = run.state !== "training";
      bar.value = run.total ? run.nimg / run.total : 0;
      box.checked = selected().includes(name);
      item.className = box.checked ? "selected" : "";
      item.style.setProperty("--c", box.checked ? `var(${colour(name)})` : "var(--line)");
      main.setAttribute("aria-pressed", String(box.checked));
    };
    return { item, update };
  }

  function list() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = [...runs.values()].sort(newestFirst).filter((run) => {
      const text = `${run.name} ${run.recipe} ${run.data} ${run.state}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const focused = document.activeElement;
    shown.forEach((run, i) => {
      const made_ = made.get(run.name) ?? row(run.name);
      made.set(run.name, made_);
      made_.update(run);
      if (rows.children[i] !== made_.item) rows.insertBefore(made_.item, rows.children[i] ?? null);
    });
    while (rows.children.length > shown.length) rows.lastElementChild?.remove();
    if (focused instanceof HTMLElement && focused !== document.activeElement && focused.isConnected) focused.focus();
    for (const name of made.keys()) if (!runs.has(name)) made.delete(name);
    nothing.textContent = !heard || shown.length ? "" : runs.size ? "No run has these words." : "";
    welcome.hidden = !heard || runs.size > 0 || trainings.length > 0;
    filter.hidden = runs.size < 2;
    count.textContent = shown.length < runs.size ? `${shown.length} of ${runs.size} runs` : "";
  }

  // -- selection ------------------------------------------------------------------------------------------------------

  /** The runs that are shown: those of the address, or else the first of the list. */
  function selected() {
    const named = names(read().state.run).filter((name) => runs.has(name)).slice(0, MOST_SELECTED);
    const starting = trainings.some((each) => each.state === "starting" && names(read().state.run).includes(each.name));
    if (named.length || starting || read().state.run === "-") return named;
    const first = [...runs.values()].sort(newestFirst)[0];
    return first ? [first.name] : [];
  }

  /** @param {string[]} chosen */
  function select(chosen) {
    write({ run: chosen.map(encodeURIComponent).join(",") || "-" }, { push: true });
    watch();
    show();
  }

  /** @param {string} name */
  function toggle(name) {
    const now = selected();
    if (now.includes(name)) select(now.filter((other) => other !== name));
    else if (now.length < MOST_SELECTED) select([...now, name]);
    else {
      say(`${MOST_SELECTED} runs can be compared at a time: take one out first`);
      list();
    }
  }

  let watched = "";
  function watch() {
    const now = selected();
    for (const name of [...colours.keys()]) if (!now.includes(name)) colours.delete(name);
    for (const name of now) if (!colours.has(name)) colours.set(name, [...Array(MOST_SELECTED).keys()].find((i) => ![...colours.values()].includes(i)) ?? 0);
    if (JSON.stringify(now) === watched) return;
    watched = JSON.stringify(now);
    for (const name of [...records.keys()]) if (!now.includes(name)) records.delete(name);
    for (const name of [...facts.keys()]) if (!now.includes(name)) facts.delete(name);
    live.send("watch", { runs: now }, { keep: true });
  }

  /** @param {string} name */
  const colour = (name) => `--series-${(colours.get(name) ?? 0) + 1}`;

  // -- the selected runs ----------------------------------------------------------------------------------------------

  const cards = el("div", { class: "cards" });
  /** @type {Map<string, ReturnType<typeof card>>} */
  const cardsOf = new Map();

  /** @param {string} name */
  function card(name) {
    const badge = el("span", { class: "badge" });
    const bar = el("progress", { max: 1, "aria-label": `Progress of ${name}` });
    const line = el("p", { class: "line" });
    const about = el("p", { class: "faint" });
    const why = el("p", { class: "faint" });
    const reason = el("p", { class: "bad", role: "status" });
    const sheet = el("div", { class: "sheet" });
    const at = el("p", { class: "faint" });
    const stop = button("Stop", async () => {
      stop.disabled = true;
      try {
        await post("/trainings/stop", { run: name });
        say(`${name} stops after this step, with a checkpoint`);
      } catch (error) {
        say(/** @type {Error} */ (error).message, "error");
        stop.disabled = false;
      }
    }, { "aria-label": `Stop ${name}` });
    const again = button("Continue…", () => {
      const run = runs.get(name);
      if (run) continueTraining(name, run.nimg, run.total, (images) => post("/trainings/continue", { run: name, images }));
    }, { "aria-label": `Continue ${name}` });
    const walk = el("a", { href: href("latents", { run: name }) }, "Latents");
    const paint = el("a", { href: href("paint", { run: name }) }, "Paint");
    const whole = el("article", { class: "panel card" },
      el("header", {}, el("h2", {}, name), badge), about, bar, line, reason, sheet, at,
      el("div", { class: "row" }, stop, again, walk, paint), why);
    let shownSheet = "-";

    function update() {
      const run = runs.get(name);
      if (!run) return;
      const training = run.state === "training";
      const damaged = run.state === "damaged" || facts.get(name)?.error;
      whole.style.setProperty("--c", `var(${colour(name)})`);
      setBadge(badge, damaged ? "damaged" : run.state);
      bar.hidden = !run.total || !!damaged || run.state === "finished";
      bar.value = run.total ? Math.min(1, run.nimg / run.total) : 0;
      line.textContent = run.state === "damaged" ? "" : `${progress(run)}${training ? speed(run, records.get(name)) : ""}`;
      about.textContent = run.state === "damaged" ? "" : `${run.recipe} on ${brush(run.data)}, begun ${ago(run.started)}`;
      reason.textContent = facts.get(name)?.error ?? run.reason ?? "";
      stop.hidden = !training || run.stop !== null;
      if (!training) stop.disabled = false;
      why.textContent = training && run.stop ? `It ${run.stop}.` : "";
      const waiting = trainings.some((each) => each.name === name && each.state === "starting");
      again.hidden = training || run.state === "damaged" || waiting;
      walk.hidden = run.sheet === null;
      paint.hidden = walk.hidden || !run.paints;
    }

    /** Show the newest sheet until `wanted` images. @param {number} wanted */
    function film(wanted) {
      const sheets = facts.get(name)?.sheets ?? [];
      const nimg = sheets.findLast((each) => each <= wanted);
      const key = nimg === undefined ? `${sheets.length} ${runs.get(name)?.state}` : `${name}\n${nimg}`;
      if (key === shownSheet) return;
      shownSheet = key;
      if (nimg === undefined) {
        sheet.replaceChildren(el("p", { class: "faint empty" }, sheets.length ? "no samples yet at this point" : runs.get(name)?.state === "training" ? "no samples yet" : "it ended without samples"));
        at.textContent = "";
        return;
      }
      const image = picture(name, nimg);
      image.decode().then(() => {
        if (shownSheet === key) {
          sheet.replaceChildren(image);
          at.textContent = nimg ? `samples after ${nimg.toLocaleString("en")} images` : "samples before the training";
        }
      }, () => {
        if (shownSheet === key) sheet.replaceChildren(el("p", { class: "faint empty" }, "this sheet cannot be read"));
      });
    }
    return { whole, update, film };
  }

  // -- the film -------------------------------------------------------------------------------------------------------

  /** @type {Map<string, HTMLImageElement>} */
  const pictures = new Map();

  /** @param {string} run @param {number} nimg */
  function picture(run, nimg) {
    const key = `${run}\n${nimg}`;
    let image = pictures.get(key);
    if (!image) {
      image = el("img", { alt: `Samples of ${run} after ${nimg.toLocaleString("en")} images`, src: address("/runs/sheet", { run, nimg }) });
      pictures.set(key, image);
      if (pictures.size > KEPT) pictures.delete(/** @type {string} */ (pictures.keys().next().value));
    }
    return image;
  }

  const scrub = el("input", { type: "range", min: 0, step: 1, "aria-label": "Samples at this number of images seen", oninput: () => seek(scrub.valueAsNumber) });
  const seen = el("output", {});
  const play = button("Play", () => (playing ? pause() : start()));
  const film = el("div", { class: "film panel" }, el("span", {}, "Samples"), play, scrub, seen);
  /** @type {number[]} the sheets of all selected runs, by images seen */
  let moments = [];

  function showFilm() {
    moments = [...new Set(selected().flatMap((name) => facts.get(name)?.sheets ?? []))].sort((a, b) => a - b);
    film.hidden = moments.length < 2;
    scrub.max = String(Math.max(0, moments.length - 1));
    const at = read().state.at;
    const i = at === undefined ? moments.length - 1 : Math.max(0, moments.findLastIndex((nimg) => nimg <= Number(at)));
    scrub.valueAsNumber = i;
    const nimg = moments[i] ?? 0;
    const text = `${nimg.toLocaleString("en")} images${i === moments.length - 1 ? ", the newest" : ""}`;
    seen.textContent = text;
    scrub.setAttribute("aria-valuetext", text);
    for (const each of cardsOf.values()) each.film(nimg);
  }

  /** Show a moment; the last one follows a training. @param {number} i */
  function seek(i) {
    write({ at: i >= moments.length - 1 ? null : moments[i] });
    showFilm();
  }

  function pause() {
    clearTimeout(playing);
    playing = 0;
    play.textContent = "Play";
  }

  function start() {
    play.textContent = "Pause";
    const from = scrub.valueAsNumber >= moments.length - 1 ? 0 : scrub.valueAsNumber;
    /** @param {number} i */
    const step = async (i) => {
      if (i >= moments.length) return pause();
      const wanted = selected().map((name) => [name, facts.get(name)?.sheets.findLast((each) => each <= moments[i])]);
      await Promise.allSettled(wanted.map(([name, nimg]) => nimg !== undefined && picture(/** @type {string} */ (name), /** @type {number} */ (nimg)).decode()));
      if (!playing) return;
      seek(i);
      playing = setTimeout(() => step(i + 1), FRAME);
    };
    playing = -1;
    void step(from);
  }

  // -- charts ---------------------------------------------------------------------------------------------------------

  const axis = choice("Over", [["images", "images seen"], ["seconds", "training time"]], state.x ?? "images", (x) => {
    write({ x: x === "images" ? null : x, from: null, to: null }, { push: true });
    cursor = null;
    charts();
  });
  const smooth = choice("Smoothing", [["0", "none"], ["0.6", "some"], ["0.9", "strong"]], state.smooth ?? "0", (weight) => {
    write({ smooth: weight === "0" ? null : weight }, { push: true });
    charts();
  });
  const logBox = checkbox("Log scale", state.log === "1", (log) => {
    write({ log: log ? 1 : null }, { push: true });
    charts();
  });
  const bandBox = checkbox("Seeds as a band", state.band !== "0", (band) => {
    write({ band: band ? null : 0 }, { push: true });
    charts();
  });
  bandBox.title = "runs that differ only in their seed: their mean, and a band from the lowest to the highest";
  const whole = button("Whole run", () => zoom(null), { title: "double click on a chart, or its key 0" });
  const more = button("", () => {
    write({ more: read().state.more ? null : 1 }, { push: true });
    charts();
  });
  const tools = el("div", { class: "row tools" }, axis, smooth, logBox, bandBox, whole, el("span", { class: "faint hint", title: "or pinch it; its keys + and − zoom, 0 shows the whole run" }, "Drag over a chart to zoom in"));
  const grid = el("div", { class: "charts" });
  const events = el("section", { class: "panel guard" });
  const scores = el("section", { class: "panel scores" });
  /** @type {Map<string, Chart>} */
  const chartOf = new Map();

  /** @param {number | null} x */
  function point(x) {
    cursor = x;
    for (const chart of chartOf.values()) chart.point(x);
  }

  /** Show a part of all charts, in images or seconds; null: the whole. @param {[number, number] | null} part */
  function zoom(part) {
    write({ from: part && Math.floor(part[0]), to: part && Math.ceil(part[1]) });
    soon();
  }

  /** The chosen runs, with the seeds of one recipe together. @param {string[]} chosen @returns {string[][]} */
  function grouped(chosen) {
    /** @type {Map<string, string[]>} */
    const groups = new Map();
    for (const name of chosen) {
      const key = runs.get(name)?.group ?? name;
      groups.set(key, [...(groups.get(key) ?? []), name]);
    }
    bandBox.hidden = groups.size === chosen.length;
    return bandBox.hidden || read().state.band === "0" ? chosen.map((name) => [name]) : [...groups.values()];
  }

  function charts() {
    if (!quantities) return;
    const { x, log, smooth: weight, more: all, from, to } = read().state;
    const chosen = selected();
    const groups = grouped(chosen);
    const seconds = x === "seconds";
    const unit = seconds ? unitOf(Math.max(0, ...chosen.map((name) => Math.max(0, ...(records.get(name)?.seconds ?? []).map(Number))))) : null;
    const size = unit?.seconds ?? 1;
    const plans = planned(quantities, chosen.map((name) => ({ records: records.get(name) ?? {}, evaluations: facts.get(name)?.evaluations ?? [] })));
    const shown = plans.filter((plan) => plan.main || all);
    scored(chosen, plans);
    /** @param {{nimg: number, seconds: number}} at */
    const place = (at) => (unit ? at.seconds / unit.seconds : at.nimg);
    const end = range(chosen.flatMap((name) => [
      points(records.get(name) ?? {}, "nimg", unit?.seconds).x, (facts.get(name)?.evaluations ?? []).map(place)]))?.[1] || 1;
    const [low, high] = [Number(from) / size, Math.min(end, Number(to) / size)];
    const part = /** @type {[number, number]} */ (low >= 0 && low < high ? [low, high] : [0, end]);
    whole.hidden = part[0] === 0 && part[1] === end;
    const marks = chosen.flatMap((name) => (facts.get(name)?.events ?? []).map((event) => ({
      x: place(event), colour: "--bad", text: `guard: ${event.kind} at ${event.nimg.toLocaleString("en")} images${chosen.length > 1 ? ` of ${name}` : ""}`,
    })));
    for (const [key, chart] of chartOf) if (!shown.some((plan) => plan.title === key)) {
      chart.close();
      chart.root.remove();
      chartOf.delete(key);
    }
    shown.forEach((plan, i) => {
      let chart = chartOf.get(plan.title);
      if (!chart) chartOf.set(plan.title, chart = new Chart(plan.title, plan.help, point, (wanted) => zoom(wanted && [wanted[0] * size, wanted[1] * size])));
      if (grid.children[i] !== chart.root) grid.insertBefore(chart.root, grid.children[i] ?? null);
      const series = groups.flatMap((group) => Object.entries(plan.names).flatMap(([key, label], j, { length }) => {
        const named = group.length > 1 ? `${sharedName(group)}, ${group.length} seeds` : group[0];
        const text = groups.length === 1 ? label : length > 1 ? `${named}: ${label}` : named;
        const look = { colour: groups.length > 1 ? colour(group[0]) : `--series-${j + 1}`, dash: j };
        const curves = group.map((name) => points(records.get(name) ?? {}, key, unit?.seconds));
        const dots = group.map((name) => {
          const found = (facts.get(name)?.evaluations ?? []).filter((each) => each.scores[key] !== undefined);
          return { x: found.map(place), y: found.map((each) => each.scores[key]) };
        });
        return [{ name: text, ...look, runs: curves }, { name: `${text}, evaluated`, ...look, dots: true, runs: dots }]
          .map((each) => ({ ...each, runs: each.runs.filter((run) => run.x.length) })).filter((each) => each.runs.length);
      }));
      chart.set({
        series, marks, log: log === "1", smooth: plan.smooth ? Number(weight ?? 0) : 0, bounds: plan.bounds, range: part, whole: [0, end],
        xName: seconds ? "training time" : "images seen",
        xText: unit ? (value) => duration(value * unit.seconds) : (value) => `${Math.round(value).toLocaleString("en")} images`,
        xTick: unit ? (value) => `${brief(value)} ${unit.name}` : undefined,
      });
      chart.point(cursor);
    });
    tools.hidden = !plans.length;
    const rest = plans.filter((plan) => !plan.main).length;
    more.hidden = !rest;
    more.textContent = all ? "Fewer charts" : `More charts (${rest})`;
    more.setAttribute("aria-expanded", String(!!all));
    guard(chosen);
  }

  /**
   * The scores of evaluations that no chart shows, as a table.
   * @param {string[]} chosen @param {ReturnType<typeof planned>} plans
   */
  function scored(chosen, plans) {
    const charted = new Set(plans.flatMap((plan) => Object.keys(plan.names)));
    /** @type {Map<string, {name: string, nimg: number, scores: Record<string, number>}>} */
    const found = new Map();
    for (const name of chosen) for (const { nimg, scores } of facts.get(name)?.evaluations ?? []) {
      const key = `${name}\n${nimg}`;
      found.set(key, { name, nimg, scores: { ...found.get(key)?.scores, ...scores } });
    }
    const keys = Object.keys(quantities?.metrics ?? {}).filter((key) => !charted.has(key) && [...found.values()].some((each) => key in each.scores));
    scores.hidden = !keys.length;
    scores.replaceChildren(el("h2", {}, "Scores"), el("div", { class: "wide", tabIndex: 0, role: "region", "aria-label": "Scores" }, el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "run"), el("th", { scope: "col" }, "images seen"),
        ...keys.map((key) => el("th", { scope: "col", title: quantities?.metrics[key] }, quantities?.titles[key] ?? key)))),
      el("tbody", {}, ...[...found.values()].map((each) => el("tr", {}, el("th", { scope: "row" }, each.name), el("td", {}, each.nimg.toLocaleString("en")),
        ...keys.map((key) => el("td", {}, key in each.scores ? brief(each.scores[key]) : "–"))))))));
  }

  /** @param {string[]} chosen */
  function guard(chosen) {
    const all = chosen.flatMap((name) => (facts.get(name)?.events ?? []).map((event) => ({ name, ...event })));
    events.hidden = !all.length;
    events.replaceChildren(el("h2", {}, "What the guard did"), el("p", { class: "faint" }, "The guard watches a training and takes it back to a good state when it collapses."),
      el("ol", {}, ...all.map((event) => el("li", {}, el("strong", {}, `${chosen.length > 1 ? `${event.name}, ` : ""}${event.nimg.toLocaleString("en")} images`),
        ` ${event.kind}: ${event.said}; ${event.response}`))));
  }

  // -- trainings that were started here -----------------------------------------------------------------------------------

  const waiting = el("div", { class: "waiting", role: "status" });

  function showTrainings() {
    waiting.replaceChildren(...trainings.map(({ name, state: how, reason, log }) => how === "starting"
      ? el("p", { class: "panel" }, el("strong", {}, name), " is starting…")
      : el("p", { class: "panel failed" }, el("strong", {}, name), ` failed: ${reason} `, el("span", { class: "faint" }, `(output in ${log}) `),
        button("Dismiss", () => void post("/trainings/dismiss", { run: name }).then(() => {
          trainings = trainings.filter((each) => each.name !== name);
          showTrainings();
        }), { "aria-label": `Dismiss the failure of ${name}` }))));
  }

  let dialog = false;
  async function openForm() {
    if (dialog) return;
    dialog = true;
    try {
      const taken = (/** @type {string} */ name) => runs.has(name) || trainings.some((each) => each.name === name);
      const started = await startTraining(read().state.new ?? "", taken, (recipe) => write({ new: recipe }));
      write({ new: null });
      if (started) select([started]);
    } catch (error) {
      say(/** @type {Error} */ (error).message, "error");
    } finally {
      dialog = false;
    }
  }

  // -- all together -----------------------------------------------------------------------------------------------------

  const welcome = el("section", { class: "panel welcome", hidden: true }, el("h2", {}, "No runs in this folder yet"),
    el("p", {}, "A run is a training and everything it leaves behind: networks, samples, scores. Start one with “New training…”; "
      + "the recipe strokes-cdcgan learns to draw digits within minutes. Runs that are started elsewhere appear here by themselves."));
  const detail = el("div", { class: "detail" }, waiting, welcome, cards, film, tools, grid, more, scores, events);
  const side = el("section", { class: "side", "aria-label": "All runs" },
    el("div", { class: "row" }, filter, button("New training…", () => void openForm(), { class: "primary" })), nothing, rows, count);
  root.append(el("div", { class: "columns" }, side, detail));

  /** Everything but the charts. */
  function showRuns() {
    const chosen = selected();
    list();
    for (const [name, each] of cardsOf) if (!chosen.includes(name)) {
      each.whole.remove();
      cardsOf.delete(name);
    }
    chosen.forEach((name, i) => {
      const each = cardsOf.get(name) ?? card(name);
      cardsOf.set(name, each);
      if (cards.children[i] !== each.whole) cards.insertBefore(each.whole, cards.children[i] ?? null);
      each.update();
    });
    showFilm();
  }

  function show() {
    showRuns();
    charts();
  }

  let pending = false, pendingCharts = false;
  /** Show news with the next frame. @param {boolean} [withCharts] */
  function soon(withCharts = true) {
    pendingCharts ||= withCharts;
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      if (!root.contains(detail)) return;
      showRuns();
      if (pendingCharts) charts();
      pendingCharts = false;
    });
  }

  const stops = [
    live.on("runs", ({ changed, gone, all }) => {
      if (all) runs.clear();
      for (const run of changed) runs.set(run.name, run);
      for (const name of gone) runs.delete(name);
      heard = true;
      const before = watched;
      watch();
      soon(watched !== before);
    }),
    live.on("records", ({ run, start: from, columns, more: rest }) => {
      records.set(run, joined(from ? records.get(run) ?? {} : {}, from, columns));
      if (!rest) soon();
    }),
    live.on("facts", ({ run, ...found }) => {
      facts.set(run, found);
      soon();
    }),
    live.on("trainings", (news) => {
      trainings = news.trainings;
      showTrainings();
      soon(false);
    }),
  ];
  const clock = setInterval(() => soon(false), 10_000); // ages, and the time that is left
  live.send("watch", { runs: names(state.run).slice(0, MOST_SELECTED) }, { keep: true }); // the list comes first, then the rest
  get("/runs/quantities").then((found) => {
    quantities = found;
    soon();
  }, (error) => say(error.message, "error"));
  show();
  if (state.new !== undefined) void openForm();

  return {
    update: (next) => {
      axis.value = next.x ?? "images";
      smooth.value = next.smooth ?? "0";
      /** @type {HTMLInputElement} */ (logBox.querySelector("input")).checked = next.log === "1";
      /** @type {HTMLInputElement} */ (bandBox.querySelector("input")).checked = next.band !== "0";
      if (document.activeElement !== filter) filter.value = next.q ?? "";
      watch();
      show();
    },
    unmount: () => {
      pause();
      clearInterval(clock);
      for (const stop of stops) stop();
      for (const chart of chartOf.values()) chart.close();
      live.send("watch", { on: false }, { keep: true });
    },
  };
}

/** The runs that an address names. @param {string | undefined} text */
function names(text) {
  return (text ?? "").split(",").filter((name) => name && name !== "-").map((name) => {
    try {
      return decodeURIComponent(name);
    } catch {
      return name;
    }
  });
}

/** Trainings first, then what changed last. @param {Summary} a @param {Summary} b */
function newestFirst(a, b) {
  const [first, second] = [a, b].map((run) => run.state === "training");
  if (first !== second) return first ? -1 : 1;
  return (first ? b.started - a.started : b.active - a.active) || (a.name < b.name ? -1 : 1);
}

/** @param {HTMLElement} badge @param {string} state */
function setBadge(badge, state) {
  badge.textContent = /** @type {Record<string, string>} */ (SAYS)[state] ?? state;
  badge.className = `badge ${state in SAYS ? state : ""}`;
}

/** The last part of a path. @param {string} data */
const brush = (data) => data.split(/[\\/]/).filter(Boolean).pop() ?? data;

/** @param {Summary} run */
function progress(run) {
  const share = run.total && run.nimg < run.total ? ` (${Math.floor((100 * run.nimg) / run.total)} %)` : "";
  const of = run.nimg < run.total ? ` of ${run.total.toLocaleString("en")}` : "";
  return `${run.nimg.toLocaleString("en")}${of} images${share}${run.seconds ? ` in ${duration(run.seconds)}` : ""}`;
}

/** Speed and time left, from the newest records. @param {Summary} run @param {Columns | undefined} columns */
function speed(run, columns) {
  const seconds = /** @type {number[]} */ (columns?.seconds ?? []), nimg = /** @type {number[]} */ (columns?.nimg ?? []);
  const last = nimg.length - 1, first = Math.max(0, last - RECENT);
  let rate = run.seconds ? run.nimg / run.seconds : run.images_per_second ?? 0;
  if (last > first && seconds[last] > seconds[first]) rate = (nimg[last] - nimg[first]) / (seconds[last] - seconds[first]);
  if (!(rate > 0)) return "";
  const left = (run.total - run.nimg) / rate - (Date.now() / 1000 - run.active);
  return ` · ${brief(rate)} images/s · ${left > 1 ? `about ${duration(left)} left` : "nearly done"}`;
}

/** @param {number} seconds */
function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${(seconds / 86400).toFixed(1)} days`;
}

/** @param {number} then */
function ago(then) {
  const seconds = Math.max(0, Date.now() / 1000 - then);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} d ago`;
}

/** What the names of seeds have in common, as in the figures of `ganvas figure`. @param {string[]} names */
function sharedName(names) {
  const short = new Set(names.map((name) => name.replace(/\W*(seed|s)?\W*\d+$/, "")));
  return short.size === 1 ? [...short][0] || names[0] : names[0];
}

/** The unit of a time axis that ends at so many seconds. @param {number} most */
function unitOf(most) {
  return most > 7200 ? { name: "h", seconds: 3600 } : most > 120 ? { name: "min", seconds: 60 } : { name: "s", seconds: 1 };
}

/**
 * Columns with the rows of others put behind the first `count`; a quantity that is new, or missing, is null there.
 * @param {Columns} columns @param {number} count @param {Columns} added
 */
function joined(columns, count, added) {
  const rows = added.nimg?.length ?? 0;
  /** @type {Columns} */
  const whole = {};
  for (const key of new Set([...Object.keys(columns), ...Object.keys(added)])) {
    const before = columns[key]?.slice(0, count) ?? [];
    whole[key] = [...before, ...Array(count - before.length).fill(null), ...(added[key] ?? Array(rows).fill(null))];
  }
  return whole;
}

/** The points of a quantity; `unit` is that of the time axis in seconds, undefined for images. @param {Columns} columns @param {string} key @param {number} [unit] */
function points(columns, key, unit) {
  const x = /** @type {number[]} */ ([]), y = /** @type {number[]} */ ([]);
  const at = columns[unit === undefined ? "nimg" : "seconds"] ?? [];
  (columns[key] ?? []).forEach((value, i) => {
    const place = at[i];
    if (value === null || place === null || place === undefined) return;
    x.push(unit === undefined ? place : place / unit);
    y.push(value);
  });
  return { x, y };
}

/**
 * The charts for what some runs have recorded: which quantities each shows, and whether it is one of the main ones.
 * @param {Quantities} quantities
 * @param {{records: Columns, evaluations: Evaluation[]}[]} found
 * @returns {{title: string, help: string, names: Record<string, string>, main: boolean, smooth: boolean, bounds?: [number, number]}[]}
 */
function planned({ titles, together, metrics }, found) {
  const recorded = new Set(found.flatMap(({ records, evaluations }) => [
    ...Object.keys(records).filter((key) => !HIDDEN.includes(key)),
    // A single value is no curve: it is in the table of scores.
    ...evaluations.flatMap(({ nimg, scores }) => Object.keys(scores).filter((key) => evaluations.some((other) => other.nimg !== nimg && key in other.scores))),
  ]));
  const plans = [];
  /** @param {string} key */
  const scored = (key) => key === "score" || key in metrics;
  for (const [title, names] of Object.entries(together)) {
    const here = Object.fromEntries(Object.entries(names).filter(([key]) => recorded.delete(key)));
    if (!Object.keys(here).length) continue;
    const shares = found.every(({ records }) => Object.keys(here).every((key) => (records[key] ?? []).every((y) => y === null || (y >= 0 && y <= 1))));
    const bounds = shares && /^(Confidence|Accuracies)/.test(title) ? /** @type {[number, number]} */ ([0, 1]) : undefined;
    plans.push({ title, help: "", names: here, main: MAIN.includes(title), smooth: true, bounds });
  }
  const order = Object.keys(titles);
  for (const key of [...recorded].sort((a, b) => (order.indexOf(a) + 1 || 999) - (order.indexOf(b) + 1 || 999))) {
    const title = titles[key] ?? key.replaceAll("_", " ");
    plans.push({ title, help: metrics[key] ?? "", names: { [key]: title }, main: scored(key), smooth: !scored(key) });
  }
  return plans.sort((a, b) => Number(b.main) - Number(a.main));
}
