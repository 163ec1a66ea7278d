/**
 * A thing held by one hand or by two: where it is when the hands are somewhere else.
 *
 * One hand carries it rigidly. Two hands carry, turn and scale it: the line between them gives the
 * size and most of the turn (the shortest turn of the line), what the hands roll about that line
 * gives the rest. All is worked out from how it was taken, never from the frame before, so nothing
 * drifts and hands that come back put it back. When a hand comes or goes it is taken anew, from
 * where it is.
 *
 * What is held from afar, by a ray, is turned and scaled about itself, or a small turn of the hands
 * would throw it across the place. Places are ten numbers as in core/props, poses of hands seven.
 * Pure; nothing is allocated while it is held.
 */

import { SCALE_MAX, SCALE_MIN, snap } from "./build_math.js";
import { compose, conjugate, multiply, normalise, rotate, within } from "./quaternion.js";

/** Hands that are nearer to each other count as this far apart. */
const APART_M_MIN = 0.04;
const REACH_M_MIN = 0.2;
const REACH_M_MAX = 100;

export class HandHold {
  isBoth = false;
  #isFar = false;
  #place = new Float64Array(10);
  #held = new Float64Array(7);
  #from = [new Float64Array(7), new Float64Array(7)];
  #turn = new Float64Array(4);
  #roll = new Float64Array(4);
  #back = new Float64Array(4);
  #axis = new Float64Array(3);
  #axisThen = new Float64Array(3);
  #arm = new Float64Array(3);

