/**
 * The list of people: who is in view, how far and where, and whom one does not want to meet.
 *
 * Rows are kept from one refresh to the next and only moved, so that the focus stays with a person
 * and not with a place in the list. Arrow keys go through the rows.
 */

import { element, foreign, make, setText } from "./dom.js";
import { Pace } from "./pace.js";
import { BITS } from "./relations.js";
import { shownName } from "./surroundings.js";
import { languageChanged, words } from "./words.js";

/** @typedef {import("./surroundings.js").Near} Near */
/** @typedef {import("../core/protocol.generated.js").RelationEntry} RelationEntry */
/**
 * @typedef {object} PeoplePorts
 * @property {import("./ports.js").UiOptions} options
 * @property {import("./surroundings.js").Surroundings} surroundings
 * @property {import("./relations.js").Relations} relations
 * @property {import("./notices.js").Notices} notices
 * @property {(id: number, name: string, from: Element) => void} person
 * @property {(isOpen: boolean) => void} opened
 */

const ARRIVALS_MS = 10_000;
const ROWS_MAX = 100;

export class People {
  #box = element("people", HTMLElement);
  #list = make("ul", { attributes: { "aria-labelledby": "people-heading" } });
  #kept = make("div");
  #heading = make("h2", { attributes: { id: "people-heading", tabindex: "-1" } });
  #empty = make("p", { class: "hint" });
  /** @type {Map<number, {item: HTMLLIElement, button: HTMLButtonElement}>} by entity */
  #rows = new Map();
  /** @type {Pace<string>} */
  #arrivals = new Pace(ARRIVALS_MS, 1);
  /** @type {Set<number> | null} who was here at the last look; null before the first */
  #known = null;
  #ports;

  /** @param {PeoplePorts} ports */
  constructor(ports) {
    this.#ports = ports;
    const close = make("button", { text: "×", attributes: { type: "button" } });
    close.addEventListener("click", () => this.toggle());
    this.#box.append(make("header", {}, this.#heading, close),
      make("div", {}, this.#empty, this.#list, this.#kept));
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    const { model } = ports.options;
    model.relationsChanged.add(() => this.#fillKept());
    model.welcomed.add(() => {
      this.#known = null;
      this.#arrivals.forget();
    });
    const translate = () => {
      close.setAttribute("aria-label", words("panel.close"));
      setText(this.#heading, words("people.heading"));
      setText(this.#empty, words("people.nobody"));
      this.#fillKept();
    };
    languageChanged.add(translate);
    translate();
  }

  get isOpen() {
    return !this.#box.hidden;
  }

  toggle() {
    this.#box.hidden = !this.#box.hidden;
    this.#ports.opened(this.isOpen);
    if (this.isOpen) this.#heading.focus();
    else element("people-toggle", HTMLButtonElement).focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Escape") {
      this.toggle();
      event.stopPropagation();
      return;
    }
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const buttons = [...this.#list.querySelectorAll("button")];
    const at = buttons.findIndex((each) => each === document.activeElement);
    buttons[Math.min(Math.max(at + step, 0), buttons.length - 1)]?.focus();
  }

  /** A few times a second. @param {Near[]} people @param {number} nowMs */
  step(people, nowMs) {
    this.#announce(people, nowMs);
    if (!this.isOpen) return;
    this.#empty.hidden = people.length > 0;
    const shown = people.slice(0, ROWS_MAX);
    const here = new Set(shown.map(({ id }) => id));
    for (const [id, { item }] of this.#rows) {
      if (here.has(id)) continue;
      item.remove();
      this.#rows.delete(id);
    }
    shown.forEach((person, at) => {
      const { item } = this.#row(person);
      const there = this.#list.children[at];
      // Moving the row that has the focus would take it away.
      if (there !== item && !item.contains(document.activeElement)) {
        this.#list.insertBefore(item, there ?? null);
      }
    });
  }

  /** @param {Near} person */
  #row(person) {
    let row = this.#rows.get(person.id);
    if (!row) {
      const button = make("button", { class: "person", attributes: { type: "button",
        "aria-haspopup": "menu" } }, foreign("", "name"), make("span", { class: "tag" }),
        make("span", { class: "place" }));
      const open = () => this.#ports.person(person.id, person.name, button);
      button.addEventListener("click", open);
      button.addEventListener("contextmenu", (event) => {
        event.preventDefault();
        open();
      });
      row = { item: make("li", {}, button), button };
      this.#rows.set(person.id, row);
    }
    const [name, tag, place] = row.button.children;
    setText(name, shownName(person));
    setText(tag, this.#tags(person.id));
    setText(place, this.#ports.surroundings.place(person));
    row.button.toggleAttribute("data-away", person.isAway);
    return row;
  }

  /** @param {number} id */
  #tags(id) {
    return tagsOf(this.#ports.relations.of(id));
  }

  /** Tells those who listen who has come near. @param {Near[]} people @param {number} nowMs */
  #announce(people, nowMs) {
    const { options: { model }, notices } = this.#ports;
    const known = this.#known;
    this.#known = new Set(people.map(({ id }) => id));
    if (known) {
      for (const person of people) if (!known.has(person.id)) this.#arrivals.add(shownName(person));
    }
    const told = this.#arrivals.take(nowMs);
    if (!told || model.state !== "live") return;
    notices.announce(told.count === 1 ? words("people.arrived", { name: told.items[0] })
      : words("people.arrivedMany", { count: told.count }));
  }

  // --- whom one does not want to meet ------------------------------------------------------

  #fillKept() {
    const { relations } = this.#ports.options.model;
    const rows = relations.map((entry) => this.#keptRow(entry));
    this.#kept.replaceChildren(make("h3", { text: words("people.kept") }), ...(rows.length ? rows
      : [make("p", { class: "hint", text: words("people.keptNobody") })]));
  }

  /** @param {RelationEntry} entry */
  #keptRow(entry) {
    const row = make("div", { class: "relation" }, foreign(entry.name));
    for (const { bit, off } of BITS) {
      if (!(entry.relation & bit)) continue;
      const undo = make("button", { class: "do", text: words(off),
        attributes: { type: "button", "aria-label": `${words(off)}: ${entry.name}` } });
      undo.addEventListener("click", () => void this.#ports.relations.turn(
        { id: entry.entity_id, person: entry.person, name: entry.name }, entry.relation, bit));
      row.append(undo);
    }
    return row;
  }
}

/** @param {number} relation */
function tagsOf(relation) {
  return BITS.filter(({ bit }) => relation & bit).map(({ tag }) => words(tag)).join(", ");
}

