/**
 * One VRM that is worn: measured once, then moved each frame as the solver moves the default body.
 *
 * The turns of the solver are those of bones at rest in a T that looks along -z; VRM 1 looks along
 * +z, so x and z change their sign (VRM 0 looks along -z). Bones that a file does not have hand
 * their turn on to the next one below.
 */

import { Group, Vector3 } from "../../../vendor/three.js";
import { Bone, BONE_NAMES, BONES, PARENT, REST } from "../../core/body.js";
import { relative } from "../../core/body_math.js";

/** @typedef {import("../../../vendor/vrm.js").VRM} VRM */
/** @typedef {import("../../../vendor/three.js").Object3D} Object3D */
/** @typedef {import("./actor.js").Actor} Actor */
/** @typedef {import("./vrm_library.js").Figure} Figure */

const FINGERS = ["Thumb", "Index", "Middle", "Ring", "Little"];
const THUMB_JOINTS = ["Metacarpal", "Proximal", "Distal"];
const JOINTS = ["Proximal", "Intermediate", "Distal"];
const GAZE_DEG = 14;
const LEAST_M = 0.5;
const MOST_M = 2.6;
const turn = new Float64Array(4);

export class VrmFigure {
  /** What is added to the scene: at the person's root. */
  pivot = new Group();
  #figure;
  #vrm;
  #sign;
  /** @type {(Object3D | null)[]} */
  #bones;
  /** The nearest bone above that the file has; -1 for none. @type {number[]} */
  #above;
  /** @type {(Object3D | null)[]} */
  #fingers = [];
  #head;

  /** @param {Figure} figure */
  constructor(figure) {
    this.#figure = figure;
    this.#vrm = figure.vrm;
    const { humanoid } = this.#vrm;
    this.#sign = this.#vrm.meta?.metaVersion === "0" ? 1 : -1;
    this.#bones = BONE_NAMES.map((name) => (
      humanoid.getNormalizedBoneNode(/** @type {any} */ (name))));
    this.#above = PARENT.map((parent) => {
      let at = parent;
      while (at >= 0 && !this.#bones[at]) at = PARENT[at];
      return at;
    });
    for (const side of ["left", "right"]) {
      for (const finger of FINGERS) {
        for (const joint of finger === "Thumb" ? THUMB_JOINTS : JOINTS) {
          const name = /** @type {any} */ (side + finger + joint);
          this.#fingers.push(humanoid.getNormalizedBoneNode(name));
        }
      }
    }
    this.#head = humanoid.getRawBoneNode("head");
    if (this.#vrm.lookAt) this.#vrm.lookAt.autoUpdate = false;
    this.pivot.add(this.#vrm.scene);
  }

  /**
   * Gives the solver this body's lengths.
   * @param {Actor} actor
   */
  measure(actor) {
    this.#vrm.humanoid.resetNormalizedPose();
    this.#vrm.scene.updateMatrixWorld(true);
    const place = new Vector3();
    const inner = this.#vrm.scene;
    /** @type {number[][]} */
    const rest = [];
    for (let bone = 0; bone < BONES; bone++) {
      const node = this.#bones[bone];
      if (node) {
        node.getWorldPosition(place);
        inner.worldToLocal(place);
        rest.push([this.#sign * place.x, place.y, this.#sign * place.z]);
      } else {
        // Chest, neck and shoulders may be missing: then they are where their parent is.
        rest.push([...rest[PARENT[bone]]]);
      }
    }
    const tall = Math.min(Math.max(rest[Bone.HEAD][1], LEAST_M), MOST_M);
    const eyes = this.#vrm.lookAt?.offsetFromHeadBone;
    const size = tall / REST[Bone.HEAD][1];
    const up = eyes ? Math.min(Math.max(eyes.y, 0), 0.5) : 0.1 * size;
    actor.solver.body.shape(rest, [0, up, -0.09 * size], 1);
  }

  /**
   * @param {Actor} actor
   * @param {number} dt
   */
  update(actor, dt) {
    const { body } = actor.solver;
    const { pivot } = this;
    pivot.visible = actor.shown > 0.45;
    pivot.position.set(actor.root[0], actor.root[1], actor.root[2]);
    pivot.rotation.y = actor.root[3] + (this.#sign < 0 ? Math.PI : 0);
    pivot.scale.setScalar(body.scale);
    const hips = this.#bones[Bone.HIPS];
    const { positions } = body;
    hips?.position.set(this.#sign * positions[0] / body.scale, positions[1] / body.scale,
      this.#sign * positions[2] / body.scale);
    for (let bone = 0; bone < BONES; bone++) this.#turn(bone, body.rotations);
    for (let joint = 0; joint < this.#fingers.length; joint++) {
      const node = this.#fingers[joint];
      const { fingers } = body;
      const at = joint * 4;
      node?.quaternion.set(this.#sign * fingers[at], fingers[at + 1], this.#sign * fingers[at + 2],
        fingers[at + 3]);
    }
    this.#express(actor);
    this.#vrm.update(dt);
    this.#head?.scale.setScalar(actor.isFirstPerson ? 1e-4 : 1);
  }

  dispose() {
    this.pivot.removeFromParent();
    this.#figure.dispose();
  }

  /**
   * @param {number} bone
   * @param {Float64Array} rotations
   */
  #turn(bone, rotations) {
    const node = this.#bones[bone];
    if (!node) return;
    const above = this.#above[bone];
    if (above < 0) for (let k = 0; k < 4; k++) turn[k] = rotations[bone * 4 + k];
    else relative(turn, 0, rotations, above * 4, rotations, bone * 4);
    node.quaternion.set(this.#sign * turn[0], turn[1], this.#sign * turn[2], turn[3]);
  }

  /** @param {Actor} actor */
  #express(actor) {
    const faces = this.#vrm.expressionManager;
    if (faces) {
      faces.setValue("blink", actor.blink);
      faces.setValue("aa", actor.mouth);
      faces.setValue("happy", Math.max(0, actor.smile - 0.5));
    }
    const { lookAt } = this.#vrm;
    if (lookAt) {
      lookAt.yaw = -actor.gaze[0] * GAZE_DEG;
      lookAt.pitch = -actor.gaze[1] * GAZE_DEG;
    }
  }
}
