/**
 * The stick on the screen for a thumb, drawn where the finger came down.
 *
 * It listens beside whoever turns the view: a finger that comes down on the left half is the
 * stick's, all others are not looked at. The part that computes is in stick.js.
 */

import { drawn, element } from "./dom.js";
import { isStickArea, REACH_PX, Stick } from "./stick.js";

export class TouchStick {
  #box = element("touch", HTMLElement);
  #knob = drawn("circle", { class: "knob", cx: "0", cy: "0", r: "24" });
  #picture = drawn("svg", { viewBox: "-80 -80 160 160" },
    drawn("circle", { cx: "0", cy: "0", r: String(REACH_PX) }), this.#knob);
  #stick = new Stick();
  #finger = -1;
  #pushed;

  /**
   * @param {HTMLElement} surface
   * @param {(x: number, y: number) => void} pushed right and down, -1..1
   */
  constructor(surface, pushed) {
    this.#pushed = pushed;
    this.#box.append(this.#picture);
    surface.addEventListener("pointerdown", (event) => {
      const { pointerType, offsetX, offsetY } = event;
      if (pointerType !== "touch" || this.#stick.isHeld) return;
      if (!isStickArea(offsetX, offsetY, surface.clientWidth, surface.clientHeight)) return;
      this.#finger = event.pointerId;
      this.#stick.press(offsetX, offsetY);
      this.#show();
    });
    surface.addEventListener("pointermove", (event) => {
      if (event.pointerId !== this.#finger) return;
      this.#stick.move(event.offsetX, event.offsetY);
      this.#show();
    });
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
      surface.addEventListener(end, (event) => this.#ended(event.pointerId));
    }
  }

  /** @param {number} finger */
  #ended(finger) {
    if (finger !== this.#finger) return;
    this.#finger = -1;
    this.#stick.release();
    this.#show();
  }

  #show() {
    const { x, y, knobX, knobY, isHeld, push } = this.#stick;
    this.#box.hidden = !isHeld;
    this.#picture.style.setProperty("left", `${x}px`);
    this.#picture.style.setProperty("top", `${y}px`);
    this.#knob.setAttribute("cx", String(knobX));
    this.#knob.setAttribute("cy", String(knobY));
    this.#pushed(push.x, push.y);
  }
}
