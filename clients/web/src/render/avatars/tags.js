/**
 * What is shown over people: names, signs, bubbles of speech and emotes that rise.
 *
 * Names and signs share one atlas and one draw call, bubbles have a second. Tags keep a readable
 * size from near to far, then fade; with the option `near` only those close by have one. The text
 * of strangers is cleaned, clipped and drawn, nothing else.
 */

import { Flags } from "../../core/protocol.generated.js";
import { smoothStep } from "../../core/body_math.js";
import { Atlas } from "./atlas.js";
import { Label, Labels } from "./labels.js";
import { EMOTE_SIGNS, LINK_LOST, paintSign, SPEAKING, TYPING } from "./signs.js";
import { cleanText, clipText, isolated, wrapText } from "./text.js";

/** @typedef {import("./actor.js").Actor} Actor */
/** @typedef {import("./crowd.js").CrowdOptions} CrowdOptions */
/** @typedef {import("../../../vendor/three.js").Group} Group */
/** @typedef {import("../../../vendor/three.js").Camera} Camera */

const NAME_GRAPHEMES_MAX = 32;
const LINE_GRAPHEMES_MAX = 180;
const TAG = Object.freeze({ columns: 8, rows: 18, width: 256, height: 56 });
const BUBBLE = Object.freeze({ columns: 4, rows: 8, width: 512, height: 160 });
const BUBBLE_LINES = 3;
const FLOATS_MAX = 64;
const FADE_M = Object.freeze({ all: [35, 48], near: [7, 10], none: [-2, -1] });
const SPEECH_M = [18, 24];
const ABOVE_M = 0.46;
/** More names than these are a cloud that nobody reads. */
const NAMES_MAX = 40;
const FONT = "system-ui, 'Noto Sans', 'Noto Sans CJK SC', 'Segoe UI', sans-serif";
const WHITE = 0xffffff;

/** @typedef {{id: number, sign: import("./signs.js").Sign, key: string, from: number,
 *   until: number, isUsed: boolean}} Float */
/** @typedef {{key: string, text: string, until: number, from: number}} Speech */

export class Tags {
  count = 0;
  #options;
  #atlas = new Atlas(TAG);
  #bubbles = new Atlas(BUBBLE);
  #labels = new Labels(this.#atlas, 512);
  #speechLabels = new Labels(this.#bubbles, BUBBLE.columns * BUBBLE.rows);
  #label = new Label();
  /** @type {Map<number, Speech>} */
  #speeches = new Map();
  /** @type {Float[]} */
  #floats = [];
  /** @type {Map<number, {name: string, subtitle: string, key: string}>} */
  #names = new Map();

  /**
   * @param {Group} group
   * @param {CrowdOptions} options
   */
  constructor(group, options) {
    this.#options = options;
    group.add(this.#labels.mesh, this.#speechLabels.mesh);
  }

  /**
   * @param {number} id
   * @param {number} emote
   * @param {number} seconds
   * @param {number} lasts
   */
  float(id, emote, seconds, lasts) {
    const sign = EMOTE_SIGNS[emote];
    if (!sign) return;
    const made = {
      id, sign, key: `emote ${emote}`, from: seconds, until: seconds + lasts, isUsed: true,
    };
    const ended = this.#floats.findIndex((each) => each.until <= seconds);
    if (ended >= 0) this.#floats[ended] = made;
    else if (this.#floats.length < FLOATS_MAX) this.#floats.push(made);
  }

  /**
   * @param {Actor} actor
   * @param {string} text
   * @param {number} until
   */
  say(actor, text, until) {
    const clean = cleanText(text, LINE_GRAPHEMES_MAX);
    if (!clean) this.#speeches.delete(actor.id);
    else {
      this.#speeches.set(actor.id, {
        key: `${actor.id} ${clean}`, text: clean, until, from: actor.lineSince,
      });
    }
  }

