/**
 * The buttons over a phone's camera picture: sizes, put it down again, show and align, leave.
 *
 * It lives in the DOM overlay of the session; where there is none (a headset), the same is in the
 * menu at the wrist. A press on a button is no press on the room.
 */

/** @typedef {import("./entry.js").Words} Words */
/**
 * @typedef {object} BarActions
 * @property {(scale: number) => void} scale
 * @property {() => void} again
 * @property {() => void} show
 * @property {() => void} align
 * @property {() => void} leave
 */

export const SCALES = [1, 10, 50];

export class PlacementBar {
  #root;
  #words;
  #says = document.createElement("p");
  #align;
  /** @param {Event} event */
  #keepFromRoom = (event) => {
    if (event.target instanceof HTMLButtonElement) event.preventDefault();
  };

  /** @param {HTMLElement} root @param {Words} words @param {BarActions} actions */
  constructor(root, words, actions) {
    this.#root = root;
    this.#words = words;
    root.replaceChildren(this.#says);
    for (const scale of SCALES) this.#button(`1:${scale}`, () => actions.scale(scale));
    this.#button(words("xr.again"), actions.again);
    this.#button(words("xr.show"), actions.show);
    this.#align = this.#button("", actions.align);
    this.#align.hidden = true;
    this.#button(words("xr.leaveAr"), actions.leave);
    root.addEventListener("beforexrselect", this.#keepFromRoom);
    root.hidden = false;
  }

  /** @param {string} text @param {() => void} act */
  #button(text, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", act);
    this.#root.append(made);
    return made;
  }

  /** What the next press does. @param {"place" | "show" | "align" | "keep"} doing */
  say(doing) {
    this.#says.textContent = this.#words(`xr.do.${doing}`);
  }

  /** Somebody shows a place. @param {string} name */
  offer(name) {
    this.#align.textContent = this.#words("xr.align", { name });
    this.#align.hidden = false;
  }

  dispose() {
    this.#root.removeEventListener("beforexrselect", this.#keepFromRoom);
    this.#root.replaceChildren();
    this.#root.hidden = true;
  }
}
