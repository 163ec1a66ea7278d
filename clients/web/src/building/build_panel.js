/**
 * The panel of build mode: what can be put up, what can be done with what is selected, its form.
 *
 * The form is made from the fields of the kind. A field that is out of its bounds says so and
 * sends nothing. Everything can be done from here without a pointer; the keys are listed at its
 * end.
 */

import { checked, fieldsOf, PALETTE } from "../core/palette.js";
import { button, element, make, setText } from "../ui/dom.js";
import { shownKey } from "../ui/keys_panel.js";
import { languageChanged, words, wordsOf } from "../ui/words.js";
import { SHOWN } from "./build_keys.js";
import { PlaceForm } from "./place_form.js";

/** @typedef {import("../core/props.js").Prop} Prop */
/** @typedef {import("../core/palette.js").Field} Field */
/** @typedef {import("../core/palette.js").PaletteEntry} PaletteEntry */
/** @typedef {"translate" | "rotate" | "scale"} Mode */
/**
 * What is pressed and stays so.
 * @typedef {{mode: Mode, snap: boolean, local: boolean, align: boolean, box: boolean}} Switches
 */
/**
 * @typedef {object} BuildActs
 * @property {() => HTMLElement[]} parts for files, and for what became of edits
 * @property {() => Switches} switches
 * @property {(entry: PaletteEntry) => void} arm
 * @property {() => void} putAhead the armed thing, before oneself
 * @property {(name: string) => void} act a name of ACTS, of SWITCHES or of a mode
 * @property {import("./place_form.js").PlaceActs["place"]} place
 * @property {(prop: Prop, name: string, value: string | number | boolean) => void} describe
 */

const MODES = Object.freeze(["translate", "rotate", "scale"]);
const SWITCHES = Object.freeze(["snap", "local", "align", "box"]);
const ACTS = Object.freeze(["undo", "redo", "duplicate", "drop", "group", "ungroup", "lock",
  "delete"]);

export class BuildPanel {
  #box = element("build", HTMLElement);
  #status = make("p", { class: "hint", attributes: { role: "status" } });
  #form = make("div", { class: "build-form" });
  #body = make("div");
  #acts;
  #armed = "";
  /** @type {Prop[]} */
  #shown = [];
  /** @type {PlaceForm | null} */
  #places = null;

