/** Rotations, rays, and what props mean for a body: against plain arithmetic and random cases. */

import { describe, expect, test } from "vitest";

import { colliders, portalAt, seatNear } from "../../clients/web/src/core/prop_places.js";
import { PropStore } from "../../clients/web/src/core/props.js";
import {
  blend, compose, conjugate, fromYaw, multiply, normalise, rotate, within, yawOfRotation,
} from "../../clients/web/src/core/quaternion.js";
import { castRay, hitBox, hitCylinder } from "../../clients/web/src/core/rays.js";
import { readScene, standAt } from "../../clients/web/src/core/scene.js";

/** Numbers from -1 to 1, the same at each run. */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

function randomFrame(next) {
  const frame = Float64Array.from({ length: 7 }, (_, k) => next() * (k < 3 ? 5 : 1));
  normalise(frame, 3);
  return frame;
}

describe("rotations", () => {
  test("a yaw looks where the protocol says", () => {
    for (const yaw of [-3, -1, 0, 0.5, 2]) {
      const q = new Float64Array(4);
      fromYaw(q, 0, yaw);
      const forward = new Float64Array(3);
      rotate(forward, 0, q, 0, 0, 0, -1);
      expect(forward[0]).toBeCloseTo(-Math.sin(yaw), 12);
      expect(forward[2]).toBeCloseTo(-Math.cos(yaw), 12);
      expect(yawOfRotation(q, 0)).toBeCloseTo(yaw, 12);
    }
  });

  test("the yaw of a head holds while it looks straight up or down", () => {
    for (const yaw of [-2, 0, 1.2]) {
      for (const pitch of [-Math.PI / 2, Math.PI / 2, -1.5, 1.5, 0.4]) {
        const turn = new Float64Array(4);
        fromYaw(turn, 0, yaw);
        const nod = [Math.sin(pitch / 2), 0, 0, Math.cos(pitch / 2)];
        multiply(turn, 0, turn, 0, nod, 0);
        expect(yawOfRotation(turn, 0)).toBeCloseTo(yaw, 6);
      }
    }
  });

  test("what is composed with a frame is found within it again, in place as well", () => {
    const next = random(7);
    for (let i = 0; i < 200; i++) {
      const [outer, inner] = [randomFrame(next), randomFrame(next)];
      const world = new Float64Array(7);
      compose(world, 0, outer, 0, inner, 0);
      const back = new Float64Array(7);
      within(back, 0, outer, 0, world, 0);
      for (let k = 0; k < 7; k++) expect(back[k]).toBeCloseTo(inner[k], 9);
      const same = Float64Array.from(outer);
      compose(same, 0, same, 0, inner, 0);
      expect([...same]).toEqual([...world]);
    }
  });

  test("a blend takes the shorter way and ends have no say in the sign", () => {
    const a = [0, 0, 0, 1];
    const b = [0, -Math.sin(0.5), 0, -Math.cos(0.5)];
    const out = new Float64Array(4);
    blend(out, 0, a, 0, b, 0, 0.5);
    expect(yawOfRotation(out, 0)).toBeCloseTo(0.5, 2);
  });

  test("what is no rotation becomes none", () => {
    for (const bad of [[0, 0, 0, 0], [NaN, 0, 0, 1], [Infinity, 0, 0, 0]]) {
      const q = [...bad];
      normalise(q, 0);
      expect(q).toEqual([0, 0, 0, 1]);
    }
    const q = [0.5, 0.5, 0.5, 0.5];
    const back = new Float64Array(4);
    conjugate(back, 0, q, 0);
    multiply(back, 0, back, 0, q, 0);
    expect([...back]).toEqual([0, 0, 0, 1]);
  });
});

