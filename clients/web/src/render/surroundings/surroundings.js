/**
 * The surroundings of people in a world: ground, solids, plants, water, sky and light.
 *
 * Theory of operation: the pure modules beside this one turn a scene into plain arrays (`plan`
 * decides what is where, `masonry`, `pavilions`, `plants`, `horizon` and `floor` write meshes,
 * `mask` bakes light and edges into a map of the floor). This class hands them to three.js as
 * about ten draw calls, and keeps what changes later in a few uniforms. The same scene always
 * makes the same picture.
 *
 * Designed for `ACESFilmicToneMapping` at an exposure of 1. `scene.environment` is left empty on
 * purpose: with one set, three.js looks up a reflection for every Lambert surface as well, which
 * the light of the sky gives for nothing.
 */

import * as THREE from "../../../vendor/three.js";
import { emptyScene } from "../../core/scene.js";
import { buildFloor } from "./floor.js";
import { makeGlow } from "./glow.js";
import { buildHorizon } from "./horizon.js";
import { Light } from "./light.js";
import { bakeLamps, bakeMask, bakeShade } from "./mask.js";
import { buildMasonry } from "./masonry.js";
import * as materials from "./materials.js";
import { Mesh } from "./mesh.js";
import { lightAt, moodAt } from "./palette.js";
import { planOf } from "./plan.js";
import { CROWN_FORMS, crownsOf, growAll, growCrown } from "./plants.js";
import { makeSky } from "./sky.js";
import { paintStones } from "./stones.js";
import { makeWater } from "./water.js";

