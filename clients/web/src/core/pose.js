/**
 * Quantised poses: the integers of the wire, and metres and quaternions made of them.
 *
 * A *row* is COLUMNS int32 values of one pose: x, y, z, yaw, flags of the root, then x, y, z and
 * the rotation code of each of six points (head, left hand, right hand, hips, left foot, right
 * foot) in the root's frame. Rows lie one after another in an Int32Array; functions take the
 * array and the offset of the row, so that nothing is allocated per pose. Axes are those of glTF:
 * +Y up, -Z forward, and a positive yaw turns counter-clockwise seen from above.
 */

import {
  COLUMNS, EXTRA_PART, PARTS_ALL, POINT_BYTES, POINT_COLUMNS, POINT_PART, POINTS_MAX, ROOT_BYTES,
  ROOT_COLUMNS, YAW_STEPS,
} from "./protocol.generated.js";
import { WireError } from "./msgpack.js";

export const X = 0;
export const Y = 1;
export const Z = 2;
export const YAW = 3;
export const FLAGS = 4;

const ROTATION_SCALE = 1 / (511 * Math.SQRT2);
const TURN = 2 * Math.PI;

/**
 * Bytes of a pose body that carries `parts`.
 * @param {number} parts
 */
export function bodyLength(parts) {
  return 2 + rootAndPointsLength(parts);
}

/**
 * Bytes of root, points and extra parts: a body without its first two bytes.
 * @param {number} parts
 */
export function rootAndPointsLength(parts) {
  let length = ROOT_BYTES;
  for (const part of POINT_PART) if (parts & part) length += POINT_BYTES;
  for (const [part, , bytes] of EXTRA_PART) if (parts & part) length += bytes;
  return length;
}

/**
 * The body of one row.
 * @param {Int32Array} row
 * @param {number} parts
 * @param {Uint8Array} [extra] EXTRA_BYTES of fingers, joints and face, where EXTRA_PART says
 * @returns {Uint8Array}
 */
export function encodeBody(row, parts, extra) {
  checkRange(row);
  const body = new Uint8Array(bodyLength(parts));
  const view = new DataView(body.buffer);
  body[0] = parts;
  body[1] = row[FLAGS];
  setInt24(view, 2, row[X]);
  view.setInt16(5, row[Y], true);
  setInt24(view, 7, row[Z]);
  view.setUint16(10, modulo(row[YAW], YAW_STEPS), true);
  let at = 2 + ROOT_BYTES;
  for (let point = 0; point < POINTS_MAX; point++) {
    if (!(parts & POINT_PART[point])) continue;
    const from = ROOT_COLUMNS + POINT_COLUMNS * point;
    for (let axis = 0; axis < 3; axis++) view.setInt16(at + 2 * axis, row[from + axis], true);
    view.setInt32(at + 6, row[from + 3], true);
    at += POINT_BYTES;
  }
  for (const [part, from, bytes] of EXTRA_PART) {
    if (!(parts & part)) continue;
    if (!extra) throw new RangeError("these parts have bytes of their own");
    body.set(extra.subarray(from, from + bytes), at);
    at += bytes;
  }
  return body;
}

/** @param {Int32Array} row */
function checkRange(row) {
  let fits = isInt24(row[X]) && isInt24(row[Z]) && isInt16(row[Y]);
  for (let at = ROOT_COLUMNS; at < COLUMNS; at += POINT_COLUMNS) {
    fits &&= isInt16(row[at]) && isInt16(row[at + 1]) && isInt16(row[at + 2]);
  }
  if (!fits) throw new RangeError("a position is outside of what the wire can say");
}

/** @param {number} value */
function isInt24(value) {
  return value >= -(2 ** 23) && value < 2 ** 23;
}

/** @param {number} value */
function isInt16(value) {
  return value >= -(2 ** 15) && value < 2 ** 15;
}

/**
 * Reads a body into `row`, zeros where a part is absent; returns its parts.
 * @param {Uint8Array} body
 * @param {Int32Array} row
 */
export function decodeBody(body, row) {
  const parts = body[0];
  if (body.length < 2 || parts > PARTS_ALL || body.length !== bodyLength(parts)) {
    throw new WireError("the length of a pose body does not belong to its parts");
  }
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  readRootAndPoints(view, 2, parts, row, 0);
  row[FLAGS] = body[1];
  return parts;
}

/**
 * Fills the row at `to` (flags become 0) from the bytes at `at`.
 * @param {DataView} view
 * @param {number} at
 * @param {number} parts
 * @param {Int32Array} rows
 * @param {number} to
 */