describe("rays", () => {
  const scene = readScene({
    extent: { min_m: [-20, 0, -20], max_m: [20, 10, 20] }, floor_m: 0,
    boxes: [{ name: "wall", center: [0, 1, -5], size: [4, 2, 1], yaw_deg: 0 }],
    cylinders: [{ name: "tree", center: [5, 1, 0], radius_m: 0.5, height_m: 2 }],
  });

  test("hit the nearest side, and tell the ground", () => {
    const eye = { x: 0, y: 1.5, z: 0 };
    expect(castRay(scene, eye, { x: 0, y: 0, z: -1 })).toEqual({ distance: 4.5, isGround: false });
    expect(castRay(scene, eye, { x: 0, y: -1, z: 0 })).toEqual({ distance: 1.5, isGround: true });
    expect(castRay(scene, eye, { x: 1, y: 0, z: 0 }).distance).toBeCloseTo(4.5, 9);
    expect(castRay(scene, eye, { x: 0, y: 1, z: 0 }).distance).toBe(Infinity);
    const above = { x: 0, y: 5, z: -5 };
    expect(castRay(scene, above, { x: 0, y: -1, z: 0 })).toEqual({ distance: 3, isGround: true });
  });

  test("of a box agree with points on its surface, however it is turned", () => {
    const next = random(3);
    for (let i = 0; i < 300; i++) {
      const box = { name: "", x: next() * 4, z: next() * 4, wide: 1 + next() * 0.5,
        deep: 1 + next() * 0.5, bottom: 0, top: 1 + Math.abs(next()), yaw: next() * 3 };
      const origin = { x: next() * 10, y: 1 + next(), z: next() * 10 };
      const at = [next(), next() * 0.3, next()];
      const length = Math.hypot(...at);
      const direction = { x: at[0] / length, y: at[1] / length, z: at[2] / length };
      const { distance } = hitBox(box, origin, direction);
      if (distance === Infinity) continue;
      const [dx, dz] = [origin.x + direction.x * distance - box.x,
        origin.z + direction.z * distance - box.z];
      const [cos, sin] = [Math.cos(box.yaw), Math.sin(box.yaw)];
      const [u, v] = [dx * cos - dz * sin, dx * sin + dz * cos];
      const y = origin.y + direction.y * distance;
      const edges = [Math.abs(u) - box.wide / 2, Math.abs(v) - box.deep / 2,
        y - box.top, box.bottom - y];
      expect(Math.max(...edges)).toBeCloseTo(0, 9);
    }
  });

  test("past a cylinder or from behind hit nothing", () => {
    const pole = { name: "", x: 0, z: 0, radius: 1, bottom: 0, top: 2 };
    expect(hitCylinder(pole, { x: 2, y: 1, z: 5 }, { x: 0, y: 0, z: -1 }).distance).toBe(Infinity);
    expect(hitCylinder(pole, { x: 0, y: 1, z: -5 }, { x: 0, y: 0, z: -1 }).distance).toBe(Infinity);
    expect(hitCylinder(pole, { x: 0, y: 3, z: 5 }, { x: 0, y: 0, z: -1 }).distance).toBe(Infinity);
    expect(hitCylinder(pole, { x: 0, y: 1, z: 5 }, { x: 0, y: 0, z: -1 }).distance).toBe(4);
  });
});

describe("props and bodies", () => {
  const uuid = (n) => `00000000-0000-0000-0000-${String(n).padStart(12, "0")}`;

  /** A store whose scene has these props. */
  function storeOf(...props) {
    const store = new PropStore();
    store.begin("/scene@1");
    store.takeScene(props.map((prop, i) => ({ id: uuid(i + 1), ...prop })), 0);
    return store;
  }

  test("a shape that collides is bumped into, one that does not is not", () => {
    const shape = { position_m: [2, 0.5, 0], scale: [1, 1, 4], properties: { kind: "shape" } };
    const air = { ...shape, properties: { kind: "shape", collides: false } };
    const scene = readScene({ movement: { body_radius_m: 0.25 } });
    scene.moreBoxes = colliders(storeOf(shape, air), { x: 0, z: 0 });
    expect(scene.moreBoxes).toHaveLength(1);
    expect(standAt(scene, 1.6, 0, 0).x).toBeLessThan(1.25);
    scene.moreBoxes = colliders(storeOf(air), { x: 0, z: 0 });
    expect(standAt(scene, 1.6, 0, 0).x).toBe(1.6);
  });

  test("what is tilted counts as the upright box around it", () => {
    const half = Math.SQRT1_2;
    const [box] = colliders(storeOf({ position_m: [0, 1, 0], rotation: [0, 0, half, half],
      scale: [4, 1, 2], properties: { kind: "shape" } }), { x: 0, z: 0 });
    expect(box.wide).toBeCloseTo(1, 9);
    expect(box.top - box.bottom).toBeCloseTo(4, 9);
    expect(box.deep).toBeCloseTo(2, 9);
  });

  test("one stands in a portal that is near and on one's own floor", () => {
    const store = storeOf({ position_m: [3, 0, 0],
      properties: { kind: "portal", world: "garden", title: "Garden" } });
    expect(portalAt(store, { x: 3.2, y: 0, z: 0.2 })?.world).toBe("garden");
    expect(portalAt(store, { x: 3.2, y: 4, z: 0.2 })).toBeNull();
    expect(portalAt(store, { x: 5, y: 0, z: 0 })).toBeNull();
  });

  test("of seats the nearest within reach is taken, groups counted", () => {
    const group = { position_m: [10, 0, 0], properties: { kind: "group" } };
    const seat = { position_m: [1, 0.4, 0], group: uuid(1), properties: { kind: "seat" } };
    const store = storeOf(group, seat);
    expect(seatNear(store, { x: 11.2, y: 0.4, z: 0 })?.properties.kind).toBe("seat");
    expect(seatNear(store, { x: 1, y: 0.4, z: 0 })).toBeNull();
  });
});
