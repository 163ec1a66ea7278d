/**
 * The world in one's own room: put down, scaled, turned, kept there, and shared by a marker.
 *
 * The reticle shows where what is looked at meets the real floor or a table; a press puts the world
 * there, at the place where the avatar stands. At 1:1 one is in it and walks it; smaller, one looks
 * on, and the avatar stays where it was. Two hands (or fingers) that hold the world turn and scale
 * it. Where the device keeps anchors, the place follows what the device learns of the room.
 *
 * Two people in one room: one presses on a point of the floor and shows it to the others as a place
 * of the world; another presses on the same point, facing the same way. Then both see the world at
 * the same place of their room.
 */

import { ConeGeometry, Group, Mesh, MeshBasicMaterial, RingGeometry } from "../../vendor/three.js";
import { arrange, pinched, toRoom, toWorld } from "../core/arrange.js";
import { rotate, yawOfRotation } from "../core/quaternion.js";
import { PlacementBar, SCALES } from "./placement_bar.js";
import { readPose } from "./senses.js";

/** @typedef {import("./senses.js").Senses} Senses */
/** @typedef {import("./anchor.js").RoomAnchor} RoomAnchor */
/** @typedef {import("./entry.js").XrOptions} XrOptions */
/** @typedef {import("../core/arrange.js").Spot} Spot */
/** @typedef {import("../core/arrange.js").Arrangement} Arrangement */
/** @typedef {{dt: number, frame: XRFrame, space: XRReferenceSpace}} Now */
/** @typedef {"place" | "show" | "align" | "keep"} Doing */

const FAR_M = 6;
const SMALL = 10;
const JUMP_M = 1.5;
const JUMP_S = 2;
const NOWHERE = { east: 0, south: 0, run: false, facing: /** @type {number | null} */ (null) };

