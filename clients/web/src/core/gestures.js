/**
 * What one did at once: several edits that one Undo takes back together.
 *
 * The server takes back one edit at a time, the newest first. To move five things is five edits and
 * one gesture; so its Undo is asked for five times. Edits that were refused or taken back by the
 * server are not counted, since there is nothing of them to be undone. Pure.
 */

import { Limits } from "./protocol.generated.js";

/** @typedef {import("./edits.js").EditTicket} EditTicket */

export class Gestures {
  /** @type {EditTicket[][]} the newest last */
  #done = [];
  /** @type {number[]} edits of each that was taken back, the newest last */
  #undone = [];
  /** @type {EditTicket[] | null} */
  #open = null;

  /** Edits that are asked for meanwhile belong together. @template T @param {() => T} act */
  together(act) {
    if (this.#open) return act();
    /** @type {EditTicket[]} */
    const open = [];
    this.#open = open;
    try {
      return act();
    } finally {
      this.#open = null;
      this.#keep(open);
    }
  }

  /** An edit, other than Undo and Redo, was asked for. @param {EditTicket} ticket */
  add(ticket) {
    this.#undone = [];
    if (this.#open) this.#open.push(ticket);
    else this.#keep([ticket]);
  }

  /** @param {EditTicket[]} gesture */
  #keep(gesture) {
    if (!gesture.length) return;
    this.#done.push(gesture);
    if (this.#done.length > Limits.UNDO_EDITS_MAX) this.#done.shift();
  }

  /** How many edits are to be taken back now: of what is not known here, one. */
  undo() {
    for (let gesture = this.#done.pop(); gesture; gesture = this.#done.pop()) {
      const count = gesture.filter(({ state }) => !LOST.has(state)).length;
      if (!count) continue;
      this.#undone.push(count);
      return count;
    }
    this.#undone.push(1);
    return 1;
  }

  /** How many are to be done again. */
  redo() {
    return this.#undone.pop() ?? 1;
  }
}

/** @type {Set<string>} */
const LOST = new Set(["refused", "reverted", "lost"]);
