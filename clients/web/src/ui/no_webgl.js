/** What is shown where the world cannot be drawn: why, and the way to the map. */

import { element, make } from "./dom.js";
import { speakAsSet } from "./tone.js";
import { languageChanged, translate, words } from "./words.js";

/** @param {import("../page/settings.js").Settings} settings */
export function showNoWebGl(settings) {
  const say = () => {
    translate(document);
    element("join-error", HTMLElement).textContent = words("join.noWebGl");
    const ways = element("join-ways", HTMLElement);
    ways.replaceChildren(make("a", { text: words("join.map"), attributes: { href: "/map" } }));
    ways.hidden = false;
  };
  languageChanged.add(say);
  speakAsSet(settings);
  say();
  for (const field of document.querySelectorAll("#join :is(input, button, select)")) {
    field.setAttribute("disabled", "");
  }
  const dialog = element("join", HTMLDialogElement);
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
}
