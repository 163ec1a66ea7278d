/**
 * The own avatar: moved here at once, corrected by the server afterwards.
 *
 * The page walks without waiting and sends where it is. The server takes that, or answers with a
 * correction: "at your pose `seq` you stood here". What was walked since that pose is kept: the
 * past places are remembered by `seq`, the correction tells how far off that place was, and
 * everything since is moved by the same amount. A jump (teleport, seat) is taken as it is.
 * What a small correction changed is spread over some frames in `shown`, so that nobody twitches.
 *
 * Here is the root; head, hands and fingers are in `own_body`. Pure: time, input and scene come as
 * arguments.
 */

import { COLUMNS, Flags, MoveReason } from "./protocol.generated.js";
import { OwnBody } from "./own_body.js";
import { decodeBody, encodeBody, FLAGS, quantiseYaw, X, Y, YAW, yawOf, Z } from "./pose.js";
import { groundAt, standAt } from "./scene.js";
import { shortestArc } from "./view.js";

/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {import("./view.js").Figure} Figure */
/** @typedef {import("./own_body.js").Point} Point */
/**
 * How the person wants to move.
 * @typedef {object} Push
 * @property {number} east -1..1, along +X of the world
 * @property {number} south -1..1, along +Z
 * @property {boolean} run
 * @property {boolean} [jump]
 * @property {number | null} [facing] the yaw to face while walking any way; else one faces that way
 */

const WALK_M_PER_S = 1.9;
const RUN_M_PER_S = 3.6;
/** Kept below what the server allows, so that a late frame does not break its rules. */
const HONEST = 0.9;
const ACCELERATION_M_PER_S2 = 9;
const TURN_RAD_PER_S = 7;
const FACING_RAD_PER_S = 14;
const GRAVITY_M_PER_S2 = 9.81;
const ARRIVED_M = 0.12;
const STUCK_S = 0.8;
const HISTORY = 128;
const JUMP = MoveReason.TELEPORT | MoveReason.SEATED;
const EASE_PER_S = 12;
const EASED_M_MAX = 3;
/** Flags that the own client says and the server only passes on. */
const SAID = Flags.SNAP | Flags.EPOCH;

export class OwnAvatar {
  x = 0;
  y = 0;
  z = 0;
  yaw = 0;
  /** As the server told them. */
  flags = 0;
  seq = 0;
  typing = false;
  speaking = false;
  body = new OwnBody();
  /** Where the avatar is drawn: its place and what is left of a correction. */
  shown = { x: 0, y: 0, z: 0 };
  /** @type {{x: number, z: number} | null} where a click told it to go */
  goal = null;
  #said = 0;
  #residue = [0, 0, 0];
  #vx = 0;
  #vy = 0;
  #vz = 0;
  #stuckS = 0;
  #pastX = new Float64Array(HISTORY);
  #pastY = new Float64Array(HISTORY);
  #pastZ = new Float64Array(HISTORY);
  #scratch = new Int32Array(COLUMNS);
  #yMetres = 0.001;

  get seated() {
    return (this.flags & Flags.SEATED) !== 0;
  }

