/**
 * What props mean for a body: what it bumps into, where it can sit, which portal it stands in.
 * Pure.
 */

import { POINT_STRIDE } from "./view.js";
import { yawOfRotation } from "./quaternion.js";

/** @typedef {import("./props.js").PropStore} PropStore */
/** @typedef {import("./props.js").Prop} Prop */
/** @typedef {import("./scene.js").Box} Box */

const PORTAL_M = 0.9;
const PORTAL_HIGH_M = 2.5;
const SEAT_M = 0.9;
/** More than these make a step of the body slow; the nearest to where one stands count. */
const BOXES_MAX = 400;
const at = new Float64Array(3 + POINT_STRIDE);

/**
 * The boxes of props that collide: shapes as they are seen, upright and turned about the vertical.
 * One that is tilted counts as the upright box around it.
 * @param {PropStore} store
 * @param {{x: number, z: number}} near
 * @returns {Box[]}
 */
export function colliders(store, near) {
  /** @type {{prop: import("./props.js").Prop, away: number}[]} */
  const found = [];
  for (const key of store.of("collider")) {
    const prop = store.props.get(key);
    if (!prop) continue;
    if (store.held.has(prop.key) || store.flights.has(prop.key)) continue;
    if (!store.worldTransformOf(prop.key, at)) continue;
    found.push({ prop,
      away: Math.hypot(at[0] - near.x, at[2] - near.z) - at[7] - at[8] - at[9] });
  }
  if (found.length > BOXES_MAX) found.sort((a, b) => a.away - b.away);
  return found.slice(0, BOXES_MAX).map(({ prop: { key, properties } }) => {
    store.worldTransformOf(key, at);
    return boxOf(properties.title, properties.kind === "shape" ? properties.form : "");
  });
}

/** The box of the transform in `at`. @param {string} name @param {string} form @returns {Box} */
function boxOf(name, form) {
  const [x, y, z, i, j, k, r] = at;
  const [wide, tall, deep] = [at[7], at[8], form === "plane" ? 0.02 : at[9]];
  const upright = 1 - 2 * (i * i + k * k);
  if (upright > 0.995) {
    return { name, x, z, wide, deep, bottom: y - tall / 2, top: y + tall / 2,
      yaw: yawOfRotation(at, 3) };
  }
  // How far the three axes of the box reach along each of the world's.
  const reach = (/** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ c) => (
    (Math.abs(a) * wide + Math.abs(b) * tall + Math.abs(c) * deep) / 2);
  const highX = reach(1 - 2 * (j * j + k * k), 2 * (i * j - r * k), 2 * (i * k + r * j));
  const highY = reach(2 * (i * j + r * k), upright, 2 * (j * k - r * i));
  const highZ = reach(2 * (i * k - r * j), 2 * (j * k + r * i), 1 - 2 * (i * i + j * j));
  return { name, x, z, wide: 2 * highX, deep: 2 * highZ, bottom: y - highY, top: y + highY,
    yaw: 0 };
}

/**
 * The portal that somebody at x, y, z stands in.
 * @param {PropStore} store
 * @param {{x: number, y: number, z: number}} body
 * @returns {{key: string, world: string, title: string} | null}
 */
export function portalAt(store, body) {
  for (const key of store.of("portal")) {
    const properties = store.props.get(key)?.properties;
    if (properties?.kind !== "portal" || !properties.world) continue;
    if (!store.worldTransformOf(key, at)) continue;
    const reach = PORTAL_M * Math.max(at[7], at[9], 0.5);
    const near = Math.hypot(at[0] - body.x, at[2] - body.z) < reach;
    if (near && Math.abs(at[1] - body.y) < PORTAL_HIGH_M) {
      return { key, world: properties.world, title: properties.title };
    }
  }
  return null;
}

/**
 * The prop to sit on that is nearest to a point, within reach of it.
 * @param {PropStore} store
 * @param {{x: number, y: number, z: number}} point
 * @returns {Prop | null}
 */
export function seatNear(store, point) {
  /** @type {Prop | null} */
  let best = null;
  let nearest = SEAT_M;
  for (const key of store.of("seat")) {
    const prop = store.props.get(key);
    if (!prop || !store.worldTransformOf(key, at)) continue;
    const away = Math.hypot(at[0] - point.x, at[1] - point.y, at[2] - point.z);
    if (away < nearest) [best, nearest] = [prop, away];
  }
  return best;
}