  /** @param {number} id */
  release(id) {
    this.#speeches.delete(id);
    this.#names.delete(id);
    for (const each of this.#floats) if (each.id === id) each.until = -Infinity;
  }

  /**
   * @param {readonly Actor[]} order nearest first
   * @param {Camera} camera
   * @param {number} seconds
   */
  update(order, camera, seconds) {
    this.#labels.begin();
    this.#speechLabels.begin();
    this.count = 0;
    const fade = FADE_M[this.#options.tags ?? "all"] ?? FADE_M.all;
    for (let k = order.length - 1; k >= 0; k--) {
      const actor = order[k];
      if (actor.isFirstPerson || actor.isHidden || actor.depthM < 0.1) continue;
      const seen = 1 - smoothStep(actor.distanceM, fade[0], fade[1]);
      this.#place(actor);
      if (seen > 0.01 && k < NAMES_MAX) this.#tag(actor, seen * actor.shown, seconds);
      this.#speech(actor, seconds);
      this.#rise(actor, seconds);
    }
    this.#labels.end();
    this.#speechLabels.end();
  }

  dispose() {
    for (const each of [this.#labels, this.#speechLabels]) each.dispose();
    for (const each of [this.#atlas, this.#bubbles]) each.dispose();
  }

  /** @param {Actor} actor */
  #place(actor) {
    const label = this.#label;
    label.x = actor.head[0];
    label.y = actor.head[1] + ABOVE_M * actor.solver.body.scale;
    label.z = actor.head[2];
    label.right = label.up = 0;
  }

  /**
   * @param {Actor} actor
   * @param {number} opacity
   * @param {number} seconds
   */
  #tag(actor, opacity, seconds) {
    const label = this.#label;
    label.heightM = 0.14;
    label.least = 0.048;
    label.most = 0.09;
    label.opacity = opacity;
    const key = this.#nameKey(actor);
    const isNamed = key !== "";
    if (isNamed) {
      label.cell = this.#atlas.held(key, seconds);
      if (label.cell < 0) label.cell = this.#drawName(key, seconds, actor);
      label.colour = actor.isNpc ? 0xd9ccff : WHITE;
      label.up = 0.5;
      if (label.cell >= 0) {
        this.#labels.add(label);
        this.count += 1;
      }
    }
    label.up = isNamed ? 1.45 : 0.5;
    if (actor.flags & Flags.LINK_LOST) this.#sign(LINK_LOST, "link lost", seconds, opacity);
    else if (actor.isSpeaking) this.#sign(SPEAKING, "speaking", seconds, opacity);
    else if (actor.flags & Flags.TYPING) {
      this.#sign(TYPING, "typing", seconds, opacity * (0.65 + 0.35 * Math.sin(seconds * 6)));
    }
  }

  /**
   * @param {import("./signs.js").Sign} sign
   * @param {string} key
   * @param {number} seconds
   * @param {number} opacity
   */
  #sign(sign, key, seconds, opacity) {
    const label = this.#label;
    label.cell = this.#atlas.held(key, seconds);
    if (label.cell < 0) label.cell = this.#drawSign(key, seconds, sign);
    label.colour = sign.colour;
    label.opacity = opacity;
    if (label.cell >= 0) this.#labels.add(label);
  }

  /**
   * The key of a name's picture; made anew only when the name changed.
   * @param {Actor} actor
   */
  #nameKey(actor) {
    let known = this.#names.get(actor.id);
    if (!known) {
      known = { name: "", subtitle: "", key: "" };
      this.#names.set(actor.id, known);
    }
    if (known.name !== actor.name || known.subtitle !== actor.subtitle) {
      known.name = actor.name;
      known.subtitle = actor.subtitle;
      const text = `${cleanText(actor.name, NAME_GRAPHEMES_MAX)}\n${actor.subtitle}`;
      known.key = text.length > 1 ? `name ${text}` : "";
    }
    return known.key;
  }

  /**
   * @param {Actor} actor
   * @param {number} seconds
   */
  #speech(actor, seconds) {
    const speech = this.#speeches.get(actor.id);
    if (!speech) return;
    if (seconds >= speech.until) {
      this.#speeches.delete(actor.id);
      return;
    }
    const label = this.#label;
    const seen = (1 - smoothStep(actor.distanceM, SPEECH_M[0], SPEECH_M[1]))
      * smoothStep(seconds, speech.from - 0.01, speech.from + 0.15)
      * (1 - smoothStep(seconds, speech.until - 0.5, speech.until));
    if (seen < 0.01) return;
    label.heightM = 0.42;
    label.least = 0.12;
    label.most = 0.26;
    label.up = 0.95;
    label.opacity = seen;
    label.colour = WHITE;
    label.cell = this.#bubbles.held(speech.key, seconds);
    if (label.cell < 0) label.cell = this.#drawBubble(speech, seconds);
    if (label.cell >= 0) this.#speechLabels.add(label);
  }

  // These make a function each, so they are apart from what runs in every frame.

  /** @param {string} key @param {number} seconds @param {Actor} actor */
  #drawName(key, seconds, actor) {
    return this.#atlas.draw(key, seconds, (ctx, width, height) => {
      paintName(ctx, width, height, actor);
    });
  }

  /** @param {string} key @param {number} seconds @param {import("./signs.js").Sign} sign */
  #drawSign(key, seconds, sign) {
    return this.#atlas.draw(key, seconds, (ctx, width, height) => {
      paintSign(ctx, width, height, sign);
    });
  }

  /** @param {Speech} speech @param {number} seconds */
  #drawBubble(speech, seconds) {
    return this.#bubbles.draw(speech.key, seconds, (ctx, width, height) => {
      paintBubble(ctx, width, height, speech.text);
    });
  }

  /**
   * Emotes rise from the head and fade.
   * @param {Actor} actor
   * @param {number} seconds
   */
  #rise(actor, seconds) {
    for (let k = 0; k < this.#floats.length; k++) {
      const each = this.#floats[k];
      if (each.id !== actor.id || seconds >= each.until || seconds < each.from) continue;
      const t = (seconds - each.from) / (each.until - each.from);
      const label = this.#label;
      this.#place(actor);
      label.heightM = 0.3;
      label.least = 0.05;
      label.most = 0.16;
      label.up = 0.9 + (this.#options.reducedMotion ? 0 : 1.3 * t);
      label.right = this.#options.reducedMotion ? 0 : 0.16 * Math.sin(t * 7);
      const seen = smoothStep(t, 0, 0.08) * (1 - smoothStep(t, 0.7, 1));
      this.#sign(each.sign, each.key, seconds, seen);
      label.right = 0;
    }
  }
}

