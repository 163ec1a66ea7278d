/**
 * The panel of building with hands: it floats over the wrist, and the other hand presses.
 *
 * Two pages: what can be done, and what can be put up. It is in the room's frame.
 */

import { Group } from "../../vendor/three.js";
import { PALETTE } from "../core/palette.js";
import { SpatialPanel } from "../xr/panel.js";
import { PanelPointer, turnToHead } from "../xr/panel_pointer.js";

/** @typedef {import("../xr/senses.js").Senses} Senses */
/** @typedef {import("../xr/entry.js").Words} Words */
/** @typedef {import("../xr/panel.js").Choice} Choice */
/** @typedef {import("../core/palette.js").PaletteEntry} PaletteEntry */
/**
 * @typedef {object} HandActs
 * @property {(entry: PaletteEntry) => void} arm
 * @property {() => string} armed the name of what is armed, or empty
 * @property {(name: string) => void} act a name of ACTS
 * @property {(name: "snap" | "more") => boolean} isOn
 * @property {(name: "snap" | "more") => void} turn
 * @property {() => void} close
 */

const ACTS = ["undo", "redo", "duplicate", "delete", "group", "ungroup", "lock"];
const ABOVE_M = 0.2;
const ASIDE_M = 0.06;

export class HandPanel {
  group = new Group();
  panel = new SpatialPanel();
  #pointer = new PanelPointer(this.panel);
  #words;
  #acts;
  #page = "pieces";

  /** @param {Words} words @param {HandActs} acts */
  constructor(words, acts) {
    this.#words = words;
    this.#acts = acts;
    this.group.add(this.panel.mesh);
    this.show();
  }

  /**
   * Once in a frame.
   * @param {Senses} senses
   * @param {number} wrist the hand that it floats over
   * @param {boolean} isCovered by the menu at the wrist
   */
  step({ hands, head }, wrist, isCovered) {
    const { mesh } = this.panel;
    mesh.visible = hands[wrist].hasGrip && !isCovered;
    if (!mesh.visible) return;
    const { grip } = hands[wrist];
    mesh.position.set(grip[0] + (wrist === 0 ? -ASIDE_M : ASIDE_M), grip[1] + ABOVE_M, grip[2]);
    turnToHead(mesh, head);
    this.#pointer.point(hands[1 - wrist]);
  }

  /** @param {number} hand @param {number} wrist @returns {boolean} whether it was on a button */
  press(hand, wrist) {
    if (!this.panel.mesh.visible || hand === wrist || this.panel.hovered < 0) return false;
    this.panel.press();
    return true;
  }

  /** After something has changed that a button shows. */
  show() {
    this.panel.show(this.#page === "pieces" ? this.#pieces() : this.#doings());
  }

  /** @param {string} page */
  #open(page) {
    this.#page = page;
    this.show();
  }

  /** @returns {Choice[]} */
  #pieces() {
    const words = this.#words;
    const pieces = PALETTE.map((entry) => ({ text: words(`piece.${entry.name}`),
      isOn: entry.name === this.#acts.armed(), act: () => {
        this.#acts.arm(entry);
        this.show();
      } }));
    return [...pieces, { text: words("build.tools"), act: () => this.#open("doings") }];
  }

  /** @returns {Choice[]} */
  #doings() {
    const words = this.#words;
    const either = (/** @type {"snap" | "more"} */ name, /** @type {string} */ key) => ({
      text: words(key), isOn: this.#acts.isOn(name), act: () => {
        this.#acts.turn(name);
        this.show();
      } });
    return [
      { text: words("build.pieces"), act: () => this.#open("pieces") },
      ...ACTS.map((name) => ({ text: words(`build.${name}`), isGrave: name === "delete",
        act: () => this.#acts.act(name) })),
      either("snap", "build.grid"), either("more", "build.more"),
      { text: words("build.done"), act: () => this.#acts.close() },
    ];
  }

  dispose() {
    this.panel.dispose();
  }
}
