/**
 * A map of the floor, which the ground's shader reads at every point:
 *
 *   red    the distance to the edge of the lawns     (signed, so that edges are crisp
 *   green  the distance to the edge of bands and beds  although the map is coarse)
 *   blue   how much of the sky is hidden by what stands there: ambient occlusion
 *   alpha  by day how much of the sun is hidden, by night how much the lamps light
 *
 * So the cheapest device has soft shadows of everything that stands still, for one look-up. Only
 * alpha depends on the hour. Pure: it fills bytes.
 */

import { measureOf } from "./plan.js";
import { bulbsOn, stringAt } from "./plants.js";

/** @typedef {import("../../core/scene.js").Scene} Scene */
/** @typedef {import("../../core/scene.js").Box} Box */
/** @typedef {import("./plan.js").Plan} Plan */
/** @typedef {import("./plan.js").Patch} Patch */
/** @typedef {import("./plants.js").Crown} Crown */
/** @typedef {{size: number, minX: number, minZ: number, wide: number, deep: number,
 *   bytes: Uint8Array}} Mask */
/** @typedef {{minX: number, minZ: number, maxX: number, maxZ: number}} Area */

/** Beyond the walls the map goes on this far. */
const MARGIN_M = 6;
/** Distances to edges are told up to this far. */
export const EDGE_M = 2;
const [LAWN, BAND, HIDDEN, SHADE] = [0, 1, 2, 3];
const SOFT_M = 0.3;
const LAMP_M = 7;

/** @param {Scene} place @param {Plan} plan @param {{size: number, crowns: Crown[]}} options
 *  @returns {Mask} */
export function bakeMask(place, plan, { size, crowns }) {
  const [wide, deep] = [place.maxX - place.minX + 2 * MARGIN_M,
    place.maxZ - place.minZ + 2 * MARGIN_M];
  const mask = { size, minX: place.minX - MARGIN_M, minZ: place.minZ - MARGIN_M, wide, deep,
    bytes: new Uint8Array(size * size * 4) };
  const lay = (/** @type {Patch} */ it, /** @type {number} */ channel, add = true) => {
    const measure = measureOf(it);
    visit(mask, grow(boundsOf(it), EDGE_M), (at, x, z) => {
      const value = 127.5 * (1 - measure(x, z) / EDGE_M);
      const had = mask.bytes[at + channel];
      mask.bytes[at + channel] = clamp(add ? Math.max(had, value) : Math.min(had, 255 - value));
    });
  };
  for (const each of plan.lawns) lay(each, LAWN);
  for (const each of plan.cuts) lay(each, LAWN, false);
  for (const each of plan.bands) lay(each, BAND);
  for (const each of plan.rings) layRing(mask, each);
  // A band ends where grass begins; what is drawn as a band on a lawn is a bed.
  for (let at = 0; at < mask.bytes.length; at += 4) {
    mask.bytes[at + BAND] = Math.min(mask.bytes[at + BAND], 255 - mask.bytes[at + LAWN]);
  }
  for (const each of plan.beds) {
    lay(each, BAND);
    lay(each, LAWN);
  }
  hideSky(mask, place, crowns);
  return mask;
}

/** @param {Mask} mask @param {import("./plan.js").Ring} it */
function layRing(mask, it) {
  visit(mask, around(it.x, it.z, it.radius + EDGE_M), (at, x, z) => {
    const off = Math.abs(length(x - it.x, z - it.z) - it.radius) - it.wide / 2;
    mask.bytes[at + BAND] = Math.max(mask.bytes[at + BAND], clamp(127.5 * (1 - off / EDGE_M)));
  });
}

/** @param {Mask} mask @param {Scene} place @param {Crown[]} crowns */
function hideSky(mask, place, crowns) {
  const { bytes } = mask;
  const hide = (/** @type {number} */ at, /** @type {number} */ share) => {
    bytes[at + HIDDEN] = 255 - (255 - bytes[at + HIDDEN]) * (1 - share);
  };
  for (const each of place.boxes) {
    const [low, high] = [each.bottom - place.floor, each.top - place.floor];
    if (low > 4) continue;
    const reach = 0.35 + Math.min(high, 3) * 0.45 + low * 0.4;
    const most = (low > 0.3 ? 0.4 : 0.62) / (1 + low * 0.15);
    const measure = measureOf({ ...each, round: 0 });
    visit(mask, grow(boundsOf(each), reach),
      (at, x, z) => hide(at, most * fall(measure(x, z) / reach)));
  }
  for (const each of place.cylinders) {
    if (each.bottom - place.floor > 2) continue;
    const reach = 0.3 + Math.min(each.top - each.bottom, 3) * 0.3 + Math.min(each.radius, 1) * 0.4;
    visit(mask, around(each.x, each.z, each.radius + reach), (at, x, z) =>
      hide(at, 0.6 * fall((length(x - each.x, z - each.z) - each.radius) / reach)));
  }
  for (const each of crowns) {
    visit(mask, around(each.x, each.z, each.wide * 1.3), (at, x, z) =>
      hide(at, 0.4 * fall(length(x - each.x, z - each.z) / (each.wide * 1.3))));
  }
}

