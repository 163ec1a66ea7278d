/**
 * Where what is moved goes: shown to oneself while it is moved, and edited when it is let go.
 *
 * After the edit the picture stays as it was let go until the store tells of the prop, or the edit
 * has come to its end: what was refused stands then where it stood. Who takes it up again in the
 * meantime is not disturbed by that.
 */

import { inwards, isSameTransform, transformOf } from "../core/build_math.js";

/** @typedef {import("../core/props.js").Prop} Prop */
/** @typedef {import("../core/protocol.generated.js").Transform} Transform */
/**
 * @typedef {object} PlacingOptions
 * @property {import("../core/props.js").PropStore} store
 * @property {import("../render/props/prop_scene.js").PropScene} propScene
 * @property {(prop: Prop, transform: Transform) => import("../core/edits.js").EditTicket} place
 */

export class Placing {
  #options;
  #outer = new Float64Array(10);
  #inner = new Float64Array(10);
  /** @type {Map<string, number>} which time a prop is shown elsewhere */
  #times = new Map();
  #count = 0;

  /** @param {PlacingOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /**
   * A place in the world as the transform of a prop, within its group.
   * @param {Prop} prop
   * @param {Float64Array} place stays as it is
   * @returns {Transform | null} null when the group is not there
   */
  transformIn(prop, place) {
    const isGroup = prop.properties.kind === "group";
    this.#inner.set(place);
    if (!prop.group) return transformOf(this.#inner, isGroup);
    if (!this.#options.store.worldTransformOf(prop.group, this.#outer)) return null;
    inwards(this.#inner, this.#outer, place);
    return transformOf(this.#inner, isGroup);
  }

  /** It is moved there, and not edited. @param {Prop} prop @param {Transform} transform */
  show({ key }, transform) {
    this.#times.set(key, this.#count += 1);
    this.#options.propScene.preview(key, transform);
  }

  /** It stands where its state says. @param {string} key */
  forget(key) {
    this.#times.delete(key);
    this.#options.propScene.preview(key, null);
  }

  /**
   * It is let go there: an edit, but where it stood before.
   * @param {Prop} prop
   * @param {Transform} transform
   */
  settle(prop, transform) {
    const { store, place } = this.#options;
    const { key } = prop;
    if (isSameTransform(prop.transform, transform)) return this.forget(key);
    this.show(prop, transform);
    const time = this.#times.get(key);
    const end = () => {
      remove();
      if (this.#times.get(key) === time) this.forget(key);
    };
    const remove = store.changed.add((change) => { if (change.key === key) end(); });
    void place(prop, transform).settled.then(end);
    return undefined;
  }
}
