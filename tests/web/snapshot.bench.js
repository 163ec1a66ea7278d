/**
 * What a snapshot costs the page: a hundred people, head and hands, from bytes to what is drawn.
 *
 *     make bench-web
 *
 * The floor is to copy the same bytes into an array of numbers, without understanding them.
 */

import { bench, describe } from "vitest";

import { decodeServer } from "../../clients/web/src/core/codec.js";
import { encodeBody, encodeRotation, X, Z } from "../../clients/web/src/core/pose.js";
import {
  COLUMNS, Op, POINT_COLUMNS, ROOT_COLUMNS,
} from "../../clients/web/src/core/protocol.generated.js";
import { Figure, View } from "../../clients/web/src/core/view.js";

const PEOPLE = 100;
const PARTS = 3;
const TICK_MS = 50;
const STEPS = [4, -3, 5, 2];

/** The first snapshot: everybody in full. */
function full() {
  const row = new Int32Array(COLUMNS);
  const records = [];
  for (let person = 0; person < PEOPLE; person++) {
    row[X] = person * 100;
    row[Z] = person * 50;
    for (let point = 0; point < 3; point++) {
      const at = ROOT_COLUMNS + POINT_COLUMNS * point;
      row.set([10, 1500 - 300 * point, 20, encodeRotation(0, 0.1 * point, 0, 1)], at);
    }
    records.push(0, ...encodeBody(row, PARTS).subarray(2));
  }
  return section(0, records);
}

/** A later one: everybody has moved a little. */
function moved() {
  const record = [...STEPS, ...new Array(18).fill(0).map((_, k) => k % 5)];
  return section(1, new Array(PEOPLE).fill(record).flat().map((step) => step & 255));
}

function section(form, records) {
  const indexes = Array.from({ length: PEOPLE }, (_, k) => k);
  return new Uint8Array([(form << 6) | PARTS, PEOPLE, ...indexes, ...records]);
}

/** The bytes of a Snapshot, as the server writes them. */
function message(tick, body) {
  const bytes = new Uint8Array(20 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x9500 | Op.Snapshot);
  for (const [k, value] of [tick, tick * TICK_MS, 0].entries()) {
    view.setUint8(2 + 5 * k, 0xce);
    view.setUint32(3 + 5 * k, value);
  }
  view.setUint8(17, 0xc5);
  view.setUint16(18, body.length);
  bytes.set(body, 20);
  return bytes;
}

describe(`a snapshot of ${PEOPLE} people with head and hands`, () => {
  const view = new View(1000 / TICK_MS, 1);
  view.enter(Array.from({ length: PEOPLE }, (_, index) => (
    { index, entity_id: index + 1, kind: 0, name: "somebody", avatar: "" })));
  view.snapshot(1, TICK_MS, full(), TICK_MS);
  const delta = moved();
  const bytes = message(2, delta);
  const figure = new Figure();
  const copy = new Float32Array(bytes.length);
  let tick = 2;

  bench("floor: its bytes copied", () => copy.set(bytes));

  bench("decoded", () => {
    decodeServer(bytes);
  });

  bench("decoded, taken into the view", () => {
    tick += 1;
    const { body } = decodeServer(bytes);
    view.snapshot(tick, tick * TICK_MS, body, tick * TICK_MS + 20);
  });

  bench("a picture: everybody sampled between two of them", () => {
    view.advance(tick * TICK_MS - 10);
    for (let index = 0; index < PEOPLE; index++) view.sample(index, figure);
  });
});
