// The form that starts a training: a recipe, a name, and the settings to change.

import { get, post } from "./api.js";
import { button, el } from "./dom.js";

/**
 * A setting. `main` is its place among the main settings; `toml` is a list or table, typed in as TOML.
 * @typedef {{key: string, help: string, value: any, main: number | null, kind: "integer" | "number" | "boolean" | "text" | "choice" | "toml",
 *   optional: boolean, min?: number, max?: number, choices?: (string | number)[]}} Field
 * @typedef {{recipe: string, description: string, sections: {title: string, fields: Field[]}[]}} Form
 */

const NAMED = ["strokes", "mnist", "fashion-mnist", "cifar10"];
const WORDS = { // where the last part of the key would say too little
  "data.name": "images", "data.size": "image size", "train.epochs": "length in epochs", "train.images": "length in images",
  "train.batch_size": "batch size", "method.lr": "learning rate", "method.g_lr": "learning rate of G", "method.d_lr": "learning rate of D",
  "method.vae_lr": "learning rate of the autoencoder", "network.base": "network size", "network.width": "network width",
  "network.blocks": "network blocks", "network.layers": "network layers", "network.hidden": "hidden units",
};
const WAIT = 300; // milliseconds without typing after which the settings are checked

/**
 * Open the form. Resolves with the name of the training that was started, or with null.
 * @param {string} recipe
 * @param {(name: string) => boolean} taken  whether there is a run of this name
 * @param {(recipe: string) => void} chosen  called when another recipe is chosen
 * @returns {Promise<string | null>}
 */
