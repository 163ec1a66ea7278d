/**
 * Models that people have brought: fetched once for each file, shared by all props that show it.
 *
 * The loader is only fetched when the first model is wanted. A file that is missing or broken is no
 * reason to stop: a neutral box stands in, and it is asked for again after a while. When no prop
 * shows a file any more it is let go of, with all that it holds on the graphics card.
 */

import {
  BoxGeometry, Color, EdgesGeometry, Group, LineBasicMaterial, LineSegments, Mesh,
} from "../../../vendor/three.js";

/** @typedef {import("../../../vendor/three.js").Object3D} Object3D */
/** @typedef {import("../../../vendor/three.js").Material} Material */
/**
 * @typedef {object} Held
 * @property {Object3D | null} scene
 * @property {Set<Group>} users
 * @property {number} tries
 * @property {ReturnType<typeof setTimeout> | undefined} timer
 */

const TRIES_MAX = 4;
const RETRY_MS = 5_000;
const AT_ONCE_MAX = 4;

const edges = new EdgesGeometry(new BoxGeometry(1, 1, 1));
const edgeLines = new LineBasicMaterial({ color: 0x8a8170 });

export class Models {
  /** @type {Map<string, Held>} by hash */
  #held = new Map();
  /** @type {string[]} hashes that wait to be fetched */
  #waiting = [];
  #loading = 0;
  #urlOf;

  /** @param {(hash: string) => string} urlOf */
  constructor(urlOf) {
    this.#urlOf = urlOf;
  }

  /** Files that are being fetched or wait for it. */
  get pendingCount() {
    return this.#waiting.length + this.#loading;
  }

  /**
   * Shows a file in `group`, now or when it has come.
   * @param {string} hash
   * @param {Group} group
   * @param {string} tint
   */
  show(hash, group, tint) {
    group.userData.tint = tint;
    let held = this.#held.get(hash);
    if (!held) {
      held = { scene: null, users: new Set(), tries: 0, timer: undefined };
      this.#held.set(hash, held);
      this.#waiting.push(hash);
    }
    held.users.add(group);
    if (held.scene) fill(group, held.scene);
    else {
      group.add(new LineSegments(edges, edgeLines));
      this.#next();
    }
  }

  /** @param {string} hash @param {Group} group */
  hide(hash, group) {
    group.clear();
    disposeTints(group);
    const held = this.#held.get(hash);
    held?.users.delete(group);
    if (!held || held.users.size) return;
    clearTimeout(held.timer);
    this.#held.delete(hash);
    if (held.scene) disposeAll(held.scene);
  }

  #next() {
    while (this.#loading < AT_ONCE_MAX && this.#waiting.length) {
      const hash = /** @type {string} */ (this.#waiting.shift());
      const held = this.#held.get(hash);
      if (held && !held.scene) void this.#load(hash, held);
    }
  }

  /** @param {string} hash @param {Held} held */
  async #load(hash, held) {
    this.#loading += 1;
    held.tries += 1;
    try {
      const { GLTFLoader } = await import("../../../vendor/gltf.js");
      const { scene } = await new GLTFLoader().loadAsync(this.#urlOf(hash));
      if (this.#held.get(hash) !== held) return disposeAll(scene);
      held.scene = scene;
      scene.traverse((each) => { each.castShadow = each.receiveShadow = true; });
      for (const group of held.users) fill(group, scene);
    } catch (error) {
      console.debug(`the model ${hash.slice(0, 8)} could not be shown`, error);
      if (held.tries < TRIES_MAX && this.#held.get(hash) === held) {
        held.timer = setTimeout(() => {
          this.#waiting.push(hash);
          this.#next();
        }, RETRY_MS * held.tries);
      }
    } finally {
      this.#loading -= 1;
      this.#next();
    }
  }

  dispose() {
    for (const [hash, held] of [...this.#held]) {
      for (const group of [...held.users]) this.hide(hash, group);
    }
  }
}

/** @param {Group} group @param {Object3D} scene */
function fill(group, scene) {
  disposeTints(group);
  group.clear();
  const copy = scene.clone();
  const tint = new Color(group.userData.tint);
  if (tint.getHex() !== 0xffffff) {
    /** @type {Map<Material, Material>} */
    const tinted = new Map();
    copy.traverse((each) => {
      if (!(each instanceof Mesh) || Array.isArray(each.material)) return;
      const known = tinted.get(each.material) ?? each.material.clone();
      if (!tinted.has(each.material)) known.color?.multiply(tint);
      tinted.set(each.material, known);
      each.material = known;
    });
    group.userData.tinted = [...tinted.values()];
  }
  group.add(copy);
}

/** @param {Group} group */
function disposeTints(group) {
  for (const material of group.userData.tinted ?? []) material.dispose();
  group.userData.tinted = [];
}

/** @param {Object3D} scene */
function disposeAll(scene) {
  scene.traverse((each) => {
    if (!(each instanceof Mesh)) return;
    each.geometry.dispose();
    for (const material of [each.material].flat()) {
      for (const value of Object.values(material)) {
        if (value?.isTexture) {
          value.dispose();
          value.source?.data?.close?.();
        }
      }
      material.dispose();
    }
  });
}
