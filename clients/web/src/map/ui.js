/**
 * The page around the map: join form, chat, list of people, status bar.
 *
 * Whatever another person wrote reaches the page through `textContent` alone, so a text can never
 * become an element. Changing figures are written a few times a second and only where they
 * changed; what a screen reader should say (chat, link state, refusals) has live regions of its
 * own, the figures have none.
 */

import { ChatChannel, ChatState, Limits } from "../core/protocol.generated.js";

/** @typedef {import("../net/link.js").LinkState} LinkState */
/** @typedef {{id: number, name: string, colour: string, place: string, own: boolean,
 *   away: boolean}} Row */
/** @typedef {{item: HTMLLIElement, tag: HTMLElement, text: string, own: boolean}} Line */

const LINES_MAX = 200;
const NOTICE_MS = 6_000;
const SVG = "http://www.w3.org/2000/svg";
const LINK_WORDS = { connecting: "connecting…", joining: "coming in…", live: "connected",
  lost: "connection lost, trying again…", ended: "not connected" };

/**
 * @template {Element} T
 * @param {string} id
 * @param {new (...args: any[]) => T} kind
 * @returns {T}
 */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`The page has no #${id}.`);
  return found;
}

export class Ui {
  #log = element("chat-log", HTMLOListElement);
  #list = element("people-list", HTMLUListElement);
  #notice = element("notice", HTMLParagraphElement);
  #join = element("join", HTMLDialogElement);
  chatText = element("chat-text", HTMLInputElement);
  chatChannel = element("chat-channel", HTMLSelectElement);
  name = element("join-name", HTMLInputElement);
  /** @type {Map<number, Line>} lines of one's own that have no number yet, by request */
  #pending = new Map();
  /** @type {Map<number, Line>} by chat_seq */
  #published = new Map();
  /** @type {Map<number, {item: HTMLLIElement, row: Row}>} by entity */
  #rows = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #noticeTimer;

