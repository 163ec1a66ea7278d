/**
 * What lies beyond the walls: fields and cypresses, hills with a small town, and in the west the
 * sea. It is a picture: nobody walks there. It is ordered from far to near, so that it is right
 * even where the camera sees less far than the hills are and their depth is all the same. Pure.
 */

import { cell, noise, seedOf, stream } from "./chance.js";
import { PAINT, blend, scale } from "./palette.js";
import { lathe, lump, sheet } from "./shapes.js";

/** @typedef {import("../../core/scene.js").Scene} Scene */
/** @typedef {import("./mesh.js").Mesh} Mesh */

const RIDGES = [
  { far: 520, high: 105, colour: blend(PAINT.hillFar, PAINT.sea, 0.25), seed: 1, waves: 11 },
  { far: 330, high: 62, colour: blend(PAINT.hill, PAINT.hillFar, 0.5), seed: 2, waves: 9 },
  { far: 190, high: 20, colour: PAINT.hill, seed: 3, waves: 13 },
];
const SEGMENTS = 96;
const SEA_M = 640;
/** The sea lies in the west: this far to both sides of it there are no hills. */
const BAY_RAD = 0.75;

/** @param {Mesh} mesh @param {Scene} place @param {number} lushness 0..1 */
export function buildHorizon(mesh, place, lushness) {
  const x = (place.minX + place.maxX) / 2;
  const z = (place.minZ + place.maxZ) / 2;
  const reach = Math.hypot(place.maxX - place.minX, place.maxZ - place.minZ) / 2;
  mesh.at(x, place.floor, z);
  sea(mesh, reach);
  for (const each of RIDGES) {
    mesh.at(x, place.floor, z);
    ridge(mesh, each, reach);
    if (each.seed === 2) town(mesh, { x, z, floor: place.floor, far: each.far + reach });
  }
  groves(mesh, place, lushness);
}

/** 0 in the bay, 1 where there is land. @param {number} angle */
function land(angle) {
  const off = Math.abs(Math.atan2(Math.sin(angle - Math.PI), Math.cos(angle - Math.PI)));
  const share = Math.min(Math.max((off - BAY_RAD) / 0.5, 0), 1);
  return share * share * (3 - 2 * share);
}

/** How high a ridge is. @param {typeof RIDGES[number]} it @param {number} share of the round */
function crest({ high, seed, waves }, share) {
  const rough = noise(share * waves, seed, waves, seed) * 0.7
    + noise(share * waves * 3, seed, waves * 3, seed + 9) * 0.3;
  return high * (0.35 + rough * 0.8) * land(share * Math.PI * 2);
}

/** @param {Mesh} mesh @param {typeof RIDGES[number]} it @param {number} reach */
function ridge(mesh, it, reach) {
  const first = mesh.vertexCount;
  const far = it.far + reach;
  for (let at = 0; at <= SEGMENTS; at++) {
    const share = at / SEGMENTS;
    const angle = share * Math.PI * 2;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const high = crest(it, share);
    const rows = [[far - high * 1.2 - 40, -1.5, 0.5], [far - 20, high * 0.55, 0.8],
      [far, high, 1]];
    rows.forEach(([out, up, tone], row) => {
      const patchy = 0.85 + 0.3 * cell(at >> (row === 1 ? 0 : 1), row, it.seed);
      mesh.paint(scale(blend(PAINT.field, it.colour, tone), patchy), { ground: false });
      mesh.corner([cos * out, up, sin * out], [-cos * 0.5, 1, -sin * 0.5]);
    });
  }
  for (let at = 0; at < SEGMENTS; at++) {
    for (let row = 0; row < 2; row++) {
      const corner = first + at * 3 + row;
      mesh.quad(corner, corner + 3, corner + 4, corner + 1);
    }
  }
}

/** @param {Mesh} mesh @param {number} reach */
function sea(mesh, reach) {
  const far = SEA_M + reach;
  const near = 150 + reach;
  const first = mesh.vertexCount;
  const [from, to] = [Math.PI - BAY_RAD - 0.5, Math.PI + BAY_RAD + 0.5];
  for (let at = 0; at <= 12; at++) {
    const angle = from + ((to - from) * at) / 12;
    for (const [out, tone] of [[near, 0.1], [far, 0.45]]) {
      mesh.paint(blend(PAINT.sea, PAINT.cream, tone), { ground: false });
      mesh.corner([Math.cos(angle) * out, -1, Math.sin(angle) * out], [0, 1, 0]);
    }
  }
  for (let at = 0; at < 12; at++) {
    const corner = first + at * 2;
    mesh.quad(corner, corner + 2, corner + 3, corner + 1);
  }
}

/** White houses on a hill in the north-east, and a church. @param {Mesh} mesh
 *  @param {{x: number, z: number, floor: number, far: number}} where */
