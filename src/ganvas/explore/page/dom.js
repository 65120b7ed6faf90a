// Building elements. Text is always text: names of runs, classes and files come from anywhere and are never markup.

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element. `props` are set as properties, except for `class`, `style` variables (`--x`), `data-*`, `aria-*`, `role`
 * and `for`, which are attributes, and functions under `on...`, which are listeners.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.startsWith("--")) element.style.setProperty(key, value);
    else if (key === "class" || key === "role" || key === "for" || key === "list" || /^(aria|data)-/.test(key)) {
      element.setAttribute(key, String(value));
    } else /** @type {any} */ (element)[key] = value;
  }
  element.append(...children.filter((child) => child || child === 0 || child === "").map((child) => /** @type {any} */ (child)));
  return element;
}

/**
 * A labelled slider that shows its value.
 * @param {string} label
 * @param {{min: number, max: number, step: number, value: number, title?: string, text?: (value: number) => string}} range
 *   text: how a value is written
 * @param {(value: number) => void} changed  called while it is moved
 * @returns {HTMLLabelElement & {value: number}}
 */
export function slider(label, range, changed) {
  const write = () => {
    output.textContent = range.text ? range.text(input.valueAsNumber) : shown(input.valueAsNumber, range.step);
    if (range.text) input.setAttribute("aria-valuetext", output.textContent);
  };
  const output = el("output", {});
  const input = el("input", {
    type: "range", min: range.min, max: range.max, step: range.step, title: range.title ?? label,
    oninput: () => {
      write();
      changed(input.valueAsNumber);
    },
  });
  input.valueAsNumber = range.value;
  write();
  const whole = el("label", { class: "slider" }, el("span", {}, label), input, output);
  return Object.defineProperty(/** @type {any} */ (whole), "value", {
    get: () => input.valueAsNumber,
    set: (value) => {
      input.valueAsNumber = value;
      write();
    },
  });
}

/**
 * A labelled choice.
 * @param {string} label
 * @param {readonly (string | [value: string, text: string])[]} options
 * @param {string} value
 * @param {(value: string) => void} changed
 * @returns {HTMLLabelElement & {value: string}}
 */
export function choice(label, options, value, changed) {
  const select = el("select", { onchange: () => changed(select.value) });
  for (const option of options) {
    const [given, text] = typeof option === "string" ? [option, option] : option;
    select.append(el("option", { value: given }, text));
  }
  select.value = value;
  const whole = el("label", { class: "choice" }, el("span", {}, label), select);
  return Object.defineProperty(/** @type {any} */ (whole), "value", {
    get: () => select.value,
    set: (next) => {
      select.value = next;
    },
  });
}

/**
 * A labelled check box.
 * @param {string} label
 * @param {boolean} value
 * @param {(value: boolean) => void} changed
 */
export function checkbox(label, value, changed) {
  const input = el("input", { type: "checkbox", checked: value, onchange: () => changed(input.checked) });
  return el("label", { class: "checkbox" }, input, el("span", {}, label));
}

/**
 * A button.
 * @param {string} text
 * @param {() => void} pressed
 * @param {Record<string, any>} [props]
 */
export function button(text, pressed, props = {}) {
  return el("button", { type: "button", onclick: pressed, ...props }, text);
}

/**
 * Show a message at the foot of the page for a while. Errors stay longer.
 * @param {string} text
 * @param {"note" | "error"} [kind]
 */
export function say(text, kind = "note") {
  const message = el("p", { class: kind }, text);
  document.querySelector("#messages")?.append(message);
  setTimeout(() => message.remove(), kind === "error" ? 12_000 : 5_000);
}

/** @param {number} value @param {number} step */
function shown(value, step) {
  return value.toFixed(Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9))));
}
