/**
 * Gathers many small shapes into one mesh, so that a whole world is a handful of draw calls.
 *
 * A mesh is written with a brush: where the next shape stands (`at`), its colour and what else the
 * shaders want to know of each corner (`paint`):
 *
 *   detail  how much of the stone pattern is seen on it, 0..1
 *   glow    how much it shines when the lamps are lit, 0..1
 *   sway    how far the wind moves it, metres
 *
 * Shapes near the floor are darkened towards it, which is most of what ambient occlusion is for.
 * Pure: plain arrays, which `geometry.js` hands to three.js.
 */

/** @typedef {import("./palette.js").Colour} Colour */
/** @typedef {{detail?: number, glow?: number, sway?: number, ground?: boolean}} Finish */

const OCCLUDED_M = 0.7;
const OCCLUDED_SHARE = 0.42;

export class Mesh {
  /** @type {number[]} */
  positions = [];
  /** @type {number[]} */
  normals = [];
  /** @type {number[]} */
  colours = [];
  /** Detail, glow and sway of each corner. @type {number[]} */
  extras = [];
  /** @type {number[]} */
  uvs = [];
  /** @type {number[]} */
  indices = [];

  #floor;
  #x = 0;
  #y = 0;
  #z = 0;
  #cos = 1;
  #sin = 0;
  /** @type {Colour} */
  #colour = [1, 1, 1];
  #detail = 0;
  #glow = 0;
  #sway = 0;
  #ground = true;

  /**
   * @param {number} floor height of the floor, metres
   * @param {boolean} coarse whether shapes spare triangles: sharp edges, fewer sides
   */
  constructor(floor = 0, coarse = false) {
    this.#floor = floor;
    this.coarse = coarse;
  }

  get vertexCount() {
    return this.positions.length / 3;
  }

  get triangleCount() {
    return this.indices.length / 3;
  }

  /** Where the next shapes stand; a yaw turns as in the scene. @param {number} x
   *  @param {number} y @param {number} z @param {number} yaw */
  at(x, y, z, yaw = 0) {
    this.#x = x;
    this.#y = y;
    this.#z = z;
    this.#cos = Math.cos(yaw);
    this.#sin = Math.sin(yaw);
    return this;
  }

  /** @param {Colour} colour @param {Finish} finish */
  paint(colour, { detail = 0, glow = 0, sway = 0, ground = true } = {}) {
    this.#colour = colour;
    this.#detail = detail;
    this.#glow = glow;
    this.#sway = sway;
    this.#ground = ground;
    return this;
  }

  /**
   * One corner; `normal` need not be of length 1.
   * @param {number[]} point
   * @param {number[]} normal
   * @param {number} u metres along the surface
   * @param {number} v
   * @returns {number} its index
   */
  corner(point, normal, u = 0, v = 0) {
    // Taken one by one: this runs for every corner, and most often before it is compiled.
    const x = point[0];
    const z = point[2];
    const nx = normal[0];
    const ny = normal[1];
    const nz = normal[2];
    const cos = this.#cos;
    const sin = this.#sin;
    const length = Math.sqrt(nx * nx + ny * ny + nz * nz) || 1;
    const height = this.#y + point[1];
    this.positions.push(this.#x + x * cos + z * sin, height, this.#z - x * sin + z * cos);
    this.normals.push((nx * cos + nz * sin) / length, ny / length,
      (nz * cos - nx * sin) / length);
    const open = this.#ground ? this.#openness(height) : 1;
    this.colours.push(this.#colour[0] * open, this.#colour[1] * open, this.#colour[2] * open);
    this.extras.push(this.#detail, this.#glow, this.#sway);
    this.uvs.push(u, v);
    return this.vertexCount - 1;
  }

  /** Anti-clockwise as seen from outside. @param {number} a @param {number} b @param {number} c */
  triangle(a, b, c) {
    this.indices.push(a, b, c);
  }

  /** @param {number} a @param {number} b @param {number} c @param {number} d */
  quad(a, b, c, d) {
    this.indices.push(a, b, c, a, c, d);
  }

  /** How much of the sky is seen near the floor. @param {number} height */
  #openness(height) {
    const share = Math.min(Math.max((height - this.#floor) / OCCLUDED_M, 0), 1);
    return 1 - OCCLUDED_SHARE * (1 - share) * (1 - share);
  }
}
