/**
 * Hands as the wire carries them: 25 rotations when they are tracked, curls when buttons tell.
 * Pure.
 */

import { encodeRotation } from "./pose.js";
import { multiply, conjugate } from "./quaternion.js";

export const JOINTS = 25;
const BYTES = 4;
const TURN = new Float64Array(4);
const BACK = new Float64Array(4);

/**
 * Writes the joints of one hand: each rotation in the frame of the root.
 * @param {Uint8Array} out 200 bytes, left hand first
 * @param {0 | 1} hand
 * @param {Float32Array} poses 16 numbers of a column-major matrix for each joint, in the world
 * @param {Float64Array} root x, y, z and rotation of the root in the world
 */
export function writeJoints(out, hand, poses, root) {
  conjugate(BACK, 0, root, 3);
  for (let joint = 0; joint < JOINTS; joint++) {
    rotationOf(poses, 16 * joint);
    multiply(TURN, 0, BACK, 0, TURN, 0);
    const code = encodeRotation(TURN[0], TURN[1], TURN[2], TURN[3]);
    const at = (hand * JOINTS + joint) * BYTES;
    for (let k = 0; k < BYTES; k++) out[at + k] = (code >>> (8 * k)) & 255;
  }
}

/** The rotation of a matrix without scale into TURN. @param {Float32Array} m @param {number} at */
function rotationOf(m, at) {
  const [m00, m11, m22] = [m[at], m[at + 5], m[at + 10]];
  const trace = m00 + m11 + m22;
  if (!Number.isFinite(trace)) return void TURN.set([0, 0, 0, 1]);
  if (trace > 0) {
    const s = 2 * Math.sqrt(trace + 1);
    TURN.set([(m[at + 6] - m[at + 9]) / s, (m[at + 8] - m[at + 2]) / s,
      (m[at + 1] - m[at + 4]) / s, s / 4]);
  } else if (m00 > m11 && m00 > m22) {
    const s = 2 * Math.sqrt(1 + m00 - m11 - m22);
    TURN.set([s / 4, (m[at + 4] + m[at + 1]) / s, (m[at + 8] + m[at + 2]) / s,
      (m[at + 6] - m[at + 9]) / s]);
  } else if (m11 > m22) {
    const s = 2 * Math.sqrt(1 + m11 - m00 - m22);
    TURN.set([(m[at + 4] + m[at + 1]) / s, s / 4, (m[at + 9] + m[at + 6]) / s,
      (m[at + 8] - m[at + 2]) / s]);
  } else {
    const s = 2 * Math.sqrt(1 + m22 - m00 - m11);
    TURN.set([(m[at + 8] + m[at + 2]) / s, (m[at + 9] + m[at + 6]) / s, s / 4,
      (m[at + 1] - m[at + 4]) / s]);
  }
  if (!Number.isFinite(TURN[0] + TURN[1] + TURN[2] + TURN[3])) TURN.set([0, 0, 0, 1]);
}

/**
 * Curls of five fingers by what a controller's buttons say.
 * @param {Uint8Array} out 10 bytes, left hand first
 * @param {0 | 1} hand
 * @param {readonly {value: number, touched: boolean}[]} buttons in the order of `xr-standard`
 */
export function writeCurls(out, hand, buttons) {
  const at = 5 * hand;
  const value = (/** @type {number} */ k) => buttons[k]?.value ?? 0;
  const thumb = [3, 4, 5].some((k) => buttons[k]?.touched || value(k) > 0);
  out[at] = thumb ? 160 : 20;
  out[at + 1] = Math.round(255 * Math.max(value(0), buttons[0]?.touched ? 0.25 : 0));
  for (let finger = 2; finger < 5; finger++) out[at + finger] = Math.round(255 * value(1));
}
