/**
 * The one texture of the surroundings, 4 m of everything, which repeats without a seam:
 *
 *   red    the tone of each flagstone
 *   green  the joints between them
 *   blue   fine grain
 *   alpha  soft clouds of noise: for grass, for water and for the sky
 *
 * Pure: it returns bytes.
 */

import { cell, noise, stream } from "./chance.js";

export const TILE_M = 4;
const ROWS = 7;
const JOINT = 0.0042;
const ROUND = 0.011;
const SOFT = 0.004;

/** @typedef {{low: number, high: number, ends: number[]}} Row of stones, in shares of the tile */

/** @param {number} size of a side, pixels @returns {Uint8Array} RGBA */
export function paintStones(size) {
  const rows = layRows();
  const bytes = new Uint8Array(size * size * 4);
  const clouds = paintClouds(size);
  let at = 0;
  for (let j = 0; j < size; j++) {
    const v = (j + 0.5) / size;
    const row = rows.findIndex((each) => v < each.high);
    const { low, high, ends } = rows[row];
    let stone = 0;
    const edgeV = Math.min(v - low, high - v);
    for (let i = 0; i < size; i++, at += 4) {
      const u = (i + 0.5) / size;
      while (u >= ends[stone + 1]) stone++;
      const edgeU = Math.min(u - ends[stone], ends[stone + 1] - u);
      const off = cornered(edgeU, edgeV) - JOINT;
      const joint = Math.min(Math.max(0.5 - off / SOFT, 0), 1);
      const grain = cell(i, j, 11) * 0.5 + cell(i >> 1, j >> 1, 12) * 0.5;
      // Left of the first joint lies the last stone of the row, going on.
      const which = stone === 0 ? ends.length - 2 : stone;
      const worn = Math.min(off / 0.03, 1) * 0.16;
      bytes[at] = 255 * (0.16 + 0.6 * cell(which, row, 5) + worn + (clouds[at >> 2] - 0.5) * 0.2);
      bytes[at + 1] = 255 * joint;
      bytes[at + 2] = 255 * grain;
      bytes[at + 3] = 255 * clouds[at >> 2];
    }
  }
  return bytes;
}

/** How far from the edge of a stone with round corners. @param {number} u @param {number} v */
function cornered(u, v) {
  const [du, dv] = [Math.max(ROUND - u, 0), Math.max(ROUND - v, 0)];
  return du && dv ? ROUND - Math.hypot(du, dv) : Math.min(u, v);
}

/** Rows of unequal height with stones of unequal width. @returns {Row[]} */
function layRows() {
  const random = stream(77);
  const heights = Array.from({ length: ROWS }, () => 0.75 + random() * 0.6);
  const whole = heights.reduce((sum, each) => sum + each, 0);
  let low = 0;
  return heights.map((height, at) => {
    const high = at === ROWS - 1 ? 1 : low + height / whole;
    const count = 4 + Math.floor(random() * 3);
    const widths = Array.from({ length: count }, () => 0.7 + random() * 0.7);
    const sum = widths.reduce((total, each) => total + each, 0);
    const shift = random() * 0.12 + 0.03;
    const ends = [shift - widths[count - 1] / sum, shift];
    for (const width of widths) ends.push(ends[ends.length - 1] + width / sum);
    const row = { low, high, ends };
    low = high;
    return row;
  });
}

const OCTAVES = [[4, 0.5], [9, 0.27], [19, 0.15], [41, 0.08]];

/** Noise of four octaves, stretched to the whole range. @param {number} size
 *  @returns {Float32Array} */
function paintClouds(size) {
  const clouds = new Float32Array(size * size);
  for (const [cells, weight] of OCTAVES) {
    const grid = new Float32Array((cells + 1) * (cells + 1));
    for (let j = 0; j <= cells; j++) {
      for (let i = 0; i <= cells; i++) grid[j * (cells + 1) + i] = noise(i, j, cells, cells);
    }
    addOctave(clouds, size, { grid, cells, weight });
  }
  for (let at = 0; at < clouds.length; at++) {
    clouds[at] = Math.min(Math.max((clouds[at] - 0.5) * 1.6 + 0.5, 0), 1);
  }
  return clouds;
}

/** @param {Float32Array} clouds @param {number} size
 *  @param {{grid: Float32Array, cells: number, weight: number}} octave */
function addOctave(clouds, size, { grid, cells, weight }) {
  let at = 0;
  for (let j = 0; j < size; j++) {
    const y = (j / size) * cells;
    const low = Math.floor(y);
    const v = smooth(y - low);
    const [bottom, top] = [low * (cells + 1), (low + 1) * (cells + 1)];
    for (let i = 0; i < size; i++) {
      const x = (i / size) * cells;
      const left = Math.floor(x);
      const u = smooth(x - left);
      const below = grid[bottom + left] * (1 - u) + grid[bottom + left + 1] * u;
      const above = grid[top + left] * (1 - u) + grid[top + left + 1] * u;
      clouds[at++] += weight * (below * (1 - v) + above * v);
    }
  }
}

/** @param {number} share */
function smooth(share) {
  return share * share * (3 - 2 * share);
}
