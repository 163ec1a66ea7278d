/**
 * What grows: crowns for the trunks, leaves on hedges, flowers, grass, and the strings of lights
 * between them. A crown is a few lumps covered with leaves that are lit as one round thing, which
 * reads as a tree from afar and as leaves from near, with nothing transparent about it. Pure.
 */

import { cell, seedOf, stream } from "./chance.js";
import { kindOfBox, kindOfCylinder } from "./kinds.js";
import { FLOWERS, PAINT, blend } from "./palette.js";
import { lathe, leaf, lump, onBall, sheet } from "./shapes.js";

/** @typedef {import("../../core/scene.js").Scene} Scene */
/** @typedef {import("../../core/scene.js").Box} Box */
/** @typedef {import("./mesh.js").Mesh} Mesh */
/** @typedef {import("./plan.js").Plan} Plan */
/** @typedef {{x: number, y: number, z: number, yaw: number, wide: number, high: number,
 *   tint: import("./palette.js").Colour}} Crown */

export const CROWN_FORMS = 2;

/** Where crowns hang, of each form: over every trunk, above all heads.
 *  @param {Scene} place @returns {Crown[][]} */
export function crownsOf(place) {
  /** @type {Crown[][]} */
  const crowns = Array.from({ length: CROWN_FORMS }, () => []);
  for (const each of place.cylinders) {
    if (kindOfCylinder(each) !== "tree") continue;
    const random = stream(seedOf(each.name));
    const high = each.top - each.bottom;
    const size = high * (0.6 + random() * 0.14);
    crowns[random() < 0.62 ? 0 : 1].push({ x: each.x, y: each.bottom + high * 0.98, z: each.z,
      yaw: random() * Math.PI * 2, wide: size, high: size * (0.92 + random() * 0.2),
      tint: blend([0.82, 0.9, 0.8], [1.16, 1.08, 0.86], random()) });
  }
  return crowns;
}

/** The lumps of a crown of size 1: place, breadth and height. */
const FORMS = [
  [[0, 0.42, 0, 0.78, 0.6], [0.5, 0.18, 0.18, 0.5, 0.42], [-0.42, 0.2, 0.36, 0.5, 0.42],
    [-0.2, 0.2, -0.5, 0.52, 0.42], [0.22, 0.72, -0.1, 0.48, 0.4]],
  [[0, 0.24, 0, 0.7, 0.42], [0.62, 0.34, -0.2, 0.5, 0.3], [-0.55, 0.3, 0.3, 0.52, 0.32],
    [0.1, 0.5, 0.5, 0.5, 0.32], [-0.15, 0.52, -0.5, 0.5, 0.32], [0.05, 0.72, 0, 0.5, 0.28]],
];

/**
 * A crown of size 1 around its foot.
 * @param {Mesh} mesh
 * @param {number} form
 * @param {number} leaves how many
 */
export function growCrown(mesh, form, leaves) {
  const random = stream(seedOf(`crown ${form}`));
  const lumps = FORMS[form];
  const base = form === 0 ? PAINT.leaf : PAINT.olive;
  for (const [x, y, z, wide, high] of lumps) {
    lump(mesh.at(0, 0, 0), { x, y, z, wide: wide * 0.95, high: high * 0.95 }, { segments: 9,
      rows: 5, random, tone: (up) => mesh.paint(blend(PAINT.leafDark, base, 0.2 + 0.7 * up * y
        + 0.35 * up), { ground: false, sway: 0.05 }) });
  }
  const each = Math.ceil(leaves / lumps.length);
  for (const [x, y, z, wide, high] of lumps) {
    for (let at = 0; at < each; at++) {
      const [nx, ny, nz] = onBall(at, each);
      const out = 0.86 + random() * 0.24;
      const point = [x + nx * wide * out, y + ny * high * out, z + nz * wide * out];
      if (buried(lumps, point) || ny < -0.8) continue;
      const light = Math.min(Math.max(0.2 + point[1] * 0.5 + (random() - 0.5) * 0.34, 0), 1);
      mesh.paint(blend(blend(base, PAINT.leafDark, 0.35), form ? PAINT.olive : PAINT.leafLight,
        light), { ground: false, sway: 0.05 + random() * 0.04 });
      const normal = [nx * 0.75 + point[0] * 0.4, ny * 0.7 + 0.32, nz * 0.75 + point[2] * 0.4];
      leaf(mesh, point, unit(normal), { size: leafSize(leaves) * (0.8 + random() * 0.5), random });
    }
  }
}

