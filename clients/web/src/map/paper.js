/**
 * The plaza as a hand-drawn map: paper, paving, washes of colour, ink.
 *
 * Everything that does not move is drawn once for a scale and a theme onto a sheet of its own,
 * and the sheet is laid under the people in each frame. This file draws the ground, `solids.js`
 * what stands on it, with the strokes of `ink.js`. The unit of all contexts is the metre, x to the
 * east and z to the south.
 */

import { hash, seeded, trace, TURN } from "./ink.js";
import { box, chair, disc, FOUNTAIN, shadow } from "./solids.js";

/** @typedef {import("../core/scene.js").Scene} Scene */
/** @typedef {import("../core/scene.js").Zone} Zone */
/** @typedef {import("../core/scene.js").Seat} Seat */
/** @typedef {import("./theme.js").Theme} Theme */
/** @typedef {import("./ink.js").Pen} Pen */
/** @typedef {{minX: number, minZ: number, maxX: number, maxZ: number}} Area metres */

const BORDER_M = 0.9;
const STONE_M = 2;
/** Metres per pixel beyond which the joints of stones would only be a grey veil. */
const STONE_PX_MAX = 0.22;

/**
 * Draws the whole scene.
 * @param {CanvasRenderingContext2D} ctx in metres
 * @param {Scene} scene
 * @param {Theme} theme
 * @param {number} px one CSS pixel in metres
 * @param {Area} area what can be seen of it
 */
export function drawScene(ctx, scene, theme, px, area) {
  const pen = { ctx, theme, random: seeded(20_117), px };
  ctx.lineCap = ctx.lineJoin = "round";
  border(pen, scene);
  paving(pen, scene, area);
  for (const one of scene.cylinders) if (FOUNTAIN.test(one.name)) rings(pen, one);
  for (const zone of scene.zones) wash(pen, zone);
  for (const spawn of scene.spawns) arrival(pen, spawn);
  for (const solid of [...scene.boxes, ...scene.cylinders]) shadow(pen, solid, scene.floor);
  for (const one of [...scene.boxes].sort((a, b) => a.top - b.top)) box(pen, one, scene.floor);
  for (const seat of scene.seats) chair(pen, seat);
  for (const one of [...scene.cylinders].sort((a, b) => a.top - b.top)) disc(pen, one);
  for (const zone of scene.zones) label(pen, zone);
}

/**
 * The border of an old map: a double line, between them blocks of five metres.
 * @param {Pen} pen
 * @param {Scene} scene
 */
function border({ ctx, theme, px }, scene) {
  const { minX, minZ, maxX, maxZ } = scene;
  const [wide, deep] = [maxX - minX, maxZ - minZ];
  ctx.fillStyle = theme.shadow;
  ctx.fillRect(minX - BORDER_M + 0.35, minZ - BORDER_M + 0.45, wide + 2 * BORDER_M,
    deep + 2 * BORDER_M);
  ctx.fillStyle = theme.border;
  ctx.fillRect(minX - BORDER_M, minZ - BORDER_M, wide + 2 * BORDER_M, deep + 2 * BORDER_M);
  ctx.fillStyle = theme.ink;
  const [near, far] = [BORDER_M * 0.62, BORDER_M * 0.3];
  for (let x = minX, dark = true; x < maxX; x += 5, dark = !dark) {
    const length = Math.min(5, maxX - x);
    ctx.fillRect(x, (dark ? minZ - near : maxZ + far), length, near - far);
  }
  for (let z = minZ, dark = true; z < maxZ; z += 5, dark = !dark) {
    const length = Math.min(5, maxZ - z);
    ctx.fillRect((dark ? minX - near : maxX + far), z, near - far, length);
  }
  ctx.strokeStyle = theme.ink;
  for (const [out, width] of [[BORDER_M, 1.6], [near, 0.8], [far, 0.8], [0, 1.2]]) {
    ctx.lineWidth = width * px;
    ctx.strokeRect(minX - out, minZ - out, wide + 2 * out, deep + 2 * out);
  }
  ctx.fillStyle = theme.floor;
  ctx.fillRect(minX, minZ, wide, deep);
}

/**
 * Flagstones in offset rows, many of their joints left out as a draughtsman would. Each stone has
 * a generator of its own, so that any part of the plaza can be drawn without the rest.
 * @param {Pen} pen
 * @param {Scene} scene
 * @param {Area} area
 */
function paving({ ctx, theme, px }, scene, area) {
  if (px > STONE_PX_MAX) return;
  const west = Math.max(area.minX, scene.minX);
  const east = Math.min(area.maxX, scene.maxX);
  const south = Math.min(area.maxZ, scene.maxZ);
  const firstRow = Math.floor((Math.max(area.minZ, scene.minZ) - scene.minZ) / STONE_M);
  const firstColumn = Math.floor((west - scene.minX) / STONE_M);
  const joints = new Path2D();
  for (let row = firstRow; scene.minZ + row * STONE_M < south; row++) {
    for (let column = firstColumn; ; column++) {
      const left = scene.minX + column * STONE_M - (row % 2);
      if (left >= east) break;
      const random = seeded(Math.imul(row + 7919, 73_856_093) ^ Math.imul(column, 19_349_663));
      const z = scene.minZ + row * STONE_M;
      const [from, to] = [Math.max(left, scene.minX), Math.min(left + STONE_M, scene.maxX)];
      const bottom = Math.min(z + STONE_M, scene.maxZ);
      if (random() < 0.09) {
        ctx.fillStyle = random() < 0.5 ? theme.stoneLight : theme.stoneDark;
        ctx.fillRect(from, z, to - from, bottom - z);
      }
      stoneJoints(joints, from, to, z, bottom, random);
    }
  }
  ctx.strokeStyle = theme.joint;
  ctx.lineWidth = 0.9 * px;
  ctx.stroke(joints);
}

