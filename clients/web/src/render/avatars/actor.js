/**
 * One person as the crowd knows them: their look, their body, and what moves in their face.
 *
 * An actor outlives frames, not people. It keeps what takes time: the solver with its feet, the
 * blinking, the mouth that follows a voice, where the eyes rest, the emote and how much is seen.
 */

import { Bone } from "../../core/body.js";
import { approach, clamp, rotate, smoothStep } from "../../core/body_math.js";
import { Emote, EMOTE_S } from "../../core/body_emotes.js";
import { Solver } from "../../core/body_solver.js";
import { parseLook } from "../../core/look.js";
import { EntityKind, EXTRA_PART, Flags, Parts } from "../../core/protocol.generated.js";
import { Rig } from "./rig.js";

/** @typedef {import("./crowd.js").Person} Person */
/** @typedef {import("../../core/look.js").Look} Look */

const FADE_IN_PER_S = 4;
/** From the middle of the head: the eyes are 0.13 m nearer. */
const NEAR_FADE_M = [0.4, 0.62];
const FACE_AT = EXTRA_PART[2][1];
const FACE_BYTES = EXTRA_PART[2][2];
/** In the order of ARKit's list. */
const EYE_BLINK_LEFT = 8;
const EYE_BLINK_RIGHT = 9;
const JAW_OPEN = 24;
const SMILE_LEFT = 43;
const SMILE_RIGHT = 44;
const BROW_UP = 2;
const NO_EMOTE = -1;

const toward = new Float64Array(3);
const inverse = new Float64Array(4);
const spot = new Float64Array(3);

