/**
 * What stands on what: which way a surface of the scene faces, and where a thing rests on one.
 *
 * A thing touches a surface with the side that it turns to it. Upright, that is a matter of its
 * size along the normal; aligned, its own up becomes the normal (a sign on a wall faces the room
 * instead, since nobody reads the floor). Pure.
 */

import { heightAbove } from "./palette.js";
import { fromYaw, multiply, rotate } from "./quaternion.js";

/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {import("./rays.js").Vector} Vector */
/** @typedef {import("./palette.js").PaletteEntry} PaletteEntry */

const NEAR_M = 0.01;
const STEEP = 0.5;
const SIGN_AWAY_M = 0.03;
const LAMP_AWAY_M = 0.15;
const turned = new Float64Array(4);

/**
 * The normal of the solid whose surface a point is on, into `out`; up where there is none.
 * @param {Scene} scene
 * @param {Vector} point
 * @param {Vector} out
 */
export function normalAt(scene, point, out) {
  set(out, 0, 1, 0);
  for (const boxes of [scene.boxes, scene.moreBoxes]) {
    for (const box of boxes) if (boxNormal(box, point, out)) return out;
  }
  for (const each of scene.cylinders) if (cylinderNormal(each, point, out)) return out;
  return out;
}

/** @param {import("./scene.js").Box} box @param {Vector} point @param {Vector} out */
function boxNormal(box, point, out) {
  const [cos, sin] = [Math.cos(box.yaw), Math.sin(box.yaw)];
  const [dx, dz] = [point.x - box.x, point.z - box.z];
  const x = dx * cos - dz * sin;
  const z = dx * sin + dz * cos;
  const away = [Math.abs(x) - box.wide / 2, Math.max(point.y - box.top, box.bottom - point.y),
    Math.abs(z) - box.deep / 2];
  const most = Math.max(...away);
  if (Math.abs(most) > NEAR_M) return false;
  if (most === away[1]) set(out, 0, point.y > (box.top + box.bottom) / 2 ? 1 : -1, 0);
  else if (most === away[0]) set(out, Math.sign(x) * cos, 0, -Math.sign(x) * sin);
  else set(out, Math.sign(z) * sin, 0, Math.sign(z) * cos);
  return true;
}

/** @param {import("./scene.js").Cylinder} cylinder @param {Vector} point @param {Vector} out */
function cylinderNormal(cylinder, point, out) {
  const [dx, dz] = [point.x - cylinder.x, point.z - cylinder.z];
  const length = Math.hypot(dx, dz);
  const around = length - cylinder.radius;
  const above = Math.max(point.y - cylinder.top, cylinder.bottom - point.y);
  if (Math.abs(Math.max(around, above)) > NEAR_M) return false;
  if (above > around) set(out, 0, point.y > (cylinder.top + cylinder.bottom) / 2 ? 1 : -1, 0);
  else set(out, dx / length, 0, dz / length);
  return true;
}

/** @param {Vector} out @param {number} x @param {number} y @param {number} z */
function set(out, x, y, z) {
  out.x = x;
  out.y = y;
  out.z = z;
}

/**
 * The shortest turn from up to a direction of length 1, into 4 numbers of `out`.
 * @param {Float64Array} out
 * @param {number} at
 * @param {Vector} normal
 */
export function fromUp(out, at, { x, y, z }) {
  if (y < -0.99999) return void out.set([1, 0, 0, 0], at);
  const w = Math.sqrt((1 + y) / 2);
  out.set([z / (2 * w), 0, -x / (2 * w), w], at);
}

/**
 * Half of a thing's size along a direction, turned as it is: how far its middle is from a plane
 * that it touches.
 * @param {Float64Array} place 10 numbers
 * @param {Vector} normal
 */
export function halfAlong(place, { x, y, z }) {
  turned.set([-place[3], -place[4], -place[5], place[6]]);
  const own = new Float64Array(3);
  rotate(own, 0, turned, 0, x, y, z);
  return (Math.abs(own[0]) * place[7] + Math.abs(own[1]) * place[8] + Math.abs(own[2]) * place[9])
    / 2;
}

/**
 * Where a thing of the palette rests on a surface, into the place `out`.
 * @param {Float64Array} out 10 numbers
 * @param {PaletteEntry} what
 * @param {{point: Vector, normal: Vector, isAligned: boolean}} on
 */
export function restOn(out, what, { point, normal, isAligned }) {
  const { kind } = what.properties;
  const isWall = Math.abs(normal.y) < STEEP;
  out.set([point.x, point.y, point.z, 0, 0, 0, 1, ...what.scale]);
  let away = heightAbove(what);
  if (kind === "sign" && isWall) {
    fromYaw(out, 3, Math.atan2(normal.x, normal.z));
    away = SIGN_AWAY_M;
  } else if (isAligned && normal.y < 1 - 1e-6) {
    fromUp(out, 3, normal);
    if (kind === "light") away = LAMP_AWAY_M;
  } else if (normal.y < STEEP) away = kind === "shape" ? halfAlong(out, normal) : 0;
  const isLifted = normal.y >= STEEP && !isAligned;
  out[0] += isLifted ? 0 : normal.x * away;
  out[1] += isLifted ? away : normal.y * away;
  out[2] += isLifted ? 0 : normal.z * away;
}

/**
 * Lays a thing that is somewhere onto a surface: it touches it, upright as it was or aligned.
 * @param {Float64Array} place 10 numbers, changed
 * @param {PaletteEntry} what it is; its scale counts as it is in `place`
 * @param {{point: Vector, normal: Vector, isAligned: boolean}} on
 */
export function layOn(place, what, { point, normal, isAligned }) {
  if (isAligned) {
    const up = new Float64Array(3);
    rotate(up, 0, place, 3, 0, 1, 0);
    // Turn its own up to the normal by way of the vertical, so that it faces where it faced.
    fromUp(turned, 0, { x: up[0], y: up[1], z: up[2] });
    for (let k = 0; k < 3; k++) turned[k] = -turned[k];
    multiply(place, 3, turned, 0, place, 3);
    fromUp(turned, 0, normal);
    multiply(place, 3, turned, 0, place, 3);
  }
  const isSolid = what.properties.kind === "shape" || what.properties.kind === "zone";
  const away = isSolid ? halfAlong(place, normal)
    : heightAbove({ ...what, scale: [...place.subarray(7, 10)] });
  place[0] = point.x + normal.x * away;
  place[1] = point.y + normal.y * away;
  place[2] = point.z + normal.z * away;
}
