/**
 * The shapes that everything is made of: a box with soft edges, what a lathe turns, a puff of
 * leaves, and flat pieces. Each stands on the origin of the brush of the mesh. Pure.
 */

/** @typedef {import("./mesh.js").Mesh} Mesh */

/** Of the 24 corners of a box: each of eight is three, one for each face that meets there. */
const BOX_INDICES = boxIndices();
const BOX_FACES = 6;

/**
 * A box from the ground of the brush upwards, its edges broken: the faces keep their own normals
 * and the light turns around the edge, which reads as rounded for 44 triangles.
 * @param {Mesh} mesh
 * @param {{wide: number, high: number, deep: number, bevel?: number}} size
 */
export function box(mesh, { wide, high, deep, bevel = 0.03 }) {
  const half = [wide / 2, high / 2, deep / 2];
  const cut = mesh.coarse ? 0 : Math.min(bevel, half[0] * 0.8, half[1] * 0.8, half[2] * 0.8);
  const first = mesh.vertexCount;
  const [point, normal] = [[0, 0, 0], [0, 0, 0]];
  for (let corner = 0; corner < 24; corner++) {
    const axis = corner % 3;
    for (let of = 0; of < 3; of++) {
      const sign = signOf(corner, of);
      point[of] = sign * (of === axis ? half[of] : half[of] - cut);
      normal[of] = of === axis ? sign : 0;
    }
    const u = axis === 0 ? point[2] + half[2] : point[0] + half[0];
    const v = axis === 1 ? point[2] + half[2] : point[1] + half[1];
    point[1] += half[1];
    mesh.corner(point, normal, u, v);
  }
  const count = mesh.coarse ? BOX_FACES * 6 : BOX_INDICES.length;
  for (let at = 0; at < count; at++) mesh.indices.push(first + BOX_INDICES[at]);
}

/** On which side a corner is. @param {number} corner @param {number} axis */
function signOf(corner, axis) {
  return (Math.floor(corner / 3) >> axis) & 1 ? 1 : -1;
}

/** Six faces, twelve edges and eight corners, all seen from outside. */
function boxIndices() {
  /** @type {number[]} */
  const indices = [];
  /** @param {...number} corners */
  const add = (...corners) => {
    const [a, b, c] = corners.map((corner) => [0, 1, 2].map((axis) =>
      signOf(corner, axis) * (axis === corner % 3 ? 1 : 0.5)));
    const [p, q] = [b.map((each, of) => each - a[of]), c.map((each, of) => each - a[of])];
    const facing = a[0] * (p[1] * q[2] - p[2] * q[1]) + a[1] * (p[2] * q[0] - p[0] * q[2])
      + a[2] * (p[0] * q[1] - p[1] * q[0]);
    const [i, j, k, l] = facing > 0 ? corners : [...corners].reverse();
    indices.push(i, j, k);
    if (corners.length === 4) indices.push(i, k, l);
  };
  for (let axis = 0; axis < 3; axis++) {
    const [one, two] = [1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3)];
    for (const base of [0, 1 << axis]) {
      add(...[base, base | one, base | one | two, base | two].map((at) => at * 3 + axis));
    }
  }
  for (let axis = 0; axis < 3; axis++) {
    const [one, two] = [1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3)];
    for (const base of [0, one, two, one | two]) {
      const [low, high] = [base * 3, (base | (1 << axis)) * 3];
      const [first, second] = [(axis + 1) % 3, (axis + 2) % 3];
      add(low + first, low + second, high + second, high + first);
    }
  }
  for (let at = 0; at < 8; at++) add(at * 3, at * 3 + 1, at * 3 + 2);
  return indices;
}

/**
 * Turns a profile around the vertical axis.
 * @param {Mesh} mesh
 * @param {number[][]} profile [radius, height] from below to above along the outside; the same
 *   point twice makes a hard edge
 * @param {{segments?: number, wobble?: (angle: number, height: number) => number}} options
 */
export function lathe(mesh, profile, { segments: wanted = 20, wobble } = {}) {
  const segments = mesh.coarse ? Math.max(Math.ceil(wanted * 0.55), 5) : wanted;
  const normals = profileNormals(profile);
  const around = Math.max(...profile.map(([radius]) => radius));
  for (let at = 0; at <= segments; at++) {
    const angle = (at / segments) * Math.PI * 2;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    profile.forEach(([radius, height], row) => {
      const reach = radius * (wobble ? wobble(at === segments ? 0 : angle, height) : 1);
      const [out, up] = normals[row];
      mesh.corner([cos * reach, height, sin * reach], [cos * out, up, sin * out],
        angle * around, height);
    });
  }
  const [rows, first] = [profile.length, mesh.vertexCount - (segments + 1) * profile.length];
  for (let at = 0; at < segments; at++) {
    for (let row = 0; row + 1 < rows; row++) {
      if (same(profile[row], profile[row + 1])) continue;
      const corner = first + at * rows + row;
      mesh.quad(corner, corner + 1, corner + rows + 1, corner + rows);
    }
  }
}

/** @param {number[]} one @param {number[]} two */
function same(one, two) {
  return one[0] === two[0] && one[1] === two[1];
}

