/**
 * What a builder does, as edits of the protocol; each refusal becomes a sentence.
 *
 * Ids of new props are made here, so what was made can be selected and changed at once. What is
 * done at once (`together`) is taken back at once.
 */

import { transformOf } from "../core/build_math.js";
import { EditLog } from "../core/edit_log.js";
import { Gestures } from "../core/gestures.js";
import { keyOf } from "../core/ids.js";
import { readProperties } from "../core/props.js";
import { EditOp, Rights } from "../core/protocol.generated.js";
import { wordsOf } from "../ui/words.js";

/** @typedef {import("../core/world_model.js").WorldModel} WorldModel */
/** @typedef {import("../core/props.js").Prop} Prop */
/** @typedef {import("../core/edits.js").EditTicket} EditTicket */
/** @typedef {import("../core/protocol.generated.js").Edit} Edit */
/** @typedef {import("../core/protocol.generated.js").Properties} Properties */
/** @typedef {import("../core/protocol.generated.js").Transform} Transform */

const NO_GROUP = new Uint8Array();
const TOGETHER_MAX = 64;
const COPY_AWAY_M = 0.5;

export class BuildEdits {
  log = new EditLog();
  #gestures = new Gestures();
  #model;
  #failed;

  /**
   * @param {WorldModel} model
   * @param {() => void} [failed] one was refused, taken back or lost, and the person was told
   */
  constructor(model, failed = () => {}) {
    this.#model = model;
    this.#failed = failed;
    this.dispose = model.edits.changed.add((ticket) => this.log.note(ticket));
  }

  /** Edits that are asked for meanwhile are one to Undo. @template T @param {() => T} act */
  together(act) {
    return this.#gestures.together(act);
  }

  /** @param {Edit} edit */
  submit(edit) {
    const ticket = this.#model.edits.submit(edit);
    if (edit.op !== EditOp.Undo && edit.op !== EditOp.Redo) this.#gestures.add(ticket);
    void ticket.settled.then(() => { if (ticket.state !== "durable") this.#tell(ticket); });
    return ticket;
  }

  /** @param {EditTicket} ticket */
  #tell({ state, code, reason }) {
    const { refused, told } = this.#model;
    if (code) refused.fire({ code, reason, retry_ms: 0 });
    else told.fire(wordsOf(`build.${state}`));
    this.#failed();
  }

  /** @param {Prop} prop */
  isMine({ owner }) {
    return (this.#model.rights & Rights.MODERATE) !== 0 || owner === this.#model.author;
  }

  /** @param {Prop} prop */
  mayChange(prop) {
    return this.isMine(prop) && !prop.locked;
  }

  /** @param {Properties} properties @param {Transform} transform @returns {string} its key */
  create(properties, transform) {
    const prop_id = this.#model.newPropId();
    this.submit({ op: EditOp.Create, prop_id, group: NO_GROUP, transform, properties });
    return keyOf(prop_id);
  }

  /** @param {Prop} prop @param {Transform} transform */
  place({ id }, transform) {
    return this.submit({ op: EditOp.Place, prop_id: id, transform });
  }

  /** @param {Prop} prop @param {Properties} properties */
  describe({ id }, properties) {
    return this.submit({ op: EditOp.Describe, prop_id: id, properties });
  }

  /** A copy a little to the side. @param {Prop} prop @returns {string} its key */
  duplicate(prop) {
    const { transform } = prop;
    const [x, y, z] = transform.position_m;
    return this.copy(prop, { ...transform, position_m: [x + COPY_AWAY_M, y, z + COPY_AWAY_M] }).key;
  }

  /** @param {Prop} prop @param {Transform} transform of the copy */
  copy({ id }, transform) {
    const copy_id = this.#model.newPropId();
    const ticket = this.submit({ op: EditOp.Duplicate, prop_id: id, copy_id, transform });
    return { key: keyOf(copy_id), ticket };
  }

  /** @param {Prop} prop */
  remove({ id }) {
    return this.submit({ op: EditOp.Delete, prop_id: id });
  }

  /** A group in their middle. @param {Prop[]} props @returns {string} its key */
  group(props) {
    const [low, high] = [[Infinity, Infinity, Infinity], [-Infinity, -Infinity, -Infinity]];
    const place = new Float64Array(10);
    for (const { key } of props) {
      if (!this.#model.props.worldTransformOf(key, place)) continue;
      for (let k = 0; k < 3; k++) {
        low[k] = Math.min(low[k], place[k]);
        high[k] = Math.max(high[k], place[k]);
      }
    }
    place.set([0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    for (let k = 0; k < 3; k++) place[k] = (low[k] + high[k]) / 2;
    const properties = /** @type {Properties} */ (readProperties({ kind: "group" }));
    const key = this.create(properties, transformOf(place, true));
    const group = /** @type {Uint8Array} */ (Uint8Array.from(
      key.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)));
    const prop_ids = props.slice(0, TOGETHER_MAX).map(({ id }) => id);
    this.submit({ op: EditOp.Attach, prop_ids, group });
    return key;
  }

  /** All that is in a group leaves it, and the group is no more. @param {Prop} prop */
  ungroup(prop) {
    const { props } = this.#model;
    const prop_ids = props.within(prop.key).flatMap((key) => props.props.get(key)?.id ?? []);
    for (let i = 0; i < prop_ids.length; i += TOGETHER_MAX) {
      const some = prop_ids.slice(i, i + TOGETHER_MAX);
      this.submit({ op: EditOp.Attach, prop_ids: some, group: NO_GROUP });
    }
    this.remove(prop);
  }

  /** @param {Prop} prop */
  toggleLock({ id, locked }) {
    return this.submit({ op: EditOp.Lock, prop_id: id, is_locked: !locked });
  }

  /** What was done last, all of it. */
  undo() {
    for (let left = this.#gestures.undo(); left > 0; left--) this.submit({ op: EditOp.Undo });
  }

  /** What was taken back last. */
  redo() {
    for (let left = this.#gestures.redo(); left > 0; left--) this.submit({ op: EditOp.Redo });
  }
}
