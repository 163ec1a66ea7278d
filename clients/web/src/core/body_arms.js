/**
 * Both arms of a body: to tracked hands, swinging in step, at rest, or in an emote.
 *
 * Where a hand is to be is decided first, then one and the same limb is solved. The elbow goes
 * down, outwards and back, and away from the thumb: with the palm down it comes out, with the
 * thumb up it hangs. The forearm takes half of the hand's twist.
 */

import { Bone, PARENT } from "./body.js";
import { blend, clamp, fromAxis, multiply, relative, rotate } from "./body_math.js";
import { Limb } from "./ik.js";

/** @typedef {import("./body_solver.js").Solver} Solver */
/** @typedef {import("./body_solver.js").Moment} Moment */

const HANDS = 11;
const POINT = 7;
/** A hand that hangs with the thumb in front, as WebXR's grip has it, from one in the T. */
const QUARTER = Math.PI / 2;

const arm = new Limb();
const wrist = new Float64Array(3);
const pole = new Float64Array(3);
const vector = new Float64Array(3);
const hand = new Float64Array(4);
const acted = new Float64Array(4);
const turn = new Float64Array(4);
const hang = new Float64Array(4);

export class Arms {
  /**
   * @param {Solver} solver
   * @param {Float64Array} pose
   * @param {Moment} moment
   * @param {boolean} seated
   */
  solve(solver, pose, moment, seated) {
    const { body } = solver;
    const { positions, rotations } = body;
    for (let k = 0; k < 2; k++) {
      const sign = k ? 1 : -1;
      const upper = k ? Bone.RIGHT_UPPER_ARM : Bone.LEFT_UPPER_ARM;
      arm.upper = body.lengthOf(upper + 1);
      arm.lower = body.lengthOf(upper + 2);
      fromAxis(hang, 0, 0, 0, 1, -sign * QUARTER);
      this.#shoulder(body, upper, sign, 0);
      if (solver.isTracked) this.#tracked(body, pose, k);
      else this.#atEase(solver, moment, upper, seated);
      if (solver.isTracked) this.#raise(body, upper, sign);
      arm.solve(positions, upper * 3, wrist, pole);
      arm.turnArm(rotations, upper * 4, positions, upper * 3, arm.middle, sign);
      positions.set(arm.middle, (upper + 1) * 3);
      arm.turnArm(rotations, (upper + 1) * 4, positions, (upper + 1) * 3, arm.end, sign);
      positions.set(arm.end, (upper + 2) * 3);
      for (let q = 0; q < 4; q++) rotations[(upper + 2) * 4 + q] = hand[q];
      twist(rotations, upper + 1);
    }
  }

