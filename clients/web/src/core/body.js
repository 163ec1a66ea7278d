/**
 * The skeleton of a person and its proportions.
 *
 * Nineteen bones, named as VRM names them. At rest a person stands in the shape of a T and looks
 * along -z, and every bone's turn is the turn by nothing; so the turns that are solved for one
 * body fit every other, a VRM's too. A `Body` is a skeleton with lengths (`offsets`: from the
 * parent's joint to the own one) and what was solved for it: where each joint is (`positions`) and
 * how each bone is turned (`rotations`), both in the frame of the person's root.
 *
 * A person in a headset is as tall as the headset says: `standAs` scales the whole body.
 */

import { clamp, rotate } from "./body_math.js";

export const Bone = Object.freeze({
  HIPS: 0, SPINE: 1, CHEST: 2, NECK: 3, HEAD: 4,
  LEFT_SHOULDER: 5, LEFT_UPPER_ARM: 6, LEFT_LOWER_ARM: 7, LEFT_HAND: 8,
  RIGHT_SHOULDER: 9, RIGHT_UPPER_ARM: 10, RIGHT_LOWER_ARM: 11, RIGHT_HAND: 12,
  LEFT_UPPER_LEG: 13, LEFT_LOWER_LEG: 14, LEFT_FOOT: 15,
  RIGHT_UPPER_LEG: 16, RIGHT_LOWER_LEG: 17, RIGHT_FOOT: 18,
});
export const BONES = 19;

/** Each bone's parent; parents come first. */
export const PARENT = Object.freeze([
  -1, 0, 1, 2, 3, 2, 5, 6, 7, 2, 9, 10, 11, 0, 13, 14, 0, 16, 17,
]);

/** As VRM names them, in the same order. */
export const BONE_NAMES = Object.freeze([
  "hips", "spine", "chest", "neck", "head",
  "leftShoulder", "leftUpperArm", "leftLowerArm", "leftHand",
  "rightShoulder", "rightUpperArm", "rightLowerArm", "rightHand",
  "leftUpperLeg", "leftLowerLeg", "leftFoot", "rightUpperLeg", "rightLowerLeg", "rightFoot",
]);

/** Where the joints of the default body are at rest, metres. */
export const REST = Object.freeze([
  [0, 0.86, 0], [0, 0.96, 0], [0, 1.1, 0], [0, 1.335, 0], [0, 1.4, 0],
  [-0.05, 1.265, 0], [-0.168, 1.258, 0], [-0.41, 1.258, 0], [-0.63, 1.258, 0],
  [0.05, 1.265, 0], [0.168, 1.258, 0], [0.41, 1.258, 0], [0.63, 1.258, 0],
  [-0.09, 0.82, 0], [-0.09, 0.45, 0], [-0.09, 0.08, 0],
  [0.09, 0.82, 0], [0.09, 0.45, 0], [0.09, 0.08, 0],
]);

/** From the head's joint to between the eyes, and from a wrist to the middle of the palm. */
export const EYES = Object.freeze([0, 0.155, -0.13]);
export const PALM_M = 0.085;

export const FINGER_BONES = 30;
export const FINGERS_OF_HAND = 15;

const EYES_M_MIN = 0.2;
const SCALE_MIN = 0.6;
const SCALE_MAX = 1.5;

export class Body {
  positions = new Float64Array(BONES * 3);
  rotations = new Float64Array(BONES * 4);
  /** Turns of the finger joints, each in the frame of the joint before: left hand, then right. */
  fingers = new Float64Array(FINGER_BONES * 4);
  offsets = new Float64Array(BONES * 3);
  eyes = new Float64Array(3);
  palmM = PALM_M;
  /** By how much a tracked person is taller than the body was made. */
  scale = 1;
  #restOffsets = new Float64Array(BONES * 3);
  #restEyes = new Float64Array(EYES);
  #restPalmM = PALM_M;

  constructor() {
    for (let bone = 0; bone < BONES; bone++) this.rotations[bone * 4 + 3] = 1;
    for (let bone = 0; bone < FINGER_BONES; bone++) this.fingers[bone * 4 + 3] = 1;
    this.shape(REST, EYES, 1);
  }

  /**
   * Takes the joints of a body at rest: the default one's times `size`, or a VRM's.
   * @param {readonly (readonly number[])[]} rest
   * @param {readonly number[]} eyes
   * @param {number} size
   */
  shape(rest, eyes, size) {
    for (let bone = 0; bone < BONES; bone++) {
      const parent = PARENT[bone];
      for (let k = 0; k < 3; k++) {
        const from = parent < 0 ? 0 : rest[parent][k];
        this.#restOffsets[bone * 3 + k] = (rest[bone][k] - from) * size;
      }
    }
    for (let k = 0; k < 3; k++) this.#restEyes[k] = eyes[k] * size;
    this.#restPalmM = PALM_M * size;
    this.standAs(1);
  }

  /**
   * Makes all lengths `scale` times what they are by shape.
   * @param {number} scale
   */
  standAs(scale) {
    this.scale = clamp(Number.isFinite(scale) ? scale : 1, SCALE_MIN, SCALE_MAX);
    for (let k = 0; k < BONES * 3; k++) this.offsets[k] = this.#restOffsets[k] * this.scale;
    for (let k = 0; k < 3; k++) this.eyes[k] = this.#restEyes[k] * this.scale;
    this.palmM = this.#restPalmM * this.scale;
  }

  /** The height of the hips' joint of who stands. */
  get hipsM() {
    return this.offsets[1];
  }

  /** The height of the eyes of who stands, as the body was shaped. */
  get eyesShapedM() {
    const rest = this.#restOffsets;
    return Math.max(EYES_M_MIN,
      rest[1] + rest[4] + rest[7] + rest[10] + rest[13] + this.#restEyes[1]);
  }

  /** @param {number} bone */
  lengthOf(bone) {
    const at = bone * 3;
    return Math.hypot(this.offsets[at], this.offsets[at + 1], this.offsets[at + 2]);
  }

  /**
   * Where the bone's joint is, from its parent's place and turn.
   * @param {number} bone
   */
  place(bone) {
    const parent = PARENT[bone];
    rotate(this.positions, bone * 3, this.rotations, parent * 4, this.offsets, bone * 3);
    for (let k = 0; k < 3; k++) this.positions[bone * 3 + k] += this.positions[parent * 3 + k];
  }
}
