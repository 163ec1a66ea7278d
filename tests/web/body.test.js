/** Bodies from three points, limbs and steps: what holds for every person and every input. */

import { describe, expect, test } from "vitest";

import { Body, Bone, BONES, PARENT, REST } from "../../clients/web/src/core/body.js";
import { EMOTE_S, EmotePose } from "../../clients/web/src/core/body_emotes.js";
import { rotate } from "../../clients/web/src/core/body_math.js";
import { Solver } from "../../clients/web/src/core/body_solver.js";
import { Gait } from "../../clients/web/src/core/gait.js";
import { Limb } from "../../clients/web/src/core/ik.js";
import { EXTRA_BYTES, Flags, Parts } from "../../clients/web/src/core/protocol.generated.js";

const DT = 1 / 60;
const STILL = { seconds: 0, dt: DT, gazeYaw: 0, gazePitch: 0, emote: -1, emoteAge: -1,
  isCalm: true };
const WILD = [NaN, Infinity, -Infinity, 0, -0, 1e-300, 1e300, -7, 3.2, 0.5];

/** Numbers from -1 to 1, the same at each run. */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

function figureOf(parts = 0, flags = 0) {
  const pose = new Float64Array(46);
  for (let point = 0; point < 6; point++) pose[4 + 7 * point + 6] = 1;
  return { pose, parts, flags };
}

function put(figure, point, place, turn = [0, 0, 0, 1]) {
  figure.pose.set([...place, ...turn], 4 + 7 * point);
}

/** Hands that a device holds are never quite upright. */
const HELD = [0.1, 0, 0, Math.sqrt(0.99)];

function tracked(head = [0, 1.65, -0.1]) {
  const figure = figureOf(Parts.HEAD | Parts.HANDS);
  put(figure, 0, head);
  put(figure, 1, [-0.25, 1.1, -0.35], HELD);
  put(figure, 2, [0.25, 1.1, -0.35], HELD);
  return figure;
}

function settle(solver, figure, frames = 120, moment = STILL) {
  for (let k = 0; k < frames; k++) solver.solve(figure, { ...moment, seconds: k * DT });
}

function place(body, bone) {
  return [...body.positions.subarray(bone * 3, bone * 3 + 3)];
}

function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

/** Bones are as long as they are, and turned by quaternions of length one. */
function expectWhole(body) {
  for (let bone = 0; bone < BONES; bone++) {
    const norm = Math.hypot(...body.rotations.subarray(bone * 4, bone * 4 + 4));
    expect(Math.abs(norm - 1), `turn of ${bone}`).toBeLessThan(1e-6);
    if (PARENT[bone] < 0) continue;
    const length = distance(place(body, bone), place(body, PARENT[bone]));
    expect(Math.abs(length - body.lengthOf(bone)), `bone ${bone}`).toBeLessThan(2e-3);
  }
  expect(body.fingers.every(Number.isFinite)).toBe(true);
}

describe("a limb", () => {
  test("reaches what is in reach, and bends to the side of its pole", () => {
    const limb = new Limb();
    limb.upper = 0.3;
    limb.lower = 0.25;
    limb.solve([0, 0, 0], 0, [0.2, -0.3, -0.1], [0, 0, 1]);
    expect(distance(limb.end, [0.2, -0.3, -0.1])).toBeLessThan(1e-9);
    expect(distance(limb.middle, [0, 0, 0])).toBeCloseTo(0.3, 9);
    expect(distance(limb.middle, limb.end)).toBeCloseTo(0.25, 9);
    expect(limb.middle[2]).toBeGreaterThan(limb.end[2] / 2);
  });

  test("stretches towards what is not, and keeps its lengths", () => {
    const limb = new Limb();
    limb.upper = limb.lower = 0.25;
    for (const target of [[9, 0, 0], [0, 1e-12, 0], [0, 0, 0], [NaN, 0, 0], [Infinity, 1, 2]]) {
      limb.solve([0, 0, 0], 0, target, [0, 0, 0]);
      expect(distance(limb.middle, [0, 0, 0])).toBeCloseTo(0.25, 6);
      expect(distance(limb.middle, limb.end)).toBeCloseTo(0.25, 6);
    }
  });

  test("of no length gives numbers", () => {
    const limb = new Limb();
    const turn = new Float64Array(4);
    limb.solve([0, 0, 0], 0, [0, 0, 0], [0, 0, 0]);
    limb.turnArm(turn, 0, [0, 0, 0], 0, limb.middle, 1);
    for (const value of [...limb.middle, ...limb.end, ...turn]) {
      expect(Number.isFinite(value)).toBe(true);
    }
  });
});

