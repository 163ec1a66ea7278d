/**
 * The plainest picture of a world: its solids as they collide, and people as capsules.
 *
 * Shown until the real surroundings and avatars have been loaded, and where they fail to.
 */

import {
  AmbientLight, BoxGeometry, CapsuleGeometry, Color, CylinderGeometry, DirectionalLight, Group,
  InstancedMesh, Matrix4, Mesh, MeshLambertMaterial, PlaneGeometry,
} from "../../vendor/three.js";
import { colourOf, themeOf } from "../map/theme.js";

/** @typedef {import("../core/scene.js").Scene} Place */

const PEOPLE_MAX = 256;
const GROUND_M = 400;

export class PlainSurroundings {
  group = new Group();
  #lights = new Group();

  constructor() {
    const sun = new DirectionalLight(0xfff1dc, 2.4);
    sun.position.set(30, 50, 20);
    this.#lights.add(sun, new AmbientLight(0xb9c7d8, 1.3));
    this.group.add(this.#lights);
  }

  /** Others light the scene from now on. */
  dim() {
    this.#lights.removeFromParent();
  }

  /** @param {import("../../vendor/three.js").Scene} scene */
  attach(scene) {
    scene.background = new Color(0xcfdde0);
  }

  /** @param {Place} place */
  show(place) {
    for (const child of [...this.group.children]) {
      if (!(child instanceof Mesh)) continue;
      child.geometry.dispose();
      this.group.remove(child);
    }
    const stone = new MeshLambertMaterial({ color: 0xd8cdb8 });
    const ground = new Mesh(new PlaneGeometry(GROUND_M, GROUND_M),
      new MeshLambertMaterial({ color: 0xb9b39d }));
    ground.rotation.x = -Math.PI / 2;
    ground.position.y = place.floor;
    this.group.add(ground);
    for (const box of place.boxes) {
      const mesh = new Mesh(new BoxGeometry(box.wide, box.top - box.bottom, box.deep), stone);
      mesh.position.set(box.x, (box.top + box.bottom) / 2, box.z);
      mesh.rotation.y = box.yaw;
      this.group.add(mesh);
    }
    for (const each of place.cylinders) {
      const mesh = new Mesh(
        new CylinderGeometry(each.radius, each.radius, each.top - each.bottom, 16), stone,
      );
      mesh.position.set(each.x, (each.top + each.bottom) / 2, each.z);
      this.group.add(mesh);
    }
  }

  update() {}
}

export class PlainCrowd {
  group = new Group();
  #mesh = new InstancedMesh(new CapsuleGeometry(0.25, 1.2, 4, 8), new MeshLambertMaterial(),
    PEOPLE_MAX);
  #matrix = new Matrix4();
  #colour = new Color();

  constructor() {
    this.#mesh.frustumCulled = false;
    this.group.add(this.#mesh);
  }

  /** @param {Iterable<import("../page/gather.js").Person>} people */
  update(people) {
    let count = 0;
    for (const person of people) {
      if (person.isFirstPerson || count >= PEOPLE_MAX) continue;
      const { pose } = person.figure;
      this.#matrix.makeTranslation(pose[0], pose[1] + 0.85, pose[2]);
      this.#mesh.setMatrixAt(count, this.#matrix);
      this.#mesh.setColorAt(count, this.#colour.set(colourOf(person.id, themeOf(false))));
      count += 1;
    }
    this.#mesh.count = count;
    this.#mesh.instanceMatrix.needsUpdate = true;
    if (this.#mesh.instanceColor) this.#mesh.instanceColor.needsUpdate = true;
  }
}