  /**
   * The collar bone: as the chest, raised by an angle.
   * @param {import("./body.js").Body} body
   * @param {number} upper
   * @param {number} sign
   * @param {number} raised
   */
  #shoulder(body, upper, sign, raised) {
    const { rotations } = body;
    const own = upper - 1;
    fromAxis(turn, 0, 0, 0, 1, sign * raised);
    multiply(rotations, own * 4, rotations, PARENT[own] * 4, turn, 0);
    body.place(own);
    body.place(upper);
  }

  /**
   * Lifts the shoulder towards a hand that is held high.
   * @param {import("./body.js").Body} body
   * @param {number} upper
   * @param {number} sign
   */
  #raise(body, upper, sign) {
    const above = (wrist[1] - body.positions[upper * 3 + 1]) / (arm.upper + arm.lower);
    const raised = 0.45 * clamp(above - 0.1, 0, 0.9);
    if (raised > 0.01) this.#shoulder(body, upper, sign, raised);
  }

  /**
   * @param {import("./body.js").Body} body
   * @param {Float64Array} pose
   * @param {number} k
   */
  #tracked(body, pose, k) {
    const from = HANDS + POINT * k;
    const sign = k ? 1 : -1;
    multiply(hand, 0, pose, from + 3, hang, 0);
    vector[0] = sign * body.palmM;
    vector[1] = vector[2] = 0;
    rotate(vector, 0, hand, 0, vector, 0);
    for (let axis = 0; axis < 3; axis++) wrist[axis] = pose[from + axis] - vector[axis];
    // Down, out and back as the chest is turned, and away from the thumb.
    pole[0] = sign * 0.35;
    pole[1] = -0.75;
    pole[2] = 0.35;
    rotate(pole, 0, body.rotations, Bone.CHEST * 4, pole, 0);
    vector[0] = vector[1] = 0;
    vector[2] = 0.55;
    rotate(vector, 0, hand, 0, vector, 0);
    for (let axis = 0; axis < 3; axis++) pole[axis] += vector[axis];
  }

  /**
   * @param {Solver} solver
   * @param {Moment} moment
   * @param {number} upper
   * @param {boolean} seated
   */
  #atEase(solver, moment, upper, seated) {
    const { body, gait } = solver;
    const right = upper === Bone.RIGHT_UPPER_ARM;
    const sign = right ? 1 : -1;
    const running = clamp((gait.speed - 1.6) / 1.8, 0, 1);
    const beat = Math.sin((gait.phase + (right ? 0 : 0.5)) * 2 * Math.PI + 0.5);
    const idle = moment.isCalm ? 0 : Math.sin(moment.seconds * 1.7 + sign) * 0.015;
    let swing = beat * (0.42 + 0.3 * running) * gait.stride + 0.05 + idle - 0.15 * running;
    const bent = 0.16 + 1.05 * running + 0.22 * Math.max(0, beat);
    let elbow = 0.26 + bent * gait.stride;
    let spread = 0.17;
    const held = seated ? SEATED : gait.isAirborne ? AIRBORNE : null;
    if (held) {
      swing = held[0];
      elbow = held[1];
      spread = held[2];
    }
    // In the chest's frame: the upper arm hangs, is swung forward and spread; the elbow bends on.
    const out = sign * Math.sin(spread), cos = Math.cos(spread);
    const both = swing + elbow;
    const inward = -sign * (seated ? 0.22 : 0.06) * Math.min(1, elbow);
    wrist[0] = out * arm.upper + (out * 0.6 + inward) * arm.lower;
    wrist[1] = -cos * (Math.cos(swing) * arm.upper + Math.cos(both) * arm.lower);
    wrist[2] = -cos * (Math.sin(swing) * arm.upper + Math.sin(both) * arm.lower);
    fromAxis(turn, 0, 1, 0, 0, both * 0.9);
    fromAxis(hand, 0, 0, 1, 0, sign * 0.25);
    multiply(hand, 0, turn, 0, hand, 0);
    multiply(hand, 0, hand, 0, hang, 0);
    pole[0] = sign * 0.35;
    pole[1] = -0.25;
    pole[2] = 1;
    this.#act(solver, right, sign);
    this.#fromChest(body, upper);
  }

  /**
   * Mixes in what the emote does with this arm.
   * @param {Solver} solver
   * @param {boolean} right
   * @param {number} sign
   */
  #act(solver, right, sign) {
    const { arms } = solver.emote;
    const at = right ? 6 : 0;
    const weight = arms[at + 5];
    if (!(weight > 0)) return;
    const length = arm.upper + arm.lower;
    wrist[0] += (sign * arms[at] * length - wrist[0]) * weight;
    wrist[1] += (arms[at + 1] * length - wrist[1]) * weight;
    wrist[2] += (arms[at + 2] * length - wrist[2]) * weight;
    fromAxis(acted, 0, 1, 0, 0, arms[at + 3]);
    fromAxis(turn, 0, 0, 0, 1, sign * arms[at + 4]);
    multiply(acted, 0, acted, 0, turn, 0);
    multiply(acted, 0, acted, 0, hang, 0);
    blend(hand, 0, hand, 0, acted, 0, weight);
    pole[0] += (sign * 0.55 - pole[0]) * weight;
    pole[1] += (-0.8 - pole[1]) * weight;
    pole[2] += (0.3 - pole[2]) * weight;
  }

  /**
   * From the chest's frame into the root's.
   * @param {import("./body.js").Body} body
   * @param {number} upper
   */
  #fromChest(body, upper) {
    const { rotations, positions } = body;
    const chest = Bone.CHEST * 4;
    rotate(wrist, 0, rotations, chest, wrist, 0);
    rotate(pole, 0, rotations, chest, pole, 0);
    for (let axis = 0; axis < 3; axis++) wrist[axis] += positions[upper * 3 + axis];
    multiply(hand, 0, rotations, chest, hand, 0);
  }
}

const AIRBORNE = [-0.2, 0.9, 0.75];
const SEATED = [0.14, 0.98, 0.12];

/**
 * Gives the forearm half of the turn that the hand has about it.
 * @param {Float64Array} rotations
 * @param {number} lower
 */
function twist(rotations, lower) {
  relative(turn, 0, rotations, lower * 4, rotations, (lower + 1) * 4);
  const angle = 2 * Math.atan2(turn[0], turn[3]);
  const short = angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));
  fromAxis(turn, 0, 1, 0, 0, clamp(short, -1.6, 1.6) / 2);
  multiply(rotations, lower * 4, rotations, lower * 4, turn, 0);
}
