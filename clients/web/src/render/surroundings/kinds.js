/**
 * What a solid of a scene is meant to be. Scenes say no more than shapes and names, and a name is
 * a hint and no promise: what is not known, or has a shape that does not suit its name, is drawn
 * as plain masonry. Pure.
 */

/** @typedef {import("../../core/scene.js").Box} Box */
/** @typedef {import("../../core/scene.js").Cylinder} Cylinder */
/** @typedef {"wall"|"bench"|"stage"|"step"|"backdrop"|"counter"|"roof"|"hedge"|"block"} BoxKind */
/** @typedef {"tree"|"basin"|"fountain"|"post"|"tower"|"pillar"} CylinderKind */

const LOW_M = 1.6;
const BASIN_RADIUS_M_MIN = 1.2;
const TRUNK_M_MIN = 2.0;
const TRUNK_RADIUS_M_MAX = 0.8;

/** @param {Box} box @returns {BoxKind} */
export function kindOfBox({ name, wide, deep, top, bottom }) {
  const high = top - bottom;
  if (/bench/.test(name) && high < 1) return "bench";
  if (/hedge/.test(name) && high < 4) return "hedge";
  if (/^stage-wall|backdrop/.test(name)) return "backdrop";
  if (/step|stair/.test(name)) return "step";
  if (/^(stage|podium|platform)/.test(name) && high < LOW_M) return "stage";
  if (/counter|bar$/.test(name) && high < LOW_M) return "counter";
  if (/roof|awning/.test(name) && high < 1) return "roof";
  if (/wall|fence/.test(name) && Math.min(wide, deep) < 2) return "wall";
  return "block";
}

/** @param {Cylinder} cylinder @returns {CylinderKind} */
export function kindOfCylinder({ name, radius, top, bottom }) {
  const high = top - bottom;
  if (/tree|palm|oak|pine/.test(name) && high >= TRUNK_M_MIN && radius <= TRUNK_RADIUS_M_MAX) {
    return "tree";
  }
  if (/fountain|basin|pond/.test(name)) {
    if (radius >= BASIN_RADIUS_M_MIN && high < LOW_M) return "basin";
    if (high > radius * 2) return "fountain";
  }
  if (/tower/.test(name) && high > radius * 3) return "tower";
  if (/post|pole/.test(name) && radius < 0.3) return "post";
  return "pillar";
}
