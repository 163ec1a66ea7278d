/**
 * Questions about bodies that others ask: whom a ray meets, and where a hand is in the world.
 */

import { Bone } from "../../core/body.js";
import { fromAxis, fromYawPitch, multiply, rotate } from "../../core/body_math.js";

/** @typedef {import("./actor.js").Actor} Actor */
/** @typedef {import("../../../vendor/three.js").Raycaster} Raycaster */
/** @typedef {import("../../../vendor/three.js").Vector3} Vector3 */
/** @typedef {import("../../../vendor/three.js").Quaternion} Quaternion */

const RADIUS_M = 0.28;
const ABOVE_HEAD_M = 0.3;
const turn = new Float64Array(4);
const hang = new Float64Array(4);
const place = new Float64Array(3);

/**
 * The id of the nearest actor whose upright capsule the ray meets; 0 for none.
 * @param {readonly Actor[]} actors
 * @param {Raycaster} raycaster
 */
export function pickActor(actors, raycaster) {
  const { origin, direction } = raycaster.ray;
  let nearest = raycaster.far;
  let found = 0;
  for (let k = 0; k < actors.length; k++) {
    const actor = actors[k];
    if (actor.isFirstPerson || actor.shown <= 0) continue;
    const x = (actor.head[0] + actor.root[0]) / 2, z = (actor.head[2] + actor.root[2]) / 2;
    const along = meet(origin, direction, x, z, actor.root[1],
      actor.head[1] + ABOVE_HEAD_M);
    if (along >= raycaster.near && along < nearest) {
      nearest = along;
      found = actor.id;
    }
  }
  return found;
}

/**
 * How far along the ray an upright cylinder begins; -1 if it is missed.
 * @param {Vector3} origin @param {Vector3} direction
 * @param {number} x @param {number} z
 * @param {number} low @param {number} high
 */
function meet(origin, direction, x, z, low, high) {
  const ox = origin.x - x, oz = origin.z - z;
  const a = direction.x * direction.x + direction.z * direction.z;
  const b = ox * direction.x + oz * direction.z;
  const c = ox * ox + oz * oz - RADIUS_M * RADIUS_M;
  if (a < 1e-9) return c < 0 && direction.y < 0 ? origin.y - high : -1;
  const root = b * b - a * c;
  if (root < 0) return -1;
  const from = (-b - Math.sqrt(root)) / a, to = (-b + Math.sqrt(root)) / a;
  if (to < 0) return -1;
  const enter = origin.y + direction.y * Math.max(0, from);
  if (enter >= low && enter <= high) return Math.max(0, from);
  if (Math.abs(direction.y) < 1e-9) return -1;
  const lid = ((direction.y < 0 ? high : low) - origin.y) / direction.y;
  return lid >= Math.max(0, from) && lid <= to ? lid : -1;
}

/**
 * The pose of the palm, as WebXR's grip.
 * @param {Actor} actor
 * @param {number} hand 0 left, 1 right
 * @param {Vector3} position
 * @param {Quaternion} quaternion
 */
export function worldTurn(actor, hand, position, quaternion) {
  const { body } = actor.solver;
  const bone = hand ? Bone.RIGHT_HAND : Bone.LEFT_HAND;
  const sign = hand ? 1 : -1;
  place[0] = sign * body.palmM;
  place[1] = place[2] = 0;
  rotate(place, 0, body.rotations, bone * 4, place, 0);
  for (let k = 0; k < 3; k++) place[k] += body.positions[bone * 3 + k];
  actor.toWorld(place, 0, place);
  position.set(place[0], place[1], place[2]);
  fromYawPitch(turn, 0, actor.root[3], 0);
  multiply(turn, 0, turn, 0, body.rotations, bone * 4);
  fromAxis(hang, 0, 0, 0, 1, (sign * Math.PI) / 2);
  multiply(turn, 0, turn, 0, hang, 0);
  quaternion.set(turn[0], turn[1], turn[2], turn[3]);
}