/** Fewer leaves are larger ones. @param {number} leaves */
function leafSize(leaves) {
  return 2.9 / Math.sqrt(leaves + 60);
}

/** @param {number[][]} lumps @param {number[]} point */
function buried(lumps, [px, py, pz]) {
  return lumps.some(([x, y, z, wide, high]) =>
    Math.hypot((px - x) / wide, (py - y) / high, (pz - z) / wide) < 0.8);
}

/** @param {number[]} vector */
function unit(vector) {
  const length = Math.hypot(...vector) || 1;
  return vector.map((each) => each / length);
}

/** Everything small that grows and hangs. @param {Mesh} mesh @param {Scene} place
 *  @param {Plan} plan @param {number} lushness 0..1 */
export function* growAll(mesh, place, plan, lushness) {
  for (const each of place.boxes) {
    if (kindOfBox(each) === "hedge") yield growHedge(mesh, each, lushness);
  }
  const every = lushness > 0.5 ? 1 : 2;
  plan.flowers.forEach((each, at) => at % every || growFlower(mesh, each, at));
  yield;
  plan.tufts.forEach((each, at) => at % every || growTuft(mesh, each, at));
  yield;
  for (const [from, to] of plan.strings) hang(mesh, from, to);
}

const HEDGE_LEAVES_PER_M2 = 34;
const HEDGE_LEAVES_MAX = 2600;

/** @param {Mesh} mesh @param {Box} it @param {number} lushness */
function growHedge(mesh, it, lushness) {
  const random = stream(seedOf(it.name));
  const high = it.top - it.bottom;
  const area = 2 * high * (it.wide + it.deep) + it.wide * it.deep;
  const count = Math.min(area * HEDGE_LEAVES_PER_M2, HEDGE_LEAVES_MAX) * lushness;
  const size = 0.15 / Math.sqrt(Math.max(lushness, 0.2));
  mesh.at(it.x, it.bottom, it.z, it.yaw);
  for (let at = 0; at < count; at++) {
    const [point, normal] = onHedge(it, high, random);
    const light = Math.min(0.15 + (point[1] / high) * 0.45 + random() * 0.35, 1);
    mesh.paint(blend(PAINT.hedge, PAINT.leafLight, light * 0.45), { sway: 0.01 });
    leaf(mesh, point, unit(normal.map((each) => each + (random() - 0.5) * 0.8)), { size, random });
  }
}

/** A point of its sides or top, each as likely as it is large. @param {Box} it
 *  @param {number} high @param {() => number} random @returns {[number[], number[]]} */
function onHedge(it, high, random) {
  const [u, v, w] = [random() - 0.5, random(), random() - 0.5];
  const weights = [it.wide * it.deep, 2 * high * it.wide, 2 * high * it.deep];
  let pick = random() * (weights[0] + weights[1] + weights[2]);
  if ((pick -= weights[0]) < 0) return [[u * it.wide, high - 0.02, w * it.deep], [0, 1, 0]];
  const side = random() < 0.5 ? -1 : 1;
  if (pick < weights[1]) {
    return [[u * it.wide, v * high, (side * it.deep) / 2], [0, 0.3, side]];
  }
  return [[(side * it.wide) / 2, v * high, w * it.deep], [side, 0.3, 0]];
}

