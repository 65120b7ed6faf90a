// The tab Breed.

import { el } from "./dom.js";

export const title = "Breed";

/** @type {import("./app.js").Tab["mount"]} */
export function mount(root, state) {
  root.append(el("p", {}, "not yet"));
  return { update: () => {}, unmount: () => {} };
}