/** From 1 at the edge to 0, fast and then slowly. @param {number} share */
function fall(share) {
  const left = 1 - Math.min(Math.max(share, 0), 1);
  return left * left;
}

/**
 * @param {Mask} mask
 * @param {Scene} place
 * @param {{crowns: Crown[], light: number[]}} by what shades beside the solids, and where the
 *   light is
 */
export function bakeShade(mask, place, { crowns, light }) {
  clear(mask);
  const [sx, sz] = [-light[0] / light[1], -light[2] / light[1]];
  for (const each of place.boxes) {
    const [low, high] = [each.bottom - place.floor, each.top - place.floor];
    const edges = sweep(each, [sx * low, sz * low], [sx * high, sz * high]);
    const soft = SOFT_M + high * 0.02;
    const bounds = boundsOf(each);
    const area = grow({ minX: bounds.minX + Math.min(sx * low, sx * high),
      minZ: bounds.minZ + Math.min(sz * low, sz * high),
      maxX: bounds.maxX + Math.max(sx * low, sx * high),
      maxZ: bounds.maxZ + Math.max(sz * low, sz * high) }, soft);
    visit(mask, area, (at, x, z) => {
      let off = -Infinity;
      for (const [nx, nz, d] of edges) off = Math.max(off, nx * x + nz * z - d);
      darken(mask, at, 0.5 - off / soft);
    });
  }
  for (const each of place.cylinders) {
    const [low, high] = [each.bottom - place.floor, each.top - place.floor];
    const [x0, z0, dx, dz] = [each.x + sx * low, each.z + sz * low, sx * (high - low),
      sz * (high - low)];
    const square = dx * dx + dz * dz || 1;
    visit(mask, grow(spanned(x0, z0, x0 + dx, z0 + dz), each.radius + 1), (at, x, z) => {
      const share = Math.min(Math.max(((x - x0) * dx + (z - z0) * dz) / square, 0), 1);
      const off = length(x - x0 - dx * share, z - z0 - dz * share) - each.radius * 0.85;
      darken(mask, at, 0.5 - off / (SOFT_M + 0.1 * share));
    });
  }
  for (const each of crowns) shadeCrown(mask, place, each, [sx, sz]);
}

/** Dappled, and longer the lower the light. @param {Mask} mask @param {Scene} place
 *  @param {Crown} it @param {number[]} slant */
function shadeCrown(mask, place, it, [sx, sz]) {
  const middle = it.y - place.floor + it.high * 0.35;
  const [x0, z0] = [it.x + sx * middle, it.z + sz * middle];
  const low = Math.hypot(sx, sz);
  const [ux, uz] = low ? [sx / low, sz / low] : [1, 0];
  const stretch = Math.hypot(it.wide, it.high * 0.55 * low) / it.wide;
  visit(mask, around(x0, z0, it.wide * stretch * 1.25), (at, x, z) => {
    const [dx, dz] = [x - x0, z - z0];
    const along = (dx * ux + dz * uz) / stretch;
    const off = length(along, dz * ux - dx * uz) / it.wide;
    const dapple = Math.sin(x * 2.3 + Math.sin(z * 1.9) * 1.4) * Math.sin(z * 2.7 + x * 0.8);
    darken(mask, at, Math.min((1.1 - off) * 3.2 + dapple * 0.6, 0.95));
  });
}

/** What the lamps light. @param {Mask} mask @param {Plan} plan */
export function bakeLamps(mask, plan) {
  clear(mask);
  const lamps = plan.lamps.map((each) => ({ ...each, power: 0.85 }));
  for (const [from, to] of plan.strings) {
    const count = bulbsOn(from, to);
    for (let at = 2; at < count; at += 4) {
      lamps.push({ ...stringAt(from, to, at / count), power: 0.3 });
    }
  }
  if (plan.heart) lamps.push({ ...plan.heart, y: 1, power: 0.9 });
  for (const { x: lx, z: lz, power } of lamps) {
    visit(mask, around(lx, lz, LAMP_M), (at, x, z) => darken(mask, at,
      power * fall(length(x - lx, z - lz) / LAMP_M)));
  }
}

