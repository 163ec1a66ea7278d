/** What stands on the plaza: walls, roofs, benches, trees, water, and the shadows of it all. */

import { inkLine, ring, trace, TURN } from "./ink.js";

/** @typedef {import("../core/scene.js").Box} Box */
/** @typedef {import("../core/scene.js").Cylinder} Cylinder */
/** @typedef {import("../core/scene.js").Seat} Seat */
/** @typedef {import("./ink.js").Pen} Pen */

/** Light comes from the north-west; a shadow is this part of a height long. */
const SHADOW = { x: 0.26, z: 0.34 };
const SHADOW_HEIGHT_M_MAX = 6;
const OVERHEAD_M = 1.8;
/** Names of what holds water. */
export const FOUNTAIN = /fountain|pond|pool|basin/i;

/**
 * The shadow of a box or a cylinder, swept from its foot.
 * @param {Pen} pen
 * @param {Box | Cylinder} solid
 * @param {number} floor metres
 */
export function shadow({ ctx, theme }, solid, floor) {
  const low = Math.max(0, solid.bottom - floor);
  const height = Math.min(Math.max(0, solid.top - floor), SHADOW_HEIGHT_M_MAX);
  const steps = Math.max(2, Math.ceil((height - low) * 5));
  ctx.fillStyle = theme.shadowInk;
  ctx.beginPath();
  for (let i = 1; i <= steps; i++) {
    const part = low + ((height - low) * i) / steps;
    footprint(ctx, solid, solid.x + SHADOW.x * part, solid.z + SHADOW.z * part);
  }
  ctx.fill("nonzero");
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Box | Cylinder} solid
 * @param {number} x
 * @param {number} z
 */
function footprint(ctx, solid, x, z) {
  if ("radius" in solid) {
    ctx.moveTo(x + solid.radius, z);
    ctx.arc(x, z, solid.radius, 0, TURN);
    return;
  }
  corners(solid, x, z).forEach(([u, v], i) => (i ? ctx.lineTo(u, v) : ctx.moveTo(u, v)));
  ctx.closePath();
}

/**
 * @param {Box} one
 * @param {number} x
 * @param {number} z
 * @param {number} [inset] metres
 * @returns {[number, number][]}
 */
function corners(one, x, z, inset = 0) {
  const [cos, sin] = [Math.cos(one.yaw), Math.sin(one.yaw)];
  const [u, v] = [one.wide / 2 - inset, one.deep / 2 - inset];
  return [[-u, -v], [u, -v], [u, v], [-u, v]].map(([a, b]) => (
    /** @type {[number, number]} */ ([x + a * cos + b * sin, z - a * sin + b * cos])));
}

/**
 * @param {Pen} pen
 * @param {Box} one
 * @param {number} floor metres
 */
export function box(pen, one, floor) {
  const { ctx, theme } = pen;
  const thin = Math.min(one.wide, one.deep) < 0.75 && one.top - floor > 0.8;
  const hedge = /hedge|planter|bush|flower/i.test(one.name);
  const wooden = /bench|stage|deck|table|crate|stall|kiosk/i.test(one.name);
  const points = corners(one, one.x, one.z);
  // What people walk under is drawn as a sheet of tracing paper.
  ctx.globalAlpha = one.bottom - floor > OVERHEAD_M ? 0.45 : 1;
  ctx.beginPath();
  trace(pen, points, 0.015);
  ctx.fillStyle = hedge ? theme.tree : wooden ? theme.wood : thin ? theme.wall : theme.roof;
  ctx.fill();
  ctx.save();
  ctx.clip();
  if (hedge) leaves(pen, one);
  else if (!thin) hatch(pen, one, wooden ? 0.28 : 0.45);
  ctx.restore();
  ctx.globalAlpha = 1;
  inkLine(pen, points);
  if (!thin && !wooden && !hedge && Math.min(one.wide, one.deep) > 2) {
    inkLine(pen, corners(one, one.x, one.z, 0.28), 0.7);
  }
}

/**
 * Planks or tiles: lines along the shorter side.
 * @param {Pen} pen
 * @param {Box} one
 * @param {number} spacing metres
 */
function hatch({ ctx, theme, random, px }, one, spacing) {
  ctx.save();
  ctx.translate(one.x, one.z);
  ctx.rotate(-one.yaw);
  if (one.deep > one.wide) ctx.rotate(Math.PI / 2);
  const [long, short] = [Math.max(one.wide, one.deep), Math.min(one.wide, one.deep)];
  ctx.strokeStyle = theme.hatch;
  ctx.lineWidth = 0.8 * px;
  ctx.beginPath();
  for (let at = -short / 2 + spacing; at < short / 2 - 0.05; at += spacing) {
    const wobble = (random() - 0.5) * 0.05;
    ctx.moveTo(-long / 2 + random() * 0.3, at + wobble);
    ctx.lineTo(long / 2 - random() * 0.3, at - wobble);
  }
  ctx.stroke();
  ctx.restore();
}

/**
 * @param {Pen} pen
 * @param {Box} one
 */
