/** What people have put into the world, as the store knows it after all that the server may say. */

import { describe, expect, test } from "vitest";

import { keyOf } from "../../clients/web/src/core/ids.js";
import { PropStore, readProperties } from "../../clients/web/src/core/props.js";

const id = (byte) => new Uint8Array(16).fill(byte);
const key = (byte) => keyOf(id(byte));
const uuid = (byte) => key(byte).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
const at = (x, y = 0, z = 0, scale = 1) => ({ position_m: [x, y, z], rotation: [0, 0, 0, 1],
  scale: [scale, scale, scale] });
const BOX = readProperties({ kind: "shape" });
const GROUP = readProperties({ kind: "group" });

function state(byte, { transform = at(0), group = 0, properties = BOX } = {}) {
  return { prop_id: id(byte), group: group ? id(group) : new Uint8Array(), transform, properties,
    owner: "guest:1", is_locked: false };
}

const changed = (revision, { states = [], moves = [], gone = [] }) => (
  { revision, states, moves: moves.map(([byte, transform]) => ({ prop_id: id(byte), transform })),
    gone: gone.map(id) });

/** A store with a scene, and what it has told since. */
function stored(json = [], revision = 5) {
  const store = new PropStore();
  store.begin("/scene@1");
  store.takeScene(json, revision);
  const told = [];
  store.changed.add((change) => told.push([change.key, change.kind]));
  return { store, told };
}

function placeOf(store, byte) {
  const out = new Float64Array(10);
  return store.worldTransformOf(key(byte), out) ? [...out] : null;
}

describe("revisions", () => {
  test("what comes before the scene is kept, and only what the scene lacks is applied", () => {
    const store = new PropStore();
    store.begin("/scene@1");
    store.change(changed(4, { gone: [1] }));
    store.change(changed(6, { states: [state(2, { transform: at(2) })] }));
    expect(store.props.size).toBe(0);
    store.takeScene([{ id: uuid(1), position_m: [1, 0, 0], properties: { kind: "shape" } }], 5);
    expect([...store.props.keys()]).toEqual([key(1), key(2)]);
    expect(store.revision).toBe(6);
  });

  test("a revision that is known already changes nothing", () => {
    const { store, told } = stored();
    store.change(changed(6, { states: [state(1, { transform: at(1) })] }));
    store.change(changed(6, { moves: [[1, at(9)]] }));
    store.change(changed(3, { gone: [1] }));
    expect(placeOf(store, 1)?.[0]).toBe(1);
    expect(told).toEqual([[key(1), "state"]]);
  });

  test("the same scene again is kept, and another one is asked for", () => {
    const { store } = stored();
    store.change(changed(6, { states: [state(1)] }));
    expect(store.begin("/scene@1")).toBe(false);
    expect(store.props.size).toBe(1);
    expect(store.begin("/scene@2")).toBe(true);
    store.takeScene([], 0);
    expect(store.props.size).toBe(0);
  });

  test("a scene that has not come yet is asked for again", () => {
    const store = new PropStore();
    expect(store.begin("/scene@1")).toBe(true);
    expect(store.begin("/scene@1")).toBe(true);
  });
});

describe("groups", () => {
  test("places are worked out from the inside outwards", () => {
    const { store } = stored();
    const turned = { position_m: [10, 0, 0], rotation: [0, Math.SQRT1_2, 0, Math.SQRT1_2],
      scale: [2, 2, 2] };
    store.change(changed(6, { states: [state(1, { transform: turned, properties: GROUP }),
      state(2, { transform: at(1, 0, 0, 3), group: 1 })] }));
    const place = placeOf(store, 2);
    expect(place?.[0]).toBeCloseTo(10);
    expect(place?.[2]).toBeCloseTo(-2);
    expect(place?.slice(7)).toEqual([6, 6, 6]);
    expect(store.within(key(1))).toEqual([key(2)]);
  });

  test("a prop whose group is missing, or is in itself, has no place", () => {
    const { store } = stored();
    store.change(changed(6, { states: [state(2, { group: 1 }),
      state(3, { group: 4, properties: GROUP }), state(4, { group: 3, properties: GROUP })] }));
    expect([placeOf(store, 2), placeOf(store, 3), placeOf(store, 9)]).toEqual([null, null, null]);
  });

  test("what leaves a group is not in it any more", () => {
    const { store } = stored();
    store.change(changed(6, { states: [state(1, { properties: GROUP }), state(2, { group: 1 })] }));
    store.change(changed(7, { states: [state(2)] }));
    expect(store.within(key(1))).toEqual([]);
    store.change(changed(8, { states: [state(2, { group: 1 })] }));
    store.change(changed(9, { gone: [2] }));
    expect(store.within(key(1))).toEqual([]);
  });
});

