/**
 * One hand points at a panel in space: by its ray, or by touching a button with a fingertip.
 *
 * A touch presses once, when the tip goes through the panel; a ray only shows what it would press.
 */

import { Vector3 } from "../../vendor/three.js";
import { rotate } from "../core/quaternion.js";
import { INDEX_TIP } from "./senses.js";

/** @typedef {import("./senses.js").HandSense} HandSense */
/** @typedef {import("./panel.js").SpatialPanel} SpatialPanel */

const TOUCH_M = 0.012;

export class PanelPointer {
  #panel;
  #tip = new Vector3();
  #ahead = new Vector3();
  #turned = new Float64Array(3);
  #isTouching = false;

  /** @param {SpatialPanel} panel */
  constructor(panel) {
    this.#panel = panel;
  }

  /** Once in a frame in which the panel is seen. @param {HandSense} hand */
  point(hand) {
    let hovered = -1;
    if (hand.hasJoints) {
      const m = 16 * INDEX_TIP + 12;
      this.#tip.set(hand.joints[m], hand.joints[m + 1], hand.joints[m + 2]);
      hovered = this.#touch();
    }
    if (hovered < 0 && hand.hasAim) {
      rotate(this.#turned, 0, hand.aim, 3, 0, 0, -1);
      this.#tip.set(hand.aim[0], hand.aim[1], hand.aim[2]);
      hovered = this.#panel.hit(this.#tip, this.#ahead.fromArray(this.#turned));
    }
    if (this.#panel.hover(hovered)) hand.pulse(0.15, 12);
  }

  #touch() {
    const { at, ahead } = this.#panel.touch(this.#tip);
    const isTouching = at >= 0 && Math.abs(ahead) < TOUCH_M;
    if (isTouching && !this.#isTouching) this.#panel.press(at);
    this.#isTouching = isTouching;
    return at >= 0 && Math.abs(ahead) < 5 * TOUCH_M ? at : -1;
  }
}

/**
 * Turns a panel to the head, upright. Both are in the room's own frame.
 * @param {import("../../vendor/three.js").Object3D} mesh
 * @param {Float64Array} head
 */
export function turnToHead(mesh, head) {
  const { x, y, z } = mesh.position;
  const [dx, dy, dz] = [head[0] - x, head[1] - y, head[2] - z];
  mesh.rotation.set(-Math.atan2(dy, Math.hypot(dx, dz)), Math.atan2(dx, dz), 0, "YXZ");
}
