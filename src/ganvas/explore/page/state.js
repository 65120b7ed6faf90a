// The state of the page is in the address bar, behind the #: `#latents?run=digits&seed=3`.

/** @typedef {Record<string, string>} State */

/** The tab and its state, read from the address. @returns {{tab: string, state: State}} */
export function read() {
  const [tab, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { tab, state: Object.fromEntries(new URLSearchParams(query)) };
}

/**
 * The address of a tab in some state; empty values are left out.
 * @param {string} tab
 * @param {Record<string, string | number | boolean | null | undefined>} state
 */
export function href(tab, state = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) {
    if (value !== null && value !== undefined && value !== "" && value !== false) query.set(key, String(value));
  }
  return `#${tab}${query.size ? `?${query}` : ""}`;
}

/**
 * Change some of the state: null removes a value. `push` makes a step that the back button takes back; without it, the
 * address changes quietly (for what follows a pointer). The tab is not told: it made the change itself.
 * @param {Record<string, string | number | boolean | null | undefined>} changes
 * @param {{push?: boolean}} [options]
 */
export function write(changes, { push = false } = {}) {
  const { tab, state } = read();
  const next = href(tab, { ...state, ...changes });
  if (next === location.hash) return;
  if (push) history.pushState(null, "", next);
  else history.replaceState(null, "", next);
}
