/**
 * The body of a snapshot: sections of fixed-length records, added to what the client holds.
 *
 * A section is `code u8 | count u8 | index u8 * count | record * count` with
 * `code = form << 6 | parts`. A FULL record replaces a row; DELTA and WIDE records add 8-bit or
 * 16-bit steps of the root and 8-bit steps of each point. Both sides add the same integers, so
 * the sum is exact however long the chain. Fingers, joints and face are carried whole, and kept
 * as the bytes that they are.
 *
 * Records are read with one DataView into one Int32Array: nothing is allocated per record.
 */

import {
  COLUMNS, EXTRA_BYTES, EXTRA_PART, Form, Limits, POINT_COLUMNS, POINT_PART, POINTS_MAX,
  ROOT_COLUMNS,
  YAW_STEPS,
} from "./protocol.generated.js";
import { WireError } from "./msgpack.js";
import { FLAGS, readRootAndPoints, rootAndPointsLength, X, Y, YAW, Z } from "./pose.js";

const { INDEXES_MAX } = Limits;
/** Steps of a point in a DELTA or WIDE record. */
const POINT_STEP_BYTES = 6;

/**
 * Bytes of one record, without its index.
 * @param {number} form
 * @param {number} parts
 */
export function recordLength(form, parts) {
  if (form === Form.FULL) return 1 + rootAndPointsLength(parts);
  let length = form === Form.DELTA ? 4 : 8;
  for (const part of POINT_PART) if (parts & part) length += POINT_STEP_BYTES;
  return length + extraLength(parts);
}

/** Bytes of fingers, joints and face in a record or a body. @param {number} parts */
export function extraLength(parts) {
  let length = 0;
  for (const [part, , bytes] of EXTRA_PART) if (parts & part) length += bytes;
  return length;
}

/** What the client holds: a row for each index, exactly as the server knows it. */
export class Held {
  rows = new Int32Array(INDEXES_MAX * COLUMNS);
  /** Fingers, joints and face of each index, where EXTRA_PART says; as far as `parts` has them. */
  extras = new Uint8Array(INDEXES_MAX * EXTRA_BYTES);
  /** Tick of the newest record of each index; -1 where the next record must be full. */
  ticks = new Float64Array(INDEXES_MAX).fill(-1);
  /** Parts of the newest record of each index. */
  parts = new Uint8Array(INDEXES_MAX);
  /** The indexes that the last snapshot named, in its order; the first `touchedCount` count. */
  touched = new Uint8Array(INDEXES_MAX);
  touchedCount = 0;
  /** For each index the number of the snapshot that named it last. */
  #namedBy = new Uint32Array(INDEXES_MAX);
  #snapshots = 0;

  /**
   * The index was left or given to another entity: its next record must be full.
   * @param {number} index
   */
  forget(index) {
    this.ticks[index] = -1;
  }

  /** A new epoch of indexes has begun. */
  forgetAll() {
    this.ticks.fill(-1);
  }

  /**
   * Takes one snapshot. Throws WireError when the body is malformed or a delta has nothing to
   * add to; the connection is then of no more use, so nothing is rolled back.
   * @param {number} tick
   * @param {Uint8Array} body
   */
  apply(tick, body) {
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    this.touchedCount = 0;
    this.#snapshots += 1;
    let at = 0;
    while (at < body.length) {
      if (at + 2 > body.length) throw new WireError("a snapshot ends inside a section head");
      const form = body[at] >> 6;
      const parts = body[at] & 63;
      const count = body[at + 1];
      if (form > Form.WIDE) throw new WireError("a snapshot section has an unknown form");
      const length = recordLength(form, parts);
      const extra = length - extraLength(parts);
      const records = at + 2 + count;
      const end = records + count * length;
      if (end > body.length) throw new WireError("a snapshot ends inside a section");
      for (let i = 0; i < count; i++) {
        const index = body[at + 2 + i];
        this.#name(index);
        this.#record(form, parts, index, view, records + i * length);
        if (extra < length) this.#keepExtra(parts, index, body, records + i * length + extra);
        this.ticks[index] = tick;
        this.parts[index] = parts;
      }
      at = end;
    }
  }

  /**
   * @param {number} parts
   * @param {number} index
   * @param {Uint8Array} body
   * @param {number} at
   */
  #keepExtra(parts, index, body, at) {
    for (const [part, to, bytes] of EXTRA_PART) {
      if (!(parts & part)) continue;
      for (let k = 0; k < bytes; k++) this.extras[index * EXTRA_BYTES + to + k] = body[at + k];
      at += bytes;
    }
  }

  /**
   * An index is named at most once in a snapshot.
   * @param {number} index
   */
  #name(index) {
    if (index >= INDEXES_MAX) throw new WireError("a snapshot names an index out of range");
    if (this.#namedBy[index] === this.#snapshots) {
      throw new WireError("a snapshot names an index twice");
    }
    this.#namedBy[index] = this.#snapshots;
    this.touched[this.touchedCount++] = index;
  }

  /**
   * @param {number} form
   * @param {number} parts
   * @param {number} index
   * @param {DataView} view
   * @param {number} at
   */
  #record(form, parts, index, view, at) {
    const to = index * COLUMNS;
    if (form === Form.FULL) {
      readRootAndPoints(view, at + 1, parts, this.rows, to);
      this.rows[to + FLAGS] = view.getUint8(at);
      return;
    }
    if (this.ticks[index] < 0 || parts & ~this.parts[index]) {
      throw new WireError("a delta came for what was never sent in full");
    }
    if (form === Form.DELTA) {
      addRoot(this.rows, to, view.getInt8(at), view.getInt8(at + 1), view.getInt8(at + 2),
        view.getInt8(at + 3));
    } else {
      addRoot(this.rows, to, view.getInt16(at, true), view.getInt16(at + 2, true),
        view.getInt16(at + 4, true), view.getInt16(at + 6, true));
    }
    addPoints(this.rows, to + ROOT_COLUMNS, parts, view, at + (form === Form.DELTA ? 4 : 8));
  }
}

/**
 * @param {Int32Array} rows
 * @param {number} to
 * @param {number} dx
 * @param {number} dy
 * @param {number} dz
 * @param {number} dyaw
 */
function addRoot(rows, to, dx, dy, dz, dyaw) {
  rows[to + X] += dx;
  rows[to + Y] += dy;
  rows[to + Z] += dz;
  const yaw = (rows[to + YAW] + dyaw) % YAW_STEPS;
  rows[to + YAW] = yaw < 0 ? yaw + YAW_STEPS : yaw;
}

/**
 * @param {Int32Array} rows
 * @param {number} to the first point's columns
 * @param {number} parts
 * @param {DataView} view
 * @param {number} at
 */
function addPoints(rows, to, parts, view, at) {
  for (let point = 0; point < POINTS_MAX; point++) {
    if (!(parts & POINT_PART[point])) continue;
    const p = to + POINT_COLUMNS * point;
    rows[p] += view.getInt8(at);
    rows[p + 1] += view.getInt8(at + 1);
    rows[p + 2] += view.getInt8(at + 2);
    // The code wraps at 32 bits as the server's does; an Int32Array takes it modulo 2**32.
    rows[p + 3] += view.getInt8(at + 3) + (view.getInt8(at + 4) << 10)
      + (view.getInt8(at + 5) << 20);
    at += POINT_STEP_BYTES;
  }
}
