/**
 * Shapes made by code: tubes of rings, and balls, with what the shader needs to move and colour
 * them.
 *
 * Beside place and normal each vertex has a *rig*: two bones, the weight of the second, and the
 * colour slot. Normals come from the triangles of one part, so that each part is smooth in itself
 * and has a crease against its neighbours. A part belongs to one slot.
 */

import { BufferAttribute, InstancedBufferGeometry } from "../../../vendor/three.js";

/** Colour slots: rows of a person's palette. */
export const Slot = Object.freeze({
  SKIN: 0, HAIR: 1, TOP: 2, BOTTOM: 3, SHOES: 4, ACCENT: 5, FACE: 6, SLEEVE: 7, SHIN: 8,
  DARK: 9, TRIM: 10, EYES: 11,
});
export const SLOTS = 12;

/** @typedef {readonly [number, number, number]} Triple */
/**
 * @typedef {object} Ring one ring of a tube
 * @property {Triple} at its middle
 * @property {number} u half its size along the tube's first axis
 * @property {number} v along the second
 * @property {number} [bone] what it moves with
 * @property {number} [next] the bone that it also moves with
 * @property {number} [weight] of `next`, 0 to 1
 */
/** @typedef {{slot: number, u: Triple, v: Triple, segments: number, isOpen?: boolean}} Tube */

export class Shape {
  #positions = /** @type {number[]} */ ([]);
  #normals = /** @type {number[]} */ ([]);
  #rigs = /** @type {number[]} */ ([]);
  #indices = /** @type {number[]} */ ([]);

  get triangles() {
    return this.#indices.length / 3;
  }

  /**
   * A skin over rings, closed at both ends by points unless it is open.
   * @param {readonly Ring[]} rings
   * @param {Tube} tube
   */
  tube(rings, tube) {
    const first = this.#count;
    const { segments, u, v } = tube;
    for (const ring of rings) {
      for (let k = 0; k < segments; k++) {
        const angle = (k / segments) * 2 * Math.PI;
        const cu = Math.cos(angle) * ring.u, cv = Math.sin(angle) * ring.v;
        this.#vertex([
          ring.at[0] + u[0] * cu + v[0] * cv,
          ring.at[1] + u[1] * cu + v[1] * cv,
          ring.at[2] + u[2] * cu + v[2] * cv,
        ], ring, tube.slot);
      }
    }
    for (let row = 0; row + 1 < rings.length; row++) {
      this.#band(first + row * segments, first + (row + 1) * segments, segments);
    }
    if (!tube.isOpen) {
      this.#cap(rings[0], first, tube, true);
      this.#cap(rings[rings.length - 1], first + (rings.length - 1) * segments, tube, false);
    }
    this.#smooth(first);
    return this;
  }

  /**
   * A ball that a function deforms: `form` gets a direction and writes a place.
   * @param {object} ball
   * @param {(direction: number[]) => Triple} ball.form
   * @param {number} ball.slot
   * @param {number} ball.bone
   * @param {number} ball.around
   * @param {number} ball.down
   * @param {(angle: number) => number} [ball.until] how far down from the top, radians, by the
   *   angle about y: 0 is the front
   */
  ball({ form, slot, bone, around, down, until }) {
    const first = this.#count;
    const rig = { at: /** @type {Triple} */ ([0, 0, 0]), u: 0, v: 0, bone };
    this.#vertex(form([0, 1, 0]), rig, slot);
    const rows = until ? down : down - 1;
    for (let row = 1; row <= rows; row++) {
      for (let k = 0; k < around; k++) {
        const angle = (k / around) * 2 * Math.PI;
        const polar = (row / down) * (until ? until(angle) : Math.PI);
        const flat = Math.sin(polar);
        this.#vertex(
          form([Math.sin(angle) * flat, Math.cos(polar), -Math.cos(angle) * flat]), rig, slot);
      }
    }
    for (let k = 0; k < around; k++) {
      this.#indices.push(first, first + 1 + ((k + 1) % around), first + 1 + k);
    }
    for (let row = 0; row + 1 < rows; row++) {
      this.#band(first + 1 + (row + 1) * around, first + 1 + row * around, around, true);
    }
    if (!until) {
      const last = this.#count;
      this.#vertex(form([0, -1, 0]), rig, slot);
      const from = first + 1 + (rows - 1) * around;
      for (let k = 0; k < around; k++) {
        this.#indices.push(last, from + k, from + ((k + 1) % around));
      }
    }
    this.#smooth(first);
    return this;
  }

  /** The finished geometry; instances are told by the attribute that a layer adds. */
  build() {
    const geometry = new InstancedBufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(new Float32Array(this.#positions), 3));
    geometry.setAttribute("normal", new BufferAttribute(new Float32Array(this.#normals), 3));
    geometry.setAttribute("rig", new BufferAttribute(new Float32Array(this.#rigs), 4));
    geometry.setIndex(new BufferAttribute(new Uint16Array(this.#indices), 1));
    geometry.instanceCount = 0;
    return geometry;
  }

  get #count() {
    return this.#positions.length / 3;
  }

  /**
   * @param {readonly number[]} at
   * @param {Ring} ring
   * @param {number} slot
   */
  #vertex(at, ring, slot) {
    this.#positions.push(at[0], at[1], at[2]);
    this.#normals.push(0, 0, 0);
    this.#rigs.push(ring.bone ?? 0, ring.next ?? ring.bone ?? 0, ring.weight ?? 0, slot);
  }

  /**
   * @param {number} a first vertex of one ring
   * @param {number} b of the next
   * @param {number} segments
   * @param {boolean} [isBall]
   */
  #band(a, b, segments, isBall = false) {
    for (let k = 0; k < segments; k++) {
      const n = (k + 1) % segments;
      if (isBall) this.#indices.push(b + k, b + n, a + k, a + k, b + n, a + n);
      else this.#indices.push(a + k, a + n, b + k, b + k, a + n, b + n);
    }
  }

  /**
   * @param {Ring} ring
   * @param {number} from
   * @param {Tube} tube
   * @param {boolean} isFirst
   */
  #cap(ring, from, { segments, slot }, isFirst) {
    const middle = this.#count;
    this.#vertex(ring.at, ring, slot);
    for (let k = 0; k < segments; k++) {
      const n = (k + 1) % segments;
      if (isFirst) this.#indices.push(middle, from + n, from + k);
      else this.#indices.push(middle, from + k, from + n);
    }
  }

  /** Normals of the vertices from `first` on, by the areas of their triangles.
   * @param {number} first */
  #smooth(first) {
    const p = this.#positions, n = this.#normals;
    for (let t = 0; t < this.#indices.length; t += 3) {
      const a = this.#indices[t] * 3, b = this.#indices[t + 1] * 3, c = this.#indices[t + 2] * 3;
      if (a < first * 3) continue;
      const ux = p[b] - p[a], uy = p[b + 1] - p[a + 1], uz = p[b + 2] - p[a + 2];
      const vx = p[c] - p[a], vy = p[c + 1] - p[a + 1], vz = p[c + 2] - p[a + 2];
      const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
      for (const at of [a, b, c]) {
        n[at] += x;
        n[at + 1] += y;
        n[at + 2] += z;
      }
    }
    for (let at = first * 3; at < n.length; at += 3) {
      const length = Math.hypot(n[at], n[at + 1], n[at + 2]) || 1;
      for (let k = 0; k < 3; k++) n[at + k] /= length;
    }
  }
}
