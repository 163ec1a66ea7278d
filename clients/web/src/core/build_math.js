/**
 * The arithmetic of building: places within groups, what follows a gizmo, grids.
 *
 * A place is 10 numbers as in core/props: position, rotation, scale. Functions write to `out`, or
 * make a Transform for an edit, which is rounded so that it is short and within bounds. Pure.
 */

import { conjugate, multiply, normalise, rotate } from "./quaternion.js";

/** @typedef {import("./protocol.generated.js").Transform} Transform */

export const SCALE_MIN = 0.01;
export const SCALE_MAX = 100;
const ROUND = 1e5;
/** Groups within groups. */
const DEPTH_MAX = 10;
const turn = new Float64Array(4);
const difference = new Float64Array(3);

/** @param {number} value @param {number} step 0: as it is */
export function snap(value, step) {
  return step > 0 ? Math.round(value / step) * step : value;
}

/** @param {number} value */
export function boundedScale(value) {
  return Math.min(SCALE_MAX, Math.max(SCALE_MIN, Math.abs(value)));
}

/** @param {number} value */
function rounded(value) {
  return Math.round(value * ROUND) / ROUND;
}

/**
 * A place as an edit gives it. The scale of a group is the same on all axes: the one that differs
 * most from 1 counts.
 * @param {Float64Array} place
 * @param {boolean} isGroup
 * @returns {Transform}
 */
export function transformOf(place, isGroup) {
  normalise(place, 3);
  const scale = [...place.subarray(7, 10)].map((each) => rounded(boundedScale(each)));
  const most = scale.reduce((a, b) => (Math.abs(Math.log(b)) > Math.abs(Math.log(a)) ? b : a));
  return {
    position_m: [...place.subarray(0, 3)].map(rounded),
    rotation: [...place.subarray(3, 7)].map(rounded),
    scale: isGroup ? [most, most, most] : scale,
  };
}

/**
 * A place in the world as it is within a group: what core/props works outwards, inwards.
 * @param {Float64Array} out
 * @param {Float64Array} outer place of the group in the world
 * @param {Float64Array} place
 */
export function inwards(out, outer, place) {
  conjugate(turn, 0, outer, 3);
  for (let k = 0; k < 3; k++) difference[k] = place[k] - outer[k];
  multiply(out, 3, turn, 0, place, 3);
  rotate(out, 0, turn, 0, difference[0], difference[1], difference[2]);
  for (let k = 0; k < 3; k++) {
    out[k] /= outer[7 + k];
    out[7 + k] = place[7 + k] / outer[7 + k];
  }
}

/**
 * Where a thing is when the handle that it hangs on has gone from one place to another.
 * @param {Float64Array} out
 * @param {Float64Array} from of the handle
 * @param {Float64Array} to of the handle
 * @param {Float64Array} place of the thing, when the handle was at `from`
 */
export function carried(out, from, to, place) {
  for (let k = 0; k < 3; k++) difference[k] = place[k] - from[k];
  conjugate(turn, 0, from, 3);
  rotate(difference, 0, turn, 0, difference[0], difference[1], difference[2]);
  for (let k = 0; k < 3; k++) {
    difference[k] *= to[7 + k] / from[7 + k];
    out[7 + k] = (place[7 + k] * to[7 + k]) / from[7 + k];
  }
  multiply(turn, 0, to, 3, turn, 0);
  rotate(out, 0, to, 3, difference[0], difference[1], difference[2]);
  for (let k = 0; k < 3; k++) out[k] += to[k];
  multiply(out, 3, turn, 0, place, 3);
  normalise(out, 3);
}

/**
 * Whether an edit from one to the other would change nothing: but for what is rounded away.
 * @param {Transform} a
 * @param {Transform} b
 */
export function isSameTransform(a, b) {
  for (const name of /** @type {const} */ (["position_m", "rotation", "scale"])) {
    if (a[name].some((value, k) => Math.abs(value - b[name][k]) > 2 / ROUND)) return false;
  }
  return true;
}

const DEGREES = 180 / Math.PI;

/**
 * A rotation as three angles in degrees, as fields show it: turned about y (to the left), then
 * about x (up), then about z (its roll).
 * @param {ArrayLike<number>} rotation
 * @returns {[x: number, y: number, z: number]}
 */
export function anglesOf(rotation) {
  for (let k = 0; k < 4; k++) turn[k] = rotation[k];
  normalise(turn, 0);
  const [x, y, z, w] = turn;
  const up = Math.min(1, Math.max(-1, 2 * (w * x - y * z)));
  if (Math.abs(up) > 0.99999) {
    return [Math.sign(up) * 90, 2 * Math.atan2(y, w) * DEGREES, 0]; // no roll: y tells it all
  }
  return [Math.asin(up) * DEGREES,
    Math.atan2(2 * (x * z + w * y), 1 - 2 * (x * x + y * y)) * DEGREES,
    Math.atan2(2 * (x * y + w * z), 1 - 2 * (x * x + z * z)) * DEGREES];
}

/**
 * The way back: angles in degrees as a rotation.
 * @param {readonly number[]} angles about x, y and z
 * @returns {number[]}
 */
export function rotationOf([x, y, z]) {
  const out = new Float64Array(4);
  turn.set([0, Math.sin(y / 2 / DEGREES), 0, Math.cos(y / 2 / DEGREES)]);
  out.set([Math.sin(x / 2 / DEGREES), 0, 0, Math.cos(x / 2 / DEGREES)]);
  multiply(out, 0, turn, 0, out, 0);
  turn.set([0, 0, Math.sin(z / 2 / DEGREES), Math.cos(z / 2 / DEGREES)]);
  multiply(out, 0, out, 0, turn, 0);
  return [...out].map(rounded);
}

/**
 * Whether a point of the picture is in the box between two corners.
 * @param {{x: number, y: number}} point
 * @param {{x: number, y: number}} a
 * @param {{x: number, y: number}} b
 */
export function isInBox({ x, y }, a, b) {
  return x >= Math.min(a.x, b.x) && x <= Math.max(a.x, b.x)
    && y >= Math.min(a.y, b.y) && y <= Math.max(a.y, b.y);
}

/**
 * A step of the keys as a direction of the world: away from the camera is the axis that is nearest
 * to where it looks, so that the same key always moves things the same way on the picture.
 * @param {number} yaw of the camera
 * @param {number} right -1, 0 or 1
 * @param {number} away -1, 0 or 1
 * @returns {[x: number, z: number]}
 */
export function stepSeenFrom(yaw, right, away) {
  const quarter = Math.round(yaw / (Math.PI / 2)) * (Math.PI / 2);
  const [cos, sin] = [Math.round(Math.cos(quarter)), Math.round(Math.sin(quarter))];
  return [right * cos - away * sin + 0, -right * sin - away * cos + 0];
}

/**
 * The outermost group that a prop is in, or itself.
 * @param {ReadonlyMap<string, import("./props.js").Prop>} props
 * @param {string} key
 */
export function wholeOf(props, key) {
  let found = key;
  for (let depth = 0; depth < DEPTH_MAX; depth++) found = props.get(found)?.group || found;
  return found;
}
