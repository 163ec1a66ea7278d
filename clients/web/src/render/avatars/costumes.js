/**
 * The default bodies of a crowd: which level and which parts of each are drawn, and the tables.
 *
 * Every actor has a row of its own for as long as it is there. Colours are written when the look
 * changes, bones every frame, and fingers only for those in full detail.
 */

import { Color } from "../../../vendor/three.js";
import {
  CLOTHES, EYES, GLASSES, HAIR_STYLES, HAIRS, HATS, SKINS,
} from "../../core/look.js";
import { bodyShape, Level } from "./body_shape.js";
import { glassesShape, hairShape, hatShape } from "./head_shapes.js";
import { Layer, Table } from "./layers.js";
import {
  bodyMaterial, depthMaterial, FACE_TEXEL, FINGER_TEXELS, hiddenMaterial, LOOK_TEXELS, ROW_TEXELS,
  shadowMaterial, STATE_TEXEL,
} from "./material.js";
import { shadowLayer } from "./ground_shadow.js";
import { Slot } from "./shapes.js";

/** @typedef {import("./actor.js").Actor} Actor */
/** @typedef {import("./crowd.js").CrowdOptions} CrowdOptions */
/** @typedef {import("../../../vendor/three.js").Group} Group */

/** How many are drawn in full and in the middle level, and up to where, metres. */
const QUALITY = Object.freeze({
  low: { near: 4, nearM: 3, middle: 12, middleM: 9 },
  medium: { near: 6, nearM: 5, middle: 16, middleM: 14 },
  high: { near: 8, nearM: 7, middle: 18, middleM: 18 },
});
const NEAR_MAX = 12;
const ROWS_FIRST = 16;
const BEHIND_M = 1.2;
const COARSE_HAIR_M = 9;
/** Kinds of hair that no hat fits over. */
const HATS_OVER = new Set([1, 2, 3]);
const HAIR_UNDER_HAT = 1;

export class Costumes {
  count = 0;
  #uniforms = { bones: { value: null }, fingers: { value: null }, looks: { value: null } };
  #bones;
  #fingers;
  #looks;
  /** @type {Layer[]} */
  #levels = [];
  /** @type {(Layer | null)[][]} hair, hats, glasses and coarse hair, by style */
  #worn = [];
  #hidden;
  #shadow;
  /** @type {Layer[]} */
  #all = [];
  #free = /** @type {number[]} */ ([]);
  #rowsUsed = 0;
  #group;
  #options;
  #materials;

