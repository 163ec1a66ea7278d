/**
 * The map page, wired together: link, view, own avatar, canvas and the page around it.
 *
 * Three loops run here: the frame (walk, draw), the pose (twenty times a second to the server)
 * and the figures (four times a second into the page). Everything from the server comes through
 * `Page.receive`.
 */

import {
  ChatChannel, EntityKind, ErrorCode, Flags, Limits, Op, TeleportTarget,
} from "../core/protocol.generated.js";
import { Account } from "../net/account.js";
import { ServerClock } from "../core/clock.js";
import { EMOTES } from "./figures.js";
import { Input } from "./input.js";
import { canResume, Link } from "../net/link.js";
import { lastingStorage, tabStorage } from "../net/storage.js";
import { MapCanvas } from "./map.js";
import { OwnAvatar } from "../core/predict.js";
import { emptyScene, readScene } from "../core/scene.js";
import { colourOf, themeOf } from "./theme.js";
import { element, Ui } from "./ui.js";
import { Figure, View } from "../core/view.js";

/** @typedef {import("../core/protocol.generated.js").ServerMessage} ServerMessage */
/** @typedef {import("../core/protocol.generated.js").Welcome} Welcome */
/** @typedef {import("./figures.js").Person} Person */

const POSE_MS = 50;
const FIGURES_MS = 250;
const FRAME_S_MAX = 0.1;
const NAME_KEY = "atrium.name";
const COMPASS = ["north", "north-east", "east", "south-east", "south", "south-west", "west",
  "north-west"];

class Page {
  ui = new Ui();
  map = new MapCanvas(element("map", HTMLCanvasElement));
  own = new OwnAvatar();
  clock = new ServerClock();
  account = new Account((url, asked) => fetch(url, asked), tabStorage);
  view = new View(Limits.TICK_RATE_HZ_DEFAULT, 1);
  scene = emptyScene();
  entityId = 0;
  name = "";
  tick = 0;
  #frameAt = 0;
  #standing = false;
  #counted = { at: 0, in: 0, out: 0 };
  #dark = matchMedia("(prefers-color-scheme: dark)");
  /** @type {Map<number, Person>} people drawn in the last frame, by index; -1 is the own avatar */
  #people = new Map();

  constructor() {
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.link = new Link(url, {
      message: (message) => this.receive(message),
      state: (state, sentence) => this.#linkState(state, sentence),
    });
    this.input = new Input(element("map", HTMLCanvasElement), {
      go: (x, y, jump) => this.#go(x, y, jump),
      look: (x, y) => this.#look(x, y),
      zoom: (factor) => this.map.zoom(factor, performance.now()),
      emote: (emote) => this.#emote(emote),
      talk: () => this.ui.chatText.focus(),
    });
    this.#buttons();
    this.#preferences();
    setInterval(() => this.#sendPose(), POSE_MS);
    setInterval(() => this.#showFigures(), FIGURES_MS);
    requestAnimationFrame((now) => this.#frame(now));
  }

  start() {
    this.ui.name.value = lastingStorage.getItem(NAME_KEY) ?? "";
    this.ui.onJoin((name, password, isNew) => void this.#enter(name, password, isNew));
    element("join-sign-out", HTMLButtonElement).addEventListener("click", () => {
      void this.account.signOut();
      this.ui.signedIn("");
    });
    this.ui.signedIn(this.account.ticket?.name ?? "");
    if (canResume() && this.ui.name.value) this.#join(this.ui.name.value);
    else this.ui.askName("");
  }

  /**
   * Signs in or up where there is a password, then joins.
   * @param {string} name
   * @param {string} password
   * @param {boolean} isNew
   */
  async #enter(name, password, isNew) {
    try {
      if (isNew) await this.account.signUp(name, password);
      else if (password) await this.account.signIn(name, password);
    } catch (error) {
      this.ui.askName(error instanceof Error ? error.message : String(error));
      return;
    }
    this.ui.signedIn(this.account.ticket?.name ?? "");
    this.#join(this.account.ticket?.name ?? name);
  }

  /** @param {string} name */
  #join(name) {
    this.name = name;
    lastingStorage.setItem(NAME_KEY, name);
    this.ui.closeJoin();
    const world = new URLSearchParams(location.search).get("world") ?? "";
    this.link.open(name, world.slice(0, 32), this.account.token);
    element("map", HTMLCanvasElement).focus();
  }

  /**
   * @param {import("../net/link.js").LinkState} state
   * @param {string} sentence
   */
  #linkState(state, sentence) {
    this.ui.linkState(state, sentence);
    if (state !== "ended") return;
    this.ui.askName(sentence);
    if (!sentence || !this.account.token) return;
    void this.account.verify().then((holds) => {
      if (!holds) this.ui.signedIn("");
    });
  }

  // --- from the server -------------------------------------------------------------------

  /** @param {ServerMessage} message */
  receive(message) {
    const now = performance.now();
    switch (message.op) {
      case Op.Welcome: return this.#welcome(message, now);
      case Op.ClockPong: {
        const sentMs = now - ((Math.floor(now) - message.client_ms) >>> 0);
        return this.clock.add(sentMs, message.server_ms, now);
      }
      case Op.Snapshot:
        this.view.snapshot(message.tick, this.clock.extend(message.server_ms), message.body);
        this.tick = message.tick;
        this.own.skipTo(message.ack_seq);
        return this.link.acknowledge(message.tick);
      case Op.Enter: return this.view.enter(message.entries);
      case Op.Leave: return this.view.leave(message.indexes);
      case Op.Correction:
        this.#standing = false;
        return this.own.correct(message.seq, message.reasons, message.body);
      case Op.ChatPublished:
        this.map.say(message.sender_id, message.text, now);
        return this.ui.published(message, message.sender_id === this.entityId);
      case Op.ChatStatus: return this.ui.chatStatus(message);
      case Op.ChatRetract: return this.ui.retract(message.chat_seq);
      case Op.Emote: return this.map.burst(message.entity_id, message.emote, now);
      case Op.Notice: return this.ui.tell(message.sentence);
      case Op.Result:
        if (message.code === ErrorCode.OK) return;
        this.#standing = false;
        if (!this.ui.refuseLine(message.request_id, message.reason)) this.ui.tell(message.reason);
    }
  }

  /**
   * @param {Welcome} welcome
   * @param {number} now
   */
  #welcome(welcome, now) {
    this.clock.seed(welcome.server_ms, now);
    this.view = new View(welcome.tick_rate_hz || Limits.TICK_RATE_HZ_DEFAULT, welcome.y_unit_mm);
    this.#people.clear();
    this.entityId = welcome.entity_id;
    this.tick = welcome.tick;
    this.own.place(welcome.body, welcome.y_unit_mm);
    this.ui.place(welcome.world, "");
    if (!welcome.resumed) this.ui.newChat();
    void this.#fetchScene(welcome.scene_url);
  }

