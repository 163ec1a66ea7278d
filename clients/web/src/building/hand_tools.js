/**
 * Building with hands: what one points at or reaches for is taken, moved, turned, scaled, put down.
 *
 * A hand takes what it touches, or by its ray what it points at; the other hand joins by a press
 * anywhere and then both turn and scale it. While it is held the picture shows where it goes, to
 * others too; when the last hand lets go it is edited, once, so that one Undo takes it back. The
 * server decides: what it refuses stands where it stood, and its sentence is told.
 *
 * Poses come in the room's frame and are used in the world's. At most one thing is held at a time.
 */

import { snap, transformOf } from "../core/build_math.js";
import { DragSender } from "../core/drags.js";
import { HandHold, keepToGrid } from "../core/hand_hold.js";
import { heightAbove } from "../core/palette.js";
import { SaveState } from "../core/protocol.generated.js";
import { BuildEdits } from "./build_edits.js";
import { HandLooks } from "./hand_looks.js";
import { HandMarks } from "./hand_marks.js";
import { HandPanel } from "./hand_panel.js";
import { Placing } from "./placing.js";

/** @typedef {import("../xr/senses.js").Senses} Senses */
/** @typedef {import("../xr/anchor.js").RoomAnchor} RoomAnchor */
/** @typedef {import("../core/palette.js").PaletteEntry} PaletteEntry */
/** @typedef {import("../core/props.js").Prop} Prop */
/** @typedef {import("../../vendor/three.js").Vector3} Vector3 */
/**
 * @typedef {object} HandToolsOptions
 * @property {import("../core/world_model.js").WorldModel} model
 * @property {import("../render/props/prop_scene.js").PropScene} propScene
 * @property {import("../xr/entry.js").Words} words
 * @property {(sentence: string) => void} tell
 * @property {() => number} wrist the hand that the panel floats over
 * @property {() => void} close
 */

const GRID_M = 0.25;
const ANGLE_RAD = Math.PI / 12;
const REACH_M_PER_S = 6;
const STICK_MIN = 0.25;
const CHOSEN_MAX = 64;

export class HandTools {
  /** @type {Set<string>} */
  chosen = new Set();
  /** Key of what is held, or empty. */
  held = "";
  panel;
  marks = new HandMarks();
  #options;
  #edits;
  #placing;
  #moving;
  #hold = new HandHold();
  #holders = [false, false];
  #isFar = false;
  #stick = 0;
  /** @type {PaletteEntry | null} */
  #armed = null;
  #isSnapping = true;
  #isMore = false;
  #looks;
  #grips = [new Float64Array(7), new Float64Array(7)];
  #aims = [new Float64Array(7), new Float64Array(7)];
  #isThere = [false, false];
  #place = new Float64Array(10);
  #outer = new Float64Array(10);
  #cell = new Float64Array(3);
  #fromY = 0;
  /** @type {import("../xr/senses.js").HandSense[]} */
  #hands = [];
  #forget;

