/**
 * What is more than masonry: the stage's wall with its curtain and its towers, and the kiosks with
 * their counters and roofs. Cloth goes into a mesh of its own, which the wind moves. Pure.
 */

import { seedOf, stream } from "./chance.js";
import { FLOWERS, PAINT, WASHES, blend } from "./palette.js";
import { box, lathe, lump, sheet } from "./shapes.js";

/** @typedef {import("../../core/scene.js").Box} Box */
/** @typedef {import("../../core/scene.js").Cylinder} Cylinder */
/** @typedef {import("./mesh.js").Mesh} Mesh */
/** @typedef {import("./masonry.js").Meshes} Meshes */

/** A tall wall behind a stage, with cornice and curtain. @param {Meshes} meshes @param {Box} it */
export function backdrop({ solid, cloth }, it) {
  const high = it.top - it.bottom;
  solid.at(it.x, it.bottom, it.z, it.yaw).paint(PAINT.plaster, { detail: 0.3 });
  box(solid, { wide: it.wide, high: high - 0.3, deep: it.deep });
  solid.at(it.x, it.top - 0.3, it.z, it.yaw).paint(PAINT.stonePale, { detail: 0.2 });
  box(solid, { wide: it.wide + 0.3, high: 0.3, deep: it.deep + 0.3, bevel: 0.1 });
  solid.at(it.x, it.top, it.z, it.yaw).paint(PAINT.roof, { detail: 0.3 });
  gable(solid, it.wide + 0.4, it.deep + 0.5, 0.9);
  const front = it.deep / 2;
  cloth.at(it.x, it.bottom, it.z, it.yaw);
  curtain(cloth, { from: -it.wide / 2 + 0.3, to: -it.wide * 0.2, high: high - 0.55, front });
  curtain(cloth, { from: it.wide * 0.2, to: it.wide / 2 - 0.3, high: high - 0.55, front });
  valance(cloth, it.wide - 0.4, high, front);
  solid.at(it.x, it.bottom, it.z, it.yaw);
  for (let at = -3; at <= 3; at++) emblem(solid, at, front, high);
}

/** A low roof with two slopes. @param {Mesh} mesh @param {number} wide @param {number} deep
 *  @param {number} high */
function gable(mesh, wide, deep, high) {
  const [w, d] = [wide / 2, deep / 2];
  for (const side of [-1, 1]) {
    sheet(mesh, [[-w * side, 0, d * side], [w * side, 0, d * side], [0, high, d * side],
      [0, high, d * side]], [0, 0, side]);
    sheet(mesh, [[w * side, 0, d], [w * side, 0, -d], [0, high, -d], [0, high, d]],
      [high * side, w, 0]);
  }
}

const FOLD_M = 0.34;
const FOLD_DEEP_M = 0.05;
/** A curtain ends above the deck of the stage. */
const DECK_SHARE = 0.18;

/** A gathered curtain in folds, close to the wall. @param {Mesh} cloth
 *  @param {{from: number, to: number, high: number, front: number}} size */
function curtain(cloth, { from, to, high, front }) {
  const folds = Math.round((to - from) / FOLD_M) * 2;
  const step = (to - from) / folds;
  const low = high * DECK_SHARE;
  for (let at = 0; at < folds; at++) {
    const [x0, x1] = [from + at * step, from + (at + 1) * step];
    const [z0, z1] = at % 2 ? [0.03 + FOLD_DEEP_M, 0.03] : [0.03, 0.03 + FOLD_DEEP_M];
    const dark = at % 2 ? 0.22 : 0;
    cloth.paint(blend(PAINT.curtain, [0.02, 0, 0.01], dark));
    sheet(cloth, [[x0, low, front + z0], [x1, low, front + z1], [x1, high, front + z1],
      [x0, high, front + z0]]);
    cloth.paint(PAINT.gold);
    sheet(cloth, [[x0, low + 0.06, front + z0 + 0.01], [x1, low + 0.06, front + z1 + 0.01],
      [x1, low + 0.18, front + z1 + 0.01], [x0, low + 0.18, front + z0 + 0.01]]);
  }
}

/** Scallops along the top. @param {Mesh} cloth @param {number} wide @param {number} high
 *  @param {number} front */
function valance(cloth, wide, high, front) {
  const count = Math.max(Math.round(wide / 1.3), 1);
  const step = wide / count;
  for (let at = 0; at < count; at++) {
    const x = at * step - wide / 2;
    for (let part = 0; part < 6; part++) {
      const drop = (/** @type {number} */ share) => 0.5 + 0.45 * Math.sin(Math.PI * share);
      const [s0, s1] = [part / 6, (part + 1) / 6];
      cloth.paint(at % 2 ? PAINT.teal : PAINT.curtain);
      sheet(cloth, [[x + s0 * step, high - 0.3 - drop(s0), front + 0.11],
        [x + s1 * step, high - 0.3 - drop(s1), front + 0.11],
        [x + s1 * step, high - 0.3, front + 0.1], [x + s0 * step, high - 0.3, front + 0.1]]);
    }
  }
}

