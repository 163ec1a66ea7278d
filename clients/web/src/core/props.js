/**
 * What people have put into the world: the scene's props and all changes since.
 *
 * The scene holds the props up to its revision; each PropsChanged says how some are now. Those that
 * come before the scene has been fetched are kept, and applied when their revision is higher.
 * States are absolute, so to apply one twice does no harm. A prop may be held in somebody's hand,
 * or fly after it was thrown: then its place is worked out for the moment that is shown. Where it
 * is dragged to (`drags`) is no state: `shownTransformOf` counts it, and `worldTransformOf` does
 * not.
 *
 * Places in groups are given in the frame of the group; `worldTransformOf` works outwards. Nothing
 * from the wire or the scene is trusted to be complete: a prop whose group is missing has no place.
 * Pure.
 */

import { fits } from "./codec.js";
import { Drags } from "./drags.js";
import { MAPS, NESTED, UNIONS } from "./protocol.generated.js";
import { keyOf, idOf, keyOfUuid } from "./ids.js";
import { multiply, normalise, rotate } from "./quaternion.js";
import { Signal } from "./signal.js";

/** @typedef {import("./protocol.generated.js").Properties} Properties */
/** @typedef {import("./protocol.generated.js").PropsChanged} PropsChanged */
/** @typedef {import("./protocol.generated.js").PropHeld} PropHeld */
/** @typedef {import("./protocol.generated.js").PropsFlown} PropsFlown */
/** @typedef {import("./protocol.generated.js").Transform} Transform */
/**
 * @typedef {object} Prop
 * @property {Uint8Array} id
 * @property {string} key
 * @property {string} group key of the group that it is in, or empty
 * @property {Transform} transform
 * @property {Properties} properties
 * @property {string} owner
 * @property {boolean} locked
 */
/** @typedef {"collider" | "portal" | "seat"} Role */
/** @typedef {{entityId: number, hand: number, position_m: number[], rotation: number[]}} Grip */
/** @typedef {{position_m: number[], rotation: number[], velocity: number[], isSliding: boolean,
 *   serverMs: number}} FlightPath */
/**
 * @typedef {{key: string, kind: "state" | "move" | "gone" | "held" | "flight" | "drag"
 *   | "reset"}} Change
 */

const KEPT_MAX = 5_000;
/** More than any world holds. */
const PROPS_MAX = 100_000;
const DEPTH_MAX = 10;
const GRAVITY_M_PER_S2 = 9.81;
const SLOWING_M_PER_S2 = 4.905;

/** What a scene may leave out of a transform. @type {Record<string, number[]>} */
const USUAL = { rotation: [0, 0, 0, 1], scale: [1, 1, 1] };

export class PropStore {
  /** @type {Map<string, Prop>} */
  props = new Map();
  /** @type {Map<string, Grip>} */
  held = new Map();
  /** @type {Map<string, FlightPath>} */
  flights = new Map();
  drags = new Drags();
  /** @type {Signal<Change>} */
  changed = new Signal();
  revision = 0;
  #sceneUrl = "";
  #isWaiting = true;
  /** @type {PropsChanged[]} */
  #kept = [];
  /** @type {Map<string, Set<string>>} keys of what is in each group */
  #within = new Map();
  /** What means something for a body, which asks a few times a second and not for all. */
  #roles = { collider: new Set(), portal: new Set(), seat: new Set() };

  /**
   * A Welcome has come: whether the scene it names must be fetched.
   * @param {string} sceneUrl
   */
  begin(sceneUrl) {
    this.#letAllGo();
    if (sceneUrl === this.#sceneUrl && !this.#isWaiting) return false;
    this.#sceneUrl = sceneUrl;
    this.#isWaiting = true;
    this.#kept = [];
    this.revision = 0;
    return true;
  }

  /** Whether the scene has not come yet. */
  get isWaiting() {
    return this.#isWaiting;
  }

  /** What is held or flies is told anew; until then it lies where its state says. */
  #letAllGo() {
    const [held, flown] = [[...this.held.keys()], [...this.flights.keys()]];
    this.held.clear();
    this.flights.clear();
    for (const key of held) this.changed.fire({ key, kind: "held" });
    for (const key of flown) this.changed.fire({ key, kind: "flight" });
    for (const key of this.drags.clear()) this.changed.fire({ key, kind: "drag" });
  }

