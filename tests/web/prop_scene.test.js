/** Props in the picture: what many of them cost, and that nothing is left when they go. */

import { describe, expect, test, vi } from "vitest";

import { keyOf } from "../../clients/web/src/core/ids.js";
import { colliders, portalAt, seatNear } from "../../clients/web/src/core/prop_places.js";
import { PropStore, readProperties } from "../../clients/web/src/core/props.js";
import { PropScene } from "../../clients/web/src/render/props/prop_scene.js";
import {
  BufferGeometry, InstancedMesh, Material, PerspectiveCamera, Vector3,
} from "../../clients/web/vendor/three.js";

const SHAPES = 10_000;
const FORMS = ["box", "sphere", "cylinder", "cone", "plane"];
const idOf = (n) => new Uint8Array(16).fill(0).map((_, k) => (n >> (8 * k)) & 255);
const placed = (x, y, z) => ({ position_m: [x, y, z], rotation: [0, 0, 0, 1], scale: [1, 1, 1] });

function crowded(more = []) {
  const store = new PropStore();
  store.begin("/scene@1");
  store.takeScene([], 0);
  const states = Array.from({ length: SHAPES }, (_, n) => ({ prop_id: idOf(n + 1),
    transform: placed(n % 50, n % 7, Math.floor(n / 50) % 50),
    properties: readProperties({ kind: "shape", form: FORMS[n % 5], collides: false }) }));
  const rest = { group: new Uint8Array(), owner: "", is_locked: false };
  store.change({ revision: 1, moves: [], gone: [],
    states: [...states, ...more].map((each) => ({ ...rest, ...each })) });
  return store;
}

function shown(store) {
  const scene = new PropScene({ model: { props: store }, quality: "low", handOf: () => false,
    assetUrl: String });
  const camera = new PerspectiveCamera();
  let seconds = 0;
  const step = () => scene.update(seconds += 1 / 60, 0, camera);
  step();
  step();
  return { scene, step };
}

describe("ten thousand shapes", () => {
  test("are few draw calls, and one that moves costs what one costs", () => {
    const store = crowded();
    const { scene, step } = shown(store);
    expect(scene.info()).toMatchObject({ shapes: SHAPES, batches: 5 });
    const bounds = vi.spyOn(InstancedMesh.prototype, "computeBoundingSphere");
    const [mesh] = scene.group.children[0].children;
    const key = mesh.userData.batch.keys[0];
    mesh.instanceMatrix.clearUpdateRanges();
    for (let k = 1; k <= 50; k++) {
      scene.preview(key, placed(k, 40, 1));
      step();
    }
    expect(bounds).toHaveBeenCalledTimes(0);
    expect(mesh.boundingSphere.containsPoint(new Vector3(50, 40, 1))).toBe(true);
    const sent = mesh.instanceMatrix.updateRanges.reduce((sum, { count }) => sum + count, 0);
    expect(sent).toBeLessThanOrEqual(50 * 16);
    for (let k = 0; k < 500; k++) {
      scene.preview(key, placed(1, 2, 1));
      step();
    }
    expect(mesh.instanceMatrix.updateRanges.length).toBeLessThanOrEqual(128);
    step();
    step();
    expect(bounds).toHaveBeenCalledTimes(1);
    expect(mesh.boundingSphere.containsPoint(new Vector3(50, 40, 1))).toBe(false);
    bounds.mockRestore();
    scene.dispose();
  });

  test("leave nothing behind", () => {
    const store = crowded();
    /** What is held on the graphics card is let go of by an event of each. */
    const [held, gone] = [new Set(), new Set()];
    const note = (each) => {
      held.add(each);
      each.addEventListener("dispose", () => gone.add(each));
    };
    const { scene, step } = shown(store);
    const noteAll = () => scene.group.traverse((each) => {
      for (const one of [each, each.geometry, each.material]) {
        const isHeld = one instanceof BufferGeometry || one instanceof Material
          || one instanceof InstancedMesh;
        if (isHeld && !held.has(one)) note(one);
      }
    });
    noteAll();
    for (let n = 1; n <= SHAPES; n++) {
      store.change({ revision: n + 1, states: [], moves: [], gone: [idOf(n)] });
    }
    step();
    expect(scene.info()).toMatchObject({ shapes: 0, batches: 0, things: 0 });
    scene.dispose();
    expect(held.size).toBeGreaterThan(10);
    expect([...held].filter((each) => !gone.has(each))).toEqual([]);
  });

  test("are not walked through for a portal, a seat or a wall", () => {
    const store = crowded([
      { prop_id: idOf(SHAPES + 1), transform: placed(90, 0, 0),
        properties: readProperties({ kind: "portal", world: "garden", title: "Garden" }) },
      { prop_id: idOf(SHAPES + 2), transform: placed(95, 0, 0),
        properties: readProperties({ kind: "seat" }) }]);
    const asked = vi.spyOn(store, "worldTransformOf");
    expect(portalAt(store, { x: 90, y: 0, z: 0 })?.world).toBe("garden");
    expect(seatNear(store, { x: 95, y: 0, z: 0 })?.key).toBe(keyOf(idOf(SHAPES + 2)));
    expect(colliders(store, { x: 0, z: 0 })).toEqual([]);
    expect(asked.mock.calls.length).toBeLessThanOrEqual(2);
    store.change({ revision: 2, states: [], moves: [],
      gone: [idOf(SHAPES + 1), idOf(SHAPES + 2)] });
    expect(portalAt(store, { x: 90, y: 0, z: 0 })).toBe(null);
    expect(seatNear(store, { x: 95, y: 0, z: 0 })).toBe(null);
  });
});