  /** @param {BuildActs} acts */
  constructor(acts) {
    this.#acts = acts;
    languageChanged.add(() => { if (!this.#box.hidden) this.open(); });
  }

  get isOpen() {
    return !this.#box.hidden;
  }

  open() {
    const heading = make("h2", { text: words("build.label"), attributes: { tabindex: "-1" } });
    const close = button("×", () => this.#acts.act("close"), "");
    close.setAttribute("aria-label", words("panel.close"));
    const [files, edits] = this.#acts.parts();
    this.#body.replaceChildren(this.#status, this.#palette(), ...this.#tools(), this.#form,
      section("build.fileHeading", files), section("build.edits", edits),
      section("build.keys", keysList()));
    this.#box.replaceChildren(make("header", {}, heading, close), this.#body);
    this.#box.hidden = false;
    const shown = this.#shown;
    this.#shown = [];
    this.show(shown);
    this.switched();
    this.arm(this.#armed);
  }

  close() {
    this.#box.hidden = true;
    this.#box.replaceChildren();
  }

  /** @param {string} sentence */
  say(sentence) {
    setText(this.#status, sentence);
  }

  /** What is armed is pressed; empty for nothing. @param {string} name */
  arm(name) {
    this.#armed = name;
    press(this.#body, "data-piece", (each) => each === name);
    const ahead = this.#body.querySelector("[data-ahead]");
    if (ahead instanceof HTMLButtonElement) ahead.hidden = !name;
  }

  /** Modes and switches are pressed as they are. */
  switched() {
    const now = this.#acts.switches();
    press(this.#body, "data-switch", (name) => (
      name === now.mode || Reflect.get(now, name) === true));
  }

  #palette() {
    const pieces = PALETTE.map((entry) => {
      const piece = button(wordsOf(`piece.${entry.name}`), () => this.#acts.arm(entry));
      piece.setAttribute("data-piece", entry.name);
      return piece;
    });
    const ahead = button(words("build.ahead"), () => this.#acts.putAhead(), "do wide");
    ahead.setAttribute("data-ahead", "");
    return section("build.pieces", row("build.pieces", ...pieces), ahead);
  }

  #tools() {
    const made = (/** @type {string} */ name, /** @type {string} */ kind) => {
      const each = button(wordsOf(`build.${name}`), () => this.#acts.act(name));
      each.setAttribute(kind, name);
      return each;
    };
    const modes = MODES.map((name) => made(name, "data-switch"));
    const switches = SWITCHES.map((name) => made(name, "data-switch"));
    const acts = ACTS.map((name) => made(name, "data-act"));
    return [row("build.modes", ...modes), row("build.switches", ...switches),
      row("build.acts", ...acts)];
  }

  /** The form of what is selected; a field that is being typed in is left alone.
   * @param {Prop[]} props
   */
  show(props) {
    const typing = document.activeElement;
    const isSame = props.length === 1 && this.#shown.length === 1
      && props[0].key === this.#shown[0].key;
    this.#shown = props;
    if (!this.isOpen) return;
    if (isSame && this.#form.contains(typing)) return this.#places?.show(props[0]);
    this.#places = null;
    if (props.length !== 1) {
      const text = words("build.selected", { count: props.length });
      this.#form.replaceChildren(make("p", { class: "hint", text }));
      return;
    }
    const [prop] = props;
    const fields = fieldsOf(prop.properties.kind).map((field) => this.#field(prop, field));
    this.#places = new PlaceForm(prop, { place: this.#acts.place,
      say: (sentence) => this.say(sentence) });
    this.#form.replaceChildren(make("h3", { text: wordsOf(`piece.${prop.properties.kind}`) }),
      this.#places.element, ...fields);
  }

  /** @param {Prop} prop @param {Field} field */
  #field(prop, field) {
    const now = Reflect.get(prop.properties, field.name);
    const input = inputOf(field, now);
    input.addEventListener("change", () => {
      const typed = input instanceof HTMLInputElement && input.type === "checkbox"
        ? input.checked : input.value;
      const value = checked(field, typed);
      input.setAttribute("aria-invalid", String(value === null));
      if (value === null) this.say(words("build.badField"));
      else this.#acts.describe(prop, field.name, value);
    });
    return make("label", { class: `field ${field.type}` }, wordsOf(`field.${field.name}`), input);
  }
}

/** @param {import("../lang/en.js").WordKey} title @param {HTMLElement[]} children */
function section(title, ...children) {
  return make("details", { attributes: { ...title === "build.pieces" && { open: "" } } },
    make("summary", { text: words(title) }), ...children);
}

/** @param {import("../lang/en.js").WordKey} label @param {HTMLElement[]} buttons */
function row(label, ...buttons) {
  const made = make("div", { class: "pieces", attributes: { role: "group" } }, ...buttons);
  made.setAttribute("aria-label", words(label));
  return made;
}

/** @param {HTMLElement} body @param {string} kind @param {(name: string) => boolean} isPressed */
function press(body, kind, isPressed) {
  for (const each of body.querySelectorAll(`[${kind}]`)) {
    each.setAttribute("aria-pressed", String(isPressed(each.getAttribute(kind) ?? "")));
  }
}

function keysList() {
  const list = make("dl", { class: "keys" });
  for (const [keys, does] of SHOWN) {
    const caps = keys.split("|").map((key) => make("kbd", { text: key.split("+").map(shownKey)
      .join(" + ") }));
    list.append(make("dt", {}, ...caps), make("dd", { text: words(does) }));
  }
  return list;
}

/** @param {Field} field @param {unknown} now */
function inputOf(field, now) {
  if (field.type === "choice") {
    const select = make("select", {}, ...field.choices.map((each) => (
      make("option", { text: wordsOf(`choice.${each}`), attributes: { value: each } }))));
    select.value = String(now);
    return select;
  }
  if (field.name === "text") {
    const area = make("textarea", { attributes: { rows: "3", dir: "auto" } });
    area.value = String(now);
    return area;
  }
  const input = make("input", { attributes: { dir: "auto" } });
  input.type = { flag: "checkbox", number: "number", colour: "color", text: "text" }[field.type];
  if (field.type === "number") {
    Object.assign(input, { min: String(field.min), max: String(field.max), step: "any" });
  }
  if (field.type === "flag") input.checked = now === true;
  else input.value = String(now);
  return input;
}
