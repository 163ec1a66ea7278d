/**
 * The default body as a mesh, in three levels of detail, in the shape of a T and looking along -z.
 *
 * Round and a little like a toy: a big head, soft limbs, large hands and shoes. Clothes are parts
 * of the body that are slightly wider than what they cover. Each ring of a tube says from which
 * level on it is there, so that all levels have one outline.
 */

import { Bone, BONES, REST } from "../../core/body.js";
import { Shape, Slot } from "./shapes.js";

/** @typedef {import("./shapes.js").Ring} Ring */
/** @typedef {import("./shapes.js").Triple} Triple */

export const Level = Object.freeze({ NEAR: 0, MIDDLE: 1, FAR: 2 });
const SEGMENTS = [14, 8, 5];
const HEAD_AROUND = [26, 16, 9];
const HEAD_DOWN = [16, 9, 6];
const ARM_Y = REST[Bone.LEFT_HAND][1];
const X = /** @type {Triple} */ ([1, 0, 0]);
const Y = /** @type {Triple} */ ([0, 1, 0]);
const Z = /** @type {Triple} */ ([0, 0, 1]);
const BACK = /** @type {Triple} */ ([0, 0, -1]);

export const HEAD_MIDDLE = /** @type {Triple} */ ([0, 1.565, 0]);
const HEAD_RADII = [0.158, 0.17, 0.153];

/** y, half width, half depth, shift in z, bone, next, weight, last level */
const PELVIS = [
  [0.765, 0.01, 0.04, 0, 0, 0, 0, 1], [0.8, 0.045, 0.07, 0, 0, 0, 0, 2],
  [0.842, 0.141, 0.112, 0, 0, 0, 0, 2], [0.87, 0.144, 0.113, 0, 0, 1, 0.2, 1],
  [0.95, 0.13, 0.1, 0, 0, 1, 0.6, 2],
];
const SHIRT = [
  [0.846, 0.13, 0.1, 0, 0, 1, 0.1, 2], [0.844, 0.157, 0.126, 0, 0, 1, 0.1, 2],
  [0.93, 0.15, 0.119, 0, 0, 1, 0.6, 1], [1.02, 0.142, 0.111, 0, 1, 2, 0.3, 2],
  [1.1, 0.147, 0.113, -0.004, 1, 2, 0.7, 1], [1.18, 0.157, 0.115, -0.006, 2, 2, 0, 2],
  [1.25, 0.155, 0.106, -0.002, 2, 2, 0, 1], [1.293, 0.13, 0.09, 0, 2, 2, 0, 2],
  [1.325, 0.09, 0.074, 0, 2, 3, 0.3, 1], [1.35, 0.067, 0.064, 0, 2, 3, 0.5, 2],
  [1.352, 0.058, 0.056, 0, 2, 3, 0.5, 1], [1.335, 0.05, 0.05, 0, 2, 3, 0.5, 1],
];
const NECK = [
  [1.29, 0.052, 0.052, 0, 2, 3, 0.3, 2], [1.35, 0.05, 0.05, 0, 3, 3, 0, 1],
  [1.43, 0.052, 0.052, 0, 3, 4, 0.9, 2],
];
/** distance from the middle, half height, half depth, bone (0 shoulder, 1 upper, 2 lower, 3 hand),
 * weight of the next, last level */
