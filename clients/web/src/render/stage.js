/**
 * The stage: renderer, scene, camera and the loop that everything drawn hangs on.
 *
 * One loop for the page and for headsets: three's animation loop, which a WebXR session drives at
 * its own rate. Parts add a function that is called each frame with the page's time; the picture is
 * drawn after all of them. The camera stands in the `rig`: on a desktop the rig does not move and
 * the camera does, in a headset the rig is where one stands and the headset moves the camera in it.
 *
 * Under test the processor draws the picture, and several pages share it: there a picture is drawn
 * only so often that drawing takes a fifth of the time; all else goes on at the frames' own rate.
 *
 * Quality is a pixel ratio and what others make of its name; it falls by itself when frames take
 * too long for a while, and says so by `slowed`.
 */

import {
  ACESFilmicToneMapping, Group, PerspectiveCamera, PCFShadowMap, Scene, SRGBColorSpace,
  WebGLRenderer,
} from "../../vendor/three.js";
import { Signal } from "../core/signal.js";

/** @typedef {"low" | "medium" | "high"} Quality */
/** @typedef {(seconds: number, dt: number, xrFrame: XRFrame | null) => void} OnFrame */

/** Device pixels for each CSS pixel, at most. */
const PIXEL_RATIO_MAX = { low: 1, medium: 1.5, high: 2 };
const FRAME_S_MAX = 0.1;
const SLOW_MS = 40;
const SLOW_FRAMES = 90;
const FOV_DEG = 65;
/** The part of the time that pictures may take under test, and the least from one to the next. */
const TEST_DRAW_PART = 0.2;
const TEST_DRAW_MS = 100;

/** How often the graphics are asked whether they are ready, and after how many times no more. */
const READY_ASK_MS = 10;
const READY_TRIES_MAX = 300;

/** There is no WebGL 2 here. */
export class NoWebGl extends Error {}

