/**
 * Build mode: what is chosen in the panel is put where one points, what is clicked is selected and
 * moved by a gizmo, by keys or by numbers.
 *
 * Who may not build is told so and nothing else happens. Things that are somebody else's or locked
 * can be selected and not moved; while a world cannot be saved nothing is asked for. The server
 * decides about every edit; what it refuses stands as it stood, and its sentence is shown. What is
 * done by pointing is in `pointing`, what is selected in `selection`, the keys in `build_keys`.
 */

import { Vector3 } from "../../vendor/three.js";
import { stepSeenFrom, transformOf, wholeOf } from "../core/build_math.js";
import { DragSender } from "../core/drags.js";
import { readProperties } from "../core/props.js";
import { Rights, SaveState, SignState } from "../core/protocol.generated.js";
import { words } from "../ui/words.js";
import { BoxSelect } from "./box_select.js";
import { BuildEdits } from "./build_edits.js";
import { listenToKeys } from "./build_keys.js";
import { BuildPanel } from "./build_panel.js";
import { EditList } from "./edit_list.js";
import { ModelUpload } from "./model_upload.js";
import { Pointing } from "./pointing.js";
import { Selection } from "./selection.js";

/** @typedef {import("../core/palette.js").PaletteEntry} PaletteEntry */
/** @typedef {import("../core/props.js").Prop} Prop */
/** @typedef {import("../core/protocol.generated.js").Properties} Properties */
/** @typedef {"translate" | "rotate" | "scale"} Mode */
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
const GROW = 1.1;
const MODES = /** @type {const} */ (["translate", "rotate", "scale"]);

export class BuildMode {
  isOn = false;
  #options;
  #edits;
  #moving;
  #panel;
  #selection;
  #pointing;
  #box;
  #upload;
  /** @type {PaletteEntry | null} */
  #armed = null;
  #isSnapping = true;
  #isFree = false;
  #place = new Float64Array(10);
  #up = new Vector3(0, 1, 0);

