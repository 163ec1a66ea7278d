/** Looks: what a person can wear, and that no text of a stranger can be anything else. */

import { describe, expect, test } from "vitest";

import {
  FIELDS, formatLook, PALETTES, parseLook, proportionsOf, seededLook, STYLES,
} from "../../clients/web/src/core/look.js";
import { Limits } from "../../clients/web/src/core/protocol.generated.js";

const VRM = "0123456789abcdef".repeat(4);

/** Numbers from 0 to 1, the same at each run. */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function anyLook(next) {
  const look = { vrm: next() < 0.3 ? VRM : "" };
  for (const [name, count] of FIELDS) look[name] = Math.floor(next() * count);
  return look;
}

function isWhole(look) {
  return FIELDS.every(([name, count]) => (
    Number.isInteger(look[name]) && look[name] >= 0 && look[name] < count))
    && (look.vrm === "" || look.vrm === VRM);
}

describe("the text of a look", () => {
  test("comes back exactly, is printable and fits the wire", () => {
    const next = random(1);
    for (let k = 0; k < 300; k++) {
      const look = anyLook(next);
      const text = formatLook(look);
      expect(text).toMatch(/^[\x21-\x7e]+$/);
      expect(text.length).toBeLessThanOrEqual(Limits.AVATAR_CHARS_MAX);
      expect(parseLook(text, "other")).toEqual(look);
    }
  });

  test("of an older page lacks the newest fields, which are zero then", () => {
    const look = parseLook("a1357", "seed");
    expect([look.skin, look.hair, look.hairStyle, look.top, look.vrm]).toEqual([3, 5, 7, 0, ""]);
  });

  test("that describes none gives the look of the seed, always the same one", () => {
    const wrong = ["", "a1", "a2000", "b1000", "a1~", "a1z", "a1000.", `a1000.${VRM}0`,
      `a1000.${VRM.toUpperCase()}`, "a1" + "0".repeat(99), "<img src=x>", "\u202ea1", "__proto__"];
    for (const text of wrong) expect(parseLook(text, 7), text).toEqual(seededLook(7));
    expect(parseLook(undefined, 7)).toEqual(seededLook(7));
    expect(seededLook(7)).not.toEqual(seededLook(8));
  });

  test("of any characters is a whole look", () => {
    const next = random(2);
    for (let k = 0; k < 2000; k++) {
      const length = Math.floor(next() * 24);
      let text = next() < 0.7 ? "a1" : "";
      for (let c = 0; c < length; c++) text += String.fromCharCode(32 + Math.floor(next() * 100));
      expect(isWhole(parseLook(text, k)), text).toBe(true);
    }
  });

  test("is drawn to what exists when a number does not", () => {
    const odd = { ...seededLook(1), skin: 99, hair: -3, top: NaN, hat: 2.7, vrm: "../x" };
    const look = parseLook(formatLook(odd), "");
    expect([look.skin, look.hair, look.top, look.hat, look.vrm])
      .toEqual([PALETTES.skin.length - 1, 0, 0, 2, ""]);
  });
});

test("every field has a palette, styles or steps, as many as it has values", () => {
  for (const [name, count] of FIELDS) {
    const named = PALETTES[name] ?? STYLES[name];
    if (named) expect(named.length, name).toBe(count);
  }
});

test("proportions stay those of people", () => {
  for (const step of [0, 7, 15]) {
    const { size, width, head } = proportionsOf({ ...seededLook(1), height: step, build: step,
      headSize: step });
    for (const factor of [size, width, head]) {
      expect(factor).toBeGreaterThan(0.8);
      expect(factor).toBeLessThan(1.3);
    }
  }
});
