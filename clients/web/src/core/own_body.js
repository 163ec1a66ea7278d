/**
 * The own avatar's points: tracked ones where there is a headset, else made up ones.
 *
 * The root is somebody else's (`predict`); here are head and hands in the root's frame, and fingers
 * and joints, as they go into the pose. Without tracking the head looks where the person looks and
 * the hands swing with the steps, so that others see somebody alive. Everything is kept within what
 * the wire can say and the server takes for a body's reach. Pure.
 */

import {
  COLUMNS, EXTRA_BYTES, EXTRA_PART, Flags, Parts, POINT_COLUMNS, ROOT_COLUMNS,
} from "./protocol.generated.js";
import { decodeRotation, encodeRotation, FLAGS } from "./pose.js";
import { POINT_STRIDE, shortestArc } from "./view.js";

/** @typedef {import("./view.js").Figure} Figure */
/** @typedef {Float64Array} Point x, y, z (metres) and a rotation x, y, z, w, in the root's frame */

const STRIDE_M = 0.75;
const WALK_M_PER_S = 1.9;
const HEAD_TURN_RAD_MAX = 1.35;
const HEAD_NOD_RAD_MAX = 0.9;
const HEAD_PER_S = 10;
const GAZE_S = 4;
/** Who sits has the root on the seat: so high are head and hands above it. */
const SAT_HEAD_MM = 780;
const SAT_HANDS_MM = 260;
/** Kept this much within the reach that the server allows. */
const REACH_SHARE = 0.98;
const [FINGERS, JOINTS] = EXTRA_PART;

export class OwnBody {
  /** By how much the head is turned from the body, and nods, radians. */
  headTurn = 0;
  headNod = 0;
  row = new Int32Array(COLUMNS);
  extra = new Uint8Array(EXTRA_BYTES);
  parts = Parts.HEAD | Parts.HANDS;
  reachM = 1.5;
  #tracked = new Float64Array(3 * POINT_STRIDE);
  #has = [false, false, false];
  #handTracking = false;
  #walkedM = 0;
  #gaze = 0;
  #nod = 0;
  #gazeS = 0;

  /** Whether head and hands come from a headset. */
  get isTracked() {
    return this.#has[0];
  }

  /**
   * Where a headset has head and hands; null for a hand that it has lost, and for a head to end
   * the tracking.
   * @param {Point | null} head
   * @param {Point | null} left
   * @param {Point | null} right
   */
  track(head, left, right) {
    const points = [head, left, right];
    for (let point = 0; point < 3; point++) {
      const from = points[point];
      this.#has[point] = from !== null;
      if (!from) continue;
      for (let k = 0; k < POINT_STRIDE; k++) this.#tracked[point * POINT_STRIDE + k] = from[k];
    }
    if (!head) this.setJoints(null);
  }

  /** Curls of the fingers, 10 bytes, or null. @param {Uint8Array | null} curls */
  setFingers(curls) {
    this.#setExtra(FINGERS, curls);
  }

  /** Rotations of 25 joints of both hands, 200 bytes. @param {Uint8Array | null} joints */
  setJoints(joints) {
    this.#setExtra(JOINTS, joints);
    this.#handTracking = joints !== null;
  }