const UPPER_SLEEVE = [
  [0.075, 0.026, 0.04, 0, 0, 1], [0.115, 0.05, 0.056, 0, 0.12, 2], [0.15, 0.057, 0.06, 0, 0.45, 0],
  [0.185, 0.0585, 0.061, 0, 0.82, 1], [0.235, 0.0575, 0.059, 1, 0, 2],
  [0.325, 0.055, 0.055, 1, 0, 2],  [0.327, 0.049, 0.049, 1, 0, 1],
];
const FOREARM = [
  [0.3, 0.049, 0.049, 1, 0, 2], [0.365, 0.0485, 0.0485, 1, 0.1, 1], [0.41, 0.048, 0.048, 1, 0.5, 2],
  [0.455, 0.0465, 0.0465, 1, 0.9, 1], [0.54, 0.042, 0.043, 2, 0, 0],
  [0.61, 0.036, 0.039, 2, 0.2, 2],
];
const PALM = [
  [0.6, 0.027, 0.03, 2, 0.3, 2], [0.628, 0.027, 0.033, 2, 0.75, 1], [0.655, 0.026, 0.042, 3, 0, 1],
  [0.7, 0.0235, 0.0455, 3, 0, 2], [0.724, 0.018, 0.041, 3, 0, 1],
];
const MITTEN = [
  [0.6, 0.027, 0.03, 2, 0.3, 2], [0.64, 0.026, 0.038, 2, 0.9, 1], [0.69, 0.024, 0.047, 3, 0, 2],
  [0.745, 0.022, 0.044, 3, 0, 1], [0.785, 0.013, 0.03, 3, 0, 2],
];
/** y, half width, half depth, bone (0 hips, 1 upper, 2 lower, 3 foot), weight of the next, level */
const THIGH = [
  [0.88, 0.042, 0.075, 0, 0.1, 1], [0.825, 0.064, 0.099, 0, 0.45, 2], [0.73, 0.086, 0.092, 1, 0, 1],
  [0.62, 0.078, 0.082, 1, 0, 1], [0.505, 0.0695, 0.0715, 1, 0.16, 2],
  [0.5, 0.06, 0.062, 1, 0.16, 1],
];
const SHIN = [
  [0.54, 0.0665, 0.0685, 1, 0.05, 2], [0.49, 0.0655, 0.067, 1, 0.22, 1],
  [0.45, 0.0625, 0.0645, 1, 0.5, 2], [0.405, 0.06, 0.063, 1, 0.85, 1], [0.3, 0.057, 0.062, 2, 0, 0],
  [0.17, 0.052, 0.054, 2, 0, 1], [0.095, 0.053, 0.055, 2, 0.15, 2], [0.092, 0.04, 0.04, 2, 0.3, 1],
];
/** z, half width, height of the middle, half height, last level: the shoe, then its sole */
const SHOE = [
  [0.078, 0.018, 0.05, 0.03, 1], [0.068, 0.04, 0.055, 0.045, 2], [0.03, 0.05, 0.062, 0.056, 1],
  [-0.02, 0.053, 0.058, 0.05, 2], [-0.08, 0.057, 0.046, 0.036, 1], [-0.13, 0.054, 0.04, 0.03, 2],
  [-0.162, 0.04, 0.035, 0.022, 1], [-0.175, 0.018, 0.032, 0.012, 2],
];
const SOLE = [
  [0.088, 0.022, 0.0125, 0.0125, 2], [0.074, 0.045, 0.0125, 0.0125, 1],
  [-0.02, 0.057, 0.0125, 0.0125, 2], [-0.1, 0.062, 0.0125, 0.0125, 1],
  [-0.155, 0.05, 0.0125, 0.0125, 2], [-0.184, 0.024, 0.0125, 0.0125, 2],
];
/** The root of each finger: x, y, z, the way it points, its length and half its width. */
const FINGERS = [
  [0.65, -0.006, -0.034, 0.6, -0.22, -0.77, 0.078, 0.0145],
  [0.715, 0.003, -0.031, 0.99, 0, -0.08, 0.066, 0.0122],
  [0.722, 0.004, -0.01, 1, 0, -0.02, 0.073, 0.0125],
  [0.719, 0.003, 0.011, 1, 0, 0.03, 0.068, 0.012],
  [0.708, 0.001, 0.031, 0.985, 0, 0.12, 0.054, 0.0112],
];
const FINGER_SHARES = [0.42, 0.32, 0.26];

/**
 * @param {number} level of Level
 * @returns {Shape}
 */
