/**
 * Walls, basins, stages, benches and all other solids. What is drawn fills what collides: tops lie
 * where one stands, sides where one is stopped, within centimetres. Ornaments only stand on top
 * of a solid that nobody can climb, hang where no head reaches, or look over the edge of the
 * world. Pure.
 */

import { seedOf, stream } from "./chance.js";
import { kindOfBox, kindOfCylinder } from "./kinds.js";
import { PAINT, WASHES, blend } from "./palette.js";
import { box, disc, lathe } from "./shapes.js";
import { backdrop, counter, roof, tower } from "./pavilions.js";

/** @typedef {import("../../core/scene.js").Scene} Scene */
/** @typedef {import("../../core/scene.js").Box} Box */
/** @typedef {import("../../core/scene.js").Cylinder} Cylinder */
/** @typedef {import("./mesh.js").Mesh} Mesh */
/** @typedef {{solid: Mesh, cloth: Mesh}} Meshes */

const COPING_M = 0.14;
/** How far a coping or a lip stands out, which no one feels. */
const LIP_M = 0.04;
export const WATER_UNDER_RIM_M = 0.09;
const RIM_M = 0.42;

/** One solid after the other, with a yield after each.
 *  @param {Meshes} meshes @param {Scene} place */
export function* buildMasonry(meshes, place) {
  for (const each of place.boxes) yield BOXES[kindOfBox(each)](meshes, each, place);
  for (const each of place.cylinders) yield CYLINDERS[kindOfCylinder(each)](meshes, each, place);
}

/** @type {Record<import("./kinds.js").BoxKind,
 *   (meshes: Meshes, box: Box, place: Scene) => void>} */
const BOXES = { wall, bench, stage, step: stage, backdrop, counter, roof, hedge, block };

/** @type {Record<import("./kinds.js").CylinderKind,
 *   (meshes: Meshes, cylinder: Cylinder, place: Scene) => void>} */
const CYLINDERS = { tree, basin, fountain, post, tower, pillar };

/** Masonry with a coping, and over the edge of the world piers. @param {Meshes} meshes
 *  @param {Box} it @param {Scene} place */
function wall({ solid }, it, place) {
  const high = it.top - it.bottom;
  const coping = Math.min(COPING_M, high / 3);
  solid.at(it.x, it.bottom, it.z, it.yaw).paint(PAINT.plaster, { detail: 0.8 });
  box(solid, { wide: it.wide, high: high - coping, deep: it.deep });
  solid.at(it.x, it.top - coping, it.z, it.yaw).paint(PAINT.stonePale, { detail: 0.25 });
  box(solid, { wide: it.wide + LIP_M, high: coping, deep: it.deep + LIP_M, bevel: 0.05 });
  for (const pier of piersOf(it, place)) pierAt(solid, it, pier);
}

const PIER_EVERY_M = 12;
const PIER_M = 0.7;

/**
 * Where piers stand behind a wall: only where the world ends at it.
 * @param {Box} it @param {Scene} place
 * @returns {{x: number, z: number, lamp: boolean}[]}
 */
export function piersOf(it, place) {
  const alongX = it.wide > it.deep;
  const long = Math.max(it.wide, it.deep);
  const [x, z] = [it.x - (place.minX + place.maxX) / 2, it.z - (place.minZ + place.maxZ) / 2];
  const thick = Math.min(it.wide, it.deep);
  const outside = alongX ? Math.abs(z) + thick >= (place.maxZ - place.minZ) / 2
    : Math.abs(x) + thick >= (place.maxX - place.minX) / 2;
  if (it.yaw || long < PIER_EVERY_M || !outside || thick > PIER_M) return [];
  const count = Math.min(Math.round(long / PIER_EVERY_M), 40);
  const out = (PIER_M - thick) / 2;
  return Array.from({ length: count }, (_, at) => {
    const along = ((at + 0.5) / count - 0.5) * long;
    return { x: alongX ? it.x + along : it.x + Math.sign(x) * out,
      z: alongX ? it.z + Math.sign(z) * out : it.z + along, lamp: at % 2 === 0 };
  });
}

/** @param {Mesh} solid @param {Box} it @param {{x: number, z: number, lamp: boolean}} pier */
function pierAt(solid, it, pier) {
  const high = it.top - it.bottom + 0.3;
  solid.at(pier.x, it.bottom, pier.z).paint(PAINT.stone, { detail: 0.8 });
  box(solid, { wide: PIER_M, high, deep: PIER_M, bevel: 0.05 });
  solid.at(pier.x, it.bottom + high, pier.z).paint(PAINT.stonePale, { detail: 0.2 });
  box(solid, { wide: PIER_M + 0.12, high: 0.12, deep: PIER_M + 0.12, bevel: 0.04 });
  solid.at(pier.x, it.bottom + high + 0.12, pier.z);
  if (pier.lamp) lantern(solid);
  else urn(solid);
}

