// The training images that are nearest to the picture of the walk.

import { post } from "./api.js";
import { button, el } from "./dom.js";

/** @param {import("./latents.js").Studio} studio */
export function neighbours(studio) {
  const { facts, model } = studio;
  /** @type {{z: number[], label: number | null} | null} */
  let point = null;
  let open = false;
  let turn = 0;
  const list = el("div", { class: "near", role: "status" });
  const toggle = button("Show the nearest training images", () => {
    open = !open;
    toggle.setAttribute("aria-expanded", String(open));
    toggle.textContent = `${open ? "Hide" : "Show"} the nearest training images`;
    list.hidden = !open;
    find();
  }, { "aria-expanded": "false" });
  list.hidden = true;

  async function find() {
    if (!open || !point) return;
    const mine = ++turn;
    if (!list.childElementCount) list.replaceChildren(el("p", { class: "faint" }, "Reading the training images…"));
    try {
      const { images } = await post("/latents/nearest", { ...model, ...point });
      if (mine !== turn) return;
      list.replaceChildren(...images.map((/** @type {any} */ near) => el("figure", {},
        el("img", { class: "pixelated", src: near.picture, alt: `training image ${near.number}` }),
        el("figcaption", {},
          el("span", {}, `No. ${near.number}${near.label === null ? "" : `, ${near.label}`}${near.mirrored ? ", mirrored" : ""}`),
          el("span", {}, `differs by ${(100 * near.distance).toFixed(1)} %`),
          el("span", { class: near.quotient < 0.5 ? "copied" : "" }, near.quotient < 0.5 ? `near copy (${near.quotient.toFixed(2)})` : `quotient ${near.quotient.toFixed(2)}`),
        ),
      )));
    } catch (error) {
      if (mine === turn) list.replaceChildren(el("p", { class: "faint" }, /** @type {Error} */ (error).message));
    }
  }

  studio.onRest((place, z) => {
    point = { z, label: place.label };
    find();
  });
  studio.atEnd(() => {
    turn = -1;
  });
  return el("section", { class: "panel", "aria-label": "Nearest training images" },
    el("h2", {}, "Is it a copy?"),
    facts.small
      ? el("p", { class: "faint" }, "Compared by pixels. The quotient is the distance to a training image, divided by that image's distance to its nearest other training image: below 0.5 is a near copy.")
      : el("p", { class: "faint" }, `This run has ${facts.images.toLocaleString("en")} training images: nearest ones are shown for up to 5,000. The command "ganvas neighbours" takes any number.`),
    facts.small ? toggle : null, list,
  );
}
