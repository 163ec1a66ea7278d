/**
 * Sentences for the person: a short queue of slips, read aloud as they come.
 *
 * A sentence that is there already is not shown twice but stays longer. An ordinary one goes by
 * itself, after a time that grows with its length and not while the pointer or the focus is on it;
 * one that says that something failed stays until it is dismissed or pushed out by newer ones. What
 * is read aloud is written into the two live regions of the page, apart from the slips, because a
 * region must exist before its text changes.
 */

import { Signal } from "../core/signal.js";
import { button, element, make, setText } from "./dom.js";
import { words } from "./words.js";

/** @typedef {{text: string, act: () => void}} Offer a thing to do about it */
/** @typedef {{isAlert?: boolean, offer?: Offer}} How */
/** @typedef {{item: HTMLLIElement, timer: ReturnType<typeof setTimeout> | undefined}} Shown */

const SHOWN_MAX = 4;
const READ_MS_MIN = 5_000;
const READ_MS_PER_CHAR = 70;

export class Notices {
  /** @type {Signal<string>} for those who cannot see the page, as in a headset */
  told = new Signal();
  #list = element("notices", HTMLOListElement);
  #polite = element("announce-polite", HTMLElement);
  #now = element("announce-now", HTMLElement);
  /** @type {Map<string, Shown>} by sentence, oldest first */
  #shown = new Map();

  /** @param {string} sentence @param {How} [how] */
  tell(sentence, { isAlert = false, offer } = {}) {
    if (!sentence) return;
    this.told.fire(sentence);
    this.drop(sentence);
    const item = make("li", { class: isAlert ? "alert" : "" },
      make("span", { text: sentence, attributes: { dir: "auto" } }));
    if (offer) {
      item.append(button(offer.text, () => {
        this.drop(sentence);
        offer.act();
      }));
    }
    const close = button("×", () => this.drop(sentence), "");
    close.setAttribute("aria-label", words("notices.close"));
    item.append(close);
    this.#list.append(item);
    this.#shown.set(sentence, { item, timer: undefined });
    if (!isAlert) this.#goLater(sentence, item);
    for (const oldest of this.#shown.keys()) {
      if (this.#shown.size <= SHOWN_MAX) break;
      this.drop(oldest);
    }
    this.announce(sentence, isAlert);
  }

  /** @param {string} sentence @param {HTMLLIElement} item */
  #goLater(sentence, item) {
    const shown = this.#shown.get(sentence);
    if (!shown) return;
    shown.timer = setTimeout(() => {
      if (item.matches(":hover, :focus-within")) this.#goLater(sentence, item);
      else this.drop(sentence);
    }, READ_MS_MIN + sentence.length * READ_MS_PER_CHAR);
  }

  /** @param {string} sentence */
  drop(sentence) {
    const shown = this.#shown.get(sentence);
    clearTimeout(shown?.timer);
    shown?.item.remove();
    this.#shown.delete(sentence);
  }

  /**
   * Says it to those who listen, without showing it.
   * @param {string} sentence
   * @param {boolean} [isAlert] interrupts
   */
  announce(sentence, isAlert = false) {
    const region = isAlert ? this.#now : this.#polite;
    // The same words again would be no change, and not be read.
    setText(region, region.textContent === sentence ? `${sentence}\u00a0` : sentence);
  }
}
