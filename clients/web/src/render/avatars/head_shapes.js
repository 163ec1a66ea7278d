/**
 * What is worn on the head: hair in several styles, hats and glasses, each a mesh of its own that
 * moves with the head (long hair also with the chest). Hair has a coarse form for who is far away.
 */

import { Bone } from "../../core/body.js";
import { HEAD_MIDDLE, onHead } from "./body_shape.js";
import { Shape, Slot } from "./shapes.js";

/** @typedef {import("./shapes.js").Triple} Triple */
/** @typedef {import("./shapes.js").Ring} Ring */

const X = /** @type {Triple} */ ([1, 0, 0]);
const Y = /** @type {Triple} */ ([0, 1, 0]);
const Z = /** @type {Triple} */ ([0, 0, 1]);
const BACK = /** @type {Triple} */ ([0, 0, -1]);
const RADIAN = Math.PI / 180;
/** While a coarse shape is made. */
let isFar = false;

/**
 * @typedef {object} Cap hair that lies on the head
 * @property {number} front how far down it comes at the forehead, degrees from the top
 * @property {number} side
 * @property {number} back
 * @property {number} thick as a factor of the head
 * @property {number} [curl] how much it waves
 * @property {number} [sweep] the parting: the fringe is deeper on one side
 */

/**
 * @param {Shape} shape
 * @param {Cap} cap
 */
function hairCap(shape, { front, side, back, thick, curl = 0, sweep = 0 }) {
  const around = isFar ? 10 : 26, down = isFar ? 3 : curl ? 9 : 6;
  /** @param {number} angle from the front, about y */
  const until = (angle) => {
    const c = Math.cos(angle);
    const down = c > 0 ? side + (front - side) * smooth(c) : side + (back - side) * smooth(-c);
    return (down + sweep * Math.sin(angle) * Math.max(0, c) * c) * RADIAN;
  };
  /** @param {number[]} d @returns {Triple} */
  const form = (d) => {
    const angle = Math.atan2(d[0], -d[2]);
    const polar = Math.acos(Math.max(-1, Math.min(1, d[1])));
    const edge = polar / until(angle);
    const wave = curl * Math.sin(angle * 7 + Math.sin(polar * 9)) * Math.sin(polar * 7);
    const lifted = edge > 0.999 ? 0.985 : thick + wave - 0.035 * edge * edge * edge;
    return onHead(d, lifted);
  };
  shape.ball({
    form, slot: Slot.HAIR, bone: Bone.HEAD, around, down, until,
  });
}

/** @param {number} t */
function smooth(t) {
  return t * t * (3 - 2 * t);
}

/**
 * @param {Shape} shape
 * @param {Triple} at
 * @param {Triple} radii
 * @param {number} [slot]
 */
function knob(shape, at, radii, slot = Slot.HAIR) {
  shape.ball({
    form: ([x, y, z]) => [at[0] + x * radii[0], at[1] + y * radii[1], at[2] + z * radii[2]],
    slot, bone: Bone.HEAD, around: isFar ? 6 : 9, down: isFar ? 4 : 6,
  });
}

/** By the index of HAIR_STYLES; none for the bald. @type {(null | ((shape: Shape) => void))[]} */
const HAIRS = [
  null,
  (shape) => hairCap(shape, { front: 52, side: 84, back: 118, thick: 1.09, sweep: 16 }),
  (shape) => hairCap(shape, { front: 56, side: 124, back: 138, thick: 1.14, sweep: 10 }),
  (shape) => {
    hairCap(shape, { front: 50, side: 112, back: 128, thick: 1.11, sweep: 20 });
    /** @type {[number, number, number, number, number, number][]} */
    const rows = [
      [1.6, 0.14, 0.07, 0.07, 4, 0], [1.47, 0.155, 0.066, 0.09, 4, 0],
      [1.36, 0.15, 0.05, 0.1, 4, 0.35], [1.22, 0.13, 0.036, 0.122, 2, 0],
      [1.12, 0.085, 0.022, 0.126, 2, 0],
    ];
    shape.tube(rows.map(([y, u, v, z, bone, weight]) => (
      { at: /** @type {Triple} */ ([0, y, z]), u, v, bone, next: Bone.CHEST, weight })),
    { slot: Slot.HAIR, u: X, v: BACK, segments: isFar ? 5 : 12 });
  },
  (shape) => {
    hairCap(shape, { front: 46, side: 92, back: 124, thick: 1.07, sweep: -8 });
    knob(shape, [0, 1.745, 0.075], [0.068, 0.062, 0.066]);
  },
  (shape) => hairCap(shape, { front: 54, side: 104, back: 126, thick: 1.2, curl: 0.055 }),
  (shape) => {
    hairCap(shape, { front: 50, side: 80, back: 112, thick: 1.06 });
    for (const [turn, tilt] of SPIKES) {
      spike(shape, turn * RADIAN, tilt * RADIAN);
    }
  },
  (shape) => {
    hairCap(shape, { front: 48, side: 92, back: 122, thick: 1.075, sweep: 12 });
    /** @type {[number, number, number, number][]} */
    const rows = [[1.68, 0.125, 0.026, 0], [1.68, 0.175, 0.046, 0], [1.6, 0.215, 0.052, 0],
      [1.46, 0.215, 0.045, 0.2], [1.33, 0.19, 0.03, 0.5], [1.26, 0.175, 0.01, 0.6]];
    shape.tube(rows.map(([y, z, r, weight]) => (
      { at: /** @type {Triple} */ ([0, y, z]), u: r, v: r, bone: Bone.HEAD, next: Bone.CHEST,
        weight })),
    { slot: Slot.HAIR, u: X, v: BACK, segments: isFar ? 4 : 10 });
    knob(shape, [0, 1.68, 0.143], [0.036, 0.036, 0.022], Slot.ACCENT);
  },
];

