/**
 * The static scene as pages draw it and walk in it.
 *
 * The server's scene JSON is read tolerantly: what is missing or of another shape is left out, so
 * that an older page still shows a newer world. Points are [x, y, z] or [x, z] arrays or objects
 * with x and z. Pure.
 */

/** @typedef {{name: string, x: number, z: number, wide: number, deep: number, bottom: number,
 *   top: number, yaw: number}} Box */
/** @typedef {{name: string, x: number, z: number, radius: number, bottom: number, top: number}}
 *   Cylinder */
/** @typedef {{id: number, name: string, x: number, y: number, z: number, yaw: number,
 *   radius: number}} Seat also a spawn, whose radius is that of its disc */
/** @typedef {{name: string, kind: string, x: number, z: number, wide: number, deep: number,
 *   bottom: number, top: number}} Zone */
/** @typedef {{speed: number, acceleration: number, bodyRadius: number, jump: number, reach: number,
 *   teleportRange: number}} Movement metres and seconds, as the server enforces them */
/** @typedef {{name: string, minX: number, minZ: number, maxX: number, maxZ: number,
 *   minY: number, maxY: number, floor: number, radius: number, nearby: number,
 *   boxes: Box[], moreBoxes: Box[], cylinders: Cylinder[], seats: Seat[],
 *   zones: Zone[], spawns: Seat[],
 *   movement: Movement}} Scene */
/** @typedef {Record<string, unknown>} Raw */

const EXTENT_M_DEFAULT = 30;
/** Far beyond what a world may have; what is larger is no place but a mistake. */
const NUMBER_MAX = 1e6;
const ENTRIES_MAX = 10_000;
/** As in the server's rules: edges up to this height are climbed, higher ones are walls. */
const STEP_UP_M = 0.5;
const BODY_HEIGHT_M = 1.8;
/** Kept from what blocks, so that rounding to millimetres does not end inside of it. */
const CLEARANCE_M = 0.01;

/**
 * @param {unknown} json
 * @returns {Scene}
 */
export function readScene(json) {
  const raw = record(json);
  const extent = record(raw.extent);
  const movement = record(raw.movement);
  const min = ground(extent.min_m ?? extent.min) ?? { x: -EXTENT_M_DEFAULT, z: -EXTENT_M_DEFAULT };
  const max = ground(extent.max_m ?? extent.max) ?? { x: EXTENT_M_DEFAULT, z: EXTENT_M_DEFAULT };
  return {
    name: text(raw.title) || text(raw.name),
    minX: Math.min(min.x, max.x),
    minZ: Math.min(min.z, max.z),
    maxX: Math.max(min.x, max.x),
    maxZ: Math.max(min.z, max.z),
    minY: height(extent.min_m, -50),
    maxY: height(extent.max_m, 50),
    floor: number(raw.floor_m),
    radius: number(raw.interest_radius_m, 30),
    nearby: number(raw.nearby_m, 20),
    boxes: each(raw.boxes, readBox),
    // What people have put there and what collides; kept up to date by whoever keeps the props.
    moreBoxes: [],
    cylinders: each(raw.cylinders, readCylinder),
    seats: each(raw.seats, readSeat),
    zones: each(raw.zones, readZone),
    spawns: each(raw.spawns, readSeat),
    movement: {
      speed: number(movement.speed_m_per_s_max, 4),
      acceleration: number(movement.acceleration_m_per_s2_max, 10),
      bodyRadius: number(movement.body_radius_m, 0.3),
      jump: number(movement.jump_m_max, 1),
      reach: number(movement.reach_m_max, 1.5),
      teleportRange: number(movement.teleport_range_m_max, 10),
    },
  };
}

/** The scene before the server has told any. */
export function emptyScene() {
  return readScene({});
}

/** @param {unknown} value @returns {Raw} */
function record(value) {
  return value !== null && typeof value === "object" ? /** @type {Raw} */ (value) : {};
}

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" ? value.slice(0, 64) : "";
}

