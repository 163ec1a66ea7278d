/**
 * One sun, and the light of the sky and of the warm ground. On high the sun throws a shadow map
 * around the camera. What stands there stands still, so the map is drawn anew only when the camera
 * has gone some way or the hour has changed; it moves in whole steps of its own pixels, so that
 * edges do not crawl.
 */

import * as THREE from "../../../vendor/three.js";

const SHADOW_M = 42;
const SHADOW_PIXELS = 2048;
/** The map is drawn anew when the camera is this far from its middle. */
const MOVED_M = 9;
const SUN_M = 70;

export class Light {
  sun = new THREE.DirectionalLight();
  sky = new THREE.HemisphereLight();

  #middle;
  #drawn = false;
  #wanted = new THREE.Vector3();
  #floor = 0;

  /** @param {THREE.Vector3} middle of the shadow map: x, z and its reach, which shaders read */
  constructor(middle) {
    this.#middle = middle;
    const { shadow } = this.sun;
    shadow.mapSize.set(SHADOW_PIXELS, SHADOW_PIXELS);
    shadow.camera.left = shadow.camera.bottom = -SHADOW_M;
    shadow.camera.right = shadow.camera.top = SHADOW_M;
    shadow.camera.near = 1;
    shadow.camera.far = SUN_M * 2 + 20;
    shadow.bias = -0.0004;
    shadow.normalBias = 0.09;
    shadow.radius = 1;
    shadow.autoUpdate = false;
  }

  /** @param {boolean} casts @param {number} floor */
  prepare(casts, floor) {
    this.sun.castShadow = casts;
    this.#floor = floor;
    this.#drawn = false;
    this.#middle.z = casts ? SHADOW_M : -1;
  }

  /** @param {import("./palette.js").Mood} mood @param {number[]} direction */
  set(mood, direction) {
    this.sun.color.setRGB(...mood.sun);
    this.sun.intensity = mood.strength;
    this.sky.color.setRGB(...mood.sky);
    this.sky.groundColor.setRGB(...mood.bounce);
    this.sky.intensity = mood.ambient;
    this.sun.position.set(direction[0], direction[1], direction[2]).multiplyScalar(SUN_M)
      .add(this.sun.target.position);
    this.#drawn = false;
  }

  /** Keeps the shadow map around the camera. @param {THREE.Camera} camera */
  follow(camera) {
    if (!this.sun.castShadow) return;
    this.#wanted.setFromMatrixPosition(camera.matrixWorld);
    const [x, z] = [Math.round(this.#wanted.x), Math.round(this.#wanted.z)];
    const far = Math.hypot(x - this.#middle.x, z - this.#middle.y);
    if (this.#drawn && far < MOVED_M) return;
    this.#wanted.set(x, this.#floor, z).sub(this.sun.target.position);
    this.sun.target.position.add(this.#wanted);
    this.sun.position.add(this.#wanted);
    this.sun.updateMatrixWorld();
    this.sun.target.updateMatrixWorld();
    this.#middle.x = x;
    this.#middle.y = z;
    this.sun.shadow.needsUpdate = true;
    this.#drawn = true;
  }

  dispose() {
    this.sun.dispose();
    this.sky.dispose();
  }
}
