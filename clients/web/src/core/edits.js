/**
 * What this person wants done to props, until its fate is known.
 *
 * An edit waits here from the moment that it is asked for until the server says DURABLE, REVERTED
 * or REFUSED. After a resume all that wait are asked again, in their order and with the same ids:
 * the server does each at most once. When the session itself is gone nobody can tell any more, and
 * they are `lost`. Edits are paced to a little less than the server takes. While one waits for its
 * turn, a newer `Place` of the same prop takes its place: what is dragged is where it is now.
 *
 * Pure: `pump` is told the time.
 */

import { EditState, ErrorCode, Limits, Op } from "./protocol.generated.js";
import { keyOf } from "./ids.js";
import { Signal } from "./signal.js";

/** @typedef {import("./protocol.generated.js").Edit} Edit */
/** @typedef {import("./protocol.generated.js").EditSubmit} EditSubmit */
/** @typedef {import("./protocol.generated.js").Release} Release */
/** @typedef {import("./protocol.generated.js").EditStatus} EditStatus */
/**
 * `waits` for its turn, then `sent`, `accepted`, and at last `durable`, `reverted`, `refused` or
 * `lost`.
 * @typedef {"waits" | "sent" | "accepted" | "durable" | "reverted" | "refused" | "lost"}
 * TicketState
 */

const EDIT_PLACE = 2;
const PER_S = 0.9 * Limits.EDIT_PER_S_MAX;
const AGAIN_MAX = 8;

export class EditTicket {
  /** @type {TicketState} */
  state = "waits";
  code = 0;
  reason = "";
  times = 0;
  /** @type {(ticket: EditTicket) => void} */
  settle = () => {};
  /** @type {Promise<EditTicket>} by its last state */
  settled = new Promise((settle) => { this.settle = settle; });

  /** @param {EditSubmit | Release} message */
  constructor(message) {
    this.message = message;
  }

  get isSettled() {
    return this.state === "durable" || this.state === "reverted" || this.state === "refused"
      || this.state === "lost";
  }
}

export class EditQueue {
  /** @type {Signal<EditTicket>} */
  changed = new Signal();
  /** @type {Map<number, EditTicket>} by request id, and so in order */
  #waiting = new Map();
  /** @type {EditTicket[]} */
  #toSend = [];
  /** @type {number} */
  #tokens = Limits.EDIT_BURST_MAX;
  #atMs = 0;
  #notBeforeMs = 0;
  #isLive = false;
  #send;
  #newId;

  /**
   * @param {(message: EditSubmit | Release) => void} send
   * @param {() => number} newId
   */
  constructor(send, newId) {
    this.#send = send;
    this.#newId = newId;
  }

  /** Edits that are not saved yet, or whose fate is not known. */
  get pendingCount() {
    return this.#waiting.size;
  }

  /** @param {Edit} edit */
  submit(edit) {
    if (edit.op === EDIT_PLACE) {
      const waits = this.#toSend.find((ticket) => isPlaceOf(ticket, edit.prop_id));
      if (waits) {
        waits.message = { op: Op.EditSubmit, request_id: waits.message.request_id, edit };
        return waits;
      }
    }
    return this.#add({ op: Op.EditSubmit, request_id: this.#newId(), edit });
  }

  /** @param {Omit<Release, "op" | "request_id">} letting */
  release(letting) {
    return this.#add({ op: Op.Release, request_id: this.#newId(), ...letting });
  }

  /** @param {EditSubmit | Release} message */
  #add(message) {
    const ticket = new EditTicket(message);
    if (this.#waiting.size >= Limits.EDITS_UNANSWERED_MAX) {
      this.#settle(ticket, "refused", ErrorCode.RATE_LIMITED, "");
      return ticket;
    }
    this.#waiting.set(message.request_id, ticket);
    this.#toSend.push(ticket);
    this.#flush();
    return ticket;
  }

  /** Sends those whose turn has come. @param {number} nowMs */
  pump(nowMs) {
    const gained = (Math.max(0, nowMs - this.#atMs) / 1000) * PER_S;
    this.#tokens = Math.min(Limits.EDIT_BURST_MAX, this.#tokens + gained);
    this.#atMs = nowMs;
    this.#flush();
  }

  #flush() {
    while (this.#isLive && this.#toSend.length && this.#tokens >= 1
      && this.#atMs >= this.#notBeforeMs) {
      const ticket = /** @type {EditTicket} */ (this.#toSend.shift());
      this.#tokens -= 1;
      ticket.times += 1;
      if (ticket.state === "waits") ticket.state = "sent";
      this.#send(ticket.message);
      this.changed.fire(ticket);
    }
  }

  /** @param {EditStatus} status */
  answered(status) {
    const ticket = this.#waiting.get(status.request_id);
    if (!ticket) return;
    const tooFast = status.code === ErrorCode.RATE_LIMITED && status.retry_ms > 0;
    if (status.state === EditState.REFUSED && tooFast && ticket.times < AGAIN_MAX) {
      // What was asked for before has a fate that this does not tell, and what was not may come
      // yet.
      this.#notBeforeMs = this.#atMs + status.retry_ms;
      if (!this.#toSend.includes(ticket)) this.#toSend.unshift(ticket);
      this.#toSend.sort((a, b) => a.message.request_id - b.message.request_id);
    } else if (status.state === EditState.ACCEPTED) {
      ticket.state = "accepted";
      ticket.reason = status.reason;
      this.changed.fire(ticket);
    } else {
      this.#forget(ticket);
      const state = status.state === EditState.DURABLE ? "durable"
        : status.state === EditState.REVERTED ? "reverted" : "refused";
      this.#settle(ticket, state, status.code, status.reason);
    }
  }

  /** @param {EditTicket} ticket */
  #forget(ticket) {
    this.#waiting.delete(ticket.message.request_id);
    this.#toSend = this.#toSend.filter((each) => each !== ticket);
  }

  /**
   * @param {EditTicket} ticket
   * @param {TicketState} state
   * @param {number} code
   * @param {string} reason
   */
  #settle(ticket, state, code, reason) {
    Object.assign(ticket, { state, code, reason });
    ticket.settle(ticket);
    this.changed.fire(ticket);
  }

  /** The link is lost; edits wait. */
  pause() {
    this.#isLive = false;
  }

  /** A fresh session, or another world: nothing of before can be asked again. */
  begin() {
    this.#isLive = true;
    this.#toSend = [];
    for (const ticket of [...this.#waiting.values()]) {
      this.#forget(ticket);
      this.#settle(ticket, "lost", 0, "");
    }
  }

  /** The session has a new link: all that wait are asked again, in order and without a burst. */
  resume() {
    this.#isLive = true;
    this.#tokens = 0;
    this.#notBeforeMs = 0;
    this.#toSend = [...this.#waiting.values()];
  }
}

/** @param {EditTicket} ticket @param {Uint8Array} id */
function isPlaceOf({ message, times }, id) {
  return message.op === Op.EditSubmit && times === 0 && message.edit.op === EDIT_PLACE
    && keyOf(message.edit.prop_id) === keyOf(id);
}
