/** The arithmetic and the forms of building. */

import { describe, expect, test } from "vitest";

import { carried, inwards, snap, transformOf } from "../../clients/web/src/core/build_math.js";
import { checked, fieldsOf, heightAbove, PALETTE } from "../../clients/web/src/core/palette.js";
import { normalise } from "../../clients/web/src/core/quaternion.js";
import { PropStore, readProperties } from "../../clients/web/src/core/props.js";
import { UNIONS } from "../../clients/web/src/core/protocol.generated.js";

/** Numbers from 0 to 1, the same in each run. @param {number} seed */
function dice(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}

/** Any place; of a group with the same scale on all axes. */
function place(roll, isGroup = false) {
  const out = Float64Array.from({ length: 10 }, () => roll() * 20 - 10);
  normalise(out, 3);
  for (let k = 7; k < 10; k++) out[k] = isGroup && k > 7 ? out[7] : 0.1 + roll() * 4;
  return out;
}

const transform = (at) => ({ position_m: [...at.subarray(0, 3)], rotation: [...at.subarray(3, 7)],
  scale: [...at.subarray(7)] });
const byte = (value) => value.toString(16).padStart(2, "0").repeat(16);

function closeTo(a, b) {
  // A rotation and its negative are the same.
  const sign = a[3] * b[3] + a[4] * b[4] + a[5] * b[5] + a[6] * b[6] < 0 ? -1 : 1;
  for (let k = 0; k < 10; k++) expect(a[k]).toBeCloseTo(b[k] * (k > 2 && k < 7 ? sign : 1), 6);
}

describe("places", () => {
  test("inwards is the way back of what the store works outwards", () => {
    const roll = dice(7);
    for (let i = 0; i < 300; i++) {
      const [group, world] = [place(roll, true), place(roll)];
      const inner = new Float64Array(10);
      inwards(inner, group, world);
      const store = new PropStore();
      const prop = (key, at, within, kind) => ({ id: new Uint8Array(16), key, group: within,
        transform: transform(at), properties: readProperties({ kind }), owner: "", locked: false });
      store.props.set(byte(1), prop(byte(1), group, "", "group"));
      store.props.set(byte(2), prop(byte(2), inner, byte(1), "shape"));
      const out = new Float64Array(10);
      expect(store.worldTransformOf(byte(2), out)).toBe(true);
      closeTo(out, world);
    }
  });

  test("what hangs on a handle stays when it stays, goes where it goes, and comes back", () => {
    const roll = dice(9);
    const [out, back] = [new Float64Array(10), new Float64Array(10)];
    for (let i = 0; i < 300; i++) {
      const [from, to, thing] = [place(roll, true), place(roll, true), place(roll)];
      carried(out, from, from, thing);
      closeTo(out, thing);
      carried(out, from, to, from);
      closeTo(out, to);
      carried(out, from, to, thing);
      carried(back, to, from, out);
      closeTo(back, thing);
    }
  });

  test("an edit's place is short, within bounds, and even for groups", () => {
    const at = Float64Array.from([1 / 3, 0, 0, 0, 0, 0, 2, 1e-9, -2, 500]);
    expect(transformOf(at, false)).toEqual({ position_m: [0.33333, 0, 0], rotation: [0, 0, 0, 1],
      scale: [0.01, 2, 100] });
    at.set([1, 3, 1], 7);
    expect(transformOf(at, true).scale).toEqual([3, 3, 3]);
  });

  test("the grid, and none", () => {
    expect([snap(1.1, 0.25), snap(-1.13, 0.25), snap(1.1, 0)]).toEqual([1, -1.25, 1.1]);
  });
});

describe("forms", () => {
  test("every kind has its fields, and all of the palette fits them", () => {
    for (const kind of Object.keys(UNIONS.Properties)) {
      expect(fieldsOf(kind).length).toBeGreaterThan(0);
    }
    for (const entry of PALETTE) {
      for (const field of fieldsOf(entry.properties.kind)) {
        const value = entry.properties[field.name];
        const typed = typeof value === "boolean" ? value : String(value);
        expect(checked(field, typed)).toBe(value);
      }
      expect(heightAbove(entry)).toBeGreaterThanOrEqual(0);
    }
    expect(fieldsOf("toString")).toEqual([]);
  });

  const field = (kind, name) => fieldsOf(kind).find((each) => each.name === name);

  test.each([["", null], [" ", null], ["x", null], ["-0.1", null], ["1.1", null], ["NaN", null],
    ["Infinity", null], ["0", 0], ["1", 1], ["0.5", 0.5]])("a roughness of %j", (typed, value) => {
    expect(checked(field("shape", "roughness"), typed)).toBe(value);
  });

  test("texts, colours and words that the server would refuse are not sent", () => {
    const text = field("sign", "text");
    expect(checked(text, "a\r\nb<b>")).toBe("a\nb<b>");
    expect(checked(text, "😀".repeat(500))).toHaveLength(1000);
    expect([checked(text, "a".repeat(501)), checked(text, "a\u0007")]).toEqual([null, null]);
    expect([checked(field("sign", "colour"), "#ABCDEF"), checked(field("sign", "colour"), "red")])
      .toEqual([null, null]);
    expect([checked(field("shape", "form"), "cone"), checked(field("shape", "form"), "torus")])
      .toEqual(["cone", null]);
  });
});
