// An image of one's own: encoded, or projected.

import { live, post } from "./api.js";
import { button, el, say } from "./dom.js";
import { pack } from "./latents-place.js";

const MOST_BYTES = 32 * 2 ** 20;

/**
 * @param {import("./latents.js").Studio} studio
 * @param {number | null} label  the chosen class; null: the best one is found
 */
export function ownImage(studio, label) {
  const { facts, model } = studio;
  /** @type {string | null} */
  let image = null; // the server's key
  let turn = 0;
  const file = el("input", { type: "file", accept: "image/*", class: "unseen", "aria-label": "Choose an image file", tabIndex: -1, onchange: () => {
    if (file.files?.[0]) take(file.files[0]);
    file.value = "";
  } });
  const picture = el("img", { class: "pixelated", alt: "your image, as the network would see it" });
  const found = el("p", { class: "faint", role: "status" });
  const bar = el("progress", { max: 1, value: 0, "aria-label": "Progress of the search" });
  const cancel = button("Cancel", () => {
    live.send("latents.cancel");
    finish("Cancelled. The nearest picture so far is in the walk.");
  });
  const search = button("Search for a nearer one", () => project());
  const result = el("div", { class: "own" }, picture, el("div", {}, found, el("div", { class: "row" }, bar, cancel, search)));
  result.hidden = true;
  bar.hidden = cancel.hidden = search.hidden = true;
  const root = el("section", { class: "panel drop", "aria-label": "Your own image" },
    el("h2", {}, "Your own image"),
    el("p", { class: "faint" }, facts.encoder
      ? "Drop an image anywhere, or paste it: the encoder of this run finds its latent, and you walk from there."
      : "Drop an image anywhere, or paste it: the latent whose picture is nearest is searched for, and you walk from there."),
    el("div", { class: "row" }, button("Choose a file…", () => file.click()), file),
    result,
  );

  /** @param {Blob} blob */
  async function take(blob) {
    const mine = ++turn;
    live.send("latents.cancel");
    if (blob.size > MOST_BYTES) {
      say("An image file may have 32 MB.", "error");
      return;
    }
    try {
      const answer = await post("/latents/image", blob, model);
      if (mine !== turn) return;
      image = answer.image;
      picture.src = answer.picture;
      result.hidden = false;
      if (answer.z) {
        place(answer.z, null, false);
        finish(`Encoded: the picture differs by ${percent(answer.difference)} from your image.`);
      } else project();
    } catch (error) {
      if (mine === turn) say(/** @type {Error} */ (error).message, "error");
    }
  }

  function project() {
    if (!image) return;
    bar.value = 0;
    bar.hidden = cancel.hidden = false;
    search.hidden = true;
    found.textContent = "Searching…";
    live.send("latents.project", { ...model, image, label });
  }

  /** @param {string} text */
  function finish(text) {
    bar.hidden = cancel.hidden = true;
    search.hidden = false;
    found.textContent = text;
  }

  /** @param {number[]} z @param {number | null} label @param {boolean} quiet */
  function place(z, label, quiet) {
    if (quiet) studio.show({ z, label }, "the nearest picture so far");
    else studio.go({ base: pack(z), truncation: 100, label, kind: "f", offsets: [] });
  }

  studio.atEnd(live.on("latents.projected", (news) => {
    if (news.image !== image || bar.hidden) return;
    if (news.error) {
      finish(news.error);
      return;
    }
    const last = news.step === news.steps;
    bar.value = news.step / news.steps;
    place(news.z, news.label, !last);
    const of = news.label === null ? "" : `, class ${facts.classes[news.label]}`;
    const text = `the picture differs by ${percent(news.difference)} from your image${of}.`;
    if (last) finish(`Found: ${text}`);
    else found.textContent = `Step ${news.step} of ${news.steps}: ${text}`;
    latest = news;
  }));
  /** @type {any} */
  let latest = null;
  cancel.addEventListener("click", () => {
    if (latest && latest.image === image) place(latest.z, latest.label, false);
  });

  // Anywhere on the page.
  const dragged = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    root.classList.toggle("over", event.type === "dragover" && Boolean(event.dataTransfer?.types.includes("Files")));
    const dropped = event.dataTransfer?.files[0];
    if (event.type === "drop" && dropped) take(dropped);
  };
  const drags = /** @type {const} */ (["dragover", "dragleave", "drop"]);
  for (const kind of drags) document.addEventListener(kind, dragged);
  const pasted = (/** @type {ClipboardEvent} */ event) => {
    const given = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
    if (given) take(given);
  };
  document.addEventListener("paste", pasted);
  studio.atEnd(() => {
    document.removeEventListener("paste", pasted);
    for (const kind of drags) document.removeEventListener(kind, dragged);
    if (!bar.hidden) live.send("latents.cancel");
    turn = -1;
  });
  return root;
}

/** @param {number} difference */
function percent(difference) {
  return `${(100 * difference).toFixed(1)} %`;
}
