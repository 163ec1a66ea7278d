/**
 * What is laid over the eyes: a dark edge while the world moves by itself, and black while the head
 * is inside of something. One quad for both eyes; the edge is round about where each eye looks,
 * since its angle is worked out from that eye's own projection.
 */

import { BufferAttribute, BufferGeometry, Mesh, ShaderMaterial } from "../../vendor/three.js";
import { vignette } from "../core/locomotion.js";

const FADE_PER_S = 14;
const LEAST = 0.004;

const VERTEX = `
  varying vec2 vTangent;
  void main() {
    gl_Position = vec4(position.xy, 0.0, 1.0);
    vTangent = (position.xy + vec2(projectionMatrix[2][0], projectionMatrix[2][1]))
      / vec2(projectionMatrix[0][0], projectionMatrix[1][1]);
  }`;
const FRAGMENT = `
  uniform float edge;
  uniform float fade;
  varying vec2 vTangent;
  void main() {
    float free = mix(1.6, 0.35, edge);
    float dark = smoothstep(free, free + 0.35, length(vTangent)) * step(0.001, edge);
    gl_FragColor = vec4(0.0, 0.0, 0.0, max(dark, fade));
  }`;

export class Comfort {
  edge = 0;
  fade = 0;
  #uniforms = { edge: { value: 0 }, fade: { value: 0 } };
  #motion = { speed: 0, turn: 0, strength: 0, dt: 0 };
  mesh;

  constructor() {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position",
      new BufferAttribute(new Float32Array([-1, -1, 0, 3, -1, 0, -1, 3, 0]), 3));
    this.mesh = new Mesh(geometry, new ShaderMaterial({ uniforms: this.#uniforms,
      vertexShader: VERTEX, fragmentShader: FRAGMENT, transparent: true, depthTest: false,
      depthWrite: false }));
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = 10_000;
    this.mesh.visible = false;
  }

  /**
   * @param {number} dt
   * @param {{speed: number, turning: number, strength: number, isBlind: boolean}} now
   */
  step(dt, { speed, turning, strength, isBlind }) {
    this.#motion.speed = speed;
    this.#motion.turn = turning;
    this.#motion.strength = strength;
    this.#motion.dt = dt;
    this.edge = vignette(this.edge, this.#motion);
    this.fade += ((isBlind ? 1 : 0) - this.fade) * (1 - Math.exp(-FADE_PER_S * dt));
    this.#uniforms.edge.value = this.edge;
    this.#uniforms.fade.value = this.fade;
    this.mesh.visible = this.edge > LEAST || this.fade > LEAST;
  }

  dispose() {
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
  }
}
