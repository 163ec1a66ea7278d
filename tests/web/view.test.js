/** Interpolation: what is shown between, after and across samples. */

import assert from "node:assert/strict";
import { test } from "vitest";

import { encodeBody, encodeRotation, FLAGS, X, YAW, Z } from "../../clients/web/src/core/pose.js";
import {
  COLUMNS, EXTRA_BYTES, Flags, Parts, POINT_COLUMNS, ROOT_COLUMNS,
} from "../../clients/web/src/core/protocol.generated.js";
import { Figure, shortestArc, View } from "../../clients/web/src/core/view.js";

const TICK_MS = 50;
/** The delay of an entity that is sent every tick: one tick and the allowance for jitter. */
const DELAY_MS = TICK_MS + 45;
const INDEX = 3;

function newView() {
  const view = new View(1000 / TICK_MS, 1);
  view.enter([{ index: INDEX, entity_id: 9, kind: 0, name: "Ada", avatar: "" }]);
  return view;
}

/** A snapshot body with one full record. */
function full({ x = 0, z = 0, yaw = 0, flags = 0, headTurn = 0 }, index = INDEX) {
  const row = new Int32Array(COLUMNS);
  row[X] = x;
  row[Z] = z;
  row[YAW] = yaw;
  row[FLAGS] = flags;
  row[ROOT_COLUMNS + 1] = 1600;
  row[ROOT_COLUMNS + 3] = encodeRotation(0, Math.sin(headTurn / 2), 0, Math.cos(headTurn / 2));
  for (const point of [1, 2]) {
    row[ROOT_COLUMNS + POINT_COLUMNS * point + 3] = encodeRotation(0, 0, 0, 1);
  }
  const body = encodeBody(row, 3);
  return new Uint8Array([3, 1, index, flags, ...body.subarray(2)]);
}

/** What is shown of the entity `afterMs` after the snapshot at `atMs`, its delay taken off. */
function shownAt(view, ms, index = INDEX) {
  const figure = new Figure();
  view.advance(ms + DELAY_MS);
  return view.sample(index, figure) ? figure : null;
}

test("nothing is shown before the first record", () => {
  assert.equal(shownAt(newView(), 1000), null);
});

test("half way between two samples lies half way", () => {
  const view = newView();
  view.snapshot(20, 1000, full({ x: 0, z: -1000 }));
  view.snapshot(21, 1050, full({ x: 100, z: -1100, headTurn: 1 }));
  const { pose } = shownAt(view, 1025);
  assert.ok(Math.abs(pose[0] - 0.05) < 1e-9);
  assert.ok(Math.abs(pose[2] + 1.05) < 1e-9);
  const headTurn = 2 * Math.atan2(pose[8], pose[10]);
  assert.ok(Math.abs(headTurn - 0.5) < 0.01, `the head turns along: ${headTurn}`);
});

test("a turn across north takes the short way", () => {
  const view = newView();
  view.snapshot(20, 1000, full({ yaw: 4096 - 50 }));
  view.snapshot(21, 1050, full({ yaw: 50 }));
  assert.ok(Math.abs(shortestArc(shownAt(view, 1025).pose[3])) < 1e-9);
});

test("before the oldest sample it stays", () => {
  const view = newView();
  view.snapshot(20, 1000, full({ x: 10 }));
  view.snapshot(21, 1050, full({ x: 20 }));
  assert.equal(shownAt(view, 900).pose[0], 0.01);
});

test("when snapshots fail to come it goes on for a quarter of a second, and holds", () => {
  const view = newView();
  view.snapshot(20, 1000, full({ x: 10, yaw: 4095 }));
  view.snapshot(21, 1050, full({ x: 20, yaw: 0 }));
  assert.ok(Math.abs(shownAt(view, 1100).pose[0] - 0.03) < 1e-9);
  assert.ok(Math.abs(shownAt(view, 1100).pose[3] - (2 * Math.PI) / 4096) < 1e-9);
  assert.ok(Math.abs(shownAt(view, 1300).pose[0] - 0.07) < 1e-9);
  assert.ok(Math.abs(shownAt(view, 5000).pose[0] - 0.07) < 1e-9);
});

test("who is left out of a newer snapshot has stopped, and does not go on", () => {
  const view = newView();
  view.snapshot(20, 1000, full({ x: 10 }));
  view.snapshot(21, 1050, full({ x: 20 }));
  view.snapshot(22, 1100, new Uint8Array());
  view.snapshot(23, 1150, new Uint8Array());
  assert.equal(shownAt(view, 1149).pose[0], 0.02);
});

