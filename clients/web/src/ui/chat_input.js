/**
 * The line one writes: who hears it, names that complete themselves, what was said before.
 *
 * After an `@` the names of those in view are offered; arrow keys choose and Tab or Enter takes.
 * Otherwise the arrow keys bring back earlier lines. The limit counts code points, as the wire
 * does, and is told only when it comes near. What could not be sent stays in the field.
 */

import { ChatChannel, Limits } from "../core/protocol.generated.js";
import { charactersOf, History } from "./chat_window.js";
import { element, foreign, make, setAttribute, setText } from "./dom.js";
import { completed, completion } from "./mentions.js";
import { words } from "./words.js";

/** @typedef {import("./ports.js").Person} Person */
/**
 * @typedef {object} Asks
 * @property {(text: string, channel: number, target: number) => boolean} say whether it was sent
 * @property {() => string[]} names
 * @property {() => void} back gives the keys to the world
 * @property {(isTyping: boolean) => void} typing
 */

const TOLD_FROM_LEFT = 60;
const NEXT_TO = "next";

export class ChatInput {
  #form = element("chat-form", HTMLFormElement);
  #text = element("chat-text", HTMLInputElement);
  #channel = element("chat-channel", HTMLSelectElement);
  #room = element("chat-room", HTMLElement);
  #names = element("chat-names", HTMLUListElement);
  #history = new History();
  /** @type {import("./mentions.js").Completion | null} */
  #offered = null;
  #chosen = 0;
  /** @type {Map<number, string>} people written to, by entity id */
  #directs = new Map();
  #asks;

  /** @param {Asks} asks */
  constructor(asks) {
    this.#asks = asks;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#text.addEventListener("input", () => this.#changed());
    this.#text.addEventListener("keydown", (event) => this.#key(event));
    this.#text.addEventListener("blur", () => this.#offer(null));
    this.translate();
  }

  translate() {
    const before = this.#channel.value;
    const options = [[String(ChatChannel.WORLD), words("chat.world")],
      [String(ChatChannel.NEARBY), words("chat.nearby")]];
    for (const [id, name] of this.#directs) {
      options.push([`${NEXT_TO}${id}`, words("chat.to", { name })]);
    }
    this.#channel.replaceChildren(...options.map(([value, text]) => (
      make("option", { text, attributes: { value } }))));
    this.#channel.value = options.some(([value]) => value === before) ? before : options[0][0];
  }

  focus() {
    this.#text.focus();
  }

  /** To write to one person alone. @param {number} id @param {string} name */
  writeTo(id, name) {
    this.#directs.set(id, name);
    if (this.#directs.size > 8) this.#directs.delete([...this.#directs.keys()][0]);
    this.translate();
    this.#channel.value = `${NEXT_TO}${id}`;
    this.focus();
  }

  /** @param {string} name */
  mention(name) {
    const gap = this.#text.value && !this.#text.value.endsWith(" ") ? " " : "";
    this.#text.value += `${gap}@${name} `;
    this.#changed();
    this.focus();
  }

  #send() {
    const text = this.#text.value.trim();
    if (!text) return this.#asks.back();
    if (charactersOf(text) > Limits.CHAT_CHARS_MAX) return;
    const { value } = this.#channel;
    const isDirect = value.startsWith(NEXT_TO);
    const channel = isDirect ? ChatChannel.DIRECT : Number(value);
    const target = isDirect ? Number(value.slice(NEXT_TO.length)) : 0;
    if (!this.#asks.say(text, channel, target)) return;
    this.#history.add(text);
    this.#text.value = "";
    this.#changed();
  }

  #changed() {
    const left = Limits.CHAT_CHARS_MAX - charactersOf(this.#text.value);
    const isOver = left < 0;
    setText(this.#room, left > TOLD_FROM_LEFT ? ""
      : words(isOver ? "chat.over" : "chat.room", { count: Math.abs(left) }));
    this.#room.classList.toggle("over", isOver);
    setAttribute(this.#text, "aria-invalid", String(isOver));
    this.#asks.typing(this.#text.value !== "");
    const caret = this.#text.selectionStart ?? this.#text.value.length;
    this.#offer(completion(this.#text.value, caret, this.#asks.names()));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    event.stopPropagation();
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const isTaken = this.#offered ? this.#keyOfNames(event.key) : this.#keyOfText(event.key);
    if (isTaken) event.preventDefault();
  }

  /** @param {string} key */
  #keyOfText(key) {
    if (key === "Escape") this.#asks.back();
    else if (key === "ArrowUp" || key === "ArrowDown") {
      this.#text.value = this.#history.move(key === "ArrowUp" ? -1 : 1, this.#text.value);
      this.#changed();
      this.#offer(null);
    } else return false;
    return true;
  }

  /** @param {string} key */
  #keyOfNames(key) {
    const count = this.#offered?.names.length ?? 0;
    if (key === "Escape") this.#offer(null);
    else if (key === "Tab" || key === "Enter") this.#take(this.#chosen);
    else if (key === "ArrowDown") this.#choose((this.#chosen + 1) % count);
    else if (key === "ArrowUp") this.#choose((this.#chosen - 1 + count) % count);
    else return false;
    return true;
  }

  /** @param {import("./mentions.js").Completion | null} offered */
  #offer(offered) {
    this.#offered = offered;
    this.#names.hidden = offered === null;
    setAttribute(this.#text, "aria-expanded", String(offered !== null));
    if (!offered) {
      this.#text.removeAttribute("aria-activedescendant");
      return;
    }
    this.#names.replaceChildren(...offered.names.map((name, at) => {
      const item = make("li", { attributes: { role: "option", id: `chat-name-${at}` } },
        foreign(name));
      // The press must not take the focus from the field.
      item.addEventListener("pointerdown", (event) => event.preventDefault());
      item.addEventListener("click", () => this.#take(at));
      return item;
    }));
    this.#choose(0);
  }

  /** @param {number} at */
  #choose(at) {
    this.#chosen = at;
    [...this.#names.children].forEach((item, index) => (
      item.setAttribute("aria-selected", String(index === at))));
    this.#text.setAttribute("aria-activedescendant", `chat-name-${at}`);
  }

  /** @param {number} at */
  #take(at) {
    const name = this.#offered?.names[at];
    if (!this.#offered || name === undefined) return;
    const caret = this.#text.selectionStart ?? this.#text.value.length;
    const made = completed(this.#text.value, caret, this.#offered.from, name);
    this.#text.value = made.text;
    this.#text.setSelectionRange(made.caret, made.caret);
    this.#changed();
    this.#offer(null);
  }
}