export class Placement {
  group = new Group();
  /** @type {Arrangement} */
  arrangement = { x: 0, y: 0, z: 0, yaw: 0, scale: SMALL };
  isPlaced = false;
  /** What a press does now. @type {Doing} */
  doing = "place";
  /** The point under the reticle, in the room. @type {Spot} */
  reticle = { x: 0, y: 0, z: 0, yaw: 0 };
  hasReticle = false;
  /** Where it was put down, in the room and in the world. @type {Spot} */
  spot = { x: 0, y: 0, z: 0, yaw: 0 };
  /** @type {Spot | null} what another person shows */
  marker = null;
  scale = SMALL;
  #options;
  #bar;
  /** @type {XRHitTestSource | null} */
  #hits = null;
  /** @type {XRAnchor | null} */
  #anchor = null;
  #wantsAnchor = false;
  #pose = new Float64Array(7);
  #ahead = new Float64Array(3);
  /** @type {XRInputSource[]} those that hold the world */
  #holders = [];
  /** @type {[Spot, Spot]} */
  #before = [{ x: 0, y: 0, z: 0, yaw: 0 }, { x: 0, y: 0, z: 0, yaw: 0 }];
  /** @type {[Spot, Spot]} */
  #fingers = [{ x: 0, y: 0, z: 0, yaw: 0 }, { x: 0, y: 0, z: 0, yaw: 0 }];
  #isPinching = false;
  /** Whose marker can be aligned to, or nobody's. */
  #shownBy = "";
  #jumpS = 0;
  #material = new MeshBasicMaterial({ color: 0xe8a33d, transparent: true, opacity: 0.9,
    depthTest: false });
  #background;
  #unlisten;

  /** @param {XrOptions} options @param {import("./visit.js").Begun} begun */
  constructor(options, { session, overlay, leave }) {
    this.#options = options;
    this.#makeReticle();
    this.#bar = new PlacementBar(overlay, options.words, {
      scale: (scale) => this.setScale(scale), again: () => this.begin("place"),
      show: () => this.begin("show"), align: () => this.begin("align"), leave,
    });
    this.#unlisten = options.model.marked.add(({ id, position_m: [x, y, z], yaw }) => {
      if (id === options.model.entityId) return;
      this.marker = { x, y, z, yaw };
      const name = options.model.people.get(id)?.name ?? "";
      options.ui.tell(options.words("xr.marker", { name }));
      this.#bar.offer(name);
      this.#shownBy = name;
    });
    this.#background = options.stage.scene.background;
    options.stage.scene.background = null;
    options.surroundings()?.setPassthrough?.(true);
    this.begin("place");
    void this.#seekHits(session);
  }

  /** @param {XRSession} session */
  async #seekHits(session) {
    try {
      const space = await session.requestReferenceSpace("viewer");
      this.#hits = (await session.requestHitTestSource?.({ space })) ?? null;
    } catch {
      this.#hits = null; // the floor that the device knows is used instead
    }
  }

  #makeReticle() {
    const ring = new Mesh(new RingGeometry(0.07, 0.09, 36), this.#material);
    ring.rotation.x = -Math.PI / 2;
    const arrow = new Mesh(new ConeGeometry(0.03, 0.08, 3), this.#material);
    arrow.rotation.x = -Math.PI / 2;
    arrow.position.z = -0.15;
    this.group.add(ring, arrow);
    this.group.visible = false;
  }

  get isOnFoot() {
    return this.isPlaced && this.arrangement.scale === 1;
  }

  /** The same as the bar, for the menu at the wrist. @returns {import("./panel.js").Choice[]} */
  choices() {
    const { words } = this.#options;
    const align = this.marker
      ? [{ text: words("xr.align", { name: this.#shownBy }), act: () => this.begin("align") }] : [];
    return [
      ...SCALES.map((scale) => ({ text: `1:${scale}`, isOn: this.scale === scale,
        act: () => this.setScale(scale) })),
      { text: words("xr.again"), act: () => this.begin("place") },
      { text: words("xr.show"), act: () => this.begin("show") }, ...align,
    ];
  }

  /** What the next press does. @param {Doing} doing */
  begin(doing) {
    this.doing = doing;
    if (doing !== "keep") this.#bar.say(doing);
  }

  /** @param {number} scale metres of the world for each metre of the room */
  setScale(scale) {
    this.scale = scale;
    if (!this.isPlaced) return;
    this.#put(this.spot, toWorld(this.arrangement, this.spot), scale);
  }

  /** @param {Spot} room @param {Spot} world @param {number} scale */
  #put(room, world, scale) {
    this.spot = { ...room };
    this.arrangement = arrange(room, world, scale);
    this.isPlaced = true;
    this.#jumpS = 0;
  }

  /** @param {XRInputSource} source @returns {boolean} whether the press was ours */
  press(source) {
    if (!this.#holders.includes(source)) this.#holders.push(source);
    this.#isPinching = false;
    if (this.#holders.length > 1) return true;
    if (this.doing === "keep" || !this.hasReticle) return false;
    const { model } = this.#options;
    if (this.doing === "place") this.#place();
    else if (this.doing === "show") {
      const { x, y, z, yaw } = toWorld(this.arrangement, this.reticle);
      model.mark([x, y, z], yaw);
    } else if (this.marker) {
      this.#put(this.reticle, this.marker, this.isPlaced ? this.arrangement.scale : this.scale);
      this.#wantsAnchor = true;
    }
    this.#bar.say("keep");
    this.doing = "keep";
    return true;
  }

  #place() {
    const { own } = this.#options.model;
    this.#put(this.reticle, { x: own.x, y: own.y, z: own.z, yaw: own.yaw }, this.scale);
    this.#wantsAnchor = true;
  }

  /** @param {XRInputSource} source */
  release(source) {
    this.#holders = this.#holders.filter((each) => each !== source);
    this.#isPinching = false;
  }

  /** @param {Senses} senses @param {RoomAnchor} anchor @param {Now} now */
  step(senses, anchor, now) {
    this.#aim(senses, now);
    this.#keep(now);
    this.#pinch(now);
    const { own } = this.#options.model;
    if (this.isOnFoot) this.#walk(senses, now.dt);
    else own.step(now.dt, NOWHERE, this.#options.model.place);
    anchor.lay(own, this.isPlaced ? this.arrangement
      : arrange(this.hasReticle ? this.reticle : this.spot, here(own), this.scale));
  }

  /** Finds the point under the reticle. @param {Senses} senses @param {Now} now */
  #aim({ head }, { frame, space }) {
    this.hasReticle = false;
    const found = this.#hits ? frame.getHitTestResults(this.#hits) : [];
    const pose = found[0]?.getPose(space);
    rotate(this.#ahead, 0, head, 3, 0, 0, -1);
    if (pose) {
      const { x, y, z } = pose.transform.position;
      this.#setReticle(x, y, z, yawOfRotation(head, 3));
      if (this.#wantsAnchor) this.#seekAnchor(found[0]);
    } else if (this.#ahead[1] < -0.05) {
      const t = Math.min(-head[1] / this.#ahead[1], FAR_M);
      if (t > 0) {
        this.#setReticle(head[0] + this.#ahead[0] * t, 0, head[2] + this.#ahead[2] * t,
          yawOfRotation(head, 3));
      }
    }
    this.group.visible = this.hasReticle && this.doing !== "keep";
    this.group.position.set(this.reticle.x, this.reticle.y + 0.005, this.reticle.z);
    this.group.rotation.y = this.reticle.yaw;
  }

  /** @param {number} x @param {number} y @param {number} z @param {number} yaw */
  #setReticle(x, y, z, yaw) {
    this.reticle.x = x;
    this.reticle.y = y;
    this.reticle.z = z;
    this.reticle.yaw = yaw;
    this.hasReticle = true;
  }

  /** @param {XRHitTestResult} hit */
  #seekAnchor(hit) {
    this.#wantsAnchor = false;
    this.#anchor?.delete();
    this.#anchor = null;
    const spot = this.spot;
    hit.createAnchor?.()?.then((anchor) => {
      if (this.spot === spot) this.#anchor = anchor;
      else anchor.delete();
    }).catch(() => {});
  }

  /** The place follows its anchor. @param {Now} now */
  #keep({ frame, space }) {
    if (!this.#anchor || !this.isPlaced || !frame.trackedAnchors?.has(this.#anchor)) return;
    if (!readPose(frame, this.#anchor.anchorSpace, space, this.#pose)) return;
    const { spot } = this;
    const [x, y, z] = this.#pose;
    if (Math.hypot(x - spot.x, y - spot.y, z - spot.z) < 0.001) return;
    const world = toWorld(this.arrangement, spot);
    Object.assign(spot, { x, y, z });
    this.arrangement = arrange(spot, world, this.arrangement.scale);
  }

  /** Two that hold the world turn and scale it. @param {Now} now */
  #pinch({ frame, space }) {
    if (!this.isPlaced || this.#holders.length !== 2) return;
    for (let k = 0; k < 2; k++) {
      if (!this.#finger(this.#holders[k], k, frame, space)) return;
    }
    if (this.#isPinching) {
      const world = toWorld(this.arrangement, this.spot);
      this.arrangement = pinched(this.arrangement, { from: this.#before, to: this.#fingers });
      Object.assign(this.spot, toRoom(this.arrangement, world));
      this.scale = this.arrangement.scale;
      this.#anchor?.delete();
      this.#anchor = null;
    }
    this.#isPinching = true;
    for (let k = 0; k < 2; k++) Object.assign(this.#before[k], this.#fingers[k]);
  }

  /**
   * Where a hand is, or where a finger on the screen meets the height of the world.
   * @param {XRInputSource} source
   * @param {number} k
   * @param {XRFrame} frame
   * @param {XRReferenceSpace} space
   */
  #finger(source, k, frame, space) {
    const held = source.gripSpace ?? source.targetRaySpace;
    if (!readPose(frame, held, space, this.#pose)) return false;
    let [x, y, z] = this.#pose;
    if (source.targetRayMode === "screen") {
      rotate(this.#ahead, 0, this.#pose, 3, 0, 0, -1);
      const t = (this.spot.y - y) / this.#ahead[1];
      if (!(t > 0 && t < FAR_M)) return false;
      [x, y, z] = [x + this.#ahead[0] * t, this.spot.y, z + this.#ahead[2] * t];
    }
    Object.assign(this.#fingers[k], { x, y, z });
    return true;
  }

  /** The avatar goes where the person is. @param {Senses} senses @param {number} dt */
  #walk({ head }, dt) {
    const { model } = this.#options;
    const { own } = model;
    const at = toWorld(this.arrangement, { x: head[0], y: 0, z: head[2],
      yaw: yawOfRotation(head, 3) });
    const [dx, dz] = [at.x - own.x, at.z - own.z];
    const away = Math.hypot(dx, dz);
    this.#jumpS -= dt;
    if (away > JUMP_M) {
      if (this.#jumpS <= 0) void model.teleport(at.x, own.y, at.z, at.yaw);
      if (this.#jumpS <= 0) this.#jumpS = JUMP_S;
    } else if (!own.seated) own.moveBy(dx, dz, model.place);
    own.turn(at.yaw - own.yaw);
    own.step(dt, NOWHERE, model.place);
  }

  dispose() {
    const { stage, surroundings } = this.#options;
    this.#unlisten();
    this.#hits?.cancel?.();
    this.#anchor?.delete();
    this.#bar.dispose();
    stage.scene.background = this.#background;
    surroundings()?.setPassthrough?.(false);
    for (const each of this.group.children) {
      if (each instanceof Mesh) each.geometry.dispose();
    }
    this.#material.dispose();
  }
}

/** @param {{x: number, y: number, z: number, yaw: number}} own @returns {Spot} */
function here({ x, y, z, yaw }) {
  return { x, y, z, yaw };
}
