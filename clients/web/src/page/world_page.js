/**
 * The world page, wired together; it reads like the way of the data.
 *
 *     server -> Link -> WorldModel -> (signals) -> panels
 *                           |
 *     keys, sticks, headset -> own avatar -> pose -> Link -> server
 *                           |
 *     each frame: move, see (view, gather), look (camera), draw (surroundings, crowd, props)
 *
 * Nothing here knows how anything is drawn or decoded. The surroundings and the crowd are loaded
 * after the first picture; a plain one stands in until then, and stays where they cannot be loaded.
 */

import { Vector2, Vector3, Raycaster } from "../../vendor/three.js";
import { ClientKind, Parts } from "../core/protocol.generated.js";
import { colliders, portalAt, seatNear } from "../core/prop_places.js";
import { castRay } from "../core/rays.js";
import { Signal } from "../core/signal.js";
import { WorldModel } from "../core/world_model.js";
import { canResume, Link } from "../net/link.js";
import { fetchPatiently } from "../net/patience.js";
import { PlainCrowd, PlainSurroundings } from "../render/plain.js";
import { PropScene } from "../render/props/prop_scene.js";
import { CameraBoom } from "./camera.js";
import { Controls } from "./controls.js";
import { Gathering } from "./gather.js";

/** @typedef {import("../render/stage.js").Stage} Stage */
/** @typedef {import("../net/account.js").Account} Account */

const POSE_MS = 50;
const SLOW_MS = 250;
/** The longest wait before a request is made again without a word. */
const RETRY_MS_MAX = 1500;
const SEAT_M = 0.9;
const COLLIDERS_STEP_M = 2;
const FEATURES = ["avatars", "relations", "markers", "voice", "history", "drags"];
const PARTS = Parts.HEAD | Parts.HANDS | Parts.FINGERS | Parts.JOINTS;

export class WorldPage {
  /** @type {Signal<string>} a command of core/input_map that is not the world's own */
  commanded = new Signal();
  /** @type {Signal<{id: number, x: number, y: number}>} somebody was pointed at */
  personChosen = new Signal();
  /** @type {Signal<{world: string, title: string}>} one stands in a portal */
  portalEntered = new Signal();
  /** @type {Signal<{done: number, of: number, failed: string}>} loading of the scene */
  loading = new Signal();
  /** @type {(id: number) => number} */
  speakingOf = () => 0;
  /**
   * What `update(seconds, dt, xrFrame)` is called of in each frame, after moving, before drawing.
   */
  /** @type {((seconds: number, dt: number, xrFrame: XRFrame | null) => void)[]} */
  parts = [];
  /**
   * Whether a click is somebody else's, as of who builds.
   * @type {(x: number, y: number, event: PointerEvent) => boolean}
   */
  takesClick = () => false;
  /** Whether a drag is somebody else's and does not turn the view. */
  isViewHeld = false;
  /** Whether a headset moves the camera, and not the boom; it does so by `immersive`. */
  isImmersive = false;
  /** @type {(seconds: number, dt: number, xrFrame: XRFrame | null) => void} */
  immersive = () => {};
  /** Whether one sees the world from inside of the own body. */
  isInside = true;
  /** @type {(id: number, hand: number, at: Vector3, turn: any) => boolean} while it is tracked */
  ownHandOf = () => false;
  #surroundings = /** @type {any} */ (new PlainSurroundings());
  #crowd = /** @type {any} */ (new PlainCrowd());
  /** @type {import("../core/scene.js").Scene | null} */
  #ahead = null;
  /** Of which scene what is shown was made. */
  #shownUrl = "";
  /** Address of the scene that is on its way. */
  #fetching = "";
  #portal = "";
  #raycaster = new Raycaster();
  #pointer = new Vector2();
  #aim = new Vector3();
  #propsMoved = true;
  /** Where one was when it was last worked out what props one may walk into. */
  #collided = { x: 0, z: 0 };

