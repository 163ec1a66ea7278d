/**
 * Build mode: what is chosen in the panel is put where one points, what is clicked is selected and
 * moved by a gizmo.
 *
 * Who may not build is told so and nothing else happens. Things that are somebody else's or locked
 * can be selected and not moved. The server decides about every edit; what it refuses stands as it
 * stood, and its sentence is shown.
 */

import {
  Box3, BoxGeometry, Mesh, MeshBasicMaterial, Raycaster, Vector2, Vector3,
} from "../../vendor/three.js";
import { transformOf, snap } from "../core/build_math.js";
import { DragSender } from "../core/drags.js";
import { heightAbove } from "../core/palette.js";
import { readProperties } from "../core/props.js";
import { Rights, SaveState, SignState } from "../core/protocol.generated.js";
import { castRay } from "../core/rays.js";
import { words, wordsOf } from "../ui/words.js";
import { BuildEdits } from "./build_edits.js";
import { BuildPanel } from "./build_panel.js";
import { ModelUpload } from "./model_upload.js";
import { Selection } from "./selection.js";

/** @typedef {import("../core/palette.js").PaletteEntry} PaletteEntry */
/** @typedef {import("../core/props.js").Prop} Prop */
/** @typedef {import("../core/protocol.generated.js").Properties} Properties */
/**
 * @typedef {object} BuildOptions
 * @property {import("../render/stage.js").Stage} stage
 * @property {HTMLCanvasElement} canvas
 * @property {import("../core/world_model.js").WorldModel} model
 * @property {import("../render/props/prop_scene.js").PropScene} propScene
 * @property {() => string} token of who is signed in
 * @property {(isHeld: boolean) => void} holdView the view does not turn while something is dragged
 */

const GRID_M = 0.25;
const ANGLE_RAD = Math.PI / 12;
const REACH_M = 100;
const AHEAD_M = 2.5;