  /**
   * The scene has come.
   * @param {unknown} json its `props`
   * @param {unknown} revision
   */
  takeScene(json, revision) {
    this.props.clear();
    this.#within.clear();
    for (const keys of Object.values(this.#roles)) keys.clear();
    this.revision = typeof revision === "number" ? revision : 0;
    for (const raw of Array.isArray(json) ? json.slice(0, PROPS_MAX) : []) {
      const prop = readProp(raw);
      if (prop) this.#put(prop);
    }
    this.#isWaiting = false;
    this.changed.fire({ key: "", kind: "reset" });
    for (const message of this.#kept.splice(0)) this.change(message);
  }

  /** @param {PropsChanged} message */
  change(message) {
    if (this.#isWaiting) {
      if (this.#kept.length < KEPT_MAX) this.#kept.push(message);
      return;
    }
    if (message.revision <= this.revision) return;
    this.revision = message.revision;
    for (const state of message.states) {
      const [key, group] = [keyOf(state.prop_id), keyOf(state.group)];
      const { transform, properties, owner, is_locked: locked } = state;
      this.#put({ id: state.prop_id, key, group, transform, properties, owner, locked });
      this.#rests(key);
      this.changed.fire({ key, kind: "state" });
    }
    for (const { prop_id, transform } of message.moves) this.#move(keyOf(prop_id), transform);
    for (const id of message.gone) this.#remove(keyOf(id));
  }

  /** @param {Prop} prop */
  #put(prop) {
    const before = this.props.get(prop.key);
    if (before) this.#takeOut(before);
    this.props.set(prop.key, prop);
    const role = roleOf(prop.properties);
    if (role) this.#roles[role].add(prop.key);
    const within = this.#within.get(prop.group) ?? new Set();
    this.#within.set(prop.group, within.add(prop.key));
  }

  /** @param {Prop} prop */
  #takeOut({ key, group, properties }) {
    const within = this.#within.get(group);
    within?.delete(key);
    if (!within?.size) this.#within.delete(group);
    const role = roleOf(properties);
    if (role) this.#roles[role].delete(key);
  }

  /** It is where its state says now. @param {string} key */
  #rests(key) {
    this.flights.delete(key);
    this.drags.end(key);
  }

  /** @param {string} key @param {Transform} transform */
  #move(key, transform) {
    const prop = this.props.get(key);
    if (!prop) return;
    prop.transform = transform;
    this.#rests(key);
    this.changed.fire({ key, kind: "move" });
  }

  /** @param {string} key */
  #remove(key) {
    const prop = this.props.get(key);
    if (!prop) return;
    this.#takeOut(prop);
    this.props.delete(key);
    this.held.delete(key);
    this.#rests(key);
    this.changed.fire({ key, kind: "gone" });
  }

  /** @param {PropHeld} message */
  hold({ prop_id, entity_id: entityId, hand, position_m, rotation }) {
    const key = keyOf(prop_id);
    this.#rests(key);
    if (entityId) this.held.set(key, { entityId, hand, position_m, rotation });
    else this.held.delete(key);
    this.changed.fire({ key, kind: "held" });
  }

  /**
   * @param {PropsFlown} message
   * @param {number} serverMs its time, extended (see ServerClock.extend)
   */
  fly({ flights }, serverMs) {
    for (const flight of flights) {
      const key = keyOf(flight.prop_id);
      this.held.delete(key);
      this.drags.end(key);
      this.flights.set(key, { position_m: flight.position_m, rotation: flight.rotation,
        velocity: flight.velocity_m_per_s, isSliding: flight.is_sliding, serverMs });
      this.changed.fire({ key, kind: "flight" });
    }
  }

  /**
   * @param {import("./protocol.generated.js").PropsDragged} message
   * @param {number} serverMs its time, extended
   */
  drag(message, serverMs) {
    for (const key of this.drags.take(message, serverMs)) this.changed.fire({ key, kind: "drag" });
  }

  /** What nothing is heard of stands where its state says. @param {number} serverMs */
  expireDrags(serverMs) {
    for (const key of this.drags.expire(serverMs)) this.changed.fire({ key, kind: "drag" });
  }

  /** Keys of all of one role. @param {Role} role @returns {ReadonlySet<string>} */
  of(role) {
    return this.#roles[role];
  }

  /** Keys of what is in a group, itself not counted. @param {string} group @returns {string[]} */
  within(group) {
    return [...this.#within.get(group) ?? []];
  }

  /**
   * Where a prop is in the world: 10 numbers of `out` become its place, rotation and scale.
   * @param {string} key
   * @param {Float64Array} out
   * @returns {boolean} false when it or a group that it is in is not there
   */
  worldTransformOf(key, out) {
    return this.#transformOf(key, out, false);
  }

  /**
   * The same where somebody may drag it, or a group that it is in.
   * @param {string} key
   * @param {Float64Array} out
   */
  shownTransformOf(key, out) {
    return this.#transformOf(key, out, true);
  }

  /** @param {string} key @param {Float64Array} out @param {boolean} isDragged */
  #transformOf(key, out, isDragged) {
    let prop = this.props.get(key);
    if (!prop) return false;
    put(out, (isDragged && this.drags.of(key)) || prop.transform);
    for (let depth = 0; prop.group; depth++) {
      const group = prop.group;
      prop = this.props.get(group);
      if (!prop || depth > DEPTH_MAX) return false;
      outwards(out, (isDragged && this.drags.of(group)) || prop.transform);
    }
    return true;
  }

  /**
   * Where a prop is that flies or slides: place and rotation in `out`; its scale stays.
   * @param {string} key
   * @param {number} serverMs the moment that is shown
   * @param {Float64Array} out
   * @returns {boolean} false when it does not fly
   */
  flightAt(key, serverMs, out) {
    const path = this.flights.get(key);
    if (!path) return false;
    const t = Math.max(0, serverMs - path.serverMs) / 1000;
    const speed = Math.hypot(...path.velocity);
    const u = path.isSliding ? Math.min(t, speed / SLOWING_M_PER_S2) : t;
    const slowed = path.isSliding && speed > 0 ? (SLOWING_M_PER_S2 * u * u) / (2 * speed) : 0;
    for (let k = 0; k < 3; k++) out[k] = path.position_m[k] + path.velocity[k] * (u - slowed);
    if (!path.isSliding) out[1] -= (GRAVITY_M_PER_S2 * t * t) / 2;
    for (let k = 0; k < 4; k++) out[3 + k] = path.rotation[k];
    return true;
  }
}

