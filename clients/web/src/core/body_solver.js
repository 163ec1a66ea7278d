/**
 * A whole body from what is known of a person: from a head and two hands, from all six points, or
 * from no more than where they stand.
 *
 * The order of work: the feet first, for they stay where they are in the world (`Gait`). Then the
 * head: tracked, or where the look goes. The trunk hangs from the head: it turns after it, leans as
 * far as a bowed head says and sinks as far as the rest of the way asks for, so that the eyes are
 * exactly where they were tracked. Who is not tracked is built the other way, up from the hips; so
 * is who sends hands that no device has ever turned, for those are made up by a page without a
 * headset and look better made up here.
 * Arms reach from the shoulders to the hands, or swing, or act an emote; legs reach from the hips
 * to the feet. Everything is in the frame of the root, and finite whatever comes in.
 */

import { Body, Bone } from "./body.js";
import { Arms } from "./body_arms.js";
import {
  approach, blend, clamp, fromYawPitch, multiply, normalise, rotate, smoothStep,
} from "./body_math.js";
import { EmotePose } from "./body_emotes.js";
import { Fingers } from "./body_fingers.js";
import { solveLegs } from "./body_legs.js";
import { Gait } from "./gait.js";
import { Flags, Parts } from "./protocol.generated.js";
import { shortestArc as arc } from "./view.js";

/**
 * @typedef {object} Moment what the solver is told beside the figure; reused
 * @property {number} seconds
 * @property {number} dt
 * @property {number} gazeYaw where an untracked head looks, from the root's heading, radians
 * @property {number} gazePitch
 * @property {number} emote
 * @property {number} emoteAge seconds; negative while there is none
 * @property {boolean} isCalm no idle movement (reduced motion)
 */
/** @typedef {{pose: Float64Array, flags: number, parts: number, extra?: Uint8Array}} Figure */

const HEAD = 4;
const HIPS = 25;
const POINT = 7;
const POINTS_END = 46;
const REACH_M_MAX = 3;
/** Beyond every world, and every yaw. */
const WORLD_MAX = 1e5;
const TRUNK_M_MIN = 0.05;
const NECK_PITCH_MAX = 1.25;
/** Up to which angle the head turns before the trunk follows. */
const HEAD_FREE_RAD = 0.6;
const SEAT_M = 0.115;
const HIPS_M_MIN = 0.14;
const EYES_M_MIN = 1.25;
const EYES_M_MAX = 2.05;

const eye = new Float64Array(3);
const neck = new Float64Array(3);
const vector = new Float64Array(3);
const headTurn = new Float64Array(4);
const turnA = new Float64Array(4);
const forward = new Float64Array(3);
const FORWARD = new Float64Array([0, 0, -1]);
const UP = new Float64Array([0, 1, 0]);

export class Solver {
  body = new Body();
  gait = new Gait();
  emote = new EmotePose();
  isTracked = false;
  /** Yaw of the trunk in the root's frame, and of the head beyond it. */
  bodyYaw = 0;
  #arms = new Arms();
  #fingers = new Fingers();
  #pose = new Float64Array(POINTS_END);
  #standingM = 0;
  #lean = 0;
  #headYaw = 0;
  #headPitch = 0;
  #jump = 0;
  #hasDevice = false;
  #root = { x: 0, y: 0, z: 0, yaw: 0 };
  #legs = { legM: 0.8, hipM: 0.1 };
  #phase;

  /** @param {number} seed of idle movement, so that a crowd does not breathe as one */
  constructor(seed = 0) {
    this.#phase = (seed % 997) * 0.37;
  }