/**
 * A number that one can reckon with: sums and squares of such ones are still numbers.
 * @param {unknown} value
 * @returns {value is number}
 */
function isSane(value) {
  return typeof value === "number" && Math.abs(value) <= NUMBER_MAX;
}

/** @param {...unknown} values the first that is a sane number, else 0 */
function number(...values) {
  for (const value of values) if (isSane(value)) return value;
  return 0;
}

/** @param {unknown} value @returns {{x: number, z: number} | null} */
function ground(value) {
  const source = Array.isArray(value) ? value : record(value);
  const [x, z] = Array.isArray(source) ? [source[0], source[source.length - 1]]
    : [source.x, source.z];
  return isSane(x) && isSane(z) ? { x, z } : null;
}

/**
 * @template T
 * @param {unknown} list
 * @param {(raw: Raw, at: number) => T | null} read
 * @returns {T[]}
 */
function each(list, read) {
  if (!Array.isArray(list)) return [];
  const items = list.slice(0, ENTRIES_MAX).map((entry, at) => read(record(entry), at));
  return /** @type {T[]} */ (items.filter((item) => item !== null));
}

/** @param {Raw} raw */
function place(raw) {
  return ground(raw.center) ?? ground(raw.position) ?? ground(raw.at);
}

/** @param {Raw} raw */
function yawOf(raw) {
  return isSane(raw.yaw_deg) ? (raw.yaw_deg * Math.PI) / 180 : number(raw.yaw);
}

/** The height in a point of three numbers. @param {unknown} point @param {number} [usual] */
function height(point, usual = 0) {
  return Array.isArray(point) && point.length > 2 ? number(point[1], usual) : usual;
}

/** Lowest and highest point. @param {Raw} raw @param {number} high */
function span(raw, high) {
  const middle = Array.isArray(raw.center) && raw.center.length > 2 ? number(raw.center[1])
    : high / 2;
  return { bottom: middle - high / 2, top: middle + high / 2 };
}

/** @param {Raw} raw @returns {Box | null} */
function readBox(raw) {
  const at = place(raw);
  const size = Array.isArray(raw.size) ? raw.size : [];
  if (!at || size.length < 2) return null;
  const height = size.length > 2 ? number(size[1]) : number(raw.height_m, 1);
  return { name: text(raw.name), ...at, wide: number(size[0]), deep: number(size[size.length - 1]),
    ...span(raw, height), yaw: yawOf(raw) };
}

/** @param {Raw} raw @returns {Cylinder | null} */
function readCylinder(raw) {
  const at = place(raw);
  const radius = number(raw.radius_m, raw.radius);
  if (!at || radius <= 0) return null;
  return { name: text(raw.name), ...at, radius, ...span(raw, number(raw.height_m, raw.height, 1)) };
}

/** @param {Raw} raw @param {number} at @returns {Seat | null} */
function readSeat(raw, at) {
  const point = place(raw);
  return point && { id: number(raw.id, raw.number, at), name: text(raw.name), ...point,
    y: height(raw.position), yaw: yawOf(raw), radius: number(raw.radius_m) };
}

/** @param {Raw} raw @returns {Zone | null} */
function readZone(raw) {
  const at = place(raw);
  const size = Array.isArray(raw.size) ? raw.size : [];
  if (!at || size.length < 2) return null;
  return { name: text(raw.name), kind: text(raw.kind), ...at, wide: number(size[0]),
    deep: number(size[size.length - 1]), ...span(raw, size.length > 2 ? number(size[1]) : 2) };
}

/**
 * Where a person comes to stand who wants to be at x and z: pushed out of what is too high to
 * climb, inside of the world. The server has the last word, this only spares its corrections.
 * @param {Scene} scene
 * @param {number} x
 * @param {number} z
 * @param {number} y height of the feet now
 */