describe("a body from three points", () => {
  test("has its eyes and palms where they were tracked", () => {
    const solver = new Solver(1);
    const figure = tracked();
    settle(solver, figure, 400);
    const { body } = solver;
    const eyes = new Float64Array(3);
    rotate(eyes, 0, body.rotations, Bone.HEAD * 4, body.eyes, 0);
    for (let k = 0; k < 3; k++) eyes[k] += body.positions[Bone.HEAD * 3 + k];
    expect(distance(eyes, [0, 1.65, -0.1])).toBeLessThan(0.01);
    for (const [bone, sign, at] of [[Bone.LEFT_HAND, -1, 11], [Bone.RIGHT_HAND, 1, 18]]) {
      const palm = new Float64Array([sign * body.palmM, 0, 0]);
      rotate(palm, 0, body.rotations, bone * 4, palm, 0);
      for (let k = 0; k < 3; k++) palm[k] += body.positions[bone * 3 + k];
      expect(distance(palm, figure.pose.subarray(at, at + 3))).toBeLessThan(0.01);
    }
    expectWhole(body);
  });

  test("crouches with the feet on the ground when the head comes down", () => {
    const solver = new Solver(1);
    settle(solver, tracked());
    settle(solver, tracked([0, 1.0, -0.15]));
    const { body } = solver;
    expect(place(body, Bone.HIPS)[1]).toBeLessThan(0.6);
    for (const foot of [Bone.LEFT_FOOT, Bone.RIGHT_FOOT]) {
      expect(place(body, foot)[1]).toBeCloseTo(REST[foot][1] * body.scale, 1);
    }
    // Knees go forwards, never back.
    for (const knee of [Bone.LEFT_LOWER_LEG, Bone.RIGHT_LOWER_LEG]) {
      const hip = place(body, knee - 1), foot = place(body, knee + 1);
      expect(place(body, knee)[2]).toBeLessThan((hip[2] + foot[2]) / 2);
    }
    expectWhole(body);
  });

  test("has elbows that hang outside and not through the chest", () => {
    const solver = new Solver(1);
    const next = random(5);
    for (let k = 0; k < 60; k++) {
      const figure = tracked();
      const [x, y, z] = [0.15 + 0.25 * Math.abs(next()), 1.1 + 0.3 * next(), -0.35 + 0.1 * next()];
      put(figure, 1, [-x, y, z], HELD);
      put(figure, 2, [x, y, z], HELD);
      settle(solver, figure, 30);
      const left = place(solver.body, Bone.LEFT_LOWER_ARM);
      const right = place(solver.body, Bone.RIGHT_LOWER_ARM);
      expect(left[0]).toBeLessThan(-0.12);
      expect(right[0]).toBeGreaterThan(0.12);
    }
  });

  test("is as tall as the headset says", () => {
    const solver = new Solver(1);
    settle(solver, tracked([0, 1.3, 0]), 10);
    const small = solver.body.scale;
    settle(solver, tracked([0, 1.9, 0]), 600);
    expect(solver.body.scale).toBeGreaterThan(small * 1.3);
  });

  test("has its feet where six points say", () => {
    const solver = new Solver(1);
    const figure = tracked();
    figure.parts |= Parts.BODY;
    put(figure, 3, [0, 0.95, 0]);
    put(figure, 4, [-0.2, 0.35, -0.3]);
    put(figure, 5, [0.12, 0.08, 0.05]);
    settle(solver, figure);
    expect(distance(place(solver.body, Bone.LEFT_FOOT), [-0.2, 0.35, -0.3])).toBeLessThan(0.03);
  });
});

