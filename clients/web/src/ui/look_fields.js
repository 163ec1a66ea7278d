/**
 * What of a look can be chosen, as the panel shows it: made from what core/look tells of itself, so
 * that a new field or a new hat appears here by itself. Pure.
 */

/** @typedef {Record<string, number | string>} Look */
/**
 * @typedef {object} LookSource
 * @property {readonly (readonly [string, number])[]} FIELDS names, and how many values each has
 * @property {Readonly<Record<string, readonly number[]>>} palettes 0xrrggbb, of fields of colour
 * @property {Readonly<Record<string, readonly string[]>>} styles names of values, of other fields
 * @property {(text: string, seed?: string | number) => Look} parse
 * @property {(look: Look) => string} format
 * @property {(seed: string | number) => Look} random
 */
/**
 * @typedef {{name: string, count: number, kind: "colour", colours: readonly string[]}
 *   | {name: string, count: number, kind: "style", styles: readonly string[]}
 *   | {name: string, count: number, kind: "step"}} LookField
 */

const CHOICES_MAX = 9;

/** @param {LookSource} source @returns {LookField[]} */
export function lookFields({ FIELDS, palettes, styles }) {
  return FIELDS.map(([name, count]) => {
    const palette = palettes[name];
    if (palette) return { name, count, kind: "colour", colours: palette.slice(0, count).map(hex) };
    const named = styles[name];
    if (named) return { name, count, kind: "style", styles: named.slice(0, count) };
    if (count <= CHOICES_MAX) return { name, count, kind: "style", styles: numbered(count) };
    return { name, count, kind: "step" };
  });
}

/** @param {number} count */
function numbered(count) {
  return Array.from({ length: count }, (_, at) => String(at + 1));
}

/** @param {number} colour */
function hex(colour) {
  return `#${colour.toString(16).padStart(6, "0")}`;
}

/** The looks before, to go back to. */
export class LookHistory {
  /** @type {string[]} */
  #before = [];

  /** @param {string} text as it was before a change */
  keep(text) {
    if (this.#before.at(-1) !== text) this.#before.push(text);
    if (this.#before.length > 50) this.#before.shift();
  }

  /** @returns {string | undefined} */
  back() {
    return this.#before.pop();
  }

  get isEmpty() {
    return this.#before.length === 0;
  }
}
