/**
 * The surroundings of people in a world: ground, solids, plants, water, sky and light.
 *
 * Theory of operation: the pure modules beside this one turn a scene into plain arrays (`plan`
 * decides what is where, `masonry`, `pavilions`, `plants`, `horizon` and `floor` write meshes,
 * `mask` bakes light and edges into a map of the floor). A `Landscape` hands them to three.js as
 * about ten draw calls; this class decides which landscape is shown, and keeps what all of them
 * share: the light, the hour, the pattern of stone. The same scene always makes the same picture.
 *
 * A landscape is built beside the picture: in slices of SLICE_MS, and its shaders are made ready
 * before it is put into the place of the one before, so the page never stands still for it.
 *
 * Designed for `ACESFilmicToneMapping` at an exposure of 1. `scene.environment` is left empty on
 * purpose: with one set, three.js looks up a reflection for every Lambert surface as well, which
 * the light of the sky gives for nothing.
 */

import * as THREE from "../../../vendor/three.js";
import { emptyScene } from "../../core/scene.js";
import { Landscape } from "./landscape.js";
import { Light } from "./light.js";
import * as materials from "./materials.js";
import { lightAt, moodAt } from "./palette.js";
import { paintStones } from "./stones.js";

/** @typedef {import("../../core/scene.js").Scene} Scene */
/** @typedef {"low"|"medium"|"high"} Quality */
/** @typedef {{quality: Quality, reducedMotion: boolean}} Options */
/** @typedef {{stones: number, mask: number, leaves: number, lushness: number, clouds: 0|1|2,
 *   coarse: boolean, anisotropy: number, shadows: boolean}} Budget */

/** @typedef {import("./materials.js").Uniforms & {uDaylight: {value: number}}} Shared */

/** @type {Record<Quality, Budget>} */
const BUDGETS = {
  low: { stones: 256, mask: 256, leaves: 110, lushness: 0.25, clouds: 1, coarse: true,
    anisotropy: 2, shadows: false },
  medium: { stones: 512, mask: 512, leaves: 300, lushness: 0.6, clouds: 2, coarse: false,
    anisotropy: 4, shadows: false },
  high: { stones: 512, mask: 512, leaves: 370, lushness: 0.75, clouds: 2, coarse: false,
    anisotropy: 8, shadows: true },
};

const HOUR_DEFAULT = 16.5;
/** Lamps are baked into the floor from this much darkness on. */
const LAMPLIGHT_MIN = 0.7;
/** How long building may keep the page from its turn, unless one step takes longer. */
const SLICE_MS = 12;
const FOG_FROM_M = 60;
const FOG_TO_M = 1050;

export class Surroundings {
  group = new THREE.Group();

  /** @type {Options} */
  #options;
  #hour = HOUR_DEFAULT;
  /** @type {THREE.Scene | null} */
  #scene = null;
  #place = emptyScene();
  #fog = new THREE.Fog(0xffffff, FOG_FROM_M, FOG_TO_M);
  #background = new THREE.Color();
  /** @type {Shared} */
  #uniforms;
  #daylight = { value: 1 };
  /** What is shown. @type {Landscape | null} */
  #landscape = null;
  /** Which `show` is the newest, and its promise. */
  #turn = 0;
  #newest = Promise.resolve();
  /** Pixels on a side of the stones that are painted. */
  #painted = 0;
  #light;
  #isPassthrough = false;
  /** @type {(object: THREE.Object3D) => Promise<unknown>} */
  #compile = () => Promise.resolve();

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.group.name = "surroundings";
    this.#uniforms = { ...materials.makeUniforms(new THREE.DataTexture()),
      uDaylight: this.#daylight };
    this.#light = new Light(this.#uniforms.uShadowMiddle.value);
    this.group.add(this.#light.sun, this.#light.sun.target, this.#light.sky);
  }

  /**
   * Sets background and fog of the scene, which stay this object's to change.
   * @param {THREE.Scene} scene
   * @param {(object: THREE.Object3D) => Promise<unknown>} [compile] makes the shaders of what will
   *   be shown ready beside the page
   */
  attach(scene, compile = this.#compile) {
    this.#scene = scene;
    this.#compile = compile;
    scene.background = this.#background;
    scene.fog = this.#fog;
    scene.environment = null;
  }

  /**
   * Builds what stands in a world, with turns of the page between, and puts it into the place of
   * what was there before. Asked again meanwhile, it builds the newer place alone.
   * @param {Scene} place
   * @returns {Promise<void>} until the newest place is shown
   */
  show(place) {
    this.#place = place;
    this.#newest = this.#build(place, ++this.#turn);
    return this.#newest;
  }

  /** Until what was asked for last is shown. */
  get built() {
    return this.#newest;
  }

