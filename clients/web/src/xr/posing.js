/**
 * The own avatar by the headset: points, joints and curls as they go into the pose.
 */

import { writeCurls, writeJoints } from "../core/hand_pose.js";
import { encodeRotation } from "../core/pose.js";

/** @typedef {import("./senses.js").Senses} Senses */
/** @typedef {import("./anchor.js").RoomAnchor} RoomAnchor */
/** @typedef {import("../core/predict.js").OwnAvatar} OwnAvatar */

const JOINTS_BYTES = 200;
const CURLS_BYTES = 10;
const HAND_BYTES = 100;
const RESTING_CURL = 40;

export class Posing {
  #head = new Float64Array(7);
  #left = new Float64Array(7);
  #right = new Float64Array(7);
  #joints = new Uint8Array(JOINTS_BYTES);
  #curls = new Uint8Array(CURLS_BYTES).fill(RESTING_CURL);
  #upright = new Uint8Array(HAND_BYTES);

  constructor() {
    const view = new DataView(this.#upright.buffer);
    for (let at = 0; at < HAND_BYTES; at += 4) view.setInt32(at, encodeRotation(0, 0, 0, 1), true);
  }

  /** @param {OwnAvatar} own @param {Senses} senses @param {RoomAnchor} anchor */
  pose(own, senses, anchor) {
    if (!senses.hasHead) return;
    anchor.toRoot(this.#head, senses.head);
    if (senses.left.hasGrip) anchor.toRoot(this.#left, senses.left.grip);
    if (senses.right.hasGrip) anchor.toRoot(this.#right, senses.right.grip);
    own.track(this.#head, senses.left.hasGrip ? this.#left : null,
      senses.right.hasGrip ? this.#right : null);
    this.#poseFingers(own, senses, anchor);
  }

  /** @param {OwnAvatar} own @param {Senses} senses @param {RoomAnchor} anchor */
  #poseFingers(own, { left, right, hands }, anchor) {
    if (left.hasJoints || right.hasJoints) {
      for (let hand = 0; hand < 2; hand++) {
        if (hands[hand].hasJoints) {
          writeJoints(this.#joints, /** @type {0 | 1} */ (hand), hands[hand].joints, anchor.root);
        } else this.#joints.set(this.#upright, hand * HAND_BYTES);
      }
      own.body.setJoints(this.#joints);
      own.body.setFingers(null);
      return;
    }
    for (let hand = 0; hand < 2; hand++) {
      writeCurls(this.#curls, /** @type {0 | 1} */ (hand), hands[hand].buttons);
    }
    own.body.setJoints(null);
    own.body.setFingers(left.hasGrip || right.hasGrip ? this.#curls : null);
  }

  /** The avatar moves by itself again. @param {OwnAvatar} own */
  end(own) {
    own.track(null, null, null);
    own.body.setJoints(null);
    own.body.setFingers(null);
  }
}
