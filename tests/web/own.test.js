/** The clock, the own avatar and the scene: pure parts of the page. */

import assert from "node:assert/strict";
import { test } from "vitest";

import { ServerClock } from "../../clients/web/src/core/clock.js";
import { decodeBody, encodeBody, X, Z } from "../../clients/web/src/core/pose.js";
import { OwnAvatar } from "../../clients/web/src/core/predict.js";
import {
  COLUMNS, Flags, MoveReason, Parts, ROOT_COLUMNS,
} from "../../clients/web/src/core/protocol.generated.js";
import { readScene, standAt } from "../../clients/web/src/core/scene.js";

const FRAME_S = 1 / 60;
const EAST = { east: 1, south: 0, run: false };
const NOWHERE = { east: 0, south: 0, run: false };
const SCENE = readScene({
  title: "Test", extent: { min_m: [-20, 0, -20], max_m: [20, 10, 20] }, floor_m: 0,
  boxes: [{ name: "wall", center: [5, 1, 0], size: [1, 2, 8], yaw_deg: 0 },
    { name: "step", center: [0, 0.2, 10], size: [4, 0.4, 4], yaw_deg: 0 },
    { name: "turned", center: [-10, 1, 0], size: [6, 2, 1], yaw_deg: 90 },
    { name: "arch", center: [0, 3, -8], size: [8, 0.5, 1], yaw_deg: 0 }],
  cylinders: [{ name: "tree", center: [-5, 1, 5], radius_m: 1, height_m: 2 }],
});

function body(x, z) {
  const row = new Int32Array(COLUMNS);
  row[X] = x * 1000;
  row[Z] = z * 1000;
  return encodeBody(row, 0);
}

function placed(x, z) {
  const own = new OwnAvatar();
  own.place(body(x, z), 1);
  return own;
}

function walk(own, push, seconds) {
  for (let t = 0; t < seconds; t += FRAME_S) own.step(FRAME_S, push, SCENE);
}

test("the clock believes the sample with the shortest round trip", () => {
  const clock = new ServerClock();
  clock.add(0, 10_050, 100);
  clock.add(200, 10_230, 220);
  clock.add(400, 10_490, 500);
  assert.equal(clock.rttMs, 20);
  // Mid-way of the best round trip, 210 here, was 10,230 there.
  assert.ok(Math.abs(clock.now(60_000) - 70_020) < 1e-6);
});

test("the clock corrects itself without a jump", () => {
  const clock = new ServerClock();
  clock.add(0, 1_000, 0);
  clock.now(1_000);
  clock.add(1_000, 2_050, 1_000);
  for (let i = 0; i < 8; i++) clock.add(1_100, 2_150, 1_100);
  const before = clock.now(1_100);
  const after = clock.now(1_116);
  assert.ok(after > before && after - before < 16 * 1.06);
  assert.ok(Math.abs(clock.now(9_000) - 10_050) < 1e-6);
});

test("the clock goes on when the wire's counter wraps", () => {
  const clock = new ServerClock();
  clock.seed(2 ** 32 - 100, 0);
  clock.now(200);
  assert.equal(clock.extend(100), 2 ** 32 + 100);
  assert.equal(clock.extend(2 ** 32 - 50), 2 ** 32 - 50);
});

test("walking moves the avatar and turns it to where it goes", () => {
  const own = placed(0, 0);
  walk(own, EAST, 1.5);
  assert.ok(own.x > 2 && own.x < 3, `${own.x}`);
  assert.ok(Math.abs(own.z) < 1e-9);
  assert.ok(Math.abs(own.yaw + Math.PI / 2) < 0.01, "east is a quarter turn clockwise");
});

test("the avatar never runs faster than the world allows", () => {
  const slow = readScene({ movement: { speed_m_per_s_max: 1 } });
  const own = placed(0, 0);
  for (let i = 0; i < 120; i++) own.step(FRAME_S, { ...EAST, run: true }, slow);
  assert.ok(own.x < 2 && own.speed <= 1, `${own.speed}`);
});

test("a correction keeps what was walked since", () => {
  const own = placed(0, 0);
  own.nextBody();
  const seq = own.seq;
  walk(own, EAST, 1);
  const walked = own.x;
  own.nextBody();
  own.correct(seq, MoveReason.SPEED, body(-1, 0.5));
  assert.ok(Math.abs(own.x - (walked - 1)) < 1e-9);
  assert.ok(Math.abs(own.z - 0.5) < 1e-9);
  assert.ok(Math.abs(own.shown.x - walked) < 0.05, "what is shown does not twitch");
  walk(own, NOWHERE, 2);
  assert.ok(Math.abs(own.shown.x - own.x) < 1e-3);
  // A second answer to an earlier pose is measured against the places as corrected.
  const x = own.x;
  own.correct(seq, MoveReason.SPEED, body(-1, 0.5));
  assert.ok(Math.abs(own.x - x) < 1e-9);
});

test("a teleport is taken as it is", () => {
  const own = placed(0, 0);
  walk(own, EAST, 1);
  own.correct(own.nextBody() && own.seq, MoveReason.TELEPORT, body(7, -7));
  assert.deepEqual([own.x, own.z, own.shown.x, own.shown.z, own.speed], [7, -7, 7, -7, 0]);
});

test("a goal is reached and forgotten, and given up behind a wall", () => {
  const own = placed(0, 0);
  own.goal = { x: 2, z: 2 };
  walk(own, NOWHERE, 4);
  assert.equal(own.goal, null);
  assert.ok(Math.hypot(own.x - 2, own.z - 2) < 0.2);
  own.goal = { x: 5, z: 0 };
  walk(own, NOWHERE, 8);
  assert.equal(own.goal, null);
});

