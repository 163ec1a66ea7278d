/** Poses and snapshots against the golden vectors. */

import assert from "node:assert/strict";
import { test } from "vitest";

import { decodeServer } from "../../clients/web/src/core/codec.js";
import { WireError } from "../../clients/web/src/core/msgpack.js";
import {
  decodeBody, decodeRotation, encodeBody, encodeRotation, FLAGS, quantiseYaw, X, Y, YAW, yawOf, Z,
} from "../../clients/web/src/core/pose.js";
import {
  COLUMNS, Op, POINT_COLUMNS, POINT_PART, ROOT_COLUMNS,
} from "../../clients/web/src/core/protocol.generated.js";
import { Held } from "../../clients/web/src/core/snapshot.js";
import { fromHex, seeded, toHex, VECTORS } from "./golden.js";

const POINTS = ["head", "left_hand", "right_hand", "hips", "left_foot", "right_foot"];
const PARTS_OF_POINTS = 7;

/** A row as the vectors describe it; the page holds no fingers, joints and faces. */
function describe(row, parts) {
  const points = {};
  POINTS.forEach((name, point) => {
    if (!(parts & POINT_PART[point])) return;
    const at = ROOT_COLUMNS + POINT_COLUMNS * point;
    points[name] = { x_mm: row[at], y_mm: row[at + 1], z_mm: row[at + 2],
      rotation: row[at + 3] >>> 0 };
  });
  return { parts, flags: row[FLAGS], x_mm: row[X], y_units: row[Y], z_mm: row[Z],
    yaw_steps: row[YAW], points };
}

function shown({ parts, flags, x_mm, y_units, z_mm, yaw_steps, points }) {
  return { parts, flags, x_mm, y_units, z_mm, yaw_steps, points };
}

test("poses decode to the quantities of the vectors, and encode to the same bytes", () => {
  let encoded = 0;
  for (const entry of VECTORS.poses) {
    const row = new Int32Array(COLUMNS);
    assert.equal(decodeBody(fromHex(entry.body), row), entry.parts, entry.name);
    assert.deepEqual(describe(row, entry.parts), shown(entry), entry.name);
    assert.ok(Math.abs(yawOf(row[YAW]) - entry.yaw_rad) < 1e-8, entry.name);
    if (entry.parts <= PARTS_OF_POINTS) {
      assert.equal(toHex(encodeBody(row, entry.parts)), entry.body, entry.name);
      encoded += 1;
    }
  }
  assert.ok(encoded >= 8, "each layout of points is among the vectors");
});

test("a body whose length does not belong to its parts is refused", () => {
  for (const entry of VECTORS.malformed_bodies) {
    assert.throws(() => decodeBody(fromHex(entry.body), new Int32Array(COLUMNS)), WireError);
  }
  assert.throws(() => decodeBody(new Uint8Array(0), new Int32Array(COLUMNS)), WireError);
});

test("a row that the wire cannot say is refused", () => {
  for (const [column, value] of [[X, 2 ** 23], [X, -(2 ** 23) - 1], [Z, 2 ** 23], [Y, 2 ** 15],
    [ROOT_COLUMNS, -(2 ** 15) - 1]]) {
    const row = new Int32Array(COLUMNS);
    row[column] = value;
    assert.throws(() => encodeBody(row, 3), RangeError, `column ${column}`);
  }
  assert.throws(() => encodeBody(new Int32Array(COLUMNS), 8), RangeError);
});

test("rotations decode to the vectors' quaternions", () => {
  const found = new Float64Array(4);
  for (const { code, quaternion } of VECTORS.rotations.decode) {
    decodeRotation(code, found, 0);
    quaternion.forEach((expected, i) => {
      assert.ok(Math.abs(found[i] - expected) < VECTORS.rotations.decode_tolerance, `${code}`);
    });
  }
});

test("encoded rotations turn back within the stated error", () => {
  const back = new Float64Array(4);
  for (const [x, y, z, w] of VECTORS.rotations.encode) {
    const code = encodeRotation(x, y, z, w);
    assert.ok(Number.isInteger(code) && code >= 0 && code < 2 ** 32);
    decodeRotation(code, back, 0);
    const chord = (sign) => Math.hypot(back[0] - sign * x, back[1] - sign * y, back[2] - sign * z,
      back[3] - sign * w);
    const degrees = (4 * Math.asin(Math.min(chord(1), chord(-1)) / 2) * 180) / Math.PI;
    assert.ok(degrees < VECTORS.rotations.encode_error_deg_max, `${[x, y, z, w]}: ${degrees}`);
  }
  for (const bad of [[0, 0, 0, 0], [NaN, 0, 0, 1], [Infinity, 0, 0, 1]]) {
    assert.throws(() => encodeRotation(...bad), RangeError);
  }
});

test("yaws quantise to the vectors' steps", () => {
  for (const { yaw_rad, steps } of VECTORS.yaws) assert.equal(quantiseYaw(yaw_rad), steps);
  assert.throws(() => quantiseYaw(Infinity), RangeError);
});

for (const story of VECTORS.snapshots) {
  test(`holds what the server knows: ${story.name}`, () => {
    const held = new Held();
    const here = new Set();
    for (const step of story.steps) {
      const message = decodeServer(fromHex(step.hex));
      if (message.op === Op.Snapshot) {
        assert.equal(toHex(message.body), step.body);
        held.apply(message.tick, message.body);
        for (const index of held.touched.subarray(0, held.touchedCount)) here.add(index);
      }
      for (const index of message.op === Op.Leave ? message.indexes : []) {
        held.forget(index);
        here.delete(index);
      }
      const indexes = [...here].sort((a, b) => a - b).map(String);
      assert.deepEqual(indexes, Object.keys(step.view));
      for (const index of here) {
        const row = held.rows.subarray(index * COLUMNS, (index + 1) * COLUMNS);
        assert.deepEqual(describe(row, held.parts[index]), shown(step.view[index]));
      }
    }
  });
}

for (const entry of VECTORS.malformed_snapshots.bodies) {
  test(`refuses the snapshot ${entry.name}`, () => {
    const held = new Held();
    held.apply(1, fromHex(VECTORS.malformed_snapshots.before));
    assert.throws(() => held.apply(2, fromHex(entry.body)), WireError);
  });
}

test("any snapshot body is taken or refused with a WireError", () => {
  const seed = 11;
  const random = seeded(seed);
  const held = new Held();
  let taken = 0;
  for (let round = 0; round < 20_000; round++) {
    const body = Uint8Array.from({ length: Math.floor(random() * 80) }, () => random() * 256);
    if (body.length > 2) body[1] %= 3;
    try {
      held.apply(round, body);
      taken += 1;
    } catch (error) {
      assert.ok(error instanceof WireError, `seed ${seed}, round ${round}: ${error}`);
    }
  }
  assert.ok(taken > 100, "the fuzz never got past the section head");
});
