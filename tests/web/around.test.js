/** What the page around the world computes: directions, the stick, the map's frame, loading. */

import { describe, expect, test } from "vitest";

import { ErrorCode } from "../../clients/web/src/core/protocol.generated.js";
import { accountSentence, sentenceOf } from "../../clients/web/src/ui/answers.js";
import { compassOf, facingOf, roundedMetres, sideOf } from "../../clients/web/src/ui/bearing.js";
import { lookFields, LookHistory } from "../../clients/web/src/ui/look_fields.js";
import { Frame } from "../../clients/web/src/ui/minimap_frame.js";
import { Pace } from "../../clients/web/src/ui/pace.js";
import { Progress } from "../../clients/web/src/ui/progress.js";
import { isStickArea, REACH_PX, Stick } from "../../clients/web/src/ui/stick.js";

const [NORTH, EAST, SOUTH, WEST] = [0, 2, 4, 6];
const [AHEAD, RIGHT, BEHIND, LEFT] = [0, 2, 4, 6];

describe("directions", () => {
  test.each([[0, -5, NORTH], [5, 0, EAST], [0, 5, SOUTH], [-5, 0, WEST], [5, -5, 1], [-5, -5, 7]])(
    "%d east and %d south is the eighth %d", (dx, dz, eighth) => {
      expect(compassOf(dx, dz)).toBe(eighth);
    });

  test("a yaw grows to the left", () => {
    expect([0, Math.PI / 2, Math.PI, -Math.PI / 2].map(facingOf)).toEqual([NORTH, WEST, SOUTH,
      EAST]);
    expect(facingOf(20 * Math.PI + 0.01)).toBe(NORTH);
  });

  test("who looks west has the north on the right", () => {
    expect(sideOf(0, -1, Math.PI / 2)).toBe(RIGHT);
    expect(sideOf(0, 1, Math.PI / 2)).toBe(LEFT);
    expect(sideOf(-1, 0, Math.PI / 2)).toBe(AHEAD);
    expect(sideOf(1, 0, Math.PI / 2)).toBe(BEHIND);
  });

  test("metres are rounded as one says them", () => {
    expect([0.4, 7.6, 19.4, 33].map(roundedMetres)).toEqual([0, 8, 19, 35]);
  });
});

describe("the stick", () => {
  test("a resting thumb does not walk, and a whole reach is a whole push", () => {
    const stick = new Stick();
    stick.press(100, 300);
    stick.move(104, 303);
    expect(stick.push).toEqual({ x: 0, y: 0 });
    stick.move(100 + REACH_PX, 300);
    expect(stick.push.x).toBeCloseTo(1);
    expect(stick.push.y).toBeCloseTo(0);
  });

  test("the push begins at zero beyond the dead zone, and is never longer than one", () => {
    const stick = new Stick();
    stick.press(0, 0);
    let before = 0;
    for (let px = 0; px < 300; px += 1) {
      stick.move(px * 0.6, px * 0.8);
      const length = Math.hypot(stick.push.x, stick.push.y);
      expect(length).toBeLessThanOrEqual(1 + 1e-9);
      expect(length - before).toBeLessThan(0.05);
      before = length;
    }
    expect(before).toBeCloseTo(1);
  });

  test("follows a finger that goes too far, so that turning back needs no way", () => {
    const stick = new Stick();
    stick.press(0, 0);
    stick.move(500, 0);
    stick.move(500 - 2 * REACH_PX, 0);
    expect(stick.push.x).toBeCloseTo(-1);
  });

  test("stands still when let go, and does not move before it is pressed", () => {
    const stick = new Stick();
    stick.move(50, 50);
    expect(stick.push).toEqual({ x: 0, y: 0 });
    stick.press(0, 0);
    stick.move(60, 0);
    stick.release();
    expect([stick.push, stick.isHeld]).toEqual([{ x: 0, y: 0 }, false]);
  });

  test("is of the left half, below the title", () => {
    expect(isStickArea(100, 600, 390, 844)).toBe(true);
    expect(isStickArea(300, 600, 390, 844)).toBe(false);
    expect(isStickArea(100, 100, 390, 844)).toBe(false);
  });
});

