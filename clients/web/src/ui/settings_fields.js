/**
 * Which settings the panel shows, in which groups and with which words. What may be set is in
 * core/settings_rules. Pure.
 */

import { RULES } from "../core/settings_rules.js";

/** @typedef {import("../core/settings_rules.js").SettingName} SettingName */
/** @typedef {import("./words.js").WordKey} WordKey */
/** @typedef {{title: WordKey, names: readonly SettingName[]}} Group */

/** @type {readonly Group[]} */
export const GROUPS = Object.freeze([
  { title: "settings.text", names: ["language", "textSize", "contrast", "captions"] },
  { title: "settings.picture", names: ["quality", "view", "fov", "tags", "minimap",
    "minimapTurns"] },
  { title: "settings.comfort", names: ["reducedMotion", "mouseSpeed", "invertY", "move", "turn",
    "turnDegrees", "vignette", "seated", "dominantHand", "handMenu"] },
  { title: "settings.privacy", names: ["boundary", "chatFrom", "links", "portals"] },
  { title: "settings.voice", names: ["voice", "pushToTalk", "voiceVolume", "worldVolume"] },
]);

/** Words for choices that mean something else in one setting than in the others. */
const OWN_CHOICES = Object.freeze(/** @type {Record<string, WordKey>} */ ({
  "links.off": "choice.plain", "turn.smooth": "choice.smooth", "voice.off": "choice.off",
}));

/** @param {SettingName} name @returns {WordKey} */
export function wordOfSetting(name) {
  if (name === "voice") return "settings.voiceMode";
  return name === "minimapTurns" ? "mini.turn" : `settings.${name}`;
}

/** @param {SettingName} name @param {string} choice @returns {string} the key of its words */
export function wordOfChoice(name, choice) {
  return OWN_CHOICES[`${name}.${choice}`] ?? `choice.${choice}`;
}

/**
 * How a number is shown: parts of one as percent.
 * @param {SettingName} name
 * @param {number} value
 */
export function shownValue(name, value) {
  if (name === "fov" || name === "turnDegrees") return `${value}°`;
  const rule = RULES[name];
  return rule.kind === "number" ? `${Math.round(value * 100)} %` : "";
}
