/**
 * The way into a headset and out of it again: virtual or augmented reality over the same stage.
 *
 * One join, three ways: whoever enters stays the same person in the same world; only where the
 * picture comes from and who moves the avatar's points changes. What cannot be done ends in a
 * sentence, never in an exception. A session may end at any moment, from the headset or the page;
 * then the camera is as it was, and another one can be entered.
 */

import { Signal } from "../core/signal.js";

/** @typedef {import("../render/stage.js").Stage} Stage */
/** @typedef {import("../core/world_model.js").WorldModel} WorldModel */
/** @typedef {import("../page/settings.js").Settings} Settings */
/** @typedef {import("./panel.js").Choice} Choice */
/** @typedef {"immersive-vr" | "immersive-ar"} XrMode */
/** @typedef {{vr: boolean, ar: boolean, reason: string}} Support */
/** @typedef {(key: string, values?: Record<string, string | number>) => string} Words */
/**
 * @typedef {object} XrUi
 * @property {(sentence: string) => void} tell
 * @property {() => Choice[]} [choices] more of the wrist menu: voice and the like
 * @property {(answer: import("../core/requests.js").Answer) => string} sentenceOf
 */
/**
 * @typedef {object} XrOptions
 * @property {Stage} stage
 * @property {WorldModel} model
 * @property {Settings} settings
 * @property {() => readonly import("../page/gather.js").Person[]} people those drawn
 * @property {() => any} surroundings
 * @property {import("../render/props/prop_scene.js").PropScene} propScene
 * @property {import("../core/signal.js").Signal<string>} told each sentence for the person
 * @property {XrUi} ui
 * @property {Words} words
 * @property {boolean} [isSecure] whether browsers allow headsets here
 */

const OPTIONAL = {
  "immersive-vr": ["local-floor", "bounded-floor", "hand-tracking"],
  "immersive-ar": ["local-floor", "hand-tracking", "hit-test", "anchors", "plane-detection",
    "light-estimation"],
};

export class XrEntry {
  /** @type {Support} */
  support = { vr: false, ar: false, reason: "" };
  /** @type {Signal<"none" | "vr" | "ar">} also when `support` is known */
  changed = new Signal();
  /** @type {"none" | "vr" | "ar"} */
  mode = "none";
  /** @type {import("./visit.js").Visit | null} */
  visit = null;
  #options;
  #isEntering = false;
  #overlay = document.createElement("div");

