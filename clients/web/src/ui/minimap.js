/**
 * The small map: what blocks, where one can sit, who is around, and the cone of one's own gaze.
 *
 * It is drawn a few times a second, on a canvas of its own, north up or turned with the person. A
 * click is a place to walk to. What is beyond its edge lies on the edge, so that nobody is lost.
 */

import { EntityKind } from "../core/protocol.generated.js";
import { element, setLabel, setAttribute } from "./dom.js";
import { Frame } from "./minimap_frame.js";
import { words } from "./words.js";

/** @typedef {import("./ports.js").UiOptions} UiOptions */
/** @typedef {import("./surroundings.js").Near} Near */

const SIZE_PX = 168;
const SPAN_M = 36;

export class MiniMap {
  #box = element("mini", HTMLElement);
  #canvas = element("mini-map", HTMLCanvasElement);
  #turn = element("mini-turn", HTMLButtonElement);
  #frame = new Frame(SIZE_PX, SPAN_M);
  #options;
  #drawing;
  /** Somebody to find, and until when the mark is shown. */
  #wanted = { id: 0, untilMs: 0 };

  /** @param {UiOptions} options */
  constructor(options) {
    this.#options = options;
    const scale = Math.max(1, Math.round(window.devicePixelRatio));
    this.#canvas.width = this.#canvas.height = SIZE_PX * scale;
    this.#drawing = this.#canvas.getContext("2d");
    this.#drawing?.scale(scale, scale);
    const { settings } = options;
    this.#canvas.addEventListener("click", (event) => {
      const scaled = SIZE_PX / this.#canvas.clientWidth;
      const at = this.#frame.toWorld(event.offsetX * scaled, event.offsetY * scaled);
      options.actions.goTo(at.x, at.z);
    });
    this.#turn.addEventListener("click", () => (
      settings.set("minimapTurns", !settings.values.minimapTurns)));
    element("mini-close", HTMLButtonElement).addEventListener("click", () => {
      settings.set("minimap", false);
      options.actions.focusWorld();
    });
    settings.changed.add(() => this.#apply());
    this.#apply();
  }

  #apply() {
    const { minimap, minimapTurns } = this.#options.settings.values;
    this.#box.hidden = !minimap;
    setAttribute(this.#turn, "aria-pressed", String(minimapTurns));
  }

  /** Marks somebody for a while. @param {number} id @param {number} untilMs */
  find(id, untilMs) {
    this.#wanted = { id, untilMs };
  }

  /** A few times a second. @param {Near[]} people @param {number} nowMs */
  step(people, nowMs) {
    setLabel(this.#canvas, words("mini.label", { count: people.length }));
    if (!this.#drawing || this.#canvas.offsetParent === null) return;
    const { model, settings } = this.#options;
    const { own } = model;
    this.#frame.look(own.shown.x, own.shown.z, settings.values.minimapTurns ? own.yaw : 0);
    const colours = coloursOf(this.#canvas);
    this.#place(this.#drawing, colours);
    for (const person of people) {
      const isWanted = person.id === this.#wanted.id && nowMs < this.#wanted.untilMs;
      this.#person(this.#drawing, person, isWanted ? colours.rust
        : person.kind === EntityKind.NPC ? colours.soft : colours.teal, isWanted ? 6 : 3.5);
    }
    this.#own(this.#drawing, colours);
  }

  /** @param {CanvasRenderingContext2D} to @param {Colours} colours */
  #place(to, colours) {
    const { place } = this.#options.model;
    const frame = this.#frame;
    to.fillStyle = colours.stone;
    to.fillRect(0, 0, SIZE_PX, SIZE_PX);
    to.fillStyle = colours.field;
    this.#box4(to, (place.minX + place.maxX) / 2, (place.minZ + place.maxZ) / 2,
      place.maxX - place.minX, place.maxZ - place.minZ, 0);
    to.fillStyle = colours.line;
    for (const box of place.boxes) {
      if (box.top > place.floor + 0.3) this.#box4(to, box.x, box.z, box.wide, box.deep, box.yaw);
    }
    for (const { x, z, radius } of place.cylinders) this.#dot(to, x, z, radius * frame.pxPerM);
    to.fillStyle = colours.soft;
    for (const { x, z } of place.seats) this.#dot(to, x, z, 1.6);
    const north = frame.north(SIZE_PX / 2 - 10);
    to.fillStyle = colours.ink;
    to.font = '600 12px Georgia, "Songti SC", serif';
    to.textAlign = "center";
    to.textBaseline = "middle";
    to.fillText(words("mini.north"), north.px, north.py);
  }

  /**
   * @param {CanvasRenderingContext2D} to
   * @param {number} x
   * @param {number} z
   * @param {number} radiusPx
   */
  #dot(to, x, z, radiusPx) {
    const { px, py } = this.#frame.toPixel(x, z);
    to.beginPath();
    to.arc(px, py, radiusPx, 0, 2 * Math.PI);
    to.fill();
  }

  /**
   * A box by its corners: its frame is turned against that of the map.
   * @param {CanvasRenderingContext2D} to
   * @param {...number} box x, z, wide, deep, yaw
   */
  #box4(to, ...[x, z, wide, deep, yaw]) {
    const [cos, sin] = [Math.cos(yaw), Math.sin(yaw)];
    to.beginPath();
    for (const [u, v] of [[-1, -1], [1, -1], [1, 1], [-1, 1]]) {
      const [du, dv] = [(u * wide) / 2, (v * deep) / 2];
      const { px, py } = this.#frame.toPixel(x + du * cos + dv * sin, z - du * sin + dv * cos);
      to.lineTo(px, py);
    }
    to.fill();
  }

  /**
   * @param {CanvasRenderingContext2D} to
   * @param {Near} person
   * @param {string} colour
   * @param {number} radiusPx
   */
  #person(to, { x, z }, colour, radiusPx) {
    const { px, py } = this.#frame.onEdge(x, z, 6);
    to.fillStyle = colour;
    to.beginPath();
    to.arc(px, py, radiusPx, 0, 2 * Math.PI);
    to.fill();
  }

  /** @param {CanvasRenderingContext2D} to @param {Colours} colours */
  #own(to, colours) {
    const { own } = this.#options.model;
    const middle = SIZE_PX / 2;
    to.save();
    to.translate(middle, middle);
    to.rotate(this.#frame.turn - own.yaw);
    to.fillStyle = colours.rust;
    to.beginPath();
    to.moveTo(0, -8);
    to.lineTo(5, 6);
    to.lineTo(0, 3);
    to.lineTo(-5, 6);
    to.fill();
    to.restore();
  }
}

/** @typedef {ReturnType<typeof coloursOf>} Colours */

/** The colours of the page, which change with light, dark and contrast. @param {Element} of */
function coloursOf(of) {
  const style = getComputedStyle(of);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`);
  return { stone: colour("stone"), field: colour("field"), line: colour("line"),
    soft: colour("ink-soft"), ink: colour("ink"), teal: colour("teal"), rust: colour("rust") };
}