  /**
   * @param {Group} group
   * @param {CrowdOptions} options
   */
  constructor(group, options) {
    this.#group = group;
    this.#options = options;
    this.#bones = new Table(ROW_TEXELS, ROWS_FIRST, this.#uniforms.bones);
    this.#fingers = new Table(FINGER_TEXELS, NEAR_MAX, this.#uniforms.fingers);
    this.#looks = new Table(LOOK_TEXELS, ROWS_FIRST, this.#uniforms.looks);
    this.#materials = [bodyMaterial(this.#uniforms), hiddenMaterial(this.#uniforms),
      shadowMaterial(this.#uniforms), depthMaterial(this.#uniforms)];
    for (let level = 0; level < 3; level++) this.#levels.push(this.#layer(bodyShape(level)));
    this.#worn = [
      HAIR_STYLES.map((_, style) => this.#optional(hairShape(style))),
      HATS.map((_, style) => this.#optional(hatShape(style))),
      GLASSES.map((_, style) => this.#optional(glassesShape(style))),
      HAIR_STYLES.map((_, style) => this.#optional(hairShape(style, true))),
    ];
    this.#hidden = [3, 1].map((material, order) => {
      const layer = this.#layer(bodyShape(Level.MIDDLE), this.#materials[material]);
      layer.mesh.renderOrder = 2 + order;
      return layer;
    });
    this.#shadow = shadowLayer(this.#uniforms);
    this.#all.push(this.#shadow);
    group.add(this.#shadow.mesh);
    this.configure(options);
  }

  /** How many have a soft shadow. */
  get shaded() {
    return this.#shadow.count;
  }

  get triangles() {
    let sum = 0;
    for (const layer of this.#all) sum += layer.triangles;
    return sum;
  }

  /** @param {CrowdOptions} options */
  configure(options) {
    this.#options = options;
    for (const layer of this.#levels.slice(0, 2)) {
      layer.mesh.castShadow = options.shadows === true;
      layer.mesh.customDepthMaterial = this.#materials[2];
    }
  }

  /** @param {Actor} actor */
  admit(actor) {
    actor.row = this.#free.pop() ?? this.#rowsUsed++;
    this.#bones.reserve(actor.row + 1);
    this.#looks.reserve(actor.row + 1);
  }

  /** @param {Actor} actor */
  release(actor) {
    this.#free.push(actor.row);
    actor.row = -1;
  }

  /**
   * Writes the colours of a look.
   * @param {Actor} actor
   */
  dress(actor) {
    const { look, row } = actor;
    const at = row * this.#looks.stride;
    const skin = SKINS[look.skin], top = CLOTHES[look.top], bottom = CLOTHES[look.bottom];
    const bald = look.hairStyle === 0;
    const colours = [];
    colours[Slot.SKIN] = colours[Slot.FACE] = skin;
    colours[Slot.HAIR] = bald ? CLOTHES[20] : HAIRS[look.hair];
    colours[Slot.TOP] = top;
    colours[Slot.BOTTOM] = bottom;
    colours[Slot.SHOES] = CLOTHES[look.shoes];
    colours[Slot.ACCENT] = CLOTHES[look.accent];
    colours[Slot.SLEEVE] = look.topStyle === 0 ? skin : top;
    colours[Slot.SHIN] = look.bottomStyle === 1 ? skin : bottom;
    colours[Slot.DARK] = 0x17181d;
    colours[Slot.TRIM] = 0xf2efe8;
    colours[Slot.EYES] = EYES[look.eyes];
    for (let slot = 0; slot < colours.length; slot++) {
      colour.setHex(colours[slot]);
      colour.toArray(this.#looks.data, at + slot * 4);
    }
    this.#looks.data[at + 48] = look.topStyle;
    this.#looks.send();
  }

  /**
   * @param {readonly Actor[]} order nearest first
   */
  update(order) {
    for (let k = 0; k < this.#all.length; k++) this.#all[k].begin();
    const limits = QUALITY[this.#options.quality] ?? QUALITY.medium;
    let near = 0, middle = 0;
    this.count = 0;
    for (let k = 0; k < order.length; k++) {
      const actor = order[k];
      if (actor.shown <= 0 || actor.depthM < -BEHIND_M) continue;
      if (actor.isCostumed) {
        this.#shade(actor);
        continue;
      }
      let level = /** @type {number} */ (Level.FAR);
      if (near < limits.near && actor.distanceM < limits.nearM && !actor.isHidden) {
        level = Level.NEAR;
        actor.finger = near++;
      } else if (middle < limits.middle && actor.distanceM < limits.middleM) {
        level = Level.MIDDLE;
        middle += 1;
      }
      this.#draw(actor, level);
      this.count += 1;
    }
    this.#bones.send();
    if (near) this.#fingers.send();
    for (let k = 0; k < this.#all.length; k++) this.#all[k].end();
  }

  dispose() {
    for (const layer of this.#all) {
      layer.mesh.removeFromParent();
      layer.dispose();
    }
    for (const material of this.#materials) material.dispose();
    for (const table of [this.#bones, this.#fingers, this.#looks]) table.dispose();
  }

  /**
   * The soft shadow, which whoever wears a VRM has too: the bones say where the feet are.
   * @param {Actor} actor
   */
  #shade({ row, rig, solver, root, isFirstPerson, shown }) {
    const { data, stride } = this.#bones;
    rig.write(data, row * stride, solver.body, root, isFirstPerson);
    data[row * stride + STATE_TEXEL * 4] = shown;
    this.#shadow.add(row);
  }

  /**
   * @param {Actor} actor
   * @param {number} level
   */
  #draw(actor, level) {
    const { row, look } = actor;
    const { data, stride } = this.#bones;
    const at = row * stride;
    const isHeadless = actor.isFirstPerson;
    this.#shade(actor);
    const face = at + FACE_TEXEL * 4;
    data[face] = actor.blink;
    data[face + 1] = actor.mouth;
    data[face + 2] = actor.smile;
    data[face + 3] = actor.brow;
    const state = at + STATE_TEXEL * 4;
    data[state + 1] = actor.grey;
    data[state + 2] = actor.gaze[0];
    data[state + 3] = actor.gaze[1];
    if (actor.isHidden) {
      for (let k = 0; k < 2; k++) this.#hidden[k].add(row);
      return;
    }
    if (level === Level.NEAR) {
      const at = actor.finger * this.#fingers.stride;
      actor.rig.writeFingers(this.#fingers.data, at, actor.solver.body, actor.root);
    }
    this.#levels[level].add(row, actor.finger);
    if (isHeadless) return;
    const bare = !HATS_OVER.has(look.hat);
    const hair = bare || look.hairStyle < 2 || LONG.has(look.hairStyle)
      ? look.hairStyle : HAIR_UNDER_HAT;
    const isCoarse = level === Level.FAR || actor.distanceM > COARSE_HAIR_M;
    this.#worn[isCoarse ? 3 : 0][hair]?.add(row);
    this.#worn[1][look.hat]?.add(row);
    if (level !== Level.FAR) this.#worn[2][look.glasses]?.add(row);
  }

  /**
   * @param {import("./shapes.js").Shape} shape
   * @param {import("../../../vendor/three.js").Material} [material]
   */
  #layer(shape, material = this.#materials[0]) {
    const layer = new Layer(shape.build(), material, LAYER_ROWS);
    this.#all.push(layer);
    this.#group.add(layer.mesh);
    return layer;
  }

  /** @param {import("./shapes.js").Shape | null} shape */
  #optional(shape) {
    return shape ? this.#layer(shape) : null;
  }
}

const LAYER_ROWS = 256;
const LONG = new Set([2, 3, 7]);
const colour = new Color();