function leaves({ ctx, theme, random, px }, one) {
  ctx.strokeStyle = theme.grassInk;
  ctx.lineWidth = 0.8 * px;
  const reach = Math.max(one.wide, one.deep);
  const count = Math.min(200, Math.round(one.wide * one.deep * 16));
  for (let i = 0; i < count; i++) {
    const [u, v] = [(random() - 0.5) * reach, (random() - 0.5) * reach];
    ctx.beginPath();
    ctx.arc(one.x + u, one.z + v, 0.1, random() * TURN, random() * TURN + 2.4);
    ctx.stroke();
  }
}

/**
 * A seat: a small stool with its back away from where it looks.
 * @param {Pen} pen
 * @param {Seat} seat
 */
export function chair({ ctx, theme, px }, seat) {
  ctx.save();
  ctx.translate(seat.x, seat.z);
  ctx.rotate(-seat.yaw);
  ctx.fillStyle = theme.seat;
  ctx.strokeStyle = theme.ink;
  ctx.lineWidth = px;
  ctx.beginPath();
  ctx.roundRect(-0.22, -0.2, 0.44, 0.42, 0.1);
  ctx.fill();
  ctx.stroke();
  ctx.lineWidth = 2.2 * px;
  ctx.beginPath();
  ctx.moveTo(-0.2, 0.24);
  ctx.lineTo(0.2, 0.24);
  ctx.stroke();
  ctx.restore();
}

/**
 * @param {Pen} pen
 * @param {Cylinder} cylinder
 */
export function disc(pen, cylinder) {
  if (/tree|oak|linden|birch|maple|elm|cypress|palm/i.test(cylinder.name)) tree(pen, cylinder);
  else if (FOUNTAIN.test(cylinder.name)) fountain(pen, cylinder);
  else pillar(pen, cylinder);
}

/**
 * A crown of scallops in three tones. The trunk is what one bumps into; the crown is wider.
 * @param {Pen} pen
 * @param {Cylinder} cylinder
 */
function tree({ ctx, theme, random, px }, cylinder) {
  const crown = Math.max(cylinder.radius * 1.25, cylinder.radius + 0.65);
  const turn = random() * TURN;
  for (const [part, fill] of /** @type {[number, string][]} */ (
    [[1, theme.tree], [0.68, theme.treeLight], [0.34, theme.treeTop]])) {
    const [x, z] = [cylinder.x - (1 - part) * 0.28 * crown, cylinder.z - (1 - part) * 0.34 * crown];
    const lobes = Math.max(5, Math.round(11 * Math.sqrt(part)));
    const reach = crown * part;
    ctx.beginPath();
    for (let i = 0; i < lobes; i++) {
      const angle = turn + (i / lobes) * TURN;
      const lobe = (reach * Math.PI) / lobes;
      const [u, v] = [x + reach * 0.8 * Math.cos(angle), z + reach * 0.8 * Math.sin(angle)];
      ctx.arc(u, v, lobe * (1 + 0.12 * random()), angle - 1.5, angle + 1.5);
    }
    ctx.closePath();
    ctx.fillStyle = fill;
    ctx.fill();
    ctx.strokeStyle = part === 1 ? theme.ink : theme.grassInk;
    ctx.lineWidth = (part === 1 ? 1.2 : 0.8) * px;
    ctx.stroke();
  }
}

/**
 * A stone rim, water in rings and a jet in the middle.
 * @param {Pen} pen
 * @param {Cylinder} cylinder
 */
function fountain({ ctx, theme, random, px }, cylinder) {
  const { x, z, radius } = cylinder;
  const rim = Math.min(0.35, radius * 0.18);
  ring(ctx, x, z, radius, theme.roof, theme.ink, 1.4 * px);
  ctx.strokeStyle = theme.hatch;
  ctx.lineWidth = 0.8 * px;
  const stones = Math.max(10, Math.round(radius * 9));
  ctx.beginPath();
  for (let i = 0; i < stones; i++) {
    const angle = (i / stones) * TURN;
    ctx.moveTo(x + radius * Math.cos(angle), z + radius * Math.sin(angle));
    ctx.lineTo(x + (radius - rim) * Math.cos(angle), z + (radius - rim) * Math.sin(angle));
  }
  ctx.stroke();
  ring(ctx, x, z, radius - rim, theme.water, theme.ink, 1.1 * px);
  ctx.strokeStyle = theme.waterInk;
  ctx.lineWidth = 1.1 * px;
  for (let part = 0.84; part > 0.3; part -= 0.18) {
    const start = random() * TURN;
    for (let arc = 0; arc < 3; arc++) {
      ctx.beginPath();
      ctx.arc(x, z, (radius - rim) * part, start + arc * 2.1, start + arc * 2.1 + 1.2);
      ctx.stroke();
    }
  }
  ring(ctx, x, z, radius * 0.17, theme.roof, theme.ink, 1.1 * px);
  ring(ctx, x, z, radius * 0.07, theme.water, theme.waterInk, px);
}

/**
 * @param {Pen} pen
 * @param {Cylinder} cylinder
 */
function pillar({ ctx, theme, px }, cylinder) {
  ring(ctx, cylinder.x, cylinder.z, cylinder.radius, theme.roof, theme.ink, 1.3 * px);
  if (cylinder.radius > 0.14) {
    ring(ctx, cylinder.x, cylinder.z, cylinder.radius * 0.6, theme.floor, theme.hatch, px);
  }
}
