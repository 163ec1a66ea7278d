/**
 * The own avatar: moved here at once, corrected by the server afterwards.
 *
 * The page walks without waiting and sends where it is. The server takes that, or answers with a
 * correction: "at your pose `seq` you stood here". What was walked since that pose is kept: the
 * past places are remembered by `seq`, the correction tells how far off that place was, and
 * everything since is moved by the same amount. A jump (teleport, seat) is taken as it is.
 * What a small correction changed is spread over some frames in `shown`, so that nobody twitches.
 *
 * Pure: time, input and scene come as arguments.
 */

import {
  COLUMNS, Flags, MoveReason, Parts, POINT_COLUMNS, ROOT_COLUMNS,
} from "./protocol.generated.js";
import {
  decodeBody, decodeRotation, encodeBody, encodeRotation, FLAGS, quantiseYaw, X, Y, YAW, yawOf, Z,
} from "./pose.js";
import { standAt } from "./scene.js";
import { POINT_STRIDE, shortestArc } from "./view.js";

/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {import("./view.js").Figure} Figure */
/** @typedef {{east: number, south: number, run: boolean}} Push how the person wants to move */

const WALK_M_PER_S = 1.9;
const RUN_M_PER_S = 3.6;
/** Kept below what the server allows, so that a late frame does not break its rules. */
const HONEST = 0.9;
const ACCELERATION_M_PER_S2 = 9;
const TURN_RAD_PER_S = 7;
const STRIDE_M = 0.75;
const ARRIVED_M = 0.12;
const STUCK_S = 0.8;
const HISTORY = 128;
const JUMP = MoveReason.TELEPORT | MoveReason.SEATED;
const EASE_PER_S = 12;
const EASED_M_MAX = 3;
const HEAD_TURN_RAD_MAX = 1.35;
const HEAD_PER_S = 10;
const GAZE_S = 4;

export class OwnAvatar {
  x = 0;
  y = 0;
  z = 0;
  yaw = 0;
  flags = 0;
  seq = 0;
  /** By how much the head is turned from the body, radians. */
  headTurn = 0;
  typing = false;
  /** Where the map draws the avatar: its place and what is left of a correction. */
  shown = { x: 0, z: 0 };
  /** @type {{x: number, z: number} | null} where a click told it to go */
  goal = null;
  row = new Int32Array(COLUMNS);
  #residueX = 0;
  #residueZ = 0;
  #vx = 0;
  #vz = 0;
  #walkedM = 0;
  #gaze = 0;
  #gazeS = 0;
  #stuckS = 0;
  #pastX = new Float64Array(HISTORY);
  #pastZ = new Float64Array(HISTORY);
  #scratch = new Int32Array(COLUMNS);
  #yMetres = 0.001;

  get seated() {
    return (this.flags & Flags.SEATED) !== 0;
  }

