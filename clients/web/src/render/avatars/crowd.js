/**
 * Everybody that is in view, drawn with a few draw calls.
 *
 * Each frame the crowd takes the people as they are given, moves an `Actor` for each, and decides
 * by distance how each is drawn: near ones in full with fingers, the rest simpler, hidden ones as
 * an outline, and the nearest of those who wear a VRM as that. All default bodies of one level are
 * one instanced draw call; so are each style of hair, hat and glasses, the soft shadows, all name
 * tags with their signs, and all speech bubbles. In the steady state nothing is allocated.
 */

import { Group } from "../../../vendor/three.js";
import { Bone } from "../../core/body.js";
import { rotate } from "../../core/body_math.js";
import { EntityKind, Flags } from "../../core/protocol.generated.js";
import { Actor } from "./actor.js";
import { attend } from "./attention.js";
import { Costumes } from "./costumes.js";
import { pickActor, worldTurn } from "./picking.js";
import { Tags } from "./tags.js";
import { Wardrobe } from "./wardrobe.js";

/** @typedef {import("../../../vendor/three.js").Camera} Camera */
/** @typedef {import("../../../vendor/three.js").Raycaster} Raycaster */
/** @typedef {import("../../../vendor/three.js").Vector3} Vector3 */
/** @typedef {import("../../../vendor/three.js").Quaternion} Quaternion */
/** @typedef {{id: number, kind: number, name: string, avatar: string, isOwn: boolean,
 *   isHidden: boolean, isFirstPerson: boolean,
 *   figure: {pose: Float64Array, flags: number, parts: number, extra?: Uint8Array},
 *   speaking: number, subtitle: string}} Person */
/** @typedef {"low" | "medium" | "high"} Quality */
/**
 * @typedef {object} CrowdOptions
 * @property {Quality} quality
 * @property {(hash: string) => string} assetUrl
 * @property {boolean} reducedMotion
 * @property {"all" | "near" | "none"} [tags]
 * @property {boolean} [shadows] whether bodies cast real shadows beside the soft ones
 */

const LINE_S = 7;
const EMOTE_SIGN_S = 2.6;
const LINK_LOST_GREY = 0.75;
const eyes = new Float64Array(3);

export class Crowd {
  group = new Group();
  /** @type {CrowdOptions} */
  #options;
  /** @type {Map<number, Actor>} */
  #actors = new Map();
  /** Those of this frame, nearest first. @type {Actor[]} */
  #order = [];
  #frame = 0;
  #costumes;
  #tags;
  #wardrobe;
  #camera = new Float64Array(3);

  /** @param {CrowdOptions} options */
  constructor(options) {
    this.#options = { tags: "all", shadows: false, ...options };
    this.#costumes = new Costumes(this.group, this.#options);
    this.#tags = new Tags(this.group, this.#options);
    this.#wardrobe = new Wardrobe(this.group, this.#options);
  }

