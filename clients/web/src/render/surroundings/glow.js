/** The halos of lamps after dark: one call of small squares that always face the eye. */

import * as THREE from "../../../vendor/three.js";
import { bulbsOn, stringAt } from "./plants.js";
import { geometry } from "./water.js";

const VERTEX_GLSL = `
  attribute vec3 across; varying vec2 vAcross;
  void main() {
    vAcross = across.xy;
    vec4 seen = viewMatrix * vec4(position, 1.0);
    seen.xyz += vec3(across.xy * across.z, 0.12);
    gl_Position = projectionMatrix * seen;
  }
`;

const FRAGMENT_GLSL = `
  uniform vec3 uLampColour; uniform float uLamps; varying vec2 vAcross;
  void main() {
    float left = max(1.0 - length(vAcross), 0.0);
    gl_FragColor = vec4(uLampColour * (left * left * 0.55 * uLamps), 1.0);
    #include <colorspace_fragment>
  }
`;

/** @param {import("./plan.js").Plan} plan @param {import("./materials.js").Uniforms} uniforms
 *  @returns {THREE.Mesh | null} */
export function makeGlow(plan, uniforms) {
  const halos = plan.lamps.map((each) => ({ ...each, size: 1.1 }));
  for (const [from, to] of plan.strings) {
    const count = bulbsOn(from, to);
    for (let at = 0; at < count; at++) {
      const spot = stringAt(from, to, (at + 0.5) / count);
      halos.push({ ...spot, y: spot.y - 0.1, size: 0.3 });
    }
  }
  if (!halos.length) return null;
  /** @type {number[][]} */
  const [positions, acrosses, indices] = [[], [], []];
  for (const { x, y, z, size } of halos) {
    const first = positions.length / 3;
    for (const [u, v] of [[-1, -1], [1, -1], [1, 1], [-1, 1]]) {
      positions.push(x, y, z);
      acrosses.push(u, v, size);
    }
    indices.push(first, first + 1, first + 2, first, first + 2, first + 3);
  }
  const mesh = new THREE.Mesh(geometry({ position: [positions, 3], across: [acrosses, 3] },
    indices), new THREE.ShaderMaterial({ vertexShader: VERTEX_GLSL,
    fragmentShader: FRAGMENT_GLSL, uniforms, transparent: true, depthWrite: false,
    blending: THREE.AdditiveBlending }));
  mesh.name = "glow";
  mesh.renderOrder = 13;
  return mesh;
}
