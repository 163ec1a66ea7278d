/**
 * Props in the picture: what people have put into the world, wherever it is at this moment.
 *
 * The store (`core/props`) says what there is; here it gets a form. What changes is noted and taken
 * up in the next frame, once for each prop however often it changed. A prop stands where its state
 * says, follows the hand that holds it, or flies; what others move or drag glides there in a tenth
 * of a second, which is how often a drag is told. Shapes are instanced (`shape_batches`), all else
 * is an object of its own, of which only the nearest are drawn.
 */

import {
  Group, Matrix4, Quaternion, Vector3,
} from "../../../vendor/three.js";
import { animateFixture, BUILDERS_ONLY, FIXTURES, makeFixture } from "./fixtures.js";
import { Lamps } from "./lamps.js";
import { Models } from "./models.js";
import { ShapeBatches } from "./shape_batches.js";
import { SignBoard } from "./sign_board.js";

/** @typedef {import("../../core/world_model.js").WorldModel} WorldModel */
/** @typedef {import("../../core/props.js").Prop} Prop */
/** @typedef {import("../../core/protocol.generated.js").Transform} Transform */
/** @typedef {import("../../../vendor/three.js").Object3D} Object3D */
/**
 * @typedef {object} PropSceneOptions
 * @property {WorldModel} model
 * @property {"low" | "medium" | "high"} quality
 * @property {(id: number, hand: number, at: Vector3, turn: Quaternion) => boolean} handOf
 * @property {(hash: string) => string} assetUrl
 */
/**
 * What is drawn of a prop that is no shape.
 * @typedef {object} Thing
 * @property {string} kind
 * @property {Group} object
 * @property {SignBoard | null} sign
 * @property {string} asset
 */

const GLIDE_S = 0.1;
const SIGNS_DRAWN_MAX = 24;
const SIGN_M_MAX = 40;
const THING_M_MAX = 120;
const SIZE_MIN = 1e-4;
const GROUPS_DEEP_MAX = 10;
/** Of a shape that is not to be seen: no size. */
const NOWHERE = new Matrix4().makeScale(0, 0, 0);

export class PropScene {
  group = new Group();
  #model;
  #handOf;
  #shapes = new ShapeBatches();
  #lamps;
  #models;
  /** @type {Map<string, Thing>} */
  #things = new Map();
  /** @type {Set<string>} to be looked at in the next frame */
  #dirty = new Set();
  /** @type {Map<string, {from: Float64Array, seconds: number}>} gliding to where they are now */
  #glides = new Map();
  #isBuilding = false;
  #seconds = 0;
  #slowly = 0;
  #at = new Float64Array(10);
  #matrix = new Matrix4();
  #place = new Vector3();
  #turn = new Quaternion();
  #size = new Vector3();
  #grip = new Matrix4();
  #one = new Vector3(1, 1, 1);