  /**
   * One hand takes it.
   * @param {Float64Array} place where it is
   * @param {Float64Array} pose of the hand, or of its ray
   * @param {boolean} isFar by the ray
   */
  takeOne(place, pose, isFar) {
    this.isBoth = false;
    this.#isFar = isFar;
    this.#place.set(place);
    within(this.#held, 0, pose, 0, place, 0);
  }

  /**
   * Two hands have it.
   * @param {Float64Array} place where it is
   * @param {readonly Float64Array[]} poses of the hands
   * @param {boolean} isFar
   */
  takeBoth(place, poses, isFar) {
    this.isBoth = true;
    this.#isFar = isFar;
    this.#place.set(place);
    this.#from[0].set(poses[0]);
    this.#from[1].set(poses[1]);
    if (!axisOf(this.#axisThen, poses)) this.#axisThen.set([1, 0, 0]);
  }

  /** What is held from afar comes nearer or goes farther. @param {number} by_m along the ray */
  reach(by_m) {
    if (this.isBoth || !this.#isFar) return;
    const far = Math.hypot(this.#held[0], this.#held[1], this.#held[2]);
    if (far < 1e-6) return;
    const wanted = Math.min(REACH_M_MAX, Math.max(REACH_M_MIN, far + by_m));
    for (let k = 0; k < 3; k++) this.#held[k] *= wanted / far;
  }

  /** By one hand. @param {Float64Array} out place @param {Float64Array} pose */
  followOne(out, pose) {
    compose(out, 0, pose, 0, this.#held, 0);
    for (let k = 7; k < 10; k++) out[k] = this.#place[k];
    normalise(out, 3);
  }

  /** By both. @param {Float64Array} out place @param {readonly Float64Array[]} poses */
  followBoth(out, poses) {
    const [left, right] = poses;
    const [leftThen, rightThen] = this.#from;
    const size = this.#bounded(apart(left, right) / apart(leftThen, rightThen));
    this.#turnOf(poses);
    const place = this.#place;
    for (let k = 0; k < 3; k++) {
      const middle = (leftThen[k] + rightThen[k]) / 2;
      this.#arm[k] = this.#isFar ? 0 : size * (place[k] - middle);
    }
    rotate(this.#arm, 0, this.#turn, 0, this.#arm[0], this.#arm[1], this.#arm[2]);
    for (let k = 0; k < 3; k++) {
      const [middle, then] = [(left[k] + right[k]) / 2, (leftThen[k] + rightThen[k]) / 2];
      out[k] = this.#isFar ? place[k] + middle - then : middle + this.#arm[k];
      out[7 + k] = place[7 + k] * size;
    }
    multiply(out, 3, this.#turn, 0, place, 3);
    normalise(out, 3);
  }

  /** No side becomes smaller or larger than a prop may be. @param {number} size */
  #bounded(size) {
    let [least, most] = [0, Infinity];
    for (let k = 7; k < 10; k++) {
      least = Math.max(least, SCALE_MIN / this.#place[k]);
      most = Math.min(most, SCALE_MAX / this.#place[k]);
    }
    return Math.min(most, Math.max(least, size));
  }

  /** How the hands have turned together, into `#turn`. @param {readonly Float64Array[]} poses */
  #turnOf(poses) {
    if (!axisOf(this.#axis, poses)) this.#axis.set(this.#axisThen);
    shortest(this.#turn, this.#axisThen, this.#axis);
    let [sin, cos] = [0, 0];
    for (let hand = 0; hand < 2; hand++) {
      const angle = this.#rollOf(this.#from[hand], poses[hand]);
      sin += Math.sin(angle);
      cos += Math.cos(angle);
    }
    const half = sin || cos ? Math.atan2(sin, cos) / 2 : 0;
    for (let k = 0; k < 3; k++) this.#roll[k] = this.#axis[k] * Math.sin(half);
    this.#roll[3] = Math.cos(half);
    multiply(this.#turn, 0, this.#roll, 0, this.#turn, 0);
    normalise(this.#turn, 0);
  }

  /**
   * How far a hand has rolled about the line between the hands, beside how the line has turned.
   * @param {Float64Array} then
   * @param {Float64Array} now
   */
  #rollOf(then, now) {
    conjugate(this.#back, 0, then, 3);
    multiply(this.#roll, 0, now, 3, this.#back, 0);
    conjugate(this.#back, 0, this.#turn, 0);
    multiply(this.#roll, 0, this.#roll, 0, this.#back, 0);
    let along = 0;
    for (let k = 0; k < 3; k++) along += this.#roll[k] * this.#axis[k];
    return 2 * Math.atan2(along, this.#roll[3]);
  }
}

/**
 * A place on the grid: across the ground on its lines, in height by whole steps from where it was,
 * so that what stood on something still does; turned by whole steps.
 * @param {Float64Array} place is changed
 * @param {number} fromY height as it was taken
 * @param {number} step_m 0 for as it is
 * @param {number} angle_rad 0 for as it is
 */
export function keepToGrid(place, fromY, step_m, angle_rad) {
  place[0] = snap(place[0], step_m);
  place[1] = fromY + snap(place[1] - fromY, step_m);
  place[2] = snap(place[2], step_m);
  if (!angle_rad) return;
  const [x, y, z, w] = [place[3], place[4], place[5], place[6]];
  // Yaw, then pitch, then roll: what stands upright stays so while it is turned.
  const sinPitch = Math.min(1, Math.max(-1, 2 * (w * x - y * z)));
  const isSteep = Math.abs(sinPitch) > 0.9999;
  const yaw = isSteep ? Math.atan2(-2 * (x * z - w * y), 1 - 2 * (y * y + z * z))
    : Math.atan2(2 * (w * y + x * z), 1 - 2 * (x * x + y * y));
  const roll = isSteep ? 0 : Math.atan2(2 * (w * z + x * y), 1 - 2 * (x * x + z * z));
  fromAngles(place, snap(yaw, angle_rad), snap(Math.asin(sinPitch), angle_rad),
    snap(roll, angle_rad));
}

/** @param {Float64Array} place @param {number} yaw @param {number} pitch @param {number} roll */
function fromAngles(place, yaw, pitch, roll) {
  const [cy, sy] = [Math.cos(yaw / 2), Math.sin(yaw / 2)];
  const [cx, sx] = [Math.cos(pitch / 2), Math.sin(pitch / 2)];
  const [cz, sz] = [Math.cos(roll / 2), Math.sin(roll / 2)];
  place[3] = cy * sx * cz + sy * cx * sz;
  place[4] = sy * cx * cz - cy * sx * sz;
  place[5] = cy * cx * sz - sy * sx * cz;
  place[6] = cy * cx * cz + sy * sx * sz;
}

/** @param {Float64Array} a @param {Float64Array} b */
function apart(a, b) {
  return Math.max(APART_M_MIN, Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]));
}

/**
 * From the left hand to the right one, of length 1.
 * @param {Float64Array} out
 * @param {readonly Float64Array[]} poses
 * @returns {boolean} whether there is a line between them
 */
function axisOf(out, [left, right]) {
  const length = Math.hypot(right[0] - left[0], right[1] - left[1], right[2] - left[2]);
  if (!(length > 1e-4)) return false;
  for (let k = 0; k < 3; k++) out[k] = (right[k] - left[k]) / length;
  return true;
}

/**
 * The shortest turn from one direction to another.
 * @param {Float64Array} out quaternion
 * @param {Float64Array} from of length 1
 * @param {Float64Array} to of length 1
 */
function shortest(out, from, to) {
  const [ax, ay, az] = from;
  const [bx, by, bz] = to;
  const cos = ax * bx + ay * by + az * bz;
  if (cos > -0.999999) {
    out[0] = ay * bz - az * by;
    out[1] = az * bx - ax * bz;
    out[2] = ax * by - ay * bx;
    out[3] = 1 + cos;
  } else { // the opposite: about any line across, the upright one where there is a choice
    const isUpright = Math.abs(ay) > 0.9;
    out[0] = isUpright ? 1 : -az;
    out[1] = 0;
    out[2] = isUpright ? 0 : ax;
    out[3] = 0;
  }
  normalise(out, 0);
}

const inner = new Float64Array(7);

/**
 * Metres from a point to the box of a place, whose sides are its scale; 0 inside.
 * @param {Float64Array} place
 * @param {Float64Array} point
 */
export function awayFromBox(place, point) {
  for (let k = 0; k < 7; k++) inner[k] = k < 3 ? point[k] : Number(k === 6);
  within(inner, 0, place, 0, inner, 0);
  let squares = 0;
  for (let k = 0; k < 3; k++) {
    squares += Math.max(0, Math.abs(inner[k]) - place[7 + k] / 2) ** 2;
  }
  return Math.sqrt(squares);
}
