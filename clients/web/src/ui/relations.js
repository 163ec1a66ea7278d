/**
 * Whom the person has muted, hidden or blocked, and how to change it.
 *
 * Every change is told with a way to undo it, and everybody in the list can be taken out of it,
 * also those who are not here.
 */

import { ErrorCode, Relation } from "../core/protocol.generated.js";
import { sentenceOf } from "./answers.js";
import { words } from "./words.js";

/** @typedef {import("./ports.js").UiOptions} UiOptions */
/** @typedef {import("./words.js").WordKey} WordKey */
/** @typedef {{id: number, person: string, name: string}} Who `person` names one who is away */

/** @type {readonly {bit: number, on: WordKey, off: WordKey, isOn: WordKey, isOff: WordKey,
 *   tag: WordKey}[]} */
export const BITS = Object.freeze([
  { bit: Relation.MUTE, on: "card.mute", off: "card.unmute", isOn: "card.muted",
    isOff: "card.unmuted", tag: "card.tagMuted" },
  { bit: Relation.HIDE, on: "card.hide", off: "card.unhide", isOn: "card.hid",
    isOff: "card.unhid", tag: "card.tagHidden" },
  { bit: Relation.BLOCK, on: "card.block", off: "card.unblock", isOn: "card.blocked",
    isOff: "card.unblocked", tag: "card.tagBlocked" },
]);

export class Relations {
  #options;
  #notices;

  /** @param {UiOptions} options @param {import("./notices.js").Notices} notices */
  constructor(options, notices) {
    this.#options = options;
    this.#notices = notices;
  }

  /** @param {number} id of an entity @returns {number} bits of Relation */
  of(id) {
    const { relations } = this.#options.model;
    return relations.find((each) => id !== 0 && each.entity_id === id)?.relation ?? 0;
  }

  /**
   * @param {Who} who
   * @param {number} before bits as they are
   * @param {number} bit the one to turn over
   */
  async turn(who, before, bit) {
    const after = before ^ bit;
    if (!await this.set(who, after)) return;
    const kind = BITS.find((each) => each.bit === bit);
    if (!kind) return;
    const sentence = words(after & bit ? kind.isOn : kind.isOff, { name: who.name });
    this.#notices.tell(sentence, { offer: { text: words("undo"),
      act: () => void this.set(who, before) } });
  }

  /** @param {Who} who @param {number} bits @returns {Promise<boolean>} */
  async set({ id, person }, bits) {
    const { model } = this.#options;
    return this.heard(await model.relate(person ? 0 : id, bits, person));
  }

  /** Tells what failed. @param {import("./ports.js").Answer} answer */
  heard(answer) {
    if (answer.code === ErrorCode.OK) return true;
    const language = document.documentElement.lang.slice(0, 2);
    this.#notices.tell(sentenceOf(answer, language), { isAlert: true });
    return false;
  }
}
