/**
 * What arms and body do in an emote: pure functions of the time since it began.
 *
 * An emote overrides the arms of who has no tracked hands. Hands are told in the chest's frame, in
 * arm lengths from the shoulder's joint: x outwards, y up, z backwards, and the turn of the hand as
 * yaw, pitch and roll of a hand that hangs with the thumb in front. `weight` fades it in and out.
 */

import { smoothStep } from "./body_math.js";

export const Emote = Object.freeze({
  WAVE: 0, HEART: 1, APPLAUSE: 2, QUESTION: 3, LAUGH: 4, DANCE: 5,
});
export const EMOTE_S = Object.freeze([2.4, 2.6, 3, 2.4, 2.6, 6]);
const LEFT = 0;
const RIGHT = 6;

/** One moment of an emote; reused. */
export class EmotePose {
  /** x, y, z, then pitch, roll and weight of the left arm; the same of the right. */
  arms = new Float64Array(12);
  /** Of the whole body: up (metres), lean to the right and forward (radians), turn (radians). */
  rise = 0;
  sway = 0;
  lean = 0;
  turn = 0;
  nod = 0;
  smile = 0;

  /**
   * @param {number} emote
   * @param {number} age seconds since it began
   */
  update(emote, age) {
    this.arms.fill(0);
    this.rise = this.sway = this.lean = this.turn = this.nod = this.smile = 0;
    const lasts = EMOTE_S[emote];
    if (lasts === undefined || !(age >= 0) || age >= lasts) return false;
    const weight = smoothStep(age, 0, 0.3) * (1 - smoothStep(age, lasts - 0.4, lasts));
    MOVES[emote](this, age, weight);
    return true;
  }

  /**
   * @param {number} at LEFT or RIGHT
   * @param {number} x @param {number} y @param {number} z
   * @param {number} weight
   */
  hand(at, x, y, z, weight) {
    this.arms[at] = x;
    this.arms[at + 1] = y;
    this.arms[at + 2] = z;
    this.arms[at + 5] = weight;
  }

  /**
   * @param {number} at LEFT or RIGHT
   * @param {number} pitch the fingers forward and up
   * @param {number} roll the fingers outwards
   */
  tilt(at, pitch, roll) {
    this.arms[at + 3] = pitch;
    this.arms[at + 4] = roll;
  }
}

/** @type {((pose: EmotePose, age: number, weight: number) => void)[]} */
const MOVES = [wave, heart, applause, question, laugh, dance];

/** @param {EmotePose} pose @param {number} age @param {number} weight */
function wave(pose, age, weight) {
  const swing = Math.sin(age * 11);
  pose.hand(RIGHT, 0.42 + 0.1 * swing, 0.42, -0.34, weight);
  pose.tilt(RIGHT, Math.PI, -0.15 - 0.45 * swing);
  pose.sway = -0.04 * weight;
  pose.smile = weight;
}

/** @param {EmotePose} pose @param {number} age @param {number} weight */
function heart(pose, age, weight) {
  const beat = 0.03 * Math.max(0, Math.sin(age * 7));
  for (const at of [LEFT, RIGHT]) {
    pose.hand(at, -0.27, -0.05, -0.6 - beat, weight);
    pose.tilt(at, 2.2, -0.75);
  }
  pose.sway = 0.05 * Math.sin(age * 3.5) * weight;
  pose.smile = weight;
}

/** @param {EmotePose} pose @param {number} age @param {number} weight */
function applause(pose, age, weight) {
  const gap = 0.09 * (0.5 + 0.5 * Math.sin(age * 17));
  for (const at of [LEFT, RIGHT]) {
    pose.hand(at, -0.28 + gap, -0.22, -0.52, weight);
    pose.tilt(at, 2.1, -0.1);
  }
  pose.rise = 0.006 * Math.sin(age * 17) * weight;
  pose.smile = weight;
}

/** @param {EmotePose} pose @param {number} age @param {number} weight */
function question(pose, age, weight) {
  const lift = 0.03 * Math.sin(age * 3);
  for (const at of [LEFT, RIGHT]) {
    pose.hand(at, 0.32, -0.38 + lift, -0.44, weight);
    pose.tilt(at, 1.2, 1.1);
  }
  pose.sway = 0.07 * Math.sin(age * 2.2) * weight;
}

/** @param {EmotePose} pose @param {number} age @param {number} weight */
function laugh(pose, age, weight) {
  const shake = Math.sin(age * 20);
  for (const at of [LEFT, RIGHT]) {
    pose.hand(at, -0.2, -0.62 + 0.01 * shake, -0.36, weight);
    pose.tilt(at, 1.1, -1.1);
  }
  pose.rise = 0.008 * shake * weight;
  pose.lean = (0.16 + 0.03 * Math.sin(age * 2.5)) * weight;
  pose.nod = -0.1 * weight + 0.04 * shake * weight;
  pose.smile = weight;
}

/** @param {EmotePose} pose @param {number} age @param {number} weight */
function dance(pose, age, weight) {
  const beat = age * Math.PI * 2;
  for (const at of [LEFT, RIGHT]) {
    const own = Math.sin(beat + (at ? Math.PI : 0));
    pose.hand(at, 0.3, 0.02 + 0.32 * own, -0.46, weight);
    pose.tilt(at, 2.4 + 0.3 * own, 0.2);
  }
  pose.rise = -0.035 * (0.5 + 0.5 * Math.cos(beat * 2)) * weight;
  pose.sway = 0.12 * Math.sin(beat) * weight;
  pose.turn = 0.35 * Math.sin(beat / 2) * weight;
  pose.smile = weight;
}
