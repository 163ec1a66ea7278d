/**
 * A box that is dragged over the picture: whose middle is in it is selected.
 *
 * It begins with Ctrl (or the command key), or with any press while its tool is chosen, and is an
 * element of the page, so that it is drawn by the browser.
 */

import { Vector3 } from "../../vendor/three.js";
import { isInBox } from "../core/build_math.js";
import { make } from "../ui/dom.js";

/**
 * @typedef {object} BoxOptions
 * @property {HTMLCanvasElement} canvas
 * @property {import("../../vendor/three.js").Camera} camera
 * @property {import("../core/props.js").PropStore} store
 * @property {() => boolean} mayBegin
 * @property {(keys: string[], more: boolean) => void} chosen
 */

const SMALL_PX = 5;
const FAR_M = 80;

export class BoxSelect {
  /** Whether each press begins a box. */
  isTool = false;
  isDragging = false;
  #options;
  #shown = make("div", { class: "build-box" });
  #start = { x: 0, y: 0 };
  #now = { x: 0, y: 0 };
  #at = new Float64Array(10);
  #point = new Vector3();
  #eye = new Vector3();

  /** @param {BoxOptions} options */
  constructor(options) {
    this.#options = options;
    const { canvas } = options;
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#end(event));
    canvas.addEventListener("pointercancel", () => this.stop());
  }

  /** A press on the canvas: whether it begins a box. @param {PointerEvent} event */
  begins(event) {
    const wanted = this.isTool || event.ctrlKey || event.metaKey;
    if (!wanted || event.button !== 0 || !this.#options.mayBegin()) return false;
    this.isDragging = true;
    this.#start = { x: event.offsetX, y: event.offsetY };
    this.#now = this.#start;
    return true;
  }

  /** @param {PointerEvent} event */
  #move({ offsetX: x, offsetY: y }) {
    if (!this.isDragging) return;
    this.#now = { x, y };
    if (!this.#isLarge) return;
    const { canvas } = this.#options;
    const { left, top } = canvas.getBoundingClientRect();
    Object.assign(this.#shown.style, {
      left: `${left + Math.min(x, this.#start.x)}px`, top: `${top + Math.min(y, this.#start.y)}px`,
      width: `${Math.abs(x - this.#start.x)}px`, height: `${Math.abs(y - this.#start.y)}px` });
    if (!this.#shown.isConnected) document.body.append(this.#shown);
  }

  get #isLarge() {
    return Math.hypot(this.#now.x - this.#start.x, this.#now.y - this.#start.y) > SMALL_PX;
  }

  /** @param {PointerEvent} event */
  #end(event) {
    if (!this.isDragging) return;
    const isLarge = this.#isLarge;
    this.stop();
    if (isLarge) this.#options.chosen(this.#within(), event.shiftKey);
  }

  stop() {
    this.isDragging = false;
    this.#shown.remove();
  }

  /** Outermost props in the box, the nearest first. */
  #within() {
    const { store, camera, canvas } = this.#options;
    const eye = this.#eye.setFromMatrixPosition(camera.matrixWorld);
    /** @type {{key: string, away: number}[]} */
    const found = [];
    for (const { key, group } of store.props.values()) {
      if (group || !store.shownTransformOf(key, this.#at)) continue;
      const away = this.#point.fromArray(this.#at).distanceTo(eye);
      const { x, y, z } = this.#point.project(camera);
      const at = { x: ((x + 1) / 2) * canvas.clientWidth, y: ((1 - y) / 2) * canvas.clientHeight };
      if (z < 1 && away < FAR_M && isInBox(at, this.#start, this.#now)) found.push({ key, away });
    }
    return found.sort((a, b) => a.away - b.away).map(({ key }) => key);
  }
}
