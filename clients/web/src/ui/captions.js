/** What is said near, as a caption at the lower edge, for the time that reading it takes. */

import { element, foreign } from "./dom.js";

/** @typedef {import("./ports.js").ChatLine} ChatLine */

const READ_MS_MIN = 2_500;
const READ_MS_PER_CHAR = 65;

export class Captions {
  isOn = false;
  #box = element("caption", HTMLElement);
  #untilMs = 0;

  /** @param {ChatLine} line @param {number} nowMs */
  show(line, nowMs) {
    if (!this.isOn) return;
    this.#box.replaceChildren(foreign(line.senderName), ": ", foreign(line.text, "text"));
    this.#box.hidden = false;
    this.#untilMs = nowMs + Math.max(READ_MS_MIN, line.text.length * READ_MS_PER_CHAR);
  }

  /** @param {number} nowMs */
  step(nowMs) {
    if (nowMs > this.#untilMs || !this.isOn) this.#box.hidden = true;
  }
}
