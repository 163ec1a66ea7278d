/** Settings: what was kept may be anything, what is set is checked, storage may be blocked. */

import { describe, expect, test } from "vitest";

import { checked, NAMES, readSettings, RULES } from "../../clients/web/src/core/settings_rules.js";
import { SafeStorage } from "../../clients/web/src/net/storage.js";
import { Settings } from "../../clients/web/src/page/settings.js";

function fakeStorage(kept = {}) {
  const items = new Map(Object.entries(kept));
  return { items, getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => items.set(key, value), removeItem: (key) => items.delete(key) };
}

const DEFAULTS = readSettings(null);

describe("what was kept", () => {
  const deep = "[".repeat(500) + "]".repeat(500);

  test.each([null, "", "null", "[]", "7", '"x"', "{", "undefined", '{"__proto__":{"fov":99}}',
    '{"constructor":1,"quality":"ultra","fov":"70","invertY":1,"view":null}',
    '{"fov":1e999}', `{"tags":${deep}}`])("%s gives defaults", (kept) => {
    expect(readSettings(kept)).toEqual(DEFAULTS);
  });

  test("keeps what fits beside what does not", () => {
    const found = readSettings('{"fov":1000,"quality":"low","view":"fourth","turnDegrees":32}');
    expect(found).toEqual({ ...DEFAULTS, fov: 100, quality: "low", turnDegrees: 30 });
  });

  test("each default keeps its own rule", () => {
    for (const name of NAMES) expect(checked(name, RULES[name].initial)).toBe(RULES[name].initial);
  });
});

describe("settings", () => {
  test("outlive a reload, tell of a change once, and keep only what differs", () => {
    const storage = fakeStorage();
    const settings = new Settings(new SafeStorage(() => storage));
    const heard = [];
    settings.changed.add((name) => heard.push(name));
    settings.set("view", "first");
    settings.set("view", "first");
    settings.set("fov", 9000);
    expect(heard).toEqual(["view", "fov"]);
    expect(JSON.parse(storage.items.get("atrium.settings"))).toEqual({ view: "first", fov: 100 });
    expect(new Settings(new SafeStorage(() => storage)).values).toEqual(settings.values);
  });

  test("reset leaves name and look alone", () => {
    const settings = new Settings(new SafeStorage(() => fakeStorage()));
    settings.keep("name", "Ada");
    settings.set("captions", true);
    settings.reset();
    expect(settings.values).toEqual(DEFAULTS);
    expect(settings.recall("name")).toBe("Ada");
    expect(settings.recall("look")).toBe("");
  });

  test("go on in memory where the browser blocks its storage, and say so", () => {
    const blocked = new Settings(new SafeStorage(() => { throw new Error("SecurityError"); }));
    expect(blocked.isKept).toBe(false);
    blocked.set("textSize", 1.4);
    blocked.keep("name", "Ada");
    expect(blocked.values.textSize).toBe(1.4);
    expect(blocked.recall("name")).toBe("Ada");
  });

  test("a storage that fills up later costs nothing but the memory of it", () => {
    const storage = fakeStorage();
    const settings = new Settings(new SafeStorage(() => storage));
    expect(settings.isKept).toBe(true);
    storage.setItem = () => { throw new Error("QuotaExceededError"); };
    settings.set("invertY", true);
    expect(settings.values.invertY).toBe(true);
    expect(settings.isKept).toBe(false);
  });

  test("what is recalled is bounded", () => {
    const kept = fakeStorage({ "atrium.name": "x".repeat(9_999) });
    expect(new Settings(new SafeStorage(() => kept)).recall("name").length).toBe(512);
  });
});