  get speed() {
    return Math.hypot(this.#vx, this.#vz);
  }

  /**
   * Stands where the server says, with nothing remembered.
   * @param {Uint8Array} body
   * @param {number} yUnitMm
   */
  place(body, yUnitMm) {
    this.#yMetres = yUnitMm / 1000;
    this.#take(body);
    this.#jump();
  }

  /** @param {Uint8Array} body */
  #take(body) {
    decodeBody(body, this.#scratch);
    this.x = this.#scratch[X] / 1000;
    this.y = this.#scratch[Y] * this.#yMetres;
    this.z = this.#scratch[Z] / 1000;
    this.flags = this.#scratch[FLAGS];
  }

  #jump() {
    this.yaw = yawOf(this.#scratch[YAW]);
    this.#vx = this.#vz = 0;
    this.goal = null;
    this.#residueX = this.#residueZ = 0;
    this.#ease(0);
    this.#pastX.fill(this.x);
    this.#pastZ.fill(this.z);
  }

  /**
   * Takes the server's answer to the pose `seq`.
   * @param {number} seq
   * @param {number} reasons
   * @param {Uint8Array} body
   */
  correct(seq, reasons, body) {
    const [x, z] = [this.x, this.z];
    this.#take(body);
    if (reasons & JUMP || this.seq - seq >= HISTORY) return this.#jump();
    const dx = this.x - this.#pastX[seq % HISTORY];
    const dz = this.z - this.#pastZ[seq % HISTORY];
    this.x = x + dx;
    this.z = z + dz;
    this.#residueX -= dx;
    this.#residueZ -= dz;
    for (let k = 0; k < HISTORY; k++) {
      this.#pastX[k] += dx;
      this.#pastZ[k] += dz;
    }
  }

  /**
   * Lives on for `dt` seconds.
   * @param {number} dt
   * @param {Push} push
   * @param {Scene} scene
   */
  step(dt, push, scene) {
    const wanted = this.seated ? { x: 0, z: 0 }
      : this.#wanted(push, HONEST * scene.movement.speed);
    const most = Math.min(ACCELERATION_M_PER_S2, HONEST * scene.movement.acceleration) * dt;
    const [ax, az] = [wanted.x - this.#vx, wanted.z - this.#vz];
    const part = Math.min(1, most / (Math.hypot(ax, az) || 1));
    this.#vx += ax * part;
    this.#vz += az * part;
    const [x, z] = [this.x, this.z];
    if (this.speed > 0.01 && !this.seated) {
      const free = standAt(scene, x + this.#vx * dt, z + this.#vz * dt, this.y);
      this.x = free.x;
      this.y = free.y;
      this.z = free.z;
      const heading = Math.atan2(-this.#vx, -this.#vz);
      this.yaw += clamp(shortestArc(heading - this.yaw), TURN_RAD_PER_S * dt);
    }
    const walked = Math.hypot(this.x - x, this.z - z);
    this.#walkedM += walked;
    this.#giveUp(dt, walked);
    this.#ease(dt);
    this.#turnHead(dt);
  }

  /**
   * @param {Push} push
   * @param {number} fastest metres per second
   */
  #wanted(push, fastest) {
    let { east, south } = push;
    if (east || south) this.goal = null;
    else if (this.goal) {
      east = this.goal.x - this.x;
      south = this.goal.z - this.z;
      if (Math.hypot(east, south) < ARRIVED_M) {
        this.goal = null;
        east = south = 0;
      }
    }
    const length = Math.hypot(east, south);
    if (!length) return { x: 0, z: 0 };
    // Close to a goal the steps become small, or the avatar would swing around it.
    const near = this.goal ? Math.min(1, length / 0.6 + 0.15) : 1;
    const speed = Math.min(push.run ? RUN_M_PER_S : WALK_M_PER_S, fastest) * near;
    return { x: (east / length) * speed, z: (south / length) * speed };
  }

  /**
   * A goal behind a wall is dropped after a while of walking against it.
   * @param {number} dt
   * @param {number} walked
   */
  #giveUp(dt, walked) {
    this.#stuckS = this.goal && walked < 0.2 * dt ? this.#stuckS + dt : 0;
    if (this.#stuckS > STUCK_S) this.goal = null;
  }

  /** @param {number} dt */
  #ease(dt) {
    const far = Math.hypot(this.#residueX, this.#residueZ) > EASED_M_MAX;
    const left = far ? 0 : Math.exp(-EASE_PER_S * dt);
    this.#residueX *= left;
    this.#residueZ *= left;
    this.shown.x = this.x + this.#residueX;
    this.shown.z = this.z + this.#residueZ;
  }

  /**
   * The server has taken a later pose than this page remembers sending (it was reloaded).
   * @param {number} seq
   */
  skipTo(seq) {
    if (seq <= this.seq) return;
    this.seq = seq;
    this.#pastX.fill(this.x);
    this.#pastZ.fill(this.z);
  }

  /**
   * Turns the head towards a direction, as far as a neck goes; with nothing said for a while it
   * looks ahead again.
   * @param {number} gaze radians, as a yaw
   */
  look(gaze) {
    this.#gaze = gaze;
    this.#gazeS = GAZE_S;
  }

  /** @param {number} dt */
  #turnHead(dt) {
    this.#gazeS -= dt;
    const turn = this.#gazeS > 0 ? shortestArc(this.#gaze - this.yaw) : 0;
    const wanted = Math.min(Math.max(turn, -HEAD_TURN_RAD_MAX), HEAD_TURN_RAD_MAX);
    this.headTurn += (wanted - this.headTurn) * (1 - Math.exp(-HEAD_PER_S * dt));
  }

  /** The next pose to send: its `seq` is in `this.seq` afterwards. */
  nextBody() {
    this.seq += 1;
    this.#pastX[this.seq % HISTORY] = this.x;
    this.#pastZ[this.seq % HISTORY] = this.z;
    this.updateRow();
    return encodeBody(this.row, Parts.HEAD | Parts.HANDS);
  }

  /**
   * The own avatar as `View.sample` would give it.
   * @param {Figure} figure
   */
  writeFigure(figure) {
    const { row } = this;
    figure.parts = Parts.HEAD | Parts.HANDS;
    figure.flags = this.flags | row[FLAGS];
    figure.pose[0] = this.shown.x;
    figure.pose[1] = this.y;
    figure.pose[2] = this.shown.z;
    figure.pose[3] = this.yaw;
    for (let point = 0; point < 3; point++) {
      const from = ROOT_COLUMNS + POINT_COLUMNS * point;
      const to = 4 + POINT_STRIDE * point;
      for (let axis = 0; axis < 3; axis++) figure.pose[to + axis] = row[from + axis] / 1000;
      decodeRotation(row[from + 3], figure.pose, to + 3);
    }
  }

  /** Brings `row` up to date: the root, the head that looks, the hands that swing. */
  updateRow() {
    const { row } = this;
    row[X] = Math.round(this.x * 1000);
    row[Y] = Math.round(this.y / this.#yMetres);
    row[Z] = Math.round(this.z * 1000);
    row[YAW] = quantiseYaw(this.yaw);
    row[FLAGS] = this.typing ? Flags.TYPING : 0;
    const half = this.headTurn / 2;
    setPoint(row, 0, 0, 1620, -40, encodeRotation(0, Math.sin(half), 0, Math.cos(half)));
    const pace = Math.min(1, this.speed / WALK_M_PER_S);
    const swing = Math.sin((this.#walkedM / STRIDE_M) * Math.PI) * 260 * pace;
    const upright = encodeRotation(0, 0, 0, 1);
    setPoint(row, 1, -290, 960, Math.round(-120 - swing), upright);
    setPoint(row, 2, 290, 960, Math.round(-120 + swing), upright);
  }
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
