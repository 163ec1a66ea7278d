/**
 * What is where on the floor: lawns, paths, bands of darker stone, lamps, flowers. Made of the
 * zones and solids of a scene and of nothing else; the ground and the plants are drawn from it.
 *
 * Nothing that rises above the ankle stands where people walk: it stands on a solid, or hugs one.
 * Pure.
 */

import { seedOf, stream } from "./chance.js";
import { kindOfBox, kindOfCylinder } from "./kinds.js";
import { piersOf } from "./masonry.js";

/** @typedef {import("../../core/scene.js").Scene} Scene */
/** @typedef {import("../../core/scene.js").Zone} Zone */
/** @typedef {import("../../core/scene.js").Box} Box */
/** @typedef {import("../../core/scene.js").Cylinder} Cylinder */
/** @typedef {{x: number, z: number, wide: number, deep: number, yaw: number, round: number}}
 *   Patch a rectangle with round corners; a disc is one that is all corner */
/** @typedef {{x: number, z: number, radius: number, wide: number}} Ring */
/** @typedef {{x: number, y: number, z: number}} Point */
/** @typedef {{x: number, z: number, y: number, high: number, hue: number}} Flower */
/** @typedef {{lawns: Patch[], cuts: Patch[], beds: Patch[], bands: Patch[], rings: Ring[],
 *   heart: {x: number, z: number, radius: number, basin: number} | null, lamps: Point[],
 *   strings: [Point, Point][], flowers: Flower[], tufts: Point[]}} Plan */

const DISC_M = 13.5;
const BAND_M = 0.9;
const PATH_M = 2.6;
const BORDER_M = 3;
const TUFTS_MAX = 1000;
const TUFTS_TRIED = 12_000;
/** How close to a solid flowers grow: within the reach of a body they do not stand in the way. */
export const HUG_M = 0.22;

/** @param {Scene} place @returns {Plan} */
export function planOf(place) {
  /** @type {Plan} */
  const plan = { lawns: [], cuts: [], beds: [], bands: [], rings: [], heart: null, lamps: [],
    strings: [], flowers: [], tufts: [] };
  planHeart(plan, place);
  planLawns(plan, place);
  planBands(plan, place);
  planLamps(plan, place);
  planFlowers(plan, place);
  planTufts(plan, place);
  return plan;
}

/** The rings around the fountain. @param {Plan} plan @param {Scene} place */
function planHeart(plan, place) {
  const basin = place.cylinders.find((each) => kindOfCylinder(each) === "basin");
  if (!basin) return;
  const room = Math.min(place.maxX - basin.x, basin.x - place.minX, place.maxZ - basin.z,
    basin.z - place.minZ) - BORDER_M;
  const radius = Math.min(DISC_M, room);
  if (radius < basin.radius + 2) return;
  plan.heart = { x: basin.x, z: basin.z, radius, basin: basin.radius };
  plan.rings.push({ ...plan.heart, wide: BAND_M });
}

/** Grass in gardens, and in quiet places around a round of stone. @param {Plan} plan
 *  @param {Scene} place */
function planLawns(plan, place) {
  for (const zone of place.zones) {
    if (zone.kind !== "garden" && zone.kind !== "quiet") continue;
    const trim = zone.kind === "quiet" ? -1.4 : -0.8;
    plan.lawns.push({ ...patch(zone.x, zone.z, zone.wide - trim, zone.deep - trim), round: 3 });
    const benches = place.boxes.filter((each) => inZone(zone, each)
      && kindOfBox(each) === "bench");
    for (const bench of benches) plan.cuts.push(round(bench.x, bench.z, 1.9));
    if (zone.kind === "quiet") planRound(plan, zone, benches);
    else planPath(plan, zone, benches);
  }
  for (const each of place.cylinders) {
    if (kindOfCylinder(each) !== "tree") continue;
    plan.beds.push(round(each.x, each.z, each.radius + HUG_M + 0.33));
  }
  for (const each of place.boxes) {
    if (kindOfBox(each) !== "hedge") continue;
    plan.beds.push({ ...patch(each.x, each.z, each.wide + 0.7, each.deep + 0.7), yaw: each.yaw,
      round: 0.3 });
  }
}

/** @param {Plan} plan @param {Zone} zone @param {Box[]} benches */
function planRound(plan, zone, benches) {
  if (!benches.length) return;
  const x = benches.reduce((sum, each) => sum + each.x, 0) / benches.length;
  const z = benches.reduce((sum, each) => sum + each.z, 0) / benches.length;
  const reach = Math.max(...benches.map((each) => Math.hypot(each.x - x, each.z - z))) + 1.6;
  plan.cuts.push(round(x, z, reach));
  plan.rings.push({ x, z, radius: reach - 1, wide: 0.8 }, { x, z, radius: 0, wide: 2.6 });
  const long = Math.hypot(zone.wide, zone.deep) / 2;
  plan.cuts.push({ x: x - Math.sign(x) * (long / 2) * Math.SQRT1_2,
    z: z - Math.sign(z) * (long / 2) * Math.SQRT1_2, wide: PATH_M, deep: long,
    yaw: Math.atan2(x, z), round: 0.2 });
}

