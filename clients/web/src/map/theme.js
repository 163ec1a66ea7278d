/** Colours and typefaces of the map, by day and by night. */

/** @typedef {typeof DAY} Theme */

const SERIF = '"Iowan Old Style", "Palatino Linotype", Palatino, "URW Palladio L", Georgia, serif';

const DAY = {
  serif: SERIF,
  paper: "#efe3ca",
  border: "#f7eeda",
  floor: "#f8f0de",
  stoneLight: "#fcf7ea",
  stoneDark: "#f1e6cd",
  joint: "rgba(122, 98, 62, 0.22)",
  ink: "#43382a",
  inkSoft: "#7c6a50",
  halo: "rgba(250, 243, 226, 0.85)",
  shadow: "rgba(92, 66, 30, 0.16)",
  shadowInk: "rgba(96, 70, 44, 0.17)",
  hatch: "rgba(82, 62, 38, 0.34)",
  roof: "#e7cfae",
  wall: "#a98f70",
  wood: "#d6ad7c",
  seat: "#c99a66",
  grass: "#c3d29b",
  grassInk: "rgba(84, 110, 58, 0.6)",
  tree: "#9fb578",
  treeLight: "#b3c68c",
  treeTop: "#c6d5a1",
  water: "#aed3d6",
  waterInk: "#5f9aa6",
  washes: ["#ecc9a0", "#e9bfae", "#c9d0df", "#dcc7dc", "#e8d79a", "#bcd5cb"],
  gaze: "rgba(67, 56, 42, 0.11)",
  bubble: "#fffaf0",
  own: "#c4512d",
  lightness: 0,
};

/** @type {Theme} */
const NIGHT = {
  serif: SERIF,
  paper: "#171b26",
  border: "#222838",
  floor: "#262d3e",
  stoneLight: "#2b3346",
  stoneDark: "#212737",
  joint: "rgba(190, 196, 214, 0.13)",
  ink: "#d8ceb6",
  inkSoft: "#a59c88",
  halo: "rgba(30, 36, 50, 0.82)",
  shadow: "rgba(0, 0, 0, 0.35)",
  shadowInk: "rgba(6, 9, 18, 0.36)",
  hatch: "rgba(216, 206, 182, 0.26)",
  roof: "#424659",
  wall: "#6f6a66",
  wood: "#6d5846",
  seat: "#8a6c50",
  grass: "#33493f",
  grassInk: "rgba(150, 184, 146, 0.45)",
  tree: "#3c5a4b",
  treeLight: "#486a56",
  treeTop: "#577b62",
  water: "#2c556c",
  waterInk: "#7fb4c4",
  washes: ["#574536", "#57403f", "#3a4563", "#4c3f5c", "#57502f", "#2f5050"],
  gaze: "rgba(240, 226, 186, 0.13)",
  bubble: "#323a4e",
  own: "#f0a35e",
  lightness: 8,
};

/** @param {boolean} dark @returns {Theme} */
export function themeOf(dark) {
  return dark ? NIGHT : DAY;
}

/** Hues of clothes: chosen by hand to sit well on paper and to be told apart. */
const HUES = [8, 24, 40, 78, 128, 164, 188, 208, 232, 268, 310, 340];

/**
 * The colour of a person: always the same for the same entity.
 * @param {number} entityId
 * @param {Theme} theme
 */
export function colourOf(entityId, theme) {
  const mixed = Math.imul(entityId ^ 0x9e3779b9, 0x85ebca6b) >>> 8;
  const hue = HUES[mixed % HUES.length];
  const saturation = 32 + ((mixed >>> 8) % 3) * 7;
  const lightness = 50 + ((mixed >>> 12) % 3) * 6 + theme.lightness;
  return `hsl(${hue} ${saturation}% ${lightness}%)`;
}