test("a pose says where the avatar is, with head and hands", () => {
  const own = placed(1.5, -2.25);
  const row = new Int32Array(COLUMNS);
  assert.equal(decodeBody(own.nextBody(), row), Parts.HEAD | Parts.HANDS);
  assert.deepEqual([row[X], row[Z], own.seq], [1500, -2250, 1]);
  own.skipTo(40);
  own.nextBody();
  assert.equal(own.seq, 41);
});

test("walls push back, low edges are climbed, arches are walked under", () => {
  const beside = standAt(SCENE, 4.4, 0, 0);
  assert.ok(beside.x < 4.2 && beside.x > 4.1);
  const turned = standAt(SCENE, -10.6, 2.5, 0);
  assert.ok(turned.x < -10.79 && turned.z === 2.5, "a box is turned about +Y");
  assert.equal(standAt(SCENE, 0, 10, 0).y, 0.4);
  assert.deepEqual(standAt(SCENE, 0, -8, 0), { x: 0, z: -8, y: 0 });
  const tree = standAt(SCENE, -5.5, 5, 0);
  assert.ok(Math.abs(Math.hypot(tree.x + 5, tree.z - 5) - 1.31) < 1e-9);
  assert.deepEqual(standAt(SCENE, 99, 99, 0), { x: 20, z: 20, y: 0 });
});

test("a scene of any shape is read without an error", () => {
  for (const json of [null, 7, "x", [], {}, { boxes: 3, seats: [null, 1, {}], zones: [{}] },
    { boxes: [{ center: [1, NaN], size: [1, 1] }, { center: "x" }], extent: [] },
    { cylinders: [{ center: [0, 0, 0], radius_m: -1 }] }]) {
    const scene = readScene(json);
    assert.deepEqual([scene.boxes, scene.seats, scene.zones, scene.cylinders], [[], [], [], []]);
    assert.ok(scene.maxX > scene.minX);
  }
});

test("one jumps no higher than the server allows, and comes down again", () => {
  const own = placed(0, 0);
  let highest = 0;
  for (let t = 0; t < 1.5; t += FRAME_S) {
    own.step(FRAME_S, { ...NOWHERE, jump: t < 0.1 }, SCENE);
    highest = Math.max(highest, own.y);
  }
  assert.ok(highest > 0.6 && highest <= SCENE.movement.jump, `${highest}`);
  assert.equal(own.y, 0);
});

test("one steps up at once and falls off an edge", () => {
  const own = placed(0, 6);
  walk(own, { east: 0, south: 1, run: false }, 2);
  assert.equal(own.y, 0.4);
  const heights = [];
  for (let t = 0; t < 4 && (own.y > 0 || t < 1); t += FRAME_S) {
    own.step(FRAME_S, { east: 1, south: 0, run: false }, SCENE);
    heights.push(own.y);
  }
  assert.equal(own.y, 0);
  assert.ok(heights.some((y) => y > 0.05 && y < 0.35), "it falls, and does not drop at once");
});

test("who faces a way walks sideways without turning", () => {
  const own = placed(0, 0);
  walk(own, { ...EAST, facing: 0 }, 1);
  assert.ok(own.x > 0.5 && Math.abs(own.yaw) < 1e-9);
});

test("a snap turn toggles the flag, and a turn does not", () => {
  const own = placed(0, 0);
  const snap = () => own.nextBody()[1] & Flags.SNAP;
  assert.equal(snap(), 0);
  own.snapTurn(0.5);
  assert.equal(snap(), Flags.SNAP);
  own.turn(0.5);
  assert.equal(snap(), Flags.SNAP);
  own.snapTurn(-0.5);
  assert.equal(snap(), 0);
});

test("a headset's points go out as they are, within reach, and never as nonsense", () => {
  const own = placed(0, 0);
  const head = new Float64Array([0.1, 1.6, -0.05, 0, 0, 0, 1]);
  const left = new Float64Array([-30, 1.2, -40, 0, 0, 0, 1]);
  const right = new Float64Array([NaN, Infinity, 0, 0, 0, 0, 0]);
  own.track(head, left, right);
  own.step(FRAME_S, NOWHERE, SCENE);
  const row = new Int32Array(COLUMNS);
  decodeBody(own.nextBody(), row);
  const at = (point) => row.slice(ROOT_COLUMNS + 4 * point, ROOT_COLUMNS + 4 * point + 3);
  assert.deepEqual([...at(0)], [100, 1600, -50]);
  assert.ok(Math.hypot(at(1)[0], at(1)[2]) <= SCENE.movement.reach * 1000);
  assert.deepEqual([...at(2)], [0, 0, 0]);
});

test("joints go out while hands are tracked, with the flag that says so", () => {
  const own = placed(0, 0);
  const head = new Float64Array([0, 1.6, 0, 0, 0, 0, 1]);
  own.track(head, head, head);
  own.body.setJoints(new Uint8Array(200).fill(7));
  const body = own.nextBody();
  assert.equal(body[0], Parts.HEAD | Parts.HANDS | Parts.JOINTS);
  assert.ok(body[1] & Flags.HAND_TRACKING);
  assert.equal(body.at(-1), 7);
  own.track(null, null, null);
  assert.equal(own.nextBody()[0], Parts.HEAD | Parts.HANDS);
});
