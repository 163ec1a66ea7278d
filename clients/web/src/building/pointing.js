/**
 * Where one points while building: the prop or the solid under the pointer and which way its
 * surface faces; where what is armed would rest there; and its ghost.
 */

import {
  BoxGeometry, Matrix3, Matrix4, Mesh, MeshBasicMaterial, Raycaster, Vector2, Vector3,
} from "../../vendor/three.js";
import { snap } from "../core/build_math.js";
import { castRay } from "../core/rays.js";
import { layOn, normalAt, restOn } from "../core/surface.js";

/** @typedef {import("../core/palette.js").PaletteEntry} PaletteEntry */
/**
 * @typedef {object} PointingOptions
 * @property {import("../render/stage.js").Stage} stage
 * @property {HTMLCanvasElement} canvas
 * @property {import("../core/world_model.js").WorldModel} model
 * @property {import("../render/props/prop_scene.js").PropScene} propScene
 */
/** @typedef {NonNullable<ReturnType<PointingOptions["propScene"]["pick"]>>} Picked */

const REACH_M = 100;
const AHEAD_M = 2.5;
const SLACK_M = 0.3;
const DOWN = new Vector3(0, -1, 0);

export class Pointing {
  /** What is under the pointer has this normal, and the point is there. */
  point = new Vector3();
  normal = new Vector3(0, 1, 0);
  /** Of the grid; 0 for none. */
  step_m = 0;
  /** Whether up becomes the normal of what a thing is put on. */
  isAligned = false;
  ghost = new Mesh(new BoxGeometry(1, 1, 1),
    new MeshBasicMaterial({ color: 0xffb02e, transparent: true, opacity: 0.35 }));
  #options;
  #raycaster = new Raycaster();
  #pointer = new Vector2();
  #matrix = new Matrix4();
  #turn = new Matrix3();
  #snapped = new Vector3();

  /** @param {PointingOptions} options */
  constructor(options) {
    this.#options = options;
    this.ghost.visible = false;
  }

  /** @param {number} x CSS pixels on the canvas @param {number} y */
  aim(x, y) {
    const { canvas, stage } = this.#options;
    this.#pointer.set((x / canvas.clientWidth) * 2 - 1, 1 - (y / canvas.clientHeight) * 2);
    this.#raycaster.setFromCamera(this.#pointer, stage.camera);
    return this.#cast();
  }

  /** What is right below a point. @param {Vector3} point */
  below(point) {
    this.#raycaster.set(point, DOWN);
    return this.#cast();
  }

  #cast() {
    const { model, propScene } = this.#options;
    const { ray } = this.#raycaster;
    const picked = /** @type {Picked | null} */ (propScene.pick(this.#raycaster));
    const solid = castRay(model.place, ray.origin, ray.direction).distance;
    // The solid of a prop is where the prop is, or a little before it.
    const isProp = picked !== null && picked.distance <= solid + SLACK_M;
    const distance = isProp ? picked.distance : solid;
    this.point.copy(ray.origin).addScaledVector(ray.direction, Math.min(distance, REACH_M));
    if (isProp) this.#normalOf(picked);
    else normalAt(model.place, this.point, this.normal);
    return { key: isProp ? picked.key : "", isHit: distance < REACH_M };
  }

  /** @param {Picked} picked */
  #normalOf({ hit }) {
    if (!hit?.face) return void this.normal.set(0, 1, 0);
    this.#matrix.copy(hit.object.matrixWorld);
    const { object, instanceId } = hit;
    if (instanceId !== undefined && "getMatrixAt" in object) {
      const instances = /** @type {import("../../vendor/three.js").InstancedMesh} */ (object);
      instances.getMatrixAt(instanceId, this.#matrix);
      this.#matrix.premultiply(object.matrixWorld);
    }
    this.#turn.getNormalMatrix(this.#matrix);
    this.normal.copy(hit.face.normal).applyMatrix3(this.#turn).normalize();
    // A plane is seen from both sides.
    if (this.normal.dot(this.#raycaster.ray.direction) > 0) this.normal.negate();
  }

  /**
   * Where a thing of the palette would rest.
   * @param {PaletteEntry} entry
   * @param {Float64Array} out
   */
  rest(entry, out) {
    const { point, normal, isAligned } = this;
    const most = Math.max(Math.abs(normal.x), Math.abs(normal.y), Math.abs(normal.z));
    this.#snapped.copy(point);
    for (const axis of /** @type {const} */ (["x", "y", "z"])) {
      // Along the normal it stays, or it would not touch any more.
      if (Math.abs(normal[axis]) < Math.min(most, 0.3)) {
        this.#snapped[axis] = snap(point[axis], this.step_m);
      }
    }
    restOn(out, entry, { point: this.#snapped, normal, isAligned });
  }

  /** @param {PaletteEntry} entry @param {number} x @param {number} y @param {Float64Array} out */
  showGhost(entry, x, y, out) {
    this.ghost.visible = this.aim(x, y).isHit;
    if (!this.ghost.visible) return;
    this.rest(entry, out);
    this.ghost.position.fromArray(out, 0);
    this.ghost.quaternion.fromArray(out, 3);
    this.ghost.scale.fromArray(out, 7);
  }

  /** The floor right before oneself is what is pointed at. */
  ahead() {
    const { own } = this.#options.model;
    this.point.set(own.x - Math.sin(own.yaw) * AHEAD_M, own.y,
      own.z - Math.cos(own.yaw) * AHEAD_M);
    this.normal.set(0, 1, 0);
    return this.point;
  }

  /**
   * Lays what is somewhere onto what is below it: false when there is nothing.
   * @param {Float64Array} place changed
   * @param {PaletteEntry} what
   */
  drop(place, what) {
    const lowest = new Vector3().fromArray(place);
    const touching = new Float64Array(place);
    layOn(touching, what, { point: lowest, normal: UP, isAligned: false });
    lowest.y -= touching[1] - place[1] + BELOW_M;
    if (!this.below(lowest).isHit) return false;
    layOn(place, what, { point: this.point, normal: this.isAligned ? this.normal : UP,
      isAligned: this.isAligned });
    return true;
  }

  dispose() {
    this.ghost.geometry.dispose();
    this.ghost.material.dispose();
  }
}

const UP = new Vector3(0, 1, 0);
const BELOW_M = 0.002;
