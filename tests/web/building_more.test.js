/** What stands on what, what is taken back together, and how it stands with each edit. */

import { describe, expect, test } from "vitest";

import { anglesOf, isInBox, isSameTransform, rotationOf, stepSeenFrom } from
  "../../clients/web/src/core/build_math.js";
import { SHOWN } from "../../clients/web/src/building/build_keys.js";
import { EditLog } from "../../clients/web/src/core/edit_log.js";
import { Gestures } from "../../clients/web/src/core/gestures.js";
import { PALETTE } from "../../clients/web/src/core/palette.js";
import { EditOp, Limits, Op } from "../../clients/web/src/core/protocol.generated.js";
import { rotate } from "../../clients/web/src/core/quaternion.js";
import { build } from "../../clients/web/src/lang/en_build.js";
import { castRay } from "../../clients/web/src/core/rays.js";
import { emptyScene } from "../../clients/web/src/core/scene.js";
import { fromUp, halfAlong, layOn, normalAt, restOn } from
  "../../clients/web/src/core/surface.js";

/** Numbers from -1 to 1, the same in each run. @param {number} seed */
function dice(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 2147483648 - 1;
  };
}

function direction(roll) {
  const [x, y, z] = [roll(), roll(), roll()];
  const length = Math.hypot(x, y, z);
  return { x: x / length, y: y / length, z: z / length };
}

const dot = (a, b) => a.x * b.x + a.y * b.y + a.z * b.z;
const piece = (name) => PALETTE.find((each) => each.name === name);
const up = (place) => {
  const out = new Float64Array(3);
  rotate(out, 0, place, 3, 0, 1, 0);
  return { x: out[0], y: out[1], z: out[2] };
};

describe("numbers of a place", () => {
  test("angles are a way to a rotation and back", () => {
    const roll = dice(3);
    for (let i = 0; i < 500; i++) {
      const angles = [roll() * 89, roll() * 179, roll() * 179];
      anglesOf(rotationOf(angles)).forEach((angle, k) => expect(angle).toBeCloseTo(angles[k], 1));
    }
    expect(rotationOf([0, 90, 0])).toEqual([0, 0.70711, 0, 0.70711]);
    expect(anglesOf([0, 0, 0, 1])).toEqual([0, 0, 0]);
  });

  test("straight up and down there is an answer too, of the same rotation", () => {
    for (const angles of [[90, 30, 0], [-90, -120, 0], [90, 0, 40]]) {
      const rotation = rotationOf(angles);
      const again = rotationOf(anglesOf(rotation));
      const same = Math.abs(rotation.reduce((sum, each, k) => sum + each * again[k], 0));
      expect(same).toBeCloseTo(1, 4);
    }
  });

  test("a step is along an axis, right and away as one sees it", () => {
    expect(stepSeenFrom(0, 1, 0)).toEqual([1, 0]);
    expect(stepSeenFrom(0.3, 0, 1)).toEqual([0, -1]);
    expect(stepSeenFrom(Math.PI / 2, 0, 1)).toEqual([-1, 0]);
    expect(stepSeenFrom(Math.PI / 2, 1, 0)).toEqual([0, -1]);
    expect(stepSeenFrom(Math.PI, 1, 0)).toEqual([-1, 0]);
  });

  test("what is rounded away is no change, and the smallest step is one", () => {
    const at = { position_m: [1, 2, 3], rotation: [0, 0, 0, 1], scale: [1, 1, 1] };
    expect(isSameTransform(at, { ...at, rotation: [0, 1e-5, 0, 1] })).toBe(true);
    expect(isSameTransform(at, { ...at, position_m: [1, 2, 3.001] })).toBe(false);
    expect(isSameTransform(at, { ...at, scale: [1, 1.01, 1] })).toBe(false);
  });

  test("a box of the picture, from any corner", () => {
    const [a, b] = [{ x: 10, y: 50 }, { x: 30, y: 20 }];
    expect(isInBox({ x: 20, y: 30 }, a, b) && isInBox({ x: 20, y: 30 }, b, a)).toBe(true);
    expect(isInBox({ x: 20, y: 51 }, a, b) || isInBox({ x: 9, y: 30 }, b, a)).toBe(false);
  });
});

