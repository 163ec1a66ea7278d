/**
 * A menu at a place of the page: the main one, and that of a person or a thing.
 *
 * Arrow keys go through it and around its ends, Home and End to these, a letter to the next item
 * that begins with it; Escape, Tab and a press anywhere else close it. The focus goes back to where
 * it was.
 */

import { element, foreign, make } from "./dom.js";

/**
 * @typedef {{text: string, act: () => void, key?: string, isGrave?: boolean}
 *   | {hint: string} | "rule"} Entry
 */

export class Menu {
  #box = element("menu", HTMLDivElement);
  /** @type {HTMLElement | null} */
  #before = null;

  constructor() {
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("pointerdown", (event) => {
      if (!(event.target instanceof Node && this.#box.contains(event.target))) this.close(false);
    });
    window.addEventListener("resize", () => this.close(false));
  }

  get isOpen() {
    return !this.#box.hidden;
  }

  /**
   * @param {string} label
   * @param {Entry[]} entries
   * @param {{x: number, y: number}} at CSS pixels
   */
  open(label, entries, at) {
    const focused = document.activeElement;
    if (!this.isOpen) this.#before = focused instanceof HTMLElement ? focused : null;
    this.#box.setAttribute("aria-label", label);
    this.#box.replaceChildren(...entries.map((entry) => this.#made(entry)));
    this.#box.hidden = false;
    const { offsetWidth: wide, offsetHeight: high } = this.#box;
    this.#box.style.left = `${Math.max(4, Math.min(at.x, window.innerWidth - wide - 4))}px`;
    this.#box.style.top = `${Math.max(4, Math.min(at.y, window.innerHeight - high - 4))}px`;
    this.#items()[0]?.focus();
  }

  /** @param {Entry} entry */
  #made(entry) {
    if (entry === "rule") return make("hr");
    if ("hint" in entry) {
      return make("p", { class: "hint", text: entry.hint, attributes: { dir: "auto" } });
    }
    const item = make("button", { class: entry.isGrave ? "grave" : "",
      attributes: { type: "button", role: "menuitem", tabindex: "-1" } }, foreign(entry.text));
    if (entry.key) {
      item.append(make("kbd", { text: entry.key, attributes: { "aria-hidden": "true" } }));
    }
    item.addEventListener("click", () => {
      this.close(true);
      entry.act();
    });
    return item;
  }

  /** @param {boolean} goesBack whether the focus goes to where it was */
  close(goesBack) {
    if (!this.isOpen) return;
    this.#box.hidden = true;
    if (goesBack) this.#before?.focus({ preventScroll: true });
  }

  #items() {
    return [...this.#box.querySelectorAll("button")];
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    event.stopPropagation();
    const items = this.#items();
    const at = items.findIndex((item) => item === document.activeElement);
    const to = this.#target(event.key, at, items);
    if (to >= 0) {
      items[to].focus();
      event.preventDefault();
    } else if (event.key === "Escape" || event.key === "Tab") {
      this.close(true);
      event.preventDefault();
    }
  }

  /** @param {string} key @param {number} at @param {HTMLElement[]} items */
  #target(key, at, items) {
    const count = items.length;
    if (!count) return -1;
    switch (key) {
      case "ArrowDown": return (at + 1) % count;
      case "ArrowUp": return (at - 1 + count) % count;
      case "Home": return 0;
      case "End": return count - 1;
    }
    if (key.length !== 1 || key === " ") return -1;
    const letter = key.toLocaleLowerCase();
    for (let step = 1; step <= count; step++) {
      const next = (at + step) % count;
      if (items[next].textContent?.toLocaleLowerCase().startsWith(letter)) return next;
    }
    return -1;
  }
}

/** Where a menu of that element opens. @param {Element} of */
export function below(of) {
  const { left, bottom } = of.getBoundingClientRect();
  return { x: left, y: bottom + 4 };
}
