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
