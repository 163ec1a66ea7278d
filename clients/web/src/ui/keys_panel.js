/** The panel that lists the keys. */

import { make } from "./dom.js";
import { words, wordsOf } from "./words.js";

/** @typedef {import("./words.js").WordKey} WordKey */

/** What is pressed, with `|` between keys and a name of a phrase in braces; and what it does. */
const KEYS = Object.freeze(/** @type {[string, WordKey][]} */ ([
  ["W|A|S|D|{key.arrows}", "keys.walk"], ["{key.shift}", "keys.run"], ["{key.space}", "keys.jump"],
  ["{key.click}", "keys.click"], ["{key.enter}", "keys.talk"], ["1|2|3|4", "keys.emote"],
  ["V", "keys.view"], ["Z", "keys.safe"], ["N", "keys.voice"], ["C", "keys.pushToTalk"],
  ["P", "keys.people"], ["I", "keys.around"], ["M", "keys.map"], ["B", "keys.build"],
  ["O", "menu.settings"], ["F1", "keys.keys"],
]));

/** @type {import("./panel.js").Content} */
export const keysPanel = Object.freeze({
  title: /** @type {WordKey} */ ("keys.heading"),
  fill: (/** @type {HTMLElement} */ body) => {
    const list = make("dl", { class: "keys" });
    for (const [keys, does] of KEYS) {
      const caps = keys.split("|").map((key) => make("kbd", { text: shownKey(key) }));
      list.append(make("dt", {}, ...caps), make("dd", { text: words(does) }));
    }
    body.append(list);
  },
});

/** @param {string} key */
export function shownKey(key) {
  return key.startsWith("{") ? wordsOf(key.slice(1, -1)) : key;
}