  get speed() {
    return Math.hypot(this.#vx, this.#vz);
  }

  get row() {
    return this.body.row;
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

  /** Another Welcome on the same connection: poses of before must not move us in the new world. */
  nextEpoch() {
    this.#said ^= Flags.EPOCH;
  }

  /** A new connection: its poses are of the first epoch again. */
  firstEpoch() {
    this.#said &= ~Flags.EPOCH;
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
    this.#vx = this.#vy = this.#vz = 0;
    this.goal = null;
    this.#residue.fill(0);
    this.#ease(0);
    this.#remember(this.x, this.y, this.z);
  }

  /** All of the past is here. @param {number} x @param {number} y @param {number} z */
  #remember(x, y, z) {
    this.#pastX.fill(x);
    this.#pastY.fill(y);
    this.#pastZ.fill(z);
  }

  /**
   * Takes the server's answer to the pose `seq`.
   * @param {number} seq
   * @param {number} reasons
   * @param {Uint8Array} body
   */
  correct(seq, reasons, body) {
    const [x, y, z] = [this.x, this.y, this.z];
    this.#take(body);
    if (reasons & JUMP || this.seq - seq >= HISTORY) return this.#jump();
    const slot = seq % HISTORY;
    const [dx, dy, dz] = [this.x - this.#pastX[slot], this.y - this.#pastY[slot],
      this.z - this.#pastZ[slot]];
    this.x = x + dx;
    this.y = y + dy;
    this.z = z + dz;
    this.#residue[0] -= dx;
    this.#residue[1] -= dy;
    this.#residue[2] -= dz;
    if (dy) this.#vy = 0;
    for (let k = 0; k < HISTORY; k++) {
      this.#pastX[k] += dx;
      this.#pastY[k] += dy;
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
    const [x, z] = [this.x, this.z];
    if (this.seated) this.#vx = this.#vz = 0;
    else {
      this.#accelerate(dt, push, scene);
      if (this.speed > 0.01) this.moveBy(this.#vx * dt, this.#vz * dt, scene);
      this.#rise(dt, push.jump === true, scene);
    }
    this.#face(dt, push.facing ?? null);
    const walked = Math.hypot(this.x - x, this.z - z);
    this.#giveUp(dt, walked);
    this.#ease(dt);
    this.body.reachM = scene.movement.reach;
    this.body.step(dt, walked, this.yaw);
  }

  /** @param {number} dt @param {Push} push @param {Scene} scene */
  #accelerate(dt, push, scene) {
    const wanted = this.#wanted(push, HONEST * scene.movement.speed);
    const most = Math.min(ACCELERATION_M_PER_S2, HONEST * scene.movement.acceleration) * dt;
    const [ax, az] = [wanted.x - this.#vx, wanted.z - this.#vz];
    const part = Math.min(1, most / (Math.hypot(ax, az) || 1));
    this.#vx += ax * part;
    this.#vz += az * part;
  }

  /**
   * Moves over the ground as far as nothing is in the way.
   * @param {number} dx metres
   * @param {number} dz
   * @param {Scene} scene
   */
  moveBy(dx, dz, scene) {
    const free = standAt(scene, this.x + dx, this.z + dz, this.y);
    this.x = free.x;
    this.z = free.z;
    if (free.y > this.y) this.y = free.y;
  }

  /** Jumps, falls, stands. @param {number} dt @param {boolean} jump @param {Scene} scene */
  #rise(dt, jump, scene) {
    const ground = groundAt(scene, this.x, this.z, this.y);
    const stands = this.y <= ground + 0.001 && this.#vy <= 0;
    if (stands && !jump) {
      this.#vy = 0;
      this.y = ground;
      return;
    }
    if (stands) this.#vy = Math.sqrt(2 * GRAVITY_M_PER_S2 * HONEST * HONEST * scene.movement.jump);
    this.#vy -= GRAVITY_M_PER_S2 * dt;
    this.y = Math.max(ground, this.y + this.#vy * dt);
  }

  /** @param {number} dt @param {number | null} facing */
  #face(dt, facing) {
    if (facing !== null) {
      this.yaw += clamp(shortestArc(facing - this.yaw), FACING_RAD_PER_S * dt);
    } else if (this.speed > 0.01) {
      const heading = Math.atan2(-this.#vx, -this.#vz);
      this.yaw += clamp(shortestArc(heading - this.yaw), TURN_RAD_PER_S * dt);
    }
  }

  /** Turns on the spot. @param {number} radians */
  turn(radians) {
    this.yaw = shortestArc(this.yaw + radians);
  }

  /** Turns by a step, which others are not to see as a turn. @param {number} radians */
  snapTurn(radians) {
    this.turn(radians);
    this.#said ^= Flags.SNAP;
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
    // Close to a goal the steps become small, or the avatar would swing around it; a stick that is
    // half pushed walks half as fast.
    const near = this.goal ? Math.min(1, length / 0.6 + 0.15) : Math.min(1, length);
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
    const [x, y, z] = this.#residue;
    const left = Math.hypot(x, y, z) > EASED_M_MAX ? 0 : Math.exp(-EASE_PER_S * dt);
    for (let k = 0; k < 3; k++) this.#residue[k] *= left;
    this.shown.x = this.x + this.#residue[0];
    this.shown.y = this.y + this.#residue[1];
    this.shown.z = this.z + this.#residue[2];
  }

  /**
   * The server has taken a later pose than this page remembers sending (it was reloaded).
   * @param {number} seq
   */
  skipTo(seq) {
    if (seq <= this.seq) return;
    this.seq = seq;
    this.#remember(this.x, this.y, this.z);
  }

  /**
   * Turns the head towards a direction for a while.
   * @param {number} gaze radians, as a yaw
   * @param {number} [nod] radians, up is positive
   */
  look(gaze, nod = 0) {
    this.body.look(gaze, nod);
  }

  /** By a headset: see `OwnBody.track`. @param {Point | null} head */
  track(head, /** @type {Point | null} */ left, /** @type {Point | null} */ right) {
    this.body.track(head, left, right);
  }

  /** The next pose to send: its `seq` is in `this.seq` afterwards. */
  nextBody() {
    this.seq += 1;
    const slot = this.seq % HISTORY;
    this.#pastX[slot] = this.x;
    this.#pastY[slot] = this.y;
    this.#pastZ[slot] = this.z;
    this.updateRow();
    return encodeBody(this.row, this.body.parts, this.body.extra);
  }

  /**
   * The own avatar as `View.sample` would give it.
   * @param {Figure} figure
   */
  writeFigure(figure) {
    figure.flags = this.flags | this.row[FLAGS];
    figure.pose[0] = this.shown.x;
    figure.pose[1] = this.shown.y;
    figure.pose[2] = this.shown.z;
    figure.pose[3] = this.yaw;
    this.body.writeFigure(figure);
  }

  /** Brings `row` up to date: the root, and the body's points. */
  updateRow() {
    const { row } = this;
    row[X] = Math.round(this.x * 1000);
    row[Y] = Math.round(this.y / this.#yMetres);
    row[Z] = Math.round(this.z * 1000);
    row[YAW] = quantiseYaw(this.yaw);
    row[FLAGS] = (this.#said & SAID) | (this.typing ? Flags.TYPING : 0)
      | (this.speaking ? Flags.SPEAKING : 0);
    this.body.update(this.speed, this.seated);
  }
}

/**
 * @param {number} value
 * @param {number} most
 */
function clamp(value, most) {
  return Math.min(Math.max(value, -most), most);
}