/** A sun of inlaid lozenges in the middle of the wall. @param {Mesh} solid @param {number} at
 *  @param {number} front @param {number} high */
function emblem(solid, at, front, high) {
  const angle = (at / 3) * 1.35;
  const [x, y] = [Math.sin(angle), Math.cos(angle)];
  const [cx, cy] = [0, high * 0.42];
  const to = (/** @type {number} */ along, /** @type {number} */ across) =>
    [cx + x * along + y * across, cy + y * along - x * across, front + 0.012];
  solid.paint(at % 2 ? PAINT.terracotta : PAINT.teal, { ground: false });
  sheet(solid, [to(0.55, 0), to(0.95, 0.14), to(1.5, 0), to(0.95, -0.14)], [0, 0, 1]);
}

/** A column with a banner and a light on top. @param {Meshes} meshes @param {Cylinder} it */
export function tower({ solid, cloth }, it) {
  const [high, r] = [it.top - it.bottom, it.radius];
  solid.at(it.x, it.bottom, it.z).paint(PAINT.stone, { detail: 0.5 });
  lathe(solid, [[r, 0], [r, 0.5], [r - 0.06, 0.58], [r - 0.09, high - 0.55],
    [r - 0.02, high - 0.45], [r + 0.04, high - 0.3], [r + 0.04, high - 0.05], [r, high],
    [r, high], [0, high]], { segments: 20 });
  solid.at(it.x, it.top, it.z).paint(PAINT.bulb, { glow: 1 });
  lathe(solid, [[0.2, 0], [0.3, 0.2], [0.24, 0.42], [0.06, 0.52], [0, 0.52]], { segments: 12 });
  const [wide, top, bottom] = [r * 1.3, high - 0.6, high - 3];
  cloth.at(it.x, it.bottom, it.z);
  for (let row = 0; row < 6; row++) {
    const y = (/** @type {number} */ at) => top + ((bottom - top) * at) / 6;
    cloth.paint(row % 2 ? PAINT.cream : PAINT.teal, { sway: row ? 0.015 : 0 });
    const [z, w] = [r + 0.01, wide / 2];
    sheet(cloth, [[-w, y(row + 1), z], [w, y(row + 1), z], [w, y(row), z], [-w, y(row), z]]);
  }
}

/** Boards under a slab of stone, and things to buy. @param {Meshes} meshes @param {Box} it */
export function counter({ solid }, it) {
  const high = it.top - it.bottom;
  const wash = WASHES[seedOf(kiosk(it.name)) % WASHES.length];
  solid.at(it.x, it.bottom, it.z, it.yaw).paint(PAINT.stoneDark, { detail: 0.5 });
  box(solid, { wide: it.wide, high: 0.14, deep: it.deep });
  const boards = Math.min(Math.max(Math.round(it.deep / 0.5), 1), 24);
  const [cos, sin] = [Math.cos(it.yaw), Math.sin(it.yaw)];
  for (let at = 0; at < boards; at++) {
    const v = ((at + 0.5) / boards - 0.5) * it.deep;
    solid.at(it.x + v * sin, it.bottom + 0.14, it.z + v * cos, it.yaw)
      .paint(at % 2 ? blend(wash, PAINT.cream, 0.15) : PAINT.cream);
    box(solid, { wide: it.wide - 0.06, high: high - 0.22, deep: it.deep / boards - 0.015,
      bevel: 0.02 });
  }
  solid.at(it.x, it.top - 0.08, it.z, it.yaw).paint(PAINT.wood);
  box(solid, { wide: it.wide + 0.05, high: 0.08, deep: it.deep + 0.05, bevel: 0.025 });
  wares(solid, it);
}

/** Pots, bowls of fruit and a plant. @param {Mesh} solid @param {Box} it */
function wares(solid, it) {
  const random = stream(seedOf(it.name));
  const count = Math.min(Math.floor(it.deep / 0.8), 8);
  for (let at = 0; at < count; at++) {
    const v = ((at + 0.5) / count - 0.5) * (it.deep - 0.3) + (random() - 0.5) * 0.2;
    const u = (random() - 0.5) * (it.wide - 0.5);
    const [cos, sin] = [Math.cos(it.yaw), Math.sin(it.yaw)];
    solid.at(it.x + u * cos + v * sin, it.top, it.z - u * sin + v * cos);
    const size = 0.13 + random() * 0.07;
    solid.paint([PAINT.terracotta, PAINT.teal, PAINT.wood][at % 3]);
    lathe(solid, [[size * 0.6, 0], [size, size * 0.7], [size * 0.95, size * 1.1],
      [size * 0.8, size * 1.1]], { segments: 10 });
    solid.paint(at % 3 ? FLOWERS[Math.floor(random() * FLOWERS.length)] : PAINT.leaf);
    const high = at % 3 ? size * 0.5 : size * 1.4;
    lump(solid, { x: 0, y: size * 0.9 + high * 0.6, z: 0, wide: size * 0.85, high },
      { segments: 6, rows: 3, random });
  }
}