  constructor() {
    this.chatText.maxLength = Limits.CHAT_CHARS_MAX;
    this.name.maxLength = Limits.NAME_CHARS_MAX;
    const toggle = element("people-toggle", HTMLButtonElement);
    const fold = (/** @type {boolean} */ open) => {
      toggle.setAttribute("aria-expanded", String(open));
      this.#list.hidden = !open;
    };
    toggle.addEventListener("click", () => fold(this.#list.hidden !== false));
    fold(window.innerWidth > 700);
  }

  // --- join ------------------------------------------------------------------------------

  /** @param {string} sentence why one has to come in again, or nothing */
  askName(sentence) {
    element("join-error", HTMLParagraphElement).textContent = sentence;
    if (!this.#join.open) this.#join.showModal();
    this.name.select();
  }

  closeJoin() {
    this.#join.close();
  }

  /**
   * Whether one is signed in already, and as whom: then the name is given.
   * @param {string} name empty for nobody
   */
  signedIn(name) {
    element("join-account", HTMLElement).hidden = name !== "";
    element("join-signed-in", HTMLParagraphElement).hidden = name === "";
    element("join-password", HTMLInputElement).value = "";
    this.name.readOnly = name !== "";
    if (name) this.name.value = name;
  }

  /** @param {(name: string, password: string, isNew: boolean) => void} then */
  onJoin(then) {
    const password = element("join-password", HTMLInputElement);
    const join = (/** @type {boolean} */ isNew) => {
      const name = this.name.value.trim();
      if (!name) this.askName("Type a name that others can call you by.");
      else if (isNew && !password.value) this.askName("Type a password for the new account.");
      else then(name, password.value, isNew);
    };
    element("join-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      join(false);
    });
    element("join-sign-up", HTMLButtonElement).addEventListener("click", () => join(true));
    // Escape would leave an empty page behind.
    this.#join.addEventListener("cancel", (event) => event.preventDefault());
  }

  // --- chat ------------------------------------------------------------------------------

  /**
   * Lines count from 1 again, in a new session: what has been said stays to be read, but no
   * number names it any more, and a line still on its way will get no answer.
   */
  newChat() {
    for (const line of this.#pending.values()) {
      line.item.classList.remove("pending");
      this.#strike(line, "perhaps not sent");
    }
    this.#pending.clear();
    this.#published.clear();
    if (this.#log.childElementCount) this.note("You came in anew. Lines above are from before.");
  }

  /**
   * A line of one's own on its way to the server.
   * @param {number} requestId
   * @param {string} name
   * @param {number} channel
   * @param {string} text
   */
  addPending(requestId, name, channel, text) {
    const line = this.#addLine(name, channel, text, true);
    line.item.classList.add("pending");
    this.#pending.set(requestId, line);
  }

  /**
   * @param {import("../core/protocol.generated.js").ChatPublished} message
   * @param {boolean} own
   */
  published(message, own) {
    if (this.#published.has(message.chat_seq)) return;
    const line = (own && this.#takePending(message.text))
      || this.#addLine(message.sender_name, message.channel, message.text, own);
    line.item.classList.remove("pending");
    this.#published.set(message.chat_seq, line);
  }

  /** @param {string} text @returns {Line | null} */
  #takePending(text) {
    for (const [requestId, line] of this.#pending) {
      if (line.text !== text) continue;
      this.#pending.delete(requestId);
      return line;
    }
    return null;
  }

  /**
   * What became of a line of one's own.
   * @param {import("../core/protocol.generated.js").ChatStatus} status
   */
  chatStatus(status) {
    const line = this.#pending.get(status.request_id);
    if (status.state === ChatState.PENDING || !line) return;
    this.#pending.delete(status.request_id);
    line.item.classList.remove("pending");
    if (status.state === ChatState.PUBLISHED) {
      if (this.#published.has(status.chat_seq)) line.item.remove();
      else this.#published.set(status.chat_seq, line);
    } else this.#strike(line, status.reason || "not sent");
  }

  /**
   * A request was refused; true if it was a line of chat.
   * @param {number} requestId
   * @param {string} reason
   */
  refuseLine(requestId, reason) {
    const line = this.#pending.get(requestId);
    if (!line) return false;
    this.#pending.delete(requestId);
    line.item.classList.remove("pending");
    this.#strike(line, reason);
    return true;
  }

  /** @param {number} chatSeq */
  retract(chatSeq) {
    const line = this.#published.get(chatSeq);
    if (!line) return;
    const text = line.item.querySelector(".text");
    if (text) text.textContent = "taken back";
    line.item.classList.add("note");
  }

  /** @param {Line} line @param {string} reason */
  #strike(line, reason) {
    line.item.classList.add("gone");
    line.tag.hidden = false;
    line.tag.textContent = reason;
  }

  /**
   * @param {string} name
   * @param {number} channel
   * @param {string} text
   * @param {boolean} own
   * @returns {Line}
   */
  #addLine(name, channel, text, own) {
    const item = document.createElement("li");
    const tag = span("tag", channel === ChatChannel.NEARBY ? "nearby" : "to you");
    tag.hidden = channel === ChatChannel.WORLD;
    item.classList.toggle("own", own);
    item.append(tag, span("who", name), span("text", text));
    this.#append(item);
    return { item, tag, text, own };
  }

  /** A sentence of the place itself. @param {string} sentence */
  note(sentence) {
    const item = document.createElement("li");
    item.className = "note";
    item.textContent = sentence;
    this.#append(item);
  }

  /** @param {HTMLLIElement} item */
  #append(item) {
    const log = this.#log;
    const atEnd = log.scrollTop + log.clientHeight > log.scrollHeight - 30;
    log.append(item);
    while (log.childElementCount > LINES_MAX) log.firstElementChild?.remove();
    if (this.#published.size > LINES_MAX) {
      const [oldest] = this.#published.keys();
      this.#published.delete(oldest);
    }
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  // --- people ----------------------------------------------------------------------------

  /** @param {Row[]} rows in the order to show */
  people(rows) {
    setText("people-count", String(rows.length));
    if (this.#list.hidden) return;
    const here = new Set(rows.map((row) => row.id));
    for (const [id, { item }] of this.#rows) {
      if (here.has(id)) continue;
      item.remove();
      this.#rows.delete(id);
    }
    rows.forEach((row, at) => {
      const item = this.#row(row);
      const there = this.#list.children[at];
      if (there !== item) this.#list.insertBefore(item, there ?? null);
    });
  }

  /** @param {Row} row @returns {HTMLLIElement} */
  #row(row) {
    const held = this.#rows.get(row.id);
    if (held && held.row.name === row.name) {
      if (held.row.place !== row.place) {
        const place = held.item.querySelector(".place");
        if (place) place.textContent = row.place;
      }
      held.item.classList.toggle("away", row.away);
      held.row = row;
      return held.item;
    }
    held?.item.remove();
    const item = document.createElement("li");
    item.classList.toggle("away", row.away);
    item.append(dot(row.colour), span("name", row.own ? `${row.name} (you)` : row.name),
      span("place", row.place));
    this.#rows.set(row.id, { item, row });
    return item;
  }

  // --- status ----------------------------------------------------------------------------

  /**
   * @param {LinkState} state
   * @param {string} sentence
   */
  linkState(state, sentence) {
    document.body.dataset.link = state;
    setText("link-state", LINK_WORDS[state]);
    element("leave", HTMLButtonElement).hidden = state === "ended";
    if (sentence) this.tell(sentence);
  }

  /** A sentence for the person, for some seconds. @param {string} sentence */
  tell(sentence) {
    this.#notice.textContent = sentence;
    this.#notice.hidden = false;
    clearTimeout(this.#noticeTimer);
    this.#noticeTimer = setTimeout(() => {
      this.#notice.hidden = true;
    }, NOTICE_MS);
  }

  /** @param {{rttMs: number, tick: number, inView: number, inKb: number, outKb: number}} figures */
  figures({ rttMs, tick, inView, inKb, outKb }) {
    setText("round-trip", Number.isNaN(rttMs) ? "–" : `${Math.round(rttMs)} ms`);
    setText("tick", String(tick));
    setText("in-view", String(inView));
    setText("bytes-in", `${inKb.toFixed(1)} kB/s`);
    setText("bytes-out", `${outKb.toFixed(1)} kB/s`);
    document.body.dataset.quality = rttMs > 250 ? "poor" : rttMs > 100 ? "fair" : "good";
  }

  /**
   * @param {string} title
   * @param {string} where
   */
  place(title, where) {
    document.title = `${title} – Atrium`;
    setText("place", title);
    setText("where", where);
  }
}

/**
 * @param {string} id
 * @param {string} text
 */
function setText(id, text) {
  const target = element(id, HTMLElement);
  if (target.textContent !== text) target.textContent = text;
}

/**
 * @param {string} kind
 * @param {string} text
 */
function span(kind, text) {
  const made = document.createElement("span");
  made.className = kind;
  made.textContent = text;
  return made;
}

/** @param {string} colour */
function dot(colour) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("aria-hidden", "true");
  const circle = document.createElementNS(SVG, "circle");
  for (const [key, value] of Object.entries({ cx: "6", cy: "6", r: "5", fill: colour })) {
    circle.setAttribute(key, value);
  }
  svg.append(circle);
  return svg;
}
