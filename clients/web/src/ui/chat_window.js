/**
 * Which lines of the chat are in the page, and which have not been read.
 *
 * The page holds the last lines only; asking for earlier ones makes the window larger, coming back
 * to the end makes it small again. Lines of others that come while the chat is folded or scrolled
 * up are unread until its end is seen. Pure.
 */

import { ChatChannel } from "../core/protocol.generated.js";

/** @typedef {import("./ports.js").ChatLine} ChatLine */
/** @typedef {"all" | "world" | "nearby" | "direct"} Shown */
/** @typedef {"everyone" | "nearby" | "nobody"} ChatFrom */

const LINES_AT_FIRST = 80;
const LINES_MORE = 80;

/** @type {Readonly<Record<Shown, number>>} */
const CHANNEL_OF = Object.freeze({ all: -1, world: ChatChannel.WORLD, nearby: ChatChannel.NEARBY,
  direct: ChatChannel.DIRECT });

export class ChatWindow {
  /** @type {Shown} */
  shown = "all";
  /** @type {ChatFrom} */
  from = "everyone";
  #most = LINES_AT_FIRST;
  /** @type {Set<number>} keys of unread lines */
  #unread = new Set();
  #newest = 0;

  /** @param {ChatLine} line */
  passes(line) {
    return (this.shown === "all" || line.channel === CHANNEL_OF[this.shown]) && this.#wanted(line);
  }

  /** Whether the person wants to hear such lines at all. @param {ChatLine} line */
  #wanted(line) {
    if (line.isOwn || line.channel === ChatChannel.DIRECT || this.from === "everyone") return true;
    return this.from === "nearby" && line.channel === ChatChannel.NEARBY;
  }

  /**
   * The lines to show, oldest first, and whether there are earlier ones.
   * @param {readonly ChatLine[]} lines
   */
  visible(lines) {
    const fitting = lines.filter((line) => this.passes(line));
    return { lines: fitting.slice(-this.#most), hasEarlier: fitting.length > this.#most };
  }

  earlier() {
    this.#most += LINES_MORE;
  }

  /** The end of the log is seen: nothing is unread, and old lines may go. */
  seen() {
    this.#unread.clear();
    this.#most = LINES_AT_FIRST;
  }

  /**
   * A line is new or has changed.
   * @param {ChatLine} line
   * @param {boolean} isSeen whether the end of the log is on the screen
   * @returns {boolean} whether it is a new line of somebody else that the person wants to hear
   */
  take(line, isSeen) {
    if (line.state === "retracted") this.#unread.delete(line.key);
    if (line.key <= this.#newest) return false;
    this.#newest = line.key;
    if (line.isOwn || !this.#wanted(line)) return false;
    if (!isSeen) this.#unread.add(line.key);
    return true;
  }

  forget() {
    this.#unread.clear();
  }

  get unreadCount() {
    return this.#unread.size;
  }
}

/** Characters as people count them on the wire: code points. @param {string} text */
export function charactersOf(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** What was said before, to be had back by the arrow keys. */
export class History {
  /** @type {string[]} */
  #said = [];
  #at = 0;
  #draft = "";

  /** @param {string} text */
  add(text) {
    if (this.#said.at(-1) !== text) this.#said.push(text);
    if (this.#said.length > 50) this.#said.shift();
    this.#at = this.#said.length;
  }

  /**
   * @param {-1 | 1} step -1 is further back
   * @param {string} now what stands in the field
   * @returns {string} what is to stand there
   */
  move(step, now) {
    if (this.#at === this.#said.length) this.#draft = now;
    this.#at = Math.min(Math.max(this.#at + step, 0), this.#said.length);
    return this.#at === this.#said.length ? this.#draft : this.#said[this.#at];
  }
}