export function bodyShape(level) {
  const shape = new Shape();
  const segments = SEGMENTS[level];
  for (const [rings, slot] of /** @type {[number[][], number][]} */ ([
    [PELVIS, Slot.BOTTOM], [SHIRT, Slot.TOP], [NECK, Slot.SKIN],
  ])) shape.tube(upright(rings, level), { slot, u: X, v: BACK, segments });
  head(shape, level);
  for (const side of [-1, 1]) {
    armParts(shape, side, level);
    legParts(shape, side, level);
  }
  return shape;
}

/**
 * @param {number[][]} rows
 * @param {number} level
 * @returns {Ring[]}
 */
function upright(rows, level) {
  return rows.filter((row) => row[7] >= level).map(([y, u, v, z, bone, next, weight]) => (
    { at: [0, y, z], u, v, bone, next, weight }));
}

/**
 * A direction from the middle of the head to its surface: wide cheeks, a small chin, a flat face.
 * @param {number[]} direction
 * @param {number} [scale]
 * @returns {Triple}
 */
export function onHead([x, y, z], scale = 1) {
  const low = Math.max(0, -y);
  const jaw = y < 0 ? 1.07 : 1;
  const cheek = 1 + 0.07 * Math.exp(-((y + 0.35) ** 2) / 0.12);
  const chin = 1 - 0.24 * low * low * low;
  const face = z < 0 ? 1 - 0.05 * Math.abs(z) : 1 + 0.04 * z;
  return [
    HEAD_MIDDLE[0] + x * HEAD_RADII[0] * cheek * chin * scale,
    HEAD_MIDDLE[1] + y * HEAD_RADII[1] * jaw * scale,
    HEAD_MIDDLE[2] + z * HEAD_RADII[2] * chin * face * scale,
  ];
}

/** @param {Shape} shape @param {number} level */
function head(shape, level) {
  shape.ball({
    form: (direction) => onHead(direction), slot: Slot.FACE, bone: Bone.HEAD,
    around: HEAD_AROUND[level], down: HEAD_DOWN[level],
  });
  if (level === Level.FAR) return;
  blob(shape, { at: [0, 1.53, -0.142], radii: [0.019, 0.016, 0.02], level });
  if (level === Level.NEAR) for (const side of [-1, 1]) {
    blob(shape, { at: [side * 0.16, 1.553, 0.012], radii: [0.016, 0.036, 0.025], level });
  }
}

/**
 * @param {Shape} shape
 * @param {{at: Triple, radii: Triple, level: number}} blob
 */
function blob(shape, { at, radii, level }) {
  shape.ball({
    form: ([x, y, z]) => [at[0] + x * radii[0], at[1] + y * radii[1], at[2] + z * radii[2]],
    slot: Slot.SKIN, bone: Bone.HEAD, around: level ? 6 : 10, down: level ? 4 : 6,
  });
}

/**
 * @param {Shape} shape
 * @param {number} side -1 left, 1 right
 * @param {number} level
 */
function armParts(shape, side, level) {
  const first = side < 0 ? Bone.LEFT_SHOULDER : Bone.RIGHT_SHOULDER;
  const hand = level === Level.NEAR ? PALM : MITTEN;
  for (const [rows, slot] of /** @type {[number[][], number][]} */ ([
    [UPPER_SLEEVE, Slot.TOP], [FOREARM, Slot.SLEEVE], [hand, Slot.SKIN],
  ])) {
    const rings = rows.filter((row) => row[5] >= level).map(([x, u, v, bone, weight]) => (
      /** @type {Ring} */ ({
        at: [side * x, ARM_Y, 0], u, v, weight,
        bone: first + bone, next: first + Math.min(3, bone + 1),
      })));
    shape.tube(rings, { slot, u: Y, v: side < 0 ? BACK : Z, segments: SEGMENTS[level] });
  }
  if (level === Level.NEAR) {
    for (let finger = 0; finger < 5; finger++) fingerParts(shape, side, finger);
  } else if (level === Level.MIDDLE) mittenThumb(shape, side, first + 3);
}

