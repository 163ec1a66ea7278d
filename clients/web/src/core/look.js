/**
 * How a default avatar looks, and the string of the wire that says so.
 *
 * A look is a handful of small numbers: indexes into palettes and styles, and steps of
 * proportions. As text it is `a1` and one character of 64 for each field in the order of FIELDS,
 * then, for who wears an uploaded VRM, a dot and the 64 hex digits of that asset. The version is
 * in the first two characters; fields that are added later go to the end, and a text that lacks
 * them means zero. The string comes from strangers: whatever is no look, or names a value that
 * does not exist, gives a look made from a seed, the same one everywhere and at every time.
 */

const PREFIX = "a1";
const DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
const VRM = /^[0-9a-f]{64}$/;

/** Colours as 0xrrggbb, sRGB. */
export const SKINS = Object.freeze([
  0xffe0cc, 0xf9d0b0, 0xf0bd95, 0xe3a878, 0xcf8f5f, 0xb67748, 0x9a5f38, 0x7c4a2c, 0x5f3823,
  0x47291b, 0xc9d6f2, 0xbfe3c6,
]);
export const HAIRS = Object.freeze([
  0x1d1a1e, 0x35251f, 0x55372a, 0x7a4b2e, 0xa9713c, 0xd6a55a, 0xf0d59a, 0xb4502f, 0x8c2f2b,
  0x8f8f96, 0xe6e4e0, 0x4a5fc1, 0x2f9e8f, 0xc95b9a, 0x7b4fb5, 0x5aa04a,
]);
export const CLOTHES = Object.freeze([
  0xf4f1ea, 0x2b2d36, 0x596072, 0x9aa3b2, 0xd9483b, 0xef7d3c, 0xf4b942, 0xf3dc75, 0x9ccb5c,
  0x3f9d63, 0x2a7f7a, 0x43b6c4, 0x4c8fdc, 0x31559f, 0x27325e, 0x7a62c9, 0xb278d6, 0xe58cb8,
  0xcf5283, 0x8c3550, 0x8a5a3c, 0xc49a6c, 0xe8d3ae, 0x5c6b3f,
]);
export const EYES = Object.freeze([
  0x2b2320, 0x4f3423, 0x7a5430, 0x5b7a3a, 0x3c7f8c, 0x3f68b5, 0x6a6f7a, 0x7c4fa0,
]);

export const HAIR_STYLES = Object.freeze([
  "bald", "short", "bob", "long", "bun", "curly", "spiky", "ponytail",
]);
export const HATS = Object.freeze(["none", "cap", "beanie", "brim", "band", "crown"]);
export const GLASSES = Object.freeze(["none", "round", "square", "dark"]);
export const TOPS = Object.freeze(["shirt", "longsleeve", "jacket", "stripes"]);
export const BOTTOMS = Object.freeze(["trousers", "shorts"]);
export const STEPS = 16;

/**
 * @typedef {object} Look
 * @property {number} skin index into SKINS
 * @property {number} hair index into HAIRS
 * @property {number} hairStyle index into HAIR_STYLES
 * @property {number} top index into CLOTHES
 * @property {number} topStyle index into TOPS
 * @property {number} bottom index into CLOTHES
 * @property {number} bottomStyle index into BOTTOMS
 * @property {number} shoes index into CLOTHES
 * @property {number} accent index into CLOTHES: hat, glasses, trimmings
 * @property {number} eyes index into EYES
 * @property {number} height step 0..15
 * @property {number} build step 0..15
 * @property {number} headSize step 0..15
 * @property {number} hat index into HATS
 * @property {number} glasses index into GLASSES
 * @property {string} vrm "" or the 64 hex digits of an asset
 */
/** @typedef {Exclude<keyof Look, "vrm">} NumberField */

/** The fields in the order of the text, and how many values each has.
 * @type {readonly (readonly [NumberField, number])[]} */
export const FIELDS = Object.freeze([
  ["skin", SKINS.length], ["hair", HAIRS.length], ["hairStyle", HAIR_STYLES.length],
  ["top", CLOTHES.length], ["topStyle", TOPS.length], ["bottom", CLOTHES.length],
  ["bottomStyle", BOTTOMS.length], ["shoes", CLOTHES.length], ["accent", CLOTHES.length],
  ["eyes", EYES.length], ["height", STEPS], ["build", STEPS], ["headSize", STEPS],
  ["hat", HATS.length], ["glasses", GLASSES.length],
]);