  /** @param {Scene} place @param {number} turn @returns {Promise<void>} */
  async #build(place, turn) {
    const budget = BUDGETS[this.#options.quality];
    const hour = this.#hour;
    await this.#paintStones(budget);
    if (turn !== this.#turn) return this.#newest;
    let until = performance.now() + SLICE_MS;
    const landscape = new Landscape(place, budget, this.#uniforms);
    for (const _ of landscape.steps(this.#daytime())) {
      if (performance.now() < until) continue;
      await anotherTurn();
      if (turn !== this.#turn) break;
      until = performance.now() + SLICE_MS;
    }
    if (turn === this.#turn) {
      this.#light.prepare(budget.shadows, place.floor);
      await this.#compile(landscape.group);
    }
    if (turn !== this.#turn) {
      landscape.dispose();
      return this.#newest;
    }
    if (hour !== this.#hour) landscape.bake(this.#daytime());
    this.#landscape?.dispose();
    this.#landscape = landscape;
    this.group.add(landscape.group);
    this.#applyHour();
    this.#showFar();
  }

  /** Whether the real room is behind the world: then there is no sky, horizon or haze.
   *  @param {boolean} isOn */
  setPassthrough(isOn) {
    this.#isPassthrough = isOn;
    this.#showFar();
    if (this.#scene) this.#scene.fog = isOn ? null : this.#fog;
  }

  /**
   * Once a frame.
   * @param {number} seconds page time
   * @param {THREE.Camera} camera
   */
  update(seconds, camera) {
    // Numbers in a shader are exact for an hour; then everything begins again.
    if (!this.#options.reducedMotion) this.#uniforms.uTime.value = seconds % 3600;
    this.#light.follow(camera);
  }

  /** @param {Options} options */
  setOptions(options) {
    const rebuild = options.quality !== this.#options.quality;
    this.#options = options;
    if (rebuild) void this.show(this.#place);
  }

  /** @param {number} hour 0..24 */
  setHour(hour) {
    this.#hour = hour;
    this.#applyHour();
    this.#landscape?.bake(this.#daytime());
  }

  dispose() {
    this.#turn += 1;
    this.#landscape?.dispose();
    this.#uniforms.uStones.value.dispose();
    this.#light.dispose();
    this.group.clear();
    this.group.removeFromParent();
    if (!this.#scene) return;
    if (this.#scene.background === this.#background) this.#scene.background = null;
    if (this.#scene.fog === this.#fog) this.#scene.fog = null;
  }

  #applyHour() {
    const mood = moodAt(this.#hour);
    const direction = lightAt(this.#hour);
    const shared = this.#uniforms;
    shared.uSunward.value.set(...direction);
    shared.uSun.value.setRGB(...mood.sun).multiplyScalar(Math.min(mood.strength / 3, 1));
    shared.uZenith.value.setRGB(...mood.zenith);
    shared.uHorizon.value.setRGB(...mood.horizon);
    shared.uHaze.value.setRGB(...mood.haze);
    shared.uCloud.value.setRGB(...mood.cloud);
    shared.uShade.value.setRGB(...mood.shade);
    shared.uLamps.value = mood.lamps;
    this.#daylight.value = Math.min(0.18 + mood.strength / 3.6, 1);
    this.#fog.color.setRGB(...mood.haze);
    this.#background.setRGB(...mood.haze);
    this.#light.set(mood, direction);
    if (this.#landscape?.glow) this.#landscape.glow.visible = mood.lamps > 0.05;
  }

  /** @returns {import("./landscape.js").Daytime} */
  #daytime() {
    const byLamps = moodAt(this.#hour).lamps >= LAMPLIGHT_MIN;
    return { byLamps, direction: lightAt(this.#hour) };
  }

  #showFar() {
    if (this.#landscape) this.#landscape.far.visible = !this.#isPassthrough;
  }

  /** The pattern of all stone, which is the same in every place. @param {Budget} budget */
  async #paintStones({ stones, anisotropy }) {
    if (this.#painted === stones) return;
    const old = this.#uniforms.uStones.value;
    this.#painted = stones;
    this.#uniforms.uStones.value = stoneTexture(stones, anisotropy);
    old.dispose();
    await anotherTurn();
  }
}

/** The page may draw and answer before we go on. @returns {Promise<void>} */
function anotherTurn() {
  return new Promise((resolve) => { setTimeout(resolve); });
}

/** @param {number} stones pixels on a side @param {number} anisotropy */
function stoneTexture(stones, anisotropy) {
  const texture = new THREE.DataTexture(paintStones(stones), stones, stones);
  texture.wrapS = texture.wrapT = THREE.RepeatWrapping;
  texture.magFilter = THREE.LinearFilter;
  texture.minFilter = THREE.LinearMipmapLinearFilter;
  texture.generateMipmaps = true;
  texture.anisotropy = anisotropy;
  texture.needsUpdate = true;
  return texture;
}