export function standAt(scene, x, z, y) {
  const radius = scene.movement.bodyRadius;
  for (const solid of scene.cylinders) {
    if (blocks(solid, y)) [x, z] = pushOutOfCylinder(solid, x, z, radius);
  }
  for (const boxes of [scene.boxes, scene.moreBoxes]) {
    for (const box of boxes) if (blocks(box, y)) [x, z] = pushOutOfBox(box, x, z, radius);
  }
  x = Math.min(Math.max(x, scene.minX), scene.maxX);
  z = Math.min(Math.max(z, scene.minZ), scene.maxZ);
  return { x, z, y: groundAt(scene, x, z, y) };
}

/**
 * The highest ground under a body at x and z that its feet at y can stand on.
 * @param {Scene} scene
 * @param {number} x
 * @param {number} z
 * @param {number} y
 */
export function groundAt(scene, x, z, y) {
  const radius = scene.movement.bodyRadius;
  let ground = scene.floor;
  for (const boxes of [scene.boxes, scene.moreBoxes]) {
    for (const box of boxes) {
      if (box.top <= y + STEP_UP_M && inBox(box, x, z, radius)) ground = Math.max(ground, box.top);
    }
  }
  for (const solid of scene.cylinders) {
    const over = Math.hypot(x - solid.x, z - solid.z) < solid.radius + radius;
    if (solid.top <= y + STEP_UP_M && over) ground = Math.max(ground, solid.top);
  }
  return ground;
}

/** @param {Box | Cylinder} solid @param {number} y */
function blocks(solid, y) {
  return solid.top > y + STEP_UP_M && solid.bottom < y + BODY_HEIGHT_M;
}

/**
 * @param {Cylinder} solid
 * @param {number} x
 * @param {number} z
 * @param {number} radius
 * @returns {[number, number]}
 */
function pushOutOfCylinder(solid, x, z, radius) {
  const [dx, dz] = [x - solid.x, z - solid.z];
  const distance = Math.hypot(dx, dz);
  const reach = solid.radius + radius + CLEARANCE_M;
  if (distance >= reach) return [x, z];
  if (!distance) return [solid.x + reach, solid.z];
  return [solid.x + (dx / distance) * reach, solid.z + (dz / distance) * reach];
}

/**
 * @param {Box} box
 * @param {number} x
 * @param {number} z
 * @param {number} radius
 */
function inBox(box, x, z, radius) {
  const [u, v] = intoBox(box, x, z);
  const outU = Math.max(Math.abs(u) - box.wide / 2, 0);
  const outV = Math.max(Math.abs(v) - box.deep / 2, 0);
  return Math.hypot(outU, outV) < radius;
}

/**
 * A point in the frame of the box.
 * @param {Box} box
 * @param {number} x
 * @param {number} z
 */
function intoBox(box, x, z) {
  const [cos, sin] = [Math.cos(box.yaw), Math.sin(box.yaw)];
  const [dx, dz] = [x - box.x, z - box.z];
  return [dx * cos - dz * sin, dx * sin + dz * cos];
}

/**
 * @param {Box} box
 * @param {number} x
 * @param {number} z
 * @param {number} radius
 * @returns {[number, number]}
 */
function pushOutOfBox(box, x, z, radius) {
  const [cos, sin] = [Math.cos(box.yaw), Math.sin(box.yaw)];
  const reach = radius + CLEARANCE_M;
  let [u, v] = intoBox(box, x, z);
  const [halfU, halfV] = [box.wide / 2, box.deep / 2];
  const nearU = Math.min(Math.max(u, -halfU), halfU);
  const nearV = Math.min(Math.max(v, -halfV), halfV);
  const gap = Math.hypot(u - nearU, v - nearV);
  if (gap >= reach) return [x, z];
  if (gap > 0) {
    u = nearU + ((u - nearU) / gap) * reach;
    v = nearV + ((v - nearV) / gap) * reach;
  } else if (halfU - Math.abs(u) < halfV - Math.abs(v)) u = Math.sign(u || 1) * (halfU + reach);
  else v = Math.sign(v || 1) * (halfV + reach);
  return [box.x + u * cos + v * sin, box.z - u * sin + v * cos];
}
