/**
 * What can be built, and the form of each kind of prop: its fields with their bounds.
 *
 * Fields come from the tables of the protocol, so a new one has its form by itself. What a person
 * types is checked here, before it is sent. Pure.
 */

import { ENUM_VALUES, MAPS, UNIONS } from "./protocol.generated.js";
import { readProperties } from "./props.js";

/** @typedef {import("./protocol.generated.js").Properties} Properties */
/** @typedef {{name: string, properties: Properties, scale: number[]}} PaletteEntry */
/**
 * @typedef {object} Field
 * @property {string} name
 * @property {"text" | "colour" | "number" | "choice" | "flag"} type
 * @property {number} min of a number
 * @property {number} max of a number, or characters of a text
 * @property {readonly string[]} choices
 */

/**
 * @param {string} name
 * @param {Record<string, unknown>} raw
 * @param {number[]} scale
 * @returns {PaletteEntry}
 */
function entry(name, raw, scale = [1, 1, 1]) {
  return { name, properties: /** @type {Properties} */ (readProperties(raw)), scale };
}

/** The words of an enumeration. @param {string} name */
function wordsOf(name) {
  return ENUM_VALUES[name].map(String);
}

/** @type {readonly PaletteEntry[]} */
export const PALETTE = Object.freeze([
  ...wordsOf("ShapeForm").map((form) => entry(form, { kind: "shape", form })),
  entry("sign", { kind: "sign" }, [1.6, 0.9, 1]),
  entry("light", { kind: "light" }),
  entry("seat", { kind: "seat" }),
  entry("portal", { kind: "portal" }),
  entry("zone", { kind: "zone" }, [4, 3, 4]),
  entry("spawn", { kind: "spawn" }),
  entry("npc_post", { kind: "npc_post" }),
]);

/** How far above what it is put on the origin of a prop is. @param {PaletteEntry} what */
export function heightAbove({ properties, scale }) {
  switch (properties.kind) {
    case "shape": case "zone": return scale[1] / 2;
    case "sign": return 1 + scale[1] / 2;
    case "light": return 2.2;
    case "seat": return 0.45;
    default: return 0;
  }
}

/** The fields of a kind. @param {string} kind @returns {Field[]} */
export function fieldsOf(kind) {
  if (!Object.hasOwn(UNIONS.Properties, kind)) return [];
  return MAPS[UNIONS.Properties[kind]].map(([name, type]) => fieldOf(name, type));
}

/** @param {string} name @param {any} type @returns {Field} */
function fieldOf(name, type) {
  const field = { name, min: 0, max: 0, choices: [] };
  if (type === "bool") return { ...field, type: "flag" };
  if (typeof type === "string") {
    return { ...field, type: "choice", choices: wordsOf(type) };
  }
  if (type.float) return { ...field, type: "number", min: type.float[0], max: type.float[1] };
  const isColour = type.str.pattern?.startsWith("^#");
  return { ...field, type: isColour ? "colour" : "text", max: type.str.max };
}

/**
 * What was typed, as the value to send; null when the server would refuse it.
 * @param {Field} field
 * @param {string | boolean} typed
 * @returns {string | number | boolean | null}
 */
export function checked(field, typed) {
  if (field.type === "flag") return typed === true;
  const text = String(typed);
  switch (field.type) {
    case "number": {
      const value = text.trim() === "" ? NaN : Number(text);
      return value >= field.min && value <= field.max ? value : null;
    }
    case "choice": return field.choices.includes(text) ? text : null;
    case "colour": return /^#[0-9a-f]{6}$/.test(text) ? text : null;
    default: {
      const clean = text.replaceAll("\r\n", "\n");
      const hasControl = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(clean);
      return hasControl || [...clean].length > field.max ? null : clean;
    }
  }
}
