/**
 * The world as this client knows it: all that the server has told, and all that can be asked of it.
 *
 * Everything from the server goes through `receive` and ends in one of the stores, each of which is
 * owned here: who is in view (`view`, `people`), oneself (`own`), the place and what was put into
 * it (`place`, `props`), what was said (`chat`), what became of requests and edits. What happened
 * is told by signals; pictures and panels read and listen, and change nothing here but by asking.
 *
 * Asking sends a message and gives a promise that always settles. Pure: sending, time and random
 * ids come from outside.
 */

import {
  ChatChannel, ErrorCode, Limits, Op, SaveState,
} from "./protocol.generated.js";
import { Asking } from "./asking.js";
import { ChatLog } from "./chat_log.js";
import { ServerClock } from "./clock.js";
import { EditQueue } from "./edits.js";
import { LinkQuality } from "./link_quality.js";
import { OwnAvatar } from "./predict.js";
import { OwnHands } from "./own_hands.js";
import { PropStore } from "./props.js";
import { emptyScene, readScene } from "./scene.js";
import { Signal } from "./signal.js";
import { View } from "./view.js";

/** @typedef {import("./protocol.generated.js").ServerMessage} ServerMessage */
/** @typedef {import("./protocol.generated.js").ClientMessage} ClientMessage */
/** @typedef {import("./protocol.generated.js").Welcome} Welcome */
/** @typedef {import("./protocol.generated.js").RelationEntry} RelationEntry */
/** @typedef {import("./protocol.generated.js").RtcSignalled} RtcSignalled */
/** @typedef {import("./protocol.generated.js").RtcPeers} RtcPeers */
/** @typedef {import("./protocol.generated.js").RtcServers} RtcServers */
/** @typedef {import("./requests.js").Answer} Answer */
/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {"connecting" | "joining" | "live" | "lost" | "ended"} State */
/** @typedef {{id: number, index: number, kind: number, name: string, avatar: string}} PersonInfo */
/**
 * @typedef {object} Outside
 * @property {(message: ClientMessage) => void} send
 * @property {() => Uint8Array} newId 16 random bytes
 * @property {number} firstRequestId
 * @property {(tick: number) => void} acknowledge a snapshot was decoded
 */

export class WorldModel extends Asking {
  /** @type {State} */
  state = "ended";
  name = "";
  entityId = 0;
  world = "";
  sceneUrl = "";
  author = "";
  rights = 0;
  /** @type {number} of SaveState */
  saving = SaveState.RW;
  savingSentence = "";
  safeZone = false;
  tick = 0;
  clock = new ServerClock();
  quality = new LinkQuality();
  own = new OwnAvatar();
  view = new View(Limits.TICK_RATE_HZ_DEFAULT, 1);
  chat = new ChatLog();
  props = new PropStore();
  /** @type {Scene} */
  place = emptyScene();
  /** @type {Map<number, PersonInfo>} those in view, by entity id */
  people = new Map();
  /** @type {RelationEntry[]} */
  relations = [];

  /** @type {Signal<{state: State, sentence: string, code: number}>} */
  stateChanged = new Signal();
  /** @type {Signal<Welcome>} */
  welcomed = new Signal();
  /** @type {Signal<string>} the scene must be fetched from this address */
  sceneWanted = new Signal();
  /** @type {Signal<Scene>} */
  placed = new Signal();
  /** @type {Signal<null>} who is in view has changed */
  peopleChanged = new Signal();
  /** @type {Signal<{id: number, avatar: string}>} */
  appeared = new Signal();
  /** @type {Signal<{id: number, emote: number}>} */
  emoted = new Signal();
  /** @type {Signal<{id: number, position_m: number[], yaw: number}>} */
  marked = new Signal();
  /** @type {Signal<string>} a sentence for the person */
  told = new Signal();
  /** @type {Signal<null>} */
  relationsChanged = new Signal();
  /** @type {Signal<null>} */
  savingChanged = new Signal();
  /** @type {Signal<Answer>} to be told to the person: what was asked for is not to be */
  refused = new Signal();
  /** @type {Signal<import("./protocol.generated.js").SignStatus>} */
  signJudged = new Signal();
  /** @type {Signal<RtcSignalled | RtcPeers | RtcServers>} */
  rtc = new Signal();

  #outside;
  #isFirstWelcome = true;
  #serverMs = 0;

