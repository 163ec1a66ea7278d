/**
 * One session in a headset, from its first frame to its end.
 *
 * In each frame: what is tracked (senses), how that moves the avatar and the room (motion, anchor;
 * in augmented reality the placement), what goes into the pose (posing), what the hands do
 * (grabbing or building, menu), what is drawn of all that. In a miniature nothing of the
 * body is sent: one looks on. The tools for building are fetched when they are asked for.
 */

import { isInside } from "../core/locomotion.js";
import { Rights } from "../core/protocol.generated.js";
import { RoomAnchor } from "./anchor.js";
import { ArcView } from "./arc_view.js";
import { Comfort } from "./comfort.js";
import { Grabbing } from "./grabbing.js";
import { HandsView } from "./hands_view.js";
import { Motion } from "./motion.js";
import { NoticeBoard } from "./notice_board.js";
import { Placement } from "./placement.js";
import { Posing } from "./posing.js";
import { Senses } from "./senses.js";
import { WristMenu } from "./wrist_menu.js";

/** @typedef {import("./entry.js").XrOptions} XrOptions */
/** @typedef {import("./entry.js").XrMode} XrMode */
/**
 * @typedef {object} Begun
 * @property {XRSession} session
 * @property {XrMode} mode
 * @property {boolean} isFloorKnown
 * @property {HTMLElement} overlay
 * @property {() => void} leave
 */

const NEAR_PULSE_S = 1;

export class Visit {
  senses = new Senses();
  anchor = new RoomAnchor();
  /** Milliseconds that this took in a frame, smoothed. */
  costMs = 0;
  frames = 0;
  /** @type {Placement | null} */
  placement = null;
  /** @type {import("../building/hand_tools.js").HandTools | null} while one builds */
  tools = null;
  #options;
  #begun;
  #posing = new Posing();
  #hands = new HandsView();
  #arc = new ArcView();
  #comfort = new Comfort();
  #isFresh = true;
  #isOver = false;
  #head = new Float64Array(7);
  #comfortNow = { speed: 0, turning: 0, strength: 0, isBlind: false };
  #nearPulseS = 0;
  #wasSeated = false;
  /** @type {XRReferenceSpace | null} */
  #space = null;
  #onReset = () => this.recentre();

