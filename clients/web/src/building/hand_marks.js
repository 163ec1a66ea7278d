/**
 * What one sees of building with hands: outlines, rays, and the ghost of what would be put up.
 *
 * In the world's frame. Everything is made once and moved.
 */

import {
  BoxGeometry, BufferAttribute, BufferGeometry, DynamicDrawUsage, EdgesGeometry, Group, Line,
  LineBasicMaterial, LineSegments, Mesh, MeshBasicMaterial,
} from "../../vendor/three.js";

/** @typedef {import("../../vendor/three.js").Object3D} Object3D */

const OUTLINES_MAX = 64;
const CHOSEN = 0xffb02e;
const POINTED = 0xffffff;

export class HandMarks {
  group = new Group();
  #edges = new EdgesGeometry(new BoxGeometry(1.02, 1.02, 1.02));
  #lines = [CHOSEN, POINTED].map((color) => (
    new LineBasicMaterial({ color, depthTest: false, transparent: true })));
  /** @type {LineSegments[]} those of what is chosen */
  #outlines = [];
  #pointed = [this.#outline(this.#lines[1]), this.#outline(this.#lines[1])];
  #rays = [this.#ray(), this.#ray()];
  #ghost = new Mesh(new BoxGeometry(1, 1, 1),
    new MeshBasicMaterial({ color: CHOSEN, transparent: true, opacity: 0.35 }));
  #used = 0;

  constructor() {
    this.#ghost.visible = false;
    this.group.add(this.#ghost);
  }

  /** @param {LineBasicMaterial} material */
  #outline(material) {
    const outline = new LineSegments(this.#edges, material);
    outline.renderOrder = 10;
    outline.visible = false;
    this.group.add(outline);
    return outline;
  }

  #ray() {
    const points = new BufferAttribute(new Float32Array(6), 3);
    points.setUsage(DynamicDrawUsage);
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", points);
    const line = new Line(geometry, this.#lines[0]);
    line.frustumCulled = false;
    line.visible = false;
    this.group.add(line);
    return line;
  }

  /** Before the outlines of a frame. */
  begin() {
    this.#used = 0;
    for (const each of this.#pointed) each.visible = false;
  }

  /** What is chosen. @param {Float64Array} place */
  choose(place) {
    if (this.#used >= OUTLINES_MAX) return;
    const outline = this.#outlines[this.#used] ??= this.#outline(this.#lines[0]);
    this.#used += 1;
    put(outline, place);
  }

  /** What a hand points at. @param {number} hand @param {Float64Array} place */
  point(hand, place) {
    put(this.#pointed[hand], place);
  }

  /** After the outlines of a frame. */
  end() {
    for (let k = this.#used; k < this.#outlines.length; k++) this.#outlines[k].visible = false;
  }

  /**
   * From a hand to what it meets; null hides it.
   * @param {number} hand
   * @param {Float64Array | null} from
   * @param {import("../../vendor/three.js").Vector3} to
   */
  aim(hand, from, to) {
    const line = this.#rays[hand];
    line.visible = from !== null;
    if (!from) return;
    const points = line.geometry.getAttribute("position");
    points.setXYZ(0, from[0], from[1], from[2]);
    points.setXYZ(1, to.x, to.y, to.z);
    points.needsUpdate = true;
  }

  /** Where it would be put up; null hides it. @param {Float64Array | null} place */
  ghost(place) {
    this.#ghost.visible = place !== null;
    if (place) put(this.#ghost, place);
  }

  dispose() {
    this.#edges.dispose();
    this.#ghost.geometry.dispose();
    this.#ghost.material.dispose();
    for (const line of this.#rays) line.geometry.dispose();
    for (const material of this.#lines) material.dispose();
    this.group.clear();
  }
}

/** @param {Object3D} object @param {Float64Array} place */
function put(object, place) {
  object.position.fromArray(place, 0);
  object.quaternion.fromArray(place, 3);
  object.scale.fromArray(place, 7);
  object.visible = true;
}
