/**
 * Where the room lies in the world while somebody is in it with a headset.
 *
 * On foot the room hangs on the avatar: the head is above the root, and whatever moves the root
 * (sticks, a teleport, a correction by the server) takes the room along. Steps in the room move the
 * root by as much, as far as colliders let it; what they do not let is the `lean`, by which head
 * and root are apart. Pure arithmetic but for the rig that it sets.
 */

import { compose, fromYaw, rotate, within, yawOfRotation } from "../core/quaternion.js";

/** @typedef {import("../core/predict.js").OwnAvatar} OwnAvatar */
/** @typedef {import("../core/scene.js").Scene} Scene */
/** @typedef {import("../core/arrange.js").Arrangement} Arrangement */

/** A body is not moved farther at once, or it would come out behind a thin wall. */
const STEP_M_MAX = 0.25;
const EYE_M = 1.62;
const LEAN_M_MAX = 3;

export class RoomAnchor {
  /** Yaw of the room in the world. */
  yaw = 0;
  /** Metres that the floor of the room is above the avatar's feet. */
  height = 0;
  leanX = 0;
  leanZ = 0;
  /** Metres of the world for each metre of the room. */
  scale = 1;
  /** The room in the world: place and rotation. */
  frame = new Float64Array(7);
  /** The root in the room. */
  root = new Float64Array(7);
  #root = new Float64Array(7);
  #turned = new Float64Array(3);
  #lastX = 0;
  #lastZ = 0;
  #isFresh = true;

  /** The head is above the feet, and looks where the avatar faces. */
  recentre(/** @type {OwnAvatar} */ own, /** @type {Float64Array} */ head) {
    this.leanX = this.leanZ = 0;
    this.yaw = own.yaw - yawOfRotation(head, 3);
    this.#isFresh = true;
  }

  /** For somebody who sits in a chair: eyes as high as those of one who stands.
   * @param {boolean} isSeated @param {Float64Array} head @param {boolean} isFloorKnown */
  setHeight(isSeated, head, isFloorKnown) {
    this.height = isSeated || !isFloorKnown ? EYE_M - head[1] : 0;
  }

  /** The lean is forgotten, as after a jump. */
  settle() {
    this.leanX = this.leanZ = 0;
    this.#isFresh = true;
  }

  /**
   * Steps in the room move the root.
   * @param {OwnAvatar} own
   * @param {Float64Array} head
   * @param {Scene} scene
   */
  follow(own, head, scene) {
    fromYaw(this.frame, 3, this.yaw);
    if (!this.#isFresh) {
      rotate(this.#turned, 0, this.frame, 3, head[0] - this.#lastX, 0, head[2] - this.#lastZ);
      this.leanX = clamp(this.leanX + this.#turned[0], LEAN_M_MAX);
      this.leanZ = clamp(this.leanZ + this.#turned[2], LEAN_M_MAX);
    }
    this.#isFresh = false;
    this.#lastX = head[0];
    this.#lastZ = head[2];
    const wanted = Math.hypot(this.leanX, this.leanZ);
    if (own.seated || wanted < 1e-5) return;
    const part = Math.min(1, STEP_M_MAX / wanted);
    const [x, z] = [own.x, own.z];
    own.moveBy(this.leanX * part, this.leanZ * part, scene);
    this.leanX -= own.x - x;
    this.leanZ -= own.z - z;
    own.shown.x += own.x - x;
    own.shown.z += own.z - z;
  }

  /** Works out the room in the world from root, lean and head. */
  hang(/** @type {OwnAvatar} */ own, /** @type {Float64Array} */ head) {
    fromYaw(this.frame, 3, this.yaw);
    rotate(this.#turned, 0, this.frame, 3, head[0], 0, head[2]);
    this.frame[0] = own.shown.x + this.leanX - this.#turned[0];
    this.frame[1] = own.shown.y + this.height;
    this.frame[2] = own.shown.z + this.leanZ - this.#turned[2];
    this.scale = 1;
    this.#placeRoot(own);
  }

  /** The room lies as it was arranged. */
  lay(/** @type {OwnAvatar} */ own, /** @type {Arrangement} */ { x, y, z, yaw, scale }) {
    this.yaw = yaw;
    this.scale = scale;
    this.frame[0] = x;
    this.frame[1] = y;
    this.frame[2] = z;
    fromYaw(this.frame, 3, yaw);
    this.#placeRoot(own);
  }

  #placeRoot(/** @type {OwnAvatar} */ own) {
    this.#root[0] = own.shown.x;
    this.#root[1] = own.shown.y;
    this.#root[2] = own.shown.z;
    fromYaw(this.#root, 3, own.yaw);
    within(this.root, 0, this.frame, 0, this.#root, 0);
  }

  /** A pose of the room in the world. @param {Float64Array} out @param {Float64Array} pose */
  toWorld(out, pose) {
    if (this.scale === 1) return compose(out, 0, this.frame, 0, pose, 0);
    const [x, y, z] = pose;
    compose(out, 0, this.frame, 0, pose, 0);
    rotate(out, 0, this.frame, 3, x * this.scale, y * this.scale, z * this.scale);
    for (let k = 0; k < 3; k++) out[k] += this.frame[k];
  }

  /** A pose of the room as the wire has it. @param {Float64Array} out @param {Float64Array} pose */
  toRoot(out, pose) {
    within(out, 0, this.root, 0, pose, 0);
  }

  /** @param {import("../../vendor/three.js").Object3D} rig */
  place(rig) {
    const f = this.frame;
    rig.position.set(f[0], f[1], f[2]);
    rig.quaternion.set(f[3], f[4], f[5], f[6]);
    rig.scale.setScalar(this.scale);
    rig.updateMatrixWorld(true);
  }
}

/** @param {number} value @param {number} most */
function clamp(value, most) {
  return Math.min(Math.max(value, -most), most);
}
