/**
 * People on the map: a body seen from above, its hands, its gaze, its name and what it says.
 *
 * The context's unit is the CSS pixel here and positions come projected, because people and text
 * keep a readable size at every zoom.
 */

import { EntityKind, Flags, Parts } from "../core/protocol.generated.js";
import { TURN } from "./ink.js";
import { colourOf } from "./theme.js";

/** @typedef {import("./theme.js").Theme} Theme */
/** @typedef {import("../core/view.js").Figure} Figure */

/**
 * @typedef {object} Person everything that is drawn of one entity in one frame
 * @property {number} id
 * @property {number} kind
 * @property {string} name
 * @property {boolean} own
 * @property {number} x CSS pixels
 * @property {number} y
 * @property {Figure} figure
 */
/** @typedef {{text: string, until: number}} Speech */
/** @typedef {{emote: number, since: number}} Burst */
/** @typedef {{ctx: CanvasRenderingContext2D, theme: Theme, scale: number, now: number,
 *   still: boolean}} Stage scale in CSS pixels per metre, now in ms; still: reduced motion */

const BODY_M = 0.3;
const BODY_PX_MIN = 6;
const GAZE_M = 2.6;
const BURST_MS = 1600;
const BUBBLE_PX = 190;
const BUBBLE_LINES = 3;
const LINE_PX = 17;
const FADE_MS = 500;

/** The names of the emotes, in the order of their numbers. */
export const EMOTES = ["wave", "heart", "applause", "question"];

/**
 * @param {Stage} stage
 * @param {Person} person
 */
export function drawGaze({ ctx, theme, scale }, person) {
  if (person.kind === EntityKind.PROP || person.figure.flags & Flags.LINK_LOST) return;
  const reach = Math.max(GAZE_M * scale, 26);
  const gaze = heading(person.figure) + headTurn(person.figure);
  const fade = ctx.createRadialGradient(person.x, person.y, 0, person.x, person.y, reach);
  fade.addColorStop(0, theme.gaze);
  fade.addColorStop(1, "rgba(128, 128, 128, 0)");
  ctx.fillStyle = fade;
  ctx.beginPath();
  ctx.moveTo(person.x, person.y);
  ctx.arc(person.x, person.y, reach, gaze - 0.5, gaze + 0.5);
  ctx.fill();
}

/**
 * @param {Stage} stage
 * @param {Person} person
 */
export function drawPerson(stage, person) {
  const { ctx, theme, scale } = stage;
  const size = Math.max(BODY_M * scale, BODY_PX_MIN);
  const { figure } = person;
  ctx.save();
  ctx.translate(person.x, person.y);
  if (figure.flags & Flags.LINK_LOST) ctx.globalAlpha = 0.4;
  if (person.own) halo(stage, size);
  ctx.fillStyle = theme.shadowInk;
  ctx.beginPath();
  ctx.ellipse(size * 0.3, size * 0.4, size * 1.05, size * 0.85, 0.4, 0, TURN);
  ctx.fill();
  if (person.kind === EntityKind.PROP) thing(stage, person, size);
  else {
    // The root's frame: forward is -y on the canvas, as -z is on the ground.
    ctx.rotate(-figure.pose[3]);
    body(stage, person, size);
  }
  ctx.restore();
}

/**
 * @param {Stage} stage
 * @param {number} size
 */
function halo({ ctx, theme, now, still }, size) {
  const breath = still ? 0.5 : 0.5 + 0.5 * Math.sin(now / 700);
  ctx.strokeStyle = theme.own;
  ctx.lineWidth = 2;
  ctx.globalAlpha = 0.9;
  ctx.beginPath();
  ctx.arc(0, 0, size * 1.75 + breath * 1.5, 0, TURN);
  ctx.stroke();
  ctx.globalAlpha = 0.13;
  ctx.fillStyle = theme.own;
  ctx.fill();
  ctx.globalAlpha = 1;
}

/**
 * @param {Stage} stage
 * @param {Person} person
 * @param {number} size
 */
function thing({ ctx, theme }, person, size) {
  ctx.rotate(Math.PI / 4 - person.figure.pose[3]);
  ctx.fillStyle = colourOf(person.id, theme);
  ctx.strokeStyle = theme.ink;
  ctx.lineWidth = 1.2;
  ctx.beginPath();
  ctx.rect(-size * 0.55, -size * 0.55, size * 1.1, size * 1.1);
  ctx.fill();
  ctx.stroke();
}

/**
 * Shoulders, hands and a head with a nose, looking up the canvas.
 * @param {Stage} stage
 * @param {Person} person
 * @param {number} size radius of the shoulders
 */
