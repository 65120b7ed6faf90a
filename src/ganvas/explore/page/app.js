// The frame of the page: tabs, the connection, keys.

import { live } from "./api.js";
import { el } from "./dom.js";
import * as breed from "./breed.js";
import * as latents from "./latents.js";
import * as paint from "./paint.js";
import * as runs from "./runs.js";
import { href, read } from "./state.js";

/**
 * A tab. `mount` fills `root` for a state and returns what to call when the address changes to another state of the
 * same tab (`update`) and when the tab is left (`unmount`: remove listeners, stop timers).
 * @typedef {{update: (state: import("./state.js").State) => void, unmount: () => void}} Mounted
 * @typedef {{title: string, mount: (root: HTMLElement, state: import("./state.js").State) => Mounted}} Tab
 */

/** @type {Record<string, Tab>} */
const TABS = { runs, latents, paint, breed };

const main = /** @type {HTMLElement} */ (document.querySelector("#main"));
const nav = /** @type {HTMLElement} */ (document.querySelector("#tabs"));
const connection = /** @type {HTMLElement} */ (document.querySelector("#connection"));

/** @type {{name: string, mounted: Mounted} | null} */
let shown = null;

function show() {
  const { tab, state } = read();
  const name = tab in TABS ? tab : "runs";
  if (shown?.name === name) {
    shown.mounted.update(state);
    return;
  }
  shown?.mounted.unmount();
  main.replaceChildren();
  main.className = name;
  document.title = `${TABS[name].title} · ganvas`;
  shown = { name, mounted: TABS[name].mount(main, state) };
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.tab === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

Object.entries(TABS).forEach(([name, tab], index) => {
  const keys = `${index + 1}`;
  nav.append(el("a", { href: href(name), "data-tab": name, title: `key ${keys}`, "aria-keyshortcuts": keys }, tab.title));
});

addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLElement && event.target.closest("input:not([type=range]), select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const name = Object.keys(TABS)[Number(event.key) - 1];
  if (name) location.hash = href(name);
});

// A file that is dropped where nothing takes it would be opened instead of the page.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());

live.on("open", () => {
  connection.textContent = "";
});
live.on("closed", ({ reason }) => {
  connection.textContent = reason || "No connection to ganvas. Is it still running?";
});
addEventListener("popstate", show); // also for links to another #
live.open();
show();
