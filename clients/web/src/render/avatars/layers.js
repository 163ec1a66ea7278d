/**
 * Where the shader's numbers are kept, and the draw calls that use them.
 *
 * A `Table` is a texture with one row per person. It is written on the CPU every frame and sent as
 * a whole; it grows by doubling, so that a few people cost little. A `Layer` is one shape drawn for
 * any number of rows: one draw call, or none while it is empty.
 */

import {
  DataTexture, FloatType, InstancedBufferAttribute, Mesh, NearestFilter, RGBAFormat,
} from "../../../vendor/three.js";

/** @typedef {import("../../../vendor/three.js").InstancedBufferGeometry} Geometry */
/** @typedef {import("../../../vendor/three.js").Material} Material */

export class Table {
  /** @type {DataTexture} */
  texture;
  /** @type {Float32Array} */
  data;
  /** Numbers of a row. */
  stride;
  #uniform;

  /**
   * @param {number} texels of a row
   * @param {number} rows
   * @param {{value: any}} uniform that gets the texture
   */
  constructor(texels, rows, uniform) {
    this.stride = texels * 4;
    this.#uniform = uniform;
    this.data = new Float32Array(this.stride * rows);
    this.texture = this.#make(texels, rows);
  }

  get rows() {
    return this.texture.image.height;
  }

  /**
   * Makes room for as many rows; what is there stays.
   * @param {number} rows
   */
  reserve(rows) {
    if (rows <= this.rows) return false;
    const before = this.data;
    const height = Math.max(rows, this.rows * 2);
    this.data = new Float32Array(this.stride * height);
    this.data.set(before);
    this.texture.dispose();
    this.texture = this.#make(this.stride / 4, height);
    return true;
  }

  send() {
    this.texture.needsUpdate = true;
  }

  dispose() {
    this.texture.dispose();
  }

  /** @param {number} texels @param {number} rows */
  #make(texels, rows) {
    const data = /** @type {Float32Array<ArrayBuffer>} */ (this.data);
    const texture = new DataTexture(data, texels, rows, RGBAFormat, FloatType);
    texture.minFilter = texture.magFilter = NearestFilter;
    texture.needsUpdate = true;
    this.#uniform.value = texture;
    return texture;
  }
}

export class Layer {
  mesh;
  count = 0;
  #geometry;
  #instances;

  /**
   * @param {Geometry} geometry owned by the layer from now on
   * @param {Material} material
   * @param {number} capacity
   */
  constructor(geometry, material, capacity) {
    this.#geometry = geometry;
    this.#instances = new InstancedBufferAttribute(new Float32Array(capacity * 2), 2);
    geometry.setAttribute("instance", this.#instances);
    this.mesh = new Mesh(geometry, material);
    this.mesh.frustumCulled = false;
    this.mesh.visible = false;
    this.mesh.matrixAutoUpdate = false;
  }

  get triangles() {
    return ((this.#geometry.index?.count ?? 0) / 3) * this.count;
  }

  begin() {
    this.count = 0;
  }

  /**
   * @param {number} row of the table of bones
   * @param {number} [finger] row of the table of fingers
   */
  add(row, finger = 0) {
    const { array } = this.#instances;
    if (this.count * 2 >= array.length) return;
    array[this.count * 2] = row;
    array[this.count * 2 + 1] = finger;
    this.count += 1;
  }

  end() {
    this.mesh.visible = this.count > 0;
    this.#geometry.instanceCount = this.count;
    this.#instances.needsUpdate = this.count > 0;
  }

  dispose() {
    this.#geometry.dispose();
  }
}
