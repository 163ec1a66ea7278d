/**
 * What is moved just now and has not been edited yet: by oneself, and by others.
 *
 * Where others drag things is told some ten times a second and is not kept: it counts until the
 * edit of that prop comes, until its builder drags it no more, or until nothing was heard of it for
 * a while (DRAG_S_MAX). What oneself drags is shown before all else. `DragSender` tells others in
 * turn: the newest, at an even pace, and again while something is held still. Pure.
 */

import { keyOf } from "./ids.js";
import { Limits } from "./protocol.generated.js";

/** @typedef {import("./protocol.generated.js").PropMove} PropMove */
/** @typedef {import("./protocol.generated.js").PropsDragged} PropsDragged */
/** @typedef {import("./protocol.generated.js").Transform} Transform */

const LASTS_MS = Limits.DRAG_S_MAX * 1000;
const PACE_MS = 100;
/** More than a server tells within DRAG_S_MAX. */
const DRAGGED_MAX = 4096;
const AGAIN_MS = LASTS_MS / 2;

export class Drags {
  /** @type {Map<string, Transform>} */
  #own = new Map();
  /** @type {Map<string, {entityId: number, transform: Transform, serverMs: number}>} */
  #others = new Map();

  /** Where it is shown in its group, if not where its state says. @param {string} key */
  of(key) {
    return this.#own.get(key) ?? this.#others.get(key)?.transform;
  }

  /** Who else drags it; 0 for nobody. @param {string} key */
  dragger(key) {
    return this.#others.get(key)?.entityId ?? 0;
  }

  /** What oneself drags; null ends that. @param {string} key @param {Transform | null} transform */
  preview(key, transform) {
    if (transform) this.#own.set(key, transform);
    else this.#own.delete(key);
  }

  /** @param {string} key */
  isOwn(key) {
    return this.#own.has(key);
  }

  /**
   * All that somebody else drags now.
   * @param {PropsDragged} message
   * @param {number} serverMs its time, extended (see ServerClock.extend)
   * @returns {Set<string>} keys of what is elsewhere now
   */
  take({ entity_id: entityId, drags }, serverMs) {
    /** @type {Set<string>} */
    const changed = new Set();
    for (const [key, drag] of this.#others) if (drag.entityId === entityId) changed.add(key);
    for (const key of changed) this.#others.delete(key);
    for (const { prop_id, transform } of drags) {
      const key = keyOf(prop_id);
      if (this.#others.size >= DRAGGED_MAX) break;
      this.#others.set(key, { entityId, transform, serverMs });
      changed.add(key);
    }
    return changed;
  }

  /** Its edit has come, or it is gone: nobody else drags it any more. @param {string} key */
  end(key) {
    return this.#others.delete(key);
  }

  /** Those of whom nothing was heard for too long. @param {number} serverMs @returns {string[]} */
  expire(serverMs) {
    if (!this.#others.size) return NONE;
    /** @type {string[]} */
    const over = [];
    for (const [key, drag] of this.#others) if (serverMs - drag.serverMs > LASTS_MS) over.push(key);
    for (const key of over) this.#others.delete(key);
    return over;
  }

  /** A fresh start: others' drags are told anew. @returns {string[]} keys of what was dragged */
  clear() {
    const keys = [...this.#own.keys(), ...this.#others.keys()];
    this.#own.clear();
    this.#others.clear();
    return keys;
  }
}

/** @type {string[]} */
const NONE = [];

export class DragSender {
  /** @type {PropMove[] | null} not said yet */
  #waiting = null;
  /** @type {PropMove[]} */
  #last = [];
  #saidMs = -Infinity;
  #send;

  /** @param {(drags: PropMove[]) => void} send */
  constructor(send) {
    this.#send = send;
  }

  /** All that is dragged is there now. @param {PropMove[]} drags at most EDIT_PROPS_MAX */
  move(drags) {
    this.#waiting = drags;
  }

  /** Once in a frame. @param {number} nowMs */
  pump(nowMs) {
    const again = this.#last.length > 0 && nowMs - this.#saidMs >= AGAIN_MS;
    if (!this.#waiting && !again) return;
    if (nowMs - this.#saidMs < PACE_MS) return;
    this.#last = this.#waiting ?? this.#last;
    this.#waiting = null;
    this.#saidMs = nowMs;
    this.#send(this.#last);
  }

  /** It was let go, and its edit goes out now: nothing more is said of the drag. */
  end() {
    this.#waiting = null;
    this.#last = [];
  }

  /** It is not moved after all. */
  cancel() {
    const wasSaid = this.#last.length > 0;
    this.end();
    if (wasSaid) this.#send([]);
  }
}
