/**
 * Who and what is around, for those parts of the page that say it in words.
 *
 * Everybody in view by distance, where they are, and the summary that "Where am I?" reads. The
 * records are made anew at most a few times a second, never in a frame.
 */

import { EntityKind, Flags } from "../core/protocol.generated.js";
import { Figure } from "../core/view.js";
import { compassOf, facingOf, roundedMetres, sideOf } from "./bearing.js";
import { shownList, words, wordsOf } from "./words.js";

/** @typedef {import("./ports.js").WorldModel} WorldModel */
/**
 * @typedef {object} Near
 * @property {number} id
 * @property {number} kind
 * @property {string} name empty for somebody hidden
 * @property {string} avatar
 * @property {number} x
 * @property {number} z
 * @property {number} distance metres
 * @property {boolean} isAway the link was lost
 * @property {boolean} isTyping
 * @property {boolean} isSpeaking
 */

const SUMMARY_PEOPLE_MAX = 5;
const HERE_M = 0.8;

export class Surroundings {
  #model;
  #figure = new Figure();

  /** @param {WorldModel} model */
  constructor(model) {
    this.#model = model;
  }

  /** Everybody else in view, the nearest first. @returns {Near[]} */
  people() {
    const { own, people, view, entityId } = this.#model;
    /** @type {Near[]} */
    const found = [];
    for (const person of people.values()) {
      if (person.id === entityId || person.kind === EntityKind.PROP) continue;
      if (!view.sample(person.index, this.#figure)) continue;
      const { pose, flags } = this.#figure;
      const [x, z] = [pose[0], pose[2]];
      found.push({ id: person.id, kind: person.kind, name: person.name, avatar: person.avatar,
        x, z, distance: Math.hypot(x - own.x, z - own.z),
        isAway: (flags & Flags.LINK_LOST) !== 0, isTyping: (flags & Flags.TYPING) !== 0,
        isSpeaking: (flags & Flags.SPEAKING) !== 0 });
    }
    return found.sort((a, b) => a.distance - b.distance);
  }

  /** Names of the people in view, for completion and mentions. */
  names() {
    return [...this.#model.people.values()].map(({ name }) => name).filter(Boolean);
  }

  /** @param {Near} person */
  place({ x, z, distance, isAway }) {
    if (isAway) return words("people.away");
    if (distance < HERE_M) return words("people.here");
    const { own } = this.#model;
    return words("people.place", { distance: roundedMetres(distance),
      bearing: wordsOf(`bearing.${compassOf(x - own.x, z - own.z)}`) });
  }

  /** The answer to "Where am I?". */
  summary() {
    const { own, place, world } = this.#model;
    const sentences = [words("around.place", { place: place.name || world,
      bearing: wordsOf(`bearing.${facingOf(own.yaw)}`) })];
    const zone = place.zones.find(({ name, x, z, wide, deep }) => (
      name && Math.abs(own.x - x) <= wide / 2 && Math.abs(own.z - z) <= deep / 2));
    if (zone) sentences.push(words("around.zone", { zone: zone.name }));
    if (own.seated) sentences.push(words("around.seated"));
    sentences.push(this.#whoIsThere());
    const seat = own.seated ? null : this.#seat();
    if (seat) sentences.push(seat);
    return sentences.join(" ");
  }

  #whoIsThere() {
    const people = this.people();
    if (!people.length) return words("around.nobody");
    const told = people.slice(0, SUMMARY_PEOPLE_MAX).map((person) => words("around.person", {
      name: shownName(person), distance: roundedMetres(person.distance),
      side: this.#side(person.x, person.z) }));
    return words("around.people", { count: people.length, list: shownList(told) });
  }

  #seat() {
    const { own, place } = this.#model;
    let nearest = null;
    let least = Infinity;
    for (const seat of place.seats) {
      const distance = Math.hypot(seat.x - own.x, seat.z - own.z);
      if (distance >= least) continue;
      least = distance;
      nearest = seat;
    }
    return nearest && words("around.seat", { distance: roundedMetres(least),
      side: this.#side(nearest.x, nearest.z) });
  }

  /** @param {number} x @param {number} z */
  #side(x, z) {
    const { own } = this.#model;
    return wordsOf(`side.${sideOf(x - own.x, z - own.z, own.yaw)}`);
  }
}

/** @param {{name: string, kind: number}} person */
export function shownName({ name, kind }) {
  if (!name) return words("people.hidden");
  return kind === EntityKind.NPC ? words("people.npc", { name }) : name;
}
