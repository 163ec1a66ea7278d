/**
 * Ids of props: 16 bytes on the wire, UUIDs in the scene, 32 hexadecimal digits as keys here. Pure.
 */

const BYTES = 16;

/** @param {Uint8Array} id 16 bytes, or none: then the key is empty */
export function keyOf(id) {
  let key = "";
  for (const byte of id) key += byte.toString(16).padStart(2, "0");
  return key;
}

/** The 16 bytes of a key; none of an empty one. @param {string} key */
export function idOf(key) {
  if (!key) return new Uint8Array();
  if (!/^[0-9a-f]{32}$/.test(key)) throw new RangeError("a key has 32 hexadecimal digits");
  const id = new Uint8Array(BYTES);
  for (let k = 0; k < BYTES; k++) id[k] = Number.parseInt(key.slice(2 * k, 2 * k + 2), 16);
  return id;
}

/** The key of a UUID in text; null when it is none. @param {unknown} uuid */
export function keyOfUuid(uuid) {
  if (typeof uuid !== "string") return null;
  const key = uuid.replaceAll("-", "").toLowerCase();
  return /^[0-9a-f]{32}$/.test(key) ? key : null;
}