/** @param {Mesh} solid */
export function lantern(solid) {
  solid.paint(PAINT.iron);
  lathe(solid, [[0.16, 0], [0.16, 0.05], [0.05, 0.1], [0.04, 0.95], [0.13, 1.02]],
    { segments: 8 });
  solid.paint(PAINT.bulb, { glow: 1 });
  lathe(solid, [[0.12, 1.02], [0.17, 1.4]], { segments: 6 });
  solid.paint(PAINT.iron);
  lathe(solid, [[0.22, 1.4], [0.22, 1.43], [0.06, 1.58], [0.03, 1.68], [0, 1.7]], { segments: 6 });
}

/** @param {Mesh} solid */
function urn(solid) {
  solid.paint(PAINT.terracotta);
  lathe(solid, [[0.17, 0], [0.15, 0.06], [0.3, 0.3], [0.33, 0.46], [0.29, 0.5], [0.36, 0.56],
    [0.36, 0.6], [0.28, 0.6], [0.27, 0.54]], { segments: 12 });
  solid.paint(PAINT.soil);
  disc(solid, 0.3, 8);
}

/** Slats on stone feet. @param {Meshes} meshes @param {Box} it */
function bench({ solid }, it) {
  const high = it.top - it.bottom;
  const [long, thin] = [Math.max(it.wide, it.deep), Math.min(it.wide, it.deep)];
  const turn = it.wide >= it.deep ? it.yaw : it.yaw + Math.PI / 2;
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
  const put = (/** @type {number} */ u, /** @type {number} */ v, /** @type {number} */ y) =>
    solid.at(it.x + u * cos + v * sin, it.bottom + y, it.z - u * sin + v * cos, turn);
  const [slats, gap, thick] = [4, 0.025, 0.07];
  const feet = Math.max(2, Math.round(long / 1.6));
  for (let at = 0; at < feet; at++) {
    put(((at + 0.5) / feet - 0.5) * (long - 0.1) * (feet > 1 ? 1.25 : 1), 0, 0);
    solid.paint(PAINT.stonePale, { detail: 0.35 });
    box(solid, { wide: 0.26, high: high - thick, deep: thin - 0.06, bevel: 0.04 });
  }
  const broad = (thin + gap) / slats - gap;
  for (let at = 0; at < slats; at++) {
    put(0, (at + 0.5) * (broad + gap) - gap / 2 - thin / 2, high - thick);
    solid.paint(blend(PAINT.wood, PAINT.woodDark, (at * 0.37) % 0.5));
    box(solid, { wide: long, high: thick, deep: broad, bevel: 0.018 });
  }
}

/** A deck of planks on stone. @param {Meshes} meshes @param {Box} it */
function stage({ solid }, it) {
  const high = it.top - it.bottom;
  const deck = Math.min(0.1, high / 2);
  solid.at(it.x, it.bottom, it.z, it.yaw).paint(PAINT.plaster, { detail: 0.7 });
  box(solid, { wide: it.wide, high: high - deck, deep: it.deep });
  const planks = Math.min(Math.max(Math.round(it.deep / 0.5), 1), 40);
  const broad = it.deep / planks;
  const random = stream(seedOf(it.name));
  const [cos, sin] = [Math.cos(it.yaw), Math.sin(it.yaw)];
  for (let at = 0; at < planks; at++) {
    const v = (at + 0.5) * broad - it.deep / 2;
    solid.at(it.x + v * sin, it.top - deck, it.z + v * cos, it.yaw)
      .paint(blend(PAINT.wood, PAINT.woodDark, 0.15 + random() * 0.35));
    box(solid, { wide: it.wide + LIP_M, high: deck, deep: broad - 0.012, bevel: 0.015 });
  }
}

/** The dark heart of a hedge; its leaves are sown elsewhere. @param {Meshes} meshes
 *  @param {Box} it */
function hedge({ solid }, it) {
  solid.at(it.x, it.bottom, it.z, it.yaw).paint(blend(PAINT.hedge, PAINT.leaf, 0.2));
  box(solid, { wide: it.wide - 0.04, high: it.top - it.bottom - 0.02, deep: it.deep - 0.04,
    bevel: 0.12 });
}

