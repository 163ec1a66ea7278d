/**
 * Where a throw of light lands: the arc by which one points at a place to jump to. Pure.
 *
 * The arc is a parabola from the hand, cut into short straight pieces, each of which is tried
 * against the scene's solids. One may jump where it meets ground that is not too far and has room
 * for a body.
 */

import { castRay } from "./rays.js";
import { standAt } from "./scene.js";

/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {import("./rays.js").Vector} Vector */

const SPEED_M_PER_S = 8.5;
const GRAVITY_M_PER_S2 = 9.81;
const PIECE_S = 0.06;
export const PIECES_MAX = 40;
const ROOM_M = 0.35;

export class TeleportArc {
  /** Corners of the arc, three numbers each; the first `count` count. */
  points = new Float32Array((PIECES_MAX + 1) * 3);
  count = 0;
  /** Whether one may jump to `landing`. */
  isValid = false;
  /** @type {Vector} */
  landing = { x: 0, y: 0, z: 0 };
  #at = { x: 0, y: 0, z: 0 };
  #along = { x: 0, y: 0, z: 0 };

  /**
   * @param {Scene} scene
   * @param {Vector} hand
   * @param {Vector} direction of length 1
   * @param {Vector} body where one stands
   */
  cast(scene, hand, direction, body) {
    const velocity = { x: direction.x * SPEED_M_PER_S, y: direction.y * SPEED_M_PER_S,
      z: direction.z * SPEED_M_PER_S };
    Object.assign(this.#at, hand);
    this.count = 0;
    this.isValid = false;
    this.#add();
    for (let piece = 0; piece < PIECES_MAX; piece++) {
      const [dx, dy, dz] = [velocity.x * PIECE_S,
        velocity.y * PIECE_S - (GRAVITY_M_PER_S2 * PIECE_S * PIECE_S) / 2, velocity.z * PIECE_S];
      const length = Math.hypot(dx, dy, dz);
      this.#along.x = dx / length;
      this.#along.y = dy / length;
      this.#along.z = dz / length;
      const { distance, isGround } = castRay(scene, this.#at, this.#along);
      const reached = Math.min(distance, length);
      this.#at.x += this.#along.x * reached;
      this.#at.y += this.#along.y * reached;
      this.#at.z += this.#along.z * reached;
      this.#add();
      if (distance <= length) return this.#land(scene, isGround, body);
      velocity.y -= GRAVITY_M_PER_S2 * PIECE_S;
    }
  }

  #add() {
    const at = 3 * this.count++;
    this.points[at] = this.#at.x;
    this.points[at + 1] = this.#at.y;
    this.points[at + 2] = this.#at.z;
  }

  /** @param {Scene} scene @param {boolean} isGround @param {Vector} body */
  #land(scene, isGround, body) {
    Object.assign(this.landing, this.#at);
    const away = Math.hypot(this.#at.x - body.x, this.#at.y - body.y, this.#at.z - body.z);
    if (!isGround || away > scene.movement.teleportRange) return;
    const free = standAt(scene, this.#at.x, this.#at.z, this.#at.y);
    const moved = Math.hypot(free.x - this.#at.x, free.z - this.#at.z);
    if (moved > ROOM_M || Math.abs(free.y - this.#at.y) > ROOM_M) return;
    Object.assign(this.landing, free);
    this.isValid = true;
  }
}
