/**
 * The stick under a thumb: where the finger is, as a push of -1..1. Pure.
 *
 * The stick lies where the finger came down. A small dead zone keeps a resting thumb from walking;
 * beyond it the push begins at zero, so that there is no jerk. A finger that goes further than the
 * reach drags the stick after it: turning around needs no way back through the middle.
 */

export const REACH_PX = 56;
const DEAD = 0.14;

export class Stick {
  /** The middle. */
  x = 0;
  y = 0;
  /** From the middle to the finger, pixels, at most the reach. */
  knobX = 0;
  knobY = 0;
  isHeld = false;
  /** What it says, right and down, -1..1. */
  push = { x: 0, y: 0 };

  /** @param {number} x @param {number} y */
  press(x, y) {
    this.isHeld = true;
    this.x = x;
    this.y = y;
    this.#set(0, 0);
  }

  /** @param {number} x @param {number} y */
  move(x, y) {
    if (!this.isHeld) return;
    let [dx, dy] = [x - this.x, y - this.y];
    const length = Math.hypot(dx, dy);
    if (length > REACH_PX) {
      const [unitX, unitY] = [dx / length, dy / length];
      this.x = x - unitX * REACH_PX;
      this.y = y - unitY * REACH_PX;
      [dx, dy] = [unitX * REACH_PX, unitY * REACH_PX];
    }
    this.#set(dx, dy);
  }

  release() {
    this.isHeld = false;
    this.#set(0, 0);
  }

  /** @param {number} dx @param {number} dy */
  #set(dx, dy) {
    this.knobX = dx;
    this.knobY = dy;
    const length = Math.hypot(dx, dy) / REACH_PX;
    const strength = Math.max(0, (length - DEAD) / (1 - DEAD));
    this.push.x = length ? (dx / REACH_PX / length) * strength : 0;
    this.push.y = length ? (dy / REACH_PX / length) * strength : 0;
  }
}

/** Where a finger coming down is one for the stick: the left half, below the title.
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} height
 */
export function isStickArea(x, y, width, height) {
  return x < width / 2 && y > height / 3;
}