  /** @param {string} url */
  async #fetchScene(url) {
    try {
      const response = await fetch(new URL(url, location.href));
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      this.scene = readScene(await response.json());
      this.map.show(this.scene);
      const { minX, maxX, minZ, maxZ } = this.scene;
      const size = `${Math.round(maxX - minX)} by ${Math.round(maxZ - minZ)} metres`;
      this.ui.place(this.scene.name || "Atrium", size);
    } catch (error) {
      this.ui.tell(`The map of this place could not be loaded: ${String(error)}. Reload the page.`);
    }
  }

  // --- to the server ---------------------------------------------------------------------

  #sendPose() {
    if (this.link.state !== "live") return;
    this.own.typing = this.ui.chatText.value !== "";
    const body = this.own.nextBody();
    this.link.sendPose(this.own.seq, body);
  }

  /**
   * @param {number} px
   * @param {number} py
   * @param {boolean} jump
   */
  #go(px, py, jump) {
    if (this.link.state !== "live") return;
    const point = this.map.ground(px, py);
    const seat = this.map.seatAt(point);
    this.map.mark(seat ?? point, performance.now());
    if (seat) this.link.teleport(TeleportTarget.SEAT, { target: seat.id });
    else if (jump) {
      const within = { x: clampTo(point.x), z: clampTo(point.z) };
      this.link.teleport(TeleportTarget.POINT, { ...within, y: this.own.y, yaw: this.own.yaw });
    } else {
      this.#stand();
      this.own.goal = point;
    }
  }

  /** Gets up from a seat, asking only once. */
  #stand() {
    if (!this.own.seated || this.#standing) return;
    this.#standing = true;
    this.link.teleport(TeleportTarget.STAND);
  }

  /** @param {number} px @param {number} py */
  #look(px, py) {
    const { x, z } = this.map.ground(px, py);
    const [dx, dz] = [x - this.own.shown.x, z - this.own.shown.z];
    if (Math.hypot(dx, dz) > 0.2) this.own.look(Math.atan2(-dx, -dz));
  }

  /** @param {number} emote */
  #emote(emote) {
    if (this.link.state !== "live" || !(emote in EMOTES)) return;
    this.link.send({ op: Op.EmoteSubmit, emote });
    this.map.burst(this.entityId, emote, performance.now());
  }

  #say() {
    const text = this.ui.chatText.value.trim();
    if (!text) {
      element("map", HTMLCanvasElement).focus();
      return;
    }
    if (this.link.state !== "live") {
      this.ui.tell("You are not connected just now. The text stays here until you are.");
      return;
    }
    const nearby = this.ui.chatChannel.value === String(ChatChannel.NEARBY);
    const channel = nearby ? ChatChannel.NEARBY : ChatChannel.WORLD;
    this.ui.addPending(this.link.say(text, channel), this.name, channel, text);
    this.ui.chatText.value = "";
  }

  // --- the page --------------------------------------------------------------------------

  #buttons() {
    element("chat-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say();
    });
    this.ui.chatText.addEventListener("keydown", (event) => {
      if (event.key === "Escape") element("map", HTMLCanvasElement).focus();
    });
    for (const button of document.querySelectorAll("[data-emote]")) {
      button.addEventListener("click", () => (
        this.#emote(Number(button.getAttribute("data-emote")))));
    }
    const zoom = (/** @type {number} */ factor) => this.map.zoom(factor, performance.now());
    element("zoom-in", HTMLButtonElement).addEventListener("click", () => zoom(1.35));
    element("zoom-out", HTMLButtonElement).addEventListener("click", () => zoom(1 / 1.35));
    element("leave", HTMLButtonElement).addEventListener("click", () => this.link.close());
  }

  #preferences() {
    const still = matchMedia("(prefers-reduced-motion: reduce)");
    const take = () => {
      this.map.dark = this.#dark.matches;
      this.map.still = still.matches;
    };
    this.#dark.addEventListener("change", take);
    still.addEventListener("change", take);
    take();
  }

  // --- the frame -------------------------------------------------------------------------

  /** @param {number} now */
  #frame(now) {
    const dt = Math.min((now - this.#frameAt) / 1000, FRAME_S_MAX);
    this.#frameAt = now;
    if (this.link.state === "live") {
      const push = this.input.push();
      if (push.east || push.south) this.#stand();
      this.own.step(Math.max(dt, 0), push, this.scene);
    }
    this.view.advance(this.clock.now(performance.now()));
    this.map.follow(this.own.shown, dt);
    this.map.draw(this.#gather(), now);
    requestAnimationFrame((next) => this.#frame(next));
  }

  /** Everybody to draw, the own avatar first and the others by distance. */
  #gather() {
    /** @type {Person[]} */
    const people = [];
    for (const [index, entry] of this.view.entries) {
      if (entry.entity_id === this.entityId) continue;
      const person = this.#person(index, entry.entity_id, entry.kind, entry.name);
      if (!this.view.sample(index, person.figure)) continue;
      Object.assign(person, this.map.project(person.figure.pose[0], person.figure.pose[2]));
      people.push(person);
    }
    const { x, z } = this.own.shown;
    const here = this.map.project(x, z);
    people.sort((a, b) => Math.hypot(a.x - here.x, a.y - here.y)
      - Math.hypot(b.x - here.x, b.y - here.y));
    if (this.link.state !== "ended" && this.entityId) people.unshift(this.#self(here));
    return people;
  }

  /** @param {{x: number, y: number}} here */
  #self(here) {
    const person = this.#person(-1, this.entityId, EntityKind.AVATAR, this.name);
    person.own = true;
    this.own.updateRow();
    this.own.writeFigure(person.figure);
    if (this.link.state !== "live") person.figure.flags |= Flags.LINK_LOST;
    return Object.assign(person, here);
  }

  /**
   * The record of an index, made once for each entity and reused in every frame.
   * @param {number} index
   * @param {number} id
   * @param {number} kind
   * @param {string} name
   */
  #person(index, id, kind, name) {
    const held = this.#people.get(index);
    if (held?.id === id && held.name === name) return held;
    const person = { id, kind, name, own: false, x: 0, y: 0, figure: new Figure() };
    this.#people.set(index, person);
    return person;
  }

  #showFigures() {
    const now = performance.now();
    const seconds = (now - this.#counted.at) / 1000;
    if (seconds >= 1) {
      const { bytesIn, bytesOut } = this.link;
      this.ui.figures({
        rttMs: this.clock.rttMs, tick: this.tick, inView: this.view.entries.size,
        inKb: (bytesIn - this.#counted.in) / seconds / 1000,
        outKb: (bytesOut - this.#counted.out) / seconds / 1000,
      });
      this.#counted = { at: now, in: bytesIn, out: bytesOut };
    }
    this.#showPeople();
  }

  #showPeople() {
    const theme = themeOf(this.#dark.matches);
    const rows = this.#gather().filter(({ kind }) => kind !== EntityKind.PROP).map((person) => {
      const { pose, flags } = person.figure;
      return {
        id: person.id, name: person.name, own: person.own,
        colour: person.own ? theme.own : colourOf(person.id, theme),
        place: person.own ? "" : this.#bearing(pose[0], pose[2]),
        away: (flags & Flags.LINK_LOST) !== 0,
      };
    });
    this.ui.people(rows);
    if (!this.entityId) return;
    const canvas = element("map", HTMLCanvasElement);
    canvas.dataset.x = this.own.x.toFixed(2);
    canvas.dataset.z = this.own.z.toFixed(2);
  }

  /** Where somebody is, in words. @param {number} x @param {number} z */
  #bearing(x, z) {
    const [dx, dz] = [x - this.own.x, z - this.own.z];
    const eighth = Math.round((Math.atan2(dx, -dz) / (2 * Math.PI)) * 8);
    return `${Math.hypot(dx, dz).toFixed(0)} m ${COMPASS[(eighth + 8) % 8]}`;
  }
}

/** @param {number} metres */
function clampTo(metres) {
  return Math.min(Math.max(metres, -Limits.WORLD_EXTENT_M_MAX), Limits.WORLD_EXTENT_M_MAX);
}

new Page().start();