/** A path of slabs from the middle of the place by the benches. @param {Plan} plan
 *  @param {Zone} zone @param {Box[]} benches */
function planPath(plan, zone, benches) {
  const inward = { x: zone.x - (Math.sign(zone.x) * zone.wide) / 2,
    z: zone.z - (Math.sign(zone.z) * zone.deep) / 2 };
  let from = inward;
  const near = [...benches].sort((a, b) => Math.hypot(a.x - inward.x, a.z - inward.z)
    - Math.hypot(b.x - inward.x, b.z - inward.z));
  for (const to of near) {
    const [dx, dz] = [to.x - from.x, to.z - from.z];
    plan.cuts.push({ x: (from.x + to.x) / 2, z: (from.z + to.z) / 2, wide: PATH_M * 0.7,
      deep: Math.hypot(dx, dz), yaw: Math.atan2(dx, dz), round: 0.7 });
    from = to;
  }
}

/** Darker bands: along the edge of the place, and from its heart outwards. @param {Plan} plan
 *  @param {Scene} place */
function planBands(plan, place) {
  const [x, z] = [(place.minX + place.maxX) / 2, (place.minZ + place.maxZ) / 2];
  const [wide, deep] = [place.maxX - place.minX, place.maxZ - place.minZ];
  if (Math.min(wide, deep) < 6 * BORDER_M) return;
  for (const side of [-1, 1]) {
    plan.bands.push(patch(x, z + side * (deep / 2 - BORDER_M), wide - 2 * BORDER_M, BAND_M),
      patch(x + side * (wide / 2 - BORDER_M), z, BAND_M, deep - 2 * BORDER_M));
  }
  if (!plan.heart) return;
  const { heart } = plan;
  const stage = place.boxes.find((each) => kindOfBox(each) === "stage");
  for (const side of [-1, 1]) {
    for (const edge of [-1, 1]) {
      plan.bands.push(
        between(heart.x + edge * PATH_M, heart.z + side * heart.radius,
          stage && side === Math.sign(stage.z - heart.z)
            ? stage.z - (side * stage.deep) / 2 : z + side * (deep / 2 - BORDER_M), false),
        between(heart.z + edge * PATH_M, heart.x + side * heart.radius,
          x + side * (wide / 2 - BORDER_M), true));
    }
  }
}

/** A straight band at `off`, from one end to the other. @param {number} off
 *  @param {number} from @param {number} to @param {boolean} alongX @returns {Patch} */
function between(off, from, to, alongX) {
  const [middle, long] = [(from + to) / 2, Math.abs(to - from)];
  return alongX ? patch(middle, off, long, BAND_M) : patch(off, middle, BAND_M, long);
}

/** Lanterns on piers and towers, and strings of lights between what is tall. @param {Plan} plan
 *  @param {Scene} place */
function planLamps(plan, place) {
  for (const each of place.boxes) {
    if (kindOfBox(each) !== "wall") continue;
    for (const pier of piersOf(each, place)) {
      if (pier.lamp) plan.lamps.push({ x: pier.x, y: each.top + 1.63, z: pier.z });
    }
  }
  const towers = place.cylinders.filter((each) => kindOfCylinder(each) === "tower");
  for (const { x, z, top } of towers) plan.lamps.push({ x, y: top + 0.25, z });
  for (const wall of place.boxes.filter((each) => kindOfBox(each) === "backdrop")) {
    const ends = [-1, 1].map((side) => ({ x: wall.x + (side * wall.wide * Math.cos(wall.yaw)) / 2,
      y: wall.top - 0.1, z: wall.z - (side * wall.wide * Math.sin(wall.yaw)) / 2 }));
    for (const tower of towers.slice(0, 4)) {
      const near = ends.reduce((one, two) => (apart(one, tower) < apart(two, tower) ? one : two));
      plan.strings.push([near, { x: tower.x, y: tower.top - 0.15, z: tower.z }]);
    }
    if (towers.length === 2) {
      plan.strings.push([towerTop(towers[0]), towerTop(towers[1])]);
    }
  }
  for (const roof of place.boxes.filter((each) => kindOfBox(each) === "roof")) {
    plan.lamps.push({ x: roof.x, y: roof.bottom - 0.2, z: roof.z });
  }
}