/** Anything: plaster on a foot of stone, with a lid. @param {Meshes} meshes @param {Box} it */
function block({ solid }, it) {
  const high = it.top - it.bottom;
  const wash = WASHES[seedOf(it.name) % WASHES.length];
  const [foot, lid] = [high > 1.2 ? 0.35 : 0, Math.min(0.14, high / 3)];
  solid.at(it.x, it.bottom + foot, it.z, it.yaw)
    .paint(blend(wash, PAINT.plaster, 0.5), { detail: 0.35 });
  box(solid, { wide: it.wide - 0.02, high: high - foot - lid, deep: it.deep - 0.02 });
  solid.at(it.x, it.top - lid, it.z, it.yaw).paint(PAINT.stonePale, { detail: 0.3 });
  box(solid, { wide: it.wide + LIP_M / 2, high: lid, deep: it.deep + LIP_M / 2, bevel: 0.04 });
  if (!foot) return;
  solid.at(it.x, it.bottom, it.z, it.yaw).paint(PAINT.stoneDark, { detail: 0.8 });
  box(solid, { wide: it.wide + LIP_M / 2, high: foot, deep: it.deep + LIP_M / 2 });
}

/** A trunk; what it bears grows in `plants.js`. @param {Meshes} meshes @param {Cylinder} it */
function tree({ solid }, it) {
  const [high, r] = [it.top - it.bottom, it.radius];
  const turn = (seedOf(it.name) % 628) / 100;
  solid.at(it.x, it.bottom, it.z).paint(PAINT.bark);
  lathe(solid, [[r * 1.05, 0], [r * 0.86, 0.22], [r * 0.74, 0.7], [r * 0.6, high * 0.55],
    [r * 0.42, high], [r * 0.1, high + 0.4]], { segments: 10, wobble: (angle, height) =>
    1 + 0.13 * Math.sin(angle * 3 + turn + height) / (1 + height) });
}

/** @param {Meshes} meshes @param {Cylinder} it */
function basin({ solid }, it) {
  const [high, r] = [it.top - it.bottom, it.radius];
  const water = high - WATER_UNDER_RIM_M - 0.25;
  const inner = r - Math.min(RIM_M, r / 4);
  solid.at(it.x, it.bottom, it.z).paint(PAINT.stone, { detail: 0.5 });
  const [foot, neck] = [high * 0.22, high * 0.72];
  lathe(solid, [[r, 0], [r, foot], [r - 0.05, foot + 0.04], [r - 0.09, neck - 0.05],
    [r - 0.05, neck]], { segments: 64 });
  solid.paint(PAINT.stonePale, { detail: 0.3 });
  lathe(solid, [[r - 0.05, neck], [r + 0.01, neck + 0.03], [r + 0.01, high - 0.05],
    [r - 0.03, high], [r - 0.03, high], [inner + 0.03, high], [inner + 0.03, high],
    [inner, high - 0.03], [inner, water]], { segments: 64 });
}

/** A turned column with a cup on top. @param {Meshes} meshes @param {Cylinder} it */
function fountain({ solid }, it) {
  const [high, r] = [it.top - it.bottom, it.radius];
  solid.at(it.x, it.bottom, it.z).paint(PAINT.stonePale, { detail: 0.2 });
  const at = (/** @type {number} */ radius, /** @type {number} */ share) =>
    [r * radius, high * share];
  lathe(solid, [at(1, 0), at(1, 0.3), at(0.94, 0.32), at(0.62, 0.36), at(0.5, 0.4),
    at(0.46, 0.52), at(0.6, 0.6), at(0.66, 0.63), at(0.6, 0.66), at(0.44, 0.7), at(0.4, 0.78),
    at(0.5, 0.83), at(0.86, 0.9), at(1.02, 0.965), at(1.02, 0.99), at(0.97, 1), at(0.97, 1),
    at(0.86, 1), at(0.82, 0.975)], { segments: 28, wobble: (angle, height) =>
    height > high * 0.8 ? 1 + 0.015 * Math.cos(angle * 12) : 1 });
}

/** @param {Meshes} meshes @param {Cylinder} it */
function post({ solid }, it) {
  const [high, r] = [it.top - it.bottom, it.radius];
  solid.at(it.x, it.bottom, it.z).paint(PAINT.stonePale, { detail: 0.2 });
  lathe(solid, [[r + 0.03, 0], [r + 0.03, 0.2], [r, 0.24]], { segments: 8 });
  solid.paint(PAINT.woodDark);
  lathe(solid, [[r * 0.8, 0.24], [r * 0.8, high - 0.2], [r, high - 0.1], [r, high]],
    { segments: 8 });
}

/** @param {Meshes} meshes @param {Cylinder} it */
function pillar({ solid }, it) {
  const [high, r] = [it.top - it.bottom, it.radius];
  const segments = Math.min(Math.max(Math.round(r * 12), 12), 48);
  const foot = Math.min(0.25, high / 4);
  solid.at(it.x, it.bottom, it.z).paint(PAINT.stone, { detail: 0.5 });
  lathe(solid, [[r, 0], [r, foot], [r - 0.03, foot + 0.03], [r - 0.03, high - foot],
    [r, high - foot + 0.03], [r, high - 0.05], [r - 0.05, high], [r - 0.05, high], [0, high]],
    { segments });
}
