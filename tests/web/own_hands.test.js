/** What one's own hands hold, whatever order the word of it comes in. */

import { describe, expect, test } from "vitest";

import { EditQueue } from "../../clients/web/src/core/edits.js";
import { keyOf } from "../../clients/web/src/core/ids.js";
import { OwnHands } from "../../clients/web/src/core/own_hands.js";
import { PropStore } from "../../clients/web/src/core/props.js";
import { Op } from "../../clients/web/src/core/protocol.generated.js";

const [ME, OTHER, RIGHT] = [7, 8, 1];
const ID = new Uint8Array(16).fill(1);
const KEY = keyOf(ID);
const GRIP = [0, 0, -0.1];
const UPRIGHT = [0, 0, 0, 1];
const HOW = { position_m: [1, 2, 3], rotation: UPRIGHT, velocity_m_per_s: [0, 1, 0] };
const REFUSED = { code: 20, reason: "Somebody else holds it.", retry_ms: 0 };

/** One prop, and the server's side of the wire. */
function begun() {
  const sent = [];
  const store = new PropStore();
  store.begin("/scene@1");
  const transform = { position_m: [5, 0, 5], rotation: UPRIGHT, scale: [1, 1, 1] };
  store.takeScene([], 1);
  store.change({ revision: 2, moves: [], gone: [], states: [{ prop_id: ID,
    group: new Uint8Array(), transform, owner: "", is_locked: false,
    properties: { kind: "shape" } }] });
  const edits = new EditQueue((message) => sent.push(message), () => 1);
  edits.begin();
  let answer = () => {};
  const hands = new OwnHands(store, edits, { ownId: () => ME,
    grab: () => new Promise((settle) => { answer = settle; }) });
  const take = () => hands.take(store.props.get(KEY), RIGHT, GRIP, UPRIGHT);
  const held = (entity_id) => hands.hold({ op: Op.PropHeld, prop_id: ID, entity_id, hand: RIGHT,
    position_m: GRIP, rotation: UPRIGHT });
  const flown = () => hands.fly({ op: Op.PropsFlown, tick: 1, server_ms: 0, flights: [{
    prop_id: ID, position_m: [9, 9, 9], rotation: UPRIGHT, velocity_m_per_s: [0, 0, 0],
    is_sliding: false }] }, 100);
  const settle = async (code = 0) => {
    answer(code ? REFUSED : { code: 0, reason: "", retry_ms: 0 });
    await Promise.resolve();
    await Promise.resolve();
  };
  const holder = () => store.held.get(KEY)?.entityId;
  return { sent, store, hands, take, held, flown, settle, holder };
}

describe("a grab", () => {
  test("is shown at once, and stays when it is granted", async () => {
    const { take, held, settle, holder, hands } = begun();
    void take();
    expect(holder()).toBe(ME);
    await settle();
    held(ME);
    expect([holder(), hands.has(KEY)]).toEqual([ME, true]);
    held(OTHER); // it was taken away
    expect([holder(), hands.has(KEY)]).toEqual([OTHER, false]);
  });

  test("is not lost to older word of others that comes after it", async () => {
    for (const answersFirst of [true, false]) {
      const { take, held, flown, settle, holder, hands, store } = begun();
      void take();
      if (answersFirst) await settle();
      held(OTHER);
      flown();
      expect([holder(), hands.has(KEY), store.flights.has(KEY)]).toEqual([ME, true, false]);
      held(ME);
      if (!answersFirst) await settle();
      expect([holder(), hands.has(KEY)]).toEqual([ME, true]);
    }
  });

  test("that is refused shows what was told meanwhile", async () => {
    const first = begun();
    void first.take();
    await first.settle(20);
    expect([first.holder(), first.hands.has(KEY)]).toEqual([undefined, false]);
    const second = begun();
    void second.take();
    second.held(OTHER);
    await second.settle(20);
    expect([second.holder(), second.hands.has(KEY)]).toEqual([OTHER, false]);
    const third = begun();
    void third.take();
    third.held(OTHER);
    third.flown();
    await third.settle(20);
    expect([third.holder(), third.store.flights.has(KEY)]).toEqual([undefined, true]);
  });

  test("of what somebody holds is shown when it is granted", async () => {
    const { take, held, settle, holder, hands } = begun();
    held(OTHER);
    void take();
    expect([holder(), hands.has(KEY)]).toEqual([OTHER, true]);
    await settle();
    held(ME);
    expect([holder(), hands.has(KEY)]).toEqual([ME, true]);
  });
});

describe("letting go", () => {
  test("before it is granted is said once, and its grant is no news", async () => {
    const { take, held, flown, settle, hands, holder, sent, store } = begun();
    void take();
    hands.letGo(KEY, HOW, 0);
    expect([sent.length, sent[0].op, hands.has(KEY)]).toEqual([1, Op.Release, false]);
    expect(store.flights.get(KEY).position_m).toEqual(HOW.position_m);
    await settle();
    held(ME);
    expect([holder(), sent.length, store.flights.has(KEY)]).toEqual([undefined, 1, true]);
    flown();
    expect(store.flights.get(KEY).position_m).toEqual([9, 9, 9]);
  });

  test("of what somebody else still had is put back when it is granted", async () => {
    const { take, held, settle, hands, sent } = begun();
    held(OTHER);
    void take();
    hands.letGo(KEY, HOW, 0);
    expect([sent.length, hands.has(KEY)]).toEqual([0, false]);
    await settle();
    held(ME);
    expect(sent.map(({ op, transform }) => [op, transform.position_m]))
      .toEqual([[Op.Release, [5, 0, 5]]]);
  });

  test("of what one does not have says nothing, and a Welcome forgets what was asked", async () => {
    const { take, held, settle, hands, sent, holder } = begun();
    hands.letGo(KEY, HOW, 0);
    void take();
    hands.forget();
    held(OTHER);
    await settle(20);
    expect([sent.length, holder()]).toEqual([0, OTHER]);
  });
});