function body({ ctx, theme }, person, size) {
  const { figure } = person;
  const fill = person.own ? theme.own : colourOf(person.id, theme);
  ctx.strokeStyle = theme.ink;
  ctx.lineWidth = Math.max(1, size * 0.11);
  ctx.fillStyle = fill;
  if (figure.parts & Parts.HANDS) {
    for (const point of [1, 2]) {
      const [x, z] = handAt(figure, point, size);
      ctx.beginPath();
      ctx.arc(x, z, size * 0.26, 0, TURN);
      ctx.fill();
      ctx.stroke();
    }
  }
  ctx.beginPath();
  if (person.kind === EntityKind.NPC) ctx.roundRect(-size, -size * 0.7, 2 * size, 1.4 * size, 3);
  else ctx.ellipse(0, 0, size, size * 0.76, 0, 0, TURN);
  ctx.fill();
  ctx.stroke();
  ctx.rotate(headTurn(figure));
  const head = size * 0.56;
  ctx.beginPath();
  ctx.moveTo(-head * 0.5, -head * 0.8);
  ctx.lineTo(0, -head * 1.65);
  ctx.lineTo(head * 0.5, -head * 0.8);
  ctx.fillStyle = theme.ink;
  ctx.fill();
  ctx.beginPath();
  ctx.arc(0, 0, head, 0, TURN);
  ctx.fillStyle = fill;
  ctx.fill();
  ctx.fillStyle = "rgba(255, 255, 255, 0.34)";
  ctx.fill();
  ctx.stroke();
}

/**
 * A hand on the canvas; farther out than in truth where people are drawn larger than in truth.
 * @param {Figure} figure
 * @param {number} point 1 or 2
 * @param {number} size
 */
function handAt({ pose }, point, size) {
  const at = 4 + 7 * point;
  const perMetre = size / BODY_M;
  return [pose[at] * perMetre * 1.12, pose[at + 2] * perMetre * 1.12];
}

/** The canvas angle of where the root looks. @param {Figure} figure */
function heading({ pose }) {
  return -Math.PI / 2 - pose[3];
}

/** Canvas radians, clockwise: zero when no head is tracked. @param {Figure} figure */
function headTurn({ pose, parts }) {
  if (!(parts & Parts.HEAD)) return 0;
  const [x, y, z, w] = [pose[7], pose[8], pose[9], pose[10]];
  return -Math.atan2(2 * (x * z + w * y), 1 - 2 * (x * x + y * y));
}

/**
 * Names below people, the own and the nearest first; who would cover another is left out.
 * @param {Stage} stage
 * @param {Person[]} people nearest first
 */
export function drawNames({ ctx, theme, scale }, people) {
  /** @type {[number, number, number][]} */
  const taken = [];
  const below = Math.max(BODY_M * scale, BODY_PX_MIN) * 1.25 + 11;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.lineJoin = "round";
  for (const person of people) {
    ctx.font = `${person.own ? "600 13.5px" : "12.5px"} ${theme.serif}`;
    const half = ctx.measureText(person.name).width / 2 + 3;
    const y = person.y + below + (person.own ? below * 0.35 : 0);
    const hidden = taken.some(([x, row, reach]) => (
      Math.abs(row - y) < 14 && Math.abs(x - person.x) < reach + half));
    if (hidden && !person.own) continue;
    taken.push([person.x, y, half]);
    ctx.globalAlpha = person.figure.flags & Flags.LINK_LOST ? 0.5 : 1;
    ctx.lineWidth = 3.5;
    ctx.strokeStyle = theme.halo;
    ctx.strokeText(person.name, person.x, y);
    ctx.fillStyle = person.own ? theme.own : theme.ink;
    ctx.fillText(person.name, person.x, y);
  }
  ctx.globalAlpha = 1;
}

/**
 * What somebody said, in a slip of paper over the head.
 * @param {Stage} stage
 * @param {Person} person
 * @param {Speech} speech
 */
export function drawSpeech({ ctx, theme, scale, now }, person, speech) {
  ctx.font = `13px ${theme.serif}`;
  const lines = wrap(ctx, speech.text, BUBBLE_PX);
  const wide = Math.max(...lines.map((line) => ctx.measureText(line).width)) + 20;
  const deep = lines.length * LINE_PX + 11;
  const bottom = person.y - Math.max(BODY_M * scale, BODY_PX_MIN) * 1.6 - 9;
  const [left, top] = [person.x - wide / 2, bottom - deep];
  ctx.globalAlpha = Math.min(1, Math.max(0, (speech.until - now) / FADE_MS));
  ctx.beginPath();
  ctx.roundRect(left, top, wide, deep, 9);
  ctx.moveTo(person.x - 6, bottom - 0.5);
  ctx.lineTo(person.x, bottom + 7);
  ctx.lineTo(person.x + 6, bottom - 0.5);
  ctx.fillStyle = theme.bubble;
  ctx.strokeStyle = theme.ink;
  ctx.lineWidth = 1.2;
  ctx.shadowColor = theme.shadowInk;
  ctx.shadowOffsetX = 2;
  ctx.shadowOffsetY = 3;
  ctx.stroke();
  ctx.shadowColor = "transparent";
  ctx.fill();
  ctx.fillStyle = theme.ink;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  lines.forEach((line, i) => ctx.fillText(line, person.x, top + 5 + LINE_PX * (i + 0.52)));
  ctx.globalAlpha = 1;
}

