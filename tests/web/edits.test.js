/** Edits until their fate is known: paced, asked again, and the newest place of what is dragged. */

import { describe, expect, test } from "vitest";

import { EditQueue } from "../../clients/web/src/core/edits.js";
import { EditState, ErrorCode, Limits, Op } from "../../clients/web/src/core/protocol.generated.js";

const id = (byte) => new Uint8Array(16).fill(byte);
const remove = (byte) => ({ op: 5, prop_id: id(byte) });
const place = (byte, x) => ({ op: 2, prop_id: id(byte),
  transform: { position_m: [x, 0, 0], rotation: [0, 0, 0, 1], scale: [1, 1, 1] } });
const status = (request_id, state, code = 0, retry_ms = 0) => (
  { op: Op.EditStatus, request_id, state, code, reason: code ? "Not so." : "", retry_ms });

/** A queue that is live, and what it has sent. */
function queue() {
  const sent = [];
  let next = 100;
  const edits = new EditQueue((message) => sent.push(message), () => next++);
  edits.begin();
  return { edits, sent, ids: () => sent.map(({ request_id }) => request_id) };
}

describe("the fate of an edit", () => {
  test("is told from sent to durable, and then it does not wait any more", async () => {
    const { edits } = queue();
    const told = [];
    edits.changed.add(({ state }) => told.push(state));
    const ticket = edits.submit(remove(1));
    expect([ticket.state, edits.pendingCount]).toEqual(["sent", 1]);
    edits.answered(status(100, EditState.ACCEPTED));
    expect(ticket.isSettled).toBe(false);
    edits.answered(status(100, EditState.DURABLE));
    expect((await ticket.settled).state).toBe("durable");
    expect(told).toEqual(["sent", "accepted", "durable"]);
    expect(edits.pendingCount).toBe(0);
  });

  test.each([[EditState.REFUSED, "refused"], [EditState.REVERTED, "reverted"]])(
    "state %i is %s with its sentence", async (state, name) => {
      const { edits } = queue();
      const ticket = edits.submit(remove(1));
      edits.answered(status(100, state, ErrorCode.NOT_ALLOWED));
      expect(await ticket.settled).toMatchObject({ state: name, reason: "Not so.",
        code: ErrorCode.NOT_ALLOWED });
    });

  test("answers to what nobody asked for are nothing", () => {
    const { edits } = queue();
    edits.answered(status(7, EditState.DURABLE));
    expect(edits.pendingCount).toBe(0);
  });

  test("more than the server keeps are refused here at once", () => {
    const { edits } = queue();
    for (let i = 0; i < Limits.EDITS_UNANSWERED_MAX; i++) edits.submit(remove(1));
    const ticket = edits.submit(remove(2));
    expect([ticket.state, ticket.code]).toEqual(["refused", ErrorCode.RATE_LIMITED]);
  });
});

describe("pacing", () => {
  test("a burst, and then less than the server takes", () => {
    const { edits, sent } = queue();
    edits.pump(0);
    for (let i = 0; i < Limits.EDIT_BURST_MAX + 60; i++) edits.submit(remove(i % 250));
    expect(sent.length).toBe(Limits.EDIT_BURST_MAX);
    for (let ms = 50; ms <= 1000; ms += 50) edits.pump(ms);
    const more = sent.length - Limits.EDIT_BURST_MAX;
    expect(more).toBeGreaterThan(0.8 * Limits.EDIT_PER_S_MAX);
    expect(more).toBeLessThanOrEqual(Limits.EDIT_PER_S_MAX);
  });

  test("of the places of one prop that wait, the newest goes, in the turn of the first", () => {
    const { edits, sent } = queue();
    for (let i = 0; i < Limits.EDIT_BURST_MAX; i++) edits.submit(remove(9));
    const first = edits.submit(place(1, 1));
    edits.submit(remove(2));
    expect(edits.submit(place(1, 2))).toBe(first);
    expect(edits.submit(place(3, 5))).not.toBe(first);
    edits.pump(1000);
    const last = sent.slice(Limits.EDIT_BURST_MAX).map(({ edit }) => edit);
    expect(last).toEqual([place(1, 2), remove(2), place(3, 5)]);
  });

  test("a place that was sent is not changed any more", () => {
    const { edits, sent } = queue();
    const first = edits.submit(place(1, 1));
    expect(edits.submit(place(1, 2))).not.toBe(first);
    expect(sent.length).toBe(2);
  });

  test("too fast: asked again with the same id, in order, and not before its time", () => {
    const { edits, ids } = queue();
    edits.submit(remove(1));
    edits.submit(remove(2));
    edits.answered(status(101, EditState.REFUSED, ErrorCode.RATE_LIMITED, 400));
    edits.answered(status(100, EditState.REFUSED, ErrorCode.RATE_LIMITED, 400));
    edits.pump(300);
    expect(ids()).toEqual([100, 101]);
    edits.pump(500);
    expect(ids()).toEqual([100, 101, 100, 101]);
  });

  test("too fast too often is a refusal", async () => {
    const { edits } = queue();
    const ticket = edits.submit(remove(1));
    for (let ms = 1000; !ticket.isSettled && ms < 100_000; ms += 1000) {
      edits.answered(status(100, EditState.REFUSED, ErrorCode.RATE_LIMITED, 10));
      edits.pump(ms);
    }
    expect(ticket.state).toBe("refused");
  });
});

describe("links that break", () => {
  test("a resume asks again for all that wait, with the same ids, in order, with no burst", () => {
    const { edits, ids } = queue();
    edits.submit(remove(1));
    edits.submit(remove(2));
    edits.answered(status(100, EditState.DURABLE));
    edits.pause();
    const late = edits.submit(remove(3));
    expect(late.state).toBe("waits");
    edits.resume();
    expect(ids()).toEqual([100, 101]);
    edits.pump(1000);
    expect(ids()).toEqual([100, 101, 101, 102]);
  });

  test("with a fresh session nobody can tell what became of them", async () => {
    const { edits, ids } = queue();
    const ticket = edits.submit(remove(1));
    edits.pause();
    edits.begin();
    expect((await ticket.settled).state).toBe("lost");
    edits.pump(1000);
    expect(ids()).toEqual([100]);
  });
});