  /** @param {number[]} extra an entry of EXTRA_PART @param {Uint8Array | null} bytes */
  #setExtra([part, at, length], bytes) {
    if (bytes) this.extra.set(bytes.subarray(0, length), at);
    this.parts = bytes ? this.parts | part : this.parts & ~part;
  }

  /**
   * Turns the head towards a direction, as far as a neck goes; with nothing said for a while it
   * looks ahead again.
   * @param {number} gaze radians, as a yaw
   * @param {number} [nod] radians, up is positive
   */
  look(gaze, nod = 0) {
    this.#gaze = gaze;
    this.#nod = nod;
    this.#gazeS = GAZE_S;
  }

  /**
   * @param {number} dt seconds
   * @param {number} walkedM in this time
   * @param {number} yaw of the root
   */
  step(dt, walkedM, yaw) {
    this.#walkedM += walkedM;
    this.#gazeS -= dt;
    const looks = this.#gazeS > 0;
    const turn = looks ? shortestArc(this.#gaze - yaw) : 0;
    const part = 1 - Math.exp(-HEAD_PER_S * dt);
    this.headTurn += (clamp(turn, HEAD_TURN_RAD_MAX) - this.headTurn) * part;
    this.headNod += (clamp(looks ? this.#nod : 0, HEAD_NOD_RAD_MAX) - this.headNod) * part;
  }

  /**
   * Brings the points of `row` up to date; the root is the caller's.
   * @param {number} speed metres per second
   * @param {boolean} seated
   */
  update(speed, seated) {
    this.row[FLAGS] &= ~Flags.HAND_TRACKING;
    if (this.#handTracking) this.row[FLAGS] |= Flags.HAND_TRACKING;
    if (this.isTracked) return this.#updateTracked();
    const [turn, nod] = [this.headTurn / 2, this.headNod / 2];
    const [st, ct, sn, cn] = [Math.sin(turn), Math.cos(turn), Math.sin(nod), Math.cos(nod)];
    const looking = encodeRotation(ct * sn, st * cn, -st * sn, ct * cn);
    setPoint(this.row, 0, 0, seated ? SAT_HEAD_MM : 1620, -40, looking);
    const pace = Math.min(1, speed / WALK_M_PER_S);
    const swing = Math.sin((this.#walkedM / STRIDE_M) * Math.PI) * 260 * pace;
    const upright = encodeRotation(0, 0, 0, 1);
    const ahead = seated ? -340 : -120;
    const high = seated ? SAT_HANDS_MM : 960;
    setPoint(this.row, 1, -290 + (seated ? 130 : 0), high, Math.round(ahead - swing), upright);
    setPoint(this.row, 2, 290 - (seated ? 130 : 0), high, Math.round(ahead + swing), upright);
  }

  #updateTracked() {
    for (let point = 0; point < 3; point++) {
      // A hand that is lost rests beside the hip, until it is seen again.
      if (!this.#has[point]) {
        setPoint(this.row, point, point === 1 ? -250 : 250, 850, 0, encodeRotation(0, 0, 0, 1));
        continue;
      }
      const at = point * POINT_STRIDE;
      const t = this.#tracked;
      const far = Math.hypot(t[at], t[at + 2]) / (this.reachM * REACH_SHARE);
      const scale = 1000 / Math.max(1, Number.isFinite(far) ? far : 1);
      const norm = Math.hypot(t[at + 3], t[at + 4], t[at + 5], t[at + 6]);
      const code = norm > 1e-6 && Number.isFinite(norm)
        ? encodeRotation(t[at + 3], t[at + 4], t[at + 5], t[at + 6]) : encodeRotation(0, 0, 0, 1);
      setPoint(this.row, point, said(t[at] * scale), said(t[at + 1] * 1000),
        said(t[at + 2] * scale), code);
    }
  }

  /** Writes points and extra parts as `View.sample` would give them. @param {Figure} figure */
  writeFigure(figure) {
    figure.parts = this.parts;
    if (this.parts & ~(Parts.HEAD | Parts.HANDS)) figure.extra.set(this.extra);
    for (let point = 0; point < 3; point++) {
      const from = ROOT_COLUMNS + POINT_COLUMNS * point;
      const to = 4 + POINT_STRIDE * point;
      for (let axis = 0; axis < 3; axis++) figure.pose[to + axis] = this.row[from + axis] / 1000;
      decodeRotation(this.row[from + 3], figure.pose, to + 3);
    }
  }
}

/** Millimetres as the wire can say them. @param {number} mm */
function said(mm) {
  return Number.isFinite(mm) ? Math.round(Math.min(Math.max(mm, -32_768), 32_767)) : 0;
}

/**
 * @param {Int32Array} row
 * @param {number} point
 * @param {number} x millimetres in the root's frame, as y and z
 * @param {number} y
 * @param {number} z
 * @param {number} code
 */
function setPoint(row, point, x, y, z, code) {
  const at = ROOT_COLUMNS + POINT_COLUMNS * point;
  row[at] = x;
  row[at + 1] = y;
  row[at + 2] = z;
  row[at + 3] = code;
}

/**
 * @param {number} value
 * @param {number} most
 */
function clamp(value, most) {
  return Math.min(Math.max(value, -most), most);
}