describe("the frame of the small map", () => {
  test("north is up, or what the person looks at", () => {
    const frame = new Frame(100, 20);
    frame.look(10, 10, 0);
    expect({ ...frame.toPixel(10, 6) }).toEqual({ px: 50, py: 30 });
    frame.look(10, 10, Math.PI / 2);
    const ahead = frame.toPixel(6, 10);
    expect(ahead.px).toBeCloseTo(50);
    expect(ahead.py).toBeCloseTo(30);
    const north = frame.north(40);
    expect(north.px).toBeCloseTo(90);
  });

  test("a click comes back to where it was made, however the map is turned", () => {
    const frame = new Frame(168, 36);
    for (const turn of [0, 1, 2.5, -3]) {
      frame.look(-4, 7, turn);
      const at = frame.toWorld(33, 120);
      const back = frame.toPixel(at.x, at.z);
      expect(back.px).toBeCloseTo(33);
      expect(back.py).toBeCloseTo(120);
    }
  });

  test("what is far away lies on the edge, in its direction", () => {
    const frame = new Frame(100, 20);
    frame.look(0, 0, 0);
    expect({ ...frame.onEdge(1000, 0, 6) }).toEqual({ px: 94, py: 50 });
    expect({ ...frame.onEdge(2, 0, 6) }).toEqual({ px: 60, py: 50 });
  });
});

describe("loading", () => {
  test("goes from nothing to all and never back", () => {
    const progress = new Progress();
    expect(progress.part).toBe(0);
    progress.set("modules", 1, 1);
    const modules = progress.part;
    progress.set("scene", 1, 1);
    progress.set("models", 5, 10);
    expect(progress.doing).toEqual({ step: "models", left: 5 });
    const half = progress.part;
    expect(half).toBeGreaterThan(modules);
    progress.set("models", 5, 1000);
    expect(progress.part).toBe(half);
    progress.set("models", 1000, 1000);
    expect([progress.part, progress.doing]).toEqual([1, null]);
  });

  test("a place without models is loaded with its scene", () => {
    const progress = new Progress();
    progress.set("modules", 1, 1);
    expect(progress.doing).toEqual({ step: "scene", left: 1 });
    progress.set("scene", 1, 1);
    expect(progress.doing).toBeNull();
    progress.again();
    expect(progress.doing?.step).toBe("scene");
  });
});

describe("what is read aloud", () => {
  test("comes at once, then waits, and a crowd becomes a number", () => {
    const pace = new Pace(1000, 2);
    pace.add("a");
    expect(pace.take(0)).toEqual({ items: ["a"], count: 1 });
    for (const each of ["b", "c", "d", "e"]) pace.add(each);
    expect(pace.take(999)).toBeNull();
    expect(pace.take(1000)).toEqual({ items: ["b", "c"], count: 4 });
    expect(pace.take(5000)).toBeNull();
  });

  test("what was forgotten is not told", () => {
    const pace = new Pace(1000, 1);
    pace.add("a");
    pace.add("b");
    pace.forget();
    expect(pace.take(0)).toBeNull();
  });
});

describe("the avatar maker", () => {
  const source = { FIELDS: [["skin", 2], ["hat", 3], ["height", 16], ["tail", 4]],
    palettes: { skin: [0xffe0cc, 0x00000f] }, styles: { hat: ["none", "cap", "crown"] } };

  test("makes a control for each field, also for one that it does not know", () => {
    expect(lookFields(source)).toEqual([
      { name: "skin", count: 2, kind: "colour", colours: ["#ffe0cc", "#00000f"] },
      { name: "hat", count: 3, kind: "style", styles: ["none", "cap", "crown"] },
      { name: "height", count: 16, kind: "step" },
      { name: "tail", count: 4, kind: "style", styles: ["1", "2", "3", "4"] },
    ]);
  });

  test("goes back step by step", () => {
    const history = new LookHistory();
    for (const text of ["a", "b", "b", "c"]) history.keep(text);
    expect([history.back(), history.back(), history.back(), history.back()])
      .toEqual(["c", "b", "a", undefined]);
    expect(history.isEmpty).toBe(true);
  });
});

describe("what the server answers", () => {
  const reason = "Only the server says it like this.";

  test("is said in the person's language wherever its code is known", () => {
    for (const code of [...Array(13).keys()].map((k) => k + 1).concat(ErrorCode.DRAINING)) {
      expect(sentenceOf({ code, reason, retry_ms: 0 }, "en")).toBe(reason);
      expect(sentenceOf({ code, reason, retry_ms: 0 }, "zh")).not.toContain(reason);
    }
    expect(sentenceOf({ code: 99, reason, retry_ms: 0 }, "zh")).toBe(reason);
  });

  test("to who signs in, too", () => {
    for (const code of ["not_signed_in", "taken", "too_many", "unavailable", "not_allowed"]) {
      const error = Object.assign(new Error(reason), { code });
      expect(accountSentence(error, "en")).toBe(reason);
      expect(accountSentence(error, "zh")).not.toBe(reason);
    }
    expect(accountSentence(new Error(reason), "zh")).toBe(reason);
  });
});
