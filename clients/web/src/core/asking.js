/**
 * What can be asked of the server, each as a promise of its one answer. Pure.
 */

import { Op, TeleportTarget } from "./protocol.generated.js";
import { Requests } from "./requests.js";

/** @typedef {import("./protocol.generated.js").ClientMessage} ClientMessage */

export class Asking {
  /**
   * @param {(message: ClientMessage) => void} send
   * @param {number} firstRequestId
   */
  constructor(send, firstRequestId) {
    this.send = send;
    this.requests = new Requests(firstRequestId);
  }

  /** @param {number[]} position_m @param {number} yaw */
  mark(position_m, yaw) {
    this.send({ op: Op.MarkerSubmit, position_m, yaw });
  }

  /** All that one drags just now. @param {import("./protocol.generated.js").PropMove[]} drags */
  drag(drags) {
    this.send({ op: Op.Drag, drags });
  }

  /**
   * @param {number} kind of TeleportTarget
   * @param {{target?: number, x?: number, y?: number, z?: number, yaw?: number}} where
   */
  #teleport(kind, { target = 0, x = 0, y = 0, z = 0, yaw = 0 }) {
    return this.requests.ask((request_id) => (
      this.send({ op: Op.Teleport, request_id, kind, target, x, y, z, yaw })));
  }

  /** @param {number} x @param {number} y @param {number} z @param {number} yaw */
  teleport(x, y, z, yaw) {
    return this.#teleport(TeleportTarget.POINT, { x, y, z, yaw });
  }

  /** To a place of the server's choice. */
  respawn() {
    return this.#teleport(TeleportTarget.SPAWN, {});
  }

  /** @param {number} seat number of a seat of the scene */
  sitOn(seat) {
    return this.#teleport(TeleportTarget.SEAT, { target: seat });
  }

  stand() {
    return this.#teleport(TeleportTarget.STAND, {});
  }

  /** @param {Uint8Array} prop_id of a prop that is a seat */
  sitOnProp(prop_id) {
    return this.requests.ask((request_id) => (
      this.send({ op: Op.Sit, request_id, prop_id })));
  }

  /** @param {string} world */
  travel(world) {
    return this.requests.ask((request_id) => (
      this.send({ op: Op.Travel, request_id, world })));
  }

  /**
   * @param {number} entity_id 0: `person` says who
   * @param {number} relation bits of Relation
   * @param {string} [person] as in `relations`
   */
  relate(entity_id, relation, person = "") {
    return this.requests.ask((request_id) => (
      this.send({ op: Op.Relate, request_id, entity_id, person, relation })));
  }

  /** @param {number} entity_id @param {number} reason of ReportReason @param {string} text */
  report(entity_id, reason, text) {
    return this.requests.ask((request_id) => (
      this.send({ op: Op.Report, request_id, entity_id, reason, text })));
  }

  /** @param {string} avatar */
  setAvatar(avatar) {
    return this.requests.ask((request_id) => (
      this.send({ op: Op.AvatarSubmit, request_id, avatar })));
  }

  /** @param {number} mode of VoiceMode */
  setVoice(mode) {
    return this.requests.ask((request_id) => (
      this.send({ op: Op.VoiceSet, request_id, mode })));
  }

  /**
   * @param {Uint8Array} prop_id
   * @param {number} hand 0 left, 1 right
   * @param {number[]} position_m of the prop in the frame of the hand
   * @param {number[]} rotation
   */
  grab(prop_id, hand, position_m, rotation) {
    return this.requests.ask((request_id) => (
      this.send({ op: Op.Grab, request_id, prop_id, hand, position_m, rotation })));
  }
}