/** @param {Cylinder} tower @returns {Point} */
function towerTop({ x, z, top }) {
  return { x, y: top - 0.15, z };
}

/** @param {Point} one @param {{x: number, z: number}} two */
function apart(one, two) {
  return Math.hypot(one.x - two.x, one.z - two.z);
}

/** Flowers around trunks and along hedges and walls, within arm's length of them.
 *  @param {Plan} plan @param {Scene} place */
function planFlowers(plan, place) {
  for (const each of place.cylinders) {
    if (kindOfCylinder(each) !== "tree") continue;
    const random = stream(seedOf(each.name));
    const hue = random();
    for (let at = 0; at < 14; at++) {
      const reach = each.radius + 0.02 + random() * (HUG_M - 0.02);
      const angle = random() * Math.PI * 2;
      plan.flowers.push({ x: each.x + Math.cos(angle) * reach, y: place.floor,
        z: each.z + Math.sin(angle) * reach, high: 0.16 + random() * 0.12, hue });
    }
  }
  for (const each of place.boxes) {
    if (kindOfBox(each) !== "hedge" || each.yaw) continue;
    const random = stream(seedOf(each.name));
    const alongX = each.wide > each.deep;
    const count = Math.min(Math.round(Math.max(each.wide, each.deep) * 5), 200);
    for (let at = 0; at < count; at++) {
      const along = (random() - 0.5) * Math.max(each.wide, each.deep);
      const side = at % 2 ? 1 : -1;
      const off = side * (Math.min(each.wide, each.deep) / 2 + 0.03 + random() * (HUG_M - 0.05));
      plan.flowers.push({ x: each.x + (alongX ? along : off), y: place.floor,
        z: each.z + (alongX ? off : along), high: 0.14 + random() * 0.14,
        hue: Math.floor(along / 4) * 0.37 });
    }
  }
}

/** Low grass, on lawns alone, where they meet stone. @param {Plan} plan @param {Scene} place */
function planTufts(plan, place) {
  const area = plan.lawns.reduce((sum, each) => sum + each.wide * each.deep, 0);
  const random = stream(seedOf("tufts"));
  const lawnAt = lawnOf(plan);
  for (const lawn of plan.lawns) {
    const count = Math.round((TUFTS_TRIED * lawn.wide * lawn.deep) / area);
    for (let at = 0; at < count && plan.tufts.length < TUFTS_MAX; at++) {
      const x = lawn.x + (random() - 0.5) * lawn.wide;
      const z = lawn.z + (random() - 0.5) * lawn.deep;
      const off = lawnAt(x, z);
      if (off < -0.12 && off > -0.15 - random() * 0.7) plan.tufts.push({ x, y: place.floor, z });
    }
  }
}

/** A measure of how far a place is outside of the lawns, negative inside. @param {Plan} plan */
export function lawnOf(plan) {
  const lawns = plan.lawns.map(measureOf);
  const cuts = plan.cuts.map(measureOf);
  return (/** @type {number} */ x, /** @type {number} */ z) => {
    let inside = Infinity;
    for (const each of lawns) inside = Math.min(inside, each(x, z));
    for (const each of cuts) inside = Math.max(inside, -each(x, z));
    return inside;
  };
}

/** A measure of the distance to a patch, negative inside. @param {Patch} it
 *  @returns {(x: number, z: number) => number} */
export function measureOf(it) {
  const [cos, sin, { x: atX, z: atZ, round: corner }] = [Math.cos(it.yaw), Math.sin(it.yaw), it];
  const [halfU, halfV] = [it.wide / 2 - corner, it.deep / 2 - corner];
  return (x, z) => {
    const dx = x - atX;
    const dz = z - atZ;
    const u = Math.abs(dx * cos - dz * sin) - halfU;
    const v = Math.abs(dx * sin + dz * cos) - halfV;
    const inside = u > 0 && v > 0 ? Math.sqrt(u * u + v * v) : Math.max(u, v);
    return inside - corner;
  };
}

/** @param {Zone} zone @param {{x: number, z: number}} it */
function inZone(zone, it) {
  return Math.abs(it.x - zone.x) < zone.wide / 2 && Math.abs(it.z - zone.z) < zone.deep / 2;
}

/** @param {number} x @param {number} z @param {number} wide @param {number} deep
 *  @returns {Patch} */
function patch(x, z, wide, deep) {
  return { x, z, wide, deep, yaw: 0, round: 0 };
}

/** @param {number} x @param {number} z @param {number} radius @returns {Patch} */
function round(x, z, radius) {
  return { x, z, wide: radius * 2, deep: radius * 2, yaw: 0, round: radius };
}
