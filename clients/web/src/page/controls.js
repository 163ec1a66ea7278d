/**
 * Keys, mouse and fingers on the canvas, turned into pushes, turns and commands.
 *
 * What a key means is in core/input_map; a field of text that has the focus keeps its keys. A drag
 * turns the view, a click that is none does what lies there. On touch the left half is a stick and
 * the right half turns; who draws the stick reads `stick`.
 */

import { HELD_KEYS, PRESSED_KEYS, pushOf } from "../core/input_map.js";

/** @typedef {import("../core/predict.js").Push} Push */
/**
 * @typedef {object} Wishes
 * @property {(dx: number, dy: number) => void} turn radians
 * @property {(factor: number) => void} zoom
 * @property {(x: number, y: number, event: PointerEvent) => void} click CSS pixels on the canvas
 * @property {(x: number, y: number) => void} menu the same, for the other button or a long press
 * @property {(command: string) => void} command a name of input_map
 */

const CLICK_PX = 6;
const TURN_RAD_PER_PX = 0.0042;
const KEY_TURN_RAD_PER_S = 2.2;
const STICK_PX = 56;
const LONG_PRESS_MS = 550;

export class Controls {
  /** Of a finger or a gamepad, -1..1, right and down. */
  stick = { x: 0, y: 0 };
  mouseSpeed = 1;
  invertY = false;
  /** @type {Set<string>} */
  #held = new Set();
  /** @type {Map<number, {x: number, y: number, startX: number, startY: number, isStick: boolean,
   *   moved: boolean, timer: ReturnType<typeof setTimeout> | undefined}>} */
  #pointers = new Map();
  /** @type {Push} */
  #push = { east: 0, south: 0, run: false };
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
    window.addEventListener("keyup", (event) => this.#held.delete(HELD_KEYS.get(event.code) ?? ""));
    window.addEventListener("blur", () => this.#held.clear());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      wishes.zoom(Math.exp(event.deltaY * (event.deltaMode ? 0.05 : 0.0015)));
    }, { passive: false });
    canvas.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      wishes.menu(event.offsetX, event.offsetY);
    });
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#release(event, true));
    canvas.addEventListener("pointercancel", (event) => this.#release(event, false));
  }

  /** How the person wants to move now. @param {number} cameraYaw */
  push(cameraYaw) {
    return pushOf(this.#held, this.stick, cameraYaw, this.#push);
  }

  /** Turns by keys. @param {number} dt */
  step(dt) {
    const turn = Number(this.#held.has("turnLeft")) - Number(this.#held.has("turnRight"));
    if (turn) this.#wishes.turn(turn * KEY_TURN_RAD_PER_S * dt, 0);
  }

  /** @param {KeyboardEvent} event */
  #down(event) {
    if (isField(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    const held = HELD_KEYS.get(event.code);
    const command = PRESSED_KEYS.get(event.code);
    // A button that has the focus keeps the keys that press it, and a list those that scroll it.
    const presses = event.code === "Enter" || event.code === "Space"
      || (event.code.startsWith("Arrow") && scrolls(event.target));
    if (presses && event.target !== this.#canvas && event.target !== document.body) return;
    if (held) this.#held.add(held);
    else if (command && !event.repeat) this.#wishes.command(command);
    else return;
    event.preventDefault();
  }

  /** @param {PointerEvent} event */
  #press(event) {
    this.#canvas.focus({ preventScroll: true });
    this.#canvas.setPointerCapture(event.pointerId);
    const { offsetX: x, offsetY: y } = event;
    const isTouch = event.pointerType === "touch";
    const isStick = isTouch && x < this.#canvas.clientWidth / 2
      && y > this.#canvas.clientHeight / 3;
    const timer = isTouch ? setTimeout(() => this.#longPress(event.pointerId), LONG_PRESS_MS)
      : undefined;
    this.#pointers.set(event.pointerId,
      { x, y, startX: x, startY: y, isStick, moved: false, timer });
  }

  /** @param {number} id */
  #longPress(id) {
    const held = this.#pointers.get(id);
    if (!held || held.moved) return;
    held.moved = true; // and so no click
    this.#wishes.menu(held.x, held.y);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const held = this.#pointers.get(event.pointerId);
    if (!held) return;
    const { offsetX: x, offsetY: y } = event;
    const [dx, dy] = [x - held.x, y - held.y];
    [held.x, held.y] = [x, y];
    held.moved ||= Math.hypot(x - held.startX, y - held.startY) > CLICK_PX;
    if (!held.moved) return;
    if (held.isStick) {
      const [sx, sy] = [(x - held.startX) / STICK_PX, (y - held.startY) / STICK_PX];
      const length = Math.max(1, Math.hypot(sx, sy));
      this.stick.x = sx / length;
      this.stick.y = sy / length;
    } else {
      const speed = TURN_RAD_PER_PX * this.mouseSpeed;
      this.#wishes.turn(-dx * speed, (this.invertY ? dy : -dy) * speed);
    }
  }

  /** @param {PointerEvent} event @param {boolean} clicks */
  #release(event, clicks) {
    const held = this.#pointers.get(event.pointerId);
    if (!held) return;
    clearTimeout(held.timer);
    this.#pointers.delete(event.pointerId);
    if (held.isStick) this.stick.x = this.stick.y = 0;
    if (clicks && !held.moved && event.button === 0) {
      this.#wishes.click(event.offsetX, event.offsetY, event);
    }
  }
}

/** @param {EventTarget | null} target */
function scrolls(target) {
  return target instanceof HTMLElement && target.scrollHeight > target.clientHeight + 1
    && target.tabIndex === 0 && !(target instanceof HTMLButtonElement);
}

/** @param {EventTarget | null} target */
function isField(target) {
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement
    || target instanceof HTMLTextAreaElement
    || (target instanceof HTMLElement && target.closest("dialog") !== null);
}
