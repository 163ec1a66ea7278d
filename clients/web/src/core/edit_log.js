/**
 * The newest edits of one's own and how it stands with each, to be shown. Pure.
 */

import { EditOp, Op } from "./protocol.generated.js";
import { Signal } from "./signal.js";

/** @typedef {import("./edits.js").EditTicket} EditTicket */
/** `op` is a name of EditOp, in lower case. */
/** @typedef {{op: string, state: string, reason: string}} Line */

const LINES_MAX = 5;

export class EditLog {
  /** @type {Signal<null>} */
  changed = new Signal();
  /** @type {EditTicket[]} the newest first */
  #tickets = [];

  /** @param {EditTicket} ticket */
  note(ticket) {
    if (!this.#tickets.includes(ticket)) {
      if (ticket.message.op !== Op.EditSubmit) return;
      this.#tickets.unshift(ticket);
      this.#tickets.length = Math.min(this.#tickets.length, LINES_MAX);
    }
    this.changed.fire(null);
  }

  /** @returns {Line[]} the newest first */
  get lines() {
    return this.#tickets.map(({ message, state, reason }) => (
      { op: nameOf(message), state, reason }));
  }
}

/** @param {EditTicket["message"]} message */
function nameOf(message) {
  if (message.op !== Op.EditSubmit) return "release";
  const { op } = message.edit;
  return Object.entries(EditOp).find(([, number]) => number === op)?.[0].toLowerCase() ?? "";
}
