/**
 * All shapes of the world in few draw calls.
 *
 * Shapes of one form, surface and part of the world share an instanced mesh: a matrix and a colour
 * each. The world is cut into cells, so that what is behind the camera or far away is not drawn at
 * all. A batch that is full doubles; a shape that goes leaves its place to the last of its batch.
 *
 * A shape that moves costs what one shape costs, however many are in its batch: its matrix alone is
 * sent to the graphics card, and the bounds of the batch only grow, until nothing in it has moved
 * for a frame; then they are worked out anew.
 */

import {
  BoxGeometry, Color, ConeGeometry, CylinderGeometry, Group, InstancedMesh, Matrix4,
  MeshStandardMaterial, PlaneGeometry, Sphere, SphereGeometry, DoubleSide,
} from "../../../vendor/three.js";

/** @typedef {import("../../core/protocol.generated.js").Shape} Shape */
/** @typedef {import("../../../vendor/three.js").Material} Material */

const CELL_M = 64;
const CAPACITY_MIN = 16;
/** More parts of a buffer than these are sent as the whole of it. */
const RANGES_MAX = 128;
const SMOOTH = 0.45;
const METAL = 0.5;

/** @type {Record<string, () => import("../../../vendor/three.js").BufferGeometry>} */
const GEOMETRIES = {
  box: () => new BoxGeometry(1, 1, 1),
  sphere: () => new SphereGeometry(0.5, 24, 14),
  cylinder: () => new CylinderGeometry(0.5, 0.5, 1, 24),
  cone: () => new ConeGeometry(0.5, 1, 24),
  plane: () => new PlaneGeometry(1, 1),
};

class Batch {
  /** @type {string[]} */
  keys = [];

  /**
   * @param {import("../../../vendor/three.js").BufferGeometry} geometry
   * @param {Material} material
   * @param {Group} group
   */
  constructor(geometry, material, group) {
    this.geometry = geometry;
    this.material = material;
    this.group = group;
    this.mesh = this.#makeMesh(CAPACITY_MIN);
    /** Whether the bounds must be worked out anew before the next picture. */
    this.isStale = true;
    /** Whether they are larger than need be. */
    this.isLoose = false;
    this.hasMoved = false;
  }

  /** @param {number} capacity */
  #makeMesh(capacity) {
    const mesh = new InstancedMesh(this.geometry, this.material, capacity);
    mesh.setColorAt(0, white);
    mesh.count = 0;
    mesh.castShadow = mesh.receiveShadow = true;
    mesh.userData.batch = this;
    this.group.add(mesh);
    return mesh;
  }

  #grow() {
    const old = this.mesh;
    this.mesh = this.#makeMesh(old.instanceMatrix.count * 2);
    this.mesh.instanceMatrix.array.set(old.instanceMatrix.array);
    this.mesh.instanceColor?.array.set(old.instanceColor?.array ?? []);
    this.mesh.count = old.count;
    this.group.remove(old);
    old.dispose();
  }

  /** @param {string} key @returns {number} its place */
  add(key) {
    if (this.keys.length === this.mesh.instanceMatrix.count) this.#grow();
    this.keys.push(key);
    this.mesh.count = this.keys.length;
    return this.keys.length - 1;
  }

  /** @param {number} at @returns {string} the key that is there now, or none */
  remove(at) {
    const last = this.keys.length - 1;
    const moved = this.keys[last];
    if (at !== last) {
      this.mesh.getMatrixAt(last, matrix);
      this.mesh.setMatrixAt(at, matrix);
      this.mesh.getColorAt(last, colour);
      this.mesh.setColorAt(at, colour);
      this.keys[at] = moved;
      send(this.mesh.instanceMatrix, at);
      if (this.mesh.instanceColor) send(this.mesh.instanceColor, at);
    }
    this.keys.pop();
    this.mesh.count = last;
    this.isLoose = true;
    return at === last ? "" : moved;
  }

  /** @param {number} at @param {Matrix4} world @param {string} tint */
  set(at, world, tint) {
    this.mesh.setColorAt(at, colour.set(tint));
    if (this.mesh.instanceColor) send(this.mesh.instanceColor, at);
    this.move(at, world);
  }

  /** @param {number} at @param {Matrix4} world */
  move(at, world) {
    const { mesh } = this;
    mesh.setMatrixAt(at, world);
    send(mesh.instanceMatrix, at);
    this.hasMoved = true;
    if (!mesh.boundingSphere) this.isStale = true;
    if (this.isStale || !mesh.boundingSphere) return;
    if (!this.geometry.boundingSphere) this.geometry.computeBoundingSphere();
    const own = /** @type {Sphere} */ (this.geometry.boundingSphere);
    mesh.boundingSphere.union(sphere.copy(own).applyMatrix4(world));
    this.isLoose = true;
  }

  /** Once in a frame. */
  update() {
    if (this.isStale || (this.isLoose && !this.hasMoved)) {
      this.mesh.computeBoundingSphere();
      this.isStale = this.isLoose = false;
    }
    this.hasMoved = false;
  }

  dispose() {
    this.group.remove(this.mesh);
    this.mesh.dispose();
  }
}

