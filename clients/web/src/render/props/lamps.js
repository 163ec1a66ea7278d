/**
 * Lamps: every light that somebody has put somewhere glows, and the nearest few really shine.
 *
 * Each real light costs every pixel of the picture, so there is a small pool of them, which goes to
 * the lamps that matter most where the camera is: by brightness and nearness. The pool has always
 * the same number of lights, since shaders are compiled anew whenever that number changes.
 */

import {
  Color, Group, Mesh, MeshBasicMaterial, PointLight, SphereGeometry, SpotLight, Vector3,
} from "../../../vendor/three.js";

/** @typedef {import("../../core/protocol.generated.js").Light} Light */
/** @typedef {import("../../../vendor/three.js").Matrix4} Matrix4 */
/** @typedef {{key: string, light: Light, at: Vector3, direction: Vector3, bulb: Mesh,
 *   weight: number}} Lamp */

const POINTS = { low: 0, medium: 2, high: 4 };
const SPOTS = { low: 0, medium: 1, high: 2 };
const BULB_M = 0.08;
const bulbGeometry = new SphereGeometry(BULB_M, 12, 8);
const down = new Vector3(0, 0, -1);

export class Lamps {
  group = new Group();
  /** @type {Map<string, Lamp>} */
  #lamps = new Map();
  /** @type {PointLight[]} */
  #points = [];
  /** @type {SpotLight[]} */
  #spots = [];
  /** @type {Lamp[]} */
  #sorted = [];
  /** @type {"low" | "medium" | "high"} */
  #quality;

  /** @param {"low" | "medium" | "high"} quality */
  constructor(quality) {
    this.#quality = quality;
  }

  /** @param {string} key @param {Light} light @param {Matrix4} world */
  set(key, light, world) {
    let lamp = this.#lamps.get(key);
    if (!lamp) {
      this.#fillPool();
      lamp = { key, light, at: new Vector3(), direction: new Vector3(), weight: 0,
        bulb: new Mesh(bulbGeometry, new MeshBasicMaterial()) };
      lamp.bulb.userData.key = key;
      this.#lamps.set(key, lamp);
      this.#sorted.push(lamp);
      this.group.add(lamp.bulb);
    }
    lamp.light = light;
    lamp.at.setFromMatrixPosition(world);
    lamp.direction.copy(down).transformDirection(world);
    lamp.bulb.position.copy(lamp.at);
    /** @type {MeshBasicMaterial} */ (lamp.bulb.material).color = new Color(light.colour);
  }

  /** Real lights are made when the first lamp comes, and stay. */
  #fillPool() {
    while (this.#points.length < POINTS[this.#quality]) {
      const light = new PointLight(0xffffff, 0);
      this.#points.push(light);
      this.group.add(light);
    }
    while (this.#spots.length < SPOTS[this.#quality]) {
      const light = new SpotLight(0xffffff, 0);
      this.#spots.push(light);
      this.group.add(light, light.target);
    }
  }

  /** @param {string} key */
  remove(key) {
    const lamp = this.#lamps.get(key);
    if (!lamp) return;
    this.#lamps.delete(key);
    this.#sorted.splice(this.#sorted.indexOf(lamp), 1);
    this.group.remove(lamp.bulb);
    /** @type {MeshBasicMaterial} */ (lamp.bulb.material).dispose();
  }

  /** @param {import("../../../vendor/three.js").Object3D} camera */
  update(camera) {
    if (!this.#sorted.length && !this.#points.length) return;
    const eye = camera.matrixWorld.elements;
    for (const lamp of this.#sorted) {
      const away = Math.hypot(lamp.at.x - eye[12], lamp.at.y - eye[13], lamp.at.z - eye[14]);
      lamp.weight = lamp.light.intensity_cd / (4 + away * away);
    }
    this.#sorted.sort(brighter);
    let [point, spot] = [0, 0];
    for (const lamp of this.#sorted) {
      const isSpot = lamp.light.form === "spot";
      if (isSpot && spot < this.#spots.length) shineSpot(this.#spots[spot++], lamp);
      else if (!isSpot && point < this.#points.length) shine(this.#points[point++], lamp);
      if (spot === this.#spots.length && point === this.#points.length) break;
    }
    for (; point < this.#points.length; point++) this.#points[point].intensity = 0;
    for (; spot < this.#spots.length; spot++) this.#spots[spot].intensity = 0;
  }

  /** @param {import("../../../vendor/three.js").Raycaster} raycaster */
  pick(raycaster) {
    const bulbs = this.#sorted.map(({ bulb }) => bulb);
    const [hit] = raycaster.intersectObjects(bulbs, false);
    return hit ? { key: /** @type {string} */ (hit.object.userData.key), distance: hit.distance }
      : null;
  }

  dispose() {
    for (const key of [...this.#lamps.keys()]) this.remove(key);
    for (const light of [...this.#points, ...this.#spots]) {
      this.group.remove(light);
      light.dispose();
    }
    this.#points = [];
    this.#spots = [];
  }
}

/** @param {Lamp} a @param {Lamp} b */
function brighter(a, b) {
  return b.weight - a.weight;
}

/** @param {PointLight | SpotLight} real @param {Lamp} lamp */
function shine(real, { light, at }) {
  real.position.copy(at);
  real.color.set(light.colour);
  real.intensity = light.intensity_cd;
  real.distance = light.range_m;
}

/** @param {SpotLight} real @param {Lamp} lamp */
function shineSpot(real, lamp) {
  shine(real, lamp);
  real.angle = Math.min((lamp.light.angle_deg * Math.PI) / 360, Math.PI / 2 - 0.01);
  real.penumbra = 0.35;
  real.target.position.copy(lamp.at).add(lamp.direction);
}
