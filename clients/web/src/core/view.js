/**
 * Everybody in view, and where each of them is at a moment of the server's time.
 *
 * Snapshots come in steps; pictures are drawn between them. So each entity is shown a little in the
 * past, between two samples that have both arrived. How far in the past depends on how often it
 * is sent: near entities come every tick and distant ones every second or fourth, and each gets a
 * delay of its own spacing plus an allowance for jitter: the lateness that 95 % of the recent
 * snapshots kept. A delay changes slowly, which shows as walking a trifle faster or slower and
 * never as a jump.
 *
 * Hold rule: an entity that is not mentioned has not moved. When the gap between two samples is
 * longer than the slowest rate, the entity stood at the older one and left it only one spacing
 * before the newer one. Past the newest sample of all it goes on as between the last two for at
 * most EXTRAPOLATED_MS_MAX and then holds; but who was left out of a newer snapshot has stopped.
 *
 * A change of the DISCONTINUITY bit says that the entity jumped; the older sample is shown until
 * the jump and then the newer one. Pure: time comes as an argument.
 */

import {
  COLUMNS, EXTRA_BYTES, Flags, Limits, Parts, POINT_COLUMNS, POINT_PART, POINTS_MAX,
  ROOT_COLUMNS,
} from "./protocol.generated.js";
import { decodeRotation, FLAGS, X, Y, YAW, yawOf, Z } from "./pose.js";
import { Held } from "./snapshot.js";

/** @typedef {import("./protocol.generated.js").EnterEntry} EnterEntry */

/** A sampled pose: x, y, z (metres), yaw (radians), then 7 numbers of each point. */
export const POINT_STRIDE = 7;
export const POSE_STRIDE = 4 + POINT_STRIDE * POINTS_MAX;

const SAMPLES = 8;
const SLOWEST_TICKS = 4;
/** The allowance for jitter before there is anything to know it by, and its bounds. */
const JITTER_MS = 45;
const JITTER_MS_MIN = 15;
const JITTER_MS_MAX = 450;
/** So many snapshots tell how late they come; after each LATENESS_STEP the allowance is new. */
const LATENESS_KEPT = 64;
const LATENESS_STEP = 8;
const LATENESS_PART = 0.95;
const EXTRAPOLATED_MS_MAX = 250;
/** A delay moves by at most this part of the time that passes. */
const DELAY_SLEW = 0.1;
const TURN = 2 * Math.PI;
const { INDEXES_MAX } = Limits;
const EXTRA_PARTS = Parts.FINGERS | Parts.JOINTS | Parts.FACE;

/** One entity at one moment. Reused by `sample`; copy what must be kept. */
export class Figure {
  pose = new Float64Array(POSE_STRIDE);
  /** Fingers, joints, face, where EXTRA_PART says and as far as `parts` has them; not blended. */
  extra = new Uint8Array(EXTRA_BYTES);
  flags = 0;
  parts = 0;
}

export class View {
  held = new Held();
  /** @type {Map<number, EnterEntry>} by index */
  entries = new Map();
  #poses = new Float64Array(INDEXES_MAX * SAMPLES * POSE_STRIDE);
  #times = new Float64Array(INDEXES_MAX * SAMPLES);
  #flags = new Uint8Array(INDEXES_MAX * SAMPLES);
  #parts = new Uint8Array(INDEXES_MAX * SAMPLES);
  /** Samples ever taken of each index; the newest lies at (count - 1) % SAMPLES. */
  #counts = new Uint32Array(INDEXES_MAX);
  #spacings = new Float64Array(INDEXES_MAX);
  #delays = new Float64Array(INDEXES_MAX);
  #nowMs = 0;
  #newestMs = 0;
  #jitterMs = JITTER_MS;
  #lateness = new Float64Array(LATENESS_KEPT);
  #sorted = new Float64Array(LATENESS_KEPT);
  #latenessCount = 0;
  #tickMs;
  #yMetres;

  /**
   * @param {number} tickRateHz
   * @param {number} yUnitMm
   */
  constructor(tickRateHz, yUnitMm) {
    this.#tickMs = 1000 / tickRateHz;
    this.#yMetres = yUnitMm / 1000;
  }

  /** @param {EnterEntry[]} entries */
  enter(entries) {
    for (const entry of entries) {
      this.#forget(entry.index);
      if (entry.index < INDEXES_MAX) this.entries.set(entry.index, entry);
    }
  }

  /** @param {Uint8Array} indexes */
  leave(indexes) {
    for (const index of indexes) {
      this.#forget(index);
      this.entries.delete(index);
    }
  }

