/**
 * The chat: what was said, by whom and how it stands, and the line one writes.
 *
 * A line is drawn when it changes, and only those in the window are in the page (chat_window). All
 * text is set as text. An address in a line is no link of the page: where the person wants it, it
 * is a button that first shows the whole address. What is read aloud is paced: one line as it is,
 * more of them as a number.
 */

import { ChatChannel } from "../core/protocol.generated.js";
import { mentions } from "../core/chat_log.js";
import { ChatInput } from "./chat_input.js";
import { ChatWindow } from "./chat_window.js";
import { ask } from "./dialogs.js";
import { button, element, foreign, make, setAttribute, setText } from "./dom.js";
import { findLinks } from "./links.js";
import { findMentions } from "./mentions.js";
import { Pace } from "./pace.js";
import { shownTime, words } from "./words.js";

/** @typedef {import("./ports.js").ChatLine} ChatLine */
/** @typedef {import("./ports.js").UiOptions} UiOptions */
/** @typedef {import("./chat_window.js").Shown} Shown */
/**
 * @typedef {object} ChatPorts
 * @property {UiOptions} options
 * @property {import("./notices.js").Notices} notices
 * @property {() => string[]} names of those in view
 * @property {(id: number, name: string, from: Element) => void} person opens what can be done
 */

const ALOUD_MS = 3_000;
/** As in panels.css: on such a screen the open chat is a sheet over the world. */
const NARROW_PX = 560;
const SHOWN = /** @type {Shown[]} */ (["all", "world", "nearby", "direct"]);

export class Chat {
  #log = element("chat-log", HTMLOListElement);
  #toggle = element("chat-toggle", HTMLButtonElement);
  #body = element("chat-body", HTMLElement);
  #newest = element("chat-newest", HTMLButtonElement);
  #window = new ChatWindow();
  /** @type {Map<number, HTMLLIElement>} lines in the page, by key */
  #items = new Map();
  /** @type {Pace<string>} */
  #aloud = new Pace(ALOUD_MS, 2);
  #ports;

  /** @param {ChatPorts} ports */
  constructor(ports) {
    this.#ports = ports;
    const { options } = ports;
    this.input = new ChatInput({
      say: (text, channel, target) => this.#say(text, channel, target), names: ports.names,
      back: () => options.actions.focusWorld(),
      typing: (isTyping) => { options.model.own.typing = isTyping; },
    });
    this.#toggle.addEventListener("click", () => this.fold(!this.#body.hidden));
    this.#log.addEventListener("scroll", () => this.#scrolled());
    this.#newest.addEventListener("click", () => this.#toEnd());
    element("chat-earlier", HTMLButtonElement).addEventListener("click", () => this.#earlier());
    this.#body.addEventListener("keydown", (event) => {
      if (event.key === "Escape") options.actions.focusWorld();
      event.stopPropagation();
    });
    options.model.chat.changed.add((line) => this.#changed(line));
    options.model.chat.cleared.add(() => this.refill());
    this.translate();
    this.fold(window.innerWidth <= NARROW_PX);
  }

  translate() {
    const tabs = SHOWN.map((shown) => {
      const tab = button(words(`chat.${shown}`), () => this.show(shown), "");
      tab.dataset.shown = shown;
      return tab;
    });
    element("chat-tabs", HTMLElement).replaceChildren(...tabs);
    this.input.translate();
    this.show(this.#window.shown);
  }

  /** @param {Shown} shown */
  show(shown) {
    this.#window.shown = shown;
    for (const tab of element("chat-tabs", HTMLElement).children) {
      tab.setAttribute("aria-pressed", String(tab.getAttribute("data-shown") === shown));
    }
    this.refill();
  }

  /** @param {"everyone" | "nearby" | "nobody"} from whose lines the person wants */
  hear(from) {
    this.#window.from = from;
    this.refill();
  }

  /** @param {boolean} isFolded */
  fold(isFolded) {
    this.#body.hidden = isFolded;
    setAttribute(this.#toggle, "aria-expanded", String(!isFolded));
    if (!isFolded) this.#toEnd();
  }

  /** Opens it and gives it the keys. */
  focus() {
    this.fold(false);
    this.input.focus();
  }

  /** @param {number} id @param {string} name */
  writeTo(id, name) {
    this.fold(false);
    this.input.writeTo(id, name);
  }

  /** @param {string} text @param {number} channel @param {number} target */
  #say(text, channel, target) {
    const { options: { model }, notices } = this.#ports;
    if (model.state !== "live") notices.tell(words("chat.away"), { isAlert: true });
    else {
      model.say(text, channel, target);
      this.#toEnd();
      return true;
    }
    return false;
  }

  // --- lines -------------------------------------------------------------------------------

  /** All lines anew: another choice of them, another language, another world. */
  refill() {
    const { lines, hasEarlier } = this.#window.visible(this.#ports.options.model.chat.lines);
    this.#items.clear();
    this.#log.replaceChildren(...lines.map((line) => this.#item(line)));
    element("chat-earlier", HTMLElement).hidden = !hasEarlier;
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#count();
  }

  #earlier() {
    this.#window.earlier();
    const before = this.#log.scrollHeight;
    this.refill();
    this.#log.scrollTop = this.#log.scrollHeight - before;
  }

