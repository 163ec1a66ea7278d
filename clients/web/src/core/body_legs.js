/**
 * Both legs of a body: to feet that are planted, tracked, or before a seat.
 *
 * Where an ankle is to be is decided first, then one and the same limb is solved, with the knee
 * where the toes and the hips point. A foot that is too far away stands on its toes.
 */

import { Bone } from "./body.js";
import { clamp, fromYawPitch, rotate } from "./body_math.js";
import { Limb } from "./ik.js";
import { Parts } from "./protocol.generated.js";
import { shortestArc as arc } from "./view.js";

/** @typedef {import("./body.js").Body} Body */
/** @typedef {import("./body_solver.js").Solver} Solver */

const FEET = 32;
const POINT = 7;
const FORWARD = new Float64Array([0, 0, -1]);

const leg = new Limb();
const ankle = new Float64Array(3);
const knee = new Float64Array(3);

/**
 * Turns and places the legs of a body whose hips are where they belong.
 * @param {Solver} solver
 * @param {Float64Array} pose
 * @param {number} parts
 * @param {boolean} seated
 */
export function solveLegs(solver, pose, parts, seated) {
  const { body } = solver;
  const { positions, rotations } = body;
  for (let k = 0; k < 2; k++) {
    const upper = k ? Bone.RIGHT_UPPER_LEG : Bone.LEFT_UPPER_LEG;
    body.place(upper);
    leg.upper = body.lengthOf(upper + 1);
    leg.lower = body.lengthOf(upper + 2);
    if (parts & Parts.BODY) trackedFoot(body, pose, k, upper);
    else if (seated) seatedFoot(solver, k, upper);
    else plantedFoot(solver, pose, k, upper);
    leg.solve(positions, upper * 3, ankle, knee);
    leg.turnLeg(rotations, upper * 4, positions, upper * 3, leg.middle);
    positions.set(leg.middle, (upper + 1) * 3);
    leg.turnLeg(rotations, (upper + 1) * 4, positions, (upper + 1) * 3, leg.end);
    positions.set(leg.end, (upper + 2) * 3);
  }
}

/**
 * @param {Body} body
 * @param {Float64Array} pose
 * @param {number} k 0 left, 1 right
 * @param {number} upper the bone of the thigh
 */
function trackedFoot({ rotations }, pose, k, upper) {
  const from = FEET + POINT * k;
  for (let axis = 0; axis < 3; axis++) ankle[axis] = pose[from + axis];
  for (let axis = 0; axis < 4; axis++) {
    rotations[(upper + 2) * 4 + axis] = pose[from + 3 + axis];
  }
  rotate(knee, 0, rotations, (upper + 2) * 4, FORWARD, 0);
  knee[1] += 0.2;
}

/**
 * @param {Solver} solver
 * @param {number} k
 * @param {number} upper
 */
function seatedFoot({ body, bodyYaw }, k, upper) {
  const { positions, rotations, scale } = body;
  const out = (k ? 1 : -1) * 0.035 * scale;
  const ahead = leg.upper * 0.99;
  const sin = Math.sin(bodyYaw * 0.4), cos = Math.cos(bodyYaw * 0.4);
  ankle[0] = positions[upper * 3] + out * cos - ahead * sin;
  ankle[1] = positions[upper * 3 + 1] - leg.lower * 0.98;
  ankle[2] = positions[upper * 3 + 2] - out * sin - ahead * cos;
  knee[0] = -sin + out;
  knee[1] = 1.2;
  knee[2] = -cos;
  fromYawPitch(rotations, (upper + 2) * 4, bodyYaw * 0.4 - out * 2, 0);
}

/**
 * From the hip to where the ankle shall be.
 * @param {Float64Array} positions
 * @param {number} upper
 */
function reachFor(positions, upper) {
  return Math.hypot(ankle[0] - positions[upper * 3], ankle[1] - positions[upper * 3 + 1],
    ankle[2] - positions[upper * 3 + 2]);
}

/**
 * @param {Solver} solver
 * @param {Float64Array} pose
 * @param {number} k
 * @param {number} upper
 */
function plantedFoot({ body, gait, bodyYaw }, pose, k, upper) {
  const { rotations, offsets, positions } = body;
  const foot = gait.feet[k];
  const yaw = pose[3];
  const sin = Math.sin(yaw), cos = Math.cos(yaw);
  const dx = foot.x - pose[0], dz = foot.z - pose[2];
  const ankleM = offsets[1] + offsets[upper * 3 + 1] + offsets[upper * 3 + 4]
    + offsets[upper * 3 + 7];
  ankle[0] = dx * cos - dz * sin;
  ankle[1] = Math.max(0, ankleM) + foot.lift + 0.05 * Math.max(0, -Math.sin(foot.pitch));
  ankle[2] = dx * sin + dz * cos;
  // Feet of who is higher than the legs are long come along.
  const reach = leg.upper + leg.lower;
  const gap = positions[upper * 3 + 1] - reach - ankle[1];
  if (gap > 0) ankle[1] += gap;
  const turned = foot.yaw - yaw;
  // A foot that the leg cannot reach any more stands on its toes.
  const excess = reachFor(positions, upper) - reach;
  const heel = clamp(excess * 1.4, 0, 0.11 * body.scale);
  ankle[0] -= Math.sin(turned) * heel * 0.5;
  ankle[1] += heel;
  ankle[2] -= Math.cos(turned) * heel * 0.5;
  fromYawPitch(rotations, (upper + 2) * 4, turned, foot.pitch - heel * 5.5);
  const out = (k ? 1 : -1) * 0.22;
  const mean = turned + arc(bodyYaw - turned) * 0.5;
  knee[0] = -Math.sin(mean) + out * Math.cos(mean);
  knee[1] = 0;
  knee[2] = -Math.cos(mean) - out * Math.sin(mean);
}