  /** @param {number} index */
  #forget(index) {
    if (index >= INDEXES_MAX) return;
    this.held.forget(index);
    this.#counts[index] = 0;
  }

  /** How late snapshots come, as far as is allowed for, ms. */
  get jitterMs() {
    return this.#jitterMs;
  }

  /**
   * @param {number} tick
   * @param {number} serverMs extended: see ServerClock.extend
   * @param {Uint8Array} body
   * @param {number} [arrivedMs] when it came, by the server's clock
   */
  snapshot(tick, serverMs, body, arrivedMs) {
    this.held.apply(tick, body);
    this.#newestMs = Math.max(this.#newestMs, serverMs);
    if (arrivedMs !== undefined) this.#cameLate(arrivedMs - serverMs);
    const { touched, touchedCount } = this.held;
    for (let i = 0; i < touchedCount; i++) this.#keep(touched[i], serverMs);
  }

  /** @param {number} ms */
  #cameLate(ms) {
    this.#lateness[this.#latenessCount++ % LATENESS_KEPT] = Math.max(0, ms);
    if (this.#latenessCount % LATENESS_STEP) return;
    const kept = Math.min(this.#latenessCount, LATENESS_KEPT);
    this.#sorted.set(this.#lateness);
    const sorted = this.#sorted.subarray(0, kept).sort();
    const late = sorted[Math.min(kept - 1, Math.floor(kept * LATENESS_PART))];
    this.#jitterMs = Math.min(Math.max(late, JITTER_MS_MIN), JITTER_MS_MAX);
  }

  /**
   * @param {number} index
   * @param {number} serverMs
   */
  #keep(index, serverMs) {
    const count = this.#counts[index];
    if (count) {
      const gap = serverMs - this.#times[index * SAMPLES + ((count - 1) % SAMPLES)];
      if (gap <= 0) return;
      if (gap <= (SLOWEST_TICKS + 0.5) * this.#tickMs) this.#spacings[index] = gap;
    } else {
      this.#spacings[index] = this.#tickMs;
      this.#delays[index] = this.#tickMs + this.#jitterMs;
    }
    const slot = index * SAMPLES + (count % SAMPLES);
    this.#times[slot] = serverMs;
    this.#flags[slot] = this.held.rows[index * COLUMNS + FLAGS];
    this.#parts[slot] = this.held.parts[index];
    this.#unpack(index * COLUMNS, slot * POSE_STRIDE, this.held.parts[index]);
    this.#counts[index] = count + 1;
  }

  /**
   * Metres, radians and quaternions of a row.
   * @param {number} row
   * @param {number} to
   * @param {number} parts
   */
  #unpack(row, to, parts) {
    const rows = this.held.rows;
    const poses = this.#poses;
    poses[to] = rows[row + X] / 1000;
    poses[to + 1] = rows[row + Y] * this.#yMetres;
    poses[to + 2] = rows[row + Z] / 1000;
    poses[to + 3] = yawOf(rows[row + YAW]);
    for (let point = 0; point < POINTS_MAX; point++) {
      if (!(parts & POINT_PART[point])) continue;
      const from = row + ROOT_COLUMNS + POINT_COLUMNS * point;
      const into = to + 4 + POINT_STRIDE * point;
      for (let axis = 0; axis < 3; axis++) poses[into + axis] = rows[from + axis] / 1000;
      decodeRotation(rows[from + 3], poses, into + 3);
    }
  }

  /**
   * The moment that `sample` shows from now on.
   * @param {number} serverMs
   */
  advance(serverMs) {
    const most = Math.max(0, serverMs - this.#nowMs) * DELAY_SLEW;
    this.#nowMs = serverMs;
    for (const index of this.entries.keys()) {
      const error = this.#spacings[index] + this.#jitterMs - this.#delays[index];
      this.#delays[index] += Math.min(Math.max(error, -most), most);
    }
  }

  /**
   * Writes the entity's pose at the moment to `into`; false while nothing is known of it.
   * @param {number} index
   * @param {Figure} into
   */
  sample(index, into) {
    const count = this.#counts[index];
    if (!count) return false;
    if (this.held.parts[index] & EXTRA_PARTS) this.#copyExtra(index, into);
    const time = this.#nowMs - this.#delays[index];
    const oldest = Math.max(0, count - SAMPLES);
    let newer = count - 1;
    let b = index * SAMPLES + (newer % SAMPLES);
    if (time >= this.#times[b]) return this.#beyond(index, b, time, into);
    while (newer > oldest) {
      const a = index * SAMPLES + ((newer - 1) % SAMPLES);
      if (this.#times[a] <= time) return this.#between(a, b, time, into, this.#spacings[index]);
      b = a;
      newer -= 1;
    }
    return this.#copy(b, into);
  }

  /** @param {number} index @param {Figure} into */
  #copyExtra(index, into) {
    const from = index * EXTRA_BYTES;
    for (let k = 0; k < EXTRA_BYTES; k++) into.extra[k] = this.held.extras[from + k];
  }

  /**
   * Past the newest sample: on as between the last two, unless it was seen to have stopped.
   * @param {number} index
   * @param {number} b the newest sample's slot
   * @param {number} time
   * @param {Figure} into
   */
  #beyond(index, b, time, into) {
    this.#copy(b, into);
    const count = this.#counts[index];
    const a = index * SAMPLES + ((count - 2 + SAMPLES) % SAMPLES);
    const spacing = this.#times[b] - this.#times[a];
    const jumped = (this.#flags[a] ^ this.#flags[b]) & Flags.DISCONTINUITY;
    const stopped = this.#newestMs - this.#times[b] > 1.5 * this.#spacings[index];
    const stood = spacing > (SLOWEST_TICKS + 0.5) * this.#tickMs;
    if (count < 2 || jumped || stopped || stood) return true;
    const on = Math.min(time - this.#times[b], EXTRAPOLATED_MS_MAX) / spacing;
    const { pose } = into;
    const from = a * POSE_STRIDE;
    for (let k = 0; k < 3; k++) pose[k] += (pose[k] - this.#poses[from + k]) * on;
    pose[3] += shortestArc(pose[3] - this.#poses[from + 3]) * on;
    return true;
  }

  /**
   * @param {number} slot
   * @param {Figure} into
   */
  #copy(slot, into) {
    const from = slot * POSE_STRIDE;
    for (let k = 0; k < POSE_STRIDE; k++) into.pose[k] = this.#poses[from + k];
    into.flags = this.#flags[slot];
    into.parts = this.#parts[slot];
    return true;
  }

  /**
   * @param {number} a
   * @param {number} b
   * @param {number} time
   * @param {Figure} into
   * @param {number} spacing
   */
  #between(a, b, time, into, spacing) {
    if ((this.#flags[a] ^ this.#flags[b]) & Flags.DISCONTINUITY) return this.#copy(a, into);
    const end = this.#times[b];
    let start = this.#times[a];
    if (end - start > (SLOWEST_TICKS + 0.5) * this.#tickMs) start = end - spacing;
    if (time <= start) return this.#copy(a, into);
    this.#copy(b, into);
    blend(into.pose, this.#poses, a * POSE_STRIDE, 1 - (time - start) / (end - start),
      this.#parts[a] & this.#parts[b]);
    return true;
  }
}

/**
 * Moves `pose` by `weight` (0..1) towards the pose at `from`; points only where `parts` has them.
 * @param {Float64Array} pose
 * @param {Float64Array} poses
 * @param {number} from
 * @param {number} weight
 * @param {number} parts
 */
function blend(pose, poses, from, weight, parts) {
  for (let k = 0; k < 3; k++) pose[k] += (poses[from + k] - pose[k]) * weight;
  pose[3] += shortestArc(poses[from + 3] - pose[3]) * weight;
  for (let point = 0; point < POINTS_MAX; point++) {
    if (!(parts & POINT_PART[point])) continue;
    const at = 4 + POINT_STRIDE * point;
    for (let k = at; k < at + 3; k++) pose[k] += (poses[from + k] - pose[k]) * weight;
    blendRotation(pose, at + 3, poses, from + at + 3, weight);
  }
}

/**
 * @param {Float64Array} pose
 * @param {number} at
 * @param {Float64Array} poses
 * @param {number} from
 * @param {number} weight
 */
function blendRotation(pose, at, poses, from, weight) {
  let dot = 0;
  for (let k = 0; k < 4; k++) dot += pose[at + k] * poses[from + k];
  const sign = dot < 0 ? -1 : 1;
  let squares = 0;
  for (let k = 0; k < 4; k++) {
    pose[at + k] += (poses[from + k] * sign - pose[at + k]) * weight;
    squares += pose[at + k] * pose[at + k];
  }
  const norm = Math.sqrt(squares) || 1;
  for (let k = 0; k < 4; k++) pose[at + k] /= norm;
}

/**
 * The same turn, in -pi..pi.
 * @param {number} radians
 */
export function shortestArc(radians) {
  return radians - TURN * Math.round(radians / TURN);
}