describe("hands and flights", () => {
  const held = (byte, entity_id) => ({ prop_id: id(byte), entity_id, hand: 1,
    position_m: [0, 0, 0], rotation: [0, 0, 0, 1] });
  const flight = (velocity_m_per_s, is_sliding = false) => ({ flights: [{ prop_id: id(1),
    position_m: [0, 2, 0], rotation: [0, 0, 0, 1], velocity_m_per_s, is_sliding }] });

  test("a prop is held until nobody holds it, and a state does not take it out of the hand", () => {
    const { store } = stored();
    store.change(changed(6, { states: [state(1)] }));
    store.hold(held(1, 7));
    store.change(changed(7, { moves: [[1, at(3)]] }));
    expect(store.held.get(key(1))?.entityId).toBe(7);
    store.hold(held(1, 0));
    expect(store.held.size).toBe(0);
  });

  test("after a Welcome nothing is held or flies until it is told anew, and all hear so", () => {
    const { store, told } = stored();
    store.change(changed(6, { states: [state(1), state(2)] }));
    store.hold(held(2, 7));
    store.fly(flight([1, 0, 0]), 0);
    told.length = 0;
    store.begin("/scene@1");
    expect([store.held.size, store.flights.size]).toEqual([0, 0]);
    expect(told).toEqual([[key(2), "held"], [key(1), "flight"]]);
  });

  test("what flies falls, what slides comes to rest, and a state ends both", () => {
    const { store } = stored();
    store.change(changed(6, { states: [state(1)] }));
    const out = new Float64Array(10);
    store.fly(flight([2, 0, 0]), 1000);
    expect(store.flightAt(key(1), 1500, out)).toBe(true);
    expect(out[0]).toBeCloseTo(1);
    expect(out[1]).toBeCloseTo(2 - 9.81 / 8);
    store.fly(flight([4.905, 0, 0], true), 1000);
    store.flightAt(key(1), 2000, out);
    const rest = out[0];
    expect(rest).toBeCloseTo(2.4525);
    store.flightAt(key(1), 9000, out);
    expect(out[0]).toBe(rest);
    store.change(changed(7, { moves: [[1, at(3)]] }));
    expect(store.flightAt(key(1), 1500, out)).toBe(false);
  });
});

describe("the scene's JSON", () => {
  test.each([
    ["a place beyond the world", { position_m: [1e308, 0, 0] }],
    ["a place of text", { position_m: ["1", 2, 3] }],
    ["no size", { scale: [0, 0, 0] }],
    ["too large a size", { scale: [1e308, 1, 1] }],
    ["a turn that is too short", { rotation: [0, 0, 1] }],
  ])("leaves out a prop with %s", (_, wrong) => {
    const good = { id: uuid(1), ...at(0), properties: { kind: "shape" } };
    expect(stored([good]).store.props.size).toBe(1);
    expect(stored([{ ...good, ...wrong }]).store.props.size).toBe(0);
  });

  test("gives properties that could not come by the wire their usual values", () => {
    const usual = readProperties({ kind: "shape" });
    expect(readProperties({ kind: "shape", form: "toString", colour: "red", roughness: 1e308,
      title: "x".repeat(65) })).toEqual(usual);
    expect(readProperties({ kind: "sign", text: "x".repeat(501) }).text).toBe("");
    expect(readProperties({ kind: "shape", form: "cone" }).form).toBe("cone");
  });

  test("what could be no prop is left out, and defaults are filled in", () => {
    const good = { id: uuid(1), position_m: [0, 0, 0], properties: { kind: "sign", text: "Hi" } };
    const { store } = stored([good, null, 3, { ...good, id: "x" }, { ...good, group: 5 },
      { ...good, position_m: [0, "1", 0] }, { ...good, scale: [1, 1] },
      { ...good, properties: { kind: "toString" } }, { ...good, properties: null }]);
    expect([...store.props.keys()]).toEqual([key(1)]);
    expect(store.props.get(key(1))).toMatchObject({ group: "", owner: "", locked: false,
      transform: { rotation: [0, 0, 0, 1], scale: [1, 1, 1] },
      properties: { kind: "sign", text: "Hi", colour: "#222222", title: "" } });
  });

  test("a scene that has no props at all is an empty one", () => {
    expect(stored({}, "x").store.revision).toBe(0);
  });
});
