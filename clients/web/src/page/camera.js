/**
 * Where one looks from on a desktop or a phone: behind the own avatar, or through its eyes.
 *
 * The pointer turns the view; in third person the camera stands on a boom behind the shoulders, as
 * far as the wheel says and no farther than the next wall. Turned all the way in it is first
 * person. In a headset none of this applies.
 */

import { MathUtils, Vector3 } from "../../vendor/three.js";
import { castRay } from "../core/rays.js";

/** @typedef {import("../core/scene.js").Scene} Place */
/** @typedef {import("../core/predict.js").OwnAvatar} OwnAvatar */

const EYE_M = 1.6;
const SAT_EYE_M = 0.78;
const PIVOT_M = 1.5;
const DISTANCE_M = 4.2;
const DISTANCE_M_MIN = 1;
const DISTANCE_M_MAX = 12;
const PITCH_MAX = 1.4;
const CLEAR_M = 0.25;
const FOLLOW_PER_S = 14;

export class CameraBoom {
  yaw = 0;
  pitch = -0.16;
  isFirstPerson = false;
  #distance = DISTANCE_M;
  #wanted = DISTANCE_M;
  #at = new Vector3();
  #pivot = new Vector3();
  #back = new Vector3();
  #camera;

  /** @param {import("../../vendor/three.js").PerspectiveCamera} camera */
  constructor(camera) {
    this.#camera = camera;
    camera.rotation.order = "YXZ";
  }

  /** @param {number} dx radians to the left @param {number} dy radians up */
  turn(dx, dy) {
    this.yaw += dx;
    this.pitch = MathUtils.clamp(this.pitch + dy, -PITCH_MAX, PITCH_MAX);
  }

  /** @param {number} factor above 1 goes farther away */
  zoom(factor) {
    if (this.isFirstPerson) {
      if (factor > 1) this.isFirstPerson = false;
      return;
    }
    if (factor < 1 && this.#wanted <= DISTANCE_M_MIN) this.isFirstPerson = true;
    this.#wanted = MathUtils.clamp(this.#wanted * factor, DISTANCE_M_MIN, DISTANCE_M_MAX);
  }

  /** Behind the back, at once. @param {OwnAvatar} own */
  snapBehind(own) {
    this.yaw = own.yaw;
    this.pitch = -0.16;
    this.#at.set(own.shown.x, own.shown.y, own.shown.z);
  }

  /**
   * @param {OwnAvatar} own
   * @param {Place} place
   * @param {number} dt
   */
  update(own, place, dt) {
    const { x, y, z } = own.shown;
    const part = this.isFirstPerson ? 1 : 1 - Math.exp(-FOLLOW_PER_S * dt);
    this.#at.set(x, this.#at.y + (y - this.#at.y) * part, z);
    const eye = own.seated ? SAT_EYE_M : EYE_M;
    this.#camera.rotation.set(this.pitch, this.yaw, 0);
    if (this.isFirstPerson) {
      this.#camera.position.set(x, this.#at.y + eye, z);
      return;
    }
    this.#pivot.set(x, this.#at.y + (own.seated ? SAT_EYE_M : PIVOT_M), z);
    this.#back.set(0, 0, 1).applyEuler(this.#camera.rotation);
    const { distance } = castRay(place, this.#pivot, this.#back);
    const free = Math.max(0.4, Math.min(this.#wanted, distance - CLEAR_M));
    // Away from a wall at once, back to the old distance gently.
    this.#distance = free < this.#distance ? free
      : this.#distance + (free - this.#distance) * (1 - Math.exp(-6 * dt));
    this.#camera.position.copy(this.#pivot).addScaledVector(this.#back, this.#distance);
    this.#camera.position.y = Math.max(this.#camera.position.y, place.floor + 0.15);
  }
}