/**
 * At most BUBBLE_LINES lines; longer texts end with an ellipsis and are whole in the log.
 * @param {CanvasRenderingContext2D} ctx
 * @param {string} text
 * @param {number} most pixels
 */
export function wrap(ctx, text, most) {
  /** @type {string[]} */
  const lines = [];
  let line = "";
  for (const glyph of text.replaceAll(/\s+/g, " ").trim()) {
    if (ctx.measureText(line + glyph).width <= most) {
      line += glyph;
      continue;
    }
    if (lines.length === BUBBLE_LINES - 1) return [...lines, `${line.trimEnd()}…`];
    const space = line.lastIndexOf(" ");
    lines.push(space > 0 ? line.slice(0, space) : line);
    line = (space > 0 ? line.slice(space + 1) : "") + glyph;
  }
  return [...lines, line];
}

/**
 * Three dots over somebody who writes.
 * @param {Stage} stage
 * @param {Person} person
 */
export function drawTyping({ ctx, theme, scale, now, still }, person) {
  const y = person.y - Math.max(BODY_M * scale, BODY_PX_MIN) * 1.6 - 12;
  ctx.beginPath();
  ctx.roundRect(person.x - 16, y - 8, 32, 16, 8);
  ctx.fillStyle = theme.bubble;
  ctx.strokeStyle = theme.ink;
  ctx.lineWidth = 1;
  ctx.fill();
  ctx.stroke();
  ctx.fillStyle = theme.inkSoft;
  for (const dot of [-1, 0, 1]) {
    const lift = still ? 0 : Math.max(0, Math.sin(now / 180 - dot)) * 2;
    ctx.beginPath();
    ctx.arc(person.x + dot * 8, y - lift, 2.1, 0, TURN);
    ctx.fill();
  }
}

/**
 * A gesture: its sign rises over the head and some strokes fly out. False when it is over.
 * @param {Stage} stage
 * @param {Person} person
 * @param {Burst} burst
 */
export function drawBurst({ ctx, theme, scale, now, still }, person, burst) {
  const part = (now - burst.since) / BURST_MS;
  if (part >= 1) return false;
  const size = Math.max(BODY_M * scale, BODY_PX_MIN);
  const out = still ? 1 : 1 - (1 - part) ** 3;
  ctx.save();
  ctx.translate(person.x, person.y);
  ctx.globalAlpha = Math.min(1, (1 - part) * 3);
  ctx.strokeStyle = theme.own;
  ctx.lineWidth = 2;
  ctx.lineCap = "round";
  ctx.beginPath();
  for (let ray = 0; ray < 10; ray++) {
    const angle = (ray / 10) * TURN + 0.3;
    const [near, far] = [size * (1.5 + 1.1 * out), size * (1.8 + 1.6 * out)];
    ctx.moveTo(near * Math.cos(angle), near * Math.sin(angle));
    ctx.lineTo(far * Math.cos(angle), far * Math.sin(angle));
  }
  if (burst.emote !== 1) ctx.stroke();
  ctx.translate(0, -size * 2 - 14 - 12 * out);
  ctx.font = `700 22px ${theme.serif}`;
  sign(ctx, theme, burst.emote, still ? 0 : Math.sin(now / 90));
  ctx.restore();
  return true;
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Theme} theme
 * @param {number} emote
 * @param {number} sway -1..1
 */
function sign(ctx, theme, emote, sway) {
  ctx.fillStyle = theme.own;
  ctx.lineWidth = 2.4;
  ctx.beginPath();
  if (emote === 1) {
    ctx.moveTo(0, 9);
    ctx.bezierCurveTo(-16, -2, -9, -13, 0, -5);
    ctx.bezierCurveTo(9, -13, 16, -2, 0, 9);
    ctx.fill();
  } else if (emote === 2) {
    const gap = 3 + 3 * Math.abs(sway);
    ctx.ellipse(-gap, 0, 3.5, 8, 0.25, 0, TURN);
    ctx.ellipse(gap, 0, 3.5, 8, -0.25, 0, TURN);
    ctx.fill();
  } else if (emote === 0) {
    ctx.rotate(sway * 0.35);
    ctx.arc(0, 3, 5.5, 0, TURN);
    ctx.fill();
    for (const finger of [-0.5, -0.17, 0.17, 0.5]) {
      ctx.moveTo(5 * Math.sin(finger), 3 - 4 * Math.cos(finger));
      ctx.lineTo(11 * Math.sin(finger), 3 - 12 * Math.cos(finger));
    }
    ctx.stroke();
  } else {
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillText("?", 0, 0);
  }
}