describe("a body without tracking", () => {
  test("stands on its feet with the hands at its sides", () => {
    const solver = new Solver(3);
    settle(solver, figureOf());
    const { body } = solver;
    expect(place(body, Bone.LEFT_FOOT)[1]).toBeCloseTo(0.08, 1);
    expect(place(body, Bone.LEFT_HAND)[1]).toBeLessThan(1);
    expect(place(body, Bone.LEFT_HAND)[0]).toBeLessThan(-0.15);
    expectWhole(body);
  });

  test("takes no hands that no device has turned, and keeps those that one has", () => {
    const madeUp = figureOf(Parts.HEAD | Parts.HANDS);
    put(madeUp, 0, [0, 1.3, 0]);
    put(madeUp, 1, [-0.3, 1.4, -0.4]);
    put(madeUp, 2, [0.3, 1.4, -0.4]);
    const solver = new Solver(3);
    settle(solver, madeUp);
    expect(solver.isTracked).toBe(false);
    expect(place(solver.body, Bone.LEFT_HAND)[1]).toBeLessThan(1);
    expect(solver.body.scale).toBe(1);
    settle(solver, tracked());
    settle(solver, madeUp, 2);
    expect(solver.isTracked).toBe(true);
  });

  test("sits on its seat with the feet below and before it", () => {
    const solver = new Solver(3);
    settle(solver, figureOf(0, Flags.SEATED));
    const { body } = solver;
    expect(place(body, Bone.HIPS)[1]).toBeGreaterThan(0);
    expect(place(body, Bone.LEFT_FOOT)[1]).toBeLessThan(-0.2);
    expect(place(body, Bone.LEFT_FOOT)[2]).toBeLessThan(-0.2);
  });

  test("waves with the right hand above the shoulder", () => {
    const solver = new Solver(3);
    const figure = figureOf();
    settle(solver, figure);
    solver.solve(figure, { ...STILL, emote: 0, emoteAge: 1 });
    const { body } = solver;
    expect(place(body, Bone.RIGHT_HAND)[1]).toBeGreaterThan(place(body, Bone.RIGHT_UPPER_ARM)[1]);
    expect(place(body, Bone.LEFT_HAND)[1]).toBeLessThan(1);
  });
});

test("no input leads to a number that is none", () => {
  const next = random(11);
  const solvers = [new Solver(1), new Solver(2)];
  solvers[1].body.shape(REST.map(() => [0, 0, 0]), [0, 0, 0], 1);
  for (let k = 0; k < 4000; k++) {
    const figure = figureOf(Math.floor(Math.abs(next()) * 64), Math.floor(Math.abs(next()) * 256));
    figure.extra = new Uint8Array(EXTRA_BYTES).map(() => Math.floor(Math.abs(next()) * 256));
    for (let at = 0; at < 46; at++) {
      const wild = Math.abs(next()) < 0.1;
      figure.pose[at] = wild ? WILD[Math.floor(Math.abs(next()) * WILD.length)] : next() * 2;
    }
    const moment = { seconds: k, dt: k % 9 ? DT : WILD[k % 10], gazeYaw: next() * 4,
      gazePitch: next() * 4, emote: k % 7, emoteAge: next() * 3, isCalm: k % 2 === 0 };
    for (const solver of solvers) {
      solver.solve(figure, moment);
      const { positions, rotations, fingers } = solver.body;
      const whole = [positions, rotations, fingers].every((each) => each.every(Number.isFinite));
      expect(whole, `case ${k}`).toBe(true);
    }
  }
});