test("nobody goes on after a jump", () => {
  const view = newView();
  view.snapshot(20, 1000, full({ x: 10 }));
  view.snapshot(21, 1050, full({ x: 2000, flags: Flags.DISCONTINUITY }));
  assert.equal(shownAt(view, 1149).pose[0], 2);
});

test("the delay follows the lateness that nearly all snapshots keep", () => {
  const view = newView();
  assert.equal(view.jitterMs, 45);
  for (let i = 0; i < 64; i++) {
    view.snapshot(20 + i, 1000 + 50 * i, full({ x: i }), 1000 + 50 * i + (i % 10 ? 20 : 130));
  }
  assert.equal(view.jitterMs, 130);
  for (let i = 64; i < 128; i++) {
    view.snapshot(20 + i, 1000 + 50 * i, full({ x: i }), 1000 + 50 * i + (i === 70 ? 2000 : 20));
  }
  assert.equal(view.jitterMs, 20);
});

test("fingers and joints are kept as they came", () => {
  const view = newView();
  const row = new Int32Array(COLUMNS);
  for (const point of [0, 1, 2]) {
    row[ROOT_COLUMNS + POINT_COLUMNS * point + 3] = encodeRotation(0, 0, 0, 1);
  }
  const extra = Uint8Array.from({ length: EXTRA_BYTES }, (_, k) => k % 251);
  const parts = Parts.HEAD | Parts.HANDS | Parts.FINGERS | Parts.JOINTS;
  const body = encodeBody(row, parts, extra);
  view.snapshot(20, 1000, new Uint8Array([parts, 1, INDEX, 0, ...body.subarray(2)]));
  const shown = shownAt(view, 1000);
  assert.deepEqual(shown.extra.subarray(0, 210), extra.subarray(0, 210));
});

test("who was not mentioned for long stood still until just before the next record", () => {
  const view = newView();
  view.snapshot(20, 1000, full({ x: 0 }));
  view.snapshot(21, 1050, full({ x: 0 }));
  view.snapshot(61, 3050, full({ x: 100 }));
  assert.equal(shownAt(view, 2000).pose[0], 0);
  assert.equal(shownAt(view, 3000).pose[0], 0);
  assert.ok(Math.abs(shownAt(view, 3025).pose[0] - 0.05) < 1e-9);
});

test("nobody glides across a discontinuity", () => {
  const view = newView();
  view.snapshot(20, 1000, full({ x: 0 }));
  view.snapshot(21, 1050, full({ x: 9000, flags: Flags.DISCONTINUITY }));
  assert.equal(shownAt(view, 1049).pose[0], 0);
  assert.equal(shownAt(view, 1051).pose[0], 9);
});

test("who is sent every fourth tick is shown later, without standing still in between", () => {
  const view = newView();
  for (let i = 0; i <= 40; i++) {
    view.snapshot(20 + 4 * i, 1000 + 200 * i, full({ x: 100 * i }));
    for (let ms = 0; ms < 200; ms += 20) view.advance(1000 + 200 * i + ms);
  }
  const figure = new Figure();
  const seen = [];
  for (let ms = 9000; ms < 9200; ms += 20) {
    view.advance(ms);
    view.sample(INDEX, figure);
    seen.push(figure.pose[0]);
  }
  for (let i = 1; i < seen.length; i++) {
    assert.ok(Math.abs(seen[i] - seen[i - 1] - 0.01) < 1e-6, `even steps: ${seen}`);
  }
});

test("an index that was left starts afresh for who gets it next", () => {
  const view = newView();
  view.snapshot(20, 1000, full({ x: 5000 }));
  view.leave(new Uint8Array([INDEX]));
  assert.equal(view.entries.size, 0);
  view.enter([{ index: INDEX, entity_id: 10, kind: 0, name: "Eve", avatar: "" }]);
  assert.equal(shownAt(view, 1050), null);
  view.snapshot(22, 1100, full({ x: 0 }));
  assert.equal(shownAt(view, 1100).pose[0], 0);
});

test("an old snapshot does not come between newer ones", () => {
  const view = newView();
  view.snapshot(20, 1000, full({ x: 0 }));
  view.snapshot(21, 1050, full({ x: 100 }));
  view.snapshot(21, 1050, full({ x: 900 }));
  assert.equal(shownAt(view, 1050).pose[0], 0.1);
});
