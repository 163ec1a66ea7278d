/**
 * Between metres of the world and pixels of the small map, whose middle is the person. Pure.
 *
 * `turn` is the yaw that points up: 0 for north. Pixels grow to the right and down.
 */

export class Frame {
  x = 0;
  z = 0;
  turn = 0;
  #half;
  #pixel = { px: 0, py: 0 };
  #cos = 1;
  #sin = 0;

  /** @param {number} sizePx @param {number} spanM metres from edge to edge */
  constructor(sizePx, spanM) {
    this.#half = sizePx / 2;
    this.pxPerM = sizePx / spanM;
  }

  /** @param {number} x @param {number} z @param {number} turn */
  look(x, z, turn) {
    this.x = x;
    this.z = z;
    this.turn = turn;
    this.#cos = Math.cos(turn);
    this.#sin = Math.sin(turn);
  }

  /** The record is reused by the next call. @param {number} x @param {number} z */
  toPixel(x, z) {
    const [dx, dz] = [(x - this.x) * this.pxPerM, (z - this.z) * this.pxPerM];
    this.#pixel.px = this.#half + dx * this.#cos - dz * this.#sin;
    this.#pixel.py = this.#half + dx * this.#sin + dz * this.#cos;
    return this.#pixel;
  }

  /** @param {number} px @param {number} py */
  toWorld(px, py) {
    const [u, v] = [(px - this.#half) / this.pxPerM, (py - this.#half) / this.pxPerM];
    return { x: this.x + u * this.#cos + v * this.#sin, z: this.z - u * this.#sin + v * this.#cos };
  }

  /**
   * The same as `toPixel`, for what lies outside the point of the edge in its direction.
   * @param {number} x
   * @param {number} z
   * @param {number} marginPx
   */
  onEdge(x, z, marginPx) {
    const pixel = this.toPixel(x, z);
    const [dx, dy] = [pixel.px - this.#half, pixel.py - this.#half];
    const most = this.#half - marginPx;
    const scale = Math.min(1, most / Math.max(Math.abs(dx), Math.abs(dy), 1e-6));
    pixel.px = this.#half + dx * scale;
    pixel.py = this.#half + dy * scale;
    return pixel;
  }

  /** Where north is, that far from the middle. @param {number} px */
  north(px) {
    this.#pixel.px = this.#half + px * this.#sin;
    this.#pixel.py = this.#half - px * this.#cos;
    return this.#pixel;
  }
}
