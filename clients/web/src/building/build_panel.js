/**
 * The panel of build mode: what can be put up, what can be done with what is selected, its form.
 *
 * The form is made from the fields of the kind. A field that is out of its bounds says so and
 * sends nothing. Everything can be done from here without a pointer.
 */

import { checked, fieldsOf, PALETTE } from "../core/palette.js";
import { button, element, make, setText } from "../ui/dom.js";
import { languageChanged, words, wordsOf } from "../ui/words.js";

/** @typedef {import("../core/props.js").Prop} Prop */
/** @typedef {import("../core/palette.js").Field} Field */
/** @typedef {import("../core/palette.js").PaletteEntry} PaletteEntry */
/**
 * @typedef {object} BuildActs
 * @property {() => HTMLElement} upload the part of the panel for files
 * @property {(entry: PaletteEntry) => void} arm
 * @property {() => void} putAhead the armed thing, before oneself
 * @property {(name: string) => void} act a name of ACTS
 * @property {(mode: "translate" | "rotate" | "scale") => void} mode
 * @property {(isSnapping: boolean) => void} snapping
 * @property {(prop: Prop, index: number, value: number) => void} number of the place: 0..9
 * @property {(prop: Prop, name: string, value: string | number | boolean) => void} describe
 */

const ACTS = ["undo", "redo", "duplicate", "delete", "group", "ungroup", "lock"];
const MODES = /** @type {const} */ (["translate", "rotate", "scale"]);
const PLACE = [["x", "y", "z"], ["sx", "sy", "sz"]];

export class BuildPanel {
  #box = element("build", HTMLElement);
  #status = make("p", { class: "hint", attributes: { role: "status" } });
  #form = make("div", { class: "build-form" });
  #body = make("div");
  #acts;
  #armed = "";
  /** @type {Prop[]} */
  #shown = [];

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
    this.#body.replaceChildren(this.#status, this.#palette(), this.#acts.upload(),
      ...this.#tools(), this.#form);
    this.#box.replaceChildren(make("header", {}, heading, close), this.#body);
    this.#box.hidden = false;
    this.show(this.#shown);
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
    for (const each of this.#body.querySelectorAll("[data-piece]")) {
      each.setAttribute("aria-pressed", String(each.getAttribute("data-piece") === name));
    }
  }

  #palette() {
    const pieces = PALETTE.map((entry) => {
      const piece = button(wordsOf(`piece.${entry.name}`), () => this.#acts.arm(entry));
      piece.setAttribute("data-piece", entry.name);
      piece.setAttribute("aria-pressed", String(entry.name === this.#armed));
      return piece;
    });
    const ahead = button(words("build.ahead"), () => this.#acts.putAhead());
    const list = make("div", { class: "pieces", attributes: { role: "group" } }, ...pieces, ahead);
    list.setAttribute("aria-label", words("build.pieces"));
    return list;
  }

  #tools() {
    const modes = MODES.map((mode) => (
      button(wordsOf(`build.${mode}`), () => this.#acts.mode(mode))));
    const acts = ACTS.map((act) => {
      const made = button(wordsOf(`build.${act}`), () => this.#acts.act(act));
      made.setAttribute("data-act", act);
      return made;
    });
    const snapping = make("input", { attributes: { type: "checkbox", checked: "" } });
    snapping.addEventListener("change", () => this.#acts.snapping(snapping.checked));
    return [make("div", { class: "pieces" }, ...modes), make("div", { class: "pieces" }, ...acts),
      make("label", {}, snapping, ` ${words("build.snap")}`)];
  }

  /** The form of what is selected; a field that is being typed in is left alone.
   * @param {Prop[]} props
   */
  show(props) {
    const typing = document.activeElement;
    const isSame = props.length === 1 && this.#shown.length === 1
      && props[0].key === this.#shown[0].key && this.#form.contains(typing);
    this.#shown = props;
    if (!this.isOpen || isSame) return;
    if (props.length !== 1) {
      const text = words("build.selected", { count: props.length });
      this.#form.replaceChildren(make("p", { class: "hint", text }));
      return;
    }
    const [prop] = props;
    const fields = fieldsOf(prop.properties.kind).map((field) => this.#field(prop, field));
    this.#form.replaceChildren(make("h3", { text: wordsOf(`piece.${prop.properties.kind}`) }),
      ...this.#numbers(prop), ...fields);
  }

  /** @param {Prop} prop */
  #numbers(prop) {
    const { position_m, scale } = prop.transform;
    return PLACE.map((names, row) => make("div", { class: "numbers" }, ...names.map((name, i) => {
      const value = (row ? scale : position_m)[i];
      const input = make("input", { attributes: { type: "number", step: "any",
        value: String(Math.round(value * 1000) / 1000) } });
      input.addEventListener("change", () => {
        const typed = input.valueAsNumber;
        if (Number.isFinite(typed)) this.#acts.number(prop, row ? 7 + i : i, typed);
        else this.say(words("build.badField"));
      });
      return make("label", {}, wordsOf(`build.${name}`), input);
    })));
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
    return make("label", { class: "field" }, wordsOf(`field.${field.name}`), input);
  }
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
