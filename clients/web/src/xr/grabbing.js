/**
 * Props in one's hands: taken, passed from hand to hand, thrown.
 *
 * A prop is in the hand at once; the server's answer leaves it there or puts it back, since of
 * several who reach for it one gets it (core/own_hands). It is let go at where the hand has it,
 * with the velocity of the hand's last tenth of a second.
 */

import { ThrowHistory } from "../core/locomotion.js";
import { compose, within } from "../core/quaternion.js";

/** @typedef {import("./senses.js").Senses} Senses */
/** @typedef {import("./anchor.js").RoomAnchor} RoomAnchor */
/** @typedef {import("../core/world_model.js").WorldModel} WorldModel */
/** @typedef {import("../core/requests.js").Answer} Answer */

const REACH_M = 0.22;
const THROW_M_PER_S_MAX = 15;
const at = new Float64Array(10);
const grip = new Float64Array(7);

export class Grabbing {
  /** Hands in the world, left first. */
  hands = [new Float64Array(7), new Float64Array(7)];
  /** @type {string[]} keys of what they hold, or empty */
  holds = ["", ""];
  #histories = [new ThrowHistory(), new ThrowHistory()];
  #model;
  #tell;
  #senses;

  /**
   * @param {WorldModel} model
   * @param {Senses} senses
   * @param {(answer: Answer) => void} tell of a refusal
   */
  constructor(model, senses, tell) {
    this.#model = model;
    this.#senses = senses;
    this.#tell = tell;
  }

  /** @param {number} seconds @param {RoomAnchor} anchor */
  step(seconds, anchor) {
    for (let hand = 0; hand < 2; hand++) {
      const sense = this.#senses.hands[hand];
      if (!sense.hasGrip) continue;
      anchor.toWorld(this.hands[hand], sense.grip);
      this.#histories[hand].add(seconds, this.hands[hand]);
      const key = this.holds[hand];
      if (key && !this.#model.hands.has(key)) this.holds[hand] = ""; // it was taken away
    }
  }

  /** The nearest thing that this hand could take; empty for none. @param {number} hand */
  nearest(hand) {
    const { props, entityId } = this.#model;
    if (!this.#senses.hands[hand].hasGrip) return "";
    const [x, y, z] = this.hands[hand];
    let [best, least] = ["", REACH_M];
    for (const prop of props.props.values()) {
      const { properties } = prop;
      if (!("portable" in properties) || !properties.portable) continue;
      if (!props.worldTransformOf(prop.key, at)) continue;
      const held = props.held.get(prop.key);
      if (held?.entityId === entityId) this.#whereHeld(held, at);
      const half = Math.max(at[7], at[8], at[9]) / 2;
      const away = Math.hypot(at[0] - x, at[1] - y, at[2] - z) - half;
      if (away < least) [best, least] = [prop.key, away];
    }
    return best;
  }

  /** @param {import("../core/props.js").Grip} held @param {Float64Array} out */
  #whereHeld({ hand, position_m, rotation }, out) {
    grip.set(position_m);
    grip.set(rotation, 3);
    compose(out, 0, this.hands[hand], 0, grip, 0);
  }

  /** @param {number} hand @returns {boolean} whether there was something to take */
  take(hand) {
    const model = this.#model;
    const key = this.nearest(hand);
    const prop = model.props.props.get(key);
    if (!prop || this.holds[hand]) return false;
    model.props.worldTransformOf(key, at);
    const held = model.props.held.get(key);
    if (held?.entityId === model.entityId) {
      this.#whereHeld(held, at);
      this.holds[held.hand] = "";
    }
    within(grip, 0, this.hands[hand], 0, at, 0);
    this.holds[hand] = key;
    this.#senses.hands[hand].pulse(0.5, 30);
    void model.hands.take(prop, hand, [...grip.subarray(0, 3)], [...grip.subarray(3)])
      .then((answer) => this.#answered(answer, key, hand));
    return true;
  }

  /** @param {Answer} answer @param {string} key @param {number} hand */
  #answered(answer, key, hand) {
    if (!answer.code) return;
    if (this.holds[hand] === key) this.holds[hand] = "";
    this.#senses.hands[hand].pulse(1, 150);
    this.#tell(answer);
  }

  /** @param {number} hand */
  letGo(hand) {
    const model = this.#model;
    const key = this.holds[hand];
    this.holds[hand] = "";
    if (!key) return;
    const held = model.props.held.get(key);
    if (held) this.#whereHeld(held, at);
    const [position_m, rotation] = [[...at.subarray(0, 3)], [...at.subarray(3, 7)]];
    const velocity = this.#histories[hand].velocity();
    const speed = Math.hypot(...velocity);
    const part = speed > THROW_M_PER_S_MAX ? THROW_M_PER_S_MAX / speed : 1;
    for (let k = 0; k < 3; k++) velocity[k] *= part;
    model.hands.letGo(key, { position_m, rotation, velocity_m_per_s: velocity },
      model.clock.now(performance.now()));
    this.#senses.hands[hand].pulse(0.2, 20);
  }

  /** Everything is let go. */
  end() {
    this.letGo(0);
    this.letGo(1);
    for (const history of this.#histories) history.clear();
  }
}
