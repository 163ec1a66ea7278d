/**
 * Models that people have brought: fetched once for each file, shared by all props that show it.
 *
 * The loader is only fetched when the first model is wanted. A file that is missing or broken is no
 * reason to stop: a neutral box stands in, and it is asked for again after a while. When no prop
 * shows a file any more it is let go of, with all that it holds on the graphics card. The first
 * animation of a file is played over and over. A texture that only a Basis transcoder could read is
 * left out: there is none here.
 */

import {
  AnimationMixer, BoxGeometry, Color, EdgesGeometry, Group, LineBasicMaterial, LineSegments, Mesh,
  SkinnedMesh,
} from "../../../vendor/three.js";

/** @typedef {import("../../../vendor/three.js").Object3D} Object3D */
/** @typedef {import("../../../vendor/three.js").Material} Material */
/**
 * @typedef {object} Held
 * @property {Object3D | null} scene
 * @property {import("../../../vendor/three.js").AnimationClip[]} clips
 * @property {Set<Group>} users
 * @property {number} tries
 * @property {ReturnType<typeof setTimeout> | undefined} timer
 */

const TRIES_MAX = 4;
const RETRY_MS = 5_000;
const AT_ONCE_MAX = 4;
const BASIS = "KHR_texture_basisu";

const edges = new EdgesGeometry(new BoxGeometry(1, 1, 1));
const edgeLines = new LineBasicMaterial({ color: 0x8a8170 });

export class Models {
  /** @type {Map<string, Held>} by hash */
  #held = new Map();
  /** @type {string[]} hashes that wait to be fetched */
  #waiting = [];
  /** @type {Map<Group, AnimationMixer>} */
  #mixers = new Map();
  /** @type {((source: Object3D) => Object3D) | null} of the loader's module */
  #clone = null;
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
      held = { scene: null, clips: [], users: new Set(), tries: 0, timer: undefined };
      this.#held.set(hash, held);
      this.#waiting.push(hash);
    }
    held.users.add(group);
    if (held.scene) this.#fill(group, held);
    else {
      group.add(new LineSegments(edges, edgeLines));
      this.#next();
    }
  }

  /** @param {string} hash @param {Group} group */
  hide(hash, group) {
    this.#mixers.delete(group);
    empty(group);
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
      const { GLTFLoader, cloneSkinned } = await import("../../../vendor/gltf.js");
      this.#clone = cloneSkinned;
      const loader = new GLTFLoader().register((parser) => (
        /** @type {any} */ ({ name: BASIS, loadTexture: withoutBasis(parser) })));
      const { scene, animations } = await loader.loadAsync(this.#urlOf(hash));
      if (this.#held.get(hash) !== held) return disposeAll(scene);
      Object.assign(held, { scene, clips: animations });
      scene.traverse((each) => { each.castShadow = each.receiveShadow = true; });
      for (const group of held.users) this.#fill(group, held);
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

  /** @param {Group} group @param {Held} held */
  #fill(group, { scene, clips }) {
    if (!scene || !this.#clone) return;
    const copy = this.#clone(scene);
    fill(group, copy);
    if (!clips.length) return;
    const mixer = new AnimationMixer(copy);
    mixer.clipAction(clips[0]).play();
    this.#mixers.set(group, mixer);
  }

  /** Once in a frame: what is animated goes on. @param {number} dt seconds */
  update(dt) {
    for (const [group, mixer] of this.#mixers) if (group.visible) mixer.update(dt);
  }

  dispose() {
    for (const [hash, held] of [...this.#held]) {
      for (const group of [...held.users]) this.hide(hash, group);
    }
  }
}

/**
 * Textures that have no other source than a Basis one are none.
 * @param {any} parser of the loader
 */
function withoutBasis(parser) {
  return (/** @type {number} */ index) => {
    const texture = parser.json.textures?.[index];
    const isBasis = texture?.extensions?.[BASIS] && texture.source === undefined;
    return isBasis ? Promise.resolve(null) : null;
  };
}

/** @param {Group} group @param {Object3D} copy */
function fill(group, copy) {
  empty(group);
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

/**
 * What a group shows and does not share with others: its tints, and its bones, which are kept on
 * the graphics card as a texture of each copy.
 * @param {Group} group
 */
function empty(group) {
  group.traverse((each) => { if (each instanceof SkinnedMesh) each.skeleton.dispose(); });
  group.clear();
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