export async function startTraining(recipe, taken, chosen) {
  /** @type {Record<string, string>} */
  const recipes = await get("/recipes");
  return new Promise((resolve) => {
    /** @type {Map<string, any>} */
    const changes = new Map();
    /** @type {Form | null} */
    let form = null;
    let named = false; // whether the name was typed in
    let timer = 0, asked = 0;
    /** @type {string | null} */
    let started = null;

    const select = el("select", { id: "new-recipe", onchange: () => load(true) });
    for (const name of Object.keys(recipes)) select.append(el("option", { value: name }, name));
    select.value = recipe in recipes ? recipe : "strokes-cdcgan";
    const about = el("p", { class: "faint", id: "new-about" });
    const name = el("input", { type: "text", id: "new-name", required: true, maxLength: 80, autocomplete: "off", spellcheck: false, oninput: () => {
      named = true;
      refuse("");
    } });
    const main = el("div", { class: "fields" });
    const more = el("div", {});
    const error = el("p", { class: "bad", role: "alert" });
    const count = el("p", { class: "faint" });
    const go = el("button", { type: "submit", class: "primary" }, "Start training");
    const dialog = el("dialog", { class: "form", "aria-labelledby": "new-title", onclose: () => {
      clearTimeout(timer);
      dialog.remove();
      resolve(started);
    } },
    el("form", { method: "dialog", onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      void submit();
    }, noValidate: true },
    el("h2", { id: "new-title" }, "New training"),
    el("div", { class: "fields" },
      el("div", { class: "field" }, el("label", { for: "new-recipe" }, "recipe"), select, about),
      el("div", { class: "field" }, el("label", { for: "new-name" }, "name of the run"), name, el("p", { class: "faint" }, "its folder; the results are kept there"))),
    el("h3", {}, "Main settings"), main, more,
    el("footer", {}, error, el("div", { class: "row" }, go, button("Cancel", () => dialog.close()), count))));

    /** @param {string} text */
    function refuse(text) {
      const key = text.match(/^(?:unknown )?setting '([\w.]+)'/)?.[1];
      let placed = false;
      for (const field of dialog.querySelectorAll(".field[data-key]")) {
        const mine = field.getAttribute("data-key") === key;
        const said = field.querySelector(".bad");
        if (said) said.textContent = mine ? text.replace(/^setting '[^']*' is .*?: /, "") : "";
        field.querySelector("input, select")?.setAttribute("aria-invalid", String(mine));
        if (mine) {
          placed = true;
          const folded = field.closest("details");
          if (folded) folded.open = true;
        }
      }
      error.textContent = placed ? "" : text;
    }

    function changed() {
      count.textContent = changes.size ? `${changes.size} ${changes.size === 1 ? "setting" : "settings"} changed` : "all settings as in the recipe";
      clearTimeout(timer);
      timer = setTimeout(check, WAIT);
    }

    const request = () => ({ name: name.value.trim(), recipe: select.value, changes: Object.fromEntries(changes) });

    async function check() {
      const mine = ++asked;
      try {
        const { error } = await post("/recipes/check", { recipe: select.value, changes: Object.fromEntries(changes) });
        if (mine === asked) refuse(error ?? "");
      } catch (failure) {
        if (mine === asked) refuse(/** @type {Error} */ (failure).message);
      }
    }

    async function submit() {
      clearTimeout(timer);
      asked++;
      go.disabled = true;
      try {
        await post("/trainings/start", request());
        started = name.value.trim();
        dialog.close();
      } catch (failure) {
        refuse(/** @type {Error} */ (failure).message);
      } finally {
        go.disabled = false;
      }
    }

    /** Fetch the settings of the recipe; `fresh` forgets the changes. @param {boolean} fresh */
    async function load(fresh) {
      if (fresh) changes.clear();
      about.textContent = recipes[select.value];
      if (fresh) {
        main.replaceChildren(el("p", { class: "faint", role: "status" }, "Loading the settings… ", el("progress", {})));
        more.replaceChildren();
      }
      if (!named) name.value = free(select.value, taken);
      chosen(select.value);
      try {
        form = /** @type {Form} */ (await get("/recipes/form", { recipe: select.value, network: changes.get("network.name"), method: changes.get("method.name") }));
      } catch (failure) {
        refuse(/** @type {Error} */ (failure).message);
        return;
      }
      const known = new Set(form.sections.flatMap((section) => section.fields.map((field) => field.key)));
      for (const key of changes.keys()) if (!known.has(key)) changes.delete(key);
      const all = form.sections.flatMap((section) => section.fields);
      main.replaceChildren(...all.filter((field) => field.main !== null).sort((a, b) => Number(a.main) - Number(b.main)).map(show));
      more.replaceChildren(...form.sections.map((section) => el("details", {}, el("summary", {}, `${section.title}: all other settings`),
        el("div", { class: "fields" }, ...section.fields.filter((field) => field.main === null).map(show)))));
      changed();
    }

    /** @param {Field} field */
    function show(field) {
      const id = `set-${field.key}`;
      const own = /\.name$/.test(field.key) && field.key !== "data.name"; // the kind of network or method
      const base = field.value;
      const input = control(field, id);
      const was = el("button", { type: "button", class: "was", title: "back to the value of the recipe", onclick: () => {
        put(field, input, base);
        take(base);
        input.focus();
      } });
      /** @param {any} value */
      const take = (value) => {
        if (same(value, base) && !own) changes.delete(field.key);
        else changes.set(field.key, field.kind === "toml" && value !== null ? { toml: value } : value);
        mark();
        if (own) void load(false).then(() => document.getElementById(id)?.focus());
        else changed();
      };
      const mark = () => {
        was.hidden = !changes.has(field.key) || own;
        was.textContent = `recipe: ${base === null ? "none" : base === "" ? "(empty)" : base}`;
      };
      const kept = changes.get(field.key);
      put(field, input, kept === undefined ? base : kept?.toml ?? kept);
      input.addEventListener(input.type === "checkbox" || input instanceof HTMLSelectElement ? "change" : "input", () => take(entered(field, input)));
      mark();
      const words = /** @type {Record<string, string>} */ (WORDS)[field.key] ?? field.key.split(".")[1].replaceAll("_", " ");
      const label = el("label", { for: id, title: field.key }, words);
      return el("div", { class: "field", "data-key": field.key }, el("div", { class: "head" }, label, was), input,
        el("p", { class: "bad", id: `${id}-bad` }), el("p", { class: "faint", id: `${id}-help` }, field.help));
    }

    document.body.append(dialog);
    dialog.showModal();
    void load(true);
  });
}

