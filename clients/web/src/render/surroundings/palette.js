/**
 * The colours of the world in three dimensions, kin to those of the map (`map/theme.js`): warm
 * stone, teal water, deep greens. Written as on the screen, kept in linear light, as three.js
 * counts. The moods of the day are key pictures at some hours; between two of them one is mixed
 * from both. Pure.
 */

/** @typedef {[number, number, number]} Colour linear light */

/** @param {string} hex "#rrggbb" @returns {Colour} */
export function linear(hex) {
  const bits = Number.parseInt(hex.slice(1), 16);
  return [toLinear(bits >> 16), toLinear((bits >> 8) & 255), toLinear(bits & 255)];
}

/** @param {number} byte */
function toLinear(byte) {
  const value = byte / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

/** @param {Colour} from @param {Colour} to @param {number} share @returns {Colour} */
export function blend(from, to, share) {
  return [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share,
    from[2] + (to[2] - from[2]) * share];
}

/** @param {Colour} colour @param {number} by @returns {Colour} */
export function scale(colour, by) {
  return [colour[0] * by, colour[1] * by, colour[2] * by];
}

export const PAINT = {
  stone: linear("#e6d3b1"),
  stoneDark: linear("#c9b08a"),
  stonePale: linear("#f2e6cc"),
  inlay: linear("#b48a66"),
  rose: linear("#dcae8a"),
  kerb: linear("#f0e2c4"),
  joint: linear("#8d7350"),
  plaster: linear("#f3e3c8"),
  wood: linear("#b98552"),
  woodDark: linear("#8a5d38"),
  iron: linear("#3f4547"),
  terracotta: linear("#c4683f"),
  roof: linear("#c9714a"),
  curtain: linear("#a83e30"),
  teal: linear("#2f8f94"),
  cream: linear("#fbf1dc"),
  gold: linear("#e0a94a"),
  bark: linear("#8b6a4c"),
  soil: linear("#6d4c34"),
  grass: linear("#8fa653"),
  grassDark: linear("#5f8344"),
  leaf: linear("#5d8a3f"),
  leafLight: linear("#9dbb58"),
  leafDark: linear("#2f5a3a"),
  olive: linear("#8c9f68"),
  cypress: linear("#2f5138"),
  hedge: linear("#3c6a3c"),
  bulb: linear("#ffd58a"),
  water: linear("#4aa7ab"),
  field: linear("#b9b469"),
  hill: linear("#8aa06a"),
  hillFar: linear("#8fa8a4"),
  sea: linear("#5aa0ad"),
};

/** Of plaster and awnings, as the washes on the map. */
export const WASHES = ["#e9bd8c", "#e2a693", "#b7c4d8", "#d0b2cf", "#e2ca7d", "#a5cbbd"]
  .map(linear);
export const FLOWERS = ["#d9483b", "#e9a23b", "#f0dfe6", "#b05fa8", "#e87f96"].map(linear);

/**
 * @typedef {{hour: number, zenith: Colour, horizon: Colour, haze: Colour, sun: Colour,
 *   sky: Colour, bounce: Colour, cloud: Colour, shade: Colour, strength: number, ambient: number,
 *   lamps: number}} Mood
 */

/**
 * @param {number} hour
 * @param {string[]} colours zenith, horizon, haze, sun, sky, bounce, cloud, shade
 * @param {[number, number, number]} amounts strength of the sun, ambient light, lamps 0..1
 * @returns {Mood}
 */
function mood(hour, colours, [strength, ambient, lamps]) {
  const [zenith, horizon, haze, sun, sky, bounce, cloud, shade] = colours.map(linear);
  return { hour, zenith, horizon, haze, sun, sky, bounce, cloud, shade, strength, ambient, lamps };
}

const NIGHT = ["#0d1733", "#24355c", "#1e2b4a", "#9db6f0", "#4a628f", "#2c3040", "#3a4a70",
  "#141d38"];
const DAY = ["#3f8fc4", "#bfe0e2", "#c9dfdc", "#fff2d8", "#bcd9ec", "#cdb48c", "#fffdf6",
  "#b9cbd8"];

/** In order; the first and the last are the same picture. */
const MOODS = [
  mood(0, NIGHT, [0.7, 1.7, 1]),
  mood(5, NIGHT, [0.7, 1.7, 1]),
  mood(6.3, ["#5a7fb0", "#f6b99a", "#d9aFA6", "#ff9d6a", "#9fa9c8", "#9a7a6a", "#ffd3bf",
    "#a58fae"], [1.5, 1.35, 0.5]),
  mood(8.5, ["#4a93c6", "#f3e0bf", "#dfd9c6", "#ffe3b3", "#b8d2e6", "#c9a880", "#fff6e6",
    "#c0c6cf"], [2.7, 1.5, 0]),
  mood(12.5, DAY, [3.2, 1.7, 0]),
  mood(16.5, ["#2f86c8", "#cfe6e6", "#e6dfc8", "#ffd79a", "#b4cbe8", "#d8ac7c", "#fff6e4",
    "#c3c4cc"], [3.4, 1.5, 0]),
  mood(18.6, ["#4a6f9f", "#f6a877", "#d99a86", "#ff9454", "#a0a0c0", "#a8755c", "#ffc4a0",
    "#a5809a"], [2.2, 1.3, 0.55]),
  mood(19.8, ["#263f73", "#c07c8c", "#6f6486", "#b58ac0", "#6f7cae", "#54485a", "#b0809a",
    "#4a4a78"], [0.7, 1.6, 1]),
  mood(21.3, NIGHT, [0.7, 1.7, 1]),
  mood(24, NIGHT, [0.7, 1.7, 1]),
];

/** @param {number} hour 0..24, others go round @returns {Mood} */
export function moodAt(hour) {
  const time = ((hour % 24) + 24) % 24;
  const next = MOODS.findIndex((each) => each.hour > time);
  const [from, to] = [MOODS[next - 1], MOODS[next]];
  const share = (time - from.hour) / (to.hour - from.hour);
  const part = (/** @type {"zenith"|"horizon"|"haze"|"sun"|"sky"|"bounce"|"cloud"|"shade"} */ of) =>
    blend(from[of], to[of], share);
  const amount = (/** @type {"strength"|"ambient"|"lamps"} */ of) =>
    from[of] + (to[of] - from[of]) * share;
  return { hour: time, zenith: part("zenith"), horizon: part("horizon"), haze: part("haze"),
    sun: part("sun"), sky: part("sky"), bounce: part("bounce"), cloud: part("cloud"),
    shade: part("shade"), strength: amount("strength"), ambient: amount("ambient"),
    lamps: amount("lamps") };
}

const SUNRISE_HOUR = 5.6;
const SUNSET_HOUR = 19.6;
const ELEVATION_MAX = 1.0;
const ELEVATION_MIN = 0.13;

/**
 * Towards the sun, or at night towards the moon; never quite at the horizon, where shadows have
 * no end. The sun rises in the east (+x) and goes by the south (+z).
 * @param {number} hour
 * @returns {[number, number, number]} of length 1
 */
export function lightAt(hour) {
  const time = ((hour % 24) + 24) % 24;
  const share = (time - SUNRISE_HOUR) / (SUNSET_HOUR - SUNRISE_HOUR);
  if (share < 0 || share > 1) return direction(0.9, 0.62);
  return direction(Math.PI * share, Math.max(ELEVATION_MAX * Math.sin(Math.PI * share),
    ELEVATION_MIN));
}

/** @param {number} azimuth from east by south @param {number} elevation
 *  @returns {[number, number, number]} */
function direction(azimuth, elevation) {
  const level = Math.cos(elevation);
  return [Math.cos(azimuth) * level, Math.sin(elevation), Math.sin(azimuth) * level];
}
