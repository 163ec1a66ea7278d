/**
 * Limbs of two bones: where the joint between goes, and how both bones are turned.
 *
 * A limb reaches from a root (shoulder, hip) to a target (wrist, ankle). The joint between lies on
 * the side of the *pole*. What is out of reach is reached for: the target is pulled in to just
 * below the full length, and pushed out to where the limb cannot fold further. Hinges bend about
 * the normal of the plane that both bones lie in, so that an elbow never bends backwards, and a
 * straight limb keeps the turn that its pole gives it. No input leads to a number that is not one.
 */

import { clamp, cross, direct, fromAxes } from "./body_math.js";

/** @typedef {import("./body_math.js").Numbers} Numbers */

const LEAST_M = 1e-4;
/** A limb never is quite straight, for then its hinge would snap. */
const STRAIGHT = 0.999;
const FOLDED = 0.18;

const along = new Float64Array(3);
const side = new Float64Array(3);
const normal = new Float64Array(3);
const bone = new Float64Array(3);
const axisX = new Float64Array(3);
const axisY = new Float64Array(3);
const axisZ = new Float64Array(3);

/** One limb; reused for every solve. */
export class Limb {
  /** The joint between, and the end after clamping. */
  middle = new Float64Array(3);
  end = new Float64Array(3);
  /** The hinge's axis, which both bones turn about. */
  hinge = new Float64Array(3);
  upper = 0;
  lower = 0;

  /**
   * @param {Numbers} points @param {number} at where the root is
   * @param {Numbers} target
   * @param {Numbers} pole a direction, of any length
   */
  solve(points, at, target, pole) {
    const { upper, lower, middle, end } = this;
    for (let k = 0; k < 3; k++) along[k] = target[k] - points[at + k];
    const wanted = Math.hypot(along[0], along[1], along[2]);
    direct(along, 0, -1, 0);
    const longest = Math.max((upper + lower) * STRAIGHT, LEAST_M);
    const shortest = Math.max(Math.abs(upper - lower) * 1.01, (upper + lower) * FOLDED);
    const near = Number.isFinite(wanted) ? wanted : longest;
    const reach = Math.max(clamp(near, shortest, longest), LEAST_M);
    sideOf(pole);
    const before = (upper * upper - lower * lower + reach * reach) / (2 * reach);
    const beside = Math.sqrt(Math.max(0, upper * upper - before * before));
    for (let k = 0; k < 3; k++) {
      middle[k] = points[at + k] + along[k] * before + side[k] * beside;
      end[k] = points[at + k] + along[k] * reach;
    }
    cross(this.hinge, side, along);
  }

  /**
   * How the bone from `a` to `b` is turned, that points along sign * x at rest and bends about
   * sign * y there (an arm, with sign 1 for the right).
   * @param {Numbers} out @param {number} at
   * @param {Numbers} a @param {number} i
   * @param {Numbers} b
   * @param {number} sign
   */
  turnArm(out, at, a, i, b, sign) {
    this.#frame(a, i, b);
    for (let k = 0; k < 3; k++) {
      axisX[k] = sign * bone[k];
      axisY[k] = sign * normal[k];
    }
    cross(axisZ, axisX, axisY);
    fromAxes(out, at, axisX, axisY, axisZ);
  }

  /**
   * The same of a bone that points down at rest and bends about -x (a leg).
   * @param {Numbers} out @param {number} at
   * @param {Numbers} a @param {number} i
   * @param {Numbers} b
   */
  turnLeg(out, at, a, i, b) {
    this.#frame(a, i, b);
    for (let k = 0; k < 3; k++) {
      axisX[k] = -normal[k];
      axisY[k] = -bone[k];
    }
    cross(axisZ, axisX, axisY);
    fromAxes(out, at, axisX, axisY, axisZ);
  }

  /**
   * @param {Numbers} a @param {number} i
   * @param {Numbers} b
   */
  #frame(a, i, b) {
    for (let k = 0; k < 3; k++) bone[k] = b[k] - a[i + k];
    direct(bone, 0, -1, 0);
    for (let k = 0; k < 3; k++) normal[k] = this.hinge[k];
    const slip = normal[0] * bone[0] + normal[1] * bone[1] + normal[2] * bone[2];
    for (let k = 0; k < 3; k++) normal[k] -= slip * bone[k];
    direct(normal, 1, 0, 0);
  }
}

/**
 * The part of the pole at right angles to `along`, into `side`; any such direction if it has none.
 * @param {Numbers} pole
 */
function sideOf(pole) {
  for (let k = 0; k < 3; k++) side[k] = pole[k];
  direct(side, 0, 0, 1);
  let slip = side[0] * along[0] + side[1] * along[1] + side[2] * along[2];
  if (!(Math.abs(slip) < 0.9999)) {
    side[0] = Math.abs(along[2]) < 0.9 ? 0 : 1;
    side[1] = 0;
    side[2] = 1 - side[0];
    slip = side[0] * along[0] + side[2] * along[2];
  }
  for (let k = 0; k < 3; k++) side[k] -= slip * along[k];
  direct(side, 0, 0, 1);
}
