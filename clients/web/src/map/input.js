/**
 * Keys, pointer and wheel, turned into what the person wants.
 *
 * Keys are read by their place on the keyboard (`code`), so that W A S D works on every layout.
 * While a field of text has the focus, keys belong to it.
 */

/** @typedef {import("../core/predict.js").Push} Push */
/**
 * @typedef {object} Wishes
 * @property {(x: number, y: number, jump: boolean) => void} go a click, CSS pixels on the canvas
 * @property {(x: number, y: number) => void} look
 * @property {(factor: number) => void} zoom
 * @property {(emote: number) => void} emote
 * @property {() => void} talk
 */

const STEPS = new Map([
  ["ArrowUp", "north"], ["KeyW", "north"], ["ArrowDown", "south"], ["KeyS", "south"],
  ["ArrowLeft", "west"], ["KeyA", "west"], ["ArrowRight", "east"], ["KeyD", "east"],
]);
const TAP_PX = 10;
const EMOTE_KEY = /^(?:Digit|Numpad)([1-4])$/;

export class Input {
  #held = new Set();
  #run = false;
  /** @type {Map<number, {x: number, y: number, startX: number, startY: number}>} */
  #pointers = new Map();
  #pinched = false;
  #canvas;
  #wishes;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Wishes} wishes
   */
  constructor(canvas, wishes) {
    this.#canvas = canvas;
    this.#wishes = wishes;
    window.addEventListener("keydown", (event) => this.#down(event));
    window.addEventListener("keyup", (event) => {
      this.#held.delete(event.code);
      this.#run = event.shiftKey;
    });
    window.addEventListener("blur", () => this.#held.clear());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      wishes.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.04 : 0.0016)));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#release(event));
    canvas.addEventListener("pointercancel", (event) => this.#pointers.delete(event.pointerId));
  }

  /** @returns {Push} */
  push() {
    const wanted = new Set([...this.#held].map((code) => STEPS.get(code)));
    return {
      east: Number(wanted.has("east")) - Number(wanted.has("west")),
      south: Number(wanted.has("south")) - Number(wanted.has("north")),
      run: this.#run,
    };
  }

  /** @param {KeyboardEvent} event */
  #down(event) {
    this.#run = event.shiftKey;
    if (isField(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    const emote = EMOTE_KEY.exec(event.code);
    if (STEPS.has(event.code)) this.#held.add(event.code);
    else if (emote) this.#wishes.emote(Number(emote[1]) - 1);
    else if (event.key === "+" || event.key === "=") this.#wishes.zoom(1.25);
    else if (event.key === "-") this.#wishes.zoom(0.8);
    else if (event.key === "Enter" && event.target === this.#canvas) this.#wishes.talk();
    else return;
    event.preventDefault();
  }

  /** @param {PointerEvent} event */
  #press(event) {
    this.#canvas.setPointerCapture(event.pointerId);
    const { offsetX: x, offsetY: y } = event;
    this.#pointers.set(event.pointerId, { x, y, startX: x, startY: y });
    if (this.#pointers.size > 1) this.#pinched = true;
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const held = this.#pointers.get(event.pointerId);
    if (held && this.#pointers.size === 2) {
      const before = this.#spread();
      [held.x, held.y] = [event.offsetX, event.offsetY];
      if (before > 0) this.#wishes.zoom(this.#spread() / before);
    } else if (event.pointerType === "mouse") this.#wishes.look(event.offsetX, event.offsetY);
  }

  /** Distance of the two fingers. */
  #spread() {
    const [a, b] = [...this.#pointers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  }

  /** @param {PointerEvent} event */
  #release(event) {
    const held = this.#pointers.get(event.pointerId);
    this.#pointers.delete(event.pointerId);
    const tapped = held && !this.#pinched && event.button === 0
      && Math.hypot(event.offsetX - held.startX, event.offsetY - held.startY) < TAP_PX;
    if (!this.#pointers.size) this.#pinched = false;
    if (tapped) this.#wishes.go(event.offsetX, event.offsetY, event.shiftKey);
  }
}

/** @param {EventTarget | null} target */
function isField(target) {
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement
    || (target instanceof HTMLElement && target.closest("dialog") !== null);
}