describe("steps", () => {
  const LEGS = { legM: 0.74, hipM: 0.1 };

  /** Walks and tells how far planted feet slid, and how far the way was. */
  function walk(gait, { vx = 0, vz = 0, turn = 0, seconds = 4 }) {
    const root = { x: 0, y: 0, z: 0, yaw: 0 };
    gait.update(root, LEGS, DT);
    let slid = 0, lifted = 0;
    for (let t = 0; t < seconds; t += DT) {
      root.x += vx * DT;
      root.z += vz * DT;
      root.yaw += turn * DT;
      const before = gait.feet.map(({ x, z, swing }) => [x, z, swing]);
      gait.update(root, LEGS, DT);
      gait.feet.forEach((foot, k) => {
        if (before[k][2] >= 1 && foot.swing >= 1) {
          slid += Math.hypot(foot.x - before[k][0], foot.z - before[k][1]);
        }
        if (foot.lift > 0.02) lifted += 1;
      });
    }
    return { slid, lifted, root };
  }

  test.each([
    ["forwards", { vz: -1.3 }], ["backwards", { vz: 0.9 }], ["sideways", { vx: 0.8 }],
    ["slowly", { vz: -0.4 }], ["running", { vz: -3.2 }],
  ])("%s do not slide", (_, way) => {
    const gait = new Gait();
    const { slid, lifted, root } = walk(gait, way);
    expect(slid).toBeLessThan(0.03 * Math.hypot(root.x, root.z));
    expect(lifted).toBeGreaterThan(20);
    for (const foot of gait.feet) {
      expect(Math.hypot(foot.x - root.x, foot.z - root.z)).toBeLessThan(0.8);
    }
  });

  test("follow who turns on the spot, one foot after the other", () => {
    const gait = new Gait();
    const { root } = walk(gait, { turn: 1.2 });
    for (let k = 0; k < 90; k++) gait.update(root, LEGS, DT);
    for (const foot of gait.feet) {
      const over = foot.yaw - root.yaw;
      expect(Math.abs(over - 2 * Math.PI * Math.round(over / (2 * Math.PI)))).toBeLessThan(0.75);
    }
  });

  test("end where the body stands, and begin anew after a jump in the world", () => {
    const gait = new Gait();
    const { root } = walk(gait, { vz: -1.3 });
    for (let k = 0; k < 120; k++) gait.update(root, LEGS, DT);
    expect(gait.stride).toBeLessThan(0.02);
    for (const foot of gait.feet) expect(foot.lift).toBeLessThan(0.01);
    root.x += 40;
    gait.update(root, LEGS, DT);
    expect(gait.speed).toBe(0);
    for (const foot of gait.feet) expect(Math.abs(foot.x - root.x)).toBeLessThan(0.2);
  });

  test("hang in the air while somebody jumps", () => {
    const gait = new Gait();
    const root = { x: 0, y: 0, z: 0, yaw: 0 };
    for (let k = 0; k < 20; k++) {
      root.y += k < 5 ? 0 : 3 * DT;
      gait.update(root, LEGS, DT);
    }
    expect(gait.isAirborne).toBe(true);
    expect(gait.feet[0].lift).toBeGreaterThan(0.05);
  });
});

test("an emote ends by itself, and unknown ones are none", () => {
  const pose = new EmotePose();
  EMOTE_S.forEach((lasts, emote) => {
    expect(pose.update(emote, lasts / 2)).toBe(true);
    expect(Math.max(pose.arms[5], pose.arms[11])).toBeGreaterThan(0.9);
    expect(pose.update(emote, lasts + 0.01)).toBe(false);
    expect(Math.max(...pose.arms)).toBe(0);
  });
  for (const [emote, age] of [[99, 1], [-1, 1], [0, -1], [0, NaN]]) {
    expect(pose.update(emote, age)).toBe(false);
  }
});

test("a body scales all of its lengths together", () => {
  const body = new Body();
  const before = body.lengthOf(Bone.LEFT_HAND);
  body.standAs(1.2);
  expect(body.lengthOf(Bone.LEFT_HAND)).toBeCloseTo(before * 1.2, 9);
  body.standAs(Infinity);
  expect(body.scale).toBe(1);
});