  /** @param {PropSceneOptions} options */
  constructor({ model, quality, handOf, assetUrl }) {
    this.#model = model;
    this.#handOf = handOf;
    this.#lamps = new Lamps(quality);
    this.#models = new Models(assetUrl);
    this.group.add(this.#shapes.group, this.#lamps.group);
    model.props.changed.add(({ key, kind }) => {
      if (kind === "reset") return this.#reset();
      if (kind === "move" || kind === "drag") this.#glideFrom(key);
      this.#touch(key);
    });
    this.#reset();
  }

  #reset() {
    for (const key of [...this.#things.keys()]) this.#drop(key);
    this.#shapes.dispose();
    this.#lamps.dispose();
    this.#glides.clear();
    this.#dirty.clear();
    for (const key of this.#model.props.props.keys()) this.#dirty.add(key);
  }

  /** It has changed, and so has all that is in it. @param {string} key */
  #touch(key) {
    // Where it is noted already so is what is in it; and groups in a ring have an end here.
    if (this.#dirty.has(key)) return;
    this.#dirty.add(key);
    for (const each of this.#model.props.within(key)) this.#touch(each);
  }

  /**
   * Remembers where it and all that is in it was drawn, to glide from there.
   * @param {string} key
   * @param {number} [depth]
   */
  #glideFrom(key, depth = 0) {
    if (depth > GROUPS_DEEP_MAX || this.#model.props.drags.isOwn(key)) return;
    for (const each of this.#model.props.within(key)) this.#glideFrom(each, depth + 1);
    const object = this.#things.get(key)?.object;
    if (object) {
      this.#place.copy(object.position);
      this.#turn.copy(object.quaternion);
    } else if (this.#shapes.placeOf(key, this.#matrix)) {
      this.#matrix.decompose(this.#place, this.#turn, this.#size);
    } else return;
    const from = this.#glides.get(key)?.from ?? new Float64Array(7);
    this.#place.toArray(from, 0);
    this.#turn.toArray(from, 3);
    this.#glides.set(key, { from, seconds: this.#seconds });
  }

  /** Builders see more than others. @param {boolean} isBuilding */
  setBuilding(isBuilding) {
    this.#isBuilding = isBuilding;
    for (const { kind, object } of this.#things.values()) {
      if (BUILDERS_ONLY.has(kind)) object.visible = isBuilding;
    }
  }

  /**
   * Shows a prop elsewhere than it is, while it is dragged; null ends that.
   * @param {string} key
   * @param {Transform | null} transform within its group
   */
  preview(key, transform) {
    this.#model.props.drags.preview(key, transform);
    if (transform) this.#glides.delete(key);
    this.#touch(key);
  }

  /** What is drawn of a prop that is no shape. @param {string} key @returns {Object3D | null} */
  objectOf(key) {
    return this.#things.get(key)?.object ?? null;
  }

  /**
   * Once in a frame.
   * @param {number} seconds
   * @param {number} serverMs the moment that is shown
   * @param {import("../../../vendor/three.js").Camera} camera
   */
  update(seconds, serverMs, camera) {
    this.#models.update(Math.max(0, seconds - this.#seconds));
    this.#seconds = seconds;
    for (const key of this.#dirty) this.#refresh(key);
    this.#dirty.clear();
    for (const key of this.#glides.keys()) this.#glide(key);
    const { held, flights } = this.#model.props;
    for (const key of flights.keys()) this.#fly(key, serverMs);
    for (const key of held.keys()) this.#follow(key);
    for (const { object } of this.#things.values()) animateFixture(object, seconds);
    this.#shapes.update();
    this.#lamps.update(camera);
    if (seconds - this.#slowly > 0.4) {
      this.#slowly = seconds;
      this.#cull(camera);
    }
  }

  // --- where ---------------------------------------------------------------------------------

  /** Its place in the world into `#matrix`; false when it has none. @param {string} key */
  #locate(key) {
    if (!this.#model.props.shownTransformOf(key, this.#at)) return false;
    this.#compose();
    return true;
  }

  #compose() {
    this.#place.fromArray(this.#at, 0);
    this.#turn.fromArray(this.#at, 3);
    this.#size.fromArray(this.#at, 7);
    this.#matrix.compose(this.#place, this.#turn, this.#size);
  }

  /** @param {string} key */
  #glide(key) {
    const glide = this.#glides.get(key);
    if (!glide || !this.#locate(key)) return void this.#glides.delete(key);
    const part = (this.#seconds - glide.seconds) / GLIDE_S;
    if (part >= 1) this.#glides.delete(key);
    else {
      for (let k = 0; k < 3; k++) {
        this.#at[k] = glide.from[k] + (this.#at[k] - glide.from[k]) * part;
      }
      this.#turn.fromArray(glide.from, 3).slerp(this.#aim.fromArray(this.#at, 3), part);
      this.#turn.toArray(this.#at, 3);
      this.#compose();
    }
    this.#put(key);
  }

  #aim = new Quaternion();

  /** @param {string} key @param {number} serverMs */
  #fly(key, serverMs) {
    if (!this.#locate(key)) return;
    this.#model.props.flightAt(key, serverMs, this.#at);
    this.#compose();
    this.#put(key);
  }

  /** @param {string} key */
  #follow(key) {
    const grip = this.#model.props.held.get(key);
    if (!grip || !this.#locate(key)) return;
    const thing = this.#things.get(key);
    const isKnown = this.#handOf(grip.entityId, grip.hand, this.#place, this.#turn);
    if (thing) thing.object.visible = isKnown;
    if (!isKnown) {
      this.#shapes.move(key, NOWHERE);
      return;
    }
    this.#matrix.compose(this.#place, this.#turn, this.#one);
    this.#place.fromArray(grip.position_m);
    this.#turn.fromArray(grip.rotation);
    this.#matrix.multiply(this.#grip.compose(this.#place, this.#turn, this.#size));
    this.#put(key);
  }

  /** Puts what is drawn to `#matrix`. @param {string} key */
  #put(key) {
    const object = this.#things.get(key)?.object;
    if (object) this.#matrix.decompose(object.position, object.quaternion, object.scale);
    const properties = this.#model.props.props.get(key)?.properties;
    if (properties?.kind === "shape") this.#shapes.move(key, this.#matrix);
    else if (properties?.kind === "light") this.#lamps.set(key, properties, this.#matrix);
  }

  // --- what ----------------------------------------------------------------------------------

  /** Makes what is drawn of a prop agree with the store. @param {string} key */
  #refresh(key) {
    const prop = this.#model.props.props.get(key);
    if (!prop || !this.#locate(key)) return this.#drop(key);
    const { properties } = prop;
    const thing = this.#things.get(key);
    if (properties.kind === "shape") {
      if (thing) this.#drop(key);
      return this.#shapes.set(key, properties, this.#matrix);
    }
    if (properties.kind === "light") return this.#lamps.set(key, properties, this.#matrix);
    if (!thing || this.#isOther(thing, prop)) this.#make(key, prop);
    else if (properties.kind === "sign") thing.sign?.set(properties, this.#ratio());
    if (!this.#glides.has(key)) this.#put(key);
    this.#show(key);
  }

  /** Whoever held it where it could not be seen has let go. @param {string} key */
  #show(key) {
    const thing = this.#things.get(key);
    if (!thing || this.#model.props.held.has(key)) return;
    thing.object.visible = !BUILDERS_ONLY.has(thing.kind) || this.#isBuilding;
  }

  #ratio() {
    return Math.max(this.#at[7], SIZE_MIN) / Math.max(this.#at[8], SIZE_MIN);
  }

  /** @param {Thing} thing @param {Prop} prop */
  #isOther(thing, { properties }) {
    if (thing.kind !== properties.kind) return true;
    if (properties.kind === "spawn") return true; // as large as its radius
    return properties.kind === "model" && (thing.asset !== properties.asset
      || thing.object.userData.tint !== properties.tint);
  }

  /** @param {string} key @param {Prop} prop */
  #make(key, { properties }) {
    this.#drop(key);
    /** @type {Thing} */
    const thing = { kind: properties.kind, object: new Group(), sign: null, asset: "" };
    if (properties.kind === "sign") {
      thing.sign = new SignBoard(properties, this.#ratio());
      thing.object = thing.sign.group;
    } else if (properties.kind === "model") {
      thing.asset = properties.asset;
      this.#models.show(properties.asset, thing.object, properties.tint);
    } else if (FIXTURES.has(properties.kind)) thing.object = makeFixture(properties);
    thing.object.userData.key = key;
    thing.object.visible = !BUILDERS_ONLY.has(properties.kind) || this.#isBuilding;
    this.#things.set(key, thing);
    this.group.add(thing.object);
  }

  /** @param {string} key */
  #drop(key) {
    this.#shapes.remove(key);
    this.#lamps.remove(key);
    this.#glides.delete(key);
    const thing = this.#things.get(key);
    if (!thing) return;
    this.#things.delete(key);
    this.group.remove(thing.object);
    thing.sign?.dispose();
    if (thing.asset) this.#models.hide(thing.asset, thing.object);
  }

  /**
   * Hides what is far, and writes the signs that are near.
   * @param {import("../../../vendor/three.js").Camera} camera
   */
  #cull(camera) {
    const eye = this.#place.setFromMatrixPosition(camera.matrixWorld);
    /** @type {{sign: SignBoard, away: number}[]} */
    const signs = [];
    for (const [key, thing] of this.#things) {
      const away = thing.object.position.distanceTo(eye);
      const isSeen = !BUILDERS_ONLY.has(thing.kind) || this.#isBuilding;
      const reach = THING_M_MAX * Math.max(1, thing.object.scale.length() / 4);
      if (!this.#model.props.held.has(key)) thing.object.visible = isSeen && away < reach;
      if (thing.sign) signs.push({ sign: thing.sign, away: away / thing.object.scale.length() });
    }
    signs.sort((a, b) => a.away - b.away);
    for (const [i, { sign, away }] of signs.entries()) {
      const isNear = i < SIGNS_DRAWN_MAX && away < SIGN_M_MAX;
      if (isNear && !sign.isDrawn) sign.draw();
      else if (!isNear && sign.isDrawn) sign.blank();
    }
  }

  /**
   * The nearest prop on a ray.
   * @param {import("../../../vendor/three.js").Raycaster} raycaster
   * @returns {{key: string, distance: number,
   *   hit?: import("../../../vendor/three.js").Intersection} | null}
   */
  pick(raycaster) {
    /** @type {ReturnType<PropScene["pick"]>} */
    let best = this.#shapes.pick(raycaster);
    const lamp = this.#lamps.pick(raycaster);
    if (lamp && lamp.distance < (best?.distance ?? Infinity)) best = lamp;
    for (const [key, { object }] of this.#things) {
      if (!object.visible) continue;
      const [hit] = raycaster.intersectObject(object, true);
      if (!hit || hit.distance >= (best?.distance ?? Infinity)) continue;
      best = { key, distance: hit.distance, hit };
    }
    return best;
  }

  /** For tests and figures. */
  info() {
    return { shapes: this.#shapes.count, batches: this.#shapes.group.children.length,
      things: this.#things.size, loading: this.#models.pendingCount };
  }

  dispose() {
    this.#reset();
    this.#dirty.clear();
    this.#models.dispose();
  }
}