export class BuildMode {
  isOn = false;
  #options;
  #edits;
  #moving;
  #panel;
  #selection;
  #upload;
  /** @type {PaletteEntry | null} */
  #armed = null;
  #isSnapping = true;
  #isFree = false;
  #ghost = new Mesh(new BoxGeometry(1, 1, 1),
    new MeshBasicMaterial({ color: 0xffb02e, transparent: true, opacity: 0.35 }));
  #raycaster = new Raycaster();
  #pointer = new Vector2();
  #point = new Vector3();
  #place = new Float64Array(10);

  /** @param {BuildOptions} options */
  constructor(options) {
    this.#options = options;
    const { stage, canvas, model, propScene } = options;
    this.#moving = new DragSender((drags) => {
      if (model.state === "live") model.drag(drags);
    });
    this.#edits = new BuildEdits(model, (ticket) => this.#failed(ticket));
    this.#selection = new Selection({ camera: stage.camera, canvas, store: model.props, propScene,
      place: (prop, transform) => this.#edits.place(prop, transform), moving: this.#moving });
    this.#upload = new ModelUpload({ token: options.token,
      say: (sentence) => this.#panel.say(sentence),
      putUp: (hash, title) => this.#putModel(hash, title) });
    this.#panel = new BuildPanel({ upload: () => this.#upload.panel(),
      arm: (entry) => this.arm(entry), putAhead: () => this.#putAhead(),
      act: (name) => this.act(name), mode: (mode) => this.#selection.gizmo.setMode(mode),
      snapping: (isSnapping) => { this.#isSnapping = isSnapping; this.#snap(); },
      number: (prop, index, value) => this.#number(prop, index, value),
      describe: (prop, name, value) => this.#describe(prop, name, value),
    });
    this.#ghost.visible = false;
    this.#selection.changed.add(() => this.#panel.show(this.#selection.props));
    this.#listen();
  }

  #listen() {
    const { canvas, model } = this.#options;
    canvas.addEventListener("pointermove", (event) => this.#hover(event));
    canvas.addEventListener("pointerdown", () => {
      if (this.isOn) this.#options.holdView(this.#selection.isPointed);
    });
    canvas.addEventListener("pointerup", () => this.#options.holdView(false));
    for (const type of /** @type {const} */ (["dragover", "drop"])) {
      canvas.addEventListener(type, (event) => this.#dropped(event));
    }
    window.addEventListener("keydown", (event) => this.#key(event));
    window.addEventListener("keyup", (event) => this.#free(event.shiftKey));
    model.edits.changed.add(() => this.#tellState());
    model.savingChanged.add(() => this.#tellState());
    model.signJudged.add(({ state, reason }) => {
      if (state === SignState.PENDING) this.#panel.say(words("build.signPending"));
      else if (state === SignState.REJECTED) this.#panel.say(words("build.signNo", { reason }));
    });
    model.welcomed.add(() => { if (!this.#may) this.leave(); });
  }

  get #may() {
    return (this.#options.model.rights & Rights.BUILD) !== 0;
  }

  get selected() {
    return [...this.#selection.keys];
  }

  toggle() {
    if (this.isOn) return this.leave();
    const { model, stage, propScene } = this.#options;
    if (model.state !== "live") return;
    if (!this.#may) return model.told.fire(words("build.notAllowed"));
    this.isOn = true;
    stage.scene.add(this.#selection.group, this.#ghost);
    propScene.setBuilding(true);
    this.#panel.open();
    this.#snap();
    this.#tellState();
  }

  leave() {
    if (!this.isOn) return;
    const { stage, propScene, holdView } = this.#options;
    this.isOn = false;
    this.arm(null);
    this.#selection.set([]);
    this.#selection.update(false);
    stage.scene.remove(this.#selection.group, this.#ghost);
    propScene.setBuilding(false);
    holdView(false);
    this.#panel.close();
  }

  /** What the next click puts up. @param {PaletteEntry | null} entry */
  arm(entry) {
    this.#armed = entry;
    this.#panel.arm(entry?.name ?? "");
    this.#ghost.visible = false;
    if (entry) this.#ghost.scale.fromArray(entry.scale);
  }

  /** Once in a frame. */
  update() {
    if (!this.isOn) return;
    const mayMove = this.#selection.props.every((prop) => this.#edits.isMine(prop) && !prop.locked);
    this.#selection.update(mayMove);
    this.#moving.pump(performance.now());
  }

  // --- pointing ------------------------------------------------------------------------------

  /** @param {number} x CSS pixels on the canvas @param {number} y */
  #aim(x, y) {
    const { canvas, stage, model, propScene } = this.#options;
    this.#pointer.set((x / canvas.clientWidth) * 2 - 1, 1 - (y / canvas.clientHeight) * 2);
    this.#raycaster.setFromCamera(this.#pointer, stage.camera);
    const { ray } = this.#raycaster;
    const hit = propScene.pick(this.#raycaster);
    const solid = castRay(model.place, ray.origin, ray.direction).distance;
    // The solid of a prop is where the prop is, or a little before it.
    const isProp = hit !== null && hit.distance <= solid + 0.3;
    const distance = isProp ? hit.distance : solid;
    this.#point.copy(ray.origin).addScaledVector(ray.direction, Math.min(distance, REACH_M));
    return { key: isProp ? hit.key : "", isHit: distance < REACH_M };
  }

  /** @param {PointerEvent} event */
  #hover({ offsetX, offsetY }) {
    if (!this.isOn || !this.#armed || this.#selection.isDragging) return;
    this.#ghost.visible = this.#aim(offsetX, offsetY).isHit;
    this.#rest(this.#armed);
    this.#ghost.position.fromArray(this.#place);
  }

  /** The place of what stands on `#point`, into `#place`. @param {PaletteEntry} entry */
  #rest(entry) {
    const step = this.#isSnapping && !this.#isFree ? GRID_M : 0;
    const { x, y, z } = this.#point;
    this.#place.set([snap(x, step), y + heightAbove(entry), snap(z, step), 0, 0, 0, 1,
      ...entry.scale]);
  }

  /**
   * A click in the world: whether it was build mode's.
   * @param {number} x
   * @param {number} y
   * @param {PointerEvent} event
   */
  click(x, y, event) {
    if (!this.isOn) return false;
    if (this.#selection.isPointed) return true;
    const { key, isHit } = this.#aim(x, y);
    if (this.#armed) {
      if (isHit) this.#put(this.#armed);
      if (!event.shiftKey) this.arm(null);
    } else this.#selection.set(key ? [this.#whole(key, event.ctrlKey)] : [], event.shiftKey);
    return true;
  }

  /** The outermost group that a prop is in. @param {string} key @param {boolean} isPart */
  #whole(key, isPart) {
    const { props } = this.#options.model.props;
    let found = key;
    for (let depth = 0; !isPart && depth < 10; depth++) found = props.get(found)?.group || found;
    return found;
  }

  /** @param {PaletteEntry} entry */
  #put(entry) {
    this.#rest(entry);
    const key = this.#edits.create(entry.properties, transformOf(this.#place, false));
    this.#selection.set([key]);
  }

  #putAhead() {
    if (!this.#armed) return this.#panel.say(words("build.armFirst"));
    const { own } = this.#options.model;
    this.#point.set(own.x - Math.sin(own.yaw) * AHEAD_M, own.y,
      own.z - Math.cos(own.yaw) * AHEAD_M);
    this.#put(this.#armed);
  }

  /** A model that was uploaded, before oneself. @param {string} asset @param {string} title */
  #putModel(asset, title) {
    const { own } = this.#options.model;
    const position_m = [own.x - Math.sin(own.yaw) * AHEAD_M, own.y,
      own.z - Math.cos(own.yaw) * AHEAD_M];
    const properties = readProperties({ kind: "model", asset, title });
    if (!properties) return;
    const key = this.#edits.create(properties,
      { position_m, rotation: [0, 0, 0, 1], scale: [1, 1, 1] });
    this.#selection.set([key]);
  }

  /** A file was dropped on the world. @param {DragEvent} event */
  #dropped(event) {
    if (!this.isOn) return;
    event.preventDefault();
    const [file] = event.dataTransfer?.files ?? [];
    if (event.type === "drop" && file) void this.#upload.take(file);
  }

  // --- what can be done ----------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  #key(event) {
    this.#free(event.shiftKey);
    const { target } = event;
    const isTyping = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement
      || target instanceof HTMLSelectElement;
    if (!this.isOn || isTyping) return;
    const command = event.ctrlKey || event.metaKey;
    const name = command ? COMMANDS.get(event.code + (event.shiftKey ? "+" : ""))
      : KEYS.get(event.code);
    if (!name) return;
    event.preventDefault();
    if (name === "mode") {
      const modes = /** @type {const} */ (["translate", "rotate", "scale"]);
      const { gizmo } = this.#selection;
      gizmo.setMode(modes[(modes.indexOf(gizmo.mode) + 1) % modes.length]);
    } else this.act(name);
  }

  /** Shift suspends the grid. @param {boolean} isFree */
  #free(isFree) {
    if (this.#isFree === isFree) return;
    this.#isFree = isFree;
    this.#snap();
  }

  #snap() {
    const isOn = this.#isSnapping && !this.#isFree;
    this.#selection.setSnap(isOn ? GRID_M : 0, isOn ? ANGLE_RAD : 0);
  }

  /** @param {string} name */
  act(name) {
    if (name === "close") return this.leave();
    if (name === "undo") return void this.#edits.undo();
    if (name === "redo") return void this.#edits.redo();
    if (name === "escape") {
      if (this.#armed) return this.arm(null);
      return this.#selection.keys.size ? this.#selection.set([]) : this.leave();
    }
    const { props } = this.#selection;
    if (!props.length) return this.#panel.say(words("build.selected", { count: 0 }));
    if (name !== "duplicate" && !this.#mayChange(props, name === "lock")) return undefined;
    if (name === "duplicate") this.#selection.set(props.map((each) => this.#edits.duplicate(each)));
    else if (name === "delete") for (const each of props) this.#edits.remove(each);
    else if (name === "lock") for (const each of props) this.#edits.toggleLock(each);
    else if (name === "group") this.#group(props);
    else for (const each of props) if (each.properties.kind === "group") this.#edits.ungroup(each);
    return undefined;
  }

  /** @param {Prop[]} props @param {boolean} [evenLocked] */
  #mayChange(props, evenLocked = false) {
    const isOthers = props.some((prop) => !this.#edits.isMine(prop));
    const isLocked = !evenLocked && props.some(({ locked }) => locked);
    if (isOthers) this.#panel.say(words("build.others"));
    else if (isLocked) this.#panel.say(words("build.locked"));
    return !isOthers && !isLocked;
  }

  /** @param {Prop[]} props */
  #group(props) {
    const { store, box, at } = { store: this.#options.model.props, box: new Box3(),
      at: this.#place };
    for (const { key } of props) {
      if (store.worldTransformOf(key, at)) box.expandByPoint(new Vector3().fromArray(at));
    }
    const middle = box.getCenter(new Vector3());
    at.set([middle.x, middle.y, middle.z, 0, 0, 0, 1, 1, 1, 1]);
    const properties = /** @type {Properties} */ (readProperties({ kind: "group" }));
    this.#selection.set([this.#edits.group(props, transformOf(at, true), properties)]);
  }

  /** @param {Prop} prop @param {number} index @param {number} value */
  #number(prop, index, value) {
    if (!this.#mayChange([prop])) return;
    const { position_m, rotation, scale } = prop.transform;
    const place = new Float64Array([...position_m, ...rotation, ...scale]);
    place[index] = value;
    this.#edits.place(prop, transformOf(place, prop.properties.kind === "group"));
  }

  /** @param {Prop} prop @param {string} name @param {string | number | boolean} value */
  #describe(prop, name, value) {
    const now = this.#options.model.props.props.get(prop.key);
    if (!now || !this.#mayChange([now])) return;
    const properties = /** @type {Properties} */ ({ ...now.properties, [name]: value });
    this.#edits.describe(now, properties);
  }

  // --- what became of it ---------------------------------------------------------------------

  #tellState() {
    if (!this.isOn) return;
    const { edits, saving, savingSentence } = this.#options.model;
    if (saving !== SaveState.RW) return this.#panel.say(savingSentence);
    const count = edits.pendingCount;
    this.#panel.say(count ? words("build.saving", { count }) : words("build.saved"));
  }

  /** @param {import("../core/edits.js").EditTicket} ticket */
  #failed({ state, reason }) {
    this.#options.model.told.fire(reason || wordsOf(`build.${state}`));
    this.#panel.show(this.#selection.props);
  }
}

const KEYS = new Map(Object.entries({
  Delete: "delete", Backspace: "delete", KeyR: "mode", KeyL: "lock", Escape: "escape",
}));
const COMMANDS = new Map(Object.entries({
  KeyZ: "undo", "KeyZ+": "redo", KeyY: "redo", KeyD: "duplicate", KeyG: "group", "KeyG+": "ungroup",
}));
