/**
 * The map on its canvas: a camera that follows, the sheet of paper, the people on it.
 *
 * The static scene lies on an off-screen sheet (paper.js) that is somewhat larger than the screen.
 * It is drawn anew when the scene, the theme or the settled zoom changes, or when the camera comes
 * to its edge; while the zoom moves, the old sheet is stretched. People are
 * drawn in each frame. The map knows nothing of the network: it is given people to draw and gives
 * back where on the ground a pointer was.
 */

import { EntityKind, Flags } from "../core/protocol.generated.js";
import {
  drawBurst, drawGaze, drawNames, drawPerson, drawSpeech, drawTyping,
} from "./figures.js";
import { drawScene } from "./paper.js";
import { emptyScene } from "../core/scene.js";
import { themeOf } from "./theme.js";

/** @typedef {import("./figures.js").Person} Person */
/** @typedef {import("../core/scene.js").Scene} Scene */

const SCALE_MIN = 5;
const SCALE_MAX = 90;
const SCALE_START = 27;
/** The sheet is this many times as wide and as deep as the screen. */
const SHEET_PART = 1.7;
const SETTLED_MS = 180;
const SPEECH_MS = 6_000;
const SPEECH_MS_PER_GLYPH = 45;
const FOLLOW_PER_S = 6;
const MARK_MS = 700;
const SPEAKERS_MAX = 256;