/** Degrees about y, and from the top. */
const SPIKES = [
  [-50, 38], [0, 46], [50, 38], [-110, 42], [110, 42], [180, 44], [0, 12], [180, 12],
];

/** @param {Shape} shape @param {number} turn @param {number} tilt from the top */
function spike(shape, turn, tilt) {
  const flat = Math.sin(tilt);
  const d = [Math.sin(turn) * flat, Math.cos(tilt), -Math.cos(turn) * flat];
  const at = onHead(d, 0.98);
  const tip = onHead([d[0] * 0.82, d[1], d[2] * 0.82 - 0.12], 1.42);
  const mid = onHead([d[0] * 0.95, d[1], d[2] * 0.95 - 0.02], 1.16);
  shape.tube([
    { at, u: 0.068, v: 0.068, bone: Bone.HEAD }, { at: mid, u: 0.046, v: 0.046, bone: Bone.HEAD },
    { at: tip, u: 0.004, v: 0.004, bone: Bone.HEAD },
  ], { slot: Slot.HAIR, u: X, v: BACK, segments: isFar ? 4 : 8 });
}

/** By the index of HATS. @type {(null | ((shape: Shape) => void))[]} */
const HATS = [
  null,
  (shape) => {
    crownOf(shape, { until: () => 66, thick: 1.15, slot: Slot.ACCENT });
    const rows = [[-0.1, 0.12], [-0.2, 0.108], [-0.245, 0.07], [-0.262, 0.02]];
    shape.tube(rows.map(([z, u]) => (
      { at: /** @type {Triple} */ ([0, 1.628 + 0.14 * (z + 0.1), z]), u, v: 0.008,
        bone: Bone.HEAD })),
    { slot: Slot.ACCENT, u: X, v: Y, segments: 10 });
    knob(shape, [0, 1.762, 0], [0.016, 0.01, 0.016], Slot.TRIM);
  },
  (shape) => {
    crownOf(shape, { until: (c) => (c > 0 ? 64 : 84), thick: 1.21, slot: Slot.ACCENT });
    shape.tube(loop(1.63, 0.176, 0.176, 0.034, 0.014),
      { slot: Slot.TRIM, u: X, v: BACK, segments: 18, isOpen: true });
    knob(shape, [0, 1.79, 0.01], [0.042, 0.042, 0.042], Slot.TRIM);
  },
  (shape) => {
    crownOf(shape, { until: () => 69, thick: 1.19, slot: Slot.ACCENT });
    shape.tube(loop(1.638, 0.18, 0.178, 0.022, 0.006),
      { slot: Slot.TRIM, u: X, v: BACK, segments: 18, isOpen: true });
    shape.tube([[1.613, 0.15], [1.616, 0.262], [1.628, 0.262], [1.625, 0.15]].map(([y, r]) => (
      { at: /** @type {Triple} */ ([0, y, 0]), u: r, v: r, bone: Bone.HEAD })),
    { slot: Slot.ACCENT, u: X, v: BACK, segments: 20, isOpen: true });
  },
  (shape) => {
    shape.tube(loop(1.648, 0.163, 0.163, 0.026, 0.009),
      { slot: Slot.ACCENT, u: X, v: BACK, segments: 18, isOpen: true });
  },
  (shape) => {
    for (let k = 0; k < 9; k++) {
      const turn = (k / 9) * 2 * Math.PI;
      const at = /** @type {Triple} */ ([Math.sin(turn) * 0.108, 1.74, Math.cos(turn) * 0.108]);
      shape.tube([{ at, u: 0.045, v: 0.02, bone: Bone.HEAD },
        { at: [at[0] * 1.16, 1.815, at[2] * 1.16], u: 0.004, v: 0.004, bone: Bone.HEAD }],
      { slot: Slot.ACCENT, u: [Math.cos(turn), 0, -Math.sin(turn)],
        v: [-Math.sin(turn), 0, -Math.cos(turn)], segments: 6 });
    }
    shape.tube(loop(1.72, 0.118, 0.118, 0.03, 0.012),
      { slot: Slot.ACCENT, u: X, v: BACK, segments: 18, isOpen: true });
  },
];

