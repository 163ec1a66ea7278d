/**
 * The words of the page in the language of the person: phrases, plurals, numbers and times.
 *
 * `words(key)` gives a phrase, `translate(root)` fills the static page: an element names its phrase
 * in `data-words`, and that of an attribute in `data-words-label` (aria-label and title),
 * `data-words-placeholder`. When the language changes, `languageChanged` tells those who made
 * their texts themselves. English is always there; another language is fetched when somebody
 * speaks it, and where it cannot be the page stays in the one that it has.
 */

import { Signal } from "../core/signal.js";
import { en } from "../lang/en.js";

/** @typedef {import("../lang/en.js").WordKey} WordKey */
/** @typedef {import("../lang/en.js").Phrase} Phrase */
/** @typedef {"en" | "zh"} Language */
/** @typedef {Record<string, string | number>} Values */

/** Those that are there. @type {Partial<Record<Language, Record<WordKey, Phrase>>>} */
const languages = { en };
const NAMES = Object.freeze({ en: "English", zh: "中文" });
const TAGS = Object.freeze({ en: "en", zh: "zh-Hans" });

/** @type {Language} */
let language = "en";
/** @type {Language} */
let wanted = "en";
let plurals = new Intl.PluralRules("en");
let numbers = new Intl.NumberFormat("en");
let times = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit" });
let lists = new Intl.ListFormat("en");

/** @type {Signal<Language>} */
export const languageChanged = new Signal();

/**
 * The language to speak: the chosen one, or the first of the browser's that there is.
 * @param {string} chosen "auto" or one of the languages
 * @param {readonly string[]} preferred the browser's, best first
 * @returns {Language}
 */
export function languageOf(chosen, preferred) {
  if (chosen === "en" || chosen === "zh") return chosen;
  for (const tag of preferred) {
    const base = tag.toLowerCase().split("-")[0];
    if (base === "en" || base === "zh") return base;
  }
  return "en";
}

/**
 * Rejects when the language cannot be fetched.
 * @param {Language} next
 */
export async function speak(next) {
  wanted = next;
  if (!languages[next]) languages[next] = (await import("../lang/zh.js")).zh;
  if (wanted !== next) return; // another one was chosen in the meantime
  language = next;
  const tag = TAGS[next];
  plurals = new Intl.PluralRules(tag);
  numbers = new Intl.NumberFormat(tag, { maximumFractionDigits: 1 });
  times = new Intl.DateTimeFormat(tag, { hour: "2-digit", minute: "2-digit" });
  lists = new Intl.ListFormat(tag);
  languageChanged.fire(next);
}

/** What goes into the `lang` of the page. */
export function languageTag() {
  return TAGS[language];
}

/**
 * @param {WordKey} key
 * @param {Values} [values] what is filled in; `count` decides the plural
 */
export function words(key, values = {}) {
  /** @type {Phrase} */
  const phrase = (languages[language] ?? en)[key];
  return fill(phrase, values);
}

/** @param {Phrase} phrase @param {Values} values */
function fill(phrase, values) {
  const form = typeof phrase === "string" ? phrase
    : phrase[plurals.select(Number(values.count))] ?? phrase.other ?? "";
  return form.replace(/\{(\w+)\}/g, (whole, name) => {
    if (!Object.hasOwn(values, name)) return whole;
    const value = values[name];
    return typeof value === "number" ? numbers.format(value) : value;
  });
}

/** Whether there is a phrase of that key. @param {string} key @returns {key is WordKey} */
export function isWord(key) {
  return Object.hasOwn(en, key);
}

/** A phrase by a key that was put together. @param {string} key @param {Values} [values] */
export function wordsOf(key, values) {
  return isWord(key) ? words(key, values) : "";
}

/** The name of a language in itself. @param {Language} which */
export function languageName(which) {
  return NAMES[which];
}

/** @param {number} value */
export function shownNumber(value) {
  return numbers.format(value);
}

/** Hour and minute. @param {number} epochMs */
export function shownTime(epochMs) {
  return times.format(epochMs);
}

/** "a, b and c". @param {string[]} items */
export function shownList(items) {
  return lists.format(items);
}

/** Fills what the static page names. @param {ParentNode} root */
export function translate(root) {
  for (const item of root.querySelectorAll("[data-words]")) {
    item.textContent = wordsOf(item.getAttribute("data-words") ?? "");
  }
  for (const item of root.querySelectorAll("[data-words-label]")) {
    const label = wordsOf(item.getAttribute("data-words-label") ?? "", { count: 0 });
    item.setAttribute("aria-label", label);
    if (item instanceof HTMLButtonElement) item.title = label;
  }
  for (const item of root.querySelectorAll("[data-words-placeholder]")) {
    const key = item.getAttribute("data-words-placeholder") ?? "";
    item.setAttribute("placeholder", wordsOf(key));
  }
}
