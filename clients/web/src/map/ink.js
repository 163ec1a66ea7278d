/**
 * Strokes of a hand: lines that wobble and overshoot a little.
 *
 * The wobble comes from a seeded generator, so that the same scene always gives the same drawing.
 */

/** @typedef {import("./theme.js").Theme} Theme */
/** @typedef {() => number} Random in 0..1 */

/**
 * @typedef {object} Pen
 * @property {CanvasRenderingContext2D} ctx
 * @property {Theme} theme
 * @property {Random} random
 * @property {number} px one CSS pixel in metres
 */

export const TURN = 2 * Math.PI;

/**
 * A small generator of the same numbers every time (mulberry32).
 * @param {number} seed
 * @returns {Random}
 */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @param {string} name */
export function hash(name) {
  let mixed = 2166136261;
  for (let i = 0; i < name.length; i++) mixed = Math.imul(mixed ^ name.charCodeAt(i), 16777619);
  return mixed >>> 0;
}

/**
 * A closed line through `points` that wobbles by up to `by` metres.
 * @param {Pen} pen
 * @param {[number, number][]} points
 * @param {number} by
 */
export function trace({ ctx, random }, points, by) {
  const wobble = () => (random() - 0.5) * 2 * by;
  const [firstX, firstZ] = points[0];
  ctx.moveTo(firstX + wobble(), firstZ + wobble());
  for (let i = 1; i <= points.length; i++) {
    const [fromX, fromZ] = points[i - 1];
    const [toX, toZ] = points[i % points.length];
    const steps = Math.max(1, Math.round(Math.hypot(toX - fromX, toZ - fromZ) / 2.5));
    for (let k = 1; k <= steps; k++) {
      const [x, z] = [fromX + ((toX - fromX) * k) / steps, fromZ + ((toZ - fromZ) * k) / steps];
      ctx.lineTo(x + wobble(), z + wobble());
    }
  }
  ctx.closePath();
}

/**
 * An outline drawn twice, with corners that overshoot a little.
 * @param {Pen} pen
 * @param {[number, number][]} points
 * @param {number} [weight] CSS pixels
 */
export function inkLine({ ctx, theme, random, px }, points, weight = 1.3) {
  ctx.strokeStyle = theme.ink;
  for (const [width, by] of [[weight, 0.7], [weight * 0.5, 2]]) {
    ctx.lineWidth = width * px;
    ctx.beginPath();
    points.forEach(([x, z], i) => {
      const [nextX, nextZ] = points[(i + 1) % points.length];
      const length = Math.hypot(nextX - x, nextZ - z) || 1;
      const over = (1.5 * px) / length;
      const wobble = () => (random() - 0.5) * by * px;
      ctx.moveTo(x - (nextX - x) * over + wobble(), z - (nextZ - z) * over + wobble());
      ctx.lineTo(nextX + (nextX - x) * over + wobble(), nextZ + (nextZ - z) * over + wobble());
    });
    ctx.stroke();
  }
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {number} x
 * @param {number} z
 * @param {number} radius
 * @param {string} fill
 * @param {string} stroke
 * @param {number} width
 */
export function ring(ctx, x, z, radius, fill, stroke, width) {
  ctx.beginPath();
  ctx.arc(x, z, radius, 0, TURN);
  ctx.fillStyle = fill;
  ctx.fill();
  ctx.strokeStyle = stroke;
  ctx.lineWidth = width;
  ctx.stroke();
}