export function readRootAndPoints(view, at, parts, rows, to) {
  rows.fill(0, to, to + COLUMNS);
  rows[to + X] = int24(view, at);
  rows[to + Y] = view.getInt16(at + 3, true);
  rows[to + Z] = int24(view, at + 5);
  rows[to + YAW] = view.getUint16(at + 8, true) % YAW_STEPS;
  let from = at + ROOT_BYTES;
  for (let point = 0; point < POINTS_MAX; point++) {
    if (!(parts & POINT_PART[point])) continue;
    const into = to + ROOT_COLUMNS + POINT_COLUMNS * point;
    for (let axis = 0; axis < 3; axis++) rows[into + axis] = view.getInt16(from + 2 * axis, true);
    rows[into + 3] = view.getInt32(from + 6, true);
    from += POINT_BYTES;
  }
}

/**
 * @param {DataView} view
 * @param {number} at
 */
function int24(view, at) {
  return view.getUint16(at, true) | (view.getInt8(at + 2) << 16);
}

/**
 * @param {DataView} view
 * @param {number} at
 * @param {number} value
 */
function setInt24(view, at, value) {
  view.setUint16(at, value & 0xffff, true);
  view.setInt8(at + 2, value >> 16);
}

/** @param {number} radians */
export function quantiseYaw(radians) {
  if (!Number.isFinite(radians)) throw new RangeError("a yaw must be a finite number");
  return modulo(Math.round((radians / TURN) * YAW_STEPS), YAW_STEPS);
}

/** @param {number} steps */
export function yawOf(steps) {
  return (modulo(steps, YAW_STEPS) * TURN) / YAW_STEPS;
}

/**
 * @param {number} value
 * @param {number} by
 */
function modulo(value, by) {
  return ((value % by) + by) % by;
}

const unit = new Float64Array(4);
const tried = new Float64Array(4);
const others = new Float64Array(3);

/**
 * The smallest-three code of a quaternion, which need not be normalised: of the eight codes
 * around its three smaller components the one that turns back most exactly.
 * @param {number} x
 * @param {number} y
 * @param {number} z
 * @param {number} w
 * @returns {number} an unsigned integer of 32 bits
 */
export function encodeRotation(x, y, z, w) {
  const norm = Math.sqrt(x * x + y * y + z * z + w * w);
  if (!Number.isFinite(norm) || norm <= 1e-6) {
    throw new RangeError("a rotation must be a finite quaternion that is not zero");
  }
  unit[0] = x / norm;
  unit[1] = y / norm;
  unit[2] = z / norm;
  unit[3] = w / norm;
  let largest = 0;
  for (let i = 1; i < 4; i++) if (Math.abs(unit[i]) > Math.abs(unit[largest])) largest = i;
  const sign = unit[largest] < 0 ? -1 : 1;
  for (let i = 0, k = 0; i < 4; i++) if (i !== largest) others[k++] = unit[i] * sign;
  let best = 0;
  let bestDot = -1;
  for (let corner = 0; corner < 8; corner++) {
    const code = cornerCode(corner, largest);
    decodeRotation(code, tried, 0);
    let dot = 0;
    for (let i = 0; i < 4; i++) dot += tried[i] * unit[i];
    if (Math.abs(dot) > bestDot) {
      bestDot = Math.abs(dot);
      best = code;
    }
  }
  return best;
}

/**
 * @param {number} corner bit k: round component k up
 * @param {number} largest
 */
function cornerCode(corner, largest) {
  let code = largest << 30;
  for (let k = 0; k < 3; k++) {
    const low = Math.floor(others[k] / ROTATION_SCALE) + 511 + ((corner >> k) & 1);
    code |= Math.min(Math.max(low, 0), 1022) << (10 * k);
  }
  return code >>> 0;
}

/**
 * Writes the unit quaternion of `code` to `into` at `at`. Every 32-bit value has a meaning.
 * @param {number} code signed or unsigned
 * @param {Float32Array | Float64Array} into
 * @param {number} at
 */
export function decodeRotation(code, into, at) {
  const largest = code >>> 30;
  let squares = 0;
  for (let i = 0, shift = 0; i < 4; i++) {
    if (i === largest) continue;
    const component = (((code >>> shift) & 1023) - 511) * ROTATION_SCALE;
    into[at + i] = component;
    squares += component * component;
    shift += 10;
  }
  const dropped = Math.sqrt(Math.max(0, 1 - squares));
  const norm = Math.sqrt(squares + dropped * dropped);
  into[at + largest] = dropped;
  for (let i = 0; i < 4; i++) into[at + i] /= norm;
}