/** What can be chosen, for a panel that lets people choose. */
export const PALETTES = Object.freeze({
  skin: SKINS, hair: HAIRS, top: CLOTHES, bottom: CLOTHES, shoes: CLOTHES, accent: CLOTHES,
  eyes: EYES,
});
export const STYLES = Object.freeze({
  hairStyle: HAIR_STYLES, topStyle: TOPS, bottomStyle: BOTTOMS, hat: HATS, glasses: GLASSES,
});

/** Looks that a seed never gives, because they are somebody's own wish. */
const SEEDED_SKINS = 10;
const SEEDED_HAIRS = 11;

/** @returns {Look} */
function plainLook() {
  return {
    skin: 0, hair: 0, hairStyle: 0, top: 0, topStyle: 0, bottom: 0, bottomStyle: 0, shoes: 0,
    accent: 0, eyes: 0, height: 0, build: 0, headSize: 0, hat: 0, glasses: 0, vrm: "",
  };
}

/**
 * The look that a text describes; one made from the seed where it describes none.
 * @param {string} text
 * @param {string | number} [seed] an entity's id or name
 * @returns {Look}
 */
export function parseLook(text, seed = "") {
  return readLook(typeof text === "string" ? text : "") ?? seededLook(seed);
}

/**
 * @param {string} text
 * @returns {Look | null}
 */
function readLook(text) {
  if (text.length > 128 || !text.startsWith(PREFIX)) return null;
  const dot = text.indexOf(".");
  const codes = dot < 0 ? text.slice(2) : text.slice(2, dot);
  const vrm = dot < 0 ? "" : text.slice(dot + 1);
  if (codes.length > FIELDS.length || !codes.length || (dot >= 0 && !VRM.test(vrm))) return null;
  const look = plainLook();
  for (let k = 0; k < codes.length; k++) {
    const value = DIGITS.indexOf(codes[k]);
    const [name, count] = FIELDS[k];
    if (value < 0 || value >= count) return null;
    look[name] = value;
  }
  look.vrm = vrm;
  return look;
}

/**
 * The text of a look; values that do not exist are drawn to the nearest that does.
 * @param {Look} look
 */
export function formatLook(look) {
  let text = PREFIX;
  for (const [name, count] of FIELDS) {
    const value = Math.trunc(Number(look[name])) || 0;
    text += DIGITS[Math.min(Math.max(value, 0), count - 1)];
  }
  return VRM.test(look.vrm) ? `${text}.${look.vrm}` : text;
}

/**
 * A look for who has chosen none.
 * @param {string | number} seed
 * @returns {Look}
 */
export function seededLook(seed) {
  const next = generator(String(seed));
  const look = plainLook();
  for (const [name, count] of FIELDS) look[name] = Math.floor(next() * count);
  look.skin = Math.floor(next() * SEEDED_SKINS);
  look.hair = Math.floor(next() * SEEDED_HAIRS);
  look.hairStyle = 1 + Math.floor(next() * (HAIR_STYLES.length - 1));
  look.height = 4 + Math.floor(next() * 9);
  look.build = 3 + Math.floor(next() * 10);
  look.headSize = 5 + Math.floor(next() * 6);
  if (next() < 0.75) look.hat = 0;
  if (next() < 0.75) look.glasses = 0;
  // Cloth in the colours of skin is nothing to be given unasked.
  if (look.top >= 20 && look.top <= 22) look.top -= 16;
  if (look.bottom === look.top) look.bottom = (look.top + 7) % CLOTHES.length;
  return look;
}

/**
 * Numbers from 0 to 1, the same ones for the same text (FNV-1a, then mulberry32).
 * @param {string} text
 */
function generator(text) {
  let state = 0x811c9dc5;
  for (let k = 0; k < text.length; k++) {
    state = Math.imul(state ^ text.charCodeAt(k), 0x01000193);
  }
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * The proportions of a look as factors: of all lengths, of widths, of the head.
 * @param {Look} look
 * @returns {{size: number, width: number, head: number}}
 */
export function proportionsOf(look) {
  const last = STEPS - 1;
  return {
    size: 0.86 + 0.28 * (look.height / last),
    width: 0.84 + 0.42 * (look.build / last),
    head: 0.9 + 0.24 * (look.headSize / last),
  };
}