/**
 * One place of a buffer is otherwise than on the graphics card. What is not drawn is not sent, so
 * the list of places has an end.
 * @param {import("../../../vendor/three.js").InstancedBufferAttribute} buffer
 * @param {number} at
 */
function send(buffer, at) {
  const { updateRanges: ranges, itemSize, array } = buffer;
  buffer.needsUpdate = true;
  if (ranges.length === 1 && ranges[0].count === array.length) return;
  if (ranges.length >= RANGES_MAX) {
    buffer.clearUpdateRanges();
    buffer.addUpdateRange(0, array.length);
  } else buffer.addUpdateRange(at * itemSize, itemSize);
}

const matrix = new Matrix4();
const sphere = new Sphere();
const colour = new Color();
const white = new Color(0xffffff);

export class ShapeBatches {
  group = new Group();
  /** @type {Map<string, Batch>} */
  #batches = new Map();
  /** @type {Map<string, {batch: Batch, name: string, at: number}>} */
  #places = new Map();
  /** @type {Map<string, import("../../../vendor/three.js").BufferGeometry>} */
  #geometries = new Map();
  /** @type {Map<string, MeshStandardMaterial>} */
  #materials = new Map();

  /**
   * A shape is there, or is otherwise than before.
   * @param {string} key
   * @param {Shape} shape
   * @param {Matrix4} world
   */
  set(key, shape, world) {
    const [x, z] = [world.elements[12], world.elements[14]];
    const surface = surfaceOf(shape);
    const cell = `${Math.floor(x / CELL_M)},${Math.floor(z / CELL_M)}`;
    const name = `${shape.form} ${surface} ${cell}`;
    let place = this.#places.get(key);
    if (place && place.name !== name) {
      this.remove(key);
      place = undefined;
    }
    if (!place) {
      const batch = this.#batchOf(name, shape.form, surface);
      place = { batch, name, at: batch.add(key) };
      this.#places.set(key, place);
    }
    place.batch.set(place.at, world, shape.colour);
  }

  /**
   * Where it is drawn, into `out`; false when it is not.
   * @param {string} key
   * @param {Matrix4} out
   */
  placeOf(key, out) {
    const place = this.#places.get(key);
    place?.batch.mesh.getMatrixAt(place.at, out);
    return place !== undefined;
  }

  /** Moved, and nothing else. @param {string} key @param {Matrix4} world */
  move(key, world) {
    const place = this.#places.get(key);
    place?.batch.move(place.at, world);
  }

  /** @param {string} key */
  remove(key) {
    const place = this.#places.get(key);
    if (!place) return;
    this.#places.delete(key);
    const moved = place.batch.remove(place.at);
    const other = this.#places.get(moved);
    if (other) other.at = place.at;
    if (place.batch.keys.length) return;
    place.batch.dispose();
    this.#batches.delete(place.name);
  }

  /** @param {string} name @param {string} form @param {string} surface */
  #batchOf(name, form, surface) {
    let batch = this.#batches.get(name);
    if (!batch) {
      batch = new Batch(this.#geometryOf(form), this.#materialOf(surface, form), this.group);
      this.#batches.set(name, batch);
    }
    return batch;
  }

  /** @param {string} form */
  #geometryOf(form) {
    let geometry = this.#geometries.get(form);
    if (!geometry) {
      geometry = (GEOMETRIES[form] ?? GEOMETRIES.box)();
      this.#geometries.set(form, geometry);
    }
    return geometry;
  }

  /** @param {string} surface @param {string} form */
  #materialOf(surface, form) {
    const sides = form === "plane" ? "both" : "front";
    let material = this.#materials.get(`${surface} ${sides}`);
    if (!material) {
      const [roughness, metalness] = SURFACES[surface];
      material = new MeshStandardMaterial({ roughness, metalness });
      if (sides === "both") material.side = DoubleSide;
      this.#materials.set(`${surface} ${sides}`, material);
    }
    return material;
  }

  /** Once in a frame: what has changed is culled by its new bounds. */
  update() {
    for (const batch of this.#batches.values()) batch.update();
  }

  /**
   * The nearest shape on a ray.
   * @param {import("../../../vendor/three.js").Raycaster} raycaster
   * @returns {{key: string, distance: number,
   *   hit: import("../../../vendor/three.js").Intersection} | null}
   */
  pick(raycaster) {
    const [hit] = raycaster.intersectObjects(this.group.children, false);
    const key = hit?.object.userData.batch?.keys[hit.instanceId ?? -1];
    return key ? { key, distance: hit.distance, hit } : null;
  }

  get count() {
    return this.#places.size;
  }

  dispose() {
    for (const batch of this.#batches.values()) batch.dispose();
    for (const each of [...this.#geometries.values(), ...this.#materials.values()]) each.dispose();
    for (const held of [this.#batches, this.#places, this.#geometries, this.#materials]) {
      held.clear();
    }
  }
}

/** Roughness and metalness of the few surfaces that shapes are drawn with. */
const SURFACES = /** @type {Record<string, [number, number]>} */ ({
  rough: [0.85, 0], smooth: [0.3, 0], metal: [0.35, 0.9],
});

/** @param {Shape} shape */
function surfaceOf({ roughness, metalness }) {
  if (metalness > METAL) return "metal";
  return roughness < SMOOTH ? "smooth" : "rough";
}