  /** @param {Outside} outside */
  constructor(outside) {
    super(outside.send, outside.firstRequestId);
    this.#outside = outside;
    this.edits = new EditQueue(outside.send, () => this.requests.newId());
    this.hands = new OwnHands(this.props, this.edits, { ownId: () => this.entityId,
      grab: (id, hand, position_m, rotation) => this.grab(id, hand, position_m, rotation) });
  }

  /**
   * The link is in another state.
   * @param {State} state
   * @param {string} sentence
   * @param {number} code
   */
  linkChanged(state, sentence, code) {
    const before = this.state;
    this.state = state;
    if (state === "joining") {
      this.#isFirstWelcome = true;
      this.own.firstEpoch();
    }
    if (state !== "live" && before === "live") {
      this.edits.pause();
      this.requests.giveUp();
      this.chat.pause();
    }
    if (state === "ended") this.chat.giveUp();
    this.stateChanged.fire({ state, sentence, code });
  }

  /** Once in a while, at least ten times a second. @param {number} nowMs */
  pump(nowMs) {
    this.requests.expire(nowMs);
    this.edits.pump(nowMs);
    this.chat.pump(nowMs);
    this.quality.rttMs = this.clock.rttMs;
    this.quality.jitterMs = this.view.jitterMs;
  }

  /**
   * @param {ServerMessage} message
   * @param {number} nowMs when it came, by the page's clock
   */
  receive(message, nowMs) {
    switch (message.op) {
      case Op.Welcome: return this.#welcome(message, nowMs);
      case Op.ClockPong: {
        const sentMs = nowMs - ((Math.floor(nowMs) - message.client_ms) >>> 0);
        return this.clock.add(sentMs, message.server_ms, nowMs);
      }
      case Op.Snapshot: return this.#snapshot(message, nowMs);
      case Op.Enter: return this.#enter(message.entries);
      case Op.Leave: return this.#leave(message.indexes);
      case Op.Correction: return this.own.correct(message.seq, message.reasons, message.body);
      case Op.Result: return this.#result(message);
      case Op.Notice: return this.#notice(message.code, message.sentence);
      default: return this.#receiveRest(message);
    }
  }

