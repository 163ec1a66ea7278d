/**
 * What each hand touches or points at, for building with hands.
 *
 * Looking is work that grows with the place. So it is done for one hand at a time, and so seldom
 * that it takes a small part of the time; a press looks anew, and exactly.
 */

import { Raycaster, Vector3 } from "../../vendor/three.js";
import { wholeOf } from "../core/build_math.js";
import { awayFromBox } from "../core/hand_hold.js";
import { rotate } from "../core/quaternion.js";
import { castRay } from "../core/rays.js";

const NEAR_M = 0.08;
const FAR_M = 60;
/** Looking takes at most one part in so many of the time. */
const LOOK_PART = 12;
const LOOK_MS_MIN = 25;

class Look {
  /** Of the prop, or the outermost group that it is in; empty for none. */
  key = "";
  /** The hand touches it. */
  isNear = false;
  /** There is something at `point`. */
  isHit = false;
  point = new Vector3();
}

export class HandLooks {
  /** Left first. */
  of = [new Look(), new Look()];
  #model;
  #propScene;
  #looker = 0;
  #nextMs = 0;
  #raycaster = new Raycaster();
  #ahead = new Float64Array(3);
  #place = new Float64Array(10);

  /**
   * @param {import("../core/world_model.js").WorldModel} model
   * @param {import("../render/props/prop_scene.js").PropScene} propScene
   */
  constructor(model, propScene) {
    this.#model = model;
    this.#propScene = propScene;
  }

  /**
   * Once in a frame.
   * @param {readonly boolean[]} isThere whether a hand is tracked
   * @param {readonly Float64Array[]} grips
   * @param {readonly Float64Array[]} aims
   */
  about(isThere, grips, aims) {
    const nowMs = performance.now();
    if (nowMs < this.#nextMs) return;
    const hand = this.#looker = 1 - this.#looker;
    if (isThere[hand]) this.look(hand, grips[hand], aims[hand]);
    const tookMs = performance.now() - nowMs;
    this.#nextMs = nowMs + Math.max(LOOK_MS_MIN, tookMs * LOOK_PART);
  }

  /**
   * What a hand touches, or else points at, into `of`. Poses are in the world.
   * @param {number} hand
   * @param {Float64Array} grip
   * @param {Float64Array} aim
   */
  look(hand, grip, aim) {
    const [model, propScene] = [this.#model, this.#propScene];
    const look = this.of[hand];
    rotate(this.#ahead, 0, aim, 3, 0, 0, -1);
    const { ray } = this.#raycaster;
    ray.origin.fromArray(aim);
    ray.direction.fromArray(this.#ahead);
    const near = this.#nearest(grip);
    const hit = near ? null : propScene.pick(this.#raycaster);
    const solid = castRay(model.place, ray.origin, ray.direction).distance;
    // The solid of a prop is where the prop is, or a little before it.
    const isProp = hit !== null && hit.distance <= solid + 0.3;
    const distance = isProp ? hit.distance : solid;
    look.isNear = near !== "";
    look.key = wholeOf(model.props.props, near || (isProp ? hit.key : ""));
    look.isHit = distance < FAR_M;
    look.point.copy(ray.origin).addScaledVector(ray.direction, Math.min(distance, FAR_M));
  }

  /** What is within reach of a hand, by its box. @param {Float64Array} grip */
  #nearest(grip) {
    const { props } = this.#model;
    let [best, least] = ["", NEAR_M];
    for (const { key, group, transform, properties } of props.props.values()) {
      if (properties.kind === "group" || properties.kind === "zone") continue;
      if (!group) { // most are far away, and this is all that they cost
        const [x, y, z] = transform.position_m;
        const [wide, high, deep] = transform.scale;
        const far = NEAR_M + wide + high + deep;
        if (Math.abs(x - grip[0]) > far || Math.abs(y - grip[1]) > far
          || Math.abs(z - grip[2]) > far) continue;
      }
      if (!props.worldTransformOf(key, this.#place)) continue;
      const away = awayFromBox(this.#place, grip);
      if (away < least) [best, least] = [key, away];
    }
    return best;
  }
}
