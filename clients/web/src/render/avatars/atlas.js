/**
 * A texture with many small pictures of text and signs, each in a cell of its own.
 *
 * Pictures are drawn on a small canvas and copied into the texture's bytes; only the cells that
 * changed are sent to the graphics card. Cells are given out by key and taken back from whoever
 * was not shown for the longest time. Two channels matter: red is ink (1) or ground (0), alpha is
 * what is there at all; the colour of the ink comes with the instance.
 */

import { DataTexture, LinearFilter, RGBAFormat } from "../../../vendor/three.js";

/** @typedef {(ctx: CanvasRenderingContext2D, width: number, height: number) => void} Draw */

export class Atlas {
  texture;
  columns;
  rows;
  width;
  height;
  #data;
  #ctx;
  /** By key: the cell. @type {Map<string, number>} */
  #cells = new Map();
  #keys;
  #used;

  /** @param {{columns: number, rows: number, width: number, height: number}} form */
  constructor({ columns, rows, width, height }) {
    this.columns = columns;
    this.rows = rows;
    this.width = width;
    this.height = height;
    this.#data = new Uint8Array(columns * width * rows * height * 4);
    this.#keys = /** @type {(string | null)[]} */ (new Array(columns * rows).fill(null));
    this.#used = new Float64Array(columns * rows).fill(-1);
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const ctx = canvas.getContext("2d", { willReadFrequently: true });
    if (!ctx) throw new Error("this browser cannot draw text");
    this.#ctx = ctx;
    this.texture = new DataTexture(this.#data, columns * width, rows * height, RGBAFormat);
    this.texture.minFilter = this.texture.magFilter = LinearFilter;
    this.texture.needsUpdate = true;
  }

  get context() {
    return this.#ctx;
  }

  /**
   * The cell of what has this key, which counts as shown now; -1 if it has none.
   * @param {string} key
   * @param {number} now
   */
  held(key, now) {
    const cell = this.#cells.get(key);
    if (cell === undefined) return -1;
    this.#used[cell] = now;
    return cell;
  }

  /**
   * Draws what has no cell yet into one; -1 if every cell is in use now.
   * @param {string} key
   * @param {number} now
   * @param {Draw} draw
   */
  draw(key, now, draw) {
    let oldest = 0;
    for (let k = 1; k < this.#used.length; k++) if (this.#used[k] < this.#used[oldest]) oldest = k;
    if (this.#used[oldest] >= now) return -1;
    const before = this.#keys[oldest];
    if (before !== null) this.#cells.delete(before);
    this.#keys[oldest] = key;
    this.#cells.set(key, oldest);
    this.#used[oldest] = now;
    this.#paint(oldest, draw);
    return oldest;
  }

  dispose() {
    this.texture.dispose();
    this.#cells.clear();
  }

  /**
   * @param {number} cell
   * @param {Draw} draw
   */
  #paint(cell, draw) {
    const { width, height, columns } = this;
    const ctx = this.#ctx;
    ctx.save();
    ctx.clearRect(0, 0, width, height);
    ctx.beginPath();
    ctx.rect(1, 1, width - 2, height - 2);
    ctx.clip();
    draw(ctx, width, height);
    ctx.restore();
    const picture = ctx.getImageData(0, 0, width, height).data;
    const left = (cell % columns) * width, top = Math.floor(cell / columns) * height;
    for (let y = 0; y < height; y++) {
      const to = ((top + y) * columns * width + left) * 4;
      this.#data.set(picture.subarray(y * width * 4, (y + 1) * width * 4), to);
      this.texture.addUpdateRange(to, width * 4);
    }
    this.texture.needsUpdate = true;
  }
}
