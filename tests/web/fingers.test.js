/** Fingers from curls and from the joints of WebXR, and the text on tags. */

import { describe, expect, test } from "vitest";

import { FINGER_BONES, FINGERS_OF_HAND } from "../../clients/web/src/core/body.js";
import { Fingers } from "../../clients/web/src/core/body_fingers.js";
import { encodeRotation } from "../../clients/web/src/core/pose.js";
import { EXTRA_BYTES, EXTRA_PART, Flags, Parts }
  from "../../clients/web/src/core/protocol.generated.js";

const INDEX = 3 * 4;
const RIGHT = FINGERS_OF_HAND * 4;
const JOINTS_AT = EXTRA_PART[1][1];

function hands() {
  const out = new Float64Array(FINGER_BONES * 4);
  for (let k = 0; k < FINGER_BONES; k++) out[k * 4 + 3] = 1;
  return out;
}

/** By how much a joint bends towards the palm; positive on both hands. */
function bent(out, at) {
  return 2 * Math.atan2(-out[at + 2] * (at >= RIGHT ? 1 : -1), out[at + 3]);
}

/** Joints whose every bone is turned by `angle` about its own x from the one before. */
function joints(angle) {
  const extra = new Uint8Array(EXTRA_BYTES);
  const view = new DataView(extra.buffer);
  for (let joint = 0; joint < 50; joint++) {
    const own = joint % 25;
    const depth = own === 0 ? 0 : own < 5 ? own : (own - 5) % 5;
    const half = (angle * depth) / 2;
    const code = encodeRotation(Math.sin(half), 0, 0, Math.cos(half));
    view.setUint32(JOINTS_AT + joint * 4, code, true);
  }
  return extra;
}

describe("fingers", () => {
  test("close as their curls say, the left hand first", () => {
    const out = hands();
    const fingers = new Fingers();
    const extra = new Uint8Array(EXTRA_BYTES);
    extra[1] = 255; // the left index finger
    const figure = { parts: Parts.FINGERS, flags: 0, extra };
    for (let k = 0; k < 200; k++) fingers.update(out, figure, false, 1 / 60);
    expect(bent(out, INDEX)).toBeGreaterThan(1);
    expect(Math.abs(bent(out, RIGHT + INDEX))).toBeLessThan(0.1);
  });

  test("are posed by tracked joints, and bend towards the palm on both hands", () => {
    const out = hands();
    const figure = { parts: Parts.JOINTS, flags: Flags.HAND_TRACKING, extra: joints(-0.4) };
    new Fingers().update(out, figure, false, 1 / 60);
    for (const at of [INDEX, INDEX + 4, RIGHT + INDEX, RIGHT + INDEX + 4]) {
      expect(bent(out, at)).toBeCloseTo(0.4, 2);
    }
  });

  test("are at ease without tracking, and close on a controller", () => {
    const loose = hands(), grip = hands();
    const one = new Fingers(), two = new Fingers();
    const figure = { parts: 0, flags: 0 };
    for (let k = 0; k < 120; k++) {
      one.update(loose, figure, false, 1 / 60);
      two.update(grip, figure, true, 1 / 60);
    }
    expect(bent(loose, INDEX)).toBeGreaterThan(0.1);
    expect(bent(grip, INDEX)).toBeGreaterThan(bent(loose, INDEX) + 0.3);
  });

  test("of a part that is said but not there are at ease", () => {
    const out = hands();
    const fingers = new Fingers();
    fingers.update(out, { parts: Parts.JOINTS | Parts.FINGERS, flags: 255 }, false, 1 / 60);
    fingers.update(out, { parts: 63, flags: 255, extra: new Uint8Array(3) }, false, 1 / 60);
    for (const value of out) expect(Number.isFinite(value)).toBe(true);
  });
});
