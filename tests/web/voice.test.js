/** When somebody speaks, and whom to be connected with. */

import { expect, test } from "vitest";

import { rms, VoiceGate } from "../../clients/web/src/core/voice_gate.js";
import { comparePeers, takesOffer } from "../../clients/web/src/core/voice_peers.js";

test("the gate opens above its level and holds over the pauses between syllables", () => {
  const gate = new VoiceGate(0.02, 300);
  expect(gate.take(0.01, 0)).toBe(false);
  expect(gate.take(0.03, 20)).toBe(true);
  expect(gate.take(0.0, 100)).toBe(true);
  expect(gate.take(0.0, 319)).toBe(true);
  expect(gate.take(0.0, 321)).toBe(false);
});

test("what keeps above half of the level keeps it open, and does not open it", () => {
  const gate = new VoiceGate(0.02, 300);
  expect(gate.take(0.015, 0)).toBe(false);
  gate.take(0.05, 10);
  for (let ms = 20; ms < 2000; ms += 20) expect(gate.take(0.012, ms)).toBe(true);
});

test("the level of a sine is its height by the square root of two", () => {
  const sine = Float32Array.from({ length: 1024 }, (_, k) => Math.sin((k * Math.PI) / 16));
  expect(rms(sine)).toBeCloseTo(Math.SQRT1_2, 3);
  expect(rms(new Float32Array())).toBe(0);
});

test("of a new set of peers some are opened, some kept, and the rest closed", () => {
  const peer = (entity_id) => ({ entity_id, is_polite: true, sends: true, hears: true });
  const { open, keep, close } = comparePeers([1, 2], [peer(2), peer(3)]);
  expect([open, keep].map((peers) => peers.map((each) => each.entity_id))).toEqual([[3], [2]]);
  expect(close).toEqual([1]);
});

test("of two offers at once the impolite one's stands", () => {
  expect(takesOffer(true, true)).toBe(true);
  expect(takesOffer(false, true)).toBe(false);
  expect(takesOffer(false, false)).toBe(true);
});
