/**
 * What is drawn of one place: its ground, solids, plants, water, far hills and sky.
 *
 * A place takes a quarter of a second to build, too long for one piece beside a picture that moves.
 * So `steps` builds it bit by bit, none of them longer than a few tens of milliseconds, and whoever
 * goes through them decides when the page has its turn. Until the last step nothing is to be shown.
 */

import * as THREE from "../../../vendor/three.js";
import { buildFloor } from "./floor.js";
import { makeGlow } from "./glow.js";
import { buildHorizon } from "./horizon.js";
import { bakeLamps, bakeMask, bakeShade } from "./mask.js";
import { buildMasonry } from "./masonry.js";
import * as materials from "./materials.js";
import { Mesh } from "./mesh.js";
import { planOf } from "./plan.js";
import { CROWN_FORMS, crownsOf, growAll, growCrown } from "./plants.js";
import { makeSky } from "./sky.js";
import { makeWater } from "./water.js";

/** @typedef {import("../../core/scene.js").Scene} Scene */
/** @typedef {import("./surroundings.js").Budget} Budget */
/** @typedef {import("./surroundings.js").Shared} Shared */
/** @typedef {{byLamps: boolean, direction: number[]}} Daytime */

export class Landscape {
  group = new THREE.Group();
  /** Lit lamps, by night. @type {THREE.Mesh | null} */
  glow = null;
  /** Sky and horizon, which a real room takes the place of. */
  far = new THREE.Group();

  #place;
  #budget;
  #uniforms;
  #plan;
  #crowns;
  #ground = {
    uMap: { value: /** @type {THREE.Texture} */ (new THREE.DataTexture()) },
    uMapArea: { value: new THREE.Vector4(0, 0, 1, 1) },
    uPlace: { value: new THREE.Vector4() },
    uHeart: { value: new THREE.Vector4() },
    uByLamps: { value: 0 },
  };
  /** @type {import("./mask.js").Mask | null} */
  #mask = null;
  /** What `dispose` frees. @type {Set<{dispose(): void}>} */
  #owned = new Set();

  /** @param {Scene} place @param {Budget} budget @param {Shared} uniforms */
  constructor(place, budget, uniforms) {
    this.#place = place;
    this.#budget = budget;
    this.#uniforms = uniforms;
    this.#plan = planOf(place);
    this.#crowns = crownsOf(place);
    this.group.name = "landscape";
  }

  /** Builds all of it; the page may have a turn at each yield. @param {Daytime} daytime */
  * steps(daytime) {
    const budget = this.#budget;
    yield;
    yield* this.#addGround(budget);
    yield* this.#addSolids(budget);
    this.#addCrowns(budget);
    yield;
    this.#addHorizon(budget);
    yield;
    const sky = makeSky(this.#uniforms, budget.clouds);
    this.#add(sky);
    this.far.add(sky);
    this.group.add(this.far);
    for (const each of makeWater(this.#place, this.#uniforms, budget.lushness)) this.#add(each);
    this.glow = makeGlow(this.#plan, this.#uniforms);
    if (this.glow) this.#add(this.glow);
    yield;
    this.bake(daytime);
  }

  /** The light that lies on the ground. @param {Daytime} daytime */
  bake({ byLamps, direction }) {
    if (!this.#mask) return;
    this.#ground.uByLamps.value = byLamps ? 1 : 0;
    if (byLamps) bakeLamps(this.#mask, this.#plan);
    else bakeShade(this.#mask, this.#place, { crowns: this.#crowns.flat(), light: direction });
    this.#ground.uMap.value.needsUpdate = true;
  }

  dispose() {
    for (const each of this.#owned) each.dispose();
    this.#owned.clear();
    this.group.clear();
    this.group.removeFromParent();
  }

  /** @param {Budget} budget */
  * #addGround({ mask }) {
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
    yield;
    const floor = new Mesh(place.floor);
    buildFloor(floor, place, this.#plan);
    const ground = this.#mesh("ground", floor,
      materials.makeGroundMaterial(this.#uniforms, this.#ground));
    ground.receiveShadow = true;
    // After the solids, which hide much of it.
    ground.renderOrder = 5;
    yield;
  }

  /** @param {Budget} budget */
  * #addSolids({ lushness, coarse, shadows }) {
    const solid = new Mesh(this.#place.floor, coarse);
    const cloth = new Mesh(this.#place.floor, coarse);
    yield* buildMasonry({ solid, cloth }, this.#place);
    yield* growAll(cloth, this.#place, this.#plan, lushness);
    const stones = this.#mesh("solids", solid, materials.makeSolidMaterial(this.#uniforms));
    yield;
    const leaves = this.#mesh("leaves", cloth, materials.makeLeafMaterial(this.#uniforms));
    yield;
    for (const each of [stones, leaves]) each.receiveShadow = shadows;
    stones.castShadow = shadows;
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
    this.far.add(horizon);
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
