/**
 * Questions that must be answered before all else, as native dialogs.
 *
 * The browser keeps the focus inside and gives it back afterwards, and Escape means no. A dialog is
 * made when it is asked and removed when it is answered.
 */

import { make } from "./dom.js";
import { words } from "./words.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {(Node | string)[]} content
 * @property {string} yes what the button says that does it
 * @property {boolean} [isGrave] it takes something away
 */

/**
 * @param {Question} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, content, yes, isGrave = false }) {
  const heading = make("h2", { text: title, attributes: { id: "dialog-heading", dir: "auto" } });
  const kind = isGrave ? "do main grave" : "do main";
  const no = make("button", { class: "do", text: words("dialog.cancel"),
    attributes: { type: "submit", value: "", formnovalidate: "" } });
  const ends = make("p", { class: "ends" }, no,
    make("button", { class: kind, text: yes, attributes: { type: "submit", value: "yes" } }));
  const parts = content.map((part) => (
    typeof part === "string" ? make("p", { text: part, attributes: { dir: "auto" } }) : part));
  const form = make("form", { attributes: { method: "dialog" } }, heading, ...parts, ends);
  const dialog = make("dialog", { attributes: { "aria-labelledby": "dialog-heading" } }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    // Keys of a dialog are its own: the world must not walk meanwhile.
    dialog.addEventListener("keydown", (event) => event.stopPropagation());
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    });
    dialog.showModal();
  });
}

/** Whether something is asked just now. */
export function isAsking() {
  return document.querySelector("dialog[open]") !== null;
}