/** @param {number[][]} profile @returns {number[][]} outward and up, per point */
function profileNormals(profile) {
  const slope = (/** @type {number} */ from) => {
    if (from < 0 || from + 1 >= profile.length || same(profile[from], profile[from + 1])) {
      return [0, 0];
    }
    const [dr, dy] = [profile[from + 1][0] - profile[from][0],
      profile[from + 1][1] - profile[from][1]];
    const length = Math.hypot(dr, dy);
    return [dy / length, -dr / length];
  };
  return profile.map((_, at) => {
    const [before, after] = [slope(at - 1), slope(at)];
    return [before[0] + after[0], before[1] + after[1]];
  });
}

/**
 * A flat disc that looks up.
 * @param {Mesh} mesh
 * @param {number} radius
 * @param {number} segments
 */
export function disc(mesh, radius, segments = 12) {
  const middle = mesh.corner([0, 0, 0], [0, 1, 0]);
  for (let at = 0; at < segments; at++) {
    const angle = (at / segments) * Math.PI * 2;
    const [x, z] = [Math.cos(angle) * radius, Math.sin(angle) * radius];
    mesh.corner([x, 0, z], [0, 1, 0], x, z);
  }
  for (let at = 0; at < segments; at++) {
    mesh.triangle(middle, middle + 1 + ((at + 1) % segments), middle + 1 + at);
  }
}

/**
 * A flat four-cornered piece with one normal.
 * @param {Mesh} mesh
 * @param {number[][]} points anti-clockwise as seen from where the normal points
 * @param {number[]} [normal]
 */
export function sheet(mesh, points, normal) {
  const [a, b, , d] = points;
  const [p, q] = [b.map((each, of) => each - a[of]), d.map((each, of) => each - a[of])];
  const facing = normal ?? [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2],
    p[0] * q[1] - p[1] * q[0]];
  const [first, second, third, fourth] = points.map((point) => mesh.corner(point, facing));
  mesh.quad(first, second, third, fourth);
}

const GOLDEN = Math.PI * (3 - Math.sqrt(5));

/**
 * A lump, as of leaves or of far trees: a coarse ball of `rows` rings.
 * @param {Mesh} mesh
 * @param {{x: number, y: number, z: number, wide: number, high: number}} lump
 * @param {{segments?: number, rows?: number, random: () => number,
 *   tone?: (up: number) => void}} options `tone` is called before each ring, from 0 to 1
 */
export function lump(mesh, { x, y, z, wide, high }, { segments: wanted = 7, rows: wished = 4,
  random, tone }) {
  const [segments, rows] = mesh.coarse ? [Math.min(wanted, 6), Math.min(wished, 3)]
    : [wanted, wished];
  const first = mesh.vertexCount;
  const turn = random() * 6;
  for (let row = 0; row <= rows; row++) {
    const tilt = (row / rows) * Math.PI;
    tone?.(row / rows);
    for (let at = 0; at < segments; at++) {
      const angle = (at / segments) * Math.PI * 2 + turn + row * 0.4;
      const rough = row % rows ? 0.88 + random() * 0.24 : 1;
      const [nx, ny, nz] = [Math.cos(angle) * Math.sin(tilt), -Math.cos(tilt),
        Math.sin(angle) * Math.sin(tilt)];
      mesh.corner([x + nx * wide * rough, y + ny * high * rough, z + nz * wide * rough],
        [nx, ny * (wide / high) + 0.25, nz]);
    }
  }
  for (let row = 0; row < rows; row++) {
    for (let at = 0; at < segments; at++) {
      const [here, next] = [first + row * segments + at,
        first + row * segments + ((at + 1) % segments)];
      mesh.quad(here, here + segments, next + segments, next);
    }
  }
}

/**
 * Points all over a ball, evenly, always the same. @param {number} at @param {number} count
 * @returns {number[]} of length 1
 */
export function onBall(at, count) {
  const up = 1 - (2 * (at + 0.5)) / count;
  const level = Math.sqrt(1 - up * up);
  return [Math.cos(at * GOLDEN) * level, up, Math.sin(at * GOLDEN) * level];
}

/**
 * A leaf: a bent diamond of two triangles, lit as what it grows on.
 * @param {Mesh} mesh
 * @param {number[]} point
 * @param {number[]} normal
 * @param {{size: number, random: () => number}} options
 */
export function leaf(mesh, point, normal, { size, random }) {
  const [a, b, c] = [random() - 0.5, random() - 0.5, random() - 0.5];
  let along = [normal[1] * c - normal[2] * b + a * 0.6, normal[2] * a - normal[0] * c + b * 0.6,
    normal[0] * b - normal[1] * a + c * 0.6];
  const length = Math.hypot(along[0], along[1], along[2]) || 1;
  along = along.map((each) => (each / length) * size);
  const across = [normal[1] * along[2] - normal[2] * along[1],
    normal[2] * along[0] - normal[0] * along[2], normal[0] * along[1] - normal[1] * along[0]];
  const to = (/** @type {number} */ u, /** @type {number} */ v, /** @type {number} */ w) =>
    point.map((each, of) => each + along[of] * u + across[of] * v + normal[of] * size * w);
  const corners = [to(-0.5, 0, 0), to(0, 0.32, 0.12), to(0.5, 0, -0.1), to(0, -0.32, 0.12)];
  const [first, second, third, fourth] = corners.map((each) => mesh.corner(each, normal));
  mesh.quad(first, fourth, third, second);
}