function town(mesh, { x, z, floor, far }) {
  const random = stream(seedOf("town"));
  for (let at = 0; at < 44; at++) {
    const share = (-0.17 + (random() - 0.5) * 0.085 + 1) % 1;
    const angle = share * Math.PI * 2;
    // On the near slope, which falls by half over its last 20 m, and set into it.
    const down = random() * 0.9;
    const out = far - down * 20;
    const high = crest(RIDGES[1], share) * (1 - down * 0.45);
    const [wide, tall] = [6 + random() * 6, 6 + random() * 4];
    mesh.at(x + Math.cos(angle) * out, floor + high - 3.5, z + Math.sin(angle) * out,
      -angle + Math.PI / 2);
    house(mesh, wide, tall, at === 0 ? 13 : 0);
  }
}

/** @param {Mesh} mesh @param {number} wide @param {number} tall @param {number} spire */
function house(mesh, wide, tall, spire) {
  const [w, top] = [wide / 2, tall + spire];
  mesh.paint(blend(PAINT.cream, PAINT.plaster, 0.4), { ground: false });
  sheet(mesh, [[w, 0, -w], [-w, 0, -w], [-w, top, -w], [w, top, -w]]);
  sheet(mesh, [[-w, 0, -w], [-w, 0, w], [-w, top, w], [-w, top, -w]]);
  sheet(mesh, [[w, 0, w], [w, 0, -w], [w, top, -w], [w, top, w]]);
  mesh.paint(PAINT.roof, { ground: false });
  const peak = top + (spire ? 5 : 1.8);
  sheet(mesh, [[w * 1.1, top, -w * 1.1], [-w * 1.1, top, -w * 1.1], [0, peak, 0], [0, peak, 0]]);
  sheet(mesh, [[-w * 1.1, top, -w * 1.1], [-w * 1.1, top, w * 1.1], [0, peak, 0], [0, peak, 0]]);
  sheet(mesh, [[w * 1.1, top, w * 1.1], [w * 1.1, top, -w * 1.1], [0, peak, 0], [0, peak, 0]]);
}

/** Cypresses and pines behind the walls, thin enough to see the hills between them.
 *  @param {Mesh} mesh @param {Scene} place @param {number} lushness */
function groves(mesh, place, lushness) {
  const random = stream(seedOf("groves"));
  const count = Math.round(150 * (0.4 + 0.6 * lushness));
  const middle = { x: (place.minX + place.maxX) / 2, z: (place.minZ + place.maxZ) / 2 };
  const half = { x: (place.maxX - place.minX) / 2, z: (place.maxZ - place.minZ) / 2 };
  const spots = Array.from({ length: count }, () => {
    const angle = random() * Math.PI * 2;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const edge = Math.min(half.x / Math.abs(cos), half.z / Math.abs(sin));
    const out = edge + 5 + random() * random() * 80 + (land(angle) < 0.5 ? random() * 30 : 0);
    return { x: middle.x + cos * out, z: middle.z + sin * out, out, kind: random() };
  }).sort((one, two) => two.out - one.out);
  for (const { x, z, kind } of spots) {
    mesh.at(x, place.floor - 0.2, z, kind * 40);
    if (kind < 0.55) cypress(mesh, 7 + kind * 11, random);
    else if (kind < 0.8) pine(mesh, 6.5 + kind * 4, random);
    else bush(mesh, random);
  }
}

/** @param {Mesh} mesh @param {number} high @param {() => number} random */
function cypress(mesh, high, random) {
  const r = high * 0.11;
  mesh.paint(blend(PAINT.cypress, PAINT.leaf, random() * 0.35));
  lathe(mesh, [[r * 0.5, 0.2], [r, high * 0.18], [r * 0.95, high * 0.42], [r * 0.6, high * 0.75],
    [0, high]], { segments: 8, wobble: (angle, y) => 1 + 0.12 * Math.sin(angle * 4 + y * 2) });
}

/** @param {Mesh} mesh @param {number} high @param {() => number} random */
function pine(mesh, high, random) {
  mesh.paint(PAINT.bark);
  lathe(mesh, [[0.28, 0], [0.2, high * 0.5], [0.14, high]], { segments: 6 });
  mesh.paint(blend(PAINT.leaf, PAINT.cypress, 0.3 + random() * 0.5));
  const wide = high * 0.42;
  lump(mesh, { x: 0, y: high, z: 0, wide, high: high * 0.17 }, { segments: 9, rows: 4, random });
  lump(mesh, { x: wide * 0.4, y: high * 1.08, z: wide * 0.2, wide: wide * 0.6,
    high: high * 0.14 }, { segments: 8, rows: 4, random });
}

/** @param {Mesh} mesh @param {() => number} random */
function bush(mesh, random) {
  const size = 1.2 + random() * 1.6;
  mesh.paint(blend(PAINT.olive, PAINT.leaf, random()));
  lump(mesh, { x: 0, y: size * 0.7, z: 0, wide: size, high: size * 0.9 },
    { segments: 8, rows: 4, random });
  lump(mesh, { x: size * 0.9, y: size * 0.5, z: 0.3, wide: size * 0.7, high: size * 0.6 },
    { segments: 8, rows: 4, random });
}
