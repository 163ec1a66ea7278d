/** What is worked out in a headset: arcs, turns, comfort, throws, rooms in the world, fingers. */

import { describe, expect, test } from "vitest";

import { arrange, pinched, SCALE_MAX, toRoom, toWorld }
  from "../../clients/web/src/core/arrange.js";
import { writeCurls, writeJoints } from "../../clients/web/src/core/hand_pose.js";
import {
  deadened, followHead, isInside, keepDistance, SnapStick, ThrowHistory, vignette,
} from "../../clients/web/src/core/locomotion.js";
import { decodeRotation } from "../../clients/web/src/core/pose.js";
import { readScene } from "../../clients/web/src/core/scene.js";
import { TeleportArc } from "../../clients/web/src/core/teleport_arc.js";
import { RoomAnchor } from "../../clients/web/src/xr/anchor.js";
import { OwnAvatar } from "../../clients/web/src/core/predict.js";

const SCENE = readScene({
  title: "Test", extent: { min_m: [-40, 0, -40], max_m: [40, 10, 40] }, floor_m: 0,
  boxes: [{ name: "wall", center: [0, 1.5, -6], size: [8, 3, 1], yaw_deg: 0 },
    { name: "low", center: [8, 0.2, -5], size: [4, 0.4, 4], yaw_deg: 0 }],
  cylinders: [{ name: "tree", center: [-5, 1, 5], radius_m: 1, height_m: 2 }],
});
const FEET = { x: 0, y: 0, z: 0 };

