/**
 * What the person has set, kept in the browser for the next visit.
 *
 * Browsers may refuse to keep anything; then the storage goes on in memory and `isKept` is false,
 * which the page tells once. Name and look are kept here as well, though they are no settings:
 * resetting leaves them alone.
 */

import { Signal } from "../core/signal.js";
import { checked, NAMES, readSettings, RULES, writeSettings } from "../core/settings_rules.js";

/** @typedef {import("../core/settings_rules.js").SettingName} SettingName */
/** @typedef {import("../core/settings_rules.js").SettingValues} SettingValues */
/** @typedef {Pick<Storage, "getItem" | "setItem"> & {readonly isLasting: boolean}} Keeper */

const SETTINGS_KEY = "atrium.settings";
const KEPT_CHARS_MAX = 512;

export class Settings {
  /** @type {SettingValues} */
  values;
  /** @type {Signal<SettingName>} */
  changed = new Signal();
  #storage;

  /** @param {Keeper} storage one that never throws: net/storage.js */
  constructor(storage) {
    this.#storage = storage;
    this.values = readSettings(storage.getItem(SETTINGS_KEY));
  }

  /** Whether what is set will be there at the next visit. */
  get isKept() {
    return this.#storage.isLasting;
  }

  /**
   * @template {SettingName} N
   * @param {N} name
   * @param {SettingValues[N]} value one out of bounds is brought into them
   */
  set(name, value) {
    const next = checked(name, value);
    if (next === this.values[name]) return;
    this.values[name] = next;
    this.#storage.setItem(SETTINGS_KEY, writeSettings(this.values));
    this.changed.fire(name);
  }

  reset() {
    for (const name of NAMES) this.set(name, /** @type {never} */ (RULES[name].initial));
  }

  /** @param {"name" | "look"} what @returns {string} */
  recall(what) {
    return (this.#storage.getItem(`atrium.${what}`) ?? "").slice(0, KEPT_CHARS_MAX);
  }

  /** @param {"name" | "look"} what @param {string} text */
  keep(what, text) {
    this.#storage.setItem(`atrium.${what}`, text.slice(0, KEPT_CHARS_MAX));
  }
}