  /**
   * @param {Figure} figure
   * @param {Moment} moment
   */
  solve(figure, moment) {
    const parts = this.#take(figure);
    const dt = clamp(Number.isFinite(moment.dt) ? moment.dt : 0, 0, 0.1);
    if (parts & Parts.HANDS && (this.#isTurned(1) || this.#isTurned(2))) this.#hasDevice = true;
    const points = Parts.HEAD | Parts.HANDS;
    this.isTracked = (parts & points) === points
      && (this.#hasDevice || (parts & Parts.BODY) !== 0);
    const seated = (figure.flags & Flags.SEATED) !== 0;
    this.emote.update(moment.emote, moment.emoteAge);
    this.#measure(dt, seated);
    this.#aimHead(parts, moment, dt);
    this.#walk(figure, dt);
    if (this.isTracked) this.#hangFromHead(dt, parts, seated);
    else this.#riseFromHips(moment, dt, seated);
    solveLegs(this, this.#pose, parts, seated);
    this.#arms.solve(this, this.#pose, moment, seated);
    const isHolding = this.isTracked && !(figure.flags & Flags.HAND_TRACKING);
    this.#fingers.update(this.body.fingers, figure, isHolding, dt);
  }

  /**
   * Copies what is finite and within reach; returns the parts that are.
   * @param {Figure} figure
   */
  #take(figure) {
    const own = this.#pose;
    const { pose } = figure;
    for (let k = 0; k < 4; k++) if (Math.abs(pose[k]) < WORLD_MAX) own[k] = pose[k];
    let parts = 0;
    if (figure.parts & Parts.HEAD && this.#point(pose, 0)) parts |= Parts.HEAD;
    if (figure.parts & Parts.HANDS && this.#point(pose, 1) && this.#point(pose, 2)) {
      parts |= Parts.HANDS;
    }
    if (figure.parts & Parts.BODY && this.#point(pose, 3) && this.#point(pose, 4)
      && this.#point(pose, 5)) parts |= Parts.BODY;
    return parts;
  }

  /**
   * @param {Float64Array} pose
   * @param {number} point
   */
  #point(pose, point) {
    const at = 4 + POINT * point;
    for (let k = at; k < at + POINT; k++) if (!Number.isFinite(pose[k])) return false;
    for (let k = at; k < at + 3; k++) this.#pose[k] = clamp(pose[k], -REACH_M_MAX, REACH_M_MAX);
    for (let k = at + 3; k < at + POINT; k++) this.#pose[k] = pose[k];
    normalise(this.#pose, at + 3);
    return true;
  }

  /** Whether a point is turned at all. @param {number} point */
  #isTurned(point) {
    return Math.abs(this.#pose[4 + POINT * point + 6]) < 0.999999;
  }

  /**
   * How tall a tracked person is: as high as their head came, slowly forgotten.
   * @param {number} dt
   * @param {boolean} seated
   */
  #measure(dt, seated) {
    if (!this.isTracked || seated) return;
    const height = clamp(this.#pose[HEAD + 1], EYES_M_MIN, EYES_M_MAX);
    if (height > this.#standingM) {
      this.#standingM += (height - this.#standingM) * (this.#standingM ? approach(3, dt) : 1);
    } else this.#standingM += (height - this.#standingM) * approach(0.004, dt);
    const wanted = this.#standingM / this.body.eyesShapedM;
    if (Math.abs(wanted - this.body.scale) > 0.004) this.body.standAs(wanted);
  }

  /**
   * @param {number} parts
   * @param {Moment} moment
   * @param {number} dt
   */
  #aimHead(parts, moment, dt) {
    if (parts & Parts.HEAD) {
      for (let k = 0; k < 4; k++) headTurn[k] = this.#pose[HEAD + 3 + k];
      rotate(forward, 0, headTurn, 0, FORWARD, 0);
      if (Math.hypot(forward[0], forward[2]) < 0.35) {
        const down = forward[1] < 0 ? 1 : -1;
        rotate(vector, 0, headTurn, 0, UP, 0);
        forward[0] += vector[0] * down;
        forward[2] += vector[2] * down;
      }
      this.#headYaw = Math.atan2(-forward[0], -forward[2]);
      this.#headPitch = Math.asin(clamp(forward[1], -1, 1));
    } else {
      const ease = approach(5, dt);
      this.#headYaw += (clamp(moment.gazeYaw, -1.1, 1.1) - this.#headYaw) * ease;
      this.#headPitch += (clamp(moment.gazePitch, -0.6, 0.5) - this.#headPitch) * ease;
      fromYawPitch(headTurn, 0, this.#headYaw, this.#headPitch + this.emote.nod);
    }
  }

  /**
   * The trunk turns after the head, and the feet belong under it.
   * @param {Figure} figure
   * @param {number} dt
   */
  #walk(figure, dt) {
    const pose = this.#pose;
    const free = this.isTracked ? HEAD_FREE_RAD : HEAD_FREE_RAD * 1.5;
    const over = arc(this.#headYaw - this.bodyYaw);
    const wanted = this.isTracked || Math.abs(this.#headYaw) > free
      ? this.bodyYaw + over - clamp(over, -free, free) : 0;
    const moving = this.gait.speed > 0.3 ? (this.isTracked ? this.#headYaw : 0) : wanted;
    this.bodyYaw += arc(moving - this.bodyYaw) * approach(6, dt);
    this.bodyYaw = arc(this.bodyYaw);
    const sin = Math.sin(pose[3]), cos = Math.cos(pose[3]);
    let x = 0, z = 0;
    if (this.isTracked) {
      // Under the hips, as they were; who bows has them behind the feet.
      const { positions, offsets } = this.body;
      const behind = 0.3 * Math.sin(this.#lean) * (offsets[4] + offsets[7] + offsets[10]);
      x = positions[0] - Math.sin(this.bodyYaw) * behind;
      z = positions[2] - Math.cos(this.bodyYaw) * behind;
    }
    const root = this.#root;
    root.x = pose[0] + x * cos + z * sin;
    root.y = pose[1];
    root.z = pose[2] - x * sin + z * cos;
    root.yaw = pose[3] + this.bodyYaw + this.emote.turn * 0.5;
    this.#legs.legM = this.body.lengthOf(Bone.LEFT_LOWER_LEG) + this.body.lengthOf(Bone.LEFT_FOOT);
    this.#legs.hipM = Math.abs(this.body.offsets[Bone.RIGHT_UPPER_LEG * 3]) * 1.1;
    const jump = figure.flags & Flags.DISCONTINUITY;
    if (jump !== this.#jump || figure.flags & Flags.SEATED) this.gait.reset();
    this.#jump = jump;
    this.gait.update(root, this.#legs, dt);
  }

  /**
   * @param {number} dt
   * @param {number} parts
   * @param {boolean} seated
   */
  #hangFromHead(dt, parts, seated) {
    const { body } = this;
    const { positions, rotations, offsets } = body;
    const pose = this.#pose;
    rotate(vector, 0, headTurn, 0, body.eyes, 0);
    for (let k = 0; k < 3; k++) eye[k] = pose[HEAD + k] - vector[k];
    const standing = offsets[1] + offsets[4] + offsets[7] + offsets[10] + offsets[13];
    const drop = Math.max(0, standing - eye[1]);
    const trunk = Math.max(offsets[4] + offsets[7] + offsets[10], TRUNK_M_MIN);
    const bowed = 0.12 + 0.88 * smoothStep(-this.#headPitch, 0.15, 1.1);
    const lean = Math.acos(clamp(1 - (drop * bowed) / trunk, -0.1, 1));
    this.#lean += (Math.min(lean, seated ? 0.8 : 1.5) - this.#lean) * approach(18, dt);
    const over = arc(this.#headYaw - this.bodyYaw);
    this.#turnTrunk(this.bodyYaw, over * 0.45, this.#lean, 0);
    if (parts & Parts.BODY) blend(rotations, 0, rotations, 0, pose, HIPS + 3, 0.7);
    this.#turnHead();
    // Down from the head to the hips, and back up exactly.
    rotate(neck, 0, rotations, Bone.NECK * 4, offsets, Bone.HEAD * 3);
    for (let k = 0; k < 3; k++) positions[k] = 0;
    this.#climb();
    for (let k = 0; k < 3; k++) positions[k] = eye[k] - positions[Bone.HEAD * 3 + k];
    if (!seated) positions[1] = Math.max(positions[1], HIPS_M_MIN);
    this.#climb();
  }

  /**
   * @param {Moment} moment
   * @param {number} dt
   * @param {boolean} seated
   */
  #riseFromHips(moment, dt, seated) {
    const { gait, body, emote } = this;
    const { positions } = body;
    const idle = moment.isCalm ? 0 : 1 - gait.stride;
    const time = moment.seconds + this.#phase;
    const bob = Math.cos(gait.phase * 4 * Math.PI) * 0.022 * gait.stride * body.scale;
    const headway = -(Math.sin(this.#root.yaw) * gait.vx + Math.cos(this.#root.yaw) * gait.vz);
    const lean = clamp(headway * 0.045, -0.08, 0.24) + 0.02 + emote.lean
      + (seated ? -0.06 : 0) + Math.sin(time * 1.7) * 0.008 * idle;
    this.#lean += (lean - this.#lean) * approach(8, dt);
    const yaw = this.bodyYaw + emote.turn;
    const counter = Math.sin(gait.phase * 2 * Math.PI) * 0.16 * gait.stride;
    const shift = seated ? 0 : Math.sin(time * 0.45) * 0.012 * idle;
    this.#turnTrunk(yaw + counter * 0.5, -counter * 1.3 + arc(this.#headYaw - yaw) * 0.25,
      this.#lean, emote.sway + shift * 1.5);
    const sag = gait.isAirborne ? 0 : (0.012 + 0.03 * gait.stride) * body.scale;
    positions[0] = shift * Math.cos(yaw);
    positions[1] = (seated ? SEAT_M * body.scale : body.hipsM - sag + bob + emote.rise)
      + Math.sin(time * 1.7) * 0.003 * idle;
    positions[2] = -shift * Math.sin(yaw) + (seated ? 0.04 : 0);
    this.#turnHead();
    this.#climb();
  }

  /**
   * Hips, spine and chest share a turn, a lean forward and a lean aside.
   * @param {number} yaw of the hips
   * @param {number} twist of the chest beyond it
   * @param {number} lean
   * @param {number} sway
   */
  #turnTrunk(yaw, twist, lean, sway) {
    const { rotations } = this.body;
    for (let bone = Bone.HIPS; bone <= Bone.CHEST; bone++) {
      const at = bone * 4;
      fromYawPitch(rotations, at, yaw + (twist * bone) / 2, -lean * (0.55 + 0.4 * bone));
      const half = (sway * (bone - 0.6)) / 2;
      turnA[0] = turnA[1] = 0;
      turnA[2] = Math.sin(half);
      turnA[3] = Math.cos(half);
      multiply(rotations, at, rotations, at, turnA, 0);
    }
  }

  /** The neck is between chest and head. */
  #turnHead() {
    const { rotations } = this.body;
    for (let k = 0; k < 4; k++) rotations[Bone.HEAD * 4 + k] = headTurn[k];
    const pitch = clamp(this.#headPitch * 0.4, -NECK_PITCH_MAX, NECK_PITCH_MAX);
    fromYawPitch(turnA, 0, this.bodyYaw + arc(this.#headYaw - this.bodyYaw) * 0.6, pitch);
    blend(rotations, Bone.NECK * 4, rotations, Bone.CHEST * 4, turnA, 0, 0.6);
  }

  /** From the hips' place to the head's. */
  #climb() {
    for (let bone = Bone.SPINE; bone <= Bone.HEAD; bone++) this.body.place(bone);
  }
}