/** Numbers that are the same in each run. */
function* numbers(seed = 7) {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

function spots(next) {
  const [x, y, z, yaw] = [0, 0, 0, 0].map(() => next.next().value * 20 - 10);
  return { x, y, z, yaw };
}

describe("an arc", () => {
  const arc = new TeleportArc();
  const length = Math.hypot(0.3, 1);

  test("lands on the ground, with corners from the hand on", () => {
    arc.cast(SCENE, { x: 0, y: 1.2, z: 0 }, { x: 0, y: 0.3 / length, z: 1 / length }, FEET);
    expect(arc.isValid).toBe(true);
    expect(arc.landing.y).toBeCloseTo(0, 6);
    expect(arc.landing.z).toBeGreaterThan(2);
    expect([...arc.points.subarray(0, 3)]).toEqual([0, expect.closeTo(1.2, 5), 0]);
  });

  test("does not go through a wall, nor end on the wall", () => {
    arc.cast(SCENE, { x: 0, y: 1.2, z: 0 }, { x: 0, y: 0.3 / length, z: -1 / length }, FEET);
    expect(arc.isValid).toBe(false);
    expect(arc.landing.z).toBeCloseTo(-5.5, 3);
  });

  test("has an end within its corners whatever it is thrown at", () => {
    arc.cast(SCENE, { x: 0, y: 300, z: 0 }, { x: 0, y: 1, z: 0 }, FEET);
    expect(arc.isValid).toBe(false);
    expect(arc.count * 3).toBeLessThanOrEqual(arc.points.length);
  });
});

describe("turning and comfort", () => {
  test("a push of the stick is one step, until it is let go", () => {
    const stick = new SnapStick();
    expect([0.2, 0.8, 1, 0.6, 0.5, 0.8, 0.1, -0.9].map((x) => stick.step(x)))
      .toEqual([0, -1, 0, 0, 0, 0, 0, 1]);
  });

  test("a stick has a dead middle and reaches its end", () => {
    expect(deadened(0.15)).toBe(0);
    expect(deadened(-1)).toBe(-1);
  });

  test("the body leaves small turns to the neck and follows large ones", () => {
    expect(followHead(0, 0.4, 1)).toBe(0);
    const turned = followHead(0, 1.5, 1);
    expect(turned).toBeGreaterThan(0.8);
    expect(turned).toBeLessThan(1.5);
  });

  test("the edge grows with speed, and goes again; never where it is set to nothing", () => {
    const at = (speed, strength) => {
      let now = 0;
      for (let k = 0; k < 60; k++) now = vignette(now, { speed, turn: 0, strength, dt: 1 / 60 });
      return now;
    };
    expect(at(3, 1)).toBeGreaterThan(at(1, 1));
    expect(at(3, 0.5)).toBeLessThanOrEqual(0.5);
    expect(at(3, 0)).toBe(0);
  });

  test("a head within a wall is inside, one beside it is not", () => {
    expect(isInside(SCENE, 0, 1.6, -6)).toBe(true);
    expect(isInside(SCENE, 0, 1.6, -5)).toBe(false);
    expect(isInside(SCENE, -5, 1.6, 5)).toBe(true);
    expect(isInside(SCENE, -5, 2.5, 5)).toBe(false);
  });

  test("nobody walks into somebody else, and everybody may walk away", () => {
    const push = { east: 1, south: 1 };
    expect(keepDistance(push, 0.4, 0)).toBe(true);
    expect(push).toEqual({ east: 0, south: 1 });
    expect(keepDistance(push, 2, 0)).toBe(false);
    const away = { east: -1, south: 0 };
    keepDistance(away, 0.4, 0);
    expect(away.east).toBe(-1);
  });
});

test("a throw has the velocity of the last tenth of a second", () => {
  const history = new ThrowHistory();
  expect(history.velocity()).toEqual([0, 0, 0]);
  for (let k = 0; k <= 20; k++) {
    const t = k / 72;
    history.add(t, [k < 10 ? 0 : (t - 10 / 72) * 3, 0, -t]);
  }
  const [x, y, z] = history.velocity();
  expect(x).toBeCloseTo(3, 6);
  expect(y).toBe(0);
  expect(z).toBeCloseTo(-1, 6);
});

describe("a room in the world", () => {
  test("goes there and back, whatever the two places and the scale", () => {
    const next = numbers();
    for (let k = 0; k < 200; k++) {
      const [room, world, other] = [spots(next), spots(next), spots(next)];
      const made = arrange(room, world, 1 + next.next().value * 60);
      const there = toWorld(made, room);
      for (const axis of ["x", "y", "z", "yaw"]) expect(there[axis]).toBeCloseTo(world[axis], 6);
      const back = toRoom(made, toWorld(made, other));
      for (const axis of ["x", "y", "z", "yaw"]) expect(back[axis]).toBeCloseTo(other[axis], 6);
    }
  });

  test("two people who use one marker see the world at the same place of their room", () => {
    const marker = { x: 3, y: 0, z: -8, yaw: 0.7 };
    // The same floor, as two devices measure it: turned by a radian and shifted.
    const device = arrange({ x: 0, y: 0, z: 0, yaw: 0 }, { x: 2, y: 0.1, z: -1, yaw: 1 }, 1);
    const [mine, point] = [{ x: 1, y: 0, z: 1, yaw: 0.2 }, { x: -0.5, y: 0.8, z: 2, yaw: 0 }];
    const one = toWorld(arrange(mine, marker, 1), point);
    const two = toWorld(arrange(toWorld(device, mine), marker, 1), toWorld(device, point));
    for (const axis of ["x", "y", "z", "yaw"]) expect(two[axis]).toBeCloseTo(one[axis], 6);
  });

  test("stays under the two fingers that hold it", () => {
    const next = numbers(11);
    for (let k = 0; k < 200; k++) {
      const before = arrange(spots(next), spots(next), 10);
      const [a, b] = [spots(next), spots(next)];
      const turn = next.next().value * 6;
      const c = spots(next);
      const grown = 0.5 + next.next().value;
      const [dx, dz] = [(b.x - a.x) * grown, (b.z - a.z) * grown];
      const d = { x: c.x + dx * Math.cos(turn) + dz * Math.sin(turn), y: c.y + b.y - a.y,
        z: c.z + dz * Math.cos(turn) - dx * Math.sin(turn), yaw: 0 };
      const after = pinched(before, { from: [a, b], to: [c, d] });
      for (const [old, now] of [[a, c], [b, d]]) {
        const [was, is] = [toWorld(before, old), toWorld(after, now)];
        expect(is.x).toBeCloseTo(was.x, 5);
        expect(is.z).toBeCloseTo(was.z, 5);
      }
    }
  });

  test("is never scaled beyond bounds, nor by fingers at one point", () => {
    const before = arrange({ x: 0, y: 0, z: 0, yaw: 0 }, { x: 0, y: 0, z: 0, yaw: 0 }, 10);
    const at = (x) => ({ x, y: 0, z: 0, yaw: 0 });
    expect(pinched(before, { from: [at(0), at(0)], to: [at(0), at(1)] })).toBe(before);
    expect(pinched(before, { from: [at(0), at(5)], to: [at(0), at(0.03)] }).scale).toBe(SCALE_MAX);
    expect(pinched(before, { from: [at(0), at(0.03)], to: [at(0), at(5)] }).scale).toBe(1);
  });
});

describe("fingers", () => {
  test("of a controller curl by what is pressed and touched", () => {
    const curls = new Uint8Array(10);
    writeCurls(curls, 1, [{ value: 1, touched: true }, { value: 0.5, touched: true }]);
    expect([...curls]).toEqual([0, 0, 0, 0, 0, 20, 255, 128, 128, 128]);
  });

  test("of a bare hand are turned as their joints are, in the frame of the root", () => {
    const joints = new Uint8Array(200);
    const poses = new Float32Array(16 * 25);
    const [sin, cos] = [Math.sin(1), Math.cos(1)];
    for (let k = 0; k < 25; k++) {
      poses.set([cos, 0, -sin, 0, 0, 1, 0, 0, sin, 0, cos, 0, 0, 0, 0, 1], 16 * k);
    }
    const root = new Float64Array([0, 0, 0, 0, Math.sin(0.25), 0, Math.cos(0.25)]);
    writeJoints(joints, 0, poses, root);
    const out = new Float64Array(4);
    decodeRotation(new DataView(joints.buffer).getInt32(4 * 24, true), out, 0);
    expect(Math.abs(2 * Math.atan2(out[1], out[3]))).toBeCloseTo(0.5, 2);
  });
});

describe("a room that hangs on the avatar", () => {
  const head = (x, z) => Float64Array.from([x, 1.6, z, 0, 0, 0, 1]);

  test("lets the root walk under the head, and not through a wall", () => {
    const [own, anchor] = [new OwnAvatar(), new RoomAnchor()];
    const step = (x, z) => {
      anchor.follow(own, head(x, z), SCENE);
      own.step(1 / 72, { east: 0, south: 0, run: false }, SCENE);
      anchor.hang(own, head(x, z));
    };
    anchor.recentre(own, head(0, 0));
    for (let k = 0; k <= 100; k++) step(k * 0.01, 0);
    expect(own.x).toBeCloseTo(1, 6);
    expect(Math.hypot(anchor.leanX, anchor.leanZ)).toBeLessThan(1e-6);
    for (let k = 0; k <= 560; k++) step(1, -k * 0.01);
    expect(own.z).toBeGreaterThan(-5.5);
    const out = new Float64Array(7);
    anchor.toWorld(out, head(1, -5.6));
    expect(out[2]).toBeCloseTo(-5.6, 5);
    for (let k = 560; k >= 0; k--) step(1, -k * 0.01);
    expect(own.z).toBeCloseTo(0, 5);
  });
});