/** @typedef {import("../../core/scene.js").Scene} Scene */
/** @typedef {"low"|"medium"|"high"} Quality */
/** @typedef {{quality: Quality, reducedMotion: boolean}} Options */
/** @typedef {{stones: number, mask: number, leaves: number, lushness: number, clouds: 0|1|2,
 *   coarse: boolean, anisotropy: number, shadows: boolean}} Budget */

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
  #plan = planOf(this.#place);
  #crowns = crownsOf(this.#place);
  #fog = new THREE.Fog(0xffffff, FOG_FROM_M, FOG_TO_M);
  #background = new THREE.Color();
  #uniforms;
  #daylight = { value: 1 };
  #ground = {
    uMap: { value: /** @type {THREE.Texture} */ (new THREE.DataTexture()) },
    uMapArea: { value: new THREE.Vector4(0, 0, 1, 1) },
    uPlace: { value: new THREE.Vector4() },
    uHeart: { value: new THREE.Vector4() },
    uByLamps: { value: 0 },
  };
  /** @type {import("./mask.js").Mask | null} */
  #mask = null;
  /** @type {THREE.Mesh | null} */
  #glow = null;
  #light;
  /** Sky and horizon. @type {THREE.Object3D[]} */
  #far = [];
  #isPassthrough = false;
  /** What `dispose` frees. @type {Set<{dispose(): void}>} */
  #owned = new Set();

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.group.name = "surroundings";
    this.#uniforms = { ...materials.makeUniforms(new THREE.DataTexture()),
      uDaylight: this.#daylight };
    this.#light = new Light(this.#uniforms.uShadowMiddle.value);
    this.group.add(this.#light.sun, this.#light.sun.target, this.#light.sky);
  }

  /** Sets background and fog of the scene, which stay this object's to change.
   *  @param {THREE.Scene} scene */
  attach(scene) {
    this.#scene = scene;
    scene.background = this.#background;
    scene.fog = this.#fog;
    scene.environment = null;
  }

  /** Builds what stands in a world, and takes away what was built before. @param {Scene} place */
  show(place) {
    const budget = BUDGETS[this.#options.quality];
    this.#clear();
    this.#place = place;
    this.#plan = planOf(place);
    this.#crowns = crownsOf(place);
    this.#uniforms.uStones.value = this.#own(stoneTexture(budget));
    this.#addGround(budget);
    this.#addSolids(budget);
    this.#addCrowns(budget);
    const near = this.group.children.length;
    this.#addHorizon(budget);
    this.#add(makeSky(this.#uniforms, budget.clouds));
    this.#far = this.group.children.slice(near);
    for (const each of this.#far) each.visible = !this.#isPassthrough;
    for (const each of makeWater(place, this.#uniforms, budget.lushness)) this.#add(each);
    this.#glow = makeGlow(this.#plan, this.#uniforms);
    if (this.#glow) this.#add(this.#glow);
    this.#light.prepare(budget.shadows, place.floor);
    this.#applyHour();
  }

  /** Whether the real room is behind the world: then there is no sky, horizon or haze.
   *  @param {boolean} isOn */
  setPassthrough(isOn) {
    this.#isPassthrough = isOn;
    for (const each of this.#far) each.visible = !isOn;
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
    if (rebuild) this.show(this.#place);
  }

  /** @param {number} hour 0..24 */
  setHour(hour) {
    this.#hour = hour;
    this.#applyHour();
  }

  dispose() {
    this.#clear();
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
    if (this.#glow) this.#glow.visible = mood.lamps > 0.05;
    if (!this.#mask) return;
    const byLamps = mood.lamps >= LAMPLIGHT_MIN;
    this.#ground.uByLamps.value = byLamps ? 1 : 0;
    if (byLamps) bakeLamps(this.#mask, this.#plan);
    else bakeShade(this.#mask, this.#place, { crowns: this.#crowns.flat(), light: direction });
    this.#ground.uMap.value.needsUpdate = true;
  }

  /** @param {Budget} budget */
  #addGround({ mask }) {
    const place = this.#place;
    const baked = bakeMask(place, this.#plan, { size: mask, crowns: this.#crowns.flat() });
    this.#mask = baked;
    const texture = this.#own(new THREE.DataTexture(baked.bytes, mask, mask));
    texture.magFilter = texture.minFilter = THREE.LinearFilter;
    this.#ground.uMap.value = texture;
    this.#ground.uMapArea.value.set(baked.minX, baked.minZ, baked.wide, baked.deep);
    this.#ground.uPlace.value.set((place.minX + place.maxX) / 2, (place.minZ + place.maxZ) / 2,
      (place.maxX - place.minX) / 2, (place.maxZ - place.minZ) / 2);
    const heart = this.#plan.heart ?? { x: 0, z: 0, radius: -1, basin: 0 };
    this.#ground.uHeart.value.set(heart.x, heart.z, heart.radius, heart.basin);
    const floor = new Mesh(place.floor);
    buildFloor(floor, place, this.#plan);
    const ground = this.#mesh("ground", floor,
      materials.makeGroundMaterial(this.#uniforms, this.#ground));
    ground.receiveShadow = true;
    // After the solids, which hide much of it.
    ground.renderOrder = 5;
  }

  /** @param {Budget} budget */
  #addSolids({ lushness, coarse, shadows }) {
    const solid = new Mesh(this.#place.floor, coarse);
    const cloth = new Mesh(this.#place.floor, coarse);
    buildMasonry({ solid, cloth }, this.#place);
    growAll(cloth, this.#place, this.#plan, lushness);
    const built = [this.#mesh("solids", solid, materials.makeSolidMaterial(this.#uniforms)),
      this.#mesh("leaves", cloth, materials.makeLeafMaterial(this.#uniforms))];
    for (const each of built) each.receiveShadow = shadows;
    built[0].castShadow = shadows;
  }

  /** @param {Budget} budget */
  #addCrowns({ leaves, coarse, shadows }) {
    const material = this.#own(materials.makeLeafMaterial(this.#uniforms));
    const depth = this.#own(materials.makeLeafDepthMaterial(this.#uniforms));
    const [matrix, turn, tint] = [new THREE.Matrix4(), new THREE.Quaternion(), new THREE.Color()];
    const [spot, size, up] = [new THREE.Vector3(), new THREE.Vector3(),
      new THREE.Vector3(0, 1, 0)];
    for (let form = 0; form < CROWN_FORMS; form++) {
      const crowns = this.#crowns[form];
      if (!crowns.length) continue;
      const mesh = new Mesh(0, coarse);
      growCrown(mesh, form, leaves);
      const trees = new THREE.InstancedMesh(geometryOf(mesh), material, crowns.length);
      crowns.forEach((each, at) => {
        turn.setFromAxisAngle(up, each.yaw);
        matrix.compose(spot.set(each.x, each.y, each.z), turn,
          size.set(each.wide, each.high, each.wide));
        trees.setMatrixAt(at, matrix);
        trees.setColorAt(at, tint.setRGB(...each.tint));
      });
      trees.name = `crowns-${form}`;
      trees.customDepthMaterial = depth;
      trees.castShadow = trees.receiveShadow = shadows;
      this.#owned.add(trees);
      this.#add(trees);
    }
  }

  /** @param {Budget} budget */
  #addHorizon({ lushness, coarse }) {
    const mesh = new Mesh(this.#place.floor, coarse);
    buildHorizon(mesh, this.#place, lushness);
    const horizon = this.#mesh("horizon", mesh, materials.makeHorizonMaterial(this.#uniforms));
    horizon.renderOrder = 6;
    horizon.frustumCulled = false;
  }

  /** @param {string} name @param {Mesh} mesh @param {THREE.Material} material */
  #mesh(name, mesh, material) {
    const made = new THREE.Mesh(geometryOf(mesh), material);
    made.name = name;
    made.matrixAutoUpdate = false;
    this.#add(made);
    return made;
  }

  /** @param {THREE.Mesh} mesh */
  #add(mesh) {
    this.#own(mesh.geometry);
    this.#own(/** @type {THREE.Material} */ (mesh.material));
    this.group.add(mesh);
  }

  /** @template {{dispose(): void}} T @param {T} it @returns {T} */
  #own(it) {
    this.#owned.add(it);
    return it;
  }

  #clear() {
    for (const each of this.#owned) each.dispose();
    this.#owned.clear();
    for (const child of [...this.group.children]) {
      if (child instanceof THREE.Mesh) this.group.remove(child);
    }
    this.#mask = null;
    this.#glow = null;
  }
}

/** @param {Mesh} mesh */
function geometryOf(mesh) {
  const made = new THREE.BufferGeometry();
  made.setAttribute("position", new THREE.Float32BufferAttribute(mesh.positions, 3));
  made.setAttribute("normal", new THREE.Float32BufferAttribute(mesh.normals, 3));
  made.setAttribute("color", new THREE.Float32BufferAttribute(mesh.colours, 3));
  made.setAttribute("extra", new THREE.Float32BufferAttribute(mesh.extras, 3));
  made.setAttribute("uv", new THREE.Float32BufferAttribute(mesh.uvs, 2));
  made.setIndex(mesh.indices);
  made.computeBoundingSphere();
  return made;
}

/** @param {Budget} budget */
function stoneTexture({ stones, anisotropy }) {
  const texture = new THREE.DataTexture(paintStones(stones), stones, stones);
  texture.wrapS = texture.wrapT = THREE.RepeatWrapping;
  texture.magFilter = THREE.LinearFilter;
  texture.minFilter = THREE.LinearMipmapLinearFilter;
  texture.generateMipmaps = true;
  texture.anisotropy = anisotropy;
  texture.needsUpdate = true;
  return texture;
}