/**
 * @param {Field} field @param {string} id
 * @returns {HTMLInputElement | HTMLSelectElement}
 */
function control(field, id) {
  const described = { id, "aria-describedby": `${id}-help ${id}-bad` };
  if (field.kind === "choice") {
    const select = el("select", described);
    if (field.optional) select.append(el("option", { value: "" }, "none"));
    for (const choice of field.choices ?? []) select.append(el("option", { value: String(choice) }, String(choice)));
    return select;
  }
  if (field.kind === "boolean") return el("input", { ...described, type: "checkbox" });
  const none = field.optional ? "none" : "";
  if (field.kind === "integer" || field.kind === "number") {
    return el("input", { ...described, type: "number", step: field.kind === "integer" ? "1" : "any", min: field.min, max: field.max, placeholder: none });
  }
  const input = el("input", { ...described, type: "text", placeholder: none, spellcheck: false, autocomplete: "off", maxLength: 1000 });
  if (field.key === "data.name") {
    input.setAttribute("list", "new-data");
    document.getElementById("new-data")?.remove();
    document.querySelector("dialog.form")?.append(el("datalist", { id: "new-data" }, ...NAMED.map((value) => el("option", { value }))));
  }
  return input;
}

/** Show a value. @param {Field} field @param {HTMLInputElement | HTMLSelectElement} input @param {any} value */
function put(field, input, value) {
  if (field.kind === "boolean") /** @type {HTMLInputElement} */ (input).checked = value;
  else input.value = value === null ? "" : String(value);
}

/** The value that was typed in. @param {Field} field @param {HTMLInputElement | HTMLSelectElement} input */
function entered(field, input) {
  if (field.kind === "boolean") return /** @type {HTMLInputElement} */ (input).checked;
  const text = input.value.trim();
  if (text === "" && field.optional) return null;
  if (field.kind === "choice") return field.choices?.find((choice) => String(choice) === text) ?? text;
  if (field.kind === "integer" || field.kind === "number") return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
  return text;
}

/** Whether two values are typed in alike: 64 and "64". @param {any} a @param {any} b */
const same = (a, b) => a === b || (a !== null && b !== null && String(a) === String(b));

/** A name that no run has. @param {string} name @param {(name: string) => boolean} taken */
function free(name, taken) {
  if (!taken(name)) return name;
  let n = 2;
  while (taken(`${name}-${n}`)) n++;
  return `${name}-${n}`;
}

/**
 * Ask how far a run is to be continued. Resolves with the number of images, undefined for its own length, or null.
 * @param {string} run @param {number} seen @param {number} total  images
 * @param {(images: number | undefined) => Promise<any>} start  throws an Error with one line
 */
export function continueTraining(run, seen, total, start) {
  const length = el("input", { type: "number", id: "continue-images", min: seen + 1, step: 1, value: String(seen < total ? total : 2 * total) });
  const error = el("p", { class: "bad", role: "alert" });
  const dialog = el("dialog", { class: "form small", "aria-labelledby": "continue-title", onclose: () => dialog.remove() },
    el("form", { method: "dialog", noValidate: true, onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      try {
        await start(length.valueAsNumber === total ? undefined : length.valueAsNumber);
        dialog.close();
      } catch (failure) {
        error.textContent = /** @type {Error} */ (failure).message;
      }
    } },
    el("h2", { id: "continue-title" }, `Continue ${run}`),
    el("div", { class: "field" }, el("label", { for: "continue-images" }, "until it has seen this many images"), length,
      el("p", { class: "faint" }, `${seen.toLocaleString("en")} seen so far, of ${total.toLocaleString("en")} planned`)),
    el("footer", {}, error, el("div", { class: "row" }, el("button", { type: "submit", class: "primary" }, "Continue"), button("Cancel", () => dialog.close())))));
  document.body.append(dialog);
  dialog.showModal();
  length.select();
}
