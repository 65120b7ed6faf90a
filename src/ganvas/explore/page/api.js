// Talking to the server: requests, and the socket that brings news and images.

/**
 * An image from the server, with further fields about it.
 * @typedef {{width: number, height: number, channels: 1 | 3 | 4, pixels: Uint8Array, type: string, slot?: string, id?: number, [more: string]: any}} Frame
 */

/** @typedef {{type: string, error?: string, [more: string]: any}} News */

/**
 * GET a JSON object. Throws an Error with the server's one line.
 * @param {string} path
 * @param {Record<string, any>} [params]  arrays are given several times; undefined is left out
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function get(path, params = {}, signal) {
  return answer(await fetch(address(path, params), { signal }));
}

/**
 * POST a JSON object, or a file. Throws an Error with the server's one line.
 * @param {string} path
 * @param {Record<string, any> | Blob} body
 * @param {Record<string, any>} [params]
 * @returns {Promise<any>}
 */
export async function post(path, body, params = {}) {
  const file = body instanceof Blob;
  const headers = { "Content-Type": file ? "application/octet-stream" : "application/json" };
  return answer(await fetch(address(path, params), { method: "POST", headers, body: file ? body : JSON.stringify(body) }));
}

/**
 * The address of something on the server, for `img.src` and links.
 * @param {string} path
 * @param {Record<string, any>} [params]
 */
export function address(path, params = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each !== undefined) query.append(key, String(each));
  }
  return query.size ? `${path}?${query}` : path;
}

/** @param {Response} response */
async function answer(response) {
  const text = await response.text();
  if (!response.ok) {
    let error = text.trim();
    try {
      error = JSON.parse(text).error ?? error;
    } catch { /* it is plain text */ }
    throw new Error(error || `the server answered ${response.status}`);
  }
  return text ? JSON.parse(text) : null;
}

const LATER = 10_000; // milliseconds until the socket is opened again, at most

class Live {
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Map<string, Set<(message: any) => void>>} */
  #listeners = new Map();
  /** @type {Map<string, any>} messages that are sent again after a broken connection */
  #kept = new Map();
  #wait = 500;
  #id = 0;

  /** Open the socket, and open it again whenever it breaks. */
  open() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#socket = socket;
      this.#wait = 500;
      this.#tell("open", {});
      for (const message of this.#kept.values()) socket.send(JSON.stringify(message));
    };
    socket.onmessage = (event) => {
      const message = typeof event.data === "string" ? JSON.parse(event.data) : frame(event.data);
      this.#tell(message.slot ? `${message.type}:${message.slot}` : message.type, message);
    };
    socket.onclose = ({ reason }) => {
      this.#socket = null;
      if (reason) this.#wait = LATER; // the server has too many
      this.#tell("closed", { reason });
      setTimeout(() => this.open(), this.#wait);
      this.#wait = Math.min(2 * this.#wait, LATER);
    };
  }

  /**
   * Send a message; with `slot`, it replaces an earlier one that is not yet computed. Returns its id, which the answer
   * has too. Dropped while there is no connection, unless it is kept.
   * @param {string} op
   * @param {Record<string, any>} [fields]
   * @param {{keep?: boolean}} [options]  keep: send it again after a broken connection (the latest of each op)
   */
  send(op, fields = {}, { keep = false } = {}) {
    const message = { op, id: ++this.#id, ...fields };
    if (keep) this.#kept.set(op, message);
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
    return this.#id;
  }

  /**
   * Call `listener` for every message of a type; messages of a slot have the type `type:slot`, and errors about it
   * `error:slot`. Returns a function that stops it.
   * @param {string} type
   * @param {(message: any) => void} listener
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** @param {string} type @param {any} message */
  #tell(type, message) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) listener(message);
  }
}

export const live = new Live();

/** @param {ArrayBuffer} data @returns {Frame} */
function frame(data) {
  const length = new DataView(data).getUint32(0, true);
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  return { ...facts, pixels: new Uint8Array(data, 4 + length) };
}
