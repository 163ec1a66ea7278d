/**
 * Fingers: from the curls or joints that were tracked, or at ease.
 *
 * A hand has fifteen joints here, three of each finger from the thumb to the little one, each
 * turned in the frame of the one before. At rest fingers point along sign * x with the palm down
 * (sign 1: right), so a finger bends about sign * -z. A thumb lies across, and bends about an axis
 * of its own. Joints arrive as 25 rotations of WebXR, all in one frame; only how each is turned
 * from the one before counts, so it does not matter which frame that is.
 */

import { approach, clamp, fromAxis, normalise, relative } from "./body_math.js";
import { decodeRotation } from "./pose.js";
import { EXTRA_PART, Flags, Parts } from "./protocol.generated.js";
import { FINGERS_OF_HAND } from "./body.js";

/** @typedef {import("./body_math.js").Numbers} Numbers */

const FINGERS_AT = EXTRA_PART[0][1];
const JOINTS_AT = EXTRA_PART[1][1];
const JOINTS = 25;
const ROTATION_BYTES = 4;
/** How far the three joints of a finger bend when it is closed, radians; of the thumb. */
const CLOSED = [1.35, 1.55, 1.1];
const THUMB_CLOSED = [0.35, 0.6, 0.9];
const RELAXED = [0.25, 0.2, 0.25, 0.3, 0.36];
const GRIPPED = [0.55, 0.72, 0.78, 0.8, 0.8];
const SPREAD = [0, 0.07, 0.01, -0.05, -0.11];
const FOLLOW_PER_S = 14;

const joints = new Float64Array(JOINTS * 4);
const turn = new Float64Array(4);

export class Fingers {
  #curls = Float64Array.from([...RELAXED, ...RELAXED]);

  /**
   * @param {Numbers} out of a Body: turns of both hands' joints
   * @param {{parts: number, flags: number, extra?: Uint8Array}} figure
   * @param {boolean} isHolding hands are controllers
   * @param {number} dt
   */
  update(out, figure, isHolding, dt) {
    const { extra, parts } = figure;
    const whole = extra !== undefined && extra.length >= JOINTS_AT + 2 * JOINTS * ROTATION_BYTES;
    if (whole && extra && parts & Parts.JOINTS && figure.flags & Flags.HAND_TRACKING) {
      pose(out, extra, 0);
      pose(out, extra, 1);
      return;
    }
    const curls = whole && parts & Parts.FINGERS ? extra : undefined;
    const ease = approach(FOLLOW_PER_S, dt);
    for (let k = 0; k < 10; k++) {
      const idle = isHolding ? GRIPPED[k % 5] : RELAXED[k % 5];
      const target = curls ? curls[FINGERS_AT + k] / 255 : idle;
      this.#curls[k] += (target - this.#curls[k]) * ease;
      bend(out, k, this.#curls[k]);
    }
  }
}

/**
 * @param {Numbers} out
 * @param {number} finger 0 to 9, left hand first
 * @param {number} curl 0 to 1
 */
function bend(out, finger, curl) {
  const right = finger >= 5;
  const sign = right ? 1 : -1;
  const own = finger % 5;
  for (let joint = 0; joint < 3; joint++) {
    const at = ((right ? FINGERS_OF_HAND : 0) + own * 3 + joint) * 4;
    if (own === 0) bendThumb(out, at, sign, curl * THUMB_CLOSED[joint]);
    else fromAxis(out, at, 0, 0, -sign, curl * CLOSED[joint]);
    if (joint === 0 && own) {
      out[at + 1] += sign * SPREAD[own] * 0.5 * (1 - curl);
      normalise(out, at);
    }
  }
}

/**
 * Across the palm and down.
 * @param {Numbers} out
 * @param {number} at
 * @param {number} sign
 * @param {number} angle
 */
function bendThumb(out, at, sign, angle) {
  fromAxis(out, at, -0.42, -0.75 * sign, -0.51 * sign, angle);
}

/**
 * One hand from tracked joints.
 * @param {Numbers} out
 * @param {Uint8Array} extra
 * @param {number} hand 0 left, 1 right
 */
function pose(out, extra, hand) {
  const from = JOINTS_AT + hand * JOINTS * ROTATION_BYTES;
  for (let joint = 0; joint < JOINTS; joint++) {
    const byte = from + joint * ROTATION_BYTES;
    const code = extra[byte] | (extra[byte + 1] << 8) | (extra[byte + 2] << 16)
      | (extra[byte + 3] << 24);
    decodeRotation(code, joints, joint * 4);
  }
  const sign = hand ? 1 : -1;
  const to = hand * FINGERS_OF_HAND * 4;
  // The thumb is metacarpal, proximal, distal, tip after the wrist; the others have one more.
  for (let joint = 0; joint < 3; joint++) {
    relative(turn, 0, joints, joint * 4, joints, (joint + 1) * 4);
    const flexed = -2 * Math.atan2(turn[0], Math.abs(turn[3])) * Math.sign(turn[3] || 1);
    bendThumb(out, to + joint * 4, sign, joint ? clamp(flexed, -0.3, 1.6) : 0.15);
  }
  for (let finger = 1; finger < 5; finger++) {
    for (let joint = 0; joint < 3; joint++) {
      const before = 5 * finger + joint;
      relative(turn, 0, joints, before * 4, joints, (before + 1) * 4);
      const at = to + (finger * 3 + joint) * 4;
      // WebXR's joints point along -z with the back of the hand up; ours along sign * x.
      out[at] = -sign * turn[2];
      out[at + 1] = turn[1];
      out[at + 2] = sign * turn[0];
      out[at + 3] = turn[3];
      normalise(out, at);
    }
  }
}
