/** The golden vectors, and small helpers that several tests share. */

import { readFileSync } from "node:fs";

const GOLDEN = new URL("../golden/", import.meta.url);

export const VECTORS = JSON.parse(readFileSync(new URL("vectors.json", GOLDEN), "utf8"));

/** The file of an entry holds its bytes; the JSON repeats short ones. */
export function bytesOf(entry) {
  return new Uint8Array(readFileSync(new URL(entry.file, GOLDEN)));
}

export function fromHex(hex) {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

export function toHex(bytes) {
  return Buffer.from(bytes).toString("hex");
}

/** Fields as the JSON has them: bytes as {hex}. */
export function plain(value) {
  if (value instanceof Uint8Array) return { hex: toHex(value) };
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

/** The other way. */
export function unplain(value) {
  if (Array.isArray(value)) return value.map(unplain);
  if (value === null || typeof value !== "object") return value;
  if (Object.keys(value).join() === "hex") return fromHex(value.hex);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unplain(item)]));
}

/** A generator of the same numbers at each run; the seed belongs into a failing test's message. */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
