/**
 * What is told to the person, where somebody in a headset can read it: a slip below the eyes.
 *
 * A headset shows nothing of the page, so each sentence that the page tells is drawn here as well.
 * The slip follows the head slowly, so that it is not stuck to the eyes, and goes after a time that
 * grows with its length. Several that come together are shown one after the other, at most a few.
 */

import {
  CanvasTexture, Mesh, MeshBasicMaterial, PlaneGeometry, SRGBColorSpace,
} from "../../vendor/three.js";
import { yawOfRotation } from "../core/quaternion.js";
import { turnToHead } from "./panel_pointer.js";

const WIDE_PX = 768;
const HIGH_PX = 160;
const WIDE_M = 0.62;
const HIGH_M = (WIDE_M * HIGH_PX) / WIDE_PX;
const TEXT_PX = 34;
const LINES_MAX = 3;
const AWAY_M = 1.1;
const BELOW_M = 0.38;
const FOLLOW_PER_S = 3;
const READ_S_MIN = 3;
const READ_S_PER_CHAR = 0.06;
const WAITING_MAX = 3;

export class NoticeBoard {
  mesh;
  /** What is shown; empty for nothing. */
  text = "";
  #canvas = document.createElement("canvas");
  #pen;
  #texture;
  #leftS = 0;
  /** @type {string[]} */
  #waiting = [];
  #forget;
  #ahead = new Float64Array(3);
  #yaw = NaN;

  /** @param {import("../core/signal.js").Signal<string>} told */
  constructor(told) {
    this.#canvas.width = WIDE_PX;
    this.#canvas.height = HIGH_PX;
    this.#pen = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    this.#texture = new CanvasTexture(this.#canvas);
    this.#texture.colorSpace = SRGBColorSpace;
    this.mesh = new Mesh(new PlaneGeometry(WIDE_M, HIGH_M), new MeshBasicMaterial({
      map: this.#texture, transparent: true, toneMapped: false, depthTest: false }));
    this.mesh.renderOrder = 60;
    this.mesh.visible = false;
    this.#forget = told.add((sentence) => this.#take(sentence));
  }

  /** @param {string} sentence */
  #take(sentence) {
    if (sentence === this.text || this.#waiting.includes(sentence)) return;
    this.#waiting.push(sentence);
    if (this.#waiting.length > WAITING_MAX) this.#waiting.shift();
  }

  /** Once in a frame. @param {number} dt @param {Float64Array} head in the room */
  step(dt, head) {
    this.#leftS -= dt;
    if (this.#leftS <= 0) this.#next();
    if (!this.text) return;
    const yaw = yawOfRotation(head, 3);
    const turn = Math.atan2(Math.sin(yaw - this.#yaw), Math.cos(yaw - this.#yaw));
    this.#yaw = Number.isNaN(this.#yaw) ? yaw
      : this.#yaw + turn * (1 - Math.exp(-FOLLOW_PER_S * dt));
    this.#ahead[0] = head[0] - Math.sin(this.#yaw) * AWAY_M;
    this.#ahead[2] = head[2] - Math.cos(this.#yaw) * AWAY_M;
    this.mesh.position.set(this.#ahead[0], head[1] - BELOW_M, this.#ahead[2]);
    turnToHead(this.mesh, head);
  }

  #next() {
    const next = this.#waiting.shift() ?? "";
    if (next === this.text) return;
    this.text = next;
    this.mesh.visible = next !== "";
    if (!next) {
      this.#yaw = NaN;
      return;
    }
    this.#leftS = READ_S_MIN + READ_S_PER_CHAR * next.length;
    this.#draw();
  }

  #draw() {
    const pen = this.#pen;
    pen.clearRect(0, 0, WIDE_PX, HIGH_PX);
    pen.fillStyle = "rgba(250, 246, 238, 0.94)";
    pen.beginPath();
    pen.roundRect(0, 0, WIDE_PX, HIGH_PX, 24);
    pen.fill();
    pen.fillStyle = "#2c2a26";
    pen.font = `600 ${TEXT_PX}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const lines = this.#lines();
    const first = HIGH_PX / 2 - ((lines.length - 1) * TEXT_PX * 1.25) / 2;
    lines.forEach((line, k) => {
      pen.fillText(line, WIDE_PX / 2, first + k * TEXT_PX * 1.25, WIDE_PX - 48);
    });
    this.#texture.needsUpdate = true;
  }

  /** The sentence in lines that fit; languages without spaces are broken anywhere. */
  #lines() {
    const pieces = this.text.includes(" ") ? this.text.split(/(?<= )/) : [...this.text];
    const lines = [""];
    for (const piece of pieces) {
      const longer = lines[lines.length - 1] + piece;
      const fits = this.#pen.measureText(longer).width <= WIDE_PX - 48;
      if (fits || lines.length === LINES_MAX) lines[lines.length - 1] = longer;
      else lines.push(piece);
    }
    return lines;
  }

  dispose() {
    this.#forget();
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
    this.#texture.dispose();
  }
}
