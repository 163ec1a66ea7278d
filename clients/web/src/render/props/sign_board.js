/**
 * Signs: a text that somebody wrote, drawn on a board.
 *
 * The text is drawn on a canvas, as large as it fits: words are wrapped where the language of the
 * text breaks them, and scripts that have no spaces between characters. A board is as wide and high
 * as its scale says. Canvases are made when a sign comes near, and are few: those that are farthest
 * away give theirs up.
 */

import {
  CanvasTexture, Group, Mesh, MeshBasicMaterial, MeshLambertMaterial, PlaneGeometry,
  SRGBColorSpace,
} from "../../../vendor/three.js";

/** @typedef {import("../../core/protocol.generated.js").Sign} Sign */

const PIXELS = 512;
const LINES_MAX = 24;
const PADDING = 0.07;
const LINE_HEIGHT = 1.28;
const FONT = "Georgia, 'Noto Serif', 'Songti SC', 'Noto Serif CJK SC', serif";
const geometry = new PlaneGeometry(1, 1);

export class SignBoard {
  group = new Group();
  #front;
  #back = new MeshLambertMaterial();
  /** @type {CanvasTexture | null} */
  #texture = null;
  /** @type {Sign} */
  #sign;
  #ratio = 1;

  /** @param {Sign} sign @param {number} ratio width by height of the board */
  constructor(sign, ratio) {
    this.#sign = sign;
    this.#ratio = ratio;
    this.#front = new MeshBasicMaterial({ color: sign.background });
    const front = new Mesh(geometry, this.#front);
    const back = new Mesh(geometry, this.#back);
    front.position.z = 0.002;
    back.position.z = -0.002;
    back.rotation.y = Math.PI;
    this.group.add(front, back);
    this.#back.color.set(sign.background);
  }

  get isDrawn() {
    return this.#texture !== null;
  }

  /** @param {Sign} sign @param {number} ratio */
  set(sign, ratio) {
    this.#sign = sign;
    this.#ratio = ratio;
    this.#back.color.set(sign.background);
    if (this.#texture) this.draw();
    else this.#front.color.set(sign.background);
  }

  /** Writes the text; from now on it holds a texture. */
  draw() {
    this.blank();
    const wide = Math.round(PIXELS * Math.min(1, this.#ratio));
    const high = Math.round(PIXELS / Math.max(1, this.#ratio));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(wide, 32);
    canvas.height = Math.max(high, 32);
    drawText(canvas, this.#sign);
    this.#texture = new CanvasTexture(canvas);
    this.#texture.colorSpace = SRGBColorSpace;
    this.#texture.anisotropy = 4;
    this.#front.map = this.#texture;
    this.#front.color.set(0xffffff);
    this.#front.needsUpdate = true;
  }

  /** Gives the texture up. */
  blank() {
    if (!this.#texture) return;
    this.#texture.dispose();
    this.#texture = null;
    this.#front.map = null;
    this.#front.color.set(this.#sign.background);
    this.#front.needsUpdate = true;
  }

  dispose() {
    this.blank();
    this.#front.dispose();
    this.#back.dispose();
  }
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Sign} sign
 */
function drawText(canvas, { text, colour, background }) {
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const { width, height } = canvas;
  pen.fillStyle = background;
  pen.fillRect(0, 0, width, height);
  const room = Math.min(width, height) * PADDING;
  let size = Math.min(height * 0.4, 160);
  /** @type {string[]} */
  let lines = [];
  for (; size > 9; size *= 0.88) {
    pen.font = `${size}px ${FONT}`;
    lines = wrap(pen, text, width - 2 * room);
    if (lines.length * size * LINE_HEIGHT <= height - 2 * room) break;
  }
  pen.fillStyle = colour;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  const first = height / 2 - ((lines.length - 1) * size * LINE_HEIGHT) / 2;
  for (const [i, line] of lines.slice(0, LINES_MAX).entries()) {
    pen.fillText(line, width / 2, first + i * size * LINE_HEIGHT, width - 2 * room);
  }
}

const words = typeof Intl.Segmenter === "function"
  ? new Intl.Segmenter(undefined, { granularity: "word" }) : null;

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {string} text
 * @param {number} room pixels
 */
function wrap(pen, text, room) {
  /** @type {string[]} */
  const lines = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    const parts = words ? Array.from(words.segment(paragraph), ({ segment }) => segment)
      : paragraph.split(/(?<=\s)/u);
    for (const part of parts) {
      if (line && pen.measureText(line + part).width > room) {
        lines.push(line.trim());
        line = part.trimStart();
      } else line += part;
    }
    lines.push(line.trim());
    if (lines.length > LINES_MAX) break;
  }
  return lines;
}
