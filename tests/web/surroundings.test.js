/** What is built around people: always the same, where it collides, and nothing in their way. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readScene, standAt } from "../../clients/web/src/core/scene.js";
import { bakeMask, bakeShade } from "../../clients/web/src/render/surroundings/mask.js";
import { buildMasonry } from "../../clients/web/src/render/surroundings/masonry.js";
import { Mesh } from "../../clients/web/src/render/surroundings/mesh.js";
import { lightAt, moodAt } from "../../clients/web/src/render/surroundings/palette.js";
import { HUG_M, lawnOf, planOf } from "../../clients/web/src/render/surroundings/plan.js";
import { crownsOf } from "../../clients/web/src/render/surroundings/plants.js";
import { box, lathe } from "../../clients/web/src/render/surroundings/shapes.js";
import { paintStones } from "../../clients/web/src/render/surroundings/stones.js";

const GARDEN = {
  extent: { min_m: [-30, 0, -30], max_m: [30, 9, 30] },
  floor_m: 0,
  boxes: [
    { name: "wall-north", center: [0, 0.6, -29.75], size: [60, 1.2, 0.5] },
    { name: "stage", center: [0, 0.4, -20], size: [8, 0.8, 6] },
    { name: "hedge-1", center: [12, 0.7, 4], size: [8, 1.4, 0.8] },
    { name: "garden-bench", center: [14, 0.22, 14], size: [2.4, 0.44, 0.6], yaw_deg: 30 },
    { name: "something", center: [-9, 1, 3], size: [2, 2, 2], yaw_deg: 45 },
  ],
  cylinders: [
    { name: "fountain-basin", center: [0, 0.35, 0], radius_m: 4, height_m: 0.7 },
    { name: "fountain-column", center: [0, 1.5, 0], radius_m: 0.6, height_m: 3 },
    { name: "tree-1", center: [18, 2, 18], radius_m: 0.35, height_m: 4 },
  ],
  zones: [{ name: "garden", kind: "garden", center: [17, 4, 17], size: [20, 8, 20] }],
};

test("the same scene makes the same plan and the same stones", () => {
  const place = readScene(GARDEN);
  expect(planOf(place)).toEqual(planOf(readScene(GARDEN)));
  expect(paintStones(64)).toEqual(paintStones(64));
});

test("all faces look outwards, and all corners are numbers", () => {
  const solid = new Mesh();
  box(solid, { wide: 2, high: 1, deep: 3 });
  lathe(solid, [[1, 0], [1, 1], [1, 1], [0.5, 1]]);
  const { positions, normals, indices } = solid;
  expect(positions.concat(normals).every(Number.isFinite)).toBe(true);
  const at = (numbers, index) => numbers.slice(index * 3, index * 3 + 3);
  for (let first = 0; first < indices.length; first += 3) {
    const [a, b, c] = indices.slice(first, first + 3).map((index) => at(positions, index));
    const [p, q] = [b.map((each, of) => each - a[of]), c.map((each, of) => each - a[of])];
    const normal = at(normals, indices[first]);
    const facing = normal[0] * (p[1] * q[2] - p[2] * q[1]) + normal[1] * (p[2] * q[0]
      - p[0] * q[2]) + normal[2] * (p[0] * q[1] - p[1] * q[0]);
    expect(facing).toBeGreaterThan(-1e-9);
  }
});

test("what is drawn of a solid fills what collides", () => {
  const place = readScene({ ...GARDEN, cylinders: [] });
  for (const each of place.boxes.filter(({ name }) => name !== "wall-north")) {
    const solid = new Mesh();
    Array.from(buildMasonry({ solid, cloth: new Mesh() }, { ...place, boxes: [each] }));
    const [cos, sin] = [Math.cos(each.yaw), Math.sin(each.yaw)];
    let [top, wide, deep] = [0, 0, 0];
    for (let at = 0; at < solid.positions.length; at += 3) {
      const [dx, dz] = [solid.positions[at] - each.x, solid.positions[at + 2] - each.z];
      top = Math.max(top, solid.positions[at + 1]);
      wide = Math.max(wide, Math.abs(dx * cos - dz * sin));
      deep = Math.max(deep, Math.abs(dx * sin + dz * cos));
    }
    expect(Math.abs(top - each.top)).toBeLessThan(0.03);
    expect(Math.abs(wide - each.wide / 2)).toBeLessThan(0.04);
    expect(Math.abs(deep - each.deep / 2)).toBeLessThan(0.04);
  }
});

test("flowers hug what one cannot walk through, and low grass grows on lawns alone", () => {
  const place = readScene(GARDEN);
  const plan = planOf(place);
  const lawnAt = lawnOf(plan);
  expect(plan.flowers.length).toBeGreaterThan(10);
  for (const { x, z } of plan.flowers) {
    const stood = standAt(place, x, z, 0);
    const reach = HUG_M + place.movement.bodyRadius;
    expect(Math.hypot(stood.x - x, stood.z - z)).toBeLessThan(reach + 0.1);
    expect(stood).not.toEqual({ x, z, y: 0 });
  }
  expect(plan.tufts.length).toBeGreaterThan(10);
  for (const { x, z } of plan.tufts) expect(lawnAt(x, z)).toBeLessThan(0);
});

test("crowns hang above all heads", () => {
  const [crown] = crownsOf(readScene(GARDEN)).flat();
  expect(crown.y - crown.high * 0.3).toBeGreaterThan(2);
});

test("the map of the floor knows lawns, and shadows fall away from the sun", () => {
  const place = readScene(GARDEN);
  const crowns = crownsOf(place).flat();
  const mask = bakeMask(place, planOf(place), { size: 144, crowns });
  const pixel = (off, long) => Math.floor((off / long) * mask.size);
  const at = (x, z, channel) => mask.bytes[4 * (pixel(z - mask.minZ, mask.deep) * mask.size
    + pixel(x - mask.minX, mask.wide)) + channel];
  expect(at(22, 12, 0)).toBeGreaterThan(200);
  expect(at(-20, -12, 0)).toBe(0);
  bakeShade(mask, place, { crowns: [], light: [-0.7, 0.5, 0] });
  expect(at(-6.5, 3, 3)).toBeGreaterThan(200);
  expect(at(-12, 3, 3)).toBe(0);
});

test("every hour has its light, and the day begins as it ends", () => {
  for (let hour = -1; hour <= 25; hour += 0.25) {
    expect(Math.hypot(...lightAt(hour))).toBeCloseTo(1, 6);
    expect(lightAt(hour)[1]).toBeGreaterThan(0.1);
    expect(moodAt(hour).strength).toBeGreaterThan(0);
  }
  expect(moodAt(24)).toEqual(moodAt(0));
});

/** The plaza itself is drawn in `tests/browser/test_surroundings.py`. */
test("no module of the surroundings draws from chance or from the clock", () => {
  const folder = new URL("../../clients/web/src/render/surroundings/", import.meta.url);
  for (const name of ["plan", "plants", "masonry", "horizon", "mask", "stones"]) {
    expect(readFileSync(new URL(`${name}.js`, folder), "utf8")).not.toMatch(/Math\.random|Date\b/);
  }
});