  /** @param {BuildOptions} options */
  constructor(options) {
    this.#options = options;
    const { stage, canvas, model, propScene } = options;
    this.#moving = new DragSender((drags) => {
      if (model.state === "live") model.drag(drags);
    });
    const edits = this.#edits = new BuildEdits(model,
      () => this.#panel.show(this.#selection.props));
    this.#selection = new Selection({ camera: stage.camera, canvas, store: model.props, propScene,
      moving: this.#moving, place: (prop, transform) => edits.place(prop, transform),
      copy: (prop, transform) => edits.copy(prop, transform).key,
      together: (act) => edits.together(act) });
    this.#pointing = new Pointing(options);
    this.#box = new BoxSelect({ canvas, camera: stage.camera, store: model.props,
      mayBegin: () => this.isOn && !this.#armed && !this.#selection.isPointed,
      chosen: (keys, more) => this.#choose(keys, more) });
    this.#upload = new ModelUpload({ token: options.token,
      say: (sentence) => this.#panel.say(sentence),
      putUp: (hash, title) => this.#putModel(hash, title) });
    this.#panel = this.#makePanel(new EditList(edits.log));
    this.#selection.changed.add(() => this.#panel.show(this.#selection.props));
    this.#listen();
  }

  /** @param {EditList} list */
  #makePanel(list) {
    return new BuildPanel({ parts: () => [this.#upload.panel(), list.panel()],
      switches: () => ({ mode: this.#selection.gizmo.mode, snap: this.#isSnapping,
        local: this.#selection.isLocal, align: this.#pointing.isAligned, box: this.#box.isTool }),
      arm: (entry) => this.arm(entry), putAhead: () => this.#putAhead(),
      act: (name) => this.act(name),
      place: (prop, transform, isLast) => {
        if (this.#mayChange([prop])) this.#selection.show(prop, transform, isLast);
      },
      describe: (prop, name, value) => this.#describe(prop, name, value),
    });
  }

  #listen() {
    const { canvas, model } = this.#options;
    canvas.addEventListener("pointermove", (event) => this.#hover(event));
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.isOn) return;
      this.#options.holdView(this.#box.begins(event) || this.#selection.isPointed);
    });
    for (const type of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(type, () => this.#options.holdView(false));
    }
    for (const type of /** @type {const} */ (["dragover", "drop"])) {
      canvas.addEventListener(type, (event) => this.#dropped(event));
    }
    listenToKeys({ isOn: () => this.isOn, act: (name) => this.act(name),
      nudge: (step, part) => this.#nudge(step, part), settle: () => this.#selection.settle(),
      free: (isFree) => this.#free(isFree) });
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
    stage.scene.add(this.#selection.group, this.#pointing.ghost);
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
    this.#box.stop();
    this.#selection.cancel();
    this.#selection.set([]);
    this.#selection.update(false);
    stage.scene.remove(this.#selection.group, this.#pointing.ghost);
    propScene.setBuilding(false);
    holdView(false);
    this.#panel.close();
  }

  /** What the next click puts up. @param {PaletteEntry | null} entry */
  arm(entry) {
    this.#armed = entry;
    this.#panel.arm(entry?.name ?? "");
    this.#pointing.ghost.visible = false;
  }

  /** Once in a frame. */
  update() {
    if (!this.isOn) return;
    // While something is to be put up the handles are not in its way.
    this.#selection.update(!this.#armed
      && this.#selection.props.every((prop) => this.#edits.mayChange(prop)));
    this.#moving.pump(performance.now());
  }

  // --- pointing ------------------------------------------------------------------------------

  /** @param {PointerEvent} event */
  #hover({ offsetX, offsetY }) {
    if (!this.isOn || !this.#armed || this.#selection.isDragging) return;
    this.#pointing.showGhost(this.#armed, offsetX, offsetY, this.#place);
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
    const { key, isHit } = this.#pointing.aim(x, y);
    if (this.#armed) {
      if (isHit) this.#put(this.#armed);
      if (!event.shiftKey) this.arm(null);
    } else {
      const { props } = this.#options.model.props;
      const chosen = event.ctrlKey ? key : wholeOf(props, key);
      this.#selection.set(key ? [chosen] : [], event.shiftKey);
    }
    return true;
  }

  /** Of several, those that one may change: the others would hold all of them still.
   * @param {string[]} keys
   * @param {boolean} more besides those that are
   */
  #choose(keys, more) {
    const { props } = this.#options.model.props;
    const mine = keys.filter((key) => {
      const prop = props.get(key);
      return prop && this.#edits.mayChange(prop) && !(more && this.#selection.keys.has(key));
    });
    this.#selection.set(mine, more);
    this.#panel.say(words("build.chosen", { count: this.#selection.keys.size }));
  }

  /** @param {PaletteEntry} entry */
  #put(entry) {
    if (!this.#maySave()) return;
    this.#pointing.rest(entry, this.#place);
    const key = this.#edits.create(entry.properties, transformOf(this.#place, false));
    this.#selection.set([key]);
  }

  #putAhead() {
    if (!this.#armed) return this.#panel.say(words("build.armFirst"));
    this.#pointing.ahead();
    this.#put(this.#armed);
  }

  /** A model that was uploaded, before oneself. @param {string} asset @param {string} title */
  #putModel(asset, title) {
    const properties = readProperties({ kind: "model", asset, title });
    if (!properties || !this.#maySave()) return;
    const position_m = this.#pointing.ahead().toArray();
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

  /** @param {import("./build_keys.js").Step} step @param {number} part of a step */
  #nudge(step, part) {
    if (!this.#mayChange(this.#selection.props)) return;
    const { elements } = this.#options.stage.camera.matrixWorld;
    const [x, z] = stepSeenFrom(Math.atan2(elements[8], elements[10]), step.right, step.away);
    this.#selection.nudge((handle) => {
      const size = GRID_M * part;
      handle.position.x += x * size;
      handle.position.y += step.up * size;
      handle.position.z += z * size;
      handle.rotateOnWorldAxis(this.#up, step.turn * ANGLE_RAD * part);
      handle.scale.multiplyScalar(GROW ** (step.grow * part));
    });
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
    this.#pointing.step_m = isOn ? GRID_M : 0;
  }

  // --- what can be done ----------------------------------------------------------------------

  /** @param {string} name */
  act(name) {
    if (name === "close") return this.leave();
    if (name === "escape") return this.#escape();
    if (name === "all") {
      const { props } = this.#options.model.props;
      return this.#choose([...props.values()].flatMap((each) => each.group ? [] : each.key), false);
    }
    if (this.#switch(name) || !this.#maySave()) return undefined;
    if (name === "undo") return this.#edits.undo();
    if (name === "redo") return this.#edits.redo();
    const { props } = this.#selection;
    if (!props.length) return this.#panel.say(words("build.selected", { count: 0 }));
    if (name !== "duplicate" && !this.#mayChange(props, name === "lock")) return undefined;
    this.#edits.together(() => this.#change(name, props));
    return undefined;
  }

  /** What is not an edit. @param {string} name */
  #switch(name) {
    const { gizmo } = this.#selection;
    const mode = MODES.find((each) => each === name);
    if (mode) gizmo.setMode(mode);
    else if (name === "mode") gizmo.setMode(MODES[(MODES.indexOf(gizmo.mode) + 1) % MODES.length]);
    else if (name === "local" || name === "axes") this.#selection.turnAxes();
    else if (name === "align") this.#pointing.isAligned = !this.#pointing.isAligned;
    else if (name === "box") this.#box.isTool = !this.#box.isTool;
    else if (name === "snap") {
      this.#isSnapping = !this.#isSnapping;
      this.#snap();
    } else return false;
    this.#panel.switched();
    return true;
  }

  /** @param {string} name @param {Prop[]} props */
  #change(name, props) {
    if (name === "duplicate") this.#selection.set(props.map((each) => this.#edits.duplicate(each)));
    else if (name === "delete") for (const each of props) this.#edits.remove(each);
    else if (name === "lock") for (const each of props) this.#edits.toggleLock(each);
    else if (name === "drop") this.#drop(props);
    else if (name === "group") this.#selection.set([this.#edits.group(props)]);
    else for (const each of props) if (each.properties.kind === "group") this.#edits.ungroup(each);
  }

  #escape() {
    if (this.#selection.isDragging) return this.#selection.cancel();
    if (this.#armed) return this.arm(null);
    return this.#selection.keys.size ? this.#selection.set([]) : this.leave();
  }

  #maySave() {
    const { saving, savingSentence } = this.#options.model;
    const may = saving === SaveState.RW || saving === SaveState.DEGRADED;
    if (!may) this.#panel.say(savingSentence);
    return may;
  }

  /** @param {Prop[]} props @param {boolean} [evenLocked] */
  #mayChange(props, evenLocked = false) {
    const isOthers = props.some((prop) => !this.#edits.isMine(prop));
    const isLocked = !evenLocked && props.some(({ locked }) => locked);
    if (isOthers) this.#panel.say(words("build.others"));
    else if (isLocked) this.#panel.say(words("build.locked"));
    return !isOthers && !isLocked && this.#maySave();
  }

  /** Onto what is below each. @param {Prop[]} props */
  #drop(props) {
    for (const prop of props) {
      const { properties, transform: { scale } } = prop;
      if (!this.#options.model.props.worldTransformOf(prop.key, this.#place)) continue;
      if (!this.#pointing.drop(this.#place, { name: "", properties, scale })) continue;
      const transform = this.#selection.placing.transformIn(prop, this.#place);
      if (transform) this.#selection.show(prop, transform, true);
    }
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
}
