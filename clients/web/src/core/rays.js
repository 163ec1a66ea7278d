/**
 * Rays against the scene's solids: where one looks, points and clicks. Pure.
 *
 * A ray is an origin and a direction of length 1; distances are metres along it. Solids are boxes
 * turned about the vertical and upright cylinders, as the server collides them.
 */

/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {import("./scene.js").Box} Box */
/** @typedef {import("./scene.js").Cylinder} Cylinder */
/** @typedef {{x: number, y: number, z: number}} Vector */
/**
 * @typedef {{distance: number, isGround: boolean}} Hit `isGround`: on top of something or the floor
 */

const NEVER = { distance: Infinity, isGround: false };

/**
 * The nearest solid or floor along a ray.
 * @param {Scene} scene
 * @param {Vector} origin
 * @param {Vector} direction
 * @returns {Hit} with a distance of Infinity when there is none
 */
export function castRay(scene, origin, direction) {
  let best = NEVER;
  if (direction.y < -1e-6 && origin.y >= scene.floor) {
    best = { distance: (scene.floor - origin.y) / direction.y, isGround: true };
  }
  for (const boxes of [scene.boxes, scene.moreBoxes]) {
    for (const box of boxes) best = nearer(best, hitBox(box, origin, direction));
  }
  for (const each of scene.cylinders) best = nearer(best, hitCylinder(each, origin, direction));
  return best;
}

/** @param {Hit} a @param {Hit} b */
function nearer(a, b) {
  return b.distance < a.distance ? b : a;
}

/**
 * @param {Box} box
 * @param {Vector} origin
 * @param {Vector} direction
 * @returns {Hit}
 */
export function hitBox(box, origin, direction) {
  const [cos, sin] = [Math.cos(box.yaw), Math.sin(box.yaw)];
  const [ox, oz] = [origin.x - box.x, origin.z - box.z];
  const start = [ox * cos - oz * sin, origin.y, ox * sin + oz * cos];
  const along = [direction.x * cos - direction.z * sin, direction.y,
    direction.x * sin + direction.z * cos];
  const low = [-box.wide / 2, box.bottom, -box.deep / 2];
  const high = [box.wide / 2, box.top, box.deep / 2];
  let [enter, leave, axis] = [-Infinity, Infinity, 0];
  for (let k = 0; k < 3; k++) {
    if (Math.abs(along[k]) < 1e-9) {
      if (start[k] < low[k] || start[k] > high[k]) return NEVER;
      continue;
    }
    const [a, b] = [(low[k] - start[k]) / along[k], (high[k] - start[k]) / along[k]];
    if (Math.min(a, b) > enter) {
      enter = Math.min(a, b);
      axis = k;
    }
    leave = Math.min(leave, Math.max(a, b));
  }
  if (enter > leave || enter < 0) return NEVER;
  return { distance: enter, isGround: axis === 1 && along[1] < 0 };
}

/**
 * @param {Cylinder} cylinder
 * @param {Vector} origin
 * @param {Vector} direction
 * @returns {Hit}
 */
export function hitCylinder(cylinder, origin, direction) {
  const [ox, oz] = [origin.x - cylinder.x, origin.z - cylinder.z];
  if (direction.y < -1e-9) {
    const t = (cylinder.top - origin.y) / direction.y;
    const inside = Math.hypot(ox + direction.x * t, oz + direction.z * t) <= cylinder.radius;
    if (t >= 0 && inside) return { distance: t, isGround: true };
  }
  const a = direction.x ** 2 + direction.z ** 2;
  const b = ox * direction.x + oz * direction.z;
  const c = ox * ox + oz * oz - cylinder.radius ** 2;
  const root = b * b - a * c;
  if (a < 1e-12 || root < 0) return NEVER;
  const t = (-b - Math.sqrt(root)) / a;
  const y = origin.y + direction.y * t;
  if (t < 0 || y < cylinder.bottom || y > cylinder.top) return NEVER;
  return { distance: t, isGround: false };
}
