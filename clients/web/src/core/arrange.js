/**
 * How a real room lies in the world: turned about the vertical, scaled, and shifted. Pure.
 *
 * An arrangement takes a place of the room (as a headset measures it, metres from its own origin)
 * to a place of the world. It is found from one place and direction that is known in both: the
 * point of the floor that was pointed at, or a marker that somebody else in the same room has
 * shown. Two people who use the same marker see the world at the same place of their room.
 */

/** @typedef {{x: number, y: number, z: number, yaw: number}} Spot a place and a direction */
/** @typedef {{x: number, y: number, z: number, yaw: number, scale: number}} Arrangement
 *   `scale`: metres of the world for each metre of the room */

const APART_M_MIN = 0.02;
export const SCALE_MAX = 200;

/**
 * The arrangement that takes `room` to `world`.
 * @param {Spot} room
 * @param {Spot} world
 * @param {number} scale
 * @returns {Arrangement}
 */
export function arrange(room, world, scale) {
  const yaw = world.yaw - room.yaw;
  const { x, z } = turned(room.x, room.z, yaw);
  return { yaw, scale, x: world.x - scale * x, y: world.y - scale * room.y,
    z: world.z - scale * z };
}

/** @param {Arrangement} arrangement @param {Spot} room @returns {Spot} */
export function toWorld({ x, y, z, yaw, scale }, room) {
  const at = turned(room.x, room.z, yaw);
  return { x: x + scale * at.x, y: y + scale * room.y, z: z + scale * at.z, yaw: yaw + room.yaw };
}

/** @param {Arrangement} arrangement @param {Spot} world @returns {Spot} */
export function toRoom({ x, y, z, yaw, scale }, world) {
  const at = turned((world.x - x) / scale, (world.z - z) / scale, -yaw);
  return { x: at.x, y: (world.y - y) / scale, z: at.z, yaw: world.yaw - yaw };
}

/**
 * The same place of the world at the same place of the room, with another scale.
 * @param {Arrangement} arrangement
 * @param {Spot} room the place that stays
 * @param {number} scale
 */
export function rescaled(arrangement, room, scale) {
  return arrange(room, toWorld(arrangement, room), scale);
}

/**
 * What two fingers or hands do that hold the world: it is turned, scaled and shifted so that the
 * two places of it stay under them. Up and down it follows the middle of both.
 * @param {Arrangement} before
 * @param {{from: [Spot, Spot], to: [Spot, Spot]}} fingers in the room
 * @returns {Arrangement} the one of before, when the two are too close together to tell
 */
export function pinched(before, { from: [a, b], to: [c, d] }) {
  const was = Math.hypot(b.x - a.x, b.z - a.z);
  const is = Math.hypot(d.x - c.x, d.z - c.z);
  if (was < APART_M_MIN || is < APART_M_MIN) return before;
  const turn = Math.atan2(-(b.z - a.z), b.x - a.x) - Math.atan2(-(d.z - c.z), d.x - c.x);
  const scale = Math.min(Math.max((before.scale * was) / is, 1), SCALE_MAX);
  const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, z: (a.z + b.z) / 2, yaw: 0 };
  const room = { x: (c.x + d.x) / 2, y: (c.y + d.y) / 2, z: (c.z + d.z) / 2, yaw: 0 };
  const world = toWorld(before, middle);
  world.yaw = before.yaw + turn;
  return arrange(room, world, scale);
}

/**
 * A yaw is counter-clockwise seen from above.
 * @param {number} x
 * @param {number} z
 * @param {number} yaw
 */
function turned(x, z, yaw) {
  const [sin, cos] = [Math.sin(yaw), Math.cos(yaw)];
  return { x: x * cos + z * sin, z: z * cos - x * sin };
}