export class Actor {
  id;
  row = -1;
  finger = 0;
  level = 0;
  /** The frame in which the person was last there. */
  seen = 0;
  /** @type {Look} */
  look;
  /** @type {string | null} */
  avatar = null;
  name = "";
  subtitle = "";
  solver;
  rig = new Rig();
  /** Where the root is: x, y, z, yaw. */
  root = new Float64Array(4);
  head = new Float64Array(3);
  distanceM = 0;
  depthM = 0;
  isOwn = false;
  isNpc = false;
  isHidden = false;
  isFirstPerson = false;
  isSpeaking = false;
  flags = 0;
  /** How much of the person is drawn, 0 to 1. */
  shown = 0;
  blink = 0;
  mouth = 0;
  smile = 0.45;
  brow = 0;
  gaze = new Float64Array(2);
  emote = NO_EMOTE;
  emoteSince = 0;
  line = "";
  lineSince = -1e9;
  nextLook = 0;
  /** What is looked at, in the world; the weight says whether at all. */
  lookAt = new Float64Array(3);
  hasLookAt = false;
  /** @type {Actor | null} */
  watched = null;
  watchesCamera = false;
  grey = 0;
  /** Whether a VRM is drawn in place of the default body. */
  isCostumed = false;
  #nextBlink;
  #chance;
  #moment = {
    seconds: 0, dt: 0, gazeYaw: 0, gazePitch: 0, emote: 0, emoteAge: -1, isCalm: false,
  };

  /** @param {number} id */
  constructor(id) {
    this.id = id;
    this.solver = new Solver(id);
    this.look = parseLook("", id);
    this.#chance = (id * 2654435761) >>> 0;
    this.#nextBlink = 1 + this.random() * 3;
  }

  /** A number from 0 to 1; each person has a series of their own. */
  random() {
    this.#chance = (Math.imul(this.#chance, 1664525) + 1013904223) >>> 0;
    return this.#chance / 2 ** 32;
  }

  /**
   * Takes over what changed; true when the look did.
   * @param {Person} person
   */
  adopt(person) {
    this.isOwn = person.isOwn;
    this.isNpc = person.kind === EntityKind.NPC;
    this.isFirstPerson = person.isFirstPerson;
    this.flags = person.figure.flags;
    this.name = person.name;
    this.subtitle = person.subtitle;
    if (person.avatar === this.avatar && person.isHidden === this.isHidden) return false;
    this.isHidden = person.isHidden;
    this.avatar = person.avatar;
    this.look = parseLook(person.isHidden ? "" : person.avatar, person.isHidden ? 0 : person.id);
    if (person.isHidden) this.look.height = this.look.build = this.look.headSize = 7;
    this.rig.shape(this.look, this.solver.body);
    return true;
  }

  /**
   * @param {Person} person
   * @param {number} seconds
   * @param {number} dt
   * @param {boolean} isCalm
   */
  update(person, seconds, dt, isCalm) {
    const { figure } = person;
    for (let k = 0; k < 4; k++) if (Number.isFinite(figure.pose[k])) this.root[k] = figure.pose[k];
    const moment = this.#moment;
    moment.seconds = seconds;
    moment.dt = dt;
    moment.isCalm = isCalm;
    moment.emote = this.emote;
    moment.emoteAge = this.emote < 0 || this.isHidden ? -1 : seconds - this.emoteSince;
    this.#attend(moment);
    this.solver.solve(figure, moment);
    const at = Bone.HEAD * 3;
    this.toWorld(this.solver.body.positions, at, this.head);
    this.isSpeaking = person.speaking > 0.02 || (figure.flags & Flags.SPEAKING) !== 0;
    this.#speak(person, seconds, dt);
    this.#face(figure, seconds, dt);
    if (this.emote >= 0 && seconds - this.emoteSince > (EMOTE_S[this.emote] ?? 3)) {
      this.emote = NO_EMOTE;
    }
  }

  /**
   * How much is seen from a camera that is so far from the head.
   * @param {number} headM
   * @param {number} dt
   */
  fade(headM, dt) {
    const close = this.isFirstPerson ? 1 : smoothStep(headM, NEAR_FADE_M[0], NEAR_FADE_M[1]);
    this.shown = Math.min(this.shown + dt * FADE_IN_PER_S, 1, Math.max(close, 0));
  }

  /**
   * From the root's frame to the world.
   * @param {Float64Array} from @param {number} at
   * @param {Float64Array} out
   */
  toWorld(from, at, out) {
    const sin = Math.sin(this.root[3]), cos = Math.cos(this.root[3]);
    const x = from[at], y = from[at + 1], z = from[at + 2];
    out[0] = this.root[0] + x * cos + z * sin;
    out[1] = this.root[1] + y;
    out[2] = this.root[2] - x * sin + z * cos;
  }

  /**
   * Where an untracked head turns, and where the eyes of any head look.
   * @param {{gazeYaw: number, gazePitch: number}} moment
   */
  #attend(moment) {
    moment.gazeYaw = moment.gazePitch = 0;
    let x = 0, y = 0;
    if (this.hasLookAt) {
      const { body } = this.solver;
      for (let k = 0; k < 3; k++) toward[k] = this.lookAt[k] - this.head[k];
      const sin = Math.sin(this.root[3]), cos = Math.cos(this.root[3]);
      const ahead = toward[0];
      toward[0] = ahead * cos - toward[2] * sin;
      toward[2] = ahead * sin + toward[2] * cos;
      toward[1] -= body.eyes[1];
      const flat = Math.hypot(toward[0], toward[2]);
      moment.gazeYaw = Math.atan2(-toward[0], -toward[2]) * 0.7;
      moment.gazePitch = Math.atan2(toward[1], Math.max(flat, 0.2)) * 0.8;
      for (let k = 0; k < 4; k++) inverse[k] = body.rotations[Bone.HEAD * 4 + k] * (k < 3 ? -1 : 1);
      rotate(spot, 0, inverse, 0, toward, 0);
      const depth = Math.max(-spot[2], 0.15 * Math.hypot(spot[0], spot[1]), 1e-3);
      x = clamp((spot[0] / depth) * 2.2, -1, 1);
      y = clamp((spot[1] / depth) * 2.2, -1, 1);
    }
    this.gaze[0] += (x - this.gaze[0]) * 0.25;
    this.gaze[1] += (y - this.gaze[1]) * 0.25;
  }

  /**
   * @param {Person} person
   * @param {number} seconds
   * @param {number} dt
   */
  #speak(person, seconds, dt) {
    const level = Number.isFinite(person.speaking) ? clamp(person.speaking, 0, 1) : 0;
    let open = level;
    if (this.isSpeaking && level <= 0.02) open = 0.5;
    if (open > 0) {
      const t = seconds * 9 + this.id;
      const beat = Math.sin(t) * Math.sin(t * 0.43 + 1);
      open *= clamp(0.55 + 0.45 * beat + 0.2 * Math.sin(t * 2.3), 0.05, 1);
    }
    if (this.emote === Emote.LAUGH) open = 0.75 + 0.25 * Math.sin(seconds * 20);
    this.mouth += (open - this.mouth) * approach(22, dt);
  }

  /**
   * @param {{parts: number, extra?: Uint8Array}} figure
   * @param {number} seconds
   * @param {number} dt
   */
  #face(figure, seconds, dt) {
    const { extra } = figure;
    const happy = 0.45 + 0.55 * this.solver.emote.smile;
    this.smile += (happy - this.smile) * approach(8, dt);
    this.brow += ((this.isSpeaking ? 0.5 : 0) + this.solver.emote.smile * 0.5 - this.brow)
      * approach(6, dt);
    if (extra && figure.parts & Parts.FACE && extra.length >= FACE_AT + FACE_BYTES) {
      this.blink = (extra[FACE_AT + EYE_BLINK_LEFT] + extra[FACE_AT + EYE_BLINK_RIGHT]) / 510;
      this.mouth = extra[FACE_AT + JAW_OPEN] / 255;
      this.smile = (extra[FACE_AT + SMILE_LEFT] + extra[FACE_AT + SMILE_RIGHT]) / 510;
      this.brow = extra[FACE_AT + BROW_UP] / 255;
      return;
    }
    if (seconds > this.#nextBlink + 0.16) {
      this.#nextBlink = seconds + (this.random() < 0.15 ? 0.12 : 1.6 + this.random() * 4);
    }
    const t = (seconds - this.#nextBlink) / 0.16;
    this.blink = t > 0 && t < 1 ? Math.sin(Math.PI * t) : 0;
    const squint = this.emote === Emote.LAUGH ? 0.85 * this.solver.emote.smile : 0;
    this.blink = Math.max(this.blink, squint);
  }
}
