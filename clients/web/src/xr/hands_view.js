/**
 * One's own hands in the headset: bare ones of 25 joints each, or the controllers that they hold.
 *
 * Made here from a few solids, in the room's frame, and moved with what was tracked in this frame.
 * All joints of both hands are one instanced mesh.
 */

import {
  BoxGeometry, CapsuleGeometry, Group, InstancedMesh, IcosahedronGeometry, Matrix4, Mesh,
  MeshLambertMaterial, TorusGeometry, Vector3,
} from "../../vendor/three.js";

/** @typedef {import("./senses.js").Senses} Senses */

const JOINTS = 25;
const THIN_M = 0.006;
const BODY = 0x3d4a55;
const SKIN = 0xe0b894;
const RING = 0xc96f4a;

export class HandsView {
  group = new Group();
  #joints;
  #controllers;
  #matrix = new Matrix4();
  #size = new Vector3();
  #body = new MeshLambertMaterial({ color: BODY });
  #ring = new MeshLambertMaterial({ color: RING });

  constructor() {
    this.#joints = new InstancedMesh(new IcosahedronGeometry(1, 1),
      new MeshLambertMaterial({ color: SKIN }), 2 * JOINTS);
    this.#joints.frustumCulled = false;
    this.#controllers = [this.#controller(), this.#controller()];
    this.group.add(this.#joints, ...this.#controllers);
  }

  #controller() {
    const controller = new Group();
    const handle = new Mesh(new CapsuleGeometry(0.016, 0.085, 4, 12), this.#body);
    handle.rotation.x = Math.PI / 2 - 0.25;
    handle.position.z = 0.02;
    const head = new Mesh(new CapsuleGeometry(0.023, 0.012, 4, 14), this.#body);
    head.rotation.x = Math.PI / 2;
    head.position.set(0, 0.012, -0.045);
    const ring = new Mesh(new TorusGeometry(0.021, 0.0035, 8, 24), this.#ring);
    ring.rotation.x = -Math.PI / 2;
    ring.position.set(0, 0.034, -0.045);
    const trigger = new Mesh(new BoxGeometry(0.012, 0.018, 0.014), this.#ring);
    trigger.position.set(0, -0.016, -0.052);
    controller.add(handle, head, ring, trigger);
    return controller;
  }

  /** @param {Senses} senses */
  update({ hands }) {
    let count = 0;
    for (let hand = 0; hand < 2; hand++) {
      const sense = hands[hand];
      const controller = this.#controllers[hand];
      controller.visible = sense.hasGrip && !sense.hasJoints;
      if (controller.visible) {
        controller.position.fromArray(sense.grip);
        controller.quaternion.fromArray(sense.grip, 3);
      }
      if (!sense.hasJoints) continue;
      for (let joint = 0; joint < JOINTS; joint++) {
        const thick = Math.max(sense.radii[joint], THIN_M);
        this.#matrix.fromArray(sense.joints, 16 * joint);
        this.#matrix.scale(this.#size.set(thick, thick, thick * 1.5));
        this.#joints.setMatrixAt(count++, this.#matrix);
      }
    }
    this.#joints.count = count;
    this.#joints.visible = count > 0;
    if (count) this.#joints.instanceMatrix.needsUpdate = true;
  }

  dispose() {
    this.group.traverse((each) => {
      if (each instanceof Mesh) each.geometry.dispose();
    });
    this.#joints.material.dispose();
    this.#joints.dispose();
    this.#body.dispose();
    this.#ring.dispose();
  }
}