  /** @param {XrOptions} options */
  constructor(options) {
    this.#options = options;
    this.#overlay.id = "xr-overlay";
    this.#overlay.hidden = true;
    document.body.append(this.#overlay);
    void this.findOut();
  }

  /** What this browser offers, and why not. */
  async findOut() {
    const { words, isSecure = window.isSecureContext } = this.#options;
    const { xr } = navigator;
    if (!xr || !isSecure) {
      this.support = { vr: false, ar: false, reason: words(isSecure ? "xr.none" : "xr.insecure") };
    } else {
      const modes = /** @type {XrMode[]} */ (["immersive-vr", "immersive-ar"]);
      const [vr, ar] = await Promise.all(modes.map((mode) => (
        xr.isSessionSupported(mode).catch(() => false))));
      this.support = { vr, ar, reason: vr || ar ? "" : words("xr.noDevice") };
      if (vr || ar) void import("./visit.js").catch(() => {});
    }
    this.changed.fire(this.mode);
    return this.support;
  }

  /**
   * Must be called while a press is handled. Resolves to why not, or to nothing.
   * @param {XrMode} mode
   * @returns {Promise<string>}
   */
  async enter(mode) {
    const { words, isSecure = window.isSecureContext } = this.#options;
    const { xr } = navigator;
    if (!isSecure) return words("xr.insecure");
    if (!xr) return words("xr.none");
    if (this.visit || this.#isEntering) return words("xr.already");
    this.#isEntering = true;
    try {
      // Fetched when a headset was found; here it is there, or nobody would wait long for it.
      const { Visit } = await import("./visit.js");
      const session = await xr.requestSession(mode, this.#wishes(mode));
      await this.#begin(Visit, mode, session);
      return "";
    } catch (error) {
      return this.#refusal(error);
    } finally {
      this.#isEntering = false;
    }
  }

  /** @param {XrMode} mode @returns {XRSessionInit} */
  #wishes(mode) {
    const optionalFeatures = [...OPTIONAL[mode]];
    if (mode === "immersive-vr") return { optionalFeatures };
    optionalFeatures.push("dom-overlay");
    return { optionalFeatures, domOverlay: { root: this.#overlay } };
  }

  /** @param {unknown} error */
  #refusal(error) {
    const { words } = this.#options;
    const name = error instanceof DOMException ? error.name : "";
    if (name === "SecurityError") return words("xr.policy");
    if (name === "NotSupportedError") return words("xr.noDevice");
    if (name === "InvalidStateError") return words("xr.already");
    return words("xr.refused");
  }

  /**
   * @param {typeof import("./visit.js").Visit} Visit
   * @param {XrMode} mode
   * @param {XRSession} session
   */
  async #begin(Visit, mode, session) {
    const { renderer } = this.#options.stage;
    const isFloorKnown = await session.requestReferenceSpace("local-floor")
      .then(() => true, () => false);
    renderer.xr.setReferenceSpaceType(isFloorKnown ? "local-floor" : "local");
    const before = this.#remember();
    const visit = new Visit(this.#options, { session, mode, isFloorKnown,
      overlay: this.#overlay, leave: () => this.leave() });
    session.addEventListener("end", () => {
      if (this.visit === visit) this.#end(visit, before);
    });
    try {
      this.visit = visit;
      await renderer.xr.setSession(session);
    } catch (error) {
      this.#end(visit, before);
      await session.end().catch(() => {});
      throw error;
    }
    if (this.visit !== visit) return;
    this.mode = mode === "immersive-vr" ? "vr" : "ar";
    this.changed.fire(this.mode);
  }

  /** How the desktop's camera was: three changes it in a headset. */
  #remember() {
    const { camera, rig } = this.#options.stage;
    const { fov, aspect, near, far, zoom } = camera;
    const [position, rotation] = [camera.position.clone(), camera.rotation.clone()];
    return () => {
      Object.assign(camera, { fov, aspect, near, far, zoom });
      camera.position.copy(position);
      camera.rotation.copy(rotation);
      camera.scale.setScalar(1);
      camera.updateProjectionMatrix();
      rig.position.setScalar(0);
      rig.rotation.set(0, 0, 0);
      rig.scale.setScalar(1);
    };
  }

  /** @param {import("./visit.js").Visit} visit @param {() => void} restore */
  #end(visit, restore) {
    this.visit = null;
    visit.dispose();
    restore();
    this.mode = "none";
    this.changed.fire("none");
  }

  leave() {
    const { renderer } = this.#options.stage;
    void renderer.xr.getSession()?.end().catch(() => {});
  }

  /**
   * Each frame.
   * @param {number} seconds
   * @param {number} dt
   * @param {XRFrame | null} frame
   */
  update(seconds, dt, frame) {
    if (this.visit && frame) this.visit.update(seconds, dt, frame);
  }

  /**
   * Where an own hand is, exactly, while a headset tracks it.
   * @param {number} id
   * @param {number} hand
   * @param {import("../../vendor/three.js").Vector3} at
   * @param {import("../../vendor/three.js").Quaternion} turn
   */
  handOf(id, hand, at, turn) {
    if (!this.visit?.isOnFoot || id !== this.#options.model.entityId) return false;
    const pose = this.visit.grabbing.hands[hand];
    at.set(pose[0], pose[1], pose[2]);
    turn.set(pose[3], pose[4], pose[5], pose[6]);
    return true;
  }
}
