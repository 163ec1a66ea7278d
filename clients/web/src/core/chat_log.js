/**
 * What was said: lines in the order in which they came, the own ones from the moment of saying.
 *
 * A line of one's own is pending until the server has published or rejected it; the published one
 * takes the place of the pending one, whichever of the two answers comes first. A line that comes
 * again after a resume is known by its number and time. Old lines go when there are too many.
 *
 * Whether a line was heard that was pending when the link broke nobody knows at first: those that
 * were come again after the resume, and what has not come within UNSURE_MS was not said. Pure:
 * `pump` is told the time.
 */

import { ChatState } from "./protocol.generated.js";
import { Signal } from "./signal.js";

/** @typedef {import("./protocol.generated.js").ChatPublished} ChatPublished */
/** @typedef {import("./protocol.generated.js").ChatStatus} ChatStatus */
/** @typedef {"pending" | "published" | "rejected" | "retracted"} LineState */
/**
 * @typedef {object} ChatLine
 * @property {number} key counts up; names a line in the page
 * @property {number} seq the server's number of it; 0 before it is published
 * @property {number} channel
 * @property {number} senderId
 * @property {string} senderName
 * @property {string} text
 * @property {LineState} state
 * @property {string} reason why it was rejected
 * @property {boolean} isOwn
 * @property {number} target of an own DIRECT line, else 0
 * @property {number} serverMs
 */

const LINES_MAX = 500;
const UNSURE_MS = 10_000;
const WORD = /[\p{L}\p{N}_]/u;

export class ChatLog {
  /** @type {ChatLine[]} */
  lines = [];
  /** @type {Signal<ChatLine>} a line is new or has changed */
  changed = new Signal();
  /** @type {Signal<null>} all lines are gone: another world */
  cleared = new Signal();
  #keys = 0;
  /** @type {Map<number, ChatLine>} own lines by request id, until their last answer */
  #asked = new Map();
  /** @type {Map<number, ChatLine>} by number */
  #published = new Map();
  /** @type {Set<ChatLine>} those that were pending when the link broke */
  #unsure = new Set();
  #unsureUntilMs = Infinity;

  clear() {
    this.lines = [];
    this.#asked.clear();
    this.#unsure.clear();
    this.#published.clear();
    this.cleared.fire(null);
  }

  /**
   * The person says something.
   * @param {number} requestId
   * @param {{channel: number, target: number, text: string, senderId: number,
   *   senderName: string}} said
   */
  say(requestId, { channel, target, text, senderId, senderName }) {
    const line = this.#add({ key: 0, seq: 0, channel, senderId, senderName, text, target,
      state: "pending", reason: "", isOwn: true, serverMs: 0 });
    this.#asked.set(requestId, line);
    return line;
  }

  /** @param {ChatLine} line */
  #add(line) {
    line.key = ++this.#keys;
    this.lines.push(line);
    for (const old of this.lines.splice(0, Math.max(0, this.lines.length - LINES_MAX))) {
      this.#published.delete(old.seq);
      this.#unsure.delete(old);
      for (const [id, asked] of this.#asked) if (asked === old) this.#asked.delete(id);
    }
    this.changed.fire(line);
    return line;
  }

  /**
   * @param {ChatPublished} message
   * @param {boolean} isOwn
   */
  published(message, isOwn) {
    const known = this.#published.get(message.chat_seq);
    if (known && (!known.serverMs || known.serverMs === message.server_ms)) {
      this.#fill(known, message);
      return;
    }
    const line = isOwn ? this.#oldestPending(message) : undefined;
    if (line) this.#fill(line, message);
    else {
      const { chat_seq: seq, channel, sender_id: senderId, sender_name: senderName } = message;
      this.#published.set(seq, this.#add({ key: 0, seq, channel, senderId, senderName,
        text: message.text, state: "published", reason: "", isOwn, target: 0,
        serverMs: message.server_ms }));
    }
  }

  /**
   * The line of ours that this must be: they come in their order, but one may never have been
   * heard, and the judge may have changed another.
   * @param {ChatPublished} message
   */
  #oldestPending({ channel, text }) {
    const pending = this.lines.filter((line) => (
      line.state === "pending" && line.channel === channel));
    return pending.find((line) => line.text === text && this.#unsure.has(line))
      ?? pending.find((line) => !this.#unsure.has(line)) ?? pending[0];
  }

  /** @param {ChatLine} line @param {ChatPublished} message */
  #fill(line, message) {
    line.seq = message.chat_seq;
    line.text = message.text;
    line.serverMs = message.server_ms;
    if (line.state === "pending") line.state = "published";
    this.#unsure.delete(line);
    this.#published.set(line.seq, line);
    this.changed.fire(line);
  }

  /** @param {ChatStatus} status */
  status(status) {
    const line = this.#asked.get(status.request_id);
    if (!line || status.state === ChatState.PENDING) return;
    if (status.state === ChatState.PUBLISHED) {
      if (!line.seq) {
        line.seq = status.chat_seq;
        this.#published.set(line.seq, line);
      }
      if (line.state === "pending") line.state = "published";
    } else {
      line.state = status.state === ChatState.REJECTED ? "rejected" : "retracted";
      line.reason = status.reason;
      this.#asked.delete(status.request_id);
    }
    this.changed.fire(line);
  }

  /** @param {number} seq */
  retract(seq) {
    const line = this.#published.get(seq);
    if (!line) return;
    line.state = "retracted";
    line.text = "";
    this.changed.fire(line);
  }

  /** The link is lost: what is pending may have been heard, or not. */
  pause() {
    this.#unsureUntilMs = Infinity;
    for (const line of this.#asked.values()) if (line.state === "pending") this.#unsure.add(line);
  }

  /** The session has a new link: what was heard comes again now. @param {number} nowMs */
  resume(nowMs) {
    this.#unsureUntilMs = nowMs + UNSURE_MS;
  }

  /** Once in a while. @param {number} nowMs */
  pump(nowMs) {
    if (this.#unsure.size && nowMs > this.#unsureUntilMs) this.giveUp();
  }

  /** What was pending when the link broke was not heard. */
  giveUp() {
    const lost = [...this.#unsure].filter(({ state }) => state === "pending");
    this.#unsure.clear();
    for (const line of lost) {
      line.state = "rejected";
      this.changed.fire(line);
    }
  }
}

/**
 * Whether a text speaks to somebody: `@name`, whatever the case, and not a longer name.
 * @param {string} text
 * @param {string} name
 */
export function mentions(text, name) {
  if (!name) return false;
  const [where, what] = [text.toLocaleLowerCase(), `@${name.toLocaleLowerCase()}`];
  for (let at = where.indexOf(what); at >= 0; at = where.indexOf(what, at + 1)) {
    const before = at > 0 ? where[at - 1] : " ";
    const after = where.slice(at + what.length, at + what.length + 2);
    if (!WORD.test(before) && !(after && WORD.test([...after][0]))) return true;
  }
  return false;
}
