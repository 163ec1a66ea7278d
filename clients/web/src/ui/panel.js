/**
 * The one panel at the side, in which settings, keys, worlds and the look are shown in turn.
 *
 * It is no dialog: the world goes on beside it and can be used. Opening moves the focus to its
 * heading; Escape closes it and gives the focus back. A panel is filled anew whenever it opens or
 * the language changes.
 */

import { element, setText } from "./dom.js";
import { languageChanged, words } from "./words.js";

/** @typedef {import("./words.js").WordKey} WordKey */
/**
 * @typedef {object} Content
 * @property {WordKey} title
 * @property {(body: HTMLElement) => void} fill
 * @property {() => void} [closed]
 */

export class Panel {
  #box = element("panel", HTMLElement);
  #heading = element("panel-heading", HTMLElement);
  #body = element("panel-body", HTMLElement);
  /** @type {Content | null} */
  #content = null;
  /** @type {HTMLElement | null} */
  #before = null;
  /** @type {HTMLDialogElement | null} the dialog that waits below the panel */
  #dialog = null;

  constructor() {
    element("panel-close", HTMLButtonElement).addEventListener("click", () => this.close());
    this.#box.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.preventDefault();
      event.stopPropagation();
      this.close();
    });
    languageChanged.add(() => this.refill());
  }

  /** Shows it, or closes it where it is shown already. @param {Content} content */
  toggle(content) {
    if (this.#content?.title === content.title) this.close();
    else this.open(content);
  }

  /** @param {Content} content */
  open(content) {
    this.#content?.closed?.();
    const focused = document.activeElement;
    if (!this.#content) this.#before = focused instanceof HTMLElement ? focused : null;
    this.#content = content;
    // What is modal makes all else inert: it steps aside while the panel is open.
    const modal = document.querySelector("dialog[open]");
    if (modal instanceof HTMLDialogElement) {
      this.#dialog = modal;
      modal.close();
    }
    this.#box.hidden = false;
    this.refill();
    this.#body.scrollTop = 0;
    this.#heading.focus();
  }

  refill() {
    if (!this.#content) return;
    setText(this.#heading, words(this.#content.title));
    this.#body.replaceChildren();
    this.#content.fill(this.#body);
  }

  close() {
    if (!this.#content) return;
    this.#content.closed?.();
    this.#content = null;
    this.#box.hidden = true;
    this.#body.replaceChildren();
    this.#dialog?.showModal();
    this.#dialog = null;
    this.#before?.focus({ preventScroll: true });
  }
}
