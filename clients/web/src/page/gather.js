/**
 * Everybody who is to be drawn in this frame, in records that are made once and reused.
 *
 * The own avatar comes from the prediction, all others from the view at the moment that it shows.
 * Nothing is allocated while the same people are in view.
 */

import { EntityKind } from "../core/protocol.generated.js";
import { Figure } from "../core/view.js";

/** @typedef {import("../core/world_model.js").WorldModel} WorldModel */
/**
 * Somebody as the crowd draws them.
 * @typedef {object} Person
 * @property {number} id
 * @property {number} kind of EntityKind
 * @property {string} name
 * @property {string} avatar
 * @property {boolean} isOwn
 * @property {boolean} isHidden a silhouette: the server tells no more of this person
 * @property {boolean} isFirstPerson one's own, seen from inside
 * @property {Figure} figure
 * @property {number} speaking 0..1
 * @property {string} subtitle
 */

export class Gathering {
  /** @type {Person[]} those of the last `gather` */
  people = [];
  /** @type {Map<number, Person>} by entity id */
  byId = new Map();
  /** The own avatar's look, which nobody tells us. */
  ownAvatar = "";
  #model;
  /** @type {(id: number) => number} */
  #speakingOf;

  /**
   * @param {WorldModel} model
   * @param {(id: number) => number} speakingOf how loud somebody speaks, 0..1
   */
  constructor(model, speakingOf) {
    this.#model = model;
    this.#speakingOf = speakingOf;
    model.peopleChanged.add(() => this.#forgetAbsent());
  }

  /**
   * @param {boolean} isFirstPerson
   * @param {boolean} [isOwnDrawn] in a headset one's hands are drawn where they are, and no body
   */
  gather(isFirstPerson, isOwnDrawn = true) {
    const { view, entityId, own } = this.#model;
    this.people.length = 0;
    if (entityId) {
      const self = this.#record(entityId, EntityKind.AVATAR, this.#model.name, this.ownAvatar);
      self.isOwn = true;
      self.isFirstPerson = isFirstPerson;
      own.updateRow();
      own.writeFigure(self.figure);
      if (isOwnDrawn) this.people.push(self);
    }
    for (const info of this.#model.people.values()) {
      if (info.id === entityId) continue;
      const person = this.#record(info.id, info.kind, info.name, info.avatar);
      if (view.sample(info.index, person.figure)) this.people.push(person);
    }
    return this.people;
  }

  /**
   * @param {number} id
   * @param {number} kind
   * @param {string} name
   * @param {string} avatar
   * @returns {Person}
   */
  #record(id, kind, name, avatar) {
    let person = this.byId.get(id);
    if (!person) {
      person = { id, kind, name, avatar, isOwn: false, isHidden: false, isFirstPerson: false,
        figure: new Figure(), speaking: 0, subtitle: "" };
      this.byId.set(id, person);
    }
    person.kind = kind;
    person.name = name;
    person.avatar = avatar;
    person.isHidden = kind === EntityKind.AVATAR && name === "";
    person.speaking = this.#speakingOf(id);
    return person;
  }

  #forgetAbsent() {
    for (const id of this.byId.keys()) {
      if (id !== this.#model.entityId && !this.#model.people.has(id)) this.byId.delete(id);
    }
  }
}