export class MapCanvas {
  scene = emptyScene();
  /** CSS pixels per metre, and the one that the zoom moves to. */
  scale = SCALE_START;
  wantedScale = SCALE_START;
  centre = { x: 0, z: 0 };
  /** A frame is drawn without easing when motion is to be reduced. */
  still = false;
  #theme = themeOf(false);
  #ctx;
  #canvas;
  #wide = 0;
  #deep = 0;
  #dpr = 1;
  #sheet = document.createElement("canvas");
  /** Device pixels per metre of the sheet; 0: it must be drawn. */
  #sheetScale = 0;
  /** What of the ground lies on the sheet. */
  #area = { minX: 0, minZ: 0, maxX: 0, maxZ: 0 };
  #zoomedAt = 0;
  /** @type {Map<number, import("./figures.js").Speech>} */
  #speech = new Map();
  /** @type {Map<number, import("./figures.js").Burst>} */
  #bursts = new Map();
  /** @type {{x: number, z: number, since: number} | null} */
  #mark = null;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    const ctx = canvas.getContext("2d", { alpha: false });
    if (!ctx) throw new Error("This browser has no 2D canvas.");
    this.#canvas = canvas;
    this.#ctx = ctx;
  }

  /** @param {Scene} scene */
  show(scene) {
    this.scene = scene;
    this.#sheetScale = 0;
    this.#speech.clear();
    this.#bursts.clear();
  }

  /** @param {boolean} dark */
  set dark(dark) {
    this.#theme = themeOf(dark);
    this.#sheetScale = 0;
  }

  /**
   * @param {number} factor
   * @param {number} now
   */
  zoom(factor, now) {
    const wanted = this.wantedScale * factor;
    this.wantedScale = Math.min(Math.max(wanted, SCALE_MIN), SCALE_MAX);
    this.#zoomedAt = now;
  }

  /**
   * @param {number} entityId
   * @param {string} text
   * @param {number} now
   */
  say(entityId, text, now) {
    if (this.#speech.size >= SPEAKERS_MAX) this.#speech.clear();
    const shown = SPEECH_MS + SPEECH_MS_PER_GLYPH * Math.min(text.length, 120);
    this.#speech.set(entityId, { text, until: now + shown });
  }

  /**
   * @param {number} entityId
   * @param {number} emote
   * @param {number} now
   */
  burst(entityId, emote, now) {
    if (this.#bursts.size >= SPEAKERS_MAX) this.#bursts.clear();
    this.#bursts.set(entityId, { emote, since: now });
  }

  /**
   * Shows where a click sends the own avatar.
   * @param {{x: number, z: number}} point
   * @param {number} now
   */
  mark(point, now) {
    this.#mark = { ...point, since: now };
  }

  /**
   * The point of the ground under a CSS pixel of the canvas.
   * @param {number} px
   * @param {number} py
   */
  ground(px, py) {
    return {
      x: this.centre.x + (px - this.#wide / 2) / this.scale,
      z: this.centre.z + (py - this.#deep / 2) / this.scale,
    };
  }

  /** @param {number} x @param {number} z */
  project(x, z) {
    return {
      x: this.#wide / 2 + (x - this.centre.x) * this.scale,
      y: this.#deep / 2 + (z - this.centre.z) * this.scale,
    };
  }

  /**
   * The seat under a point of the ground, if any.
   * @param {{x: number, z: number}} point
   */
  seatAt(point) {
    const reach = Math.max(0.45, 12 / this.scale);
    return this.scene.seats.find((seat) => Math.hypot(seat.x - point.x, seat.z - point.z) < reach);
  }

  /**
   * @param {{x: number, z: number}} focus what the camera follows
   * @param {number} dt seconds since the last frame
   */
  follow(focus, dt) {
    const [dx, dz] = [focus.x - this.centre.x, focus.z - this.centre.z];
    const part = this.still || Math.hypot(dx, dz) > 15 ? 1 : 1 - Math.exp(-FOLLOW_PER_S * dt);
    this.centre.x += dx * part;
    this.centre.z += dz * part;
    const zoomPart = this.still ? 1 : 1 - Math.exp(-12 * dt);
    this.scale += (this.wantedScale - this.scale) * zoomPart;
    if (Math.abs(this.scale - this.wantedScale) < 0.01) this.scale = this.wantedScale;
  }

  /**
   * Draws one frame.
   * @param {Person[]} people nearest to the focus first
   * @param {number} now ms
   */
  draw(people, now) {
    this.#fit();
    const ctx = this.#ctx;
    ctx.setTransform(this.#dpr, 0, 0, this.#dpr, 0, 0);
    this.#ground(now);
    this.#drawMark(now);
    const stage = { ctx, theme: this.#theme, scale: this.scale, now, still: this.still };
    const visible = people.filter(({ x, y }) => (
      x > -80 && y > -80 && x < this.#wide + 80 && y < this.#deep + 80));
    for (const person of visible) drawGaze(stage, person);
    for (let i = visible.length - 1; i >= 0; i--) drawPerson(stage, visible[i]);
    drawNames(stage, visible.filter(({ kind }) => kind !== EntityKind.PROP));
    for (let i = visible.length - 1; i >= 0; i--) this.#overHead(stage, visible[i]);
    this.#compass(this.#wide - 48, this.#deep - 122);
    this.#scaleBar();
  }

  /** @param {import("./figures.js").Stage} stage @param {Person} person */
  #overHead(stage, person) {
    const speech = this.#speech.get(person.id);
    if (speech && speech.until > stage.now) drawSpeech(stage, person, speech);
    else {
      this.#speech.delete(person.id);
      if (person.figure.flags & Flags.TYPING) drawTyping(stage, person);
    }
    const burst = this.#bursts.get(person.id);
    if (burst && !drawBurst(stage, person, burst)) this.#bursts.delete(person.id);
  }

  #fit() {
    const { clientWidth, clientHeight } = this.#canvas;
    const dpr = Math.min(window.devicePixelRatio || 1, 3);
    if (clientWidth === this.#wide && clientHeight === this.#deep && dpr === this.#dpr) return;
    [this.#wide, this.#deep, this.#dpr] = [clientWidth, clientHeight, dpr];
    this.#canvas.width = Math.round(clientWidth * dpr);
    this.#canvas.height = Math.round(clientHeight * dpr);
    this.#sheetScale = 0;
  }

  /** @param {number} now */
  #ground(now) {
    const ctx = this.#ctx;
    ctx.fillStyle = this.#theme.paper;
    ctx.fillRect(0, 0, this.#wide, this.#deep);
    const settled = this.scale === this.wantedScale && now - this.#zoomedAt > SETTLED_MS;
    const scale = this.scale * this.#dpr;
    if (!this.#sheetScale || !this.#covers() || (settled && this.#sheetScale !== scale)) {
      this.#drawSheet(scale);
    }
    const corner = this.project(this.#area.minX, this.#area.minZ);
    const size = this.scale / this.#sheetScale;
    ctx.drawImage(this.#sheet, corner.x, corner.y, this.#sheet.width * size,
      this.#sheet.height * size);
  }

  /** Whether all that the screen shows of the scene lies on the sheet. */
  #covers() {
    const [low, high] = [this.ground(0, 0), this.ground(this.#wide, this.#deep)];
    const { minX, minZ, maxX, maxZ } = this.#area;
    return low.x >= minX && low.z >= minZ && high.x <= maxX && high.z <= maxZ;
  }

  /** @param {number} scale device pixels per metre */
  #drawSheet(scale) {
    this.#sheetScale = scale;
    this.#sheet.width = Math.ceil(this.#canvas.width * SHEET_PART);
    this.#sheet.height = Math.ceil(this.#canvas.height * SHEET_PART);
    const [halfX, halfZ] = [this.#sheet.width / scale / 2, this.#sheet.height / scale / 2];
    const { x, z } = this.centre;
    this.#area = { minX: x - halfX, minZ: z - halfZ, maxX: x + halfX, maxZ: z + halfZ };
    const ctx = this.#sheet.getContext("2d", { alpha: false });
    if (!ctx) throw new Error("This browser has no 2D canvas.");
    ctx.fillStyle = this.#theme.paper;
    ctx.fillRect(0, 0, this.#sheet.width, this.#sheet.height);
    ctx.setTransform(scale, 0, 0, scale, -this.#area.minX * scale, -this.#area.minZ * scale);
    drawScene(ctx, this.scene, this.#theme, this.#dpr / scale, this.#area);
  }

  /** @param {number} now */
  #drawMark(now) {
    if (!this.#mark) return;
    const part = (now - this.#mark.since) / MARK_MS;
    if (part >= 1) {
      this.#mark = null;
      return;
    }
    const { x, y } = this.project(this.#mark.x, this.#mark.z);
    const ctx = this.#ctx;
    ctx.strokeStyle = this.#theme.own;
    ctx.lineWidth = 2;
    ctx.globalAlpha = 1 - part;
    ctx.beginPath();
    ctx.arc(x, y, this.still ? 9 : 4 + 12 * part, 0, 2 * Math.PI);
    ctx.moveTo(x - 4, y - 4);
    ctx.lineTo(x + 4, y + 4);
    ctx.moveTo(x + 4, y - 4);
    ctx.lineTo(x - 4, y + 4);
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  /** @param {number} x @param {number} y */
  #compass(x, y) {
    if (this.#wide < 700) return;
    const ctx = this.#ctx;
    const theme = this.#theme;
    ctx.lineWidth = 1;
    ctx.strokeStyle = ctx.fillStyle = theme.ink;
    for (let ray = 0; ray < 8; ray++) {
      const angle = (ray / 8) * 2 * Math.PI - Math.PI / 2;
      const far = ray % 2 ? 12 : 22;
      const side = ray % 2 ? 3 : 4.5;
      for (const [turn, filled] of /** @type {[number, boolean][]} */ (
        [[-0.7, true], [0.7, false]])) {
        ctx.beginPath();
        ctx.moveTo(x, y);
        ctx.lineTo(x + side * Math.cos(angle + turn), y + side * Math.sin(angle + turn));
        ctx.lineTo(x + far * Math.cos(angle), y + far * Math.sin(angle));
        ctx.closePath();
        ctx.fillStyle = filled ? theme.ink : theme.floor;
        ctx.fill();
        ctx.stroke();
      }
    }
    ctx.font = `600 13px ${theme.serif}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillStyle = theme.ink;
    ctx.fillText("N", x, y - 32);
  }

  #scaleBar() {
    if (this.#wide < 700) return;
    const ctx = this.#ctx;
    const theme = this.#theme;
    const metres = [1, 2, 5, 10, 20, 50].find((m) => m * this.scale >= 60) ?? 100;
    const length = metres * this.scale;
    const [right, y] = [this.#wide - 24, this.#deep - 74];
    ctx.lineWidth = 1;
    ctx.strokeStyle = theme.ink;
    for (let part = 0; part < 4; part++) {
      ctx.fillStyle = part % 2 ? theme.floor : theme.ink;
      ctx.fillRect(right - length + (part * length) / 4, y, length / 4, 5);
    }
    ctx.strokeRect(right - length, y, length, 5);
    ctx.font = `italic 12px ${theme.serif}`;
    ctx.textAlign = "right";
    ctx.textBaseline = "top";
    ctx.lineWidth = 3;
    ctx.strokeStyle = theme.halo;
    ctx.fillStyle = theme.ink;
    ctx.strokeText(`${metres} m`, right, y + 8);
    ctx.fillText(`${metres} m`, right, y + 8);
  }
}
