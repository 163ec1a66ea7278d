/**
 * The ground as a mesh: rings of stone around the heart of the place, laid in circles; the square
 * around them; and the land up to the hills. The pieces share their corners, so there is no seam
 * and no piece lies upon another. Texture coordinates count tiles of stone. Pure.
 */

import { TILE_M } from "./stones.js";

/** @typedef {import("../../core/scene.js").Scene} Scene */
/** @typedef {import("./mesh.js").Mesh} Mesh */
/** @typedef {import("./plan.js").Plan} Plan */

const SEGMENTS = 64;
const LAND_M = 330;
const UP = [0, 1, 0];

/** @param {Mesh} mesh @param {Scene} place @param {Plan} plan */
export function buildFloor(mesh, place, plan) {
  const middle = plan.heart ?? { x: (place.minX + place.maxX) / 2,
    z: (place.minZ + place.maxZ) / 2, radius: 0 };
  mesh.at(0, place.floor, 0).paint([1, 1, 1], { ground: false });
  if (plan.heart) buildHeart(mesh, plan.heart);
  const angles = anglesOf(place, middle);
  const edge = angles.map((angle) => toEdge(place, middle, angle));
  const far = Math.hypot(place.maxX - place.minX, place.maxZ - place.minZ) / 2 + LAND_M;
  /** @type {((at: number) => [number, number])[]} */
  const rows = [
    (at) => [middle.radius * Math.cos(angles[at]), middle.radius * Math.sin(angles[at])],
    (at) => [edge[at] * Math.cos(angles[at]), edge[at] * Math.sin(angles[at])],
    (at) => [far * Math.cos(angles[at]), far * Math.sin(angles[at])],
  ];
  const first = mesh.vertexCount;
  for (let at = 0; at < angles.length; at++) {
    for (const row of rows) {
      const [dx, dz] = row(at);
      const [x, z] = [middle.x + dx, middle.z + dz];
      mesh.corner([x, 0, z], UP, x / TILE_M, z / TILE_M);
    }
  }
  stitch(mesh, first, angles.length, rows.length);
}

/** @param {Mesh} mesh @param {{x: number, z: number, radius: number}} heart */
function buildHeart(mesh, heart) {
  const half = heart.radius / 2;
  for (const [inner, outer] of [[0, half], [half, heart.radius]]) {
    const tiles = Math.max(Math.round(((inner + outer) * Math.PI) / TILE_M), 1);
    const first = mesh.vertexCount;
    for (let at = 0; at <= SEGMENTS; at++) {
      const angle = (at / SEGMENTS) * Math.PI * 2;
      for (const radius of [inner, outer]) {
        mesh.corner([heart.x + Math.cos(angle) * radius, 0, heart.z + Math.sin(angle) * radius],
          UP, (at / SEGMENTS) * tiles, radius / TILE_M);
      }
    }
    stitch(mesh, first, SEGMENTS + 1, 2);
  }
}

/** @param {Mesh} mesh @param {number} first @param {number} columns @param {number} rows */
function stitch(mesh, first, columns, rows) {
  for (let at = 0; at + 1 < columns; at++) {
    for (let row = 0; row + 1 < rows; row++) {
      const corner = first + at * rows + row;
      mesh.quad(corner, corner + rows, corner + rows + 1, corner + 1);
    }
  }
}

/** Evenly around, and exactly at the corners of the place. @param {Scene} place
 *  @param {{x: number, z: number}} middle @returns {number[]} */
function anglesOf(place, middle) {
  const even = Array.from({ length: SEGMENTS + 1 }, (_, at) => (at / SEGMENTS) * Math.PI * 2);
  const corners = [[place.minX, place.minZ], [place.maxX, place.minZ], [place.maxX, place.maxZ],
    [place.minX, place.maxZ]].map(([x, z]) =>
    (Math.atan2(z - middle.z, x - middle.x) + Math.PI * 2) % (Math.PI * 2));
  return [...even, ...corners].sort((one, two) => one - two);
}

/** @param {Scene} place @param {{x: number, z: number}} middle @param {number} angle */
function toEdge(place, { x, z }, angle) {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const toX = (cos > 0 ? place.maxX - x : place.minX - x) / (cos || 1e-9);
  const toZ = (sin > 0 ? place.maxZ - z : place.minZ - z) / (sin || 1e-9);
  return Math.min(Math.abs(toX), Math.abs(toZ));
}
