/**
 * Chance that always falls the same: what is scattered and tinted in a world is drawn from
 * numbers that depend on names and places alone, so that everybody sees the same picture. Pure.
 */

const WORD = 4294967296;

/** Mixes an integer well. @param {number} value @returns {number} 0..2**32 */
export function mix(value) {
  let bits = value | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return (bits ^ (bits >>> 15)) >>> 0;
}

/** @param {string} text @returns {number} 0..2**32 */
export function seedOf(text) {
  let bits = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) bits = Math.imul(bits ^ text.charCodeAt(at), 0x01000193);
  return mix(bits);
}

/** A number for a cell of a grid. @param {number} x @param {number} y @param {number} seed */
export function cell(x, y, seed) {
  return mix(Math.imul(x, 0x1b873593) ^ Math.imul(y, 0x6c8e9cf5) ^ seed) / WORD;
}

/** A stream of numbers 0..1. @param {number} seed @returns {() => number} */
export function stream(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return mix(state) / WORD;
  };
}

/**
 * Smooth noise that repeats after `period` cells, 0..1.
 * @param {number} x
 * @param {number} y
 * @param {number} period a whole number of cells
 * @param {number} seed
 */
export function noise(x, y, period, seed) {
  const [left, low] = [Math.floor(x), Math.floor(y)];
  const [dx, dy] = [x - left, y - low];
  const [u, v] = [dx * dx * (3 - 2 * dx), dy * dy * (3 - 2 * dy)];
  const [x0, x1] = [wrap(left, period), wrap(left + 1, period)];
  const [y0, y1] = [wrap(low, period), wrap(low + 1, period)];
  const bottom = cell(x0, y0, seed) * (1 - u) + cell(x1, y0, seed) * u;
  const top = cell(x0, y1, seed) * (1 - u) + cell(x1, y1, seed) * u;
  return bottom * (1 - v) + top * v;
}

/** @param {number} value @param {number} period */
function wrap(value, period) {
  return ((value % period) + period) % period;
}
