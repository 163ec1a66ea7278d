/**
 * What is selected: its outlines, and the gizmo that moves, turns and scales it.
 *
 * The gizmo holds an empty handle; what is selected follows the handle, each prop within its group.
 * While it is dragged the picture shows where things are going (`preview`), and others see it too
 * (`moving`), though nothing is edited yet: that happens when the drag ends, once, so that one Undo
 * takes one drag back. Then the state of the store counts: what was refused stands where it stood.
 * With Alt a copy is dragged: the outline goes where it will be, and what it is of stays.
 */

import {
  BoxGeometry, EdgesGeometry, Group, LineBasicMaterial, LineSegments, Object3D,
} from "../../vendor/three.js";
import { TransformControls } from "../../vendor/gizmo.js";
import { carried } from "../core/build_math.js";
import { DragSender } from "../core/drags.js";
import { Signal } from "../core/signal.js";
import { Placing } from "./placing.js";

/** @typedef {import("../core/props.js").Prop} Prop */
/** @typedef {import("../core/props.js").PropStore} PropStore */
/** @typedef {"translate" | "rotate" | "scale"} Mode */
/**
 * @typedef {object} SelectionOptions
 * @property {import("../../vendor/three.js").Camera} camera
 * @property {HTMLElement} canvas
 * @property {PropStore} store
 * @property {import("../render/props/prop_scene.js").PropScene} propScene
 * @property {(prop: Prop, transform: import("../core/protocol.generated.js").Transform) =>
 *   import("../core/edits.js").EditTicket} place
 * @property {(prop: Prop, transform: import("../core/protocol.generated.js").Transform) =>
 *   string} copy the key of the copy
 * @property {<T>(act: () => T) => T} together
 * @property {DragSender} moving
 */

const SELECTED_MAX = 64;
const edges = new EdgesGeometry(new BoxGeometry(1.02, 1.02, 1.02));
const lines = new LineBasicMaterial({ color: 0xffb02e, depthTest: false, transparent: true });

export class Selection {
  group = new Group();
  /** @type {Signal<null>} */
  changed = new Signal();
  /** @type {Set<string>} */
  keys = new Set();
  isDragging = false;
  #isCopying = false;
  #withAlt = false;
  #handle = new Object3D();
  #start = new Float64Array(10);
  #now = new Float64Array(10);
  #at = new Float64Array(10);
  /** @type {Map<string, Float64Array>} places as the drag began */
  #dragged = new Map();
  #options;

