/**
 * The numbers of a prop's place: position in metres, rotation in degrees, scale.
 *
 * Up and down in a field is a step (with Shift ten, with Alt a tenth of one): it is seen at once,
 * by others too, and becomes one edit when the key is let go. A number that is typed counts when
 * the field is left. Fields that somebody types in are left alone when the prop is moved elsewhere.
 */

import { anglesOf, boundedScale, rotationOf } from "../core/build_math.js";
import { Limits } from "../core/protocol.generated.js";
import { make } from "../ui/dom.js";
import { words, wordsOf } from "../ui/words.js";

/** @typedef {import("../core/props.js").Prop} Prop */
/** @typedef {import("../core/protocol.generated.js").Transform} Transform */
/**
 * @typedef {object} PlaceActs
 * @property {(prop: Prop, transform: Transform, isLast: boolean) => void} place
 * @property {(sentence: string) => void} say
 */

const ROWS = Object.freeze([
  { name: "position", fields: ["x", "y", "z"], step: 0.25 },
  { name: "rotation", fields: ["rx", "ry", "rz"], step: 15 },
  { name: "scaled", fields: ["sx", "sy", "sz"], step: 0.1 },
]);
const FAST = 10;
const FINE = 0.1;

export class PlaceForm {
  /** @type {HTMLInputElement[]} three of each row */
  #inputs = [];
  /** @type {number[]} what the fields show, unrounded */
  #numbers = [];
  /** @type {Prop} */
  #prop;
  #isStepping = false;
  #acts;

  /** @param {Prop} prop @param {PlaceActs} acts */
  constructor(prop, acts) {
    this.#prop = prop;
    this.#acts = acts;
    this.element = make("div", { class: "places" }, ...ROWS.map((_, row) => this.#row(row)));
    this.show(prop);
  }

  /** @param {number} row */
  #row(row) {
    const { name, fields } = ROWS[row];
    const box = make("fieldset", { class: "numbers" }, make("legend", {
      text: wordsOf(`build.${name}`) }));
    fields.forEach((field, i) => {
      const input = make("input", { attributes: { type: "number", step: "any",
        inputmode: "decimal" } });
      this.#inputs.push(input);
      input.addEventListener("change", () => this.#typed(row * 3 + i));
      input.addEventListener("keydown", (event) => this.#step(row * 3 + i, event));
      input.addEventListener("keyup", ({ code }) => { if (ARROWS.has(code)) this.#settle(); });
      input.addEventListener("blur", () => this.#settle());
      box.append(make("label", {}, wordsOf(`build.${field}`), input));
    });
    return box;
  }

  /** It stands here now. @param {Prop} prop */
  show(prop) {
    this.#prop = prop;
    if (this.#isStepping) return;
    const { position_m, rotation, scale } = prop.transform;
    this.#numbers = [...position_m, ...anglesOf(rotation), ...scale];
    this.#inputs.forEach((input, at) => {
      if (input !== document.activeElement) input.value = shown(this.#numbers[at]);
    });
  }

  /** @param {number} at @param {KeyboardEvent} event */
  #step(at, event) {
    const sign = ARROWS.get(event.code);
    if (!sign) return;
    event.preventDefault();
    const size = event.shiftKey ? FAST : event.altKey ? FINE : 1;
    this.#isStepping = true;
    this.#set(at, this.#numbers[at] + sign * size * ROWS[Math.floor(at / 3)].step);
    this.#inputs[at].value = shown(this.#numbers[at]);
    this.#acts.place(this.#prop, this.#transform(), false);
  }

  #settle() {
    if (!this.#isStepping) return;
    this.#isStepping = false;
    this.#acts.place(this.#prop, this.#transform(), true);
  }

  /** @param {number} at */
  #typed(at) {
    const input = this.#inputs[at];
    const typed = input.valueAsNumber;
    const isGood = Number.isFinite(typed) && (at > 2
      || Math.abs(typed) <= Limits.WORLD_EXTENT_M_MAX)
      && (at < 6 || (typed >= Limits.PROP_SCALE_MIN && typed <= Limits.PROP_SCALE_MAX));
    input.setAttribute("aria-invalid", String(!isGood));
    if (!isGood) return this.#acts.say(words("build.badField"));
    if (shown(this.#numbers[at]) === shown(typed)) return;
    this.#set(at, typed);
    this.#acts.place(this.#prop, this.#transform(), true);
  }

  /** @param {number} at @param {number} value */
  #set(at, value) {
    const isGroup = this.#prop.properties.kind === "group";
    if (at < 3) {
      const most = Limits.WORLD_EXTENT_M_MAX;
      this.#numbers[at] = Math.min(most, Math.max(-most, value));
    } else if (at < 6) this.#numbers[at] = ((((value + 180) % 360) + 360) % 360) - 180;
    else if (isGroup) this.#numbers.fill(boundedScale(Math.max(0, value)), 6);
    else this.#numbers[at] = boundedScale(Math.max(0, value));
  }

  /** @returns {Transform} */
  #transform() {
    const n = this.#numbers;
    return { position_m: n.slice(0, 3), rotation: rotationOf(n.slice(3, 6)), scale: n.slice(6) };
  }
}

/** @type {ReadonlyMap<string, number>} */
const ARROWS = new Map([["ArrowUp", 1], ["ArrowDown", -1]]);

/** @param {number} value */
function shown(value) {
  return String(Math.round(value * 1000) / 1000 + 0);
}