describe("surfaces", () => {
  const scene = { ...emptyScene(), floor: 0,
    boxes: [{ x: 5, z: 0, bottom: 0, top: 2, wide: 2, deep: 4, yaw: 0.7 }],
    cylinders: [{ x: -6, z: 1, bottom: 0, top: 3, radius: 1.5 }] };

  test("what a ray hits faces the ray, and its normal has length 1", () => {
    const roll = dice(11);
    let [walls, tops] = [0, 0];
    for (let i = 0; i < 4000; i++) {
      const origin = { x: roll() * 12, y: 4.6 + roll() * 1.5, z: roll() * 8 };
      const along = direction(roll);
      const { distance, isGround } = castRay(scene, origin, along);
      if (distance === Infinity || distance === 0) continue;
      const point = { x: origin.x + along.x * distance, y: origin.y + along.y * distance,
        z: origin.z + along.z * distance };
      const normal = normalAt(scene, point, { x: 0, y: 0, z: 0 });
      expect(Math.hypot(normal.x, normal.y, normal.z)).toBeCloseTo(1, 9);
      expect(dot(normal, along)).toBeLessThan(1e-6);
      const isEdge = Math.abs(point.y - 2) < 0.02 || Math.abs(point.y - 3) < 0.02;
      if (!isEdge) expect(normal.y === 1).toBe(isGround);
      if (normal.y === 1) tops += 1;
      else walls += 1;
    }
    expect(walls).toBeGreaterThan(50);
    expect(tops).toBeGreaterThan(50);
  });

  test("the turn from up leads to the normal, straight down as well", () => {
    const roll = dice(5);
    for (const normal of [...Array.from({ length: 200 }, () => direction(roll)),
      { x: 0, y: -1, z: 0 }, { x: 0, y: 1, z: 0 }]) {
      const place = new Float64Array(10);
      fromUp(place, 3, normal);
      expect(dot(up(place), normal)).toBeCloseTo(1, 5);
    }
  });

  test("a shape touches what it is put on, upright and aligned", () => {
    const roll = dice(21);
    const box = { ...piece("box"), scale: [1, 2, 3] };
    const place = new Float64Array(10);
    for (let i = 0; i < 300; i++) {
      const point = { x: roll() * 9, y: roll() * 9, z: roll() * 9 };
      const normal = direction(roll);
      for (const isAligned of [true, false]) {
        if (!isAligned && normal.y >= 0.5) continue; // it stands on a slope by its middle
        restOn(place, box, { point, normal, isAligned });
        const away = (place[0] - point.x) * normal.x + (place[1] - point.y) * normal.y
          + (place[2] - point.z) * normal.z;
        expect(away).toBeCloseTo(halfAlong(place, normal), 4);
        if (isAligned) expect(dot(up(place), normal)).toBeCloseTo(1, 5);
      }
    }
    restOn(place, box, { point: { x: 1, y: 0, z: 2 }, normal: { x: 0, y: 1, z: 0 },
      isAligned: false });
    expect([...place]).toEqual([1, 1, 2, 0, 0, 0, 1, 1, 2, 3]);
  });

  test("a sign on a wall faces the room", () => {
    const place = new Float64Array(10);
    restOn(place, piece("sign"), { point: { x: 0, y: 1, z: 0 }, normal: { x: 1, y: 0, z: 0 },
      isAligned: false });
    const front = new Float64Array(3);
    rotate(front, 0, place, 3, 0, 0, 1);
    expect(front[0]).toBeCloseTo(1, 9);
    expect([place[1], place[0] > 0]).toEqual([1, true]);
  });

  test("what is put down lies on it and keeps its turn, or follows it", () => {
    const place = Float64Array.from([0, 5, 0, 0, 0, 0, 1, 1, 1, 1]);
    place.set(rotationOf([0, 40, 0]), 3);
    const on = { point: { x: 2, y: 1, z: 3 }, normal: { x: 0, y: 1, z: 0 }, isAligned: true };
    layOn(place, piece("box"), on);
    expect([place[0], place[1], place[2]]).toEqual([2, 1.5, 3]);
    expect(anglesOf(place.subarray(3))[1]).toBeCloseTo(40, 2);
    place.set(rotationOf([0, 0, 45]), 3);
    layOn(place, piece("box"), { ...on, isAligned: false });
    expect(place[1]).toBeCloseTo(1 + Math.SQRT1_2, 4);
    layOn(place, piece("box"), { ...on, normal: { x: 0.6, y: 0.8, z: 0 } });
    expect(dot(up(place), { x: 0.6, y: 0.8, z: 0 })).toBeCloseTo(1, 5);
  });
});