  /** @param {XrOptions} options @param {Begun} begun */
  constructor(options, begun) {
    this.#options = options;
    this.#begun = begun;
    const { stage, model, settings, ui } = options;
    const tell = (/** @type {import("../core/requests.js").Answer} */ answer) => (
      ui.tell(ui.sentenceOf(answer)));
    this.motion = new Motion(model, settings, tell);
    this.grabbing = new Grabbing(model, this.senses, tell);
    this.menu = new WristMenu(options, { leave: begun.leave, recentre: () => this.recentre(),
      placing: () => this.placement?.choices() ?? null,
      building: () => this.#buildingChoices() });
    this.board = new NoticeBoard(options.told);
    if (begun.mode === "immersive-ar") this.placement = new Placement(options, begun);
    stage.rig.add(this.#hands.group, this.menu.group, this.board.mesh);
    stage.scene.add(this.#arc.group, this.#comfort.mesh);
    if (this.placement) stage.rig.add(this.placement.group);
    this.#listen(begun.session);
  }

  /** @param {XRSession} session */
  #listen(session) {
    for (const kind of /** @type {const} */ (["selectstart", "squeezestart"])) {
      session.addEventListener(kind, (event) => this.#press(event.inputSource, kind));
    }
    for (const kind of /** @type {const} */ (["selectend", "squeezeend"])) {
      session.addEventListener(kind, (event) => this.#release(event.inputSource));
    }
  }

  /** One is in the world in full size, and moves the avatar. */
  get isOnFoot() {
    return this.placement === null || this.placement.isOnFoot;
  }

  /** @param {XRInputSource} source @param {"selectstart" | "squeezestart"} kind */
  #press(source, kind) {
    const hand = this.senses.handOf(source);
    if (hand >= 0 && kind === "selectstart" && this.menu.press(hand)) return;
    if (this.placement?.press(source) || hand < 0) return;
    if (this.isOnFoot && this.tools?.press(hand)) return;
    if (this.isOnFoot && this.grabbing.take(hand)) return;
    if (kind === "selectstart" && source.hand && !this.placement) this.motion.pinch(hand, true);
  }

  /** @param {XRInputSource} source */
  #release(source) {
    this.placement?.release(source);
    const hand = this.senses.handOf(source);
    if (hand < 0) return;
    this.motion.pinch(hand, false);
    this.tools?.release(hand);
    this.grabbing.letGo(hand);
  }

  /** The switch in the menu at the wrist. */
  #buildingChoices() {
    if (!this.isOnFoot) return [];
    return [{ text: this.#options.words("xr.build"), isOn: this.tools !== null,
      act: () => void this.build(this.tools === null) }];
  }

  /** Begins or ends to build with hands. @param {boolean} isOn */
  async build(isOn) {
    const { stage, model, propScene, settings, ui, words } = this.#options;
    if (!isOn) {
      if (this.tools) stage.scene.remove(this.tools.marks.group);
      if (this.tools) stage.rig.remove(this.tools.panel.group);
      this.tools?.dispose();
      this.tools = null;
      return;
    }
    if (!(model.rights & Rights.BUILD)) return ui.tell(words("build.notAllowed"));
    const fetched = await import("../building/hand_tools.js").catch(() => null);
    if (!fetched) return ui.tell(words("build.notLoaded"));
    if (this.#isOver || this.tools) return;
    this.grabbing.end();
    this.tools = new fetched.HandTools({ model, propScene, words, tell: ui.tell,
      wrist: () => (settings.values.dominantHand === "right" ? 0 : 1),
      close: () => void this.build(false) });
    stage.scene.add(this.tools.marks.group);
    stage.rig.add(this.tools.panel.group);
  }

  /** One stands where the avatar stands, and looks where it looks. */
  recentre() {
    const { model, settings } = this.#options;
    if (!this.senses.hasHead || this.placement) return;
    this.anchor.setHeight(settings.values.seated, this.senses.head, this.#begun.isFloorKnown);
    this.anchor.recentre(model.own, this.senses.head);
  }

  /** @param {number} seconds @param {number} dt @param {XRFrame} frame */
  update(seconds, dt, frame) {
    const { stage, model } = this.#options;
    const space = stage.renderer.xr.getReferenceSpace();
    if (!space) return;
    const before = performance.now();
    this.#watch(space);
    this.senses.read(frame, space, this.#begun.session);
    if (this.senses.hasHead) {
      if (this.#isFresh) this.recentre();
      this.#isFresh = false;
      if (model.state === "live") this.#live(dt, frame, space);
      this.anchor.place(stage.rig);
      this.#draw(seconds, dt);
    }
    this.frames += 1;
    this.costMs += (performance.now() - before - this.costMs) * 0.05;
  }

  /** The system may recentre the room. @param {XRReferenceSpace} space */
  #watch(space) {
    if (space === this.#space) return;
    this.#space?.removeEventListener("reset", this.#onReset);
    this.#space = space;
    space.addEventListener("reset", this.#onReset);
  }

  /** @param {number} dt @param {XRFrame} frame @param {XRReferenceSpace} space */
  #live(dt, frame, space) {
    const { model, people } = this.#options;
    const { own } = model;
    if (own.seated !== this.#wasSeated) this.anchor.settle();
    this.#wasSeated = own.seated;
    if (this.placement) this.placement.step(this.senses, this.anchor, { dt, frame, space });
    else {
      this.tools?.takeSticks(this.senses);
      this.motion.step(this.senses, this.anchor, dt, people());
    }
    if (this.isOnFoot) this.#posing.pose(own, this.senses, this.anchor);
    else this.#posing.end(own);
  }

  /** @param {number} seconds @param {number} dt */
  #draw(seconds, dt) {
    const { model, settings } = this.#options;
    this.grabbing.step(seconds, this.anchor);
    this.#hands.update(this.senses);
    this.menu.step(this.senses);
    this.board.step(dt, this.senses.head);
    if (this.tools && !(this.isOnFoot && model.rights & Rights.BUILD)) void this.build(false);
    this.tools?.step(dt, this.senses, this.anchor, this.menu.panel.mesh.visible);
    if (this.placement) return;
    this.#arc.update(this.motion, model.own.shown.y);
    this.#pulseWhenNear(seconds);
    this.anchor.toWorld(this.#head, this.senses.head);
    const now = this.#comfortNow;
    now.speed = model.own.speed;
    now.turning = this.motion.turning;
    now.strength = settings.values.vignette;
    now.isBlind = isInside(model.place, this.#head[0], this.#head[1], this.#head[2]);
    this.#comfort.step(dt, now);
  }

  /** @param {number} seconds */
  #pulseWhenNear(seconds) {
    if (!this.motion.isNear || seconds - this.#nearPulseS < NEAR_PULSE_S) return;
    this.#nearPulseS = seconds;
    this.senses.left.pulse(0.25, 40);
    this.senses.right.pulse(0.25, 40);
  }

  /** How dark the edge and how black the picture is. */
  get comfort() {
    return this.#comfort;
  }

  dispose() {
    const { stage, model } = this.#options;
    this.#space?.removeEventListener("reset", this.#onReset);
    this.grabbing.end();
    this.#posing.end(model.own);
    this.#isOver = true;
    void this.build(false);
    stage.rig.remove(this.#hands.group, this.menu.group, this.board.mesh);
    stage.scene.remove(this.#arc.group, this.#comfort.mesh);
    if (this.placement) stage.rig.remove(this.placement.group);
    for (const each of [this.#hands, this.#arc, this.#comfort, this.menu, this.board,
      this.placement]) {
      each?.dispose();
    }
  }
}