  /**
   * @param {Stage} stage
   * @param {HTMLCanvasElement} canvas
   * @param {Account} account
   */
  constructor(stage, canvas, account) {
    this.stage = stage;
    this.canvas = canvas;
    this.account = account;
    this.link = this.#makeLink();
    this.model = new WorldModel({
      send: (message) => this.link.send(message),
      newId: () => crypto.getRandomValues(new Uint8Array(16)),
      firstRequestId: this.link.firstRequestId,
      acknowledge: (tick) => this.link.acknowledge(tick),
    });
    this.gathering = new Gathering(this.model, (id) => this.speakingOf(id));
    this.boom = new CameraBoom(stage.camera);
    this.controls = new Controls(canvas, {
      turn: (dx, dy) => { if (!this.isViewHeld) this.boom.turn(dx, dy); },
      zoom: (factor) => this.boom.zoom(factor),
      click: (x, y, event) => { if (!this.takesClick(x, y, event)) this.#click(x, y); },
      menu: (x, y) => this.#menu(x, y),
      command: (command) => this.#command(command),
    });
    this.propScene = new PropScene({
      model: this.model, quality: stage.quality,
      handOf: (id, hand, at, turn) => this.ownHandOf(id, hand, at, turn)
        || (this.#crowd.handOf?.(id, hand, at, turn) ?? false),
      assetUrl: (hash) => `/api/assets/${hash}`,
    });
    this.#listen();
    stage.scene.add(this.propScene.group, this.#surroundings.group, this.#crowd.group);
    this.#surroundings.attach(stage.scene);
    stage.addFrame((seconds, dt, xrFrame) => this.#frame(seconds, dt, xrFrame));
    // A network that is back, or somebody who looks again: now is the time to try.
    for (const sign of ["online", "focus"]) window.addEventListener(sign, () => this.link.wake());
    setInterval(() => this.#sendPose(), POSE_MS);
    setInterval(() => this.#slowly(), SLOW_MS);
  }

  #makeLink() {
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return new Link(url, {
      message: (message) => this.model.receive(message, performance.now()),
      state: (state, sentence, code) => this.model.linkChanged(state, sentence, code),
    }, { kind: ClientKind.WEB, parts: PARTS, features: FEATURES });
  }

  #listen() {
    const { model } = this;
    model.sceneWanted.add((url) => void this.#fetchScene(url));
    model.placed.add((place) => {
      this.#propsMoved = true;
      // A version of a scene never changes: what was shown while one typed one's name stays.
      if (model.sceneUrl === this.#shownUrl) return;
      this.#shownUrl = model.sceneUrl;
      void this.#surroundings.show(place);
    });
    model.props.changed.add(({ key, kind }) => {
      if (kind === "drag") return; // is where it was, for a body
      const of = model.props.props.get(key)?.properties.kind;
      if (!of || of === "shape" || of === "group") this.#propsMoved = true;
    });
    model.welcomed.add(() => {
      this.#portal = "";
      this.boom.snapBehind(model.own);
    });
    model.emoted.add(({ id, emote }) => this.#crowd.emote?.(id, emote, performance.now() / 1000));
    model.chat.changed.add((line) => {
      if (line.state !== "published") return;
      this.#crowd.say?.(line.senderId, line.text, performance.now() / 1000);
    });
  }

  // --- coming and going ----------------------------------------------------------------------

  /** Whether this tab was here before and may be given its avatar back. */
  get canResume() {
    return canResume();
  }

  /** @param {string} name @param {string} avatar */
  join(name, avatar) {
    this.model.name = name;
    this.gathering.ownAvatar = this.link.avatar = avatar;
    const world = new URLSearchParams(location.search).get("world") ?? "";
    this.link.open(name, world.slice(0, 32), this.account.token);
    this.canvas.focus({ preventScroll: true });
  }

  /** @param {string} avatar */
  async setAvatar(avatar) {
    this.gathering.ownAvatar = this.link.avatar = avatar;
    return this.model.state === "live" ? this.model.setAvatar(avatar) : null;
  }

  leave() {
    this.link.close();
  }

  /** @param {string} url */
  async #fetchScene(url) {
    if (url === this.#fetching) return;
    this.#fetching = url;
    this.loading.fire({ done: 0, of: 1, failed: "" });
    const isWanted = () => url === this.model.sceneUrl;
    const json = await fetchPatiently(new URL(url, location.href), { isWanted });
    if (this.#fetching === url) this.#fetching = "";
    if (!isWanted()) return;
    if (json) this.model.takeScene(url, json);
    this.loading.fire({ done: json ? 1 : 0, of: 1, failed: json ? "" : url });
  }

  /**
   * The surroundings that are shown from now on. What was there before stays until they are built.
   * @param {any} surroundings
   */
  async useSurroundings(surroundings) {
    const { stage } = this;
    const before = this.#surroundings;
    before.dim?.();
    this.#surroundings = surroundings;
    stage.scene.add(surroundings.group);
    surroundings.attach(stage.scene, (/** @type {any} */ object) => stage.compile(object));
    const place = this.model.sceneUrl ? this.model.place : this.#ahead;
    if (place) await surroundings.show(place);
    stage.scene.remove(before.group);
    before.dispose?.();
  }

  /**
   * A place that one is not in yet.
   * @param {import("../core/scene.js").Scene} place
   * @param {string} url where it was read from
   */
  showAhead(place, url) {
    this.#ahead = place;
    this.#shownUrl = url;
    void this.#surroundings.show(place);
  }

  get surroundings() {
    return this.#surroundings;
  }

  /** Who draws people from now on. @param {any} crowd */
  async useCrowd(crowd) {
    await this.stage.compile(crowd.group);
    this.stage.scene.remove(this.#crowd.group);
    this.#crowd.dispose?.();
    this.#crowd = crowd;
    this.stage.scene.add(crowd.group);
  }

  get crowd() {
    return this.#crowd;
  }

  // --- the frame -----------------------------------------------------------------------------

  /** @param {number} seconds @param {number} dt @param {XRFrame | null} xrFrame */
  #frame(seconds, dt, xrFrame) {
    const { model, boom, controls } = this;
    const now = performance.now();
    if (model.state === "live" && !this.isImmersive) {
      controls.step(dt);
      const push = controls.push(boom.yaw);
      if (boom.isFirstPerson) push.facing = boom.yaw;
      if (push.east || push.south || push.jump) this.stand();
      model.own.step(dt, push, model.place);
      model.own.look(boom.yaw, boom.pitch);
    }
    if (this.isImmersive) this.immersive(seconds, dt, xrFrame);
    const serverMs = model.advance(now);
    const isInside = this.isImmersive ? this.isInside : boom.isFirstPerson;
    const people = this.gathering.gather(isInside, !(this.isImmersive && this.isInside));
    if (!this.isImmersive) boom.update(model.own, model.place, dt);
    for (const part of this.parts) part(seconds, dt, xrFrame);
    this.#surroundings.update(seconds, this.stage.camera);
    this.#crowd.update(people, this.stage.camera, seconds, dt);
    this.propScene.update(seconds, serverMs, this.stage.camera);
  }

  #sendPose() {
    const { model, link } = this;
    if (model.state !== "live") return;
    const body = model.own.nextBody();
    link.sendPose(model.own.seq, body);
  }

  /** What need not be looked at in each frame. */
  #slowly() {
    const { model } = this;
    model.pump(performance.now());
    if (model.state !== "live") return;
    // Of many only the nearest count, and those change when one walks.
    const { x, z } = model.own;
    const walked = Math.hypot(x - this.#collided.x, z - this.#collided.z) > COLLIDERS_STEP_M;
    if (this.#propsMoved || (walked && model.props.props.size > 100)) {
      model.place.moreBoxes = colliders(model.props, model.own);
      this.#propsMoved = false;
      this.#collided = { x, z };
    }
    const portal = portalAt(model.props, model.own);
    if (portal && portal.key !== this.#portal) this.portalEntered.fire(portal);
    this.#portal = portal?.key ?? "";
  }

  // --- what the person does ------------------------------------------------------------------

  /** @param {string} command */
  #command(command) {
    const emote = /^emote(\d)$/.exec(command);
    if (emote) this.emote(Number(emote[1]) - 1);
    else if (command === "view") this.toggleView();
    else if (command === "stand") this.stand();
    else this.commanded.fire(command);
  }

  toggleView() {
    this.boom.isFirstPerson = !this.boom.isFirstPerson;
  }

  /** @param {number} emote */
  emote(emote) {
    if (this.model.state === "live") this.model.emote(emote);
  }

  #standing = false;

  /** Gets up from a seat, asking only once. */
  stand() {
    const { model } = this;
    if (!model.own.seated || this.#standing) return;
    this.#standing = true;
    void model.stand().then(() => { this.#standing = false; });
  }

  /** @param {number} x CSS pixels on the canvas @param {number} y */
  #aimAt(x, y) {
    const { clientWidth, clientHeight } = this.canvas;
    this.#pointer.set((x / clientWidth) * 2 - 1, 1 - (y / clientHeight) * 2);
    this.#raycaster.setFromCamera(this.#pointer, this.stage.camera);
    return this.#raycaster;
  }

  /**
   * The place in the world under a pixel; null for the sky.
   * @param {number} x
   * @param {number} y
   */
  groundAt(x, y) {
    const { ray } = this.#aimAt(x, y);
    const { distance } = castRay(this.model.place, ray.origin, ray.direction);
    if (!Number.isFinite(distance) || distance > 200) return null;
    return this.#aim.copy(ray.origin).addScaledVector(ray.direction, distance);
  }

  /** Who is under a pixel; 0 for nobody. @param {number} x @param {number} y @returns {number} */
  personAt(x, y) {
    const id = this.#crowd.pick?.(this.#aimAt(x, y)) ?? 0;
    return id === this.model.entityId ? 0 : id;
  }

  /** @param {number} x @param {number} y */
  #menu(x, y) {
    const id = this.personAt(x, y);
    if (id) this.personChosen.fire({ id, x, y });
  }

  /** @param {number} x @param {number} y */
  #click(x, y) {
    if (this.model.state !== "live") return;
    const id = this.personAt(x, y);
    if (id) return this.personChosen.fire({ id, x, y });
    const point = this.groundAt(x, y);
    if (!point) return;
    const prop = seatNear(this.model.props, point);
    if (prop) return void this.#tell(() => this.model.sitOnProp(prop.id));
    const seat = this.model.place.seats.find((each) => (
      Math.hypot(each.x - point.x, each.z - point.z) < SEAT_M
      && Math.abs(each.y - point.y) < SEAT_M));
    if (seat) return void this.#tell(() => this.model.sitOn(seat.id));
    this.goTo(point.x, point.z);
  }

  /** Walks there. @param {number} x @param {number} z */
  goTo(x, z) {
    this.stand();
    this.model.own.goal = { x, z };
  }

  /**
   * Asks, once more after the short wait that an answer may name (one has just jumped); a refusal
   * is told to the person.
   * @param {() => Promise<import("../core/requests.js").Answer>} ask
   */
  async #tell(ask) {
    let answer = await ask();
    if (answer.code && answer.retry_ms > 0 && answer.retry_ms <= RETRY_MS_MAX) {
      await new Promise((wake) => { setTimeout(wake, answer.retry_ms); });
      answer = await ask();
    }
    if (answer.code) this.model.refused.fire(answer);
  }
}

