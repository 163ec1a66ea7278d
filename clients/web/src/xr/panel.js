/**
 * A small panel of buttons in space, drawn on a canvas: what a wrist menu is made of.
 *
 * Rows of buttons are laid out once for each page of them and drawn only when something changed.
 * A ray or a fingertip tells where it points in the panel's own frame; the panel knows which button
 * that is. Texts are drawn, so names of strangers can be nothing but text.
 */

import {
  CanvasTexture, Mesh, MeshBasicMaterial, PlaneGeometry, Quaternion, SRGBColorSpace, Vector3,
} from "../../vendor/three.js";

/** @typedef {{text: string, isOn?: boolean, isGrave?: boolean, act: () => void}} Choice */

const WIDE_PX = 512;
const HIGH_PX = 640;
const WIDE_M = 0.2;
const HIGH_M = 0.25;
const COLUMNS = 2;
const ROWS = 7;
const GAP_PX = 10;
const TEXT_PX = 27;
const CHARS_MAX = 28;
export const CHOICES_MAX = COLUMNS * ROWS;

export class SpatialPanel {
  mesh;
  /** @type {Choice[]} */
  #choices = [];
  #hovered = -1;
  #canvas = document.createElement("canvas");
  #pen;
  #texture;
  #point = new Vector3();
  #ray = new Vector3();
  #back = new Quaternion();

  constructor() {
    this.#canvas.width = WIDE_PX;
    this.#canvas.height = HIGH_PX;
    this.#pen = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    this.#texture = new CanvasTexture(this.#canvas);
    this.#texture.colorSpace = SRGBColorSpace;
    this.mesh = new Mesh(new PlaneGeometry(WIDE_M, HIGH_M),
      new MeshBasicMaterial({ map: this.#texture, transparent: true, toneMapped: false }));
    this.mesh.renderOrder = 50;
    this.mesh.visible = false;
  }

  /** @param {Choice[]} choices */
  show(choices) {
    this.#choices = choices.slice(0, CHOICES_MAX);
    this.#draw();
  }

  get choices() {
    return this.#choices;
  }

  get hovered() {
    return this.#hovered;
  }

  /** @param {number} hovered @returns {boolean} whether it is another button than before */
  hover(hovered) {
    if (hovered === this.#hovered) return false;
    this.#hovered = hovered;
    this.#draw();
    return hovered >= 0;
  }

  /** Does what the button says. @param {number} [at] */
  press(at = this.#hovered) {
    this.#choices[at]?.act();
  }

  /**
   * Which button a ray meets, or -1. Origin and direction are in the frame of the panel's parent.
   * @param {Vector3} origin
   * @param {Vector3} ahead
   */
  hit(origin, ahead) {
    if (!this.mesh.visible) return -1;
    this.#point.copy(origin);
    this.#ray.copy(origin).add(ahead);
    this.#local(this.#point);
    this.#local(this.#ray).sub(this.#point);
    if (this.#ray.z >= -1e-6 || this.#point.z < 0) return -1;
    const t = -this.#point.z / this.#ray.z;
    return this.#at(this.#point.x + this.#ray.x * t, this.#point.y + this.#ray.y * t);
  }

  /** The button under a fingertip, and how far the tip is in front. @param {Vector3} tip */
  touch(tip) {
    this.#local(this.#point.copy(tip));
    return { at: this.#at(this.#point.x, this.#point.y), ahead: this.#point.z };
  }

  /** @param {Vector3} point */
  #local(point) {
    return point.sub(this.mesh.position).applyQuaternion(
      this.#back.copy(this.mesh.quaternion).conjugate());
  }

  /** @param {number} x metres from the middle @param {number} y */
  #at(x, y) {
    const column = Math.floor((x / WIDE_M + 0.5) * COLUMNS);
    const row = Math.floor((0.5 - y / HIGH_M) * ROWS);
    if (column < 0 || column >= COLUMNS || row < 0 || row >= ROWS) return -1;
    const at = row * COLUMNS + column;
    return at < this.#choices.length ? at : -1;
  }

  #draw() {
    const pen = this.#pen;
    pen.clearRect(0, 0, WIDE_PX, HIGH_PX);
    pen.fillStyle = "rgba(250, 246, 238, 0.94)";
    pen.beginPath();
    pen.roundRect(0, 0, WIDE_PX, HIGH_PX, 24);
    pen.fill();
    pen.font = `600 ${TEXT_PX}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    this.#choices.forEach((choice, at) => this.#drawChoice(choice, at));
    this.#texture.needsUpdate = true;
  }

  /** @param {Choice} choice @param {number} at */
  #drawChoice({ text, isOn, isGrave }, at) {
    const pen = this.#pen;
    const [wide, high] = [WIDE_PX / COLUMNS, HIGH_PX / ROWS];
    const [x, y] = [(at % COLUMNS) * wide, Math.floor(at / COLUMNS) * high];
    pen.fillStyle = at === this.#hovered ? "#f0cf9a" : isOn ? "#bfe0cf" : "#ffffff";
    pen.beginPath();
    pen.roundRect(x + GAP_PX, y + GAP_PX, wide - 2 * GAP_PX, high - 2 * GAP_PX, 14);
    pen.fill();
    pen.fillStyle = isGrave ? "#9d2f1c" : "#2c2a26";
    pen.fillText([...text].slice(0, CHARS_MAX).join(""), x + wide / 2, y + high / 2,
      wide - 4 * GAP_PX);
  }

  dispose() {
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
    this.#texture.dispose();
  }
}