/**
 * White on a dark outline, the second line smaller.
 * @param {CanvasRenderingContext2D} ctx
 * @param {number} width @param {number} height
 * @param {Actor} actor
 */
function paintName(ctx, width, height, actor) {
  const name = cleanText(actor.name, NAME_GRAPHEMES_MAX);
  const below = cleanText(actor.subtitle, NAME_GRAPHEMES_MAX);
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.lineJoin = "round";
  outlined(ctx, name, { px: below ? 27 : 31, x: width / 2, y: below ? height * 0.33 : height / 2 });
  if (below) outlined(ctx, below, { px: 18, x: width / 2, y: height * 0.78 });
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {string} text
 * @param {{px: number, x: number, y: number}} form
 */
function outlined(ctx, text, { px, x, y }) {
  ctx.font = `600 ${px}px ${FONT}`;
  const widest = ctx.canvas.width - 16;
  const shown = isolated(clipText(text, widest, (each) => ctx.measureText(each).width));
  ctx.strokeStyle = "rgba(0, 0, 0, 0.9)";
  ctx.lineWidth = px * 0.24;
  ctx.strokeText(shown, x, y, widest);
  ctx.fillStyle = "#f00";
  ctx.fillText(shown, x, y, widest);
}

/**
 * Dark text on a light bubble with a tip: the ink channel is the bubble.
 * @param {CanvasRenderingContext2D} ctx
 * @param {number} width @param {number} height
 * @param {string} text
 */
function paintBubble(ctx, width, height, text) {
  const px = 28, gap = 36;
  ctx.font = `500 ${px}px ${FONT}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  const widthOf = (/** @type {string} */ each) => ctx.measureText(each).width;
  const lines = wrapText(text, { widest: width - 60, lines: BUBBLE_LINES, widthOf });
  const wide = Math.min(width - 8, Math.max(...lines.map(widthOf)) + 44);
  const high = lines.length * gap + 22;
  const bottom = height - 22, top = bottom - high, left = (width - wide) / 2;
  ctx.fillStyle = "rgba(255, 0, 0, 0.93)";
  ctx.beginPath();
  ctx.roundRect(left, top, wide, high, 22);
  ctx.moveTo(width / 2 - 14, bottom - 1);
  ctx.lineTo(width / 2, height - 3);
  ctx.lineTo(width / 2 + 14, bottom - 1);
  ctx.fill();
  ctx.fillStyle = "#000";
  lines.forEach((line, k) => {
    ctx.fillText(isolated(line), width / 2, top + 13 + gap * (k + 0.5), width - 40);
  });
}