/** @param {Mask} mask */
function clear({ bytes }) {
  for (let at = SHADE; at < bytes.length; at += 4) bytes[at] = 0;
}

/** Two shades together hide what either leaves. @param {Mask} mask @param {number} at
 *  @param {number} share */
function darken({ bytes }, at, share) {
  if (share <= 0) return;
  bytes[at + SHADE] = 255 - (255 - bytes[at + SHADE]) * (1 - Math.min(share, 1));
}

/** The half-planes around the shadow of a box: of its corners, moved to where the lowest and the
 *  highest of them throw their shadow. @param {Box} box @param {number[]} low
 *  @param {number[]} high @returns {number[][]} normal and distance */
function sweep(box, low, high) {
  const [cos, sin] = [Math.cos(box.yaw), Math.sin(box.yaw)];
  const points = [low, high].flatMap(([mx, mz]) => [[-1, -1], [1, -1], [1, 1], [-1, 1]]
    .map(([a, b]) => [(a * box.wide) / 2, (b * box.deep) / 2])
    .map(([u, v]) => [box.x + u * cos + v * sin + mx, box.z - u * sin + v * cos + mz]));
  const [dx, dz] = [high[0] - low[0], high[1] - low[1]];
  const far = Math.hypot(dx, dz);
  const normals = [[cos, -sin], [-cos, sin], [sin, cos], [-sin, -cos]];
  if (far > 0) normals.push([dz / far, -dx / far], [-dz / far, dx / far]);
  return normals.map(([nx, nz]) =>
    [nx, nz, Math.max(...points.map(([x, z]) => nx * x + nz * z))]);
}

/** @param {{x: number, z: number, wide: number, deep: number, yaw: number}} it
 *  @returns {Area} */
function boundsOf({ x, z, wide, deep, yaw }) {
  const [cos, sin] = [Math.abs(Math.cos(yaw)), Math.abs(Math.sin(yaw))];
  const [halfX, halfZ] = [(wide * cos + deep * sin) / 2, (wide * sin + deep * cos) / 2];
  return { minX: x - halfX, minZ: z - halfZ, maxX: x + halfX, maxZ: z + halfZ };
}

/** @param {number} x @param {number} z @param {number} reach @returns {Area} */
function around(x, z, reach) {
  return { minX: x - reach, minZ: z - reach, maxX: x + reach, maxZ: z + reach };
}

/** @param {number} x0 @param {number} z0 @param {number} x1 @param {number} z1 @returns {Area} */
function spanned(x0, z0, x1, z1) {
  return { minX: Math.min(x0, x1), minZ: Math.min(z0, z1), maxX: Math.max(x0, x1),
    maxZ: Math.max(z0, z1) };
}

/** @param {Area} area @param {number} by @returns {Area} */
function grow({ minX, minZ, maxX, maxZ }, by) {
  return { minX: minX - by, minZ: minZ - by, maxX: maxX + by, maxZ: maxZ + by };
}

/** Calls with the first byte and the place of every pixel in an area. @param {Mask} mask
 *  @param {Area} area @param {(at: number, x: number, z: number) => void} call */
function visit({ size, minX, minZ, wide, deep }, area, call) {
  const [i0, i1] = [pixel(area.minX - minX, wide, size), pixel(area.maxX - minX, wide, size)];
  const [j0, j1] = [pixel(area.minZ - minZ, deep, size), pixel(area.maxZ - minZ, deep, size)];
  for (let j = j0; j <= j1; j++) {
    const z = minZ + ((j + 0.5) / size) * deep;
    for (let i = i0; i <= i1; i++) {
      call((j * size + i) * 4, minX + ((i + 0.5) / size) * wide, z);
    }
  }
}

/** @param {number} off @param {number} long @param {number} size */
function pixel(off, long, size) {
  return Math.min(Math.max(Math.floor((off / long) * size), 0), size - 1);
}

/** Several times as fast as `Math.hypot`. @param {number} dx @param {number} dz */
function length(dx, dz) {
  return Math.sqrt(dx * dx + dz * dz);
}

/** @param {number} value */
function clamp(value) {
  return Math.min(Math.max(value, 0), 255);
}
