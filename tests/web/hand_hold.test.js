/** What is held by one hand or by two. */

import { describe, expect, test } from "vitest";

import { SCALE_MAX, SCALE_MIN } from "../../clients/web/src/core/build_math.js";
import { awayFromBox, HandHold, keepToGrid } from "../../clients/web/src/core/hand_hold.js";
import { compose, fromYaw, multiply, normalise, rotate } from
  "../../clients/web/src/core/quaternion.js";

/** Numbers in -1..1 that are the same in each run. */
function chance(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

function pose(next) {
  const made = Float64Array.from({ length: 7 }, () => next());
  normalise(made, 3);
  return made;
}

function place(next) {
  return Float64Array.from([...pose(next), ...[0, 1, 2].map(() => 0.2 + Math.abs(next()))]);
}

/** Where `what` is when all has been moved by `move` and scaled by `size` about the origin. */
function moved(what, move, size) {
  const scaled = Float64Array.from(what);
  for (let k = 0; k < 3; k++) scaled[k] *= size;
  const out = Float64Array.from(what);
  compose(out, 0, move, 0, scaled, 0);
  for (let k = 7; k < out.length; k++) out[k] = what[k] * size;
  return out;
}

/** Alike, where q and -q are the same turn. */
function expectAlike(seen, wanted, digits = 6) {
  let dot = 0;
  for (let k = 3; k < 7; k++) dot += seen[k] * wanted[k];
  expect(Math.abs(dot)).toBeCloseTo(1, digits);
  for (const k of [0, 1, 2, 7, 8, 9]) expect(seen[k]).toBeCloseTo(wanted[k], digits);
}

const SEEDS = Array.from({ length: 200 }, (_, k) => k + 1);
const out = new Float64Array(10);

describe("one hand", () => {
  test("carries it rigidly", () => {
    for (const seed of SEEDS) {
      const next = chance(seed);
      const [thing, hand, move, hold] = [place(next), pose(next), pose(next), new HandHold()];
      hold.takeOne(thing, hand, false);
      hold.followOne(out, hand);
      expectAlike(out, thing);
      hold.followOne(out, moved(hand, move, 1));
      expectAlike(out, moved(thing, move, 1));
    }
  });

  test("brings what is far nearer along the ray, and not through itself", () => {
    const hold = new HandHold();
    const hand = Float64Array.from([1, 1, 1, 0, 0, 0, 1]);
    const thing = Float64Array.from([1, 1, -4, 0, 0, 0, 1, 1, 1, 1]);
    hold.takeOne(thing, hand, true);
    hold.reach(-2);
    hold.followOne(out, hand);
    expect(out[2]).toBeCloseTo(-2, 9);
    for (let k = 0; k < 100; k++) hold.reach(-2);
    hold.followOne(out, hand);
    expect(out[2]).toBeCloseTo(0.8, 9);
    hold.takeOne(thing, hand, false);
    hold.reach(-2);
    hold.followOne(out, hand);
    expect(out[2]).toBeCloseTo(-4, 9);
  });
});

describe("two hands", () => {
  test("move, turn and scale it as they are moved, turned and spread", () => {
    for (const seed of SEEDS) {
      const next = chance(seed);
      const [thing, left, right, move] = [place(next), pose(next), pose(next), pose(next)];
      const size = 1.2 + 0.8 * next();
      const hold = new HandHold();
      hold.takeBoth(thing, [left, right], false);
      hold.followBoth(out, [left, right]);
      expectAlike(out, thing);
      hold.followBoth(out, [moved(left, move, size), moved(right, move, size)]);
      expectAlike(out, moved(thing, move, size), 5);
      hold.followBoth(out, [left, right]);
      expectAlike(out, thing);
    }
  });

  test("turn and scale what is far about itself", () => {
    const hold = new HandHold();
    const thing = Float64Array.from([0, 1, -20, 0, 0, 0, 1, 1, 2, 3]);
    const left = Float64Array.from([-0.2, 1, -0.3, 0, 0, 0, 1]);
    const right = Float64Array.from([0.2, 1, -0.3, 0, 0, 0, 1]);
    hold.takeBoth(thing, [left, right], true);
    const turn = new Float64Array(7);
    fromYaw(turn, 3, 0.5);
    const hands = [left, right].map((hand) => moved(hand, turn, 1));
    hold.followBoth(out, hands);
    const middle = moved(Float64Array.from([0, 1, -0.3, 0, 0, 0, 1]), turn, 1);
    expect([...out.subarray(0, 3)]).toEqual([middle[0], middle[1], -20 + middle[2] + 0.3]
      .map((each) => expect.closeTo(each, 9)));
    expect(out[4]).toBeCloseTo(Math.sin(0.25), 9);
    expect([...out.subarray(7)]).toEqual([1, 2, 3].map((each) => expect.closeTo(each, 9)));
  });

  test("never make it larger, smaller or other than numbers than a prop may be", () => {
    for (const seed of SEEDS) {
      const next = chance(seed);
      const hold = new HandHold();
      const [left, right] = [pose(next), pose(next)];
      hold.takeBoth(place(next), [left, seed % 2 ? left : right], seed % 3 === 0);
      for (const far of [0, 1e-9, 0.5, 1e5]) {
        const there = Float64Array.from(left);
        there[0] += far;
        hold.followBoth(out, [left, there]);
        expect([...out].every(Number.isFinite)).toBe(true);
        for (let k = 7; k < 10; k++) {
          expect(out[k]).toBeGreaterThanOrEqual(SCALE_MIN * 0.999999);
          expect(out[k]).toBeLessThanOrEqual(SCALE_MAX * 1.000001);
        }
      }
      // Hands that have changed places have turned it round, and not inside out.
      hold.takeBoth(place(next), [left, right], false);
      hold.followBoth(out, [right, left]);
      expect(Math.hypot(...out.subarray(3, 7))).toBeCloseTo(1, 9);
    }
  });
});

describe("the grid", () => {
  const step = Math.PI / 12;

  test("leaves what is on it, and takes what is near to it", () => {
    for (const seed of SEEDS) {
      const next = chance(seed);
      const wanted = Float64Array.from(place(next));
      for (const k of [0, 2]) wanted[k] = Math.round(wanted[k] * 4) / 4;
      const [yaw, pitch] = [5, 3].map((most) => Math.round(next() * most) * step);
      const [turn, tilt] = [new Float64Array(4), [Math.sin(pitch / 2), 0, 0, Math.cos(pitch / 2)]];
      fromYaw(turn, 0, yaw);
      multiply(wanted, 3, turn, 0, tilt, 0);
      const near = Float64Array.from(wanted);
      const wobble = Float64Array.from([0.03 * next(), 0.03 * next(), 0.03 * next(), 1]);
      normalise(wobble, 0);
      multiply(near, 3, near, 3, wobble, 0);
      for (let k = 0; k < 3; k++) near[k] += 0.1 * next();
      keepToGrid(near, wanted[1], 0.25, step);
      expectAlike(near, wanted);
    }
  });

  test("lets be what has no step", () => {
    const next = chance(3);
    const thing = place(next);
    const seen = Float64Array.from(thing);
    keepToGrid(seen, 0, 0, 0);
    expectAlike(seen, thing);
  });

  test("knows what stands on its head", () => {
    for (const tilt of [Math.PI / 2, -Math.PI / 2]) {
      const thing = Float64Array.from([0, 0, 0, Math.sin(tilt / 2), 0, 0, Math.cos(tilt / 2),
        1, 1, 1]);
      const seen = Float64Array.from(thing);
      keepToGrid(seen, 0, 0.25, step);
      const [a, b] = [new Float64Array(3), new Float64Array(3)];
      rotate(a, 0, thing, 3, 0, 0, -1);
      rotate(b, 0, seen, 3, 0, 0, -1);
      expect(Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2])).toBeLessThan(1e-6);
    }
  });
});

test("how far a hand is from a box, however that is turned", () => {
  const thing = Float64Array.from([1, 2, 3, 0, Math.SQRT1_2, 0, Math.SQRT1_2, 4, 1, 2]);
  const away = (x, y, z) => awayFromBox(thing, Float64Array.from([x, y, z]));
  expect(away(1, 2, 3)).toBe(0);
  expect(away(1, 2, 4.9)).toBe(0); // its width lies along z
  expect(away(1, 2, 5.5)).toBeCloseTo(0.5, 9);
  expect(away(2.5, 2, 3)).toBeCloseTo(0.5, 9);
  expect(away(2.3, 2.9, 3)).toBeCloseTo(0.5, 9);
});
