/**
 * From a solved body to the numbers that the shader reads.
 *
 * Each bone becomes a matrix that takes a point of the undeformed mesh to the world: away from the
 * joint at rest, made wider and taller as the look says, turned, and to where the joint is now.
 * Nothing is allocated.
 */

import { Bone, BONES, REST } from "../../core/body.js";
import { fromYawPitch, multiply, rotate } from "../../core/body_math.js";
import { proportionsOf } from "../../core/look.js";
import { fingerRest } from "./body_shape.js";

/** @typedef {import("../../core/body.js").Body} Body */
/** @typedef {import("../../core/look.js").Look} Look */

const HANDS = /** @type {number[]} */ ([Bone.LEFT_HAND, Bone.RIGHT_HAND]);
const FINGER_REST = fingerRest();
const HAND_SIZE = 1.04;
const rootTurn = new Float64Array(4);
const turn = new Float64Array(4);
const place = new Float64Array(3);
const chainTurn = new Float64Array(4);
const chainPlace = new Float64Array(3);

/** The proportions of one person. */
export class Rig {
  /** Per bone: along x, y and z of the mesh. */
  scales = new Float64Array(BONES * 3).fill(1);
  #size = 1;

  /**
   * Gives the body and the mesh the proportions of a look.
   * @param {Look} look
   * @param {Body} body
   */
  shape(look, body) {
    const { size, width, head } = proportionsOf(look);
    const wide = width ** 0.8, limb = width ** 0.7;
    this.#size = size;
    const rest = REST.map(([x, y, z], bone) => [x * (bone >= 5 ? spread(bone, wide) : 1), y, z]);
    body.shape(rest, [0, 0.155 * head, -0.13 * head], size);
    for (let bone = 0; bone < BONES; bone++) {
      const arm = bone >= Bone.LEFT_SHOULDER && bone <= Bone.RIGHT_HAND;
      const trunk = bone <= Bone.CHEST;
      const hand = HANDS.includes(bone);
      const [x, y, z] = bone === Bone.HEAD ? [head, head, head]
        : hand ? [HAND_SIZE, HAND_SIZE, HAND_SIZE]
          : trunk ? [wide, 1, width] : arm ? [1, limb, limb] : [limb, 1, limb];
      this.scales.set([x, y, z], bone * 3);
    }
  }

  /**
   * @param {Float32Array} out @param {number} at
   * @param {Body} body
   * @param {Float64Array} root x, y, z, yaw
   * @param {boolean} isHeadless
   */
  write(out, at, body, root, isHeadless) {
    const { positions, rotations } = body;
    fromYawPitch(rootTurn, 0, root[3], 0);
    const size = this.#size * body.scale;
    for (let bone = 0; bone < BONES; bone++) {
      multiply(turn, 0, rootTurn, 0, rotations, bone * 4);
      rotate(place, 0, rootTurn, 0, positions, bone * 3);
      for (let k = 0; k < 3; k++) place[k] += root[k];
      const factor = isHeadless && bone === Bone.HEAD ? 1e-4 : size;
      matrix(out, at + bone * 12, factor, this.scales, bone * 3, REST[bone]);
    }
  }

  /**
   * @param {Float32Array} out @param {number} at
   * @param {Body} body
   * @param {Float64Array} root
   */
  writeFingers(out, at, body, root) {
    const size = this.#size * body.scale;
    fromYawPitch(rootTurn, 0, root[3], 0);
    for (let hand = 0; hand < 2; hand++) {
      const bone = HANDS[hand];
      for (let finger = 0; finger < 5; finger++) {
        multiply(turn, 0, rootTurn, 0, body.rotations, bone * 4);
        rotate(place, 0, rootTurn, 0, body.positions, bone * 3);
        for (let k = 0; k < 3; k++) place[k] += root[k];
        this.#finger(out, at, body, hand * 5 + finger, size * HAND_SIZE);
      }
    }
  }

  /**
   * The three joints of a finger, from the wrist that is in `place` and `turn`.
   * @param {Float32Array} out @param {number} at
   * @param {Body} body
   * @param {number} finger 0 to 9, left hand first
   * @param {number} grown
   */
  #finger(out, at, body, finger, grown) {
    const sign = finger < 5 ? -1 : 1;
    let before = REST[finger < 5 ? Bone.LEFT_HAND : Bone.RIGHT_HAND];
    for (let joint = 0; joint < 3; joint++) {
      const own = FINGER_REST[(finger % 5) * 3 + joint];
      chainPlace[0] = (sign * own[0] - before[0]) * grown;
      chainPlace[1] = (own[1] - before[1]) * grown;
      chainPlace[2] = (own[2] - before[2]) * grown;
      rotate(chainPlace, 0, turn, 0, chainPlace, 0);
      for (let k = 0; k < 3; k++) place[k] += chainPlace[k];
      const index = finger * 3 + joint;
      for (let k = 0; k < 4; k++) chainTurn[k] = body.fingers[index * 4 + k];
      multiply(turn, 0, turn, 0, chainTurn, 0);
      mirrored[0] = sign * own[0];
      mirrored[1] = own[1];
      mirrored[2] = own[2];
      matrix(out, at + index * 12, grown, ONES, 0, mirrored);
      before = copyOf(mirrored);
    }
  }
}

const ONES = new Float64Array([1, 1, 1]);
const mirrored = [0, 0, 0];
const kept = [0, 0, 0];

/** @param {number[]} triple */
function copyOf(triple) {
  kept[0] = triple[0];
  kept[1] = triple[1];
  kept[2] = triple[2];
  return kept;
}

/**
 * Joints that are further apart on a wider body; arms hang off the shoulders.
 * @param {number} bone
 * @param {number} wide
 */
function spread(bone, wide) {
  const x = Math.abs(REST[bone][0]);
  if (bone >= Bone.LEFT_UPPER_LEG) return wide;
  const shoulder = Math.min(x, 0.168);
  return (x + shoulder * (wide - 1)) / x;
}

/**
 * The rows of the matrix of `turn`, `place`, a scale and a joint at rest.
 * @param {Float32Array} out @param {number} at
 * @param {number} size
 * @param {Float64Array} scales @param {number} s
 * @param {readonly number[]} rest
 */
function matrix(out, at, size, scales, s, rest) {
  const x = turn[0], y = turn[1], z = turn[2], w = turn[3];
  const sx = scales[s] * size, sy = scales[s + 1] * size, sz = scales[s + 2] * size;
  out[at] = (1 - 2 * (y * y + z * z)) * sx;
  out[at + 1] = 2 * (x * y - z * w) * sy;
  out[at + 2] = 2 * (x * z + y * w) * sz;
  out[at + 4] = 2 * (x * y + z * w) * sx;
  out[at + 5] = (1 - 2 * (x * x + z * z)) * sy;
  out[at + 6] = 2 * (y * z - x * w) * sz;
  out[at + 8] = 2 * (x * z - y * w) * sx;
  out[at + 9] = 2 * (y * z + x * w) * sy;
  out[at + 10] = (1 - 2 * (x * x + y * y)) * sz;
  for (let row = 0; row < 3; row++) {
    const r = at + row * 4;
    out[r + 3] = place[row] - out[r] * rest[0] - out[r + 1] * rest[1] - out[r + 2] * rest[2];
  }
}