  /** @param {SelectionOptions} options */
  constructor(options) {
    this.#options = options;
    this.placing = new Placing(options);
    this.gizmo = new TransformControls(options.camera, options.canvas);
    this.gizmo.setSpace("world");
    // The gizmo says that a drag begins, and not with which keys.
    window.addEventListener("pointerdown", ({ altKey }) => { this.#withAlt = altKey; }, true);
    this.group.add(this.#handle, this.gizmo.getHelper());
    this.gizmo.addEventListener("mouseDown", () => this.#begin(this.#withAlt));
    this.gizmo.addEventListener("objectChange", () => this.#drag(false));
    this.gizmo.addEventListener("mouseUp", () => this.#end());
    options.store.changed.add(({ key, kind }) => {
      if (kind === "reset") return this.set([]);
      if (!this.keys.has(key)) return;
      if (kind === "gone") this.keys.delete(key);
      if (kind !== "move") this.changed.fire(null);
    });
  }

  /** @returns {Prop[]} */
  get props() {
    const { props } = this.#options.store;
    return [...this.keys].flatMap((key) => props.get(key) ?? []);
  }

  /** Whether the pointer is on the gizmo. */
  get isPointed() {
    return this.isDragging || this.gizmo.axis !== null;
  }

  /** @param {string[]} keys @param {boolean} [more] besides those that are */
  set(keys, more = false) {
    if (!more) this.keys.clear();
    for (const key of keys) {
      if (more && this.keys.has(key)) this.keys.delete(key);
      else if (this.keys.size < SELECTED_MAX) this.keys.add(key);
    }
    this.changed.fire(null);
  }

  /** @param {number} step_m @param {number} angle_rad 0 for none */
  setSnap(step_m, angle_rad) {
    this.gizmo.setTranslationSnap(step_m || null);
    this.gizmo.setRotationSnap(angle_rad || null);
    this.gizmo.setScaleSnap(step_m || null);
  }

  get isLocal() {
    return this.gizmo.space === "local";
  }

  /** Along its own axes, or along those of the world again. */
  turnAxes() {
    this.gizmo.setSpace(this.isLocal ? "world" : "local");
  }

  /** Once in a frame: outlines and handle are where the props are. @param {boolean} mayMove */
  update(mayMove) {
    const outlines = this.group.children.filter((each) => each instanceof LineSegments);
    let used = 0;
    for (const key of this.keys) {
      if (!this.#placeOf(key)) continue;
      const outline = outlines[used++] ?? this.#addOutline();
      put(outline, this.#at);
      outline.visible = true;
    }
    for (let i = used; i < outlines.length; i++) outlines[i].visible = false;
    if (this.isDragging) return;
    this.#isNudged = false;
    if (mayMove && this.#putHandle()) {
      if (this.gizmo.object !== this.#handle) this.gizmo.attach(this.#handle);
    } else if (this.gizmo.object) this.gizmo.detach();
  }

  /** The handle is where the first of the selected is; false if there is none. */
  #putHandle() {
    const [first] = this.keys;
    if (!first || !this.#options.store.worldTransformOf(first, this.#at)) return false;
    put(this.#handle, this.#at);
    return true;
  }

  #addOutline() {
    const outline = new LineSegments(edges, lines);
    outline.renderOrder = 10;
    this.group.add(outline);
    return outline;
  }

  /** Where it is shown into `#at`. @param {string} key */
  #placeOf(key) {
    const from = this.#dragged.get(key);
    if (from) carried(this.#at, this.#start, this.#now, from);
    else return this.#options.store.shownTransformOf(key, this.#at);
    return true;
  }

  /** @param {boolean} isCopying */
  #begin(isCopying) {
    this.isDragging = true;
    this.#isCopying = isCopying;
    take(this.#handle, this.#start);
    this.#now.set(this.#start);
    for (const key of this.keys) {
      const place = new Float64Array(10);
      if (this.#options.store.worldTransformOf(key, place)) this.#dragged.set(key, place);
    }
  }

  /** @param {boolean} isLast */
  #drag(isLast) {
    if (!this.isDragging) return;
    take(this.#handle, this.#now);
    if (this.#isCopying) return;
    /** @type {import("../core/protocol.generated.js").PropMove[]} */
    const moves = [];
    for (const prop of this.props) {
      if (!this.#dragged.has(prop.key) || !this.#placeOf(prop.key)) continue;
      const transform = this.placing.transformIn(prop, this.#at);
      if (!transform) continue;
      if (isLast) this.placing.settle(prop, transform);
      else {
        this.placing.show(prop, transform);
        moves.push({ prop_id: prop.id, transform });
      }
    }
    if (isLast) this.#options.moving.end();
    else this.#options.moving.move(moves);
  }

  #end() {
    if (!this.isDragging) return;
    const copies = this.#isCopying ? this.#copy() : [];
    this.#options.together(() => this.#drag(true));
    this.isDragging = this.#isCopying = false;
    this.#dragged.clear();
    if (copies.length) this.set(copies);
    else this.changed.fire(null);
  }

  /** @returns {string[]} keys of copies of what is selected, where the outlines are */
  #copy() {
    if (this.#now.every((value, k) => value === this.#start[k])) return [];
    return this.#options.together(() => this.props.flatMap((prop) => {
      if (!this.#dragged.has(prop.key) || !this.#placeOf(prop.key)) return [];
      const transform = this.placing.transformIn(prop, this.#at);
      return transform ? [this.#options.copy(prop, transform)] : [];
    }));
  }

  /** Nothing is moved after all. */
  cancel() {
    if (!this.isDragging) return;
    for (const key of this.#dragged.keys()) this.placing.forget(key);
    this.isDragging = this.#isCopying = false;
    this.#dragged.clear();
    this.#options.moving.cancel();
    this.gizmo.detach();
  }

  /**
   * A step of the keys: all that is selected moves, and is seen to, until `settle`.
   * @param {(handle: Object3D) => void} change
   */
  nudge(change) {
    if (this.isDragging && !this.#isNudged) return;
    if (!this.isDragging) {
      // What has just been selected may be moved before a frame has shown its handle.
      if (!this.#putHandle()) return;
      this.#begin(false);
    }
    this.#isNudged = true;
    change(this.#handle);
    this.#drag(false);
  }

  #isNudged = false;

  /** The keys were let go: what they moved is edited now. */
  settle() {
    if (!this.#isNudged) return;
    this.#isNudged = false;
    this.#end();
  }

  /**
   * One prop is elsewhere, by its numbers.
   * @param {Prop} prop
   * @param {import("../core/protocol.generated.js").Transform} transform
   * @param {boolean} isLast
   */
  show(prop, transform, isLast) {
    const { moving } = this.#options;
    if (isLast) {
      this.placing.settle(prop, transform);
      moving.end();
    } else {
      this.placing.show(prop, transform);
      moving.move([{ prop_id: prop.id, transform }]);
    }
  }

  dispose() {
    this.gizmo.detach();
    this.gizmo.dispose();
    this.group.clear();
  }
}

/** @param {Object3D} object @param {Float64Array} place */
function put(object, place) {
  object.position.fromArray(place, 0);
  object.quaternion.fromArray(place, 3);
  object.scale.fromArray(place, 7);
}

/** @param {Object3D} object @param {Float64Array} place */
function take(object, place) {
  object.position.toArray(place, 0);
  object.quaternion.toArray(place, 3);
  object.scale.toArray(place, 7);
}