export class Stage {
  scene = new Scene();
  camera = new PerspectiveCamera(FOV_DEG, 1, 0.05, 600);
  rig = new Group();
  /** @type {Signal<null>} frames have taken too long for a while */
  slowed = new Signal();
  /** @type {Signal<{lost: boolean}>} the graphics were taken away, or are back */
  contextChanged = new Signal();
  /** @type {Signal<Quality>} */
  qualityChanged = new Signal();
  /** @type {Quality} */
  quality;
  frameMs = 0;
  /** @type {OnFrame[]} */
  #frames = [];
  #canvas;
  #test;
  #lastMs = 0;
  #nextDrawMs = -Infinity;
  #slowFrames = 0;
  #pixel = new Uint8Array(4);
  /** How many wait for the graphics to have nothing to do. */
  #compiling = 0;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{quality: Quality, test?: boolean}} options
   */
  constructor(canvas, { quality, test = false }) {
    this.#canvas = canvas;
    this.#test = test;
    this.quality = quality;
    this.renderer = makeRenderer(canvas, quality, test);
    this.renderer.outputColorSpace = SRGBColorSpace;
    this.renderer.toneMapping = ACESFilmicToneMapping;
    this.renderer.shadowMap.enabled = quality === "high";
    this.renderer.shadowMap.type = PCFShadowMap;
    this.renderer.xr.enabled = true;
    this.renderer.info.autoReset = true;
    this.rig.add(this.camera);
    this.scene.add(this.rig);
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.contextChanged.fire({ lost: true });
    });
    canvas.addEventListener("webglcontextrestored",
      () => this.contextChanged.fire({ lost: false }));
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#resize();
  }

  /** @param {OnFrame} onFrame @returns {() => void} takes it away again */
  addFrame(onFrame) {
    this.#frames.push(onFrame);
    return () => {
      this.#frames = this.#frames.filter((each) => each !== onFrame);
    };
  }

  start() {
    this.renderer.setAnimationLoop((nowMs, xrFrame) => this.#frame(nowMs, xrFrame ?? null));
  }

  stop() {
    this.renderer.setAnimationLoop(null);
  }

  /** @param {Quality} quality */
  setQuality(quality) {
    this.quality = quality;
    this.renderer.shadowMap.enabled = quality === "high";
    this.#slowFrames = 0;
    this.#resize();
    this.qualityChanged.fire(quality);
  }

  /**
   * Makes the shaders of something ready that will be shown in the scene as it is lit now. The
   * browser compiles them beside the page. What three.js then asks of each is answered after all
   * that was drawn before, so it is asked when nothing waits to be drawn; else showing it would be
   * waited for, in software by half a second.
   * @param {import("../../vendor/three.js").Object3D} object with children, taken one by one
   */
  async compile(object) {
    const properties = /** @type {any} */ (this.renderer.properties);
    /** @type {Set<any>} */
    const materials = new Set();
    for (const child of object.children) {
      for (const each of this.renderer.compile(child, this.camera, this.scene)) materials.add(each);
      await pause(0);
    }
    const programs = [...materials].map((each) => properties.get(each).currentProgram);
    await this.#until(() => programs.every((each) => each?.isReady() ?? true));
    this.#compiling += 1;
    await this.#drained();
    for (const each of programs) {
      each?.getUniforms();
      each?.getAttributes();
    }
    this.#compiling -= 1;
  }

  /** Until the graphics have done all that they were told. */
  async #drained() {
    const gl = /** @type {WebGL2RenderingContext} */ (this.renderer.getContext());
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    if (!fence) return;
    await this.#until(() => gl.getSyncParameter(fence, gl.SYNC_STATUS) !== gl.UNSIGNALED);
    gl.deleteSync(fence);
  }

  /** @param {() => boolean} isReady */
  async #until(isReady) {
    for (let tries = 0; tries < READY_TRIES_MAX && !isReady(); tries++) await pause(READY_ASK_MS);
  }

  #resize() {
    if (this.renderer.xr.isPresenting) return;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width || !height) return;
    const most = this.#test ? 1 : PIXEL_RATIO_MAX[this.quality];
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, most));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
  }

  /** @param {number} nowMs @param {XRFrame | null} xrFrame */
  #frame(nowMs, xrFrame) {
    const before = performance.now();
    const dt = Math.min(Math.max(nowMs - this.#lastMs, 0) / 1000, FRAME_S_MAX);
    this.#watch(nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    for (const onFrame of this.#frames) onFrame(nowMs / 1000, dt, xrFrame);
    this.#draw(nowMs);
    this.frameMs += (performance.now() - before - this.frameMs) * 0.1;
  }

  /** @param {number} nowMs */
  #draw(nowMs) {
    if (this.#compiling && !this.renderer.xr.isPresenting) return;
    if (!this.#test) {
      this.renderer.render(this.scene, this.camera);
    } else if (nowMs >= this.#nextDrawMs) {
      this.#nextDrawMs = nowMs + Math.max(TEST_DRAW_MS, this.#timeDraw() / TEST_DRAW_PART);
    } else {
      // What is asked of the scene between pictures (rays, positions) must not be older than they.
      this.scene.updateMatrixWorld();
      if (this.renderer.xr.isPresenting) this.renderer.xr.updateCamera(this.camera);
    }
  }

  /** @returns {number} ms that the picture took until it was there */
  #timeDraw() {
    const before = performance.now();
    this.renderer.render(this.scene, this.camera);
    // Drawing goes on after the call; asking for a pixel waits for its end. A headset's picture
    // lies in a buffer that cannot be asked.
    const gl = this.renderer.getContext();
    if (this.renderer.xr.isPresenting) gl.finish();
    else gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, this.#pixel);
    return performance.now() - before;
  }

  /** @param {number} tookMs from frame to frame */
  #watch(tookMs) {
    // A hidden tab has no frames, and that is no sign of a slow machine.
    const isSlow = tookMs > SLOW_MS && tookMs < 1000;
    this.#slowFrames = isSlow ? this.#slowFrames + 1 : Math.max(0, this.#slowFrames - 2);
    if (this.#slowFrames < SLOW_FRAMES || this.#test) return;
    this.#slowFrames = 0;
    this.slowed.fire(null);
  }

  /** What was drawn in the last frame, and what is held. */
  info() {
    const { render, memory, programs } = this.renderer.info;
    return { calls: render.calls, triangles: render.triangles, geometries: memory.geometries,
      textures: memory.textures, programs: programs?.length ?? 0, frameMs: this.frameMs };
  }
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Quality} quality
 * @param {boolean} test
 */
function makeRenderer(canvas, quality, test) {
  try {
    return new WebGLRenderer({ canvas, antialias: quality !== "low" && !test,
      powerPreference: "high-performance", preserveDrawingBuffer: test });
  } catch (error) {
    throw new NoWebGl(error instanceof Error ? error.message : String(error));
  }
}

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}