/**
 * @param {Path2D} path
 * @param {number} left
 * @param {number} right
 * @param {number} top
 * @param {number} bottom
 * @param {import("./ink.js").Random} random
 */
function stoneJoints(path, left, right, top, bottom, random) {
  const wobble = () => (random() - 0.5) * 0.08;
  if (random() < 0.72) {
    path.moveTo(left + random() * 0.3, top + wobble());
    path.lineTo(right - random() * 0.3, top + wobble());
  }
  if (random() < 0.6) {
    path.moveTo(left + wobble(), top + random() * 0.3);
    path.lineTo(left + wobble(), bottom - random() * 0.3);
  }
}

/**
 * Around a fountain the stones lie in rings.
 * @param {Pen} pen
 * @param {import("../core/scene.js").Cylinder} fountain
 */
function rings({ ctx, theme, random, px }, { x, z, radius }) {
  const count = 4;
  const deep = Math.max(0.9, radius * 0.28);
  ctx.fillStyle = theme.floor;
  ctx.beginPath();
  ctx.arc(x, z, radius + count * deep, 0, TURN);
  ctx.fill();
  ctx.strokeStyle = theme.joint;
  ctx.lineWidth = px;
  for (let ring = 0; ring < count; ring++) {
    const inner = radius + ring * deep;
    const stones = Math.round((TURN * inner) / 1.6);
    const offset = (ring % 2) * 0.5;
    for (let i = 0; i < stones; i++) {
      const [from, to] = [((i + offset) / stones) * TURN, ((i + 1 + offset) / stones) * TURN];
      ctx.beginPath();
      ctx.arc(x, z, inner + deep, from, to);
      ctx.arc(x, z, inner, to, from, true);
      ctx.closePath();
      const tone = random();
      ctx.fillStyle = tone < 0.12 ? theme.stoneLight : tone < 0.3 ? theme.stoneDark : theme.floor;
      ctx.fill();
      ctx.stroke();
    }
  }
}

/**
 * A watercolour wash with a dashed edge.
 * @param {Pen} pen
 * @param {Zone} zone
 */
function wash(pen, zone) {
  const { ctx, theme, random, px } = pen;
  const green = zone.kind === "garden";
  const hue = theme.washes[hash(zone.kind || zone.name) % theme.washes.length];
  ctx.fillStyle = green ? theme.grass : hue;
  for (let layer = 0; layer < 3; layer++) {
    ctx.beginPath();
    trace(pen, outline(zone), 0.22 + 0.12 * layer);
    ctx.globalAlpha = 0.34;
    ctx.fill();
  }
  ctx.globalAlpha = 1;
  if (green) tufts(pen, zone);
  ctx.beginPath();
  trace(pen, outline(zone), 0.05);
  ctx.strokeStyle = theme.inkSoft;
  ctx.lineWidth = 1.1 * px;
  ctx.setLineDash([7 * px, 5 * px]);
  ctx.lineDashOffset = random() * px;
  ctx.stroke();
  ctx.setLineDash([]);
}

/**
 * @param {Pen} pen
 * @param {Zone} zone
 */
function tufts({ ctx, theme, random, px }, zone) {
  ctx.strokeStyle = theme.grassInk;
  ctx.lineWidth = 0.9 * px;
  ctx.beginPath();
  const { wide, deep } = zone;
  const count = Math.min(260, wide * deep * 0.5);
  for (let i = 0; i < count; i++) {
    const x = zone.x + (random() - 0.5) * (wide - 0.6);
    const z = zone.z + (random() - 0.5) * (deep - 0.6);
    for (const lean of [-0.09, 0, 0.09]) {
      ctx.moveTo(x + lean * 0.4, z);
      ctx.lineTo(x + lean, z - 0.16 - 0.05 * random());
    }
  }
  ctx.stroke();
}

/**
 * @param {Zone} zone
 * @returns {[number, number][]}
 */
function outline({ x, z, wide, deep }) {
  const [u, v] = [wide / 2, deep / 2];
  return [[x - u, z - v], [x + u, z - v], [x + u, z + v], [x - u, z + v]];
}

/**
 * The name of a zone, spaced like the names of countries.
 * @param {Pen} pen
 * @param {Zone} zone
 */
function label({ ctx, theme, px }, zone) {
  if (!zone.name) return;
  const size = Math.min(20 * px, Math.max(11 * px, zone.wide / (zone.name.length * 0.95)));
  ctx.font = `italic ${size}px ${theme.serif}`;
  ctx.letterSpacing = `${size * 0.22}px`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  const z = zone.z + zone.deep / 2 - size * 1.1;
  ctx.lineWidth = size * 0.22;
  ctx.strokeStyle = theme.halo;
  const title = zone.name.replaceAll(/[_-]/g, " ");
  ctx.strokeText(title, zone.x, z);
  ctx.fillStyle = theme.inkSoft;
  ctx.fillText(title, zone.x, z);
  ctx.letterSpacing = "0px";
}

/**
 * Where people arrive: a faint rosette.
 * @param {Pen} pen
 * @param {Seat} spawn
 */
function arrival({ ctx, theme, px }, spawn) {
  ctx.strokeStyle = theme.joint;
  ctx.lineWidth = 1.2 * px;
  ctx.beginPath();
  for (let ray = 0; ray < 8; ray++) {
    const angle = (ray / 8) * TURN;
    const far = ray % 2 ? 0.32 : 0.5;
    ctx.moveTo(spawn.x + 0.16 * Math.cos(angle), spawn.z + 0.16 * Math.sin(angle));
    ctx.lineTo(spawn.x + far * Math.cos(angle), spawn.z + far * Math.sin(angle));
  }
  ctx.stroke();
}