/** All parts of a kiosk share its colour. @param {string} name */
function kiosk(name) {
  return name.replace(/-(counter|roof|awning|post.*)$/, "");
}

const EAVES_M = 0.22;

/** Beams, tiles with a hip, and a striped valance. @param {Meshes} meshes @param {Box} it */
export function roof({ solid, cloth }, it) {
  const high = it.top - it.bottom;
  const wash = WASHES[seedOf(kiosk(it.name)) % WASHES.length];
  solid.at(it.x, it.bottom, it.z, it.yaw).paint(PAINT.woodDark);
  box(solid, { wide: it.wide - 0.1, high: high / 2, deep: it.deep - 0.1 });
  solid.at(it.x, it.bottom + high / 2, it.z, it.yaw).paint(PAINT.wood);
  box(solid, { wide: it.wide, high: high / 2, deep: it.deep, bevel: 0.04 });
  solid.at(it.x, it.top, it.z, it.yaw);
  tiles(solid, it);
  cloth.at(it.x, it.bottom + high * 0.5, it.z, it.yaw);
  for (const side of [0, 1, 2, 3]) stripes(cloth, it, side, wash);
}

/** Courses of tiles, each a step higher and smaller. @param {Mesh} solid @param {Box} it */
function tiles(solid, it) {
  const courses = 6;
  const [w, d] = [it.wide / 2 + 0.12, it.deep / 2 + 0.12];
  const ridge = Math.min(w, d) * 0.92;
  for (let at = 0; at < courses; at++) {
    const [s0, s1] = [at / courses, (at + 1) / courses];
    const [y0, y1] = [s0 * 0.85 + 0.06, s1 * 0.85 + 0.015];
    const [w0, d0, w1, d1] = [w - ridge * s0, d - ridge * s0, w - ridge * s1, d - ridge * s1];
    solid.paint(blend(PAINT.roof, PAINT.terracotta, at % 2 ? 0.15 : 0.6), { detail: 0.35 });
    const low = [[-w0, d0], [w0, d0], [w0, -d0], [-w0, -d0]];
    const up = [[-w1, d1], [w1, d1], [w1, -d1], [-w1, -d1]];
    for (let side = 0; side < 4; side++) {
      const [a, b, c, e] = [low[side], low[(side + 1) % 4], up[(side + 1) % 4], up[side]];
      sheet(solid, [[a[0], y0, a[1]], [b[0], y0, b[1]], [c[0], y1, c[1]], [e[0], y1, e[1]]]);
      sheet(solid, [[a[0], y0 - 0.06, a[1]], [b[0], y0 - 0.06, b[1]], [b[0], y0, b[1]],
        [a[0], y0, a[1]]]);
    }
  }
  solid.paint(PAINT.gold);
  lathe(solid, [[0.1, 0.84], [0.05, 0.95], [0.1, 1.05], [0, 1.16]], { segments: 8 });
}

/** A valance along one side. @param {Mesh} cloth @param {Box} it @param {number} side
 *  @param {import("./palette.js").Colour} wash */
function stripes(cloth, it, side, wash) {
  const long = side % 2 ? it.deep : it.wide;
  const out = (side % 2 ? it.wide : it.deep) / 2 + 0.015;
  const count = Math.round(long / 0.45);
  const turn = (side * Math.PI) / 2;
  const [cos, sin] = [Math.round(Math.cos(turn)), Math.round(Math.sin(turn))];
  const to = (/** @type {number} */ u, /** @type {number} */ y) =>
    [u * cos + out * sin, y, out * cos - u * sin];
  for (let at = 0; at < count; at++) {
    const [u0, u1] = [(at / count - 0.5) * long, ((at + 1) / count - 0.5) * long];
    cloth.paint(at % 2 ? PAINT.cream : blend(wash, PAINT.terracotta, 0.35), { sway: 0.012 });
    const middle = (u0 + u1) / 2;
    sheet(cloth, [to(u0, -EAVES_M), to(u1, -EAVES_M), to(u1, 0.1), to(u0, 0.1)]);
    sheet(cloth, [to(u0, -EAVES_M), to(middle, -EAVES_M - 0.1), to(u1, -EAVES_M),
      to(middle, -EAVES_M)]);
  }
}