/** @param {Properties} properties @returns {Role | null} */
function roleOf(properties) {
  const { kind } = properties;
  if (kind === "shape") return properties.collides ? "collider" : null;
  return kind === "portal" || kind === "seat" ? kind : null;
}

/** @param {Float64Array} out @param {Transform} transform */
function put(out, { position_m, rotation, scale }) {
  for (let k = 0; k < 3; k++) out[k] = position_m[k];
  for (let k = 0; k < 4; k++) out[3 + k] = rotation[k];
  for (let k = 0; k < 3; k++) out[7 + k] = scale[k];
}

/**
 * From the frame of a group to the one around it.
 * @param {Float64Array} out
 * @param {Transform} group
 */
function outwards(out, { position_m, rotation, scale }) {
  rotate(out, 0, rotation, 0, out[0] * scale[0], out[1] * scale[1], out[2] * scale[2]);
  for (let k = 0; k < 3; k++) out[k] += position_m[k];
  multiply(out, 3, rotation, 0, out, 3);
  for (let k = 0; k < 3; k++) out[7 + k] *= scale[k];
}

/**
 * A prop of the scene's JSON; null when it has no shape that could be one.
 * @param {any} raw
 * @returns {Prop | null}
 */
function readProp(raw) {
  const key = keyOfUuid(raw?.id);
  const [position_m, rotation, scale] = NESTED.Transform.map(([name, kind]) => (
    numbers(raw?.[name] ?? USUAL[name], kind)));
  const properties = readProperties(raw?.properties);
  const group = raw?.group === undefined ? "" : keyOfUuid(raw.group);
  if (!key || !position_m || !rotation || !scale || !properties || group === null) return null;
  normalise(rotation, 0);
  return { id: idOf(key), key, group, transform: { position_m, rotation, scale }, properties,
    owner: typeof raw.owner === "string" ? raw.owner : "", locked: raw.locked === true };
}

/**
 * @param {any} raw
 * @param {import("./protocol.generated.js").Kind} kind
 * @returns {number[] | null}
 */
function numbers(raw, kind) {
  return fits(kind, raw) ? [...raw] : null;
}

/**
 * Properties with what was left out as it is by default; null for a kind that nobody knows.
 * @param {any} raw
 * @returns {Properties | null}
 */
export function readProperties(raw) {
  const kind = raw?.kind;
  if (typeof kind !== "string" || !Object.hasOwn(UNIONS.Properties, kind)) return null;
  /** @type {Record<string, unknown>} */
  const properties = { kind };
  for (const [name, type, usual] of MAPS[UNIONS.Properties[kind]]) {
    properties[name] = Object.hasOwn(raw, name) && fits(type, raw[name]) ? raw[name] : usual;
  }
  return /** @type {Properties} */ (/** @type {unknown} */ (properties));
}
