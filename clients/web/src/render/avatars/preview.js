/**
 * One look on a small canvas, turning slowly: for whoever chooses how they look.
 *
 * It has a scene, a light and a renderer of its own, and draws only while the canvas can be seen:
 * on the page, and the page in front. With reduced motion it does not turn by itself.
 */

import {
  Color, DirectionalLight, HemisphereLight, Mesh, MeshLambertMaterial, CylinderGeometry,
  PerspectiveCamera, Scene, WebGLRenderer,
} from "../../../vendor/three.js";
import { formatLook } from "../../core/look.js";
import { EntityKind } from "../../core/protocol.generated.js";
import { Crowd } from "./crowd.js";

/** @typedef {import("../../core/look.js").Look} Look */
/** @typedef {import("./crowd.js").Person} Person */

const TURN_RAD_PER_S = 0.5;
const FACING = Math.PI;
const PIXEL_RATIO_MAX = 2;
const DT_S_MAX = 0.1;

export class AvatarPreview {
  #canvas;
  #renderer;
  #scene = new Scene();
  #camera = new PerspectiveCamera(26, 1, 0.1, 20);
  #crowd;
  #stand = new Mesh(new CylinderGeometry(0.55, 0.6, 0.05, 40), new MeshLambertMaterial());
  #observer;
  #isOnScreen = false;
  #isCalm;
  #frame = 0;
  #lastMs = 0;
  #seconds = 0;
  /** @type {Person} */
  #person = {
    id: 1, kind: EntityKind.AVATAR, name: "", avatar: "", isOwn: false, isHidden: false,
    isFirstPerson: false, figure: { pose: new Float64Array(46), flags: 0, parts: 0 }, speaking: 0,
    subtitle: "",
  };
  #people = [this.#person];

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{assetUrl?: (hash: string) => string, reducedMotion?: boolean}} [options]
   */
  constructor(canvas, { assetUrl = (hash) => `/api/assets/${hash}`, reducedMotion = false } = {}) {
    this.#canvas = canvas;
    this.#isCalm = reducedMotion;
    this.#renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.#crowd = new Crowd({ quality: "high", assetUrl, reducedMotion, tags: "none" });
    const sky = new HemisphereLight(new Color(0xeaf3ff), new Color(0x9a8f84), 2);
    const sun = new DirectionalLight(0xfff3e0, 2.4);
    sun.position.set(-2, 3, 4);
    this.#stand.position.y = -0.026;
    this.#scene.add(sky, sun, this.#stand, this.#crowd.group);
    this.#camera.position.set(0, 1.15, 4.6);
    this.#camera.lookAt(0, 0.9, 0);
    this.#person.figure.pose[3] = FACING;
    this.#observer = new IntersectionObserver(([entry]) => {
      this.#isOnScreen = entry.isIntersecting;
      this.#wake();
    });
    this.#observer.observe(canvas);
    document.addEventListener("visibilitychange", this.#wake);
  }

  /** Whether frames are being drawn. */
  get isRunning() {
    return this.#frame !== 0;
  }

  /**
   * Shows a look, and another one as soon as it is asked.
   * @param {Look} look
   */
  show(look) {
    this.#person.avatar = formatLook(look);
    this.#wake();
  }

  /**
   * Lets the figure act an emote.
   * @param {number} emote
   */
  emote(emote) {
    this.#crowd.emote(this.#person.id, emote, this.#seconds);
  }

  dispose() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#isOnScreen = false;
    this.#observer.disconnect();
    document.removeEventListener("visibilitychange", this.#wake);
    this.#crowd.dispose();
    this.#stand.geometry.dispose();
    this.#stand.material.dispose();
    this.#renderer.dispose();
  }

  #wake = () => {
    const shall = this.#isOnScreen && !document.hidden && this.#person.avatar !== "";
    if (shall && !this.#frame) {
      this.#lastMs = 0;
      this.#frame = requestAnimationFrame(this.#draw);
    } else if (!shall && this.#frame) {
      cancelAnimationFrame(this.#frame);
      this.#frame = 0;
    }
  };

  /** @param {number} nowMs */
  #draw = (nowMs) => {
    this.#frame = requestAnimationFrame(this.#draw);
    const dt = this.#lastMs ? Math.min((nowMs - this.#lastMs) / 1000, DT_S_MAX) : 1 / 60;
    this.#lastMs = nowMs;
    this.#seconds += dt;
    this.#fit();
    // The stage turns, not the person: feet stay where they are.
    if (!this.#isCalm) this.#crowd.group.rotation.y = this.#seconds * TURN_RAD_PER_S;
    this.#crowd.update(this.#people, this.#camera, this.#seconds, dt);
    this.#renderer.render(this.#scene, this.#camera);
  };

  /** Keeps the picture as large as the canvas is laid out. */
  #fit() {
    const { clientWidth, clientHeight } = this.#canvas;
    const ratio = Math.min(devicePixelRatio, PIXEL_RATIO_MAX);
    const width = Math.max(1, Math.round(clientWidth * ratio));
    const height = Math.max(1, Math.round(clientHeight * ratio));
    if (this.#canvas.width === width && this.#canvas.height === height) return;
    this.#renderer.setSize(width, height, false);
    this.#camera.aspect = width / height;
    this.#camera.updateProjectionMatrix();
  }
}