/** @param {Mesh} mesh @param {import("./plan.js").Flower} it @param {number} at */
function growFlower(mesh, it, at) {
  const turn = cell(at, 1, 7) * 6;
  const pick = Math.floor(Math.abs(it.hue) * 97 + cell(at, 3, 7) * 1.4) % FLOWERS.length;
  mesh.at(it.x, it.y, it.z, turn).paint(blend(PAINT.leaf, PAINT.leafDark, 0.3), { sway: 0.01 });
  const high = it.high;
  sheet(mesh, [[-0.1, 0, 0], [0.1, 0, 0], [0.05, high * 0.8, 0.05], [-0.05, high * 0.8, 0.05]],
    [0, 1, 0.4]);
  mesh.paint(FLOWERS[pick], { sway: 0.015, ground: false });
  const half = 0.045 + cell(at, 2, 7) * 0.025;
  sheet(mesh, [[-half, high, half], [half, high, half], [half, high + 0.02, -half],
    [-half, high + 0.02, -half]], [0, 1, 0.3]);
  sheet(mesh, [[-half, high - 0.03, 0.01], [half, high - 0.03, 0.01], [half, high + 0.05, 0.01],
    [-half, high + 0.05, 0.01]], [0, 1, 0.6]);
}

/** @param {Mesh} mesh @param {import("./plan.js").Point} it @param {number} at */
function growTuft(mesh, it, at) {
  const tone = cell(at, 5, 3);
  mesh.at(it.x, it.y, it.z, tone * 40)
    .paint(blend(PAINT.grassDark, PAINT.grass, 0.4 + tone * 0.7), { sway: 0.02, ground: false });
  const high = 0.07 + cell(at, 6, 3) * 0.08;
  for (let blade = 0; blade < 3; blade++) {
    const angle = blade * 2.1;
    const [x, z] = [Math.cos(angle) * 0.07, Math.sin(angle) * 0.07];
    const first = mesh.corner([x - z * 0.25, 0, z + x * 0.25], [0, 1, 0]);
    mesh.corner([x + z * 0.25, 0, z - x * 0.25], [0, 1, 0]);
    mesh.corner([x * 2.2, high, z * 2.2], [0, 1, 0]);
    mesh.triangle(first, first + 1, first + 2);
  }
}

/** Where a hanging string is, 0 at one end and 1 at the other.
 *  @param {import("./plan.js").Point} from @param {import("./plan.js").Point} to
 *  @param {number} share @returns {import("./plan.js").Point} */
export function stringAt(from, to, share) {
  const sag = Math.hypot(to.x - from.x, to.z - from.z) * 0.06 * 4 * share * (1 - share);
  return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share - sag,
    z: from.z + (to.z - from.z) * share };
}

/** A string of small lights. @param {Mesh} mesh @param {import("./plan.js").Point} from
 *  @param {import("./plan.js").Point} to */
function hang(mesh, from, to) {
  const bulbs = bulbsOn(from, to);
  const pieces = bulbs * 2;
  for (let at = 0; at < pieces; at++) {
    const [a, b] = [stringAt(from, to, at / pieces), stringAt(from, to, (at + 1) / pieces)];
    mesh.at(0, 0, 0).paint(PAINT.iron, { ground: false });
    sheet(mesh, [[a.x, a.y - 0.012, a.z], [b.x, b.y - 0.012, b.z], [b.x, b.y + 0.012, b.z],
      [a.x, a.y + 0.012, a.z]], [0, 1, 0]);
    if (at % 2 === 0) continue;
    mesh.at(a.x, a.y - 0.16, a.z).paint(PAINT.bulb, { glow: 1, ground: false });
    lathe(mesh, [[0, 0], [0.055, 0.06], [0.03, 0.14]], { segments: 5 });
  }
}

/** How many lights a string has. @param {import("./plan.js").Point} from
 *  @param {import("./plan.js").Point} to */
export function bulbsOn(from, to) {
  return Math.min(Math.max(Math.round(Math.hypot(to.x - from.x, to.z - from.z) / 0.9), 2), 40);
}