  /** @param {ServerMessage} message */
  #receiveRest(message) {
    switch (message.op) {
      case Op.ChatPublished:
        return this.chat.published(message, message.sender_id === this.entityId);
      case Op.ChatStatus: return this.chat.status(message);
      case Op.ChatRetract: return this.chat.retract(message.chat_seq);
      case Op.Emote: return this.emoted.fire({ id: message.entity_id, emote: message.emote });
      case Op.Marker: {
        const { entity_id: id, position_m, yaw } = message;
        return this.marked.fire({ id, position_m, yaw });
      }
      case Op.Appearance: return this.#appearance(message.entity_id, message.avatar);
      case Op.Relations:
        this.relations = message.entries;
        return this.relationsChanged.fire(null);
      case Op.RtcPeers: case Op.RtcServers: case Op.RtcSignalled: return this.rtc.fire(message);
      default: return this.#receiveProps(message);
    }
  }

  /** @param {ServerMessage} message */
  #receiveProps(message) {
    switch (message.op) {
      case Op.EditStatus: return this.edits.answered(message);
      case Op.PropsChanged: return this.props.change(message);
      case Op.PropHeld: return this.hands.hold(message);
      case Op.PropsDragged: return this.props.drag(message, this.clock.extend(message.server_ms));
      case Op.PropsFlown: return this.hands.fly(message, this.clock.extend(message.server_ms));
      case Op.SignStatus: return this.signJudged.fire(message);
      case Op.Saving:
        this.saving = message.state;
        this.savingSentence = message.sentence;
        return this.savingChanged.fire(null);
    }
  }

  /**
   * @param {Welcome} welcome
   * @param {number} nowMs
   */
  #welcome(welcome, nowMs) {
    const isOther = welcome.world !== this.world;
    const resumes = welcome.resumed && !isOther && welcome.request_id === 0;
    if (this.#isFirstWelcome) this.#isFirstWelcome = false;
    else this.own.nextEpoch();
    this.clock.seed(welcome.server_ms, nowMs);
    this.view = new View(welcome.tick_rate_hz || Limits.TICK_RATE_HZ_DEFAULT, welcome.y_unit_mm);
    this.people.clear();
    this.quality.begin();
    for (const key of /** @type {const} */ (["world", "author", "rights", "tick"])) {
      Object.assign(this, { [key]: welcome[key] });
    }
    this.entityId = welcome.entity_id;
    this.sceneUrl = welcome.scene_url;
    this.saving = SaveState.RW;
    this.own.place(welcome.body, welcome.y_unit_mm);
    if (resumes) {
      this.edits.resume();
      this.chat.resume(nowMs);
    } else {
      this.edits.begin();
      this.chat.clear();
      this.safeZone = false;
    }
    this.requests.answer(welcome.request_id, { code: ErrorCode.OK, reason: "", retry_ms: 0 });
    this.peopleChanged.fire(null);
    this.welcomed.fire(welcome);
    this.hands.forget();
    if (this.props.begin(welcome.scene_url)) this.sceneWanted.fire(welcome.scene_url);
  }

  /**
   * The scene that was wanted has come.
   * @param {string} url
   * @param {any} json
   */
  takeScene(url, json) {
    // Of a world that was left in the meantime; or a second time, when changes have come since.
    if (url !== this.sceneUrl || !this.props.isWaiting) return;
    this.place = readScene(json);
    this.props.takeScene(json?.props, json?.revision);
    this.placed.fire(this.place);
  }

  /**
   * @param {import("./protocol.generated.js").Snapshot} message
   * @param {number} nowMs
   */
  #snapshot(message, nowMs) {
    const serverMs = this.clock.extend(message.server_ms);
    this.view.snapshot(message.tick, serverMs, message.body, this.clock.now(nowMs));
    this.tick = message.tick;
    this.quality.snapshot(message.tick);
    this.own.skipTo(message.ack_seq);
    this.#outside.acknowledge(message.tick);
  }

  /** @param {import("./protocol.generated.js").EnterEntry[]} entries */
  #enter(entries) {
    for (const { index, entity_id: id, kind, name, avatar } of entries) {
      this.#vacate(index, id);
      this.people.set(id, { id, index, kind, name, avatar });
    }
    this.view.enter(entries);
    this.peopleChanged.fire(null);
  }

  /**
   * Whoever had this index before is not in view any more.
   * @param {number} index
   * @param {number} id who has it now
   */
  #vacate(index, id) {
    const before = this.view.entries.get(index)?.entity_id ?? id;
    if (before !== id && this.people.get(before)?.index === index) this.people.delete(before);
  }

  /** @param {Uint8Array} indexes */
  #leave(indexes) {
    for (const index of indexes) {
      const entry = this.view.entries.get(index);
      if (entry && this.people.get(entry.entity_id)?.index === index) {
        this.people.delete(entry.entity_id);
      }
    }
    this.view.leave(indexes);
    this.peopleChanged.fire(null);
  }

  /** @param {number} id @param {string} avatar */
  #appearance(id, avatar) {
    const person = this.people.get(id);
    if (person) person.avatar = avatar;
    this.appeared.fire({ id, avatar });
  }

  /** @param {number} code @param {string} sentence */
  #notice(code, sentence) {
    if (code === ErrorCode.OK) this.told.fire(sentence);
    else this.refused.fire({ code, reason: sentence, retry_ms: 0 });
  }

  /** @param {import("./protocol.generated.js").Result} message */
  #result({ request_id, code, reason, retry_ms }) {
    const wasAsked = this.requests.answer(request_id, { code, reason, retry_ms });
    if (!wasAsked && code !== ErrorCode.OK) this.refused.fire({ code, reason, retry_ms });
  }

  /** The moment to show, by the server's clock. @param {number} nowMs */
  advance(nowMs) {
    this.#serverMs = this.clock.now(nowMs);
    this.view.advance(this.#serverMs);
    this.props.expireDrags(this.#serverMs);
    return this.#serverMs;
  }

  /**
   * @param {string} text
   * @param {number} [channel]
   * @param {number} [target] entity id, of a DIRECT line
   */
  say(text, channel = ChatChannel.WORLD, target = 0) {
    const request_id = this.requests.newId();
    this.send({ op: Op.ChatSubmit, request_id, channel, target, text });
    return this.chat.say(request_id, { channel, target, text, senderId: this.entityId,
      senderName: this.name });
  }

  /** @param {number} emote */
  emote(emote) {
    this.send({ op: Op.EmoteSubmit, emote });
    this.emoted.fire({ id: this.entityId, emote });
  }

  /** Everybody gone, or back. @param {boolean} is_on */
  async setSafeZone(is_on) {
    const answer = await this.requests.ask((request_id) => (
      this.send({ op: Op.SafeZone, request_id, is_on })));
    if (answer.code === ErrorCode.OK) this.safeZone = is_on;
    return answer;
  }

  /** A fresh id for a new prop. */
  newPropId() {
    return this.#outside.newId();
  }
}
