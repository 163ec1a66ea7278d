/** The panel of settings, made from their description; each works as soon as it is changed. */

import { RULES } from "../core/settings_rules.js";
import { ask } from "./dialogs.js";
import { button, make } from "./dom.js";
import { GROUPS, shownValue, wordOfChoice, wordOfSetting } from "./settings_fields.js";
import { languageName, words, wordsOf } from "./words.js";

/** @typedef {import("../core/settings_rules.js").SettingName} SettingName */
/** @typedef {import("../page/settings.js").Settings} Settings */

/**
 * @param {Settings} settings
 * @returns {import("./panel.js").Content}
 */
export function settingsPanel(settings) {
  return { title: "settings.heading", fill: (body) => fillSettings(body, settings) };
}

/** @param {HTMLElement} body @param {Settings} settings */
function fillSettings(body, settings) {
  if (!settings.isKept) body.append(make("p", { class: "hint", text: words("join.storage") }));
  for (const { title, names } of GROUPS) {
    body.append(make("h3", { text: words(title) }));
    for (const name of names) body.append(field(name, settings));
  }
  const reset = button(words("settings.reset"), () => void askReset(settings, body), "do grave");
  body.append(make("p", { class: "row" }, reset));
}

/** @param {Settings} settings @param {HTMLElement} body */
async function askReset(settings, body) {
  const isSure = await ask({ title: words("settings.resetTitle"),
    content: [words("settings.resetText")], yes: words("settings.reset"), isGrave: true });
  if (!isSure) return;
  settings.reset();
  body.replaceChildren();
  fillSettings(body, settings);
}

/** @param {SettingName} name @param {Settings} settings */
function field(name, settings) {
  const label = make("label", { text: words(wordOfSetting(name)),
    attributes: { for: `setting-${name}` } });
  const row = make("div", { class: "row field" }, label);
  const rule = RULES[name];
  if (rule.kind === "choice") row.append(choiceField(name, rule.choices, settings));
  else if (rule.kind === "switch") row.append(switchField(name, settings));
  else row.append(...numberField(name, rule, settings));
  return row;
}

/** @param {Settings} settings @param {SettingName} name @param {unknown} value */
function set(settings, name, value) {
  settings.set(name, /** @type {never} */ (value));
}

/** @param {SettingName} name @param {readonly string[]} choices @param {Settings} settings */
function choiceField(name, choices, settings) {
  const select = make("select", { attributes: { id: `setting-${name}` } });
  for (const choice of choices) {
    const text = choice === "en" || choice === "zh" ? languageName(choice)
      : wordsOf(wordOfChoice(name, choice));
    select.append(make("option", { text, attributes: { value: choice } }));
  }
  select.value = String(settings.values[name]);
  select.addEventListener("change", () => set(settings, name, select.value));
  return select;
}

/** @param {SettingName} name @param {Settings} settings */
function switchField(name, settings) {
  const box = make("input", { attributes: { id: `setting-${name}`, type: "checkbox",
    role: "switch" } });
  box.checked = settings.values[name] === true;
  box.addEventListener("change", () => set(settings, name, box.checked));
  return box;
}

/**
 * @param {SettingName} name
 * @param {{min: number, max: number, step: number}} rule
 * @param {Settings} settings
 */
function numberField(name, { min, max, step }, settings) {
  const slider = make("input", { attributes: { id: `setting-${name}`, type: "range",
    min: String(min), max: String(max), step: String(step) } });
  const shown = make("output", { attributes: { for: `setting-${name}` } });
  const show = () => {
    shown.textContent = shownValue(name, Number(settings.values[name]));
    slider.setAttribute("aria-valuetext", shown.textContent);
  };
  slider.value = String(settings.values[name]);
  slider.addEventListener("input", () => {
    set(settings, name, Number(slider.value));
    show();
  });
  show();
  return [slider, shown];
}
