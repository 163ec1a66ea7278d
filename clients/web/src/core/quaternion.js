/**
 * Quaternions and vectors as numbers in arrays: x, y, z, w at an offset, and nothing allocated.
 *
 * Functions write their result to `out` at an offset and may be given the same array as input and
 * output. Axes are those of glTF; a yaw turns counter-clockwise seen from above, and 0 looks along
 * -Z. Pure.
 */

/** @typedef {Float64Array | Float32Array | number[]} Numbers */

/**
 * @param {Numbers} out
 * @param {number} at
 * @param {number} yaw radians
 */
export function fromYaw(out, at, yaw) {
  out[at] = 0;
  out[at + 1] = Math.sin(yaw / 2);
  out[at + 2] = 0;
  out[at + 3] = Math.cos(yaw / 2);
}

/**
 * The yaw of the direction that a rotation looks in; straight up or down it is that of its top.
 * @param {Numbers} q
 * @param {number} at
 */
export function yawOfRotation(q, at) {
  const [x, y, z, w] = [q[at], q[at + 1], q[at + 2], q[at + 3]];
  // The -Z axis, turned.
  const forwardX = -2 * (x * z + w * y);
  const forwardZ = -(1 - 2 * (x * x + y * y));
  if (Math.hypot(forwardX, forwardZ) > 0.2) return Math.atan2(-forwardX, -forwardZ);
  const down = 2 * (w * x - y * z) < 0 ? 1 : -1;
  return Math.atan2(-down * 2 * (x * y - w * z), -down * 2 * (y * z + w * x));
}

/**
 * out = a * b: first b, then a.
 * @param {Numbers} out
 * @param {number} at
 * @param {Numbers} a
 * @param {number} i
 * @param {Numbers} b
 * @param {number} j
 */
export function multiply(out, at, a, i, b, j) {
  const ax = a[i], ay = a[i + 1], az = a[i + 2], aw = a[i + 3];
  const bx = b[j], by = b[j + 1], bz = b[j + 2], bw = b[j + 3];
  out[at] = aw * bx + ax * bw + ay * bz - az * by;
  out[at + 1] = aw * by - ax * bz + ay * bw + az * bx;
  out[at + 2] = aw * bz + ax * by - ay * bx + az * bw;
  out[at + 3] = aw * bw - ax * bx - ay * by - az * bz;
}

/**
 * The turn back, of a unit quaternion.
 * @param {Numbers} out
 * @param {number} at
 * @param {Numbers} q
 * @param {number} i
 */
export function conjugate(out, at, q, i) {
  out[at] = -q[i];
  out[at + 1] = -q[i + 1];
  out[at + 2] = -q[i + 2];
  out[at + 3] = q[i + 3];
}

/**
 * Turns the vector x, y, z by q.
 * @param {Numbers} out
 * @param {number} at
 * @param {Numbers} q
 * @param {number} i
 * @param {number} x
 * @param {number} y
 * @param {number} z
 */
export function rotate(out, at, q, i, x, y, z) {
  const qx = q[i], qy = q[i + 1], qz = q[i + 2], qw = q[i + 3];
  const tx = 2 * (qy * z - qz * y);
  const ty = 2 * (qz * x - qx * z);
  const tz = 2 * (qx * y - qy * x);
  out[at] = x + qw * tx + qy * tz - qz * ty;
  out[at + 1] = y + qw * ty + qz * tx - qx * tz;
  out[at + 2] = z + qw * tz + qx * ty - qy * tx;
}

/**
 * To length 1; what has no length or is not finite becomes no rotation.
 * @param {Numbers} q
 * @param {number} at
 */
export function normalise(q, at) {
  let squares = 0;
  for (let k = at; k < at + 4; k++) squares += q[k] * q[k];
  const norm = Math.sqrt(squares);
  const usable = norm > 1e-9 && Number.isFinite(norm);
  for (let k = 0; k < 4; k++) q[at + k] = usable ? q[at + k] / norm : Number(k === 3);
}

/**
 * From a towards b by `weight`, the shorter way, along the chord.
 * @param {Numbers} out
 * @param {number} at
 * @param {Numbers} a
 * @param {number} i
 * @param {Numbers} b
 * @param {number} j
 * @param {number} weight 0 gives a, 1 gives b
 */
export function blend(out, at, a, i, b, j, weight) {
  let dot = 0;
  for (let k = 0; k < 4; k++) dot += a[i + k] * b[j + k];
  const sign = dot < 0 ? -1 : 1;
  for (let k = 0; k < 4; k++) out[at + k] = a[i + k] + (sign * b[j + k] - a[i + k]) * weight;
  normalise(out, at);
}

/**
 * A frame within a frame, each 7 numbers (x, y, z, then the rotation): out = outer * inner.
 * @param {Numbers} out
 * @param {number} at
 * @param {Numbers} outer
 * @param {number} i
 * @param {Numbers} inner
 * @param {number} j
 */
export function compose(out, at, outer, i, inner, j) {
  const [x, y, z] = [outer[i], outer[i + 1], outer[i + 2]];
  const [ix, iy, iz] = [inner[j], inner[j + 1], inner[j + 2]];
  for (let k = 0; k < 4; k++) outerTurn[k] = outer[i + 3 + k]; // `out` may be `outer`
  multiply(out, at + 3, outerTurn, 0, inner, j + 3);
  rotate(out, at, outerTurn, 0, ix, iy, iz);
  out[at] += x;
  out[at + 1] += y;
  out[at + 2] += z;
}

const outerTurn = new Float64Array(4);

/**
 * What is seen at `pose` (7 numbers) as it is within the frame `outer`: out = outer^-1 * pose.
 * @param {Numbers} out
 * @param {number} at
 * @param {Numbers} outer
 * @param {number} i
 * @param {Numbers} pose
 * @param {number} j
 */
export function within(out, at, outer, i, pose, j) {
  conjugate(outerTurn, 0, outer, i + 3);
  const [dx, dy, dz] = [pose[j] - outer[i], pose[j + 1] - outer[i + 1], pose[j + 2] - outer[i + 2]];
  multiply(out, at + 3, outerTurn, 0, pose, j + 3);
  rotate(out, at, outerTurn, 0, dx, dy, dz);
}
