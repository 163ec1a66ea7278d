/** What is dragged and not edited yet: who sees it where, how long, and how often it is told. */

import { describe, expect, test } from "vitest";

import { Drags, DragSender } from "../../clients/web/src/core/drags.js";
import { keyOf } from "../../clients/web/src/core/ids.js";
import { Limits } from "../../clients/web/src/core/protocol.generated.js";
import { PropStore, readProperties } from "../../clients/web/src/core/props.js";

const id = (byte) => new Uint8Array(16).fill(byte);
const key = (byte) => keyOf(id(byte));
const at = (x) => ({ position_m: [x, 0, 0], rotation: [0, 0, 0, 1], scale: [1, 1, 1] });
const dragged = (entity_id, ...moves) => ({ entity_id, server_ms: 0,
  drags: moves.map(([byte, x]) => ({ prop_id: id(byte), transform: at(x) })) });
const LASTS_MS = Limits.DRAG_S_MAX * 1000;

describe("what is dragged", () => {
  /** A box in a group, and another box. */
  function yard() {
    const store = new PropStore();
    store.begin("/scene@1");
    store.takeScene([], 1);
    const state = (byte, kind, x, group = new Uint8Array()) => ({ prop_id: id(byte), group,
      transform: at(x), properties: readProperties({ kind }), owner: "", is_locked: false });
    store.change({ revision: 2, moves: [], gone: [], states: [state(1, "group", 1),
      state(2, "shape", 2, id(1)), state(3, "shape", 3)] });
    const out = new Float64Array(10);
    const told = [];
    store.changed.add((change) => told.push([change.key, change.kind]));
    const shown = (byte) => (store.shownTransformOf(key(byte), out) ? out[0] : null);
    const state_ = (byte) => (store.worldTransformOf(key(byte), out) ? out[0] : null);
    return { store, shown, state: state_, told };
  }

  test("is shown with all that is in it, and its state stays", () => {
    const { store, shown, state, told } = yard();
    store.drag(dragged(7, [1, 10]), 0);
    expect([shown(1), shown(2), shown(3)]).toEqual([10, 12, 3]);
    expect([state(1), state(2)]).toEqual([1, 3]);
    expect(told).toEqual([[key(1), "drag"]]);
    expect([store.drags.dragger(key(1)), store.drags.dragger(key(3))]).toEqual([7, 0]);
  });

  test("counts until it is dragged no more, edited, taken in the hand, or gone", () => {
    const { store, shown } = yard();
    store.drag(dragged(7, [1, 10], [3, 30]), 0);
    store.drag(dragged(7, [3, 31]), 100);
    expect([shown(1), shown(3)]).toEqual([1, 31]);
    store.change({ revision: 3, states: [], gone: [],
      moves: [{ prop_id: id(3), transform: at(32) }] });
    expect(shown(3)).toBe(32);
    store.drag(dragged(7, [3, 33]), 200);
    store.drag(dragged(8), 250);
    expect(shown(3)).toBe(33);
    store.hold({ prop_id: id(3), entity_id: 9, hand: 0, position_m: [0, 0, 0],
      rotation: [0, 0, 0, 1] });
    expect(shown(3)).toBe(32);
    store.drag(dragged(7, [3, 34]), 300);
    store.drag(dragged(7), 400);
    expect(shown(3)).toBe(32);
    store.drag(dragged(7, [3, 34]), 500);
    store.change({ revision: 4, states: [], moves: [], gone: [id(3)] });
    expect([shown(3), store.drags.dragger(key(3))]).toEqual([null, 0]);
  });

  test("is over when nothing was heard of it for long, and at a welcome", () => {
    const { store, shown, told } = yard();
    store.drag(dragged(7, [3, 30]), 1000);
    store.expireDrags(1000 + LASTS_MS);
    expect(shown(3)).toBe(30);
    store.expireDrags(1001 + LASTS_MS);
    expect(shown(3)).toBe(3);
    store.drag(dragged(7, [3, 30]), 5000);
    store.drags.preview(key(2), at(9));
    store.begin("/scene@1");
    expect([shown(3), shown(2)]).toEqual([3, 3]);
    expect(told.filter(([, kind]) => kind === "drag")).toHaveLength(5);
  });

  test("by oneself is shown before what others do", () => {
    const { store, shown } = yard();
    store.drags.preview(key(3), at(8));
    store.drag(dragged(7, [3, 30]), 0);
    expect([shown(3), store.drags.isOwn(key(3))]).toEqual([8, true]);
    store.drags.preview(key(3), null);
    expect(shown(3)).toBe(30);
  });

  test("is bounded, whatever a server tells", () => {
    const drags = new Drags();
    for (let n = 0; n < 200; n++) {
      const moves = Array.from({ length: 64 }, (_, k) => ({ transform: at(k),
        prop_id: Uint8Array.from({ length: 16 }, (__, i) => (i ? n : k)) }));
      drags.take({ entity_id: n, server_ms: 0, drags: moves }, n);
    }
    expect(drags.clear().length).toBeLessThanOrEqual(4096);
  });
});

describe("telling of a drag", () => {
  const move = (x) => [{ prop_id: id(1), transform: at(x) }];

  function sender() {
    const said = [];
    const drags = new DragSender((moves) => said.push(moves.map((each) => (
      each.transform.position_m[0]))));
    return { said, drags };
  }

  test("goes on at an even pace below what the server takes, the newest each time", () => {
    const { said, drags } = sender();
    for (let ms = 0; ms < 2000; ms += 10) {
      drags.move(move(ms));
      drags.pump(ms);
    }
    expect(said).toHaveLength(20);
    expect(said.length / 2).toBeLessThanOrEqual(Limits.DRAG_PER_S_MAX);
    expect(said.slice(0, 3)).toEqual([[0], [100], [200]]);
  });

  test("is said again while something is held still, before others forget it", () => {
    const { said, drags } = sender();
    drags.move(move(5));
    for (let ms = 0; ms <= 3 * LASTS_MS; ms += 16) drags.pump(ms);
    expect(said.length).toBeGreaterThanOrEqual(3);
    expect(said.every(([x]) => x === 5)).toBe(true);
  });

  test("ends without a word before its edit, and with one when it is not moved after all", () => {
    const { said, drags } = sender();
    drags.move(move(5));
    drags.pump(0);
    drags.move(move(6));
    drags.end();
    for (let ms = 0; ms <= 2 * LASTS_MS; ms += 16) drags.pump(ms);
    expect(said).toEqual([[5]]);
    drags.cancel();
    expect(said).toEqual([[5]]);
    drags.move(move(7));
    drags.pump(9999);
    drags.cancel();
    expect(said).toEqual([[5], [7], []]);
  });
});