describe("what was done at once", () => {
  const ticket = (state = "durable") => ({ state });

  test("is taken back at once and done again at once", () => {
    const gestures = new Gestures();
    gestures.add(ticket());
    gestures.together(() => {
      for (let i = 0; i < 3; i++) gestures.together(() => gestures.add(ticket("accepted")));
    });
    expect([gestures.undo(), gestures.undo()]).toEqual([3, 1]);
    expect([gestures.redo(), gestures.redo()]).toEqual([1, 3]);
  });

  test("leaves out what was refused, and what is not known here is one", () => {
    const gestures = new Gestures();
    gestures.together(() => {
      gestures.add(ticket("refused"));
      gestures.add(ticket());
    });
    gestures.add(ticket("reverted"));
    expect([gestures.undo(), gestures.undo()]).toEqual([1, 1]);
    expect([gestures.redo(), gestures.redo(), gestures.redo()]).toEqual([1, 1, 1]);
  });

  test("ends with something new, and with an error of who does it", () => {
    const gestures = new Gestures();
    gestures.together(() => { gestures.add(ticket()); gestures.add(ticket()); });
    gestures.undo();
    gestures.add(ticket());
    expect(gestures.redo()).toBe(1);
    expect(() => gestures.together(() => {
      gestures.add(ticket());
      throw new Error("broken");
    })).toThrow("broken");
    gestures.add(ticket());
    expect([gestures.undo(), gestures.undo()]).toEqual([1, 1]);
  });

  test("is remembered as long as the server does", () => {
    const gestures = new Gestures();
    for (let i = 0; i < Limits.UNDO_EDITS_MAX + 5; i++) {
      gestures.together(() => { gestures.add(ticket()); gestures.add(ticket()); });
    }
    const counts = Array.from({ length: Limits.UNDO_EDITS_MAX + 1 }, () => gestures.undo());
    expect(counts.slice(0, -1).every((count) => count === 2)).toBe(true);
    expect(counts.at(-1)).toBe(1);
  });
});

describe("the newest edits", () => {
  test("have words for each operation, each state and each key", () => {
    const keys = new Set(Object.keys(build));
    for (const op of Object.keys(EditOp)) expect(keys, op).toContain(`edit.${op.toLowerCase()}`);
    for (const state of ["waits", "sent", "accepted", "durable", "refused", "reverted", "lost"]) {
      expect(keys).toContain(`state.${state}`);
    }
    for (const [, does] of SHOWN) expect(keys).toContain(does);
  });

  const asked = (op, state = "sent", reason = "") => (
    { message: { op: Op.EditSubmit, edit: { op } }, state, reason });

  test("are shown with how it stands with each, a few of them", () => {
    const log = new EditLog();
    let told = 0;
    log.changed.add(() => { told += 1; });
    const tickets = [asked(EditOp.Create), asked(EditOp.Place), asked(EditOp.Undo)];
    for (const each of tickets) log.note(each);
    Object.assign(tickets[1], { state: "refused", reason: "It is locked." });
    log.note(tickets[1]);
    expect(told).toBe(4);
    expect(log.lines).toEqual([{ op: "undo", state: "sent", reason: "" },
      { op: "place", state: "refused", reason: "It is locked." },
      { op: "create", state: "sent", reason: "" }]);
    for (let i = 0; i < 20; i++) log.note(asked(EditOp.Delete));
    expect(log.lines).toHaveLength(5);
    log.note({ message: { op: Op.Release }, state: "sent", reason: "" });
    expect(log.lines.every(({ op }) => op === "delete")).toBe(true);
  });
});
