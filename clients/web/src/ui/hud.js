/**
 * The slips at the upper edge: the place and the link on the left, the tools on the right.
 *
 * Buttons say in their label what pressing them does now. What this browser cannot do (a headset, a
 * microphone) has no button; the menu says why.
 */

import { element, setAttribute, setLabel, setText } from "./dom.js";
import { shownNumber, words } from "./words.js";

/** @typedef {import("./ports.js").WorldModel} WorldModel */
/** @typedef {"off" | "listen" | "talk"} Mode */
/**
 * @typedef {object} Presses
 * @property {() => void} safeZone
 * @property {() => void} voice
 * @property {() => void} view
 * @property {() => void} people
 * @property {() => void} build
 * @property {(from: Element) => void} menu
 * @property {(emote: number) => void} emote
 * @property {(mode: "immersive-vr" | "immersive-ar") => void} xr
 */

export class Hud {
  safe = element("safe", HTMLButtonElement);
  voice = element("voice", HTMLButtonElement);
  #level = element("voice-level", HTMLMeterElement);
  #people = element("people-toggle", HTMLButtonElement);
  #state = element("link-state", HTMLElement);

  /** @param {Presses} presses */
  constructor(presses) {
    const on = (/** @type {string} */ id, /** @type {(from: HTMLElement) => void} */ act) => {
      const found = element(id, HTMLButtonElement);
      found.addEventListener("click", () => act(found));
    };
    on("safe", presses.safeZone);
    on("voice", presses.voice);
    on("view", presses.view);
    on("people-toggle", presses.people);
    on("build-toggle", presses.build);
    on("menu-toggle", presses.menu);
    on("enter-vr", () => presses.xr("immersive-vr"));
    on("enter-ar", () => presses.xr("immersive-ar"));
    for (const made of document.querySelectorAll("#emotes [data-emote]")) {
      made.addEventListener("click", () => presses.emote(Number(made.getAttribute("data-emote"))));
    }
  }

  /** @param {string} title */
  place(title) {
    // What somebody wrote keeps its direction to itself.
    document.title = `\u2068${title}\u2069 – Atrium`;
    setText(element("place", HTMLElement), title);
  }

  /**
   * @param {WorldModel} model
   * @param {number} fps pictures per second, 0 where nobody counts
   * @param {number} [retryMs] until the next try, 0 while none is planned
   */
  link(model, fps, retryMs = 0) {
    const isLive = model.state === "live";
    const { quality } = model;
    const level = quality.level(isLive);
    const grade = level >= 3 ? "good" : level === 2 ? "fair" : "poor";
    document.body.dataset.link = model.state;
    document.body.dataset.bars = String(level);
    document.body.dataset.quality = grade;
    // A number that counts down is not worth a voice every second.
    setAttribute(this.#state, "role", retryMs > 0 ? "none" : "status");
    setText(this.#state, isLive ? `${words("link.live")}, ${words(`link.${grade}`)}`
      : retryMs > 0 ? words("link.again", { count: Math.ceil(retryMs / 1000) })
        : words(`link.${model.state}`));
    const isKnown = isLive && !Number.isNaN(quality.rttMs);
    const ms = (/** @type {number} */ value) => (
      isKnown ? words("link.ms", { value: Math.round(value) }) : "–");
    setText(element("round-trip", HTMLElement), ms(quality.rttMs));
    setText(element("jitter", HTMLElement), ms(quality.jitterMs));
    setText(element("lost", HTMLElement),
      isKnown ? `${shownNumber(Math.round(quality.lost * 1000) / 10)} %` : "–");
    setText(element("pictures", HTMLElement),
      fps ? words("link.fps", { value: Math.round(fps) }) : "–");
  }

  /** @param {number} count */
  peopleCount(count) {
    setText(element("people-count", HTMLElement), shownNumber(count));
    setLabel(this.#people, words("tools.people", { count }));
  }

  /** @param {boolean} isOpen */
  peopleOpen(isOpen) {
    setAttribute(this.#people, "aria-expanded", String(isOpen));
  }

  /** @param {boolean} isOn */
  safeZone(isOn) {
    setAttribute(this.safe, "aria-pressed", String(isOn));
  }

  /** @param {Mode | null} mode null where there can be no voice @param {number} level 0..1 */
  voiceState(mode, level) {
    this.voice.hidden = mode === null;
    if (mode === null) return;
    setAttribute(this.voice, "data-mode", mode);
    setAttribute(this.voice, "aria-pressed", String(mode === "talk"));
    setLabel(this.voice, words(mode === "off" ? "tools.voiceOff"
      : mode === "listen" ? "tools.voiceListen" : "tools.voiceTalk"));
    this.#level.value = level;
  }

  /** @param {{vr: boolean, ar: boolean}} can what the browser offers */
  xr({ vr, ar }) {
    element("enter-vr", HTMLButtonElement).hidden = !vr;
    element("enter-ar", HTMLButtonElement).hidden = !ar;
  }

  /** Whether the screen is too small for them. */
  get hidesEmotes() {
    return getComputedStyle(element("emotes", HTMLElement)).display === "none";
  }

  /** @param {boolean} may */
  mayBuild(may) {
    element("build-toggle", HTMLButtonElement).hidden = !may;
  }
}