/**
 * The part of a hat that lies on the head.
 * @param {Shape} shape
 * @param {{until: (cos: number) => number, thick: number, slot: number}} crown
 */
function crownOf(shape, { until, thick, slot }) {
  shape.ball({
    form: (d) => onHead(d, thick - 0.02 * (1 - d[1])), slot, bone: Bone.HEAD, around: 18, down: 4,
    until: (angle) => until(Math.cos(angle)) * RADIAN,
  });
}

/**
 * Rings of a band about the head.
 * @param {number} y @param {number} u @param {number} v
 * @param {number} high @param {number} thick
 * @returns {Ring[]}
 */
function loop(y, u, v, high, thick) {
  const bone = Bone.HEAD;
  return [[-1, 0], [-1, 1], [1, 1], [1, 0]].map(([up, out]) => ({
    at: /** @type {Triple} */ ([0, y + (up * high) / 2, 0]), u: u + out * thick,
    v: v + out * thick, bone,
  }));
}

/** By the index of GLASSES. @type {(null | ((shape: Shape) => void))[]} */
const GLASSES = [
  null,
  (shape) => spectacles(shape, { high: 0.037, corners: 16, turn: 0, isDark: false }),
  (shape) => spectacles(shape, { high: 0.03, corners: 8, turn: Math.PI / 8, isDark: false }),
  (shape) => spectacles(shape, { high: 0.033, corners: 12, turn: 0, isDark: true }),
];

/**
 * @param {Shape} shape
 * @param {{high: number, corners: number, turn: number, isDark: boolean}} form
 */
function spectacles(shape, { high, corners, turn, isDark }) {
  const bone = Bone.HEAD;
  const slot = isDark ? Slot.DARK : Slot.ACCENT;
  for (const side of [-1, 1]) {
    const c = Math.cos(turn), s = Math.sin(turn);
    const u = /** @type {Triple} */ ([c * 1.12, s, side * c * 0.28]);
    const v = /** @type {Triple} */ ([-s * 1.12, c, -side * s * 0.28]);
    const middle = /** @type {Triple} */ ([side * 0.06, 1.566, -0.163]);
    /** @param {number} r @param {number} z @returns {Ring} */
    const ring = (r, z) => ({ at: [middle[0], middle[1], middle[2] + z], u: r, v: r, bone });
    if (isDark) {
      shape.tube([ring(high, 0.004), ring(high, -0.004)], { slot, u, v, segments: corners });
    } else {
      const rim = ring(high, 0.004);
      shape.tube([rim, ring(high + 0.006, 0), ring(high, -0.004), ring(high - 0.002, 0), rim],
        { slot, u, v, segments: corners, isOpen: true });
    }
    shape.tube([
      { at: [side * 0.103, 1.572, -0.148], u: 0.006, v: 0.004, bone },
      { at: [side * 0.168, 1.572, 0.01], u: 0.006, v: 0.004, bone },
    ], { slot, u: Y, v: side < 0 ? [-0.92, 0, -0.38] : [0.92, 0, -0.38], segments: 6 });
  }
  shape.tube([{ at: [-0.024, 1.57, -0.172], u: 0.005, v: 0.004, bone },
    { at: [0.024, 1.57, -0.172], u: 0.005, v: 0.004, bone }], { slot, u: Y, v: Z, segments: 6 });
}

/**
 * @param {number} style
 * @param {boolean} [coarse] for who is far away
 * @returns {Shape | null}
 */
export function hairShape(style, coarse = false) {
  isFar = coarse;
  const shape = made(HAIRS[style]);
  isFar = false;
  return shape;
}

/** @param {number} style @returns {Shape | null} */
export function hatShape(style) {
  return made(HATS[style]);
}

/** @param {number} style @returns {Shape | null} */
export function glassesShape(style) {
  return made(GLASSES[style]);
}

/** @param {null | undefined | ((shape: Shape) => void)} make */
function made(make) {
  if (!make) return null;
  const shape = new Shape();
  make(shape);
  return shape;
}

export const CROWN_M = HEAD_MIDDLE[1] + 0.17;
