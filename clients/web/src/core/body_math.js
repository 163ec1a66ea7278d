/**
 * Vectors and quaternions that lie in flat arrays: what the solver of bodies computes with.
 *
 * Every function writes three or four numbers to `out` at `at` and allocates nothing; the output
 * may be one of the inputs. Quaternions are x, y, z, w and of length one. Whatever comes in, what
 * goes out is finite when the input is: a direction of no length has a stated stand-in.
 */

import { normalise, rotate as rotateBy } from "./quaternion.js";

export { blend, multiply, normalise } from "./quaternion.js";

/** @typedef {Float64Array | Float32Array} Numbers */

const EPSILON = 1e-9;

/**
 * Turns the vector at `v[j]` by the quaternion at `q[i]`.
 * @param {Numbers} out @param {number} at
 * @param {Numbers} q @param {number} i
 * @param {Numbers} v @param {number} j
 */
export function rotate(out, at, q, i, v, j) {
  rotateBy(out, at, q, i, v[j], v[j + 1], v[j + 2]);
}

/**
 * The turn that leads from `a` to `b` when it is made in the frame of `a`: conj(a) b.
 * @param {Numbers} out @param {number} at
 * @param {Numbers} a @param {number} i
 * @param {Numbers} b @param {number} j
 */
export function relative(out, at, a, i, b, j) {
  const ax = -a[i], ay = -a[i + 1], az = -a[i + 2], aw = a[i + 3];
  const bx = b[j], by = b[j + 1], bz = b[j + 2], bw = b[j + 3];
  out[at] = aw * bx + ax * bw + ay * bz - az * by;
  out[at + 1] = aw * by - ax * bz + ay * bw + az * bx;
  out[at + 2] = aw * bz + ax * by - ay * bx + az * bw;
  out[at + 3] = aw * bw - ax * bx - ay * by - az * bz;
}

/**
 * The turn by yaw (about y), then by pitch (about the turned x): nose down is a negative pitch.
 * @param {Numbers} out @param {number} at
 * @param {number} yaw @param {number} pitch
 */
export function fromYawPitch(out, at, yaw, pitch) {
  const sy = Math.sin(yaw / 2), cy = Math.cos(yaw / 2);
  const sp = Math.sin(pitch / 2), cp = Math.cos(pitch / 2);
  out[at] = cy * sp;
  out[at + 1] = sy * cp;
  out[at + 2] = -sy * sp;
  out[at + 3] = cy * cp;
}

/**
 * The turn by an angle about an axis of length one.
 * @param {Numbers} out @param {number} at
 * @param {number} x @param {number} y @param {number} z
 * @param {number} angle
 */
export function fromAxis(out, at, x, y, z, angle) {
  const s = Math.sin(angle / 2);
  out[at] = x * s;
  out[at + 1] = y * s;
  out[at + 2] = z * s;
  out[at + 3] = Math.cos(angle / 2);
}

/**
 * The turn whose matrix has these columns, which are at right angles and of length one.
 * @param {Numbers} out @param {number} at
 * @param {Numbers} x @param {Numbers} y @param {Numbers} z
 */
export function fromAxes(out, at, x, y, z) {
  const trace = x[0] + y[1] + z[2];
  if (trace > 0) {
    const s = 0.5 / Math.sqrt(trace + 1);
    write(out, at, (y[2] - z[1]) * s, (z[0] - x[2]) * s, (x[1] - y[0]) * s, 0.25 / s);
  } else if (x[0] > y[1] && x[0] > z[2]) {
    const s = 2 * Math.sqrt(Math.max(EPSILON, 1 + x[0] - y[1] - z[2]));
    write(out, at, 0.25 * s, (y[0] + x[1]) / s, (z[0] + x[2]) / s, (y[2] - z[1]) / s);
  } else if (y[1] > z[2]) {
    const s = 2 * Math.sqrt(Math.max(EPSILON, 1 + y[1] - x[0] - z[2]));
    write(out, at, (y[0] + x[1]) / s, 0.25 * s, (z[1] + y[2]) / s, (z[0] - x[2]) / s);
  } else {
    const s = 2 * Math.sqrt(Math.max(EPSILON, 1 + z[2] - x[0] - y[1]));
    write(out, at, (z[0] + x[2]) / s, (z[1] + y[2]) / s, 0.25 * s, (x[1] - y[0]) / s);
  }
  normalise(out, at);
}

/**
 * @param {Numbers} out @param {number} at
 * @param {number} x @param {number} y @param {number} z @param {number} w
 */
function write(out, at, x, y, z, w) {
  out[at] = x;
  out[at + 1] = y;
  out[at + 2] = z;
  out[at + 3] = w;
}

/**
 * @param {Numbers} out
 * @param {Numbers} a @param {Numbers} b
 */
export function cross(out, a, b) {
  const x = a[1] * b[2] - a[2] * b[1];
  const y = a[2] * b[0] - a[0] * b[2];
  out[2] = a[0] * b[1] - a[1] * b[0];
  out[0] = x;
  out[1] = y;
}

/**
 * Gives a vector the length one; what has none becomes the stand-in.
 * @param {Numbers} v
 * @param {number} x @param {number} y @param {number} z
 */
export function direct(v, x, y, z) {
  const length = Math.hypot(v[0], v[1], v[2]);
  if (length > EPSILON && length < Infinity) {
    for (let k = 0; k < 3; k++) v[k] /= length;
  } else {
    v[0] = x;
    v[1] = y;
    v[2] = z;
  }
  return v;
}

/** @param {number} value @param {number} low @param {number} high */
export function clamp(value, low, high) {
  return value < low ? low : value > high ? high : value;
}

/**
 * 0 below `low`, 1 above `high`, smooth between.
 * @param {number} value @param {number} low @param {number} high
 */
export function smoothStep(value, low, high) {
  const t = clamp((value - low) / (high - low), 0, 1);
  return t * t * (3 - 2 * t);
}

/**
 * The part of a way that is gone in `dt` by what approaches at a rate per second.
 * @param {number} ratePerS @param {number} dt
 */
export function approach(ratePerS, dt) {
  return 1 - Math.exp(-ratePerS * dt);
}
