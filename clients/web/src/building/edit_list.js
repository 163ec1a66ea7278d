/**
 * The newest edits, and how it stands with each: on its way, seen by all, safe, or why not.
 */

import { make } from "../ui/dom.js";
import { words, wordsOf } from "../ui/words.js";

/** @typedef {import("../core/edit_log.js").EditLog} EditLog */

const MARKS = /** @type {Record<string, string>} */ ({ waits: "○", sent: "○", accepted: "◐",
  durable: "●", refused: "×", reverted: "×", lost: "?" });

export class EditList {
  #list = make("ol", { class: "edits" });
  #log;

  /** @param {EditLog} log */
  constructor(log) {
    this.#log = log;
    log.changed.add(() => this.#show());
  }

  /** Its part of the panel, in the language of now. */
  panel() {
    this.#list.setAttribute("aria-label", words("build.edits"));
    this.#show();
    return this.#list;
  }

  #show() {
    this.#list.replaceChildren(...this.#log.lines.map(({ op, state, reason }) => {
      const mark = make("span", { class: "mark", text: MARKS[state] ?? "",
        attributes: { "aria-hidden": "true" } });
      const text = `${wordsOf(`edit.${op}`)}: ${reason || wordsOf(`state.${state}`)}`;
      return make("li", { attributes: { "data-state": state } }, mark, make("span", { text }));
    }));
  }
}
