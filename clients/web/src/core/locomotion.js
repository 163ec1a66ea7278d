/**
 * Moving in a headset: what sticks mean, how the body follows the head, how comfort is kept. Pure.
 *
 * A body has no sensor of its own: it faces where the head faces, but for small turns of the head,
 * which turn the neck only. Turns by a stick are steps, one for each push. The faster the picture
 * moves without the body, the more of its edge is covered.
 */

import { shortestArc } from "./view.js";

const NECK_RAD = 0.55;
const TORSO_PER_S = 5;
const STICK_DEAD = 0.2;
const SNAP_ON = 0.7;
const SNAP_OFF = 0.4;
const FULL_SPEED_M_PER_S = 3;
const FULL_TURN_RAD_PER_S = 2;
const VIGNETTE_PER_S = 6;
const THROW_S = 0.1;
const THROW_KEPT = 16;
const BOUNDARY_M = 0.6;
const FACE_M = 0.08;

/**
 * A stick without its dead middle, 0 or -1..1.
 * @param {number} value
 */
export function deadened(value) {
  const size = Math.abs(value);
  return size < STICK_DEAD ? 0 : (Math.sign(value) * (size - STICK_DEAD)) / (1 - STICK_DEAD);
}

/**
 * The yaw of a body whose head looks to `headYaw`, `dt` seconds later.
 * @param {number} torsoYaw
 * @param {number} headYaw
 * @param {number} dt
 */
export function followHead(torsoYaw, headYaw, dt) {
  const off = shortestArc(headYaw - torsoYaw);
  const over = Math.abs(off) - NECK_RAD;
  if (over <= 0) return torsoYaw;
  return shortestArc(torsoYaw + Math.sign(off) * over * (1 - Math.exp(-TORSO_PER_S * dt)));
}

/** One step for each push of a stick to the side. */
export class SnapStick {
  #isPushed = false;

  /**
   * @param {number} x of the stick, right is positive
   * @returns {-1 | 0 | 1} 1 is a step to the left, as a positive yaw
   */
  step(x) {
    if (this.#isPushed) {
      if (Math.abs(x) < SNAP_OFF) this.#isPushed = false;
      return 0;
    }
    if (Math.abs(x) < SNAP_ON) return 0;
    this.#isPushed = true;
    return x > 0 ? -1 : 1;
  }
}

/**
 * How much of the edge is covered, 0..1, `dt` seconds later.
 * @param {number} now
 * @param {{speed: number, turn: number, strength: number, dt: number}} motion metres and radians
 *   per second that the body does not make itself; `strength` 0..1 is the person's setting
 */
export function vignette(now, { speed, turn, strength, dt }) {
  const wanted = strength * Math.min(1, Math.max(speed / FULL_SPEED_M_PER_S,
    Math.abs(turn) / FULL_TURN_RAD_PER_S));
  return now + (wanted - now) * (1 - Math.exp(-VIGNETTE_PER_S * dt));
}

/** How fast a hand moved when it let go: over its last tenth of a second. */
export class ThrowHistory {
  #points = new Float64Array(THROW_KEPT * 4);
  #count = 0;

  /** @param {number} seconds @param {ArrayLike<number>} at x, y, z */
  add(seconds, at) {
    const slot = (this.#count++ % THROW_KEPT) * 4;
    this.#points[slot] = seconds;
    for (let k = 0; k < 3; k++) this.#points[slot + 1 + k] = at[k];
  }

  clear() {
    this.#count = 0;
  }

  /** @returns {number[]} metres per second; nothing when it was not seen for long enough */
  velocity() {
    const kept = Math.min(this.#count, THROW_KEPT);
    if (kept < 2) return [0, 0, 0];
    const last = ((this.#count - 1) % THROW_KEPT) * 4;
    let first = last;
    for (let back = 1; back < kept; back++) {
      const slot = ((this.#count - 1 - back) % THROW_KEPT) * 4;
      if (this.#points[last] - this.#points[slot] > THROW_S) break;
      first = slot;
    }
    const dt = this.#points[last] - this.#points[first];
    if (dt <= 0.005) return [0, 0, 0];
    return [1, 2, 3].map((k) => (this.#points[last + k] - this.#points[first + k]) / dt);
  }
}

/**
 * A push without its part that leads nearer to somebody who is within the personal boundary.
 * @param {{east: number, south: number}} push changed in place
 * @param {number} dx to the other, metres east
 * @param {number} dz metres south
 * @returns {boolean} whether that one is within it
 */
export function keepDistance(push, dx, dz) {
  const away = Math.hypot(dx, dz);
  if (away > BOUNDARY_M || away < 1e-6) return away <= BOUNDARY_M;
  const towards = (push.east * dx + push.south * dz) / away;
  if (towards > 0) {
    push.east -= (towards * dx) / away;
    push.south -= (towards * dz) / away;
  }
  return true;
}

/**
 * Whether a head is inside of something, where it sees through walls.
 * @param {import("./scene.js").Scene} scene
 * @param {number} x
 * @param {number} y
 * @param {number} z
 */
export function isInside(scene, x, y, z) {
  for (const each of scene.cylinders) {
    if (y > each.bottom && y < each.top
      && Math.hypot(x - each.x, z - each.z) < each.radius + FACE_M) return true;
  }
  for (const boxes of [scene.boxes, scene.moreBoxes]) {
    for (const box of boxes) {
      if (y < box.bottom || y > box.top) continue;
      const [cos, sin] = [Math.cos(box.yaw), Math.sin(box.yaw)];
      const [dx, dz] = [x - box.x, z - box.z];
      if (Math.abs(dx * cos - dz * sin) < box.wide / 2 + FACE_M
        && Math.abs(dx * sin + dz * cos) < box.deep / 2 + FACE_M) return true;
    }
  }
  return false;
}