/** @param {Shape} shape @param {number} side @param {number} bone */
function mittenThumb(shape, side, bone) {
  shape.tube([
    { at: [side * 0.65, ARM_Y - 0.006, -0.03], u: 0.015, v: 0.015, bone },
    { at: [side * 0.69, ARM_Y - 0.02, -0.072], u: 0.011, v: 0.011, bone },
  ], { slot: Slot.SKIN, u: Y, v: side < 0 ? [-0.77, 0, -0.6] : [0.77, 0, 0.6], segments: 5 });
}

/**
 * @param {Shape} shape
 * @param {number} side
 * @param {number} finger
 */
function fingerParts(shape, side, finger) {
  const [x, y, z, dx, dy, dz, length, half] = FINGERS[finger];
  const bone = BONES + (side < 0 ? 0 : 15) + finger * 3;
  /** @param {number} along @returns {Triple} */
  const at = (along) => [side * (x + dx * along), ARM_Y + y + dy * along, z + dz * along];
  /** @type {Ring[]} */
  const rings = [{ at: at(-0.012), u: half * 0.8, v: half, bone: bone }];
  let along = 0;
  for (let joint = 0; joint < 3; joint++) {
    const share = FINGER_SHARES[joint] * length;
    const thin = half * (1 - 0.08 * joint);
    rings.push({ at: at(along + 0.3 * share), u: thin, v: thin, bone: bone + joint });
    along += share;
    if (joint < 2) {
      const next = bone + joint + 1;
      const narrow = thin * 0.97;
      rings.push({
        at: at(along), u: narrow, v: narrow, bone: bone + joint, next, weight: 0.5,
      });
    }
  }
  rings.push({ at: at(along - 0.004), u: half * 0.72, v: half * 0.72, bone: bone + 2 });
  rings.push({ at: at(along + 0.002), u: half * 0.35, v: half * 0.35, bone: bone + 2 });
  const across = /** @type {Triple} */ (finger ? [0, 0, side] : [side * 0.77, 0, 0.6 ]);
  shape.tube(rings, { slot: Slot.SKIN, u: Y, v: across, segments: 6 });
}

/**
 * Where each finger joint is at rest, right hand: the bones that the fingers turn about.
 * @returns {Triple[]} fifteen places
 */
export function fingerRest() {
  return FINGERS.flatMap(([x, y, z, dx, dy, dz, length]) => [0, 0.42, 0.74].map((share) => (
    /** @type {Triple} */ ([
      x + dx * share * length, ARM_Y + y + dy * share * length, z + dz * share * length,
    ]))));
}

/**
 * @param {Shape} shape
 * @param {number} side
 * @param {number} level
 */
function legParts(shape, side, level) {
  const upper = side < 0 ? Bone.LEFT_UPPER_LEG : Bone.RIGHT_UPPER_LEG;
  const bones = [Bone.HIPS, upper, upper + 1, upper + 2];
  for (const [rows, slot] of /** @type {[number[][], number][]} */ ([
    [THIGH, Slot.BOTTOM], [SHIN, Slot.SHIN],
  ])) {
    const rings = rows.filter((row) => row[5] >= level).map(([y, u, v, bone, weight]) => (
      /** @type {Ring} */ ({
        at: [side * 0.09 * (y > 0.8 ? 0.92 : 1), y, 0], u, v, bone: bones[bone],
        next: bones[Math.min(3, bone + 1)], weight,
      })));
    shape.tube(rings, { slot, u: X, v: Z, segments: SEGMENTS[level] });
  }
  for (const [rows, slot] of /** @type {[number[][], number][]} */ ([
    [SHOE, Slot.SHOES], [SOLE, Slot.TRIM],
  ])) {
    if (slot === Slot.TRIM && level === Level.FAR) continue;
    const rings = rows.filter((row) => row[4] >= level).map(([z, u, y, v]) => (
      /** @type {Ring} */ ({ at: [side * 0.092, y, z], u, v, bone: upper + 2 })));
    shape.tube(rings, { slot, u: X, v: Y, segments: SEGMENTS[level] });
  }
}