  /** @param {Partial<CrowdOptions>} options */
  setOptions(options) {
    Object.assign(this.#options, options);
    this.#costumes.configure(this.#options);
    this.#wardrobe.configure(this.#options);
  }

  /**
   * @param {readonly Person[]} people
   * @param {Camera} camera
   * @param {number} seconds
   * @param {number} dt
   */
  update(people, camera, seconds, dt) {
    this.#frame += 1;
    const order = this.#order;
    const at = camera.matrixWorld.elements;
    for (let k = 0; k < 3; k++) this.#camera[k] = at[12 + k];
    let count = 0;
    for (let k = 0; k < people.length; k++) {
      if (people[k].kind === EntityKind.PROP) continue;
      const actor = this.#actorOf(people[k], seconds, dt);
      actor.update(people[k], seconds, dt, this.#options.reducedMotion);
      this.#measure(actor, camera, dt);
      count += 1;
    }
    if (count !== order.length) this.#dismiss();
    sortByDistance(order);
    attend(order, this.#camera, seconds);
    this.#wardrobe.update(order, seconds, dt);
    this.#costumes.update(order);
    this.#tags.update(order, camera, seconds);
  }

  /**
   * @param {number} id
   * @param {number} emote
   * @param {number} seconds now
   */
  emote(id, emote, seconds) {
    const actor = this.#actors.get(id);
    if (!actor || actor.isHidden) return;
    actor.emote = emote;
    actor.emoteSince = seconds;
    this.#tags.float(id, emote, seconds, EMOTE_SIGN_S);
  }

  /**
   * @param {number} id
   * @param {string} text
   * @param {number} seconds now
   */
  say(id, text, seconds) {
    const actor = this.#actors.get(id);
    if (!actor || actor.isHidden) return;
    actor.line = text;
    actor.lineSince = seconds;
    this.#tags.say(actor, text, seconds + LINE_S);
  }

  /**
   * The nearest person on the ray; 0 for none.
   * @param {Raycaster} raycaster
   */
  pick(raycaster) {
    return pickActor(this.#order, raycaster);
  }

  /**
   * @param {number} id
   * @param {number} hand 0 left, 1 right
   * @param {Vector3} position
   * @param {Quaternion} quaternion as WebXR's grip: the thumb along -z
   */
  handOf(id, hand, position, quaternion) {
    const actor = this.#actors.get(id);
    if (!actor) return false;
    worldTurn(actor, hand, position, quaternion);
    return true;
  }

  /**
   * Between the eyes, in the world.
   * @param {number} id
   * @param {Vector3} position
   */
  headOf(id, position) {
    const actor = this.#actors.get(id);
    if (!actor) return false;
    const { body } = actor.solver;
    rotate(eyes, 0, body.rotations, Bone.HEAD * 4, body.eyes, 0);
    for (let k = 0; k < 3; k++) eyes[k] += body.positions[Bone.HEAD * 3 + k];
    actor.toWorld(eyes, 0, eyes);
    position.set(eyes[0], eyes[1], eyes[2]);
    return true;
  }

  info() {
    return {
      people: this.#order.length, instanced: this.#costumes.count,
      shaded: this.#costumes.shaded, vrm: this.#wardrobe.count,
      tags: this.#tags.count, triangles: this.#costumes.triangles,
    };
  }

  dispose() {
    this.#costumes.dispose();
    this.#tags.dispose();
    this.#wardrobe.dispose();
    this.#actors.clear();
    this.#order.length = 0;
    this.group.removeFromParent();
  }

  /**
   * @param {Person} person
   * @param {number} seconds
   * @param {number} dt
   */
  #actorOf(person, seconds, dt) {
    let actor = this.#actors.get(person.id);
    if (!actor) {
      actor = new Actor(person.id);
      this.#actors.set(person.id, actor);
      this.#order.push(actor);
      this.#costumes.admit(actor);
    }
    if (actor.adopt(person)) {
      this.#costumes.dress(actor);
      this.#wardrobe.dress(actor);
    }
    actor.seen = this.#frame;
    return actor;
  }

  /**
   * @param {Actor} actor
   * @param {Camera} camera
   * @param {number} dt
   */
  #measure(actor, camera, dt) {
    const dx = actor.head[0] - this.#camera[0];
    const dy = actor.head[1] + 0.12 - this.#camera[1];
    const dz = actor.head[2] - this.#camera[2];
    actor.distanceM = Math.hypot(dx, dy, dz);
    const view = camera.matrixWorld.elements;
    actor.depthM = -(dx * view[8] + dy * view[9] + dz * view[10]);
    actor.grey = actor.flags & Flags.LINK_LOST ? LINK_LOST_GREY : 0;
    actor.fade(actor.distanceM, dt);
  }

  /** Lets go of those who were not among the people of this frame. */
  #dismiss() {
    const order = this.#order;
    let kept = 0;
    for (let k = 0; k < order.length; k++) {
      const actor = order[k];
      if (actor.seen === this.#frame) order[kept++] = actor;
      else {
        this.#actors.delete(actor.id);
        this.#costumes.release(actor);
        this.#wardrobe.release(actor);
        this.#tags.release(actor.id);
      }
    }
    order.length = kept;
  }
}

/**
 * By insertion: from one frame to the next hardly anything changes places.
 * @param {Actor[]} actors
 */
function sortByDistance(actors) {
  for (let k = 1; k < actors.length; k++) {
    const actor = actors[k];
    let at = k - 1;
    while (at >= 0 && actors[at].distanceM > actor.distanceM) {
      actors[at + 1] = actors[at];
      at -= 1;
    }
    actors[at + 1] = actor;
  }
}
