/** Asking again: when, how often, and until when. */

import { afterEach, expect, test, vi } from "vitest";

import { fetchPatiently } from "../../clients/web/src/net/patience.js";
import { VrmLibrary } from "../../clients/web/src/render/avatars/vrm_library.js";

const URL_ = new URL("http://atrium.test/scene@1");
const busy = (seconds) => new Response("", { status: 503, headers: { "retry-after": seconds } });
const HASH = "a".repeat(64);

afterEach(() => vi.unstubAllGlobals());

/** What is answered one after the other, and how long was waited in between. */
function asked(answers, isWanted = () => true) {
  const waits = [];
  const fetching = vi.fn(async () => {
    const answer = answers.shift() ?? busy("1");
    if (answer instanceof Error) throw answer;
    return answer;
  });
  const pause = async (ms) => { waits.push(ms); };
  return { waits, fetching, found: fetchPatiently(URL_, { isWanted, fetching, pause }) };
}

test("a busy server is asked again when it says so, and not sooner", async () => {
  const { waits, found } = asked([busy("5"), new Error("no network"), Response.json({ a: 1 })]);
  expect(await found).toEqual({ a: 1 });
  expect(waits).toEqual([5000, 1400]);
});

test("a wait that the server names has a bound, and so have the tries", async () => {
  const { waits, fetching, found } = asked([busy("86400"), busy("soon"), busy("-3")]);
  expect(await found).toBe(null);
  expect(waits).toEqual([20_000, 1400, 2100, 2800]);
  expect(fetching).toHaveBeenCalledTimes(5);
});

test("what nobody wants any more is not asked for again", async () => {
  let wanted = true;
  const { fetching, found } = asked([busy("1")], () => {
    const was = wanted;
    wanted = false;
    return was;
  });
  expect(await found).toBe(null);
  expect(fetching).toHaveBeenCalledTimes(1);
});

test("an avatar that cannot be fetched just now is asked for again, a bad one is not", async () => {
  let nowMs = 0;
  const library = new VrmLibrary((hash) => `/api/assets/${hash}`, () => nowMs);
  const answers = [busy("30"), new Response("", { status: 404 })];
  vi.stubGlobal("fetch", vi.fn(async () => answers.shift()));
  await expect(library.load(HASH)).rejects.toThrow("503");
  expect([library.count, library.hasFailed(HASH)]).toEqual([0, true]);
  nowMs = 29_999;
  expect(library.hasFailed(HASH)).toBe(true);
  nowMs = 30_000;
  expect(library.hasFailed(HASH)).toBe(false);
  await expect(library.load(HASH)).rejects.toThrow("404");
  nowMs = 1e12;
  expect(library.hasFailed(HASH)).toBe(true);
});