  /** @param {HandToolsOptions} options */
  constructor(options) {
    this.#options = options;
    const { model, propScene, words } = options;
    this.#looks = new HandLooks(model, propScene);
    const edits = this.#edits = new BuildEdits(model);
    this.#placing = new Placing({ store: model.props, propScene,
      place: (prop, transform) => edits.place(prop, transform) });
    this.#moving = new DragSender((drags) => { if (model.state === "live") model.drag(drags); });
    this.panel = new HandPanel(words, {
      arm: (entry) => { this.#armed = entry.name === this.#armed?.name ? null : entry; },
      armed: () => this.#armed?.name ?? "",
      act: (name) => this.act(name),
      isOn: (name) => (name === "snap" ? this.#isSnapping : this.#isMore),
      turn: (name) => {
        if (name === "snap") this.#isSnapping = !this.#isSnapping;
        else this.#isMore = !this.#isMore;
      },
      close: options.close,
    });
    this.#forget = model.props.changed.add(({ key, kind }) => {
      if (kind === "reset") this.chosen.clear();
      else if (kind === "gone") this.chosen.delete(key);
      if (kind === "reset" || (kind === "gone" && key === this.held)) this.#drop();
    });
    propScene.setBuilding(true);
  }

  // --- pressing ------------------------------------------------------------------------------

  /**
   * A trigger, a squeeze or a pinch.
   * @param {number} hand
   * @returns {boolean} whether it was used
   */
  press(hand) {
    if (this.panel.press(hand, this.#options.wrist())) return true;
    if (!this.#isThere[hand]) return false;
    if (this.held) this.#join(hand);
    else if (this.#armed) {
      if (this.#maySave()) this.#put(hand);
    }
    else this.#take(hand);
    return true;
  }

  /** @param {number} hand */
  release(hand) {
    if (!this.#holders[hand]) return;
    this.#holders[hand] = false;
    if (this.#holders[1 - hand]) this.#grasp();
    else this.#putDown();
  }

  /** Puts up what is armed, where the hand points. @param {number} hand */
  #put(hand) {
    const entry = /** @type {PaletteEntry} */ (this.#armed);
    this.#looks.look(hand, this.#grips[hand], this.#aims[hand]);
    if (!this.#looks.of[hand].isHit) return;
    this.#rest(entry, this.#looks.of[hand].point);
    this.#choose(this.#edits.create(entry.properties, transformOf(this.#place, false)));
    this.#hands[hand]?.pulse(0.6, 30);
  }

  /** Where it would stand on a point, into `#place`.
   * @param {PaletteEntry} entry @param {Vector3} point
   */
  #rest(entry, { x, y, z }) {
    const step = this.#isSnapping ? GRID_M : 0;
    const place = this.#place;
    place.fill(0);
    place[0] = snap(x, step);
    place[1] = y + heightAbove(entry);
    place[2] = snap(z, step);
    place[6] = 1;
    for (let k = 0; k < 3; k++) place[7 + k] = entry.scale[k];
  }

  /** @param {number} hand */
  #take(hand) {
    this.#looks.look(hand, this.#grips[hand], this.#aims[hand]);
    const { key, isNear } = this.#looks.of[hand];
    if (!key) {
      if (!this.#isMore) this.chosen.clear();
      return;
    }
    if (this.#isMore && this.chosen.delete(key)) return;
    this.#choose(key);
    this.#hands[hand]?.pulse(0.5, 25);
    const prop = this.#options.model.props.props.get(key);
    if (this.#isMore || !prop || !this.#mayChange([prop])) return;
    if (!this.#options.model.props.worldTransformOf(key, this.#place)) return;
    this.held = key;
    this.#isFar = !isNear;
    this.#fromY = this.#place[1];
    this.#holders[hand] = true;
    this.#grasp();
  }

  /** The other hand takes hold of it too. @param {number} hand */
  #join(hand) {
    if (this.#holders[hand]) return;
    this.#holders[hand] = true;
    this.#hands[hand]?.pulse(0.5, 25);
    this.#grasp();
  }

  /** It is held from now on by those who have it, as it is now (`#place`). */
  #grasp() {
    if (this.#holders[0] && this.#holders[1]) {
      this.#hold.takeBoth(this.#place, this.#grips, this.#isFar);
    } else {
      const hand = this.#holders[0] ? 0 : 1;
      this.#hold.takeOne(this.#place, this.#poseOf(hand), this.#isFar);
    }
  }

  /** @param {number} hand */
  #poseOf(hand) {
    return this.#isFar ? this.#aims[hand] : this.#grips[hand];
  }

  /** @param {string} key */
  #choose(key) {
    if (!this.#isMore) this.chosen.clear();
    if (this.chosen.size < CHOSEN_MAX) this.chosen.add(key);
  }

  /** It is let go: the server is told where. */
  #putDown() {
    const key = this.held;
    const prop = this.#options.model.props.props.get(key);
    const transform = prop ? this.#placing.transformIn(prop, this.#place) : null;
    this.held = "";
    this.#moving.end();
    if (!prop || !transform) return this.#placing.forget(key);
    this.#placing.settle(prop, transform);
    for (const hand of this.#hands) hand.pulse(0.2, 20);
    return undefined;
  }

  /** It is not held any more, and nobody is told. */
  #drop() {
    if (this.held) {
      this.#placing.forget(this.held);
      this.#moving.cancel();
    }
    this.held = "";
    this.#holders.fill(false);
  }

  // --- frames --------------------------------------------------------------------------------

  /** The stick of a hand that holds something far moves that, and not the person.
   * @param {Senses} senses
   */
  takeSticks({ hands }) {
    this.#stick = 0;
    if (!this.held || !this.#isFar || this.#hold.isBoth) return;
    const sense = hands[this.#holders[0] ? 0 : 1];
    if (Math.abs(sense.stickY) > STICK_MIN) this.#stick = sense.stickY;
    sense.stickX = sense.stickY = 0;
  }

  /**
   * Once in a frame.
   * @param {number} dt
   * @param {Senses} senses
   * @param {RoomAnchor} anchor
   * @param {boolean} isCovered the menu at the wrist is open
   */
  step(dt, senses, anchor, isCovered) {
    this.#hands = senses.hands;
    for (let hand = 0; hand < 2; hand++) {
      const sense = senses.hands[hand];
      this.#isThere[hand] = sense.hasGrip && sense.hasAim;
      if (!this.#isThere[hand]) continue;
      anchor.toWorld(this.#grips[hand], sense.grip);
      anchor.toWorld(this.#aims[hand], sense.aim);
    }
    this.panel.step(senses, this.#options.wrist(), isCovered);
    if (this.held) this.#carry(dt, senses);
    else this.#looks.about(this.#isThere, this.#grips, this.#aims);
    this.#moving.pump(performance.now());
    this.#mark();
  }

  /** @param {number} dt @param {Senses} senses */
  #carry(dt, senses) {
    const place = this.#place;
    if (this.#hold.isBoth) this.#hold.followBoth(place, this.#grips);
    else {
      const hand = this.#holders[0] ? 0 : 1;
      this.#hold.reach(-this.#stick * REACH_M_PER_S * dt);
      this.#hold.followOne(place, this.#poseOf(hand));
    }
    if (this.#isSnapping) this.#keepToGrid(senses);
    const prop = this.#options.model.props.props.get(this.held);
    const transform = prop ? this.#placing.transformIn(prop, place) : null;
    if (!prop || !transform || !this.#edits.mayChange(prop)) return this.#drop();
    this.#placing.show(prop, transform);
    this.#moving.move([{ prop_id: prop.id, transform }]);
    return undefined;
  }

  /** A step of the grid is felt. @param {Senses} senses */
  #keepToGrid(senses) {
    const place = this.#place;
    keepToGrid(place, this.#fromY, GRID_M, ANGLE_RAD);
    let isOther = false;
    for (let k = 0; k < 3; k++) {
      isOther ||= Math.abs(place[k] - this.#cell[k]) > GRID_M / 2;
      this.#cell[k] = place[k];
    }
    for (let hand = 0; isOther && hand < 2; hand++) {
      if (this.#holders[hand]) senses.hands[hand].pulse(0.12, 8);
    }
  }

  #mark() {
    const { marks } = this;
    const { props } = this.#options.model;
    marks.begin();
    for (const key of this.chosen) {
      if (key === this.held) marks.choose(this.#place);
      else if (props.worldTransformOf(key, this.#outer)) marks.choose(this.#outer);
    }
    let isGhost = false;
    for (let hand = 0; hand < 2; hand++) {
      const look = this.#looks.of[hand];
      const isFree = this.#isThere[hand] && !this.held && !this.#isOnPanel(hand);
      marks.aim(hand, isFree ? this.#aims[hand] : null, look.point);
      if (!isFree) continue;
      if (this.#armed && look.isHit && hand !== this.#options.wrist()) {
        this.#rest(this.#armed, look.point);
        marks.ghost(this.#place);
        isGhost = true;
      } else if (look.key && !this.chosen.has(look.key)
        && props.worldTransformOf(look.key, this.#outer)) marks.point(hand, this.#outer);
    }
    if (!isGhost) marks.ghost(null);
    marks.end();
  }

  /** @param {number} hand */
  #isOnPanel(hand) {
    const { panel } = this.panel;
    return hand !== this.#options.wrist() && panel.mesh.visible && panel.hovered >= 0;
  }

  // --- what can be done ----------------------------------------------------------------------

  /** @param {string} name of what the panel offers */
  act(name) {
    const { tell, words, model } = this.#options;
    if (name === "undo") return void this.#edits.undo();
    if (name === "redo") return void this.#edits.redo();
    const props = [...this.chosen].flatMap((key) => model.props.props.get(key) ?? []);
    if (!props.length) return tell(words("build.selected", { count: 0 }));
    if (name !== "duplicate" && !this.#mayChange(props, name === "lock")) return undefined;
    this.#edits.together(() => this.#doAll(name, props));
    return undefined;
  }

  /** @param {string} name @param {Prop[]} props */
  #doAll(name, props) {
    const edits = this.#edits;
    if (name === "group") this.chosen = new Set([edits.group(props)]);
    else if (name === "duplicate") {
      this.chosen = new Set(props.map((each) => edits.duplicate(each)));
    } else if (name === "delete") for (const each of props) edits.remove(each);
    else if (name === "lock") for (const each of props) edits.toggleLock(each);
    else for (const each of props) if (each.properties.kind === "group") edits.ungroup(each);
  }

  /** @param {Prop[]} props @param {boolean} [evenLocked] */
  #mayChange(props, evenLocked = false) {
    const { tell, words } = this.#options;
    const isOthers = props.some((prop) => !this.#edits.isMine(prop));
    const isLocked = !evenLocked && props.some(({ locked }) => locked);
    if (isOthers) tell(words("build.others"));
    else if (isLocked) tell(words("build.locked"));
    return !isOthers && !isLocked && this.#maySave();
  }

  #maySave() {
    const { model, tell } = this.#options;
    const may = model.saving === SaveState.RW || model.saving === SaveState.DEGRADED;
    if (!may) tell(model.savingSentence);
    return may;
  }

  dispose() {
    this.#drop();
    this.#forget();
    this.#edits.dispose();
    this.#options.propScene.setBuilding(false);
    this.marks.dispose();
    this.panel.dispose();
  }
}