  /** @param {ChatLine} line */
  #changed(line) {
    const atEnd = this.#isAtEnd();
    const isNew = this.#window.take(line, atEnd && !this.#body.hidden);
    const before = this.#items.get(line.key);
    if (before) before.replaceWith(this.#item(line));
    else if (this.#window.passes(line)) this.#log.append(this.#item(line));
    this.#shorten(atEnd);
    if (atEnd) this.#log.scrollTop = this.#log.scrollHeight;
    if (isNew) this.#aloudLine(line);
    this.#count();
  }

  /**
   * Old lines go while one reads the end; who reads further up keeps them.
   * @param {boolean} atEnd
   */
  #shorten(atEnd) {
    if (!atEnd) return;
    const { lines, hasEarlier } = this.#window.visible(this.#ports.options.model.chat.lines);
    const [oldest] = lines;
    for (const [key, item] of this.#items) {
      if (!oldest || key >= oldest.key) break;
      item.remove();
      this.#items.delete(key);
    }
    element("chat-earlier", HTMLElement).hidden = !hasEarlier;
  }

  /** @param {ChatLine} line */
  #item(line) {
    const isGone = line.state === "rejected" || line.state === "retracted";
    const item = make("li", { class: isGone ? "gone" : line.state });
    item.classList.toggle("own", line.isOwn);
    item.classList.toggle("mentions-you", this.#speaksToOne(line));
    const who = button("", () => this.#ports.person(line.senderId, line.senderName, who), "who");
    who.append(foreign(line.senderName, ""));
    if (line.serverMs || line.state === "pending") item.append(this.#time(line), " ");
    const tag = this.#tag(line);
    if (tag) item.append(make("span", { class: "tag", text: tag }), " ");
    item.append(line.isOwn ? make("span", { class: "who" }, foreign(line.senderName, "")) : who,
      ": ", this.#text(line));
    if (line.state === "pending") item.append(" ", make("span", { class: "tag",
      text: words("chat.pending") }));
    if (line.state === "rejected") item.append(" ", make("span", { class: "tag",
      text: line.reason ? words("chat.rejected", { reason: line.reason })
        : words("chat.rejectedPlain") }));
    this.#items.set(line.key, item);
    return item;
  }

  /** @param {ChatLine} line */
  #time({ serverMs }) {
    // The server counts from its own start: its present moment is this one.
    const { clock } = this.#ports.options.model;
    const age = serverMs ? clock.now(performance.now()) - clock.extend(serverMs) : 0;
    return make("time", { text: shownTime(Date.now() - Math.max(0, age)) });
  }

  /** @param {ChatLine} line */
  #tag({ channel, isOwn, target }) {
    if (channel === ChatChannel.NEARBY) return words("chat.nearby");
    if (channel !== ChatChannel.DIRECT) return "";
    const name = this.#ports.options.model.people.get(target)?.name;
    return isOwn ? words("chat.to", { name: name || "…" }) : words("chat.direct");
  }

  /** @param {ChatLine} line */
  #text(line) {
    const text = make("bdi", { class: "text", attributes: { dir: "auto" } });
    if (line.state === "retracted") text.textContent = line.reason || words("chat.retracted");
    else for (const part of findLinks(line.text)) text.append(...this.#part(part, line));
    return text;
  }

  /**
   * @param {import("./links.js").Part} part
   * @param {ChatLine} line
   * @returns {(Node | string)[]}
   */
  #part({ text, address }, line) {
    const { options, names } = this.#ports;
    if (address && options.settings.values.links === "ask") {
      return [button(text, () => void openAddress(address, line.senderName), "link")];
    }
    if (address) return [text];
    const known = [...names(), options.model.name];
    return findMentions(text, known).map((part) => (
      part.name ? make("mark", { text: part.text }) : part.text));
  }

  /** @param {ChatLine} line */
  #speaksToOne(line) {
    const { model } = this.#ports.options;
    return !line.isOwn && line.state === "published" && mentions(line.text, model.name);
  }

  // --- reading -----------------------------------------------------------------------------

  /** @param {ChatLine} line */
  #aloudLine(line) {
    const said = { name: line.senderName, text: line.text };
    if (this.#speaksToOne(line)) {
      this.#ports.notices.tell(words("chat.mentioned", said), { offer: {
        text: words("chat.heading"), act: () => this.focus() } });
    } else if (line.channel === ChatChannel.DIRECT) this.#aloud.add(words("chat.directFrom", said));
    else this.#aloud.add(words("chat.spoken", said));
  }

  /** A few times a second. @param {number} nowMs @param {string[]} typing names */
  step(nowMs, typing) {
    const aloud = this.#aloud.take(nowMs);
    if (aloud) {
      this.#ports.notices.announce(aloud.count === 1 ? aloud.items[0]
        : words("chat.several", { count: aloud.count }));
    }
    setText(element("chat-typing", HTMLElement), typing.length
      ? words("chat.typing", { count: typing.length, names: typing.slice(0, 3).join(", ") }) : "");
  }

  #isAtEnd() {
    const log = this.#log;
    return log.scrollTop + log.clientHeight > log.scrollHeight - 30;
  }

  #scrolled() {
    if (this.#isAtEnd() && !this.#body.hidden) this.#window.seen();
    this.#count();
  }

  #toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#window.seen();
    this.#count();
  }

  #count() {
    const count = this.#window.unreadCount;
    const badge = element("chat-unread", HTMLElement);
    badge.hidden = !count;
    setText(badge, String(count));
    badge.title = words("chat.unread", { count });
    this.#newest.hidden = !count || this.#body.hidden;
    setText(this.#newest, words("chat.newest", { count }));
  }
}

/** @param {string} address @param {string} name */
async function openAddress(address, name) {
  const shown = make("p", { class: "address", text: address, attributes: { dir: "ltr" } });
  const isWanted = await ask({ title: words("chat.linkTitle"),
    content: [words("chat.linkText", { name }), shown], yes: words("chat.linkOpen") });
  if (isWanted) window.open(address, "_blank", "noopener,noreferrer");
}
