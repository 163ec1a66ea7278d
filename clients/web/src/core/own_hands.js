/**
 * What one's own hands hold: at once for oneself, and in the end what the server says.
 *
 * A Grab is shown before it is answered. Until the server tells of it, whatever else it tells of
 * the same prop is of before: somebody else's hold or throw, still under way. Such word is kept
 * and not shown; it counts when the Grab is refused. A prop may be let go before any of that has
 * come: then the server is told right away where to, and its word that one holds it is no news
 * any more. What somebody else had and was let go of by oneself before it was granted is put back
 * where it was.
 *
 * Pure.
 */

import { Op } from "./protocol.generated.js";
import { keyOf } from "./ids.js";

/** @typedef {import("./props.js").Prop} Prop */
/** @typedef {import("./props.js").PropStore} PropStore */
/** @typedef {import("./edits.js").EditQueue} EditQueue */
/** @typedef {import("./requests.js").Answer} Answer */
/** @typedef {import("./protocol.generated.js").PropHeld} PropHeld */
/** @typedef {import("./protocol.generated.js").PropsFlown} PropsFlown */
/**
 * @typedef {object} Claim a Grab of which the server has not told yet
 * @property {PropHeld} wanted as it is shown
 * @property {boolean} isShown nobody else held it
 * @property {boolean} isOpen one still wants it
 * @property {boolean} isReleased the server knows that one does not
 * @property {(() => void) | null} earlier what was told meanwhile
 */
/**
 * @typedef {object} HandsPorts
 * @property {() => number} ownId
 * @property {(prop_id: Uint8Array, hand: number, position_m: number[], rotation: number[]) =>
 *   Promise<Answer>} grab
 */

const NOWHERE = { position_m: [0, 0, 0], rotation: [0, 0, 0, 1] };

export class OwnHands {
  #props;
  #edits;
  #ports;
  /** @type {Map<string, Claim>} by the prop's key */
  #claims = new Map();

  /** @param {PropStore} props @param {EditQueue} edits @param {HandsPorts} ports */
  constructor(props, edits, ports) {
    this.#props = props;
    this.#edits = edits;
    this.#ports = ports;
  }

  /** Whether one holds it, or has asked for it and not let go. @param {string} key */
  has(key) {
    const claim = this.#claims.get(key);
    return claim ? claim.isOpen : this.#isOwn(key);
  }

  /** @param {string} key */
  #isOwn(key) {
    const id = this.#props.held.get(key)?.entityId;
    return id !== undefined && id === this.#ports.ownId();
  }

  /**
   * @param {Prop} prop
   * @param {number} hand 0 left, 1 right
   * @param {number[]} position_m of the prop in the frame of the hand
   * @param {number[]} rotation
   * @returns {Promise<Answer>}
   */
  async take(prop, hand, position_m, rotation) {
    const { key, id } = prop;
    const isShown = !this.#props.held.has(key) || this.#isOwn(key);
    const wanted = { op: Op.PropHeld, prop_id: id, entity_id: this.#ports.ownId(), hand,
      position_m, rotation };
    const claim = { wanted, isShown, isOpen: true, isReleased: false, earlier: null };
    if (isShown) this.#props.hold(wanted);
    this.#claims.set(key, claim);
    const answer = await this.#ports.grab(id, hand, position_m, rotation);
    if (answer.code && this.#claims.get(key) === claim) this.#refused(key, claim);
    return answer;
  }

  /** @param {string} key @param {Claim} claim */
  #refused(key, { isShown, wanted, earlier }) {
    this.#claims.delete(key);
    if (!isShown) return;
    if (earlier) earlier();
    else if (this.#isOwn(key)) this.#props.hold({ ...wanted, entity_id: 0, ...NOWHERE });
  }

  /**
   * Out of the hand, and it flies on for oneself until the server tells how.
   * @param {string} key
   * @param {{position_m: number[], rotation: number[], velocity_m_per_s: number[]}} how
   * @param {number} serverMs the time there
   */
  letGo(key, { position_m, rotation, velocity_m_per_s }, serverMs) {
    const prop = this.#props.props.get(key);
    const claim = this.#claims.get(key);
    if (claim) claim.isOpen = false;
    if (!prop || !this.#isOwn(key)) return;
    if (claim) claim.isReleased = true;
    this.#edits.release({ prop_id: prop.id, velocity_m_per_s,
      transform: { position_m, rotation, scale: [1, 1, 1] } });
    const flights = [{ prop_id: prop.id, position_m, rotation, velocity_m_per_s,
      is_sliding: false }];
    this.#props.fly({ op: Op.PropsFlown, server_ms: 0, tick: 0, flights }, serverMs);
  }

  // --- what is told --------------------------------------------------------------------------

  /** @param {PropHeld} message */
  hold(message) {
    const key = keyOf(message.prop_id);
    const claim = this.#claims.get(key);
    if (!claim) return this.#props.hold(message);
    if (message.entity_id === claim.wanted.entity_id && message.hand === claim.wanted.hand) {
      return this.#granted(key, claim, message);
    }
    if (claim.isShown) claim.earlier = () => this.#props.hold(message);
    else this.#props.hold(message);
    return undefined;
  }

  /** @param {string} key @param {Claim} claim @param {PropHeld} message */
  #granted(key, { isOpen, isReleased }, message) {
    this.#claims.delete(key);
    if (isReleased) return;
    this.#props.hold(message);
    const prop = this.#props.props.get(key);
    if (isOpen || !prop) return;
    this.#edits.release({ prop_id: prop.id, velocity_m_per_s: [0, 0, 0],
      transform: { ...prop.transform, scale: [1, 1, 1] } });
  }

  /** @param {PropsFlown} message @param {number} serverMs its time */
  fly(message, serverMs) {
    const now = message.flights.filter(({ prop_id }) => {
      const claim = this.#claims.get(keyOf(prop_id));
      return !claim?.isShown;
    });
    for (const flight of message.flights) {
      const claim = this.#claims.get(keyOf(flight.prop_id));
      if (claim?.isShown) {
        claim.earlier = () => this.#props.fly({ ...message, flights: [flight] }, serverMs);
      }
    }
    if (now.length) this.#props.fly({ ...message, flights: now }, serverMs);
  }

  /** A fresh Welcome: all is told anew. */
  forget() {
    this.#claims.clear();
  }
}
